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
# Beside a model that keeps its edges.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknm import FreeNetClassifier
from sknm.inspection import CoactivationDisplay, EvolutionDisplay, ModuleMapDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, stratify=y, random_state=0
)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

shared = {"n_nodes": 100, "rule": "coactivation", "density": 0.5, "epsilon": 0.45}
shared["random_state"] = 0
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
# Evolution after evolution (figure 6 of the paper).
EvolutionDisplay.from_estimator(evolved)

# %%
# What is left
# ------------
# The matrix of weights: an edge leads from an earlier node (row) to a later one
# (column). Nodes are ordered by depth.
ModuleMapDisplay.from_estimator(evolved, colour="weight")

# %%
# Co-activation
# -------------
# How often the nodes of a pair are both active (above the diagonal), or neither is
# (below), on the training rows, and how these shares are spread over the pairs, before
# the first evolution and now (figure 7 of the paper): pairs beyond ``1 - epsilon`` are
# joined, or parted.
CoactivationDisplay.from_estimator(evolved)
plt.show()
