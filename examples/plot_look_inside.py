"""
===================
Look inside a model
===================

What has a model learned? Displays draw its graph, its matrices of weights, and its
depths. They work like those of scikit-learn: ``from_estimator`` takes a fitted
estimator, or a pipeline or search that ends with one, and draws on ``ax`` or on a
figure of its own, which is transparent and suits light and dark pages.
"""

# %%
# A graph of modules
# ------------------
# A :class:`~sknm.NeuralModuleClassifier` tells benign from malignant tumours. Its nodes
# have organised themselves into modules: a disc is a module with its number of nodes,
# and a line is the wider the larger the weights are for which it stands.
import tempfile
from operator import itemgetter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

from sknm import FreeNetClassifier, NeuralModuleClassifier, URNClassifier
from sknm.datasets import make_spherical_shells
from sknm.graph.topology import Topology
from sknm.inspection import LayersDisplay, ModuleMapDisplay, TopologyDisplay

data = load_breast_cancer(as_frame=True)
X, y = data.data, data.target_names[data.target]

model = NeuralModuleClassifier(100, random_state=0).fit(X, y)
display = TopologyDisplay.from_estimator(model)
print(display.caption_)

# %%
# Few nodes are drawn one by one, and colours tell the signs of weights.
few = NeuralModuleClassifier(10, random_state=0).fit(X, y)
TopologyDisplay.from_estimator(few, max_features=12)

# %%
# Matrices of weights
# -------------------
# The matrix of the edges between nodes, ordered by module: modules are dense blocks,
# and nothing is between them.
ModuleMapDisplay.from_estimator(model)

# %%
# Which features enter which modules is another matrix. On the digits, modules have left
# out pixels that are always white, or that say nothing new.
X_digits, y_digits = load_digits(return_X_y=True)
digits = NeuralModuleClassifier(400, max_iter=20, random_state=0)
ModuleMapDisplay.from_estimator(digits.fit(X_digits, y_digits), matrix="inputs")

# %%
# Graphs by depth
# ---------------
# A :class:`~sknm.FreeNetClassifier` has neither layers nor modules: each node may lead
# to any later one. Where there are many depths, neighbours share a disc, and lines go
# round a corner, from the upper left to the lower right.
free = FreeNetClassifier(100, random_state=0).fit(X, y)
TopologyDisplay.from_estimator(free)

# %%
# Its matrix is a triangle, of which a fifth is left.
ModuleMapDisplay.from_estimator(free, colour="weight")

# %%
# Layers that nobody has made
# ---------------------------
# Two shells about the origin differ in nothing but the radius. If weights and activity
# are dear, little is left of the 200 neurons of a :class:`~sknm.URNClassifier`: a
# neuron for each side of each axis, and one that adds them up.
X_shells, y_shells = make_spherical_shells(4000, 10, random_state=0)
X_shells = (X_shells / X_shells.std()).astype(np.float32)

prices = {"alpha_weight": 1.0, "alpha_activity": 0.003, "alpha_neuron": 0.0}
urn = URNClassifier(
    200,
    n_steps=3,
    **prices,
    init="random",
    alpha=0.1,
    learning_rate_init=0.016,
    label_smoothing=0.0,
    max_iter=60,
    random_state=0,
)
LayersDisplay.from_estimator(urn.fit(X_shells, y_shells))
print(f"accuracy {urn.score(X_shells, y_shells):.3f}")

# %%
# For other programs
# ------------------
# networkx gets the graph with all that the network knows: weights, modules, the names
# of features and classes. A GraphML file opens in Gephi, Cytoscape or yEd.
graph = model.topology_.to_networkx()
print(graph)
pixels = digits.topology_.to_scipy()
print(f"{pixels.nnz} weights between {pixels.shape[0]} nodes of the digits' model")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "tumours.graphml"
    model.topology_.to_graphml(path)
    assert Topology.from_graphml(path) == model.topology_
strongest = max(graph.in_edges("output malignant", data="weight"), key=itemgetter(2))
print(f"node {strongest[0]} speaks most for malignant, by {strongest[2]:.2f}")
plt.show()
