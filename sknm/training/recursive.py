"""The torch module of URN: one matrix of weights, applied several times."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sknm.compute.rows import Inputs
from sknm.compute.settings import own_settings
from sknm.graph.problem import Solution
from sknm.graph.recursion import Recursion, advance, recur
from sknm.training.network import Network


class RecursiveNetwork(Network):
    """``N_0 = (x, 0)``, ``N_t = σ(N_{t-1} W + b)``; outputs are the last of step I.

    Parameters
    ----------
    node_weights : Tensor of shape (n_neurons, n_neurons)
        ``W`` to start from.
    node_biases : Tensor of shape (n_neurons,)
        ``b`` to start from.
    generator : torch.Generator
        Source of randomness of the dropout: neurons from which outputs don't read in a
        training step.

    Attributes
    ----------
    alpha_activity : float
        Price of activity, ``c_N``.
    plan : Recursion
        What is computed; has to be set before the first use.
    activity : Tensor of shape (n_neurons,)
        How active each neuron was between the first step and the last, summed over
        the rows of all training steps since :meth:`forget_activity`.
    n_observed : int
        The number of these training steps.
    """

    plan: Recursion
    activity: Tensor
    alpha_activity: float

    def __init__(
        self, node_weights: Tensor, node_biases: Tensor, generator: torch.Generator
    ) -> None:
        super().__init__(generator)
        self.node_weights = nn.Parameter(node_weights)
        self.node_biases = nn.Parameter(node_biases)
        self._row_activity: Tensor | None = None
        self.register_buffer("activity", None, persistent=False)
        self.forget_activity()

    def forward(self, X: Inputs) -> Tensor:
        """Compute outputs (n_samples, n_outputs) of inputs (n_samples, n_features)."""
        if not self.training:
            return self.solve(X).value
        plan = self.plan
        factors = None
        if self.dropout > 0:
            factors = self._dropout_factors(plan.hidden.stop - plan.hidden.start)
        outputs, self._row_activity, activity = recur(
            X.to_dense(),
            self.node_weights,
            self.node_biases,
            plan.n_outputs,
            plan.n_steps,
            self.sigma,
            plan.hidden,
            factors,
            self.workers,
        )
        self.activity[plan.hidden] += activity
        self.n_observed += 1
        return outputs

    def penalty(self, weights: Tensor | None) -> Tensor | None:
        """Price of the activity in the last training step, ``c_N · Σ_t |N_t|``."""
        rows, self._row_activity = self._row_activity, None
        if self.alpha_activity == 0 or rows is None:
            return None
        mean = rows.mean() if weights is None else (rows * weights).mean()
        return self.alpha_activity * mean

    def solve(
        self, X: Inputs, prepared: list[tuple[Tensor, Tensor]] | None = None
    ) -> Solution:
        """Compute outputs of a batch of inputs; I steps are always enough."""
        steps = self.prepare() if prepared is None else prepared
        outputs = self.plan.run(X.to_dense(), steps, self.sigma, self.workers)
        converged = torch.ones(len(X), dtype=torch.bool, device=X.device)
        return Solution(outputs, converged, self.plan.n_steps, 0.0)

    def read(self, z: Tensor) -> Tensor:
        """Return the outputs, which is what :meth:`solve` computes."""
        return z

    def prepare(self) -> list[tuple[Tensor, Tensor]]:
        """Take out weights and biases of each step."""
        return self.plan.steps(self.node_weights, self.node_biases)

    def states(self, X: Inputs) -> Tensor:
        """Values of all neurons after each step, (n_samples, n_steps + 1, n_alive)."""
        shape = len(X), self.plan.n_steps + 1, self.n_nodes
        N = self.node_biases.new_zeros(shape)
        N[:, 0, : self.plan.n_inputs] = X.to_dense()
        W, b = self.node_weights, self.node_biases
        for t in range(self.plan.n_steps):
            N[:, t + 1] = advance(N[:, t], W, b, self.sigma, self.workers)
        return N

    def move(self, device: str) -> RecursiveNetwork:
        """Bring parameters and plan to a device."""
        self.to(device)
        mask = (self.node_weights != 0).cpu().numpy()
        self.plan = self.plan.settled(mask, self.device)
        self.forget_activity()
        return self

    @property
    def is_whole(self) -> bool:
        """Whether parameters and plan belong together; an interrupt may part them."""
        return self.node_weights.shape == (len(self.plan.neurons), self.n_nodes)

    def load(self, parameters: dict[str, Tensor]) -> bool:
        """Take over copied parameters; return whether their sizes are the same."""
        is_as_before = len(parameters["node_biases"]) == self.n_nodes
        for name, p in self.named_parameters():
            p.data = parameters[name].clone()
            p.grad = None
        if not is_as_before:
            self.forget_activity()
        return is_as_before

    def keep(self, nodes: Tensor) -> Callable[[Tensor], Tensor]:
        """Remove all neurons but some; return how that changes the parameters."""
        at_nodes = partial(_at_nodes, nodes)
        for p in self.parameters():
            p.data = at_nodes(p.data)
            p.grad = None
        self.forget_activity()
        return at_nodes

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state; what was observed in training is not in it."""
        super().__setstate__(state)
        self._row_activity = None
        self.register_buffer("activity", None, persistent=False)
        self.forget_activity()

    def forget_activity(self) -> None:
        """Begin anew to add up how active neurons are."""
        self.activity = torch.zeros_like(self.node_biases.data)
        self.n_observed = 0


def _at_nodes(nodes: Tensor, values: Tensor) -> Tensor:
    for dim in range(values.ndim):
        values = values.index_select(dim, nodes)
    return values
