"""DEQ: deep equilibrium models, complete graphs with cycles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sknm._docstrings import fill
from sknm.graph.draw import draw_weights
from sknm.parameters import (
    CLASSIFIER_PARAMETERS,
    CYCLIC_PARAMETERS,
    SHARED_ATTRIBUTES,
    SHARED_PARAMETERS,
    TOPOLOGY_ATTRIBUTE,
    ClassifierParameters,
    SharedParameters,
)
from sknm.solved import CyclicGraph, CyclicParameters
from sknm.targets import GraphClassifier, GraphRegressor

PARAMETERS = """
n_nodes : int, default=400
    Number of nodes.
"""

REFERENCES = """
.. [1] S. Bai, J. Z. Kolter and V. Koltun, "Deep Equilibrium Models", NeurIPS 2019.

.. [2] E. Winston and J. Z. Kolter, "Monotone operator equilibrium networks",
   NeurIPS 2020.
"""

document = fill(
    parameters=PARAMETERS,
    cyclic=CYCLIC_PARAMETERS,
    shared=SHARED_PARAMETERS,
    classifier=CLASSIFIER_PARAMETERS,
    topology=TOPOLOGY_ATTRIBUTE,
    shared_attributes=SHARED_ATTRIBUTES,
    references=REFERENCES,
)


class DEQMixin(CyclicGraph):
    """The graph of both estimators: all edges, none of them priced or left out."""

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        return draw_weights([self.n_nodes], 0.0, 1.0, generator)


@document
@dataclass(repr=False, eq=False)
class DEQClassifier(DEQMixin, GraphClassifier, CyclicParameters):
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

    {cyclic}

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
    DEQRegressor : The same for numbers.
    NeuralModuleClassifier : Cyclic graphs that fall into modules.

    Notes
    -----
    Standardise the features first. The time of a training step has a part for each row
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
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import DEQClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(
    ...     StandardScaler(), DEQClassifier(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **ClassifierParameters._classifier_constraints,
        **CyclicParameters._cyclic_constraints,
    }


@document
@dataclass(repr=False, eq=False)
class DEQRegressor(DEQMixin, GraphRegressor, CyclicParameters):
    """Regressor with a deep equilibrium: one complete graph with cycles.

    The values ``z`` of all nodes solve ``z = σ(zW + xU + b)`` as in
    :class:`NeuralModuleRegressor`, but no edge is ever left out: there are no modules,
    and each solve is one of all nodes [1]_. By default, the solution is guaranteed to
    be unique and is found by the same fast splitting [2]_; ``stability=None`` with
    ``solver="anderson"`` is the unguarded original. The squared error of the
    standardised targets is minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    {cyclic}

    {shared}

    Attributes
    ----------
    {topology}

    {shared_attributes}

    See Also
    --------
    DEQClassifier : The same for classes.
    NeuralModuleRegressor : Cyclic graphs that fall into modules.

    Notes
    -----
    Standardise the features first. The time of a training step has a part for each row
    that grows with the square of the number of nodes, and a part for the whole batch
    that grows with its cube. The gradient is implicit: that of the equation, not of the
    iterations that solved it. Nodes have no edge to themselves.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import DEQRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), DEQRegressor(n_nodes=50, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **CyclicParameters._cyclic_constraints,
    }
