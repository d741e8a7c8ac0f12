"""The torch module that all estimators train: inputs, a graph of nodes, outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import Gradient, Memory, Prepared, solve
from sknm.graph.parallel import Workers, open_workers
from sknm.graph.plan import Plan
from sknm.graph.problem import Solution, SolverOptions


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
        U = torch.randn(input_shape, generator=generator)
        W = draw_node_weights(generator)
        biases = torch.empty(len(W))
        return cls(
            U * (input_gain / input_shape[0] ** 0.5),
            W,
            biases.uniform_(-0.1, 0.1, generator=generator),
            torch.randn(output_shape, generator=generator) / output_shape[0] ** 0.5,
            torch.zeros(output_shape[1]),
        )

    def to(self, dtype: torch.dtype) -> Weights:
        """Return the same weights in another precision."""
        return Weights(**{name: w.to(dtype) for name, w in vars(self).items()})


class GraphNetwork(nn.Module):
    """``z = σ(zW + xU + b)``, ``logits = zV + c``.

    The first nodes, as many as U has columns, receive the inputs; the last, as many as
    V has rows, are read. In a graph without layers, both are all nodes.

    Parameters
    ----------
    weights : Weights
        Parameters to start from.
    activation : str
        Name of the activation σ.
    training_options, options : SolverOptions
        How to solve while training, and afterwards.
    dropout : float
        Share of the nodes whose output is left out of a training step.
    generator : torch.Generator
        Source of randomness of the dropout.

    Attributes
    ----------
    plan : Plan
        How to solve over the edges that exist; has to be set before the first use.
    gradient : {"edges", "modules", "all"}
        For which node weights a training step computes a gradient.
    memory : Memory
        What one training step leaves for the next.
    workers : Workers
        Threads that share the modules, see :meth:`at_work`.
    """

    plan: Plan

    def __init__(
        self,
        weights: Weights,
        activation: str,
        training_options: SolverOptions,
        options: SolverOptions,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        for name, value in vars(weights).items():
            setattr(self, name, nn.Parameter(value))
        self.sigma = ACTIVATIONS[activation]
        self.training_options = training_options
        self.options = options
        self.dropout = dropout
        self.generator = generator
        self.gradient: Gradient = "all"
        self.memory = Memory()
        self.workers = Workers()

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.node_biases)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.node_biases.device

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs (n_samples, n_outputs) of inputs (n_samples, n_features)."""
        z = self.solve(X).value
        if self.training and self.dropout > 0:
            V = self.output_weights
            return self._read(z, V * self._dropout_factors(len(V))[:, None])
        return self.read(z)

    def read(self, z: Tensor) -> Tensor:
        """Read outputs from node values: ``zV + c``."""
        return self._read(z, self.output_weights)

    def _read(self, z: Tensor, V: Tensor) -> Tensor:
        # Transposed, as the node values are: with few outputs several times faster.
        read = z.t() if len(V) == self.n_nodes else z.t()[-len(V) :]
        return torch.addmm(self.output_biases[:, None], V.t(), read).t()

    def move(self, device: str) -> GraphNetwork:
        """Bring parameters and plan to a device."""
        self.to(device)
        self.plan = Plan(self.plan.topology, self.node_weights, self.plan.is_sparse)
        return self

    def solve(self, X: Tensor, prepared: Prepared | None = None) -> Solution:
        """Node values of a batch of inputs, and how well they were found.

        `prepared` is shared by several solves with the same weights.
        """
        # Transposed, since the solvers want the samples in the last dimension.
        U, biases = self.input_weights.t(), self.node_biases[:, None]
        a = torch.addmm(biases[: len(U)], U, X.t())
        if len(U) < self.n_nodes:
            a = torch.cat([a, biases[len(U) :].expand(-1, len(X))])
        return solve(
            a.t(),
            self.node_weights,
            self.plan,
            self.sigma,
            self.training_options if self.training else self.options,
            memory=self.memory if self.training else None,
            gradient=self.gradient,
            workers=self.workers,
            prepared=prepared,
        )

    @contextmanager
    def at_work(self, n_jobs: int | None) -> Iterator[None]:
        """Spread the modules over `n_jobs` threads for as long as the context lasts."""
        former = self.workers
        with open_workers(n_jobs) as self.workers:
            try:
                yield
            finally:
                self.workers = former

    def squared_weights(self) -> Tensor:
        """Sum of the squares of all weights, biases excepted."""
        named = self.named_parameters()
        return sum(p.square().sum() for name, p in named if "bias" not in name)

    def _dropout_factors(self, n_outlets: int) -> Tensor:
        # One draw per node and step, not per sample (Graham et al. 2015, "Efficient
        # batchwise dropout"): it costs nothing, and rows may be repeated or
        # weighted without changing what is drawn.
        kept = torch.empty(n_outlets, dtype=self.node_biases.dtype)
        kept.bernoulli_(1 - self.dropout, generator=self.generator)
        return kept.div_(1 - self.dropout).to(self.device)
