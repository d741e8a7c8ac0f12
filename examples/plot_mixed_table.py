"""
====================================
A table as people have them
====================================

Ages with gaps, blood values of any scale, text, truth values, ordered categories: a
data frame goes into an estimator as it is. Beside it stands the pipeline that has to be
written for scikit-learn's ``MLPClassifier``. It needs pandas.
"""

# %%
# The data
# --------
# The diabetes data of scikit-learn, in the units and words in which they may come: 442
# patients, of whom some did not tell their age.
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from sknm import NeuralModuleClassifier

rng = np.random.default_rng(0)
raw = load_diabetes(as_frame=True, scaled=False)
body_mass = pd.cut(raw.data["bmi"], [0, 22, 25, 30, 99], labels=list("ABCD"))
table = pd.DataFrame(
    {
        "age": raw.data["age"].where(rng.random(442) > 0.1),
        "sex": raw.data["sex"].map({1: "female", 2: "male"}),
        "body mass": body_mass.astype(pd.CategoricalDtype(list("ABCD"), ordered=True)),
        "blood pressure": raw.data["bp"],
        "high cholesterol": raw.data["s1"] > 200,
        "HDL": raw.data["s3"],
        "triglycerides": np.exp(raw.data["s5"]),
        "blood sugar": raw.data["s6"].astype("Int64"),
    }
)
y = np.where(raw.target > raw.target.median(), "worse", "better")
print(table.head(), "\n")

# %%
# Without a preprocessing step
# ----------------------------
# ``encoding_`` tells what became of each column.
model = NeuralModuleClassifier(n_nodes=100, early_stopping=True, random_state=0)
ours = cross_val_score(model, table, y, cv=5)
model.fit(table, y)
print(model.encoding_, "\n")

# %%
# The pipeline of others
# ----------------------
# Each kind of column needs a transformer of its own, and its name in a list.
numbers = ["age", "blood pressure", "HDL", "triglycerides", "blood sugar"]
pipeline = make_pipeline(
    make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
        (OneHotEncoder(drop="if_binary"), ["sex", "high cholesterol"]),
        (OrdinalEncoder(categories=[list("ABCD")]), ["body mass"]),
    ),
    MLPClassifier((100,), early_stopping=True, max_iter=1000, random_state=0),
)
theirs = cross_val_score(pipeline, table, y, cv=5)
for name, scores in [("the table as it is", ours), ("pipeline and MLP", theirs)]:
    print(f"{name:20s} accuracy {scores.mean():.3f}, folds {scores.round(3)}")

# %%
# How much each column moves the nodes
# -------------------------------------
# ``encode`` computes what enters the graph, which may be several numbers for a column;
# ``get_feature_indices`` leads back to the columns. By its weights, a column moves what
# enters a node up and down, from patient to patient: the bars are the standard
# deviations, of all nodes together.
moves = model.encode(table).std(axis=0)[:, None] * model.input_weights_
strength = np.zeros(len(table.columns))
columns = model.encoding_.get_feature_indices()
np.add.at(strength, columns, np.square(moves).sum(axis=1))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
axes[0].plot([ours, theirs], "o", color="C0", alpha=0.5)
axes[0].plot([ours.mean(), theirs.mean()], "_", color="C1", markersize=30)
names = ["Neural Modules,\nthe table as it is", "MLPClassifier,\npipeline"]
axes[0].set_xticks([0, 1], names)
axes[0].set(xlim=(-0.5, 1.5), ylabel="accuracy", title="Five folds, and their mean")
axes[1].barh(list(table.columns)[::-1], np.sqrt(strength)[::-1], color="C0")
axes[1].set(title="How much each column moves the nodes", xlabel="standard deviation")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=150)
plt.show()
