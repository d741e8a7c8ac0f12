"""URN: unstructured recursive networks, from whose one matrix a structure emerges."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_array

from sknm._docstrings import document
from sknm._warnings import warn
from sknm.base import GraphEstimator
from sknm.checks import Samples
from sknm.compute.arrays import to_numpy, to_tensor
from sknm.encoding.encoder import Encoder
from sknm.fitted import topology
from sknm.graph.depth import steps_that_matter
from sknm.graph.recursion import Recursion
from sknm.graph.recursion_state import RecursionState
from sknm.parameters import (
    Number,
)
from sknm.plasticity.dying import DyingRule
from sknm.plasticity.locality import place_neurons
from sknm.supervised import GraphClassifier, GraphRegressor
from sknm.training.recipe import LONG_MEMORY
from sknm.training.recursive import RecursiveNetwork

OTHERS, OUTPUTS = 0.3, 0.1
"""What random weights are multiplied by where neurons start by handing on their own
values: those between neurons, and those that lead to outputs."""

PARAMETERS = """
n_nodes : int, default=400
    Number of neurons beside the inputs and the outputs.

n_steps : int, default=4
    ``I``, the number of times that the weights are applied, at most 1000. Structures
    with up to ``n_steps - 1`` hidden layers can emerge.

alpha_weight : float, default=0.03
    Price of a weight, ``c_W``, in steps of the optimiser: each weight shrinks by
    `alpha_weight` times its learning rate at each step. The default makes some of the
    weights vanish, and costs little accuracy; with 0.3 to 1, few are left.

alpha_activity : float, default=0.0
    Price of activity, ``c_N``: the loss grows by it for each unit of the neurons' mean
    absolute values, summed over the neurons and the steps.

alpha_neuron : float, default=0.3
    Price of a neuron: free neurons that matter least die in the course of a `fit`, as
    many as make up the share ``1 - exp(-alpha_neuron)`` of what all matter. The default
    leaves about a third to a half of them, which are trained on; 0 leaves it to the
    other prices who dies. Each `fit` of a warm start may have more neurons die;
    `partial_fit`, which knows of no end, has none die of it.

alpha_locality : float, default=0.0
    Price of length, ``c_L``: it is added, times the distance of two neurons, to the
    price of the weight between them. Needs `feature_positions`.

feature_positions : array-like of shape (n_features, n_dims), default=None
    Where the features are, as pixels on an image. The other neurons start at random
    places among them, and move to where their edges are shortest.

init : {"identity", "random"}, default="identity"
    How the weights start. ``"random"`` draws all of them alike. ``"identity"`` has each
    free neuron hand on its value, by an edge of weight 1 to itself; edges between
    neurons are 0.3 times as large, those to outputs 0.1 times. At first, that is nearly
    one layer.

dropout : float, default=0.0
    Share of nodes whose output is left out of a training step, drawn anew for
    each step.

numerical_embedding : {"piecewise", "piecewise_tree", "periodic"} or None, default=None
    A function of each number that is learned, as for other estimators; it is a feature
    of its own, and a neuron.

feature_fdr : float or None, default=0.05
    Not heeded: features are neurons, and die like others.
"""

ATTRIBUTES = """
topology_ : Topology
    The edges that are left, those of a neuron with itself included.

active_nodes_ : ndarray of int of shape (n_active,)
    Neurons that are alive: they act on the outputs, and may differ from zero. Features
    are neurons 0 to ``len(input_weights_) - 1`` as they enter, outputs the last.

node_depth_ : list of tuple of int
    Of each neuron, the steps at which it matters: at which its value depends on the
    features, and can still act on an output. () if there are none.

active_history_ : list of int
    Number of active neurons after each epoch.

node_positions_ : ndarray of shape (n_neurons, n_dims)
    Where the neurons are; only with `feature_positions`.

input_weights_ : ndarray of shape (n_inputs, n_neurons)
    ``U``: says which neurons are the inputs.

node_weights_ : ndarray of shape (n_neurons, n_neurons)
    ``W``: ``W[i, j]`` is the edge from node i to node j; 0 where there is none.

node_biases_ : ndarray of shape (n_neurons,)
    ``b``.

output_weights_ : ndarray of shape (n_neurons, n_outputs)
    ``V``: edges from the nodes to the outputs.
"""

NOTES = """
The state has ``n_neurons = n_inputs + n_nodes + n_outputs`` entries, with an input for
each number that the features are encoded as, and ``node_weights_`` is
(n_neurons, n_neurons): with ``N_0 = x U``, and ``N_t = σ(N_{t-1} W + b)``, outputs are
``(N_{I-1} W + b) V + c``, where U and V only say which entries are features and
outputs. ``solver_stats_`` tells the number of steps; there is nothing to converge.

[1]_ leaves open what follows, which is our reading of it. The input is placed at step
0, and not held. Outputs are read before the activation of the last step. The weights'
L1 penalty is a proximal step after each of the optimiser's, so that weights become
exactly zero. Activity is priced from step 1 to ``n_steps - 1``. Edges that leave
features start with a variance of two over the number of features, all others of two
over ``n_neurons``, with ``init="random"``. Neurons that were zero on all rows of an
epoch, or from which no path leads to an output, are taken out of the matrix and do not
come back. The price of a neuron and ``init="identity"`` are ours. What neurons matter
is the root of the mean square, over the steps since neurons last died, of the first
order change of a step's loss if the neuron's values were scaled, the criterion of [2]_;
the least are taken out after epochs between a tenth and two thirds of a training,
before the learning rate has fallen. With ``alpha_neuron=0``, ``init="random"`` and
``alpha_activity=0.001``, all is as in [1]_. The locality term is ours, and so is how
neurons move: by Weiszfeld's iteration for the place where the length of their edges,
times their weights, is least.
"""

REFERENCES = """
.. [1] "Emergent Structures and Lifetime Structure Evolution in Artificial Neural
   Networks", arXiv:1911.11691.

.. [2] P. Molchanov, A. Mallya, S. Tyree, I. Frosio, J. Kautz, "Importance Estimation
   for Neural Network Pruning", CVPR 2019, arXiv:1906.10771.
"""


@dataclass(repr=False, eq=False)
class URN(GraphEstimator):
    """The network of both estimators: one matrix, applied `n_steps` times."""

    _: KW_ONLY
    n_steps: int = 4
    alpha_weight: float = 0.03
    alpha_activity: float = 0.0
    alpha_neuron: float = 0.3
    alpha_locality: float = 0.0
    feature_positions: Any = None
    init: str = "identity"
    # Few neurons are left to read from, and prices keep the network small already.
    dropout: float = 0.0
    # Each function would be a neuron of its own.
    numerical_embedding: str | None = None

    # Prices were chosen beside a little decay, and for steps that remember long.
    _decays_by_rows: ClassVar[bool] = False
    _memory: ClassVar[float] = LONG_MEMORY

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "n_steps": [Number(Integral, 1, 1000, closed="both")],
        "alpha_weight": [Number(Real, 0, None, closed="left")],
        "alpha_activity": [Number(Real, 0, None, closed="left")],
        "alpha_neuron": [Number(Real, 0, None, closed="left")],
        "alpha_locality": [Number(Real, 0, None, closed="left")],
        "feature_positions": ["array-like", None],
        "init": [StrOptions({"identity", "random"})],
    }

    _doc_parts: ClassVar[dict[str, str]] = {
        "parameters": PARAMETERS,
        "attributes": ATTRIBUTES,
        "notes": NOTES,
        "references": REFERENCES,
    }

    def _check_parameters(self) -> None:
        if self.alpha_locality > 0 and self.feature_positions is None:
            raise ValueError(
                f"alpha_locality={self.alpha_locality} needs feature_positions, of "
                "shape (n_features, n_dims): without them nothing is near or far."
            )

    topology_ = topology()

    def _make_network(
        self, samples: Samples, encoder: Encoder, generator: torch.Generator
    ) -> RecursiveNetwork:
        d, own = encoder.n_outputs, self._target_.n_outputs
        o = own * int(self.n_members)
        n = d + int(self.n_nodes) + o
        W = torch.randn(n, n, generator=generator, dtype=torch.float32)
        fan_in = d + int(self.n_nodes) + own  # as without other members
        W *= (2 / fan_in) ** 0.5
        W[:d] *= (fan_in / encoder.fan_in) ** 0.5
        if self.init == "identity":
            free = torch.arange(d, n - o)
            W[d:, : n - o] *= OTHERS
            W[free, free] += 1
            W[:, n - o :] *= OUTPUTS
        dtype = samples.X.torch_dtype
        plan = Recursion.whole(n, d, o, self.n_steps)
        graph = RecursionState(W.to(dtype), torch.zeros(n, dtype=dtype), plan)
        if self.feature_positions is not None:
            positions = to_tensor(self._input_positions())
            graph.positions = place_neurons(positions, n - d, generator)
        return RecursiveNetwork(encoder, graph, generator)

    def _make_rule(self) -> DyingRule:
        return DyingRule(
            self.alpha_weight, self.alpha_locality, self.activation, self.alpha_neuron
        )

    def _input_positions(self) -> np.ndarray:
        """Of what enters the graph: that of the feature that it is made of."""
        columns = self.encoding_.get_feature_indices()
        if (columns < 0).any():
            raise ValueError(
                f"feature_positions are those of {self.n_features_in_} features, but "
                "what enters the graph is made of several."
            )
        return self._feature_positions()[columns]

    def _feature_positions(self) -> np.ndarray:
        positions = check_array(
            self.feature_positions,
            dtype=np.float64,
            order="C",
            ensure_2d=False,
            input_name="feature_positions",
        )
        if positions.ndim != 2 or len(positions) != self.n_features_in_:
            raise ValueError(
                f"feature_positions has shape {positions.shape}, but X has "
                f"{self.n_features_in_} features; give a row per feature, of shape "
                "(n_features, n_dims)."
            )
        return positions

    def _set_options(
        self, network: RecursiveNetwork, samples: Samples, is_noisy: bool
    ) -> None:
        network.alpha_activity = self.alpha_activity

    def _check_size(self, samples: Samples) -> None:
        if self.feature_positions is not None:
            self._check_positions()
        plan = self.net_.module_.graph.plan
        n_nodes = plan.n_neurons - plan.n_inputs - plan.n_outputs
        if (self.n_nodes, self.n_steps) != (n_nodes, plan.n_steps):
            raise ValueError(
                f"n_nodes={self.n_nodes} and n_steps={self.n_steps}, but the fitted "
                f"network has n_nodes={n_nodes} and n_steps={plan.n_steps} and is to "
                "go on; set warm_start=False and call fit to start anew."
            )

    def _check_positions(self) -> None:
        positions = self.net_.module_.graph.positions
        given = self._input_positions()
        if positions is None:
            raise ValueError(
                "feature_positions were not given in the first fit of the network, "
                "which is to go on; set warm_start=False and call fit to start anew."
            )
        fitted = to_numpy(positions[: len(given)])
        if fitted.shape != given.shape or not np.allclose(fitted, given, rtol=1e-4):
            raise ValueError(
                "feature_positions are not those of the fitted network, which is to go "
                "on; set warm_start=False and call fit to start anew."
            )

    def _warn_of_structure(self) -> None:
        if not any(self.node_depth_):
            warn(
                "No path is left that leads from a feature to an output in "
                f"n_steps={self.n_steps} steps: all predictions are the same. Lower "
                f"alpha_weight={self.alpha_weight}, alpha_activity="
                f"{self.alpha_activity}, alpha_locality={self.alpha_locality}, "
                f"alpha_neuron={self.alpha_neuron} or "
                f"learning_rate_init={self.learning_rate_init}.",
                UserWarning,
            )

    def _read(self, network: RecursiveNetwork, samples: Samples) -> None:
        graph, plan = network.graph, network.graph.plan
        counts = plan.n_inputs, plan.n_outputs, plan.n_steps
        steps = steps_that_matter(graph.topology.to_dense(), *counts)
        self.node_depth_ = [tuple(np.flatnonzero(s).tolist()) for s in steps.T]
        self.active_nodes_ = plan.neurons[graph.active(network.sigma)]
        self.active_history_ = list(self.net_.records)
        if graph.positions is not None:
            self.node_positions_ = to_numpy(graph.positions)


@document
@dataclass(repr=False, eq=False)
class URNClassifier(URN, GraphClassifier):
    """Classifier whose structure emerges from one matrix of weights.

    All neurons - features, outputs, and those between - are joined to all, by one
    matrix that is applied `n_steps` times. Prices of neurons, of weights and of
    activity make many of them die; what is left is a network with layers, or
    another structure, that nobody has imposed [1]_.

    Read more in the :ref:`User Guide <urn>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    URNRegressor : The same for numbers.
    FreeNetClassifier : Acyclic graphs that rewire themselves.

    Notes
    -----
    {notes}

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.model_selection import train_test_split
    >>> from sknm import URNClassifier
    >>> from sknm.datasets import make_spherical_shells
    >>> X, y = make_spherical_shells(2000, 10, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = URNClassifier(
    ...     n_nodes=100, alpha_weight=0.3, max_iter=100, random_state=0
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    >>> len(model.active_nodes_) < 100
    True
    """


@document
@dataclass(repr=False, eq=False)
class URNRegressor(URN, GraphRegressor):
    """Regressor whose structure emerges from one matrix of weights.

    All neurons - features, outputs, and those between - are joined to all, by one
    matrix that is applied `n_steps` times. Prices of neurons, of weights and of
    activity make many of them die; what is left is a network with layers, or another
    structure, that nobody has imposed [1]_. The `loss` is minimised; several targets
    are fitted at once.

    Read more in the :ref:`User Guide <urn>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    URNClassifier : The same for classes.
    FreeNetRegressor : Acyclic graphs that rewire themselves.

    Notes
    -----
    {notes}

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknm import URNRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = URNRegressor(n_nodes=50, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
