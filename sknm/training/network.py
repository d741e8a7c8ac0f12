"""The torch modules that estimators train: inputs, a graph of nodes, outputs."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sknm.compute.parallel import Workers, open_workers
from sknm.compute.rows import Inputs, SparseBatch
from sknm.compute.settings import own_settings
from sknm.graph.activations import ACTIVATIONS, Activation
from sknm.graph.blocks import ModuleWeights
from sknm.graph.equilibrium import (
    Flow,
    Gradient,
    Memory,
    Passage,
    Prepared,
    solve,
    weight_gradient,
)
from sknm.graph.plan import Plan
from sknm.graph.problem import Solution, SolverOptions

CHUNK_ELEMENTS = 2**18
"""Node values that are computed at a time: they should stay in the cache."""

SPARSE_CHUNK_ELEMENTS = 3 * 2**19
"""The same with sparse edges, whose products are slow for few rows."""


@dataclass(frozen=True)
class Weights:
    """The parameters of a network before training.

    Attributes
    ----------
    input_weights : Tensor of shape (n_features, n_inlets)
        ``U``.
    node_weights : Tensor of shape (n_nodes, n_nodes)
        ``W``.
    node_biases : Tensor of shape (n_nodes,)
        ``b``.
    output_weights : Tensor of shape (n_outlets, n_outputs)
        ``V``.
    output_biases : Tensor of shape (n_outputs,)
        ``c``.
    """

    input_weights: Tensor
    node_weights: Tensor
    node_biases: Tensor
    output_weights: Tensor
    output_biases: Tensor

    @classmethod
    def draw(
        cls,
        draw_node_weights: Callable[[torch.Generator], Tensor],
        input_shape: tuple[int, int],
        output_shape: tuple[int, int],
        input_gain: float,
        generator: torch.Generator,
    ) -> Weights:
        """Draw all weights.

        Parameters
        ----------
        draw_node_weights : callable
            Draws ``W``, given the generator.
        input_shape, output_shape : (int, int)
            (n_features, n_inlets) and (n_outlets, n_outputs).
        input_gain : float
            Standard deviation of what enters a node from standardised features.
        generator : torch.Generator
            Source of randomness.

        Returns
        -------
        Weights
            In single precision.
        """
        U = torch.randn(input_shape, generator=generator, dtype=torch.float32)
        W = draw_node_weights(generator)
        biases = torch.empty(len(W), dtype=torch.float32)
        biases.uniform_(-0.1, 0.1, generator=generator)
        V = torch.randn(output_shape, generator=generator, dtype=torch.float32)
        return cls(
            U * (input_gain / input_shape[0] ** 0.5),
            W,
            biases,
            V / output_shape[0] ** 0.5,
            torch.zeros(output_shape[1], dtype=torch.float32),
        )

    def to(self, dtype: torch.dtype) -> Weights:
        """Return the same weights in another precision."""
        return Weights(**{name: w.to(dtype) for name, w in vars(self).items()})


class _OfThread(threading.local):
    """The workers of each thread that fits or predicts."""

    workers: Workers | None = None


_of_thread = _OfThread()


class Network(nn.Module):
    """What training and prediction ask of a network.

    Parameters
    ----------
    generator : torch.Generator
        Source of randomness of the dropout.

    Attributes
    ----------
    sigma : Activation
        The activation σ; set, as all that may change from one training to the next,
        before the first use.
    dropout : float
        Share of the nodes whose output is left out of a training step.
    plan : Any
        How to compute with the edges that exist; set before the first use.
    gradient : {"edges", "all"} or ModuleWeights
        For which node weights a training step computes a gradient.
    memory : Memory
        What one training step leaves for the next.
    """

    plan: Any
    sigma: Activation
    dropout: float
    node_weights: Tensor
    node_biases: Tensor

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator
        self.gradient: Gradient | ModuleWeights = "all"
        self.memory = Memory()

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.node_biases)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.node_biases.device

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: arrays instead of tensors, and no generator."""
        left_out = "generator", "memory", "gradient", "training"
        own = {
            name: value
            for name, value in vars(self).items()
            if not (name.startswith("_") or name in left_out)
        }
        arrays = {name: p.detach().cpu().numpy() for name, p in self.named_parameters()}
        return own | {"sigma": self.sigma.name, "arrays": arrays}

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU, ready to predict."""
        nn.Module.__init__(self)
        for name, array in state["arrays"].items():
            tensor = torch.tensor(array, device="cpu")
            setattr(self, name, nn.Parameter(tensor))
        for name, value in state.items():
            if name != "arrays":
                setattr(self, name, value)
        self.sigma = ACTIVATIONS[state["sigma"]]
        self.gradient, self.memory = "all", Memory()
        self.eval()

    @abstractmethod
    def solve(self, X: Inputs, prepared: Any = None) -> Solution:
        """Node values of a batch of inputs, and how well they were found."""

    @abstractmethod
    def read(self, z: Tensor) -> Tensor:
        """Read outputs from node values."""

    @abstractmethod
    def prepare(self) -> Any:
        """Make what several solves with the same weights share."""

    @abstractmethod
    def move(self, device: str) -> Network:
        """Bring parameters and plan to a device."""

    @property
    def is_whole(self) -> bool:
        """Whether parameters and plan belong together; an interrupt may part them."""
        return True

    @property
    def chunk_rows(self) -> int:
        """Rows that are predicted at a time."""
        return max(128, self._chunk_elements // max(1, self.n_nodes) // 64 * 64)

    @property
    def _chunk_elements(self) -> int:
        return CHUNK_ELEMENTS

    def load(self, parameters: dict[str, Tensor]) -> bool:
        """Take over copied parameters; return whether their sizes are the same."""
        self.load_state_dict(parameters)
        return True

    def keep(self, nodes: Tensor) -> Callable[[Tensor], Tensor]:
        """Remove all nodes but some; return how that changes the parameters."""
        raise NotImplementedError(f"{type(self).__name__} keeps all of its nodes.")

    def penalty(self, weights: Tensor | None) -> Tensor | None:
        """Return what the last outputs cost beyond their loss, given row weights."""
        return None

    @contextmanager
    def at_work(self, n_jobs: int | None) -> Iterator[None]:
        """Let `n_jobs` threads share the work for as long as the context lasts."""
        if _of_thread.workers is not None:  # predictions share those of a fit
            yield
            return
        with open_workers(n_jobs) as _of_thread.workers:
            try:
                yield
            finally:
                _of_thread.workers = None

    @property
    def workers(self) -> Workers:
        """Threads that share the work."""
        return _of_thread.workers or Workers()

    def squared_weights(self) -> Tensor:
        """Sum of the squares of all weights; biases and the like are not among them."""
        named = self.named_parameters()
        return sum(p.square().sum() for name, p in named if "weights" in name)

    def _dropout_factors(self, n_nodes: int) -> Tensor:
        # One draw per node and step, not per sample (Graham et al. 2015, "Efficient
        # batchwise dropout"): it costs nothing, and rows may be repeated or
        # weighted without changing what is drawn.
        kept = torch.empty(n_nodes, dtype=self.node_biases.dtype)
        kept.bernoulli_(1 - self.dropout, generator=self.generator)
        return kept.div_(1 - self.dropout).to(self.device)


class GraphNetwork(Network):
    """``z = σ(zW + xU + b)``, ``logits = zV + c``.

    The first nodes, as many as U has columns, receive the inputs; the last, as many as
    V has rows, are read. In a graph without layers, both are all nodes.

    Parameters
    ----------
    weights : Weights
        Parameters to start from.
    generator : torch.Generator
        Source of randomness of the dropout.

    Attributes
    ----------
    training_options, options : SolverOptions
        How to solve while training, and afterwards.
    """

    plan: Plan
    training_options: SolverOptions
    options: SolverOptions

    def __init__(self, weights: Weights, generator: torch.Generator) -> None:
        super().__init__(generator)
        for name, value in vars(weights).items():
            setattr(self, name, nn.Parameter(value))

    def forward(self, X: Inputs) -> Tensor:
        """Compute outputs (n_samples, n_outputs) of inputs (n_samples, n_features)."""
        if not self.training:
            return self.read(self.solve(X).value)
        factors = None
        if self.dropout > 0:
            factors = self._dropout_factors(len(self.output_weights))[:, None]
        return _TrainingPass.apply(
            self.input_weights,
            self.node_weights,
            self.node_biases,
            self.output_weights,
            self.output_biases,
            X,
            self,
            factors,
        )

    def read(self, z: Tensor) -> Tensor:
        """Read outputs from node values: ``zV + c``."""
        return self._read(z.t(), self.output_weights).t()

    def _enter(self, X: Inputs) -> Tensor:
        # Transposed, since the solvers want the samples in the last dimension.
        U, biases = self.input_weights, self.node_biases[:, None]
        inlets, others = biases[: U.shape[1]], biases[U.shape[1] :]
        if isinstance(X, SparseBatch):
            a = X.times(U).t().contiguous() + inlets
        else:
            a = torch.addmm(inlets, U.t(), X.t())
        return torch.cat([a, others.expand(-1, len(X))]) if len(others) else a

    def _read(self, z: Tensor, V: Tensor) -> Tensor:
        # Transposed, as the node values are: with few outputs several times faster.
        return torch.addmm(self.output_biases[:, None], V.t(), z[-len(V) :])

    def prepare(self) -> Prepared:
        """Make what several solves with the same weights share."""
        return Prepared()

    @property
    def _chunk_elements(self) -> int:
        return SPARSE_CHUNK_ELEMENTS if self.plan.is_sparse else CHUNK_ELEMENTS

    def move(self, device: str) -> GraphNetwork:
        """Bring parameters and plan to a device."""
        self.to(device)
        self.plan = Plan(self.plan.topology, self.node_weights, self.plan.is_sparse)
        return self

    def solve(self, X: Inputs, prepared: Prepared | None = None) -> Solution:
        """Node values of a batch of inputs, and how well they were found.

        `prepared` is shared by several solves with the same weights.
        """
        return solve(
            self._enter(X).t(),
            self.node_weights,
            self.plan,
            self.sigma,
            self.options,
            workers=self.workers,
            prepared=prepared,
        )


class _TrainingPass(torch.autograd.Function):
    """Outputs of a training batch, from inputs to readout as one operation.

    What autograd adds between its parts takes as long as several iterations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        U: Tensor,
        W: Tensor,
        b: Tensor,
        V: Tensor,
        c: Tensor,
        X: Inputs,
        network: GraphNetwork,
        factors: Tensor | None,
    ) -> Tensor:
        passage = Passage(
            network.plan,
            network.sigma,
            network.training_options,
            network.memory,
            network.workers,
        )
        z = passage.run(network._enter(X), W)
        V = V if factors is None else V * factors
        ctx.save_for_backward(W, V)
        ctx.X, ctx.passage, ctx.memory = X, passage, network.memory
        ctx.gradient, ctx.factors = network.gradient, factors
        ctx.n_inlets = U.shape[1]
        return network._read(z, V).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        W, V = ctx.saved_tensors
        forward: Passage = ctx.passage
        z = forward.found.value
        # With few outputs, several times faster than z @ grad.
        dV = (grad.t() @ z[-len(V) :].t()).t()
        if ctx.factors is not None:
            dV.mul_(ctx.factors)
        entering = V @ grad.t()
        if len(V) < len(z):  # the first nodes are not read
            entering = torch.cat(
                [entering.new_zeros(len(z) - len(V), len(grad)), entering]
            )
        adjoint = forward.turn_round()
        delta = adjoint.run(entering, W.t())
        dU = _input_gradient(delta[: ctx.n_inlets], ctx.X)
        dW, ctx.memory.flow = None, Flow(z, delta)
        if isinstance(ctx.gradient, ModuleWeights):
            ctx.gradient.take_gradient(z, delta)
        else:
            dW = weight_gradient(forward, adjoint, ctx.gradient)
        return dU, dW, delta.sum(1), dV, grad.sum(0), None, None, None


def _input_gradient(delta: Tensor, X: Inputs) -> Tensor:
    """``dU = Xᵀδ``, given δ of shape (n_inlets, n_samples)."""
    if isinstance(X, SparseBatch):
        return X.transposed_times(delta.t())
    return X.t() @ delta.t()
