"""DEQ: deep equilibrium models, complete graphs with cycles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sknm._docstrings import document
from sknm.graph.draw import draw_weights
from sknm.solved import CyclicGraph
from sknm.supervised import GraphClassifier, GraphRegressor

REFERENCES = """
.. [1] S. Bai, J. Z. Kolter and V. Koltun, "Deep Equilibrium Models", NeurIPS 2019.

.. [2] E. Winston and J. Z. Kolter, "Monotone operator equilibrium networks",
   NeurIPS 2020.
"""


class DEQ(CyclicGraph):
    """The graph of both estimators: all edges, none of them priced or left out."""

    _doc_parts: ClassVar[dict[str, str]] = {"references": REFERENCES}

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        return draw_weights([self.n_nodes], 0.0, 1.0, generator)


@document
@dataclass(repr=False, eq=False)
class DEQClassifier(DEQ, GraphClassifier):
    """Classifier with a deep equilibrium: one complete graph with cycles.

    The values ``z`` of all nodes solve ``z = σ(zW + xU + b)`` as in
    :class:`NeuralModuleClassifier`, but no edge is ever left out: there are no modules,
    and each solve is one of all nodes [1]_. By default, the solution is guaranteed to
    be unique and is found by the same fast splitting [2]_; ``stability=None`` with
    ``solver="anderson"`` is the unguarded original.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DEQRegressor : The same for numbers.
    NeuralModuleClassifier : Cyclic graphs that fall into modules.

    Notes
    -----
    The time of a training step has a part for each row
    that grows with the square of the number of nodes, and a part for the whole batch
    that grows with its cube. The gradient is implicit: that of the equation, not of the
    iterations that solved it. Nodes have no edge to themselves.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sknm import DEQClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = DEQClassifier(n_nodes=50, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """


@document
@dataclass(repr=False, eq=False)
class DEQRegressor(DEQ, GraphRegressor):
    """Regressor with a deep equilibrium: one complete graph with cycles.

    The values ``z`` of all nodes solve ``z = σ(zW + xU + b)`` as in
    :class:`NeuralModuleRegressor`, but no edge is ever left out: there are no modules,
    and each solve is one of all nodes [1]_. By default, the solution is guaranteed to
    be unique and is found by the same fast splitting [2]_; ``stability=None`` with
    ``solver="anderson"`` is the unguarded original. The `loss` is minimised; several
    targets are fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DEQClassifier : The same for classes.
    NeuralModuleRegressor : Cyclic graphs that fall into modules.

    Notes
    -----
    The time of a training step has a part for each row
    that grows with the square of the number of nodes, and a part for the whole batch
    that grows with its cube. The gradient is implicit: that of the equation, not of the
    iterations that solved it. Nodes have no edge to themselves.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknm import DEQRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DEQRegressor(n_nodes=50, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
