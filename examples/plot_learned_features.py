"""
===============================================
Which features enter which modules
===============================================

A target is a sum of functions of four groups of three features; ten others tell
nothing. Before training, an estimator looks which features tell something of the
target, by themselves or in pairs, and which of them interact. Each module starts with
features that do; other links wake in training if there is evidence for them.
"""

# %%
# Planted modules
# ---------------
import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sknm import NeuralModuleClassifier
from sknm.datasets import make_planted_modules

X, y, groups = make_planted_modules(4000, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# With and without links that are learned
# ---------------------------------------
# With ``feature_fdr=None`` all features enter all modules.
model = NeuralModuleClassifier(random_state=0)
contestants = {
    "Neural Modules": model,
    "all features everywhere": NeuralModuleClassifier(feature_fdr=None, random_state=0),
    "MLPClassifier": MLPClassifier((400,), max_iter=60, random_state=0),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
}
print("                         test accuracy")
for name, estimator in contestants.items():
    if isinstance(estimator, MLPClassifier):
        estimator.set_params(early_stopping=True)
    accuracy = estimator.fit(X_train, y_train).score(X_test, y_test)
    print(f"{name:24s} {accuracy:13.3f}")

# %%
# What was learned
# ----------------
# ``feature_modules_`` says which features enter which modules. The size of a square is
# the mean absolute weight of the links between a feature and a module.
useless = np.setdiff1d(np.arange(X.shape[1]), np.concatenate(groups))
order = np.concatenate([*groups, useless])
columns = model.encoding_.get_feature_indices()
weights = np.zeros(model.feature_modules_.shape)
for module in range(model.n_modules_):
    own = abs(model.input_weights_[:, model.module_labels_ == module]).mean(axis=1)
    np.add.at(weights[:, module], columns, own)
of_groups = np.array([weights[group].sum(axis=0) for group in groups])
modules = np.lexsort([-of_groups.max(axis=0), of_groups.argmax(axis=0)])
shares = of_groups.max(axis=0) / weights.sum(axis=0)
absent = 1 - model.feature_modules_[useless].mean()
print(f"\nshare of a module's weight that comes from one group: {shares.mean():.2f}")
print(f"links of useless features that are absent: {absent:.2f}")

# %%
# Modules are sorted by the group that they get most of.
figure, axis = plt.subplots(figsize=(7.5, 6.5), layout="constrained")
places, features = np.meshgrid(np.arange(len(modules)), np.arange(len(order)))
sizes = weights[np.ix_(order, modules)]
ends = np.cumsum([0, *map(len, groups), len(useless)])
for k, (start, stop) in enumerate(pairwise(ends)):
    here = slice(start, stop)
    colour = f"C{k}" if k < len(groups) else "black"
    size = 190 * sizes[here] / sizes.max()
    axis.scatter(places[here], features[here], size, color=colour, marker="s")
    name = f"group {k + 1}" if k < len(groups) else "of no use"
    axis.axhline(stop - 0.5, color="0.8", linewidth=0.8)
    axis.text(len(modules) - 0.3, (start + stop - 1) / 2, name, va="center")
axis.set(xlabel="module", ylabel="feature", title="Links between features and modules")
axis.set(xlim=(-0.7, len(modules) - 0.5), ylim=(len(order) - 0.5, -0.5))
axis.set_xticks(range(len(modules)))
axis.set_yticks(range(len(order)), order)
axis.spines[["top", "right"]].set_visible(False)

if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=110)
plt.show()
