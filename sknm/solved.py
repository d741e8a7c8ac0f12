"""Estimators whose node values solve the equation of a graph."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknm._warnings import warn
from sknm.checks import Samples
from sknm.encoding.encoder import Encoder
from sknm.explained import Explained
from sknm.fitted import topology
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.draw import draw_biases, draw_inputs, draw_outputs
from sknm.graph.problem import SolverOptions
from sknm.graph.solvers import SOLVERS
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.parameters import Number
from sknm.plasticity.modular import ModularRule
from sknm.training.equation import EquationNetwork
from sknm.training.optimizers import OPTIMIZERS

TRAINING_TOLERANCE = 0.1
"""Relative tolerance of the solves of training steps: the noise of the gradient between
batches is larger."""


TOPOLOGY = """
topology_ : Topology
    The edges between nodes, and what follows from them.
"""

CYCLIC_PARAMETERS = """
activation : {"relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", \
"identity"}, default="relu"
    Activation function of the nodes.

stability : {"monotone", "contraction"} or None, default="monotone"
    Guarantee that each input has one solution, and the solver finds it. "monotone"
    bounds the symmetric part of each cyclic block, "contraction" its
    spectral norm, which is stricter; None leaves the weights alone.

margin : float, default=0.3
    How far the blocks stay below the bound 1; a larger margin means fewer iterations.
    Without `stability` there is no bound.

solver : {"auto", "peaceman_rachford", "picard", "anderson", "newton"}, \
default="auto"
    How cyclic blocks are solved. "auto" takes Peaceman-Rachford splitting, and
    Newton's method for rows that it leaves open.
"""


MOST_ALONE = 0.5
"""Share of the nodes that may be on no edge before one is told."""


class SolvedGraph(Explained):
    """The network ``z = σ(zW + xU + b)``, ``logits = zV + c`` of an estimator.

    An estimator says how its node weights start, and how it is solved.
    """

    _doc_parts: ClassVar[dict[str, str]] = {"attributes": TOPOLOGY}

    topology_ = topology()

    @abstractmethod
    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        """Draw ``W`` before training, (n_nodes, n_nodes)."""

    def _first_topology(self, generator: torch.Generator) -> Topology | None:
        """Make the edges that exist at first; None leaves it to the rule."""
        return None

    def _what_ends_edges(self) -> str | None:
        """Name the parameters that can end all edges, None if nothing can."""
        return None

    _input_gain: ClassVar[float] = 0.5
    """Standard deviation of what enters a node from standardised inputs at first."""

    def _solver_name(self) -> str:
        return "auto"

    def _modules_of_nodes(self, graph: EquationState) -> np.ndarray:
        return graph.topology.labels("weak")

    def _n_inlets(self) -> int:
        """Count the nodes, from the first on, that receive the inputs."""
        return self._n_nodes()

    def _n_outlets(self) -> int:
        """Count the nodes, up to the last, that are read."""
        return self._n_nodes()

    def _make_network(
        self, samples: Samples, encoder: Encoder, generator: torch.Generator
    ) -> EquationNetwork:
        d, n_inlets = encoder.n_outputs, self._n_inlets()
        U = draw_inputs(d, n_inlets, encoder.fan_in, self._input_gain, generator)
        W = self._draw_node_weights(generator)
        b = draw_biases(len(W), generator)
        V = draw_outputs(self._n_outlets(), self._target_.n_outputs, generator)
        topology = self._first_topology(generator)
        U, W, b, V = (drawn.to(samples.X.torch_dtype) for drawn in (U, W, b, V))
        graph = EquationState(W, b, topology)
        return EquationNetwork(encoder, graph, U, V, generator)

    def _set_options(
        self, network: EquationNetwork, samples: Samples, is_noisy: bool
    ) -> None:
        dtype = samples.X.dtype
        network.training_options = self._training_options(dtype, is_noisy)
        network.options = self._prediction_options(dtype)

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
        causes, topology = self._what_ends_edges(), self.topology_
        if causes is None:
            return
        if not topology.n_edges:
            what = "No edge between nodes is left: the graph is a single layer."
        else:
            ends = np.concatenate(topology.edges.nonzero())
            n_alone = topology.n_nodes - len(np.unique(ends))
            if n_alone <= MOST_ALONE * topology.n_nodes:
                return
            what = f"{n_alone} of {topology.n_nodes} nodes are left without an edge."
        warn(
            f"{what} Lower {causes}, alpha={self.alpha} or learning_rate_init="
            f"{self.learning_rate_init}.",
            UserWarning,
        )


@dataclass(repr=False, eq=False)
class CyclicGraph(SolvedGraph):
    """The same with cycles: the solution has to be unique, and to be searched for."""

    _: KW_ONLY
    stability: str | None = "monotone"
    margin: float = 0.3
    solver: str = "auto"

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "stability": [StrOptions({"monotone", "contraction"}), None],
        "margin": [Number(Real, 0, 1, closed="neither")],
        "solver": [StrOptions({"auto", *SOLVERS})],
    }

    _doc_parts: ClassVar[dict[str, str]] = {"parameters": CYCLIC_PARAMETERS}

    _remedy: ClassVar[str] = (
        "Use stability='monotone' with solver='auto', a larger margin, or scale the "
        "features (scale='robust')."
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

    def _make_rule(self) -> ModularRule:
        return ModularRule(
            stability=self.stability,
            margin=self.margin,
            is_blockwise=OPTIMIZERS[self.optimizer].is_stochastic,
        )

    def _other_causes(self) -> list[str]:
        if self.stability is not None:
            return []
        return ["a graph without a solution (use stability='monotone')"]
