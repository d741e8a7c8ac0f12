"""FreeNets: acyclic graphs without layers that rewire themselves by co-activation."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknm._docstrings import fill
from sknm._warnings import warn
from sknm.checks import Samples
from sknm.graph.draw import draw_edges, random_part, restraint
from sknm.graph.topology import Topology
from sknm.parameters import (
    ACYCLIC_PARAMETERS,
    CLASSIFIER_PARAMETERS,
    SHARED_ATTRIBUTES,
    ClassifierParameters,
    Number,
    SharedParameters,
)
from sknm.plasticity.coactivation import EvolvingGraph, free_evolve
from sknm.solved import SolvedGraph
from sknm.targets import GraphClassifier, GraphRegressor
from sknm.training.engine import Ending

ACTIVATIONS = ("relu", "squared_relu")
"""Activations whose value is zero exactly where a node is inactive."""

PARAMETERS = """
n_nodes : int, default=400
    Number of nodes.

density : float, default=1.0
    Share of the possible edges, drawn at random, that exist at the start. The weights
    of the others wait for an evolution to add them.

epsilon : float, default=0.25
    Threshold of the evolution, in (0, 1). Edges between nodes that are inactive
    together on more than ``1 - epsilon`` of the training rows are pruned; between
    nodes that are active together as often, they are added. From 0.5 on, a pair of
    nodes may be both; then it is pruned.

evolve_interval : int or "convergence", default=4
    Epochs between two evolutions within one training. "convergence" trains once more
    after each evolution, through a whole cycle of the learning rate, until the graph
    no longer changes, as in algorithm 1 of [1]_, and warns if it still does after
    `max_evolutions`; it takes up to `max_evolutions` + 1 times as long.
    ``partial_fit`` evolves at every `evolve_interval`-th call, with "convergence"
    never.

max_evolutions : int, default=10
    Most evolutions of a fit; 0 trains the graph as it starts.
"""

ATTRIBUTES = """
topology_ : Topology
    The edges that are left, from earlier to later nodes only.

coactivation_ : ndarray of shape (n_nodes, n_nodes)
    Share of the training rows on which both of two nodes are active: NCAM of [1]_.

coinactivation_ : ndarray of shape (n_nodes, n_nodes)
    Share of the training rows on which neither of two nodes is active: NCIM of [1]_.

evolution_ : list of dict
    Of each evolution, the number of edges "pruned", "added" and "left".

converged_ : bool
    Whether another evolution would change nothing (theorem 2 of [1]_).
"""

REFERENCES = """
.. [1] "FreeNets: Learning Layerfree Neural Network Topologies".
"""

document = fill(
    parameters=PARAMETERS,
    shared=ACYCLIC_PARAMETERS,
    classifier=CLASSIFIER_PARAMETERS,
    attributes=ATTRIBUTES,
    shared_attributes=SHARED_ATTRIBUTES,
    references=REFERENCES,
)


@dataclass(repr=False, eq=False)
class FreeNetParameters:
    """Constructor of both estimators, beyond what all share."""

    _: KW_ONLY
    density: float = 1.0
    epsilon: float = 0.25
    evolve_interval: int | str = 4
    max_evolutions: int = 10

    _own_constraints: ClassVar[dict[str, list[Any]]] = {
        "density": [Number(Real, 0, 1, closed="right")],
        "epsilon": [Number(Real, 0, 1, closed="neither")],
        "evolve_interval": [
            StrOptions({"convergence"}),
            Number(Integral, 1, None, closed="left"),
        ],
        "max_evolutions": [Number(Integral, 0, None, closed="left")],
    }


class FreeNetMixin(SolvedGraph):
    """The graph of both estimators: a triangle that evolves."""

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

    def _make_organiser(self, generator: torch.Generator) -> EvolvingGraph:
        topology = Topology.triangular(self.n_nodes)
        if self.density < 1:
            topology = random_part(topology, self.density, generator)
        return EvolvingGraph(topology)

    def _what_ends_edges(self) -> str | None:
        n_at_first = self.density * math.comb(int(self.n_nodes), 2)
        return f"epsilon={self.epsilon}" if n_at_first > 0.5 else None

    def _warn_of_structure(self) -> None:
        super()._warn_of_structure()
        organiser = self.net_.organiser
        goes_on = organiser.interval is None and not self.converged_
        if goes_on and self.max_evolutions and organiser.is_exhausted:
            warn(
                f"The graph still changes after max_evolutions={self.max_evolutions}: "
                "increase it, or lower epsilon.",
                ConvergenceWarning,
            )

    def _set_rule(self, organiser: EvolvingGraph) -> None:
        every = self.evolve_interval
        interval = None if every == "convergence" else int(every)
        organiser.set_rule(self.epsilon, interval, self.max_evolutions)
        organiser.restraint = restraint(self.n_nodes, self.activation)

    def _run(
        self,
        samples: Samples,
        validation: Samples | None,
        n_epochs: int,
        one_cycle: bool,
    ) -> Ending:
        ending = super()._run(samples, validation, n_epochs, one_cycle)
        while ending == "finished" and one_cycle and self._evolves_again():
            ending = super()._run(samples, validation, n_epochs, one_cycle)
        return ending

    def _evolves_again(self) -> bool:
        """Whether there is an evolution to train after (FN algorithm 1)."""
        organiser, network = self.net_.organiser, self.net_.module_
        if organiser.interval is not None or organiser.is_exhausted:
            return False
        with torch.no_grad():
            changed = organiser.evolve(
                network.node_weights.data, self.coactivation_, self.coinactivation_
            )
        network.plan = organiser.plan
        self.evolution_ = list(organiser.history)
        return changed

    def _finish(self, samples: Samples) -> None:
        super()._finish(samples)
        organiser = self.net_.organiser
        seen = organiser.observe(self.net_.module_, samples.table(self.device_))
        self.coactivation_, self.coinactivation_ = seen.active, seen.inactive
        graph = self.topology_.to_dense()
        evolved = free_evolve(graph, seen.active, seen.inactive, self.epsilon)
        self.converged_ = bool((evolved == graph).all())
        self.evolution_ = list(organiser.history)


@document
@dataclass(repr=False, eq=False)
class FreeNetClassifier(FreeNetMixin, GraphClassifier, FreeNetParameters):
    """Classifier whose nodes form an acyclic graph that rewires itself.

    There are no layers: every node receives the features and the values of earlier
    nodes, and the outputs are read from all of them. While the weights are trained,
    edges between nodes that are seldom active together are pruned, and edges between
    nodes that often are, are added [1]_.

    Read more in the :ref:`User Guide <freenets>`.

    Parameters
    ----------
    {parameters}

    {shared}

    {classifier}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    {attributes}

    {shared_attributes}

    See Also
    --------
    FreeNetRegressor : The same for numbers.
    DAGClassifier : An acyclic graph whose edges are made sparse by a penalty.

    Notes
    -----
    Standardise the features first. Node values are exact: no iteration is needed.
    `activation` has to be "relu" or "squared_relu".

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import FreeNetClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(
    ...     StandardScaler(), FreeNetClassifier(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    >>> model[-1].topology_.n_edges < 50 * 49 / 2
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **ClassifierParameters._classifier_constraints,
        **FreeNetParameters._own_constraints,
    }


@document
@dataclass(repr=False, eq=False)
class FreeNetRegressor(FreeNetMixin, GraphRegressor, FreeNetParameters):
    """Regressor whose nodes form an acyclic graph that rewires itself.

    There are no layers: every node receives the features and the values of earlier
    nodes, and the predictions are read from all of them. While the weights are trained,
    edges between nodes that are seldom active together are pruned, and edges between
    nodes that often are, are added [1]_. The squared error of the standardised targets
    is minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <freenets>`.

    Parameters
    ----------
    {parameters}

    {shared}

    Attributes
    ----------
    {attributes}

    {shared_attributes}

    See Also
    --------
    FreeNetClassifier : The same for classes.
    DAGRegressor : An acyclic graph whose edges are made sparse by a penalty.

    Notes
    -----
    Standardise the features first. Node values are exact: no iteration is needed.
    `activation` has to be "relu" or "squared_relu"; with the latter, few nodes
    represent polynomials of a high degree. With more than 8 nodes, the edges of such
    chains of squares start smaller and are trained in smaller steps.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import FreeNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), FreeNetRegressor(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **FreeNetParameters._own_constraints,
    }
