"""URN: one matrix of weights, applied I times, and what counts at each step.

The state ``N`` holds the values of all neurons: first the inputs, last the outputs.
``N_0`` is the input and zeros, ``N_t = σ(N_{t-1} W + b)``; outputs are read before the
activation of step I. No block of W is treated as special, but most of them need
not be multiplied with: what leads from the inputs is all that counts in the first
step, what leads to the outputs in the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sknm.graph.activations import Activation
from sknm.graph.depth import reaches_outputs

Neurons = slice | Tensor
"""Some of the neurons: a range, or indices."""


def recur(
    x: Tensor,
    W: Tensor,
    b: Tensor,
    n_outputs: int,
    n_steps: int,
    sigma: Activation,
    hidden: slice,
    factors: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute outputs after I steps, and how active the neurons were.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_inputs)
        Inputs.
    W : Tensor of shape (n_neurons, n_neurons)
        ``W[i, j]`` is the weight of the edge from neuron i to neuron j.
    b : Tensor of shape (n_neurons,)
        Biases.
    n_outputs : int
        Number of the last neurons, which are read.
    n_steps : int
        ``I``, at least 1.
    sigma : Activation
        σ.
    hidden : slice
        Neurons whose values may matter between the first step and the last.
    factors : Tensor of shape (n_hidden,), optional
        Factors of what outputs read from these neurons, for dropout.

    Returns
    -------
    outputs : Tensor of shape (n_samples, n_outputs)
        Of step I, before the activation.
    row_activity : Tensor of shape (n_samples,)
        ``Σ_t Σ_j |N_tj|`` over the hidden neurons and the steps 1 to I - 1.
    neuron_activity : Tensor of shape (n_hidden,)
        The same, summed over the rows instead; has no gradient.
    """
    return _Recursion.apply(x, W, b, n_outputs, n_steps, sigma, hidden, factors)


class _Recursion(torch.autograd.Function):
    """Forward in I steps; backward through time, with one product for all steps."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        W: Tensor,
        b: Tensor,
        n_outputs: int,
        n_steps: int,
        sigma: Activation,
        hidden: slice,
        factors: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        read = slice(len(b) - n_outputs, len(b))
        inputs = slice(0, x.shape[1])
        row_activity = x.new_zeros(len(x))
        neuron_activity = x.new_zeros(len(b[hidden]))
        states, slopes = [], []
        N, source = x, inputs
        for _ in range(n_steps - 1):
            u = torch.addmm(b[hidden], N, W[source, hidden])
            N = sigma.value(u)
            states.append(N)
            slopes.append(sigma.slope(u))
            size = N.abs()
            row_activity += size.sum(1)
            neuron_activity += size.sum(0)
            source = hidden
        V = W[source, read]
        if not states:
            factors = None  # nothing is hidden
        if factors is not None:
            V = V * factors[:, None]
        outputs = torch.addmm(b[read], N, V)
        ctx.factors = factors
        ctx.places = inputs, hidden, read
        ctx.save_for_backward(x, W, *states, *slopes)
        ctx.mark_non_differentiable(neuron_activity)
        return outputs, row_activity, neuron_activity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        delta, g_activity, _ = grads
        x, W, *rest = ctx.saved_tensors
        states, slopes = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        inputs, hidden, read = ctx.places
        dW, db = torch.zeros_like(W), W.new_zeros(len(W))
        source = hidden if states else inputs
        N = states[-1] if states else x
        back = W[source, read]
        if ctx.factors is None:
            dW[source, read].addmm_(N.t(), delta)
        else:
            dW[source, read] = (N.t() @ delta).mul_(ctx.factors[:, None])
            back = back * ctx.factors[:, None]
        db[read] += delta.sum(0)
        deltas: list[Tensor] = []
        for N, slope in zip(reversed(states), reversed(slopes), strict=True):
            g = delta @ back.t()
            g += N.sign() * g_activity[:, None]
            delta, back = g.mul_(slope), W[hidden, hidden]
            deltas.append(delta)
        if states:
            db[hidden] += sum(d.sum(0) for d in deltas)
            dW[inputs, hidden].addmm_(x.t(), delta)
            back = W[inputs, hidden]
        if len(states) > 1:
            before, after = torch.cat(states[-2::-1]), torch.cat(deltas[:-1])
            dW[hidden, hidden].addmm_(before.t(), after)
        dx = delta @ back.t() if ctx.needs_input_grad[0] else None
        return dx, dW, db, None, None, None, None, None


@dataclass(frozen=True)
class Recursion:
    """Which neurons have to be computed at which step.

    Attributes
    ----------
    neurons : ndarray of shape (n_alive,)
        Which of the original neurons are there: inputs first, outputs last.
    n_neurons : int
        How many there were.
    n_inputs, n_outputs, n_steps : int
        Their numbers, and ``I``.
    hidden : slice
        Neurons, in the order of `neurons`, that may matter between the first step and
        the last: all, or all but the inputs or the outputs.
    needed : sequence of slice or Tensor
        Of each step from 0 to I - 1 the neurons from which outputs are reached, in
        as many steps as are left.
    """

    neurons: np.ndarray
    n_neurons: int
    n_inputs: int
    n_outputs: int
    n_steps: int
    hidden: slice
    needed: Sequence[Neurons]

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: arrays instead of tensors."""
        needed = [n.cpu().numpy() if isinstance(n, Tensor) else n for n in self.needed]
        return vars(self) | {"needed": needed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        needed = [
            n if isinstance(n, slice) else torch.tensor(n, device="cpu")
            for n in state["needed"]
        ]
        vars(self).update(state | {"needed": needed})

    @classmethod
    def whole(
        cls, n_neurons: int, n_inputs: int, n_outputs: int, n_steps: int
    ) -> Recursion:
        """Every neuron at every step, but for the first and the last."""
        nodes, everything = np.arange(n_neurons), slice(0, n_neurons)
        counts = n_neurons, n_inputs, n_outputs, n_steps
        return cls(nodes, *counts, everything, ()).keep(nodes, everything)

    def keep(self, nodes: np.ndarray, hidden: slice) -> Recursion:
        """Leave some of the neurons only."""
        needed = [slice(0, self.n_inputs), *[hidden] * (self.n_steps - 1)]
        neurons = self.neurons[nodes]
        return replace(self, neurons=neurons, hidden=hidden, needed=needed)

    def settled(self, mask: np.ndarray, device: torch.device) -> Recursion:
        """Compute only what outputs are reached from over the edges that exist."""
        reaching = reaches_outputs(mask, self.n_outputs, self.n_steps)
        reaching[0, self.n_inputs :] = False
        reaching[1:, _outside(self.hidden, len(mask))] = False
        needed = [
            torch.as_tensor(np.flatnonzero(row), device=device) for row in reaching[:-1]
        ]
        return replace(self, needed=needed)

    def used(self, W: Tensor) -> Tensor:
        """Edges that are multiplied with at some step, bool of the shape of W."""
        used = torch.zeros_like(W, dtype=torch.bool)
        nodes = torch.arange(len(W), device=W.device)
        for source, target in self._joins(len(W)):
            used[nodes[source][:, None], nodes[target]] = True
        return used

    def steps(self, W: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Take out weights and biases of each step."""
        return [
            (W[source][:, target].contiguous(), b[target])
            for source, target in self._joins(len(b))
        ]

    def _joins(self, n: int) -> list[tuple[Neurons, Neurons]]:
        """Return sources and targets of each step."""
        read = slice(n - self.n_outputs, n)
        return list(zip(self.needed, [*self.needed[1:], read], strict=True))

    def run(
        self, x: Tensor, steps: list[tuple[Tensor, Tensor]], sigma: Activation
    ) -> Tensor:
        """Compute outputs (n_samples, n_outputs) of inputs (n_samples, n_inputs)."""
        N = x[:, self.needed[0]]
        for W, b in steps[:-1]:
            N = sigma.value(torch.addmm(b, N, W))
        W, b = steps[-1]
        return torch.addmm(b, N, W)


def _outside(part: slice, n: int) -> np.ndarray:
    outside = np.ones(n, dtype=bool)
    outside[part] = False
    return outside
