"""DAG: complete acyclic graphs with a penalty that makes them sparse."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknm._docstrings import document
from sknm.graph.draw import draw_edges, restraint
from sknm.graph.topology import Topology
from sknm.parameters import (
    Number,
)
from sknm.plasticity.sparsity import SparseRule
from sknm.solved import SolvedGraph
from sknm.supervised import GraphClassifier, GraphRegressor

PARAMETERS = """
sparsity : {"uniform", "adaptive"}, default="uniform"
    What an edge costs: the same for all, or more the more edges lead to its target
    (in proportion to the logarithm of their number).

alpha_sparsity : float, default=0.1
    Strength of the penalty, in steps of the optimiser: an edge of price 1 shrinks by
    `alpha_sparsity` times the learning rate at each step.
"""

REFERENCES = """
.. [1] K. Yuan, Q. Li, J. Shao and J. Yan, "Learning Connectivity of Neural Networks
   from a Topological Perspective", ECCV 2020.
"""


@dataclass(repr=False, eq=False)
class DAG(SolvedGraph):
    """The graph of both estimators: complete at first, then made sparse."""

    _: KW_ONLY
    sparsity: str = "uniform"
    alpha_sparsity: float = 0.1

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "sparsity": [StrOptions({"uniform", "adaptive"})],
        "alpha_sparsity": [Number(Real, 0, None, closed="left")],
    }

    _unit: ClassVar[str] = "node"

    _doc_parts: ClassVar[dict[str, str]] = {
        "parameters": PARAMETERS,
        "references": REFERENCES,
    }

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        triangle = Topology.triangular(self.n_nodes)
        share = restraint(self.n_nodes, self.activation)
        return draw_edges(triangle, generator, share)

    def _first_topology(self, generator: torch.Generator) -> Topology:
        return Topology.triangular(self.n_nodes)

    def _what_ends_edges(self) -> str | None:
        return f"alpha_sparsity={self.alpha_sparsity}" if self.n_nodes > 1 else None

    def _make_rule(self) -> SparseRule:
        return SparseRule(
            restraint=restraint(self.n_nodes, self.activation),
            sparsity=self.sparsity,
            alpha=self.alpha_sparsity,
        )


@document
@dataclass(repr=False, eq=False)
class DAGClassifier(DAG, GraphClassifier):
    """Classifier whose nodes form a complete acyclic graph that is made sparse.

    Every node receives the features and the values of earlier nodes, and the outputs
    are read from all of them. An L1 penalty makes edges vanish that are not worth it,
    uniformly or adapted to the number of edges that lead to a node [1]_.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DAGRegressor : The same for numbers.
    FreeNetClassifier : An acyclic graph that rewires itself.

    Notes
    -----
    The penalty is a proximal step after each of the
    optimiser's, so that weights become exactly zero. How the price of an edge depends
    on the in-degree, and that it is 1 on average, is our reading of [1]_.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sknm import DAGClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = DAGClassifier(n_nodes=50, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """


@document
@dataclass(repr=False, eq=False)
class DAGRegressor(DAG, GraphRegressor):
    """Regressor whose nodes form a complete acyclic graph that is made sparse.

    Every node receives the features and the values of earlier nodes, and the
    predictions are read from all of them. An L1 penalty makes edges vanish that are not
    worth it, uniformly or adapted to the number of edges that lead to a node [1]_. The
    `loss` is minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DAGClassifier : The same for classes.
    FreeNetRegressor : An acyclic graph that is rewired by co-activation.

    Notes
    -----
    The penalty is a proximal step after each of the
    optimiser's, so that weights become exactly zero. How the price of an edge depends
    on the in-degree, and that it is 1 on average, is our reading of [1]_.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknm import DAGRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DAGRegressor(n_nodes=50, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
