"""OptNet: networks whose hidden layer is a quadratic programme."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknm._docstrings import document
from sknm.base import GraphEstimator
from sknm.checks import Samples
from sknm.compute.devices import choose_device
from sknm.encoding.encoder import Encoder
from sknm.fitted import shown
from sknm.graph.draw import draw_biases, draw_inputs, draw_outputs
from sknm.graph.programme import ProgrammeState
from sknm.graph.proxqp import import_proxsuite
from sknm.graph.qp import SOLVERS
from sknm.parameters import (
    MOST_NODES,
    Number,
)
from sknm.plasticity.fixed import NoRule
from sknm.supervised import GraphClassifier, GraphRegressor
from sknm.training.quadratic import QuadraticNetwork

FULL_STEP_NODES = 50
"""Most nodes with which the weights of the objective get the optimiser's whole step."""

PARAMETERS = """
n_nodes : int, default=100
    Number of nodes: variables of the programme. See the notes on what they cost.

n_constraints : int, default=None
    Number of constraints; None takes as many as there are nodes.

solver : {"admm", "proxqp"}, default="admm"
    How the programmes are solved: "admm" splits all of a batch with one factor and
    finishes them by active sets; "proxqp" is the solver of proxsuite, one programme
    after another, which has to be installed (``pip install 'sknm[optnet]'``).

activation : {"relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", \
"identity", "squared_relu"}, default="relu"
    Activation function σ of the objective's linear term.

numerical_embedding : {"piecewise", "piecewise_tree", "periodic"} or None, default=None
    A function of each number that is learned, as for other estimators.

feature_fdr : float or None, default=None
    False discovery rate of features: those that tell something of the targets are
    chosen before training. None has all of them enter.
"""

ATTRIBUTES = """
constraint_weights_ : ndarray of shape (n_nodes, n_constraints)
    ``K = Gᵀ``: the constraints' normals.

constraint_bounds_ : ndarray of shape (n_constraints,)
    ``h``.

node_weights_ : ndarray of shape (n_nodes, n_nodes)
    ``W = I - Q``, symmetric.
"""

NOTES = """
Everything is computed in double precision, whatever the data have. The objective is
``Q = LLᵀ + εI`` with ``ε = 0.1``, and the bounds are ``h = z₀K + softplus(s₀)``, so
that ``z₀`` keeps all constraints. In the terms of the other estimators,
``z = P(zW + σ(xU + b))`` with ``W = I - Q`` as ``node_weights_``, and with the
projection P onto the polyhedron ``zK <= h`` where they have σ.

The model is for small layers. On one thread, a training step of 128 rows takes 7, 30,
140 and 560 ms with 40, 100, 300 and 800 nodes, where a complete equilibrium of 300
takes 8: the systems of equations of each row have as many unknowns as it has active
constraints. Ten thousand rows and 800 nodes are 45 s per epoch. Many more constraints
than nodes make programmes hard, and slower by far; "proxqp" is faster there.

The papers leave open how the layer starts, which is our choice: with ``Q`` near the
identity and ``K`` near ``-I``, which makes it a layer of rectifiers at first.
"""

REFERENCES = """
.. [1] B. Amos and J. Z. Kolter, "OptNet: Differentiable Optimization as a Layer in
   Neural Networks", ICML 2017.
"""


@dataclass(repr=False, eq=False)
class OptNet(GraphEstimator):
    """The network of both estimators: inputs, a quadratic programme, outputs."""

    n_nodes: int = 100
    _: KW_ONLY
    n_constraints: int | None = None
    # What they are worth here has not been measured, and links can't wake in training.
    numerical_embedding: str | None = None
    feature_fdr: float | None = None
    solver: str = "admm"

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "n_constraints": [Number(Integral, 1, MOST_NODES, closed="both"), None],
        "solver": [StrOptions(set(SOLVERS))],
    }

    _doc_parts: ClassVar[dict[str, str]] = {
        "parameters": PARAMETERS,
        "attributes": ATTRIBUTES,
        "notes": NOTES,
        "references": REFERENCES,
    }

    _remedy: ClassVar[str] = (
        "Scale the features (scale='robust'), or use fewer constraints."
    )

    def _check_parameters(self) -> None:
        if self.solver == "proxqp":
            import_proxsuite()
        if torch.device(choose_device(self.device)).type == "mps":
            raise ValueError(
                f"device={self.device!r} has no double precision, which the programmes "
                "of OptNet need; use device='cpu' or 'cuda'."
            )

    constraint_weights_ = shown("constraint_weights")
    constraint_bounds_ = shown("constraint_bounds")

    def _make_network(
        self, samples: Samples, encoder: Encoder, generator: torch.Generator
    ) -> QuadraticNetwork:
        n = self.n_nodes
        U = draw_inputs(encoder.n_outputs, n, encoder.fan_in, 0.5, generator)
        L = _near_identity(n, n, 0.1, generator)
        b = draw_biases(n, generator)
        V = draw_outputs(n, self._target_.n_outputs, generator)
        K = -_near_identity(n, self._n_constraints(), 0.3, generator)
        graph = ProgrammeState(L, b, K)
        return QuadraticNetwork(encoder, graph, U.double(), V.double(), generator)

    def _n_constraints(self) -> int:
        return self.n_constraints or self.n_nodes

    def _make_rule(self) -> NoRule:
        return NoRule(min(1.0, FULL_STEP_NODES / self.n_nodes))

    def _set_options(
        self, network: QuadraticNetwork, samples: Samples, is_noisy: bool
    ) -> None:
        network.solver = self.solver

    def _check_size(self, samples: Samples) -> None:
        super()._check_size(samples)
        wanted = self._n_constraints()
        fitted = len(self.constraint_bounds_)
        if wanted != fitted:
            raise ValueError(
                f"n_constraints={wanted}, but the fitted network has {fitted} "
                "constraints and is to go on; set warm_start=False and call fit to "
                "start anew."
            )


def _near_identity(
    n_rows: int, n_columns: int, noise: float, generator: torch.Generator
) -> Tensor:
    """Ones on the diagonal, which starts anew where it ends, and noise everywhere."""
    columns = torch.arange(n_columns)
    drawn = torch.randn(n_rows, n_columns, generator=generator, dtype=torch.float32)
    drawn *= noise / n_rows**0.5
    drawn[columns % n_rows, columns] += 1
    return drawn


@document
@dataclass(repr=False, eq=False)
class OptNetClassifier(OptNet, GraphClassifier):
    """Classifier whose hidden layer is a quadratic programme.

    The values ``z`` of all nodes minimise ``½ zQzᵀ - σ(xU + b)zᵀ`` subject to
    ``zK <= h``; the classes' logits are ``zV + c``. All of Q, K and h are learned,
    through the KKT conditions of the minimum [1]_.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    OptNetRegressor : The same for numbers.
    DEQClassifier : Values that solve an equation.

    Notes
    -----
    {notes}

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sknm import OptNetClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = OptNetClassifier(n_nodes=30, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """


@document
@dataclass(repr=False, eq=False)
class OptNetRegressor(OptNet, GraphRegressor):
    """Regressor whose hidden layer is a quadratic programme.

    The values ``z`` of all nodes minimise ``½ zQzᵀ - σ(xU + b)zᵀ`` subject to
    ``zK <= h``; the predictions are ``zV + c``. All of Q, K and h are learned, through
    the KKT conditions of the minimum [1]_. The `loss` is minimised; several targets are
    fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    OptNetClassifier : The same for classes.
    DEQRegressor : Values that solve an equation.

    Notes
    -----
    {notes}

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknm import OptNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = OptNetRegressor(n_nodes=30, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
