"""NN: layered networks, in the loop of all estimators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sknm._docstrings import document
from sknm.checks import Samples
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.draw import draw_edges, restraint
from sknm.graph.topology import Topology
from sknm.parameters import (
    MOST_NODES,
)
from sknm.plasticity.fixed import FixedRule
from sknm.solved import SolvedGraph
from sknm.supervised import GraphClassifier, GraphRegressor

PARAMETERS = """
n_nodes : int, default=400
    Number of nodes of a single hidden layer, if `hidden_layer_sizes` is None.

hidden_layer_sizes : array-like of int, default=None
    Number of nodes of each hidden layer; overrides `n_nodes`.
"""


FULL_STEP_EDGES = {1: 100, 2: 16}
"""Most edges into a node with which weights get the optimiser's whole step, by the
degree of the activation: squares bear no more than graphs with long paths."""


def _is_size(value: Any) -> bool:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    return is_whole and value >= 1


@dataclass(repr=False, eq=False)
class FeedForward(SolvedGraph):
    """The graph of layered networks: each layer is wholly joined to the next."""

    _: KW_ONLY
    hidden_layer_sizes: Sequence[int] | None = None

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", None],
    }

    _doc_parts: ClassVar[dict[str, str]] = {"parameters": PARAMETERS}

    def _validate_params(self) -> None:
        given: Any = self.n_nodes
        if isinstance(given, (tuple, list, np.ndarray)):  # as in MLPClassifier
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

        if sum(map(int, sizes)) > MOST_NODES:
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} are more than "
                f"{MOST_NODES} nodes, which no machine has the memory for; take fewer."
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

    def _check_size(self, samples: Samples) -> None:
        if self.topology_ != self._graph():
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes} (n_nodes="
                f"{self.n_nodes}) are not the layers of the fitted network, which is "
                "to go on; set warm_start=False and call fit to start anew."
            )

    def _graph(self) -> Topology:
        return Topology.layered(self._layer_sizes())

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        return draw_edges(self._graph(), generator, self._restraint())

    def _first_topology(self, generator: torch.Generator) -> Topology:
        return self._graph()

    def _make_rule(self) -> FixedRule:
        degree = ACTIVATIONS[self.activation].degree
        return FixedRule(FULL_STEP_EDGES[degree], self._restraint())

    def _restraint(self) -> float:
        # Every path passes through all layers.
        return restraint(len(self._layer_sizes()), self.activation, full_levels=2)


@document
@dataclass(repr=False, eq=False)
class FeedForwardClassifier(FeedForward, GraphClassifier):
    """Classifier with layers: a multilayer perceptron in the loop of all estimators.

    It is solved and trained by the same code, with the same recipe and options, as
    the graphs that learn their topology, so that comparisons show what the topology
    does: the edges form a block sub-diagonal matrix that stays as it is.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

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
    >>> from sknm import FeedForwardClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = FeedForwardClassifier(
    ...     hidden_layer_sizes=(50, 50), numerical_embedding=None, random_state=0
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """


@document
@dataclass(repr=False, eq=False)
class FeedForwardRegressor(FeedForward, GraphRegressor):
    """Regressor with layers: a multilayer perceptron in the loop of all estimators.

    It is solved and trained by the same code, with the same recipe and options, as the
    graphs that learn their topology, so that comparisons show what the topology does:
    the edges form a block sub-diagonal matrix that stays as it is. The `loss` is
    minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

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
    >>> from sknm import FeedForwardRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FeedForwardRegressor(n_nodes=50, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
