"""OptNet: networks whose hidden layer is a quadratic programme."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from sknm._docstrings import fill
from sknm.attempt import attempt
from sknm.checks import Samples
from sknm.compute.arrays import to_numpy
from sknm.compute.devices import choose_device
from sknm.graph.proxqp import import_proxsuite
from sknm.graph.qp import SOLVERS
from sknm.parameters import (
    ACYCLIC_PARAMETERS,
    CLASSIFIER_PARAMETERS,
    MOST_NODES,
    SHARED_ATTRIBUTES,
    ClassifierParameters,
    Number,
    SharedParameters,
)
from sknm.plasticity.fixed import NoPlasticity
from sknm.targets import GraphClassifier, GraphRegressor
from sknm.training.network import Weights
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
"""

ATTRIBUTES = """
constraint_weights_ : ndarray of shape (n_nodes, n_constraints)
    ``K = Gᵀ``: the constraints' normals.

constraint_bounds_ : ndarray of shape (n_constraints,)
    ``h``.
"""

NOTES = """
Standardise the features first. Everything is computed in double precision, whatever the
data have. The objective is ``Q = LLᵀ + εI`` with ``ε = 0.1``, and the bounds are
``h = z₀K + softplus(s₀)``, so that ``z₀`` keeps all constraints. In the terms of the
other estimators, ``z = P(zW + σ(xU + b))`` with ``W = I - Q`` as ``node_weights_``, and
with the projection P onto the polyhedron ``zK <= h`` where they have σ.

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

document = fill(
    parameters=PARAMETERS,
    shared=ACYCLIC_PARAMETERS.replace(
        "Activation function of the nodes.",
        "Activation function σ of the objective's linear term.",
    ),
    classifier=CLASSIFIER_PARAMETERS,
    attributes=ATTRIBUTES,
    shared_attributes=SHARED_ATTRIBUTES.replace(
        "``W``: ``W[i, j]`` is the edge from node i to node j; 0 where there is none.",
        "``W = I - Q``, symmetric.",
    ),
    notes=NOTES,
    references=REFERENCES,
)


@dataclass(repr=False, eq=False)
class OptNetParameters:
    """Constructor of both estimators, beyond what all share."""

    _: KW_ONLY
    n_constraints: int | None = None
    solver: str = "admm"

    _own_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_constraints": [Number(Integral, 1, MOST_NODES, closed="both"), None],
        "solver": [StrOptions(set(SOLVERS))],
    }


@dataclass(repr=False, eq=False)
class OptNetMixin:
    """The network of both estimators: inputs, a quadratic programme, outputs."""

    n_nodes: int = 100
    _remedy: ClassVar[str] = "Scale the features, or use fewer constraints."

    def _check_parameters(self) -> None:
        if self.solver == "proxqp":
            import_proxsuite()
        if torch.device(choose_device(self.device)).type == "mps":
            raise ValueError(
                f"device={self.device!r} has no double precision, which the programmes "
                "of OptNet need; use device='cpu' or 'cuda'."
            )

    def node_values(self, X: Any, *, return_stats: bool = False) -> Any:
        """Solve the programme of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        return_stats : bool, default=False
            Whether to say how well the values were found, too.

        Returns
        -------
        z : ndarray of shape (n_samples, n_nodes)
            ``argmin ½ zQzᵀ - σ(xU + b)zᵀ`` subject to ``zK <= h``.
        stats : dict
            Only with `return_stats`: "iterations", "residual" (the largest violation
            of the KKT conditions) and "unconverged" (share of the rows).
        """
        return self._node_values(X, return_stats)

    @available_if(lambda self: hasattr(self, "net_"))
    def sparsify(self) -> Any:
        """Drop what only training needs: the optimiser's state. There are no edges.

        The predictions stay the same.

        Returns
        -------
        object
            The estimator itself.
        """
        with attempt(self, goes_on=True, is_copy=True) as work:
            work.net_.initialize_optimizer()
        return self

    # What base asks for.

    def _make_network(
        self, samples: Samples, generator: torch.Generator
    ) -> QuadraticNetwork:
        d, n, c = samples.X.n_features, self.n_nodes, self._n_outputs()
        return QuadraticNetwork(
            Weights.draw(self._draw_factor, (d, n), (n, c), 0.5, generator),
            -_near_identity(n, self._n_constraints(), 0.3, generator),
            generator,
        )

    def _n_constraints(self) -> int:
        return self.n_constraints or self.n_nodes

    def _draw_factor(self, generator: torch.Generator) -> Tensor:
        return _near_identity(self.n_nodes, self.n_nodes, 0.1, generator)

    def _make_organiser(self, generator: torch.Generator) -> NoPlasticity:
        return NoPlasticity(min(1.0, FULL_STEP_NODES / self.n_nodes))

    def _set_options(
        self, network: QuadraticNetwork, samples: Samples, batch_size: int
    ) -> None:
        super()._set_options(network, samples, batch_size)
        network.solver = self.solver

    def _check_size(self, samples: Samples) -> None:
        super()._check_size(samples)
        wanted = self._n_constraints()
        fitted = self.net_.module_.constraint_weights.shape[1]
        if wanted != fitted:
            raise ValueError(
                f"n_constraints={wanted}, but the fitted network has {fitted} "
                "constraints and is to go on; set warm_start=False and call fit to "
                "start anew."
            )

    def _read_weights(self, network: QuadraticNetwork) -> None:
        programme = network.prepare()
        self.input_weights_ = to_numpy(network.input_weights)
        self.node_weights_ = -to_numpy(programme.Q)
        self.node_weights_[np.diag_indices(network.n_nodes)] += 1
        self.node_biases_ = to_numpy(network.node_biases)
        self.output_weights_ = to_numpy(network.output_weights)
        self.output_biases_ = to_numpy(network.output_biases)
        self.constraint_weights_ = to_numpy(network.constraint_weights)
        self.constraint_bounds_ = to_numpy(programme.h)


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
class OptNetClassifier(OptNetMixin, GraphClassifier, OptNetParameters):
    """Classifier whose hidden layer is a quadratic programme.

    The values ``z`` of all nodes minimise ``½ zQzᵀ - σ(xU + b)zᵀ`` subject to
    ``zK <= h``; the classes' logits are ``zV + c``. All of Q, K and h are learned,
    through the KKT conditions of the minimum [1]_.

    Read more in the :ref:`User Guide <baselines>`.

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
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import OptNetClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(
    ...     StandardScaler(), OptNetClassifier(n_nodes=30, random_state=0)
    ... )
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **ClassifierParameters._classifier_constraints,
        **OptNetParameters._own_constraints,
    }


@document
@dataclass(repr=False, eq=False)
class OptNetRegressor(OptNetMixin, GraphRegressor, OptNetParameters):
    """Regressor whose hidden layer is a quadratic programme.

    The values ``z`` of all nodes minimise ``½ zQzᵀ - σ(xU + b)zᵀ`` subject to
    ``zK <= h``; the predictions are ``zV + c``. All of Q, K and h are learned, through
    the KKT conditions of the minimum [1]_. The squared error of the standardised
    targets is minimised; several targets are fitted at once.

    Read more in the :ref:`User Guide <baselines>`.

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
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknm import OptNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), OptNetRegressor(n_nodes=30, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SharedParameters._parameter_constraints,
        **OptNetParameters._own_constraints,
    }
