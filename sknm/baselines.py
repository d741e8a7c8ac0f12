"""Baselines: what graphs that learn their topology are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sknm._docstrings import fill
from sknm.graph.topology import Topology
from sknm.parameters import (
    ACYCLIC_PARAMETERS,
    CLASSIFIER_PARAMETERS,
    SHARED_ATTRIBUTES,
    ClassifierParameters,
    SharedParameters,
)
from sknm.plasticity.fixed import FixedGraph, draw_edges
from sknm.plasticity.sparsity import SparseGraph
from sknm.solved import SolvedGraph
from sknm.targets import GraphClassifier, GraphRegressor
from sknm.validation import Samples

LAYER_PARAMETERS = """
n_nodes : int, default=400
    Number of nodes of a single hidden layer, if `hidden_layer_sizes` is None.

hidden_layer_sizes : array-like of int, default=None
    Number of nodes of each hidden layer; overrides `n_nodes`.
"""

DAG_PARAMETERS = """
n_nodes : int, default=400
    Number of nodes.

sparsity : {"uniform", "adaptive"}, default="uniform"
    What an edge costs: the same for all, or more the more edges lead to its target
    (in proportion to the logarithm of their number).

alpha_sparsity : float, default=0.1
    Strength of the penalty, in steps of the optimiser: an edge of price 1 shrinks by
    `alpha_sparsity` times the learning rate at each step.
"""

TOPOLOGY_ATTRIBUTE = """
topology_ : Topology
    The edges between nodes, and what follows from them.
"""

DAG_REFERENCES = """
.. [1] K. Yuan, Q. Li, J. Shao and J. Yan, "Learning Connectivity of Neural Networks
   from a Topological Perspective", ECCV 2020.
"""

document = fill(
    layers=LAYER_PARAMETERS,
    dag=DAG_PARAMETERS,
    shared=ACYCLIC_PARAMETERS,
    classifier=CLASSIFIER_PARAMETERS,
    topology=TOPOLOGY_ATTRIBUTE,
    shared_attributes=SHARED_ATTRIBUTES,
    dag_references=DAG_REFERENCES,
)


def _is_size(value: Any) -> bool:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    return is_whole and value >= 1


# Layers


@dataclass(repr=False, eq=False)
class FeedForwardParameters:
    """Constructor of layered networks, beyond what all share."""

    _: KW_ONLY
    hidden_layer_sizes: Sequence[int] | None = None

    _own_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", None],
    }


class FeedForwardMixin(SolvedGraph):
    """The graph of layered networks: each layer is wholly joined to the next."""

    def _validate_params(self) -> None:
        if isinstance(self.n_nodes, (tuple, list, np.ndarray)):  # as in MLPClassifier
            raise ValueError(
                f"n_nodes={self.n_nodes!r} must be a number of nodes; give sizes of "
                f"layers by name, hidden_layer_sizes={self.n_nodes!r}."
            )
        super()._validate_params()

    def _check_parameters(self) -> None:
        given = self.hidden_layer_sizes
        sizes = [self.n_nodes] if given is None else given
        if np.ndim(sizes) != 1 or not len(sizes) or not all(map(_is_size, sizes)):
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} must be numbers of "
                "nodes of at least 1, one per hidden layer, such as (100, 50); leave "
                "out layers without nodes."
            )

    def _layer_sizes(self) -> list[Any]:
        if self.hidden_layer_sizes is None:
            return [self.n_nodes]
        return list(self.hidden_layer_sizes)

    def _n_nodes(self) -> int:
        return sum(self._layer_sizes())

    def _n_inlets(self) -> int:
        return self._layer_sizes()[0]

    def _n_outlets(self) -> int:
        return self._layer_sizes()[-1]

    def _prepare(self, samples: Samples, batch_size: int, first: bool) -> None:
        if not first and self.net_.organiser.topology != self._graph():
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes} (n_nodes="
                f"{self.n_nodes}) are not the layers of the fitted network, which is "
                "to go on; set warm_start=False and call fit to start anew."
            )
        super()._prepare(samples, batch_size, first)

    def _graph(self) -> Topology:
        return Topology.layered(self._layer_sizes())

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        return draw_edges(self._graph(), generator)

    def _make_organiser(self, generator: torch.Generator) -> FixedGraph:
        return FixedGraph(self._graph(), full_step_edges=100)


@document
@dataclass(repr=False, eq=False)
class FeedForwardClassifier(FeedForwardMixin, GraphClassifier, FeedForwardParameters):
    """Classifier with layers: a multilayer perceptron in the loop of all estimators.

    It is solved and trained by the same code, with the same recipe and options, as
    the graphs that learn their topology, so that comparisons show what the topology
    does: the edges form a block sub-diagonal matrix that stays as it is.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {layers}

    {shared}

    {classifier}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    {topology}

    {shared_attributes}

    See Also
    --------
    FeedForwardRegressor : The same for numbers.
    sklearn.neural_network.MLPClassifier : Another recipe for the same network.

    Notes
    -----
    Features lead to the first layer only, and outputs are read from the last: the
    other rows and columns of ``input_weights_`` and ``output_weights_`` are zero.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import FeedForwardClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(
    ...     StandardScaler(),
    ...     FeedForwardClassifier(hidden_layer_sizes=(50, 50), random_state=0),
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **ClassifierParameters._classifier_constraints,
        **FeedForwardParameters._own_constraints,
    }


@document
@dataclass(repr=False, eq=False)
class FeedForwardRegressor(FeedForwardMixin, GraphRegressor, FeedForwardParameters):
    """Regressor with layers: a multilayer perceptron in the loop of all estimators.

    It is solved and trained by the same code, with the same recipe and options, as
    the graphs that learn their topology, so that comparisons show what the topology
    does: the edges form a block sub-diagonal matrix that stays as it is. The squared
    error of the standardised targets is minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {layers}

    {shared}

    Attributes
    ----------
    {topology}

    {shared_attributes}

    See Also
    --------
    FeedForwardClassifier : The same for classes.
    sklearn.neural_network.MLPRegressor : Another recipe for the same network.

    Notes
    -----
    Features lead to the first layer only, and outputs are read from the last: the
    other rows and columns of ``input_weights_`` and ``output_weights_`` are zero.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import FeedForwardRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), FeedForwardRegressor(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **FeedForwardParameters._own_constraints,
    }


# Acyclic graphs with a penalty on edges


@dataclass(repr=False, eq=False)
class DAGParameters:
    """Constructor of sparse acyclic graphs, beyond what all share."""

    _: KW_ONLY
    sparsity: str = "uniform"
    alpha_sparsity: float = 0.1

    _own_constraints: ClassVar[dict[str, list[Any]]] = {
        "sparsity": [StrOptions({"uniform", "adaptive"})],
        "alpha_sparsity": [Interval(Real, 0, None, closed="left")],
    }


class DAGMixin(SolvedGraph):
    """The graph of both estimators: complete at first, then made sparse."""

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        return draw_edges(Topology.triangular(self.n_nodes), generator)

    def _make_organiser(self, generator: torch.Generator) -> SparseGraph:
        triangle = Topology.triangular(self.n_nodes)
        return SparseGraph(triangle, self.sparsity, self.alpha_sparsity)

    def _prepare(self, samples: Samples, batch_size: int, first: bool) -> None:
        super()._prepare(samples, batch_size, first)
        self.net_.organiser.set_rule(self.sparsity, self.alpha_sparsity)


@document
@dataclass(repr=False, eq=False)
class DAGClassifier(DAGMixin, GraphClassifier, DAGParameters):
    """Classifier whose nodes form a complete acyclic graph that is made sparse.

    Every node receives the features and the values of earlier nodes, and the outputs
    are read from all of them. An L1 penalty makes edges vanish that are not worth it,
    uniformly or adapted to the number of edges that lead to a node [1]_.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {dag}

    {shared}

    {classifier}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    {topology}

    {shared_attributes}

    See Also
    --------
    DAGRegressor : The same for numbers.
    FreeNetClassifier : An acyclic graph that is rewired by co-activation.

    Notes
    -----
    Standardise the features first. The penalty is a proximal step after each of the
    optimiser's, so that weights become exactly zero. How the price of an edge depends
    on the in-degree, and that it is 1 on average, is our reading of [1]_.

    References
    ----------
    {dag_references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import DAGClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(
    ...     StandardScaler(), DAGClassifier(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **ClassifierParameters._classifier_constraints,
        **DAGParameters._own_constraints,
    }


@document
@dataclass(repr=False, eq=False)
class DAGRegressor(DAGMixin, GraphRegressor, DAGParameters):
    """Regressor whose nodes form a complete acyclic graph that is made sparse.

    Every node receives the features and the values of earlier nodes, and the
    predictions are read from all of them. An L1 penalty makes edges vanish that are not
    worth it, uniformly or adapted to the number of edges that lead to a node [1]_. The
    squared error of the standardised targets is minimised; several targets are fitted
    at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {dag}

    {shared}

    Attributes
    ----------
    {topology}

    {shared_attributes}

    See Also
    --------
    DAGClassifier : The same for classes.
    FreeNetRegressor : An acyclic graph that is rewired by co-activation.

    Notes
    -----
    Standardise the features first. The penalty is a proximal step after each of the
    optimiser's, so that weights become exactly zero. How the price of an edge depends
    on the in-degree, and that it is 1 on average, is our reading of [1]_.

    References
    ----------
    {dag_references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import DAGRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), DAGRegressor(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **DAGParameters._own_constraints,
    }
