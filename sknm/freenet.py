"""FreeNets: acyclic graphs without layers that rewire themselves."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknm._docstrings import document
from sknm._warnings import warn
from sknm.checks import Samples
from sknm.encoding.encoder import Encoder
from sknm.graph.draw import draw_edges, edge_bounds, random_part, restraint
from sknm.graph.topology import Topology
from sknm.parameters import (
    Number,
)
from sknm.plasticity.coactivation import (
    Coactivation,
    EvolvingRule,
    free_evolve,
    observe,
)
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.rewiring import RewiringRule, count_edges
from sknm.solved import SolvedGraph
from sknm.supervised import GraphClassifier, GraphRegressor
from sknm.training.equation import EquationNetwork
from sknm.training.net import KEPT_HISTORY

ACTIVATIONS = ("relu", "squared_relu")
"""Activations whose value is zero exactly where a node is inactive."""

PARAMETERS = """
rule : {"gradient", "coactivation"}, default="gradient"
    What changes the graph. "gradient" prunes the edges with the smallest weights and
    adds those whose absence costs most, by the gradient that the loss has of their
    weights [2]_, while the graph becomes sparser [3]_, and ends with `target_density`.
    "coactivation" prunes edges between nodes that are seldom active together, and adds
    edges between nodes that often are: algorithm 2 of [1]_.

density : float, default=1.0
    Share of the possible edges, drawn at random, that exist at the start. With
    "coactivation" the weights of the others wait for an evolution to add them.

target_density : float, default=0.2
    Share of the possible edges that is left after the last evolution of "gradient".
    Early stopping may come before.

epsilon : float, default=0.25
    How much an evolution changes, in (0, 1). For "gradient" the share of the edges that
    the first one replaces by others; later ones replace less, the last of several none.
    (A graph that starts complete has no others at first: in fewer than 4 epochs it is
    only pruned.) For "coactivation" a threshold: edges between nodes that
    are inactive together on more than ``1 - epsilon`` of the training rows are pruned;
    between nodes that are active together as often, they are added. From 0.5 on, a pair
    of nodes may be both; it is then joined and parted by turns, until there were
    `max_evolutions`.

evolve_interval : int or "convergence", default=4
    Epochs between two evolutions within one training. "gradient" evolves in the first
    three quarters of the epochs, at least four times if they are as many, and never
    after the last one, since what is left has to be trained. "convergence"
    trains once more after each evolution, through a whole cycle of the learning rate,
    as in algorithm 1 of [1]_; it takes up to `max_evolutions` + 1 times as long.
    ``partial_fit`` evolves at every `evolve_interval`-th call, with "convergence"
    never.

max_evolutions : int, default=10
    Most evolutions of a fit; 0 trains the graph as it starts. "gradient" plans with
    them, and with ``partial_fit`` has come to its end after as many. It is told if the
    graph still changes after the last one.
"""

ATTRIBUTES = """
topology_ : Topology
    The edges that are left, from earlier to later nodes only.

coactivation_ : ndarray of shape (n_nodes, n_nodes)
    Share of the training rows on which both of two nodes are active: NCAM of [1]_.

coinactivation_ : ndarray of shape (n_nodes, n_nodes)
    Share of the training rows on which neither of two nodes is active: NCIM of [1]_.

coactivation_start_ : ndarray of shape (2, 50) or None
    The same before the first evolution, in brief: numbers of pairs of nodes by their
    co-activation, and by their co-inactivation, in 50 bins from 0 to 1. None if there
    was no evolution yet.

evolution_ : list of dict
    Of each evolution, the number of edges "pruned", "added" and "left".

converged_ : bool
    Whether the graph has come to rest: with "gradient", as many edges are left as there
    are to be, and the last evolution, if there was one, replaced none; with
    "coactivation", another evolution would change nothing (theorem 2 of [1]_).
"""

REFERENCES = """
.. [1] "FreeNets: Learning Layerfree Neural Network Topologies".
.. [2] U. Evci, T. Gale, J. Menick, P. S. Castro and E. Elsen, "Rigging the Lottery:
   Making All Tickets Winners", ICML 2020.
.. [3] M. Zhu and S. Gupta, "To Prune, or Not to Prune: Exploring the Efficacy of
   Pruning for Model Compression", 2017.
"""


@dataclass(repr=False, eq=False)
class FreeNet(SolvedGraph):
    """The graph of both estimators: a triangle that evolves."""

    _: KW_ONLY
    rule: str = "gradient"
    density: float = 1.0
    target_density: float = 0.2
    epsilon: float = 0.25
    evolve_interval: int | str = 4
    max_evolutions: int = 10

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "rule": [StrOptions({"gradient", "coactivation"})],
        "density": [Number(Real, 0, 1, closed="right")],
        "target_density": [Number(Real, 0, 1, closed="right")],
        "epsilon": [Number(Real, 0, 1, closed="neither")],
        "evolve_interval": [
            StrOptions({"convergence"}),
            Number(Integral, 1, None, closed="left"),
        ],
        "max_evolutions": [Number(Integral, 0, None, closed="left")],
    }

    _unit: ClassVar[str] = "node"

    _doc_parts: ClassVar[dict[str, str]] = {
        "parameters": PARAMETERS,
        "attributes": ATTRIBUTES,
        "references": REFERENCES,
    }

    def _check_parameters(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation={self.activation!r} doesn't fit a FreeNet: its value is "
                "not zero where a node is inactive, so that co-activation means "
                f"nothing. Use one of {', '.join(map(repr, ACTIVATIONS))}."
            )

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        triangle = Topology.triangular(self.n_nodes)
        share = restraint(self.n_nodes, self.activation)
        return draw_edges(triangle, generator, share)

    def _first_topology(self, generator: torch.Generator) -> Topology:
        topology = Topology.triangular(self.n_nodes)
        if self.density < 1:
            topology = random_part(topology, self.density, generator)
        return topology

    @torch.no_grad()
    def _make_network(
        self, samples: Samples, encoder: Encoder, generator: torch.Generator
    ) -> EquationNetwork:
        network = super()._make_network(samples, encoder, generator)
        if self.rule == "gradient" and self.density < 1:
            graph, triangle = network.graph, Topology.triangular(self.n_nodes)
            larger = edge_bounds(graph.topology) / edge_bounds(triangle)
            graph.weights.mul_(torch.as_tensor(larger).to(graph.weights))
        return network

    def _make_rule(self) -> FixedRule:
        every = self.evolve_interval
        shared: dict[str, Any] = {
            "restraint": restraint(self.n_nodes, self.activation),
            "epsilon": self.epsilon,
            "interval": None if every == "convergence" else int(every),
            "max_evolutions": self.max_evolutions,
        }
        if self.rule == "coactivation":
            return EvolvingRule(**shared)
        return RewiringRule(density=self.target_density, **shared)

    def _what_ends_edges(self) -> str | None:
        n_at_first = self.density * math.comb(int(self.n_nodes), 2)
        can_end = self.rule == "coactivation" and n_at_first > 0.5
        return f"epsilon={self.epsilon}" if can_end else None

    _for_study: ClassVar[tuple[str, ...]] = ("_coactivation_",)

    def _has_one_round(self) -> bool:
        return self.evolve_interval != "convergence"

    def _warn_of_structure(self) -> None:
        super()._warn_of_structure()
        if self._is_exhausted_ and self.max_evolutions and not self.converged_:
            warn(
                f"The graph still changes after max_evolutions={self.max_evolutions}: "
                "increase it, or lower epsilon.",
                ConvergenceWarning,
            )

    @property
    def coactivation_(self) -> np.ndarray:
        """Share of the training rows on which both of two nodes are active."""
        return self._seen("coactivation_").active

    @property
    def coinactivation_(self) -> np.ndarray:
        """Share of the training rows on which neither of two nodes is active."""
        return self._seen("coinactivation_").inactive

    def _seen(self, name: str) -> Coactivation:
        seen = vars(self).get("_coactivation_")
        if seen is None:
            raise AttributeError(
                f"{type(self).__name__} has no {name}: it is there after fit, and "
                "until sparsify drops it."
            )
        return seen

    def _read(self, network: EquationNetwork, samples: Samples) -> None:
        graph, table = network.graph, samples.table(self.device_)
        seen = observe(graph.n_nodes, partial(self.net_.node_values, table))
        n_before = min(len(vars(self).get("evolution_", ())), KEPT_HISTORY)
        self._is_exhausted_ = len(graph.log) - n_before >= self.max_evolutions
        self._coactivation_ = seen
        start = self.net_.records[:1]
        self.coactivation_start_ = np.array(start[0]) if start else None
        self.evolution_ = list(graph.log)
        self.converged_ = self._is_at_rest(graph.topology, seen)

    def _read_nodes(self, kept: np.ndarray) -> None:
        if "_coactivation_" in vars(self):
            self._coactivation_ = self._coactivation_.of_nodes(kept)

    def _is_at_rest(self, topology: Topology, seen: Coactivation) -> bool:
        """Whether the graph has come to where its rule leaves it."""
        if self.rule == "coactivation":
            edges = topology.to_dense()
            evolved = free_evolve(edges, seen.active, seen.inactive, self.epsilon)
            return bool((evolved == edges).all())
        if not self.max_evolutions:
            return True
        is_sparse = topology.n_edges == count_edges(self.n_nodes, self.target_density)
        last = self.evolution_[-1] if self.evolution_ else None
        return is_sparse and (last is None or 0 in (last["pruned"], last["added"]))


@document
@dataclass(repr=False, eq=False)
class FreeNetClassifier(FreeNet, GraphClassifier):
    """Classifier whose nodes form an acyclic graph that rewires itself.

    There are no layers: every node receives the features and the values of earlier
    nodes, and the outputs are read from all of them. While the weights are trained,
    edges are pruned that weigh little, and others added whose absence costs most, until
    few are left; or edges are pruned and added by co-activation [1]_.

    Read more in the :ref:`User Guide <freenets>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    FreeNetRegressor : The same for numbers.
    DAGClassifier : An acyclic graph whose edges are made sparse by a penalty.

    Notes
    -----
    Node values are exact: no iteration is needed.
    `activation` has to be "relu" or "squared_relu".

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sknm import FreeNetClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = FreeNetClassifier(n_nodes=50, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    >>> model.topology_.n_edges <= 0.5 * 50 * 49 / 2
    True
    """


@document
@dataclass(repr=False, eq=False)
class FreeNetRegressor(FreeNet, GraphRegressor):
    """Regressor whose nodes form an acyclic graph that rewires itself.

    There are no layers: every node receives the features and the values of earlier
    nodes, and the predictions are read from all of them. While the weights are trained,
    edges are pruned that weigh little, and others added whose absence costs most, until
    few are left; or edges are pruned and added by co-activation [1]_. The `loss` is
    minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <freenets>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    FreeNetClassifier : The same for classes.
    DAGRegressor : An acyclic graph whose edges are made sparse by a penalty.

    Notes
    -----
    Node values are exact: no iteration is needed.
    `activation` has to be "relu" or "squared_relu"; with the latter, few nodes
    represent polynomials of a high degree. With more than 8 nodes, the edges of such
    chains of squares start smaller and are trained in smaller steps.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknm import FreeNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FreeNetRegressor(n_nodes=50, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
