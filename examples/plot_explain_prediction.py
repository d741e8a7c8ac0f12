"""
======================
Explain one prediction
======================

Modules exchange nothing, so that what a model decides by is exactly the sum of what
each of them adds. Nothing is sampled or approximated: a module that is taken away
leaves the others as they were. What the weights prove, besides, is how far a row has to
be moved before the decision can change.
"""

# %%
# A model of modules
# ------------------
# ``module_size`` starts with small modules, which get features that tell something.
import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from sknm import NeuralModuleClassifier
from sknm.inspection import ModuleContributionDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
y = y.map({0: "malignant", 1: "benign"})
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = NeuralModuleClassifier(100, module_size=10, random_state=0)
print(f"accuracy {model.fit(X_train, y_train).score(X_test, y_test):.3f}")

# %%
# One row
# -------
# The least certain row: bars lead from the mean of all rows to the decision. To the
# right they speak for the class that is predicted.
decisions = model.decision_function(X_test)
row = int(abs(decisions).argmin())
terms = model.module_contributions(X_test)
print(f"predicted: {model.predict(X_test)[row]}, true: {y_test.iloc[row]}")
print(
    f"largest error of the sums: {abs(terms.sum(axis=1)[:, 0] - decisions).max():.0e}"
)
figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
ModuleContributionDisplay.from_estimator(model, X_test, row=row, ax=axis)

# %%
# What the modules are
# --------------------
# Each has its features, classes that it votes for, and a share in the variance of the
# outputs; the last column is the accuracy without it.
summary = model.module_summary(X_test, y_test)
for _, module in summary.sort_values("variance_share", ascending=False).iterrows():
    voted, n_features = ", ".join(module["votes_for"]), len(module["features"])
    print(
        f"module {module['module']:2d}: {n_features:2d} features, "
        f"share {module['variance_share']:5.2f}, "
        f"accuracy without it {module['score_without']:.3f}, votes for {voted}"
    )

# %%
# Without a module
# ----------------
# A copy without the least of them has fewer nodes, and its other terms are the same.
least = int(summary["variance_share"].abs().idxmin())
smaller = model.drop_modules([least])
print(f"{len(smaller.node_biases_)} nodes, {smaller.score(X_test, y_test):.3f}")

# %%
# How far the decision reaches
# ----------------------------
# Within the certified radius, in the space of what ``encode`` returns, nothing can
# change the predicted class. The bound holds for all inputs: it is a cautious one.
certificate, radii = model.certificate_, model.certified_radius(X_test)
print(f"one solution: {certificate.is_unique}, margin {certificate.margin:.2f}")
distances = np.linalg.norm(model.encode(X_test)[:, None] - model.encode(X_test), axis=2)
np.fill_diagonal(distances, np.inf)
print(f"median radius {np.median(radii):.2f}; this row {radii[row]:.4f}")
print(f"median distance to the nearest row {np.median(distances.min(axis=1)):.2f}")

if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=110)
plt.show()
