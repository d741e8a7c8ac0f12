"""
====================================
How a FreeNet rewires itself
====================================

A :class:`~sknm.FreeNetClassifier` has no layers: each node receives the features and
the values of all earlier nodes to which it is joined. With ``rule="coactivation"``, the
rule of the paper, it looks every few epochs at which nodes are active together. Edges
between nodes that are mostly inactive together are pruned; nodes that are mostly active
together are joined. The pictures show what that does to a graph that starts with half
of the possible edges, on images of digits.
"""

# %%
# The same network before and after its evolution
# -----------------------------------------------
# The first model stops where the first evolution of the second one would come.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknm import FreeNetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, stratify=y, random_state=0
)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

shared = {"n_nodes": 100, "rule": "coactivation", "density": 0.5, "epsilon": 0.45}
shared["random_state"] = 0
start = FreeNetClassifier(**shared, max_evolutions=0, max_iter=4).fit(X_train, y_train)
evolved = FreeNetClassifier(**shared, evolve_interval=4).fit(X_train, y_train)
unchanged = FreeNetClassifier(**shared, max_evolutions=0).fit(X_train, y_train)

print("evolution  pruned  added  left")
for k, step in enumerate(evolved.evolution_, start=1):
    print(f"{k:9d}  {step['pruned']:6d}  {step['added']:5d}  {step['left']:4d}")
print(f"a fixed point: {evolved.converged_}\n")

print("                    edges  test accuracy")
for name, model in {"evolved": evolved, "never rewired": unchanged}.items():
    accuracy = model.score(X_test, y_test)
    print(f"{name:18s}  {model.topology_.n_edges:5d}  {accuracy:13.4f}")

# %%
# Edges pruned and added
# ----------------------
# Evolution after evolution (figure 6 of the paper), and the adjacency matrix: an edge
# leads from an earlier node (row) to a later one (column).
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
rounds = np.arange(1, len(evolved.evolution_) + 1)
for name, sign, color in (("added", 1, "C2"), ("pruned", -1, "C3")):
    counts = [sign * step[name] for step in evolved.evolution_]
    axes[0].bar(rounds, counts, color=color, label=name)
axes[0].axhline(0, color="k", lw=0.8)
axes[0].set(xlabel="evolution", ylabel="edges added (up) and pruned (down)")
axes[0].legend()
for axis, model, title in (
    (axes[1], start, "before"),
    (axes[2], evolved, "after"),
):
    axis.spy(model.topology_.to_dense(), markersize=1.2, color="C0")
    axis.set_title(f"{title}: {model.topology_.n_edges} edges")
    axis.set(xlabel="to node", ylabel="from node")
    axis.xaxis.tick_bottom()

# %%
# Co-activation
# -------------
# How often the nodes of a pair are both active, or both inactive, on the training rows
# (figure 7 of the paper): pairs to the right of the line are joined, or parted.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
pairs = np.triu_indices(evolved.n_nodes, 1)
bins = np.linspace(0, 1, 41)
for axis, name, title in (
    (axes[0], "coactivation_", "both active (NCAM)"),
    (axes[1], "coinactivation_", "both inactive (NCIM)"),
):
    for model, label in ((start, "start"), (evolved, "end")):
        shares = getattr(model, name)[pairs]
        axis.hist(shares, bins, density=True, histtype="step", lw=1.5, label=label)
    axis.axvline(1 - evolved.epsilon, color="k", ls="--", lw=1, label="1 - epsilon")
    axis.set(title=title, xlabel="share of the training rows")
axes[0].set_ylabel("density over the pairs of nodes")
axes[1].legend()
plt.show()
