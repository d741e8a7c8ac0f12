"""The networks that apply one matrix of weights several times: URN."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sknm.compute.arrays import to_numpy
from sknm.compute.rows import Inputs
from sknm.graph.problem import Solution
from sknm.graph.recursion import advance, recur
from sknm.graph.recursion_state import RecursionState
from sknm.graph.trace import Trace
from sknm.training.members import Members
from sknm.training.network import Network

Steps = list[tuple[Tensor, Tensor]]
"""Weights and biases of each step."""


class RecursiveNetwork(Network):
    """``N_0 = (x, 0)``, ``N_t = σ(N_{t-1} W + b)``; outputs are the last of step I.

    Dropout leaves out neurons from which outputs are read in a training step.

    Attributes
    ----------
    alpha_activity : float
        Price of activity, ``c_N``.
    """

    graph: RecursionState
    alpha_activity: float

    def multiply(self, n_members: int) -> None:
        """Make a new network one of several members, who have signs of their own.

        The outputs that it has already are those of all members.
        """
        n_inputs, generator = self.graph.plan.n_inputs, self.generator
        members = Members.draw(n_members, n_inputs, None, generator)
        self.members = members.to(self.graph.biases)

    def values(self, X: Inputs, prepared: Steps | None = None) -> Solution:
        """Compute the values of all neurons after each step; I steps are enough.

        They are of shape (n_samples, n_steps + 1, n_neurons); dead ones have value 0.
        """
        plan, W, b = self.graph.plan, self.graph.weights, self.graph.biases
        x = self._enter(self._encode(X))
        values = x.new_zeros(len(x), plan.n_steps + 1, plan.n_neurons)
        N = x.new_zeros(len(x), self.graph.n_nodes)
        N[:, : plan.n_inputs] = x
        alive = torch.as_tensor(plan.neurons, device=self.device)
        values[:, 0, alive] = N
        for t in range(plan.n_steps):
            N = advance(N, W, b, self.sigma, self.workers)
            values[:, t + 1, alive] = N
        if self.members is not None:
            values = values.unflatten(0, (self.n_members, -1)).transpose(0, 1)
        return self._found(values)

    def outputs(self, X: Inputs, prepared: Steps | None = None) -> Solution:
        """Compute the outputs; I steps are enough."""
        steps = self.prepare() if prepared is None else prepared
        x = self._enter(self._encode(X))
        outputs = self.graph.plan.run(x, steps, self.sigma, self.workers)
        return self._found(self._own(outputs))

    def prepare(self) -> Steps:
        """Take out weights and biases of each step."""
        return self.graph.plan.steps(self.graph.weights, self.graph.biases)

    def penalty(self, trace: Trace, weights: Tensor | None) -> Tensor | None:
        """Price of the activity in a training step, ``c_N · Σ_t |N_t|``."""
        rows = trace.row_activity
        if self.alpha_activity == 0 or rows is None:
            return None
        if weights is not None:
            rows = rows * weights.repeat(self.n_members)
        return self.alpha_activity * rows.mean()

    def _train(self, X: Inputs, trace: Trace) -> Tensor:
        plan = self.graph.plan
        factors = None
        if self.dropout > 0:
            factors = self._dropout_factors(plan.hidden.stop - plan.hidden.start)
        outputs, trace.row_activity, activity = recur(
            self._enter(X),
            self.graph.weights,
            self.graph.biases,
            plan.n_outputs,
            plan.n_steps,
            self.sigma,
            plan.hidden,
            factors,
            self.workers,
        )
        trace.add_activity(activity)
        return self._own(outputs)

    def _enter(self, X: Inputs) -> Tensor:
        """Give the inputs, of an ensemble all rows of each member after another."""
        x = X.to_dense()
        if self.members is None:
            return x
        return (x * self.members.scales[:, None]).flatten(0, 1)

    def _own(self, outputs: Tensor) -> Tensor:
        """Take the outputs of each member from those of all in all its rows."""
        if self.members is None:
            return outputs
        n = self.n_members
        return outputs.view(n, -1, n, outputs.shape[1] // n).diagonal(0, 0, 2).mT

    def _found(self, values: Tensor) -> Solution:
        converged = torch.ones(len(values), dtype=torch.bool, device=values.device)
        return Solution(values, converged, self.graph.plan.n_steps, 0.0)

    def show(self, name: str) -> np.ndarray:
        """Return weights and biases, and which neurons are inputs and outputs."""
        plan = self.graph.plan
        n, d, o = plan.n_neurons, plan.n_inputs, plan.n_outputs
        if name == "input_weights":
            return self._of_members(np.eye(d, n, dtype=self.numpy_dtype))
        if name == "output_weights":
            V = np.eye(n, o, o - n, dtype=self.numpy_dtype)
            return V if self.members is None else self._columns(V)
        if name == "output_biases":
            c = np.zeros(o, dtype=self.numpy_dtype)
            return c if self.members is None else self._columns(c)
        if name == "node_biases" and self.members is not None:
            return np.tile(super().show(name), (self.n_members, 1))
        return super().show(name)

    def _of_members(self, U: np.ndarray) -> np.ndarray:
        if self.members is None:
            return U
        return U * to_numpy(self.members.scales)[:, :, None]

    def _columns(self, values: np.ndarray) -> np.ndarray:
        """Give each member its columns."""
        return np.stack(np.split(values, self.n_members, axis=-1))
