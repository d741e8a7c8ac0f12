"""
=============================================
Neural Modules in a grid search on the digits
=============================================

A pipeline with a :class:`~sknm.NeuralModuleClassifier` goes through a grid search over
the threshold ``tau``, the strength ``lambda_NM`` of the price at which modules merge,
and the number of nodes. Beside it stands scikit-learn's ``MLPClassifier`` with as many
nodes. The picture shows the graph before and after training: which nodes are joined by
edges above the threshold, and how many modules they make (figure 6 of
`arXiv:2005.04088 <https://arxiv.org/abs/2005.04088>`_). It is shown in a window, or
written to a file if the script is given a name: ``plot_quickstart.py modules.png``.
"""

# %%
# The data: 1797 images of 8 x 8 pixels
# -------------------------------------
import sys
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknm import NeuralModuleClassifier
from sknm.inspection import ModuleMapDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, stratify=y, random_state=0
)

# %%
# The search
# ----------
# Every parameter of the estimator can be searched over. The smaller ``lambda_NM``, the
# less use modules have to have for each other to merge.
pipeline = make_pipeline(StandardScaler(), NeuralModuleClassifier(random_state=0))
grid = {
    "neuralmoduleclassifier__n_nodes": [100, 200],
    "neuralmoduleclassifier__tau": [0.03, 0.05],
    "neuralmoduleclassifier__lambda_NM": [2.0, 8.0],
}
search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2)
start = perf_counter()
search.fit(X_train, y_train)
print(
    f"grid search: {len(search.cv_results_['params'])} candidates, "
    f"{perf_counter() - start:.0f} s\n"
)

print("n_nodes   tau  lambda_NM  accuracy")
for parameters, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    values = [parameters[name] for name in grid]
    print("{:7d}  {:.2f}  {:9.1f}".format(*values), f"    {score:.4f}")

# %%
# The best model, beside a layered network of as many nodes
# ---------------------------------------------------------
best = search.best_estimator_
modules = best[-1]
layers = make_pipeline(
    StandardScaler(), MLPClassifier((modules.n_nodes,), max_iter=400, random_state=0)
)
start = perf_counter()
layers.fit(X_train, y_train)
mlp_seconds = perf_counter() - start

print("\n                            nodes  modules  test accuracy  fit in s")
row = "{:27s} {:5d}  {:7d}  {:13.4f}  {:8.1f}"
print(
    row.format(
        "NeuralModuleClassifier",
        modules.n_nodes,
        modules.n_modules_,
        search.score(X_test, y_test),
        search.refit_time_,
    )
)
print(
    row.format(
        "MLPClassifier", modules.n_nodes, 1, layers.score(X_test, y_test), mlp_seconds
    )
)

# %%
# The graph before and after
# --------------------------
# Left: the papers' start, a complete graph, before training: it is one module. Middle:
# the same graph after training with the papers' penalty, by which an edge costs what
# its module is large: it has fallen apart. Right: the default, which starts with five
# modules of 20 nodes: two have merged, and all are dense. Nodes are sorted by module,
# and every dot is an edge, in the colour of its module.


def fit(**parameters):
    """Fit a model of 100 nodes on the standardised digits."""
    model = NeuralModuleClassifier(n_nodes=100, random_state=0, **parameters)
    return model.fit(best[0].transform(X_train), y_train)


dense = {"init": "dense", "tau": 0.05}
models = {
    "complete graph, untrained": fit(
        **dense, penalty=None, max_iter=1, learning_rate_init=1e-9
    ),
    'trained with penalty="nm"': fit(**dense, penalty="nm", lambda_NM=1.0),
    "the default, trained": fit(),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), layout="constrained")
print("\n                            edges  accuracy  sizes of the modules")
for axis, (title, model) in zip(axes, models.items(), strict=True):
    ModuleMapDisplay.from_estimator(model, ax=axis)
    axis.set_title(f"{title}\n{axis.get_title()}")
    score = model.score(best[0].transform(X_test), y_test)
    sizes = np.sort(model.module_sizes_[model.module_sizes_ > 1])[::-1]
    print(f"{title:27s} {model.topology_.n_edges:5d}    {score:.4f}  {sizes.tolist()}")
if sys.argv[1:]:
    figure.savefig(sys.argv[1], dpi=100)
    print(f"\nThe module map is in {sys.argv[1]}")
plt.show()
