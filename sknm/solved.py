"""Estimators whose node values solve the equation of a graph."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from sknm._warnings import warn
from sknm.attempt import attempt
from sknm.checks import Samples
from sknm.compute.arrays import to_numpy
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.plan import Plan
from sknm.graph.problem import SolverOptions
from sknm.graph.solvers import SOLVERS
from sknm.graph.topology import Topology
from sknm.parameters import Number
from sknm.plasticity.organiser import ModularOrganiser
from sknm.training.network import GraphNetwork, Weights
from sknm.training.optimizers import AdamW

TRAINING_TOLERANCE = 0.1
"""Relative tolerance of the solves of training steps: the noise of the gradient between
batches is larger."""


@dataclass(repr=False, eq=False)
class CyclicParameters:
    """What graphs with cycles have beyond the shared parameters."""

    _: KW_ONLY
    stability: str | None = "monotone"
    margin: float = 0.3
    solver: str = "auto"

    _cyclic_constraints: ClassVar[dict[str, list[Any]]] = {
        "stability": [StrOptions({"monotone", "contraction"}), None],
        "margin": [Number(Real, 0, 1, closed="neither")],
        "solver": [StrOptions({"auto", *SOLVERS})],
    }


class SolvedGraph:
    """The network ``z = σ(zW + xU + b)``, ``logits = zV + c`` of an estimator.

    An estimator says how its node weights start, and how it is solved.
    """

    @abstractmethod
    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        """Draw ``W`` before training, (n_nodes, n_nodes)."""

    def _what_ends_edges(self) -> str | None:
        """Name the parameters that can end all edges, None if nothing can."""
        return None

    _input_gain: ClassVar[float] = 0.5
    """Standard deviation of what enters a node from standardised inputs at first."""

    def _solver_name(self) -> str:
        return "auto"

    def _n_inlets(self) -> int:
        """Count the nodes, from the first on, that receive the inputs."""
        return self._n_nodes()

    def _n_outlets(self) -> int:
        """Count the nodes, up to the last, that are read."""
        return self._n_nodes()

    def node_values(self, X: Any, *, return_stats: bool = False) -> Any:
        """Solve ``z = σ(zW + xU + b)`` for the values of all nodes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        return_stats : bool, default=False
            Whether to say how well the values were found, too.

        Returns
        -------
        z : ndarray of shape (n_samples, n_nodes)
            Node values.
        stats : dict
            Only with `return_stats`: "iterations", "residual" (the largest
            ``|z - σ(zW + xU + b)|``) and "unconverged" (share of the rows).
        """
        return self._node_values(X, return_stats)

    @available_if(lambda self: hasattr(self, "net_"))
    def sparsify(self) -> Any:
        """Drop what only training needs: weights of absent edges, optimiser state.

        The predictions stay the same. A later warm start begins from the edges that
        are left.

        Returns
        -------
        object
            The estimator itself.
        """
        with attempt(self, goes_on=True, is_copy=True) as work, torch.no_grad():
            network = work.net_.module_
            network.node_weights.mul_(network.plan.mask)
            network.plan = Plan(network.plan.topology, network.node_weights, True)
            work.net_.organiser.forget()
            work.net_.initialize_optimizer()
        return self

    # What base asks for.

    def _make_network(
        self, samples: Samples, generator: torch.Generator
    ) -> GraphNetwork:
        return GraphNetwork(self._draw_weights(samples, generator), generator)

    def _set_options(
        self, network: GraphNetwork, samples: Samples, batch_size: int
    ) -> None:
        super()._set_options(network, samples, batch_size)
        dtype, noisy = samples.X.dtype, len(samples) > batch_size
        network.training_options = self._training_options(dtype, noisy)
        network.options = self._prediction_options(dtype)

    def _draw_weights(self, samples: Samples, generator: torch.Generator) -> Weights:
        drawn = Weights.draw(
            self._draw_node_weights,
            (samples.X.n_features, self._n_inlets()),
            (self._n_outlets(), self._n_outputs()),
            self._input_gain,
            generator,
        )
        return drawn.to(samples.X.torch_dtype)

    def _training_options(self, dtype: np.dtype, noisy: bool) -> SolverOptions:
        """Loose in steps of noisy gradients, else tight: weights act like repetition.

        The adjoint solve stops by the size of the gradients, which repeating a row
        doesn't change, but weighting it does.
        """
        if noisy:
            return SolverOptions(
                self._solver_name(), 0.0, TRAINING_TOLERANCE, max_iter=60, verify=False
            )
        if dtype == np.float32:
            return self._prediction_options(dtype)
        return SolverOptions(self._solver_name(), 1e-12, 1e-12, max_iter=500)

    def _prediction_options(self, dtype: np.dtype) -> SolverOptions:
        # Relative to large node values, as outliers make them, float32 can't do better.
        atol, rtol = (2e-5, 5e-6) if dtype == np.float32 else (1e-9, 1e-9)
        return SolverOptions(
            self._solver_name(), atol, rtol, max_iter=500, first_check=10
        )

    def _warn_of_structure(self) -> None:
        causes = self._what_ends_edges()
        if causes is not None and not self.topology_.n_edges:
            warn(
                "No edge between nodes is left: the graph is a single layer. Lower "
                f"{causes}, alpha={self.alpha} or learning_rate_init="
                f"{self.learning_rate_init}.",
                UserWarning,
            )

    def _read_weights(self, network: GraphNetwork) -> None:
        self.topology_ = network.plan.topology
        n_before = network.n_nodes - len(network.output_weights)
        n_after = network.n_nodes - network.input_weights.shape[1]
        U, V = to_numpy(network.input_weights), to_numpy(network.output_weights)
        self.input_weights_ = np.pad(U, ((0, 0), (0, n_after)))
        self.node_weights_ = _of_edges(network.node_weights.detach(), self.topology_)
        self.node_biases_ = to_numpy(network.node_biases)
        self.output_weights_ = np.pad(V, ((n_before, 0), (0, 0)))
        self.output_biases_ = to_numpy(network.output_biases)


def _of_edges(W: Tensor, topology: Topology) -> np.ndarray:
    """Copy the weights of the edges that exist; all others are zero."""
    source, target = topology.edges.nonzero()
    weights = np.zeros(W.shape, to_numpy(W[:0]).dtype)
    ends = tuple(torch.as_tensor(e, device=W.device).long() for e in (source, target))
    weights[source, target] = W[ends].cpu().numpy()
    return weights


class CyclicGraph(SolvedGraph):
    """The same with cycles: the solution has to be unique, and to be searched for."""

    _remedy: ClassVar[str] = (
        "Use stability='monotone' with solver='auto', a larger margin, or scale the "
        "features."
    )

    def _check_parameters(self) -> None:
        if self.stability is not None and not ACTIVATIONS[self.activation].proximal:
            raise ValueError(
                f"activation={self.activation!r} can't be guaranteed by stability="
                f"{self.stability!r}: its slope leaves [0, 1], so that cyclic graphs "
                "may have no solution or many. Use another activation, such as "
                "'relu', or stability=None."
            )

    def _solver_name(self) -> str:
        return self.solver

    def _make_organiser(self, generator: torch.Generator) -> ModularOrganiser:
        return ModularOrganiser(AdamW)

    def _set_rule(self, organiser: ModularOrganiser) -> None:
        organiser.stability, organiser.margin = self.stability, self.margin
        organiser.blockwise = self.optimizer != "lbfgs"

    def _other_cause(self) -> str:
        if self.stability is not None:
            return ""
        return "a graph without a solution (use stability='monotone'), "
