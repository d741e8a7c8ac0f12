"""
===========================================
Structures that emerge from one matrix
===========================================

A :class:`~sknm.URNClassifier` knows no layers and no graph: features, outputs and free
neurons are all joined to all, by one matrix W that is applied `n_steps` times. Weights
and activity have a price; what is not worth it dies. The pictures show three structures
that are left: layers, a local network, and one that changes as the prices do.
"""

# %%
# Layers
# ------
# Two spherical shells in 10 dimensions: the classes differ in nothing but the radius.
# Of 400 free neurons few survive: each step leads to the next, and nothing else. That
# is a multilayer perceptron, which nobody asked for.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknm import URNClassifier
from sknm.datasets import make_spherical_shells
from sknm.inspection import EvolutionDisplay, LayersDisplay, ModuleMapDisplay

X, y = make_spherical_shells(8000, 10, random_state=0)
X = (X / X.std()).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

# Neurons die of nothing but the prices of weights and activity here.
plain = {"alpha_neuron": 0.0, "init": "random"}
layers = URNClassifier(
    400,
    n_steps=3,
    **plain,
    alpha_weight=1.0,
    alpha_activity=0.003,
    alpha=0.1,
    learning_rate_init=0.016,
    label_smoothing=0.0,
    max_iter=60,
    random_state=0,
)
layers.fit(X_train, y_train)
wide = clone(layers).set_params(alpha_weight=0.1, alpha_activity=0.001)
wide.fit(X_train, y_train)

print("shells         neurons left  edges  test accuracy")
for name, model in {"high prices": layers, "low prices": wide}.items():
    n_left, n_edges = len(model.active_nodes_), model.topology_.n_edges
    score = model.score(X_test, y_test)
    print(f"{name:13s}  {n_left:12d}  {n_edges:5d}  {score:13.4f}")

# %%
# Neurons die while the network is trained.
EvolutionDisplay.from_estimator(layers)

# %%
# What high prices leave are layers: a neuron for each side of each axis, and more, and
# one that adds them up.
LayersDisplay.from_estimator(layers)

# %%
# Low prices leave a wide network, some of whose neurons matter at several steps.
LayersDisplay.from_estimator(wide)

# %%
# A local network
# ---------------
# Pixels of digits have places, and neurons are scattered among them. If edges cost the
# more the longer they are, far ones disappear, and neurons move towards those to which
# they are joined: most read some pixels nearby. The 500 largest weights are drawn.
X, y = load_digits(return_X_y=True)
X = ((X - X.mean()) / X.std()).astype(np.float32)
pixels = np.stack(np.divmod(np.arange(64), 8), axis=1)[:, ::-1]
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

free = URNClassifier(
    100, n_steps=3, alpha_weight=0.3, feature_positions=pixels, random_state=0, **plain
).set_params(alpha_activity=0.001)
local = clone(free).set_params(alpha_weight=0.0, alpha_locality=0.15)


def lengths(model):
    """Length of each edge, and its absolute weight."""
    source, target = model.topology_.edges.nonzero()
    places = model.node_positions_
    size = np.abs(model.node_weights_[source, target])
    return np.linalg.norm(places[source] - places[target], axis=1), size


print("\ndigits         mean length of a weight  edges  test accuracy")
figure, axes = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained")
for axis, model, name in (
    (axes[0], free, "any length"),
    (axes[1], local, "length has a price"),
):
    model.fit(X_train, y_train)
    length, size = lengths(model)
    mean, score = np.average(length, weights=size), model.score(X_test, y_test)
    print(f"{name:18s}  {mean:18.2f}  {len(size):5d}  {score:13.4f}")
    places = model.node_positions_
    source, target = model.topology_.edges.nonzero()
    for k in np.argsort(size)[-500:]:
        ends = places[[source[k], target[k]]].T
        axis.plot(*ends, color="C0", lw=1.5 * min(1, size[k]), alpha=0.5, zorder=1)
    hidden = model.active_nodes_[model.active_nodes_ >= 64]
    axis.scatter(*pixels.T, s=14, color="0.6", marker="s", zorder=2, label="pixels")
    axis.scatter(*places[hidden[:-10]].T, s=18, color="C3", zorder=3, label="neurons")
    axis.scatter(
        *places[-10:].T, s=50, color="C1", marker="*", zorder=4, label="output"
    )
    axis.set(title=f"{name}: mean length {mean:.2f}", aspect="equal")
    axis.invert_yaxis()
    axis.axis("off")
axes[0].legend(loc="lower left", fontsize=8)

# %%
# A structure that changes during its life
# ----------------------------------------
# With `warm_start`, each `fit` goes on from the last. While weights become dearer, a
# network in which every neuron matters at every step turns into one with layers.
X, y = make_spherical_shells(8000, 10, random_state=0)
X = (X / X.std()).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

model = clone(layers).set_params(n_nodes=200, warm_start=True, max_iter=20)
figure, axes = plt.subplots(1, 4, figsize=(15, 4.3), layout="constrained")
figure.patch.set_alpha(0)
print("\nprice of a weight  neurons left  edges  test accuracy")
for axis, price in zip(axes, (0.03, 0.1, 0.3, 1.0), strict=True):
    model.set_params(alpha_weight=price).fit(X_train, y_train)
    n_left, n_edges = len(model.active_nodes_), model.topology_.n_edges
    score = model.score(X_test, y_test)
    print(f"{price:17.2f}  {n_left:12d}  {n_edges:5d}  {score:13.4f}")
    ModuleMapDisplay.from_estimator(model, ax=axis, colour="weight")
    title = f"epoch {model.n_iter_}, alpha_weight={price}"
    axis.set_title(f"{title}\n{axis.get_title()}")
plt.show()
