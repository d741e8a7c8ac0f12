"""URN: one matrix of weights, applied I times, and what counts at each step.

The state ``N`` holds the values of all neurons: first the inputs, last the outputs.
``N_0`` is the input and zeros, ``N_t = σ(N_{t-1} W + b)``; outputs are read before the
activation of step I. No block of W is treated as special, but most of them need
not be multiplied with: what leads from the inputs is all that counts in the first
step, what leads to the outputs in the last.

Threads share the neurons of a step: each computes some columns of the state. Parts of
the rows would each need all of W, which takes longer to read than the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sknm.compute.parallel import Workers, cut
from sknm.graph.activations import Activation
from sknm.graph.depth import reaches_outputs

LEAST_NEURONS, PART_PRODUCTS = 512, 2**24
"""Least neurons of a part that threads may share, and least multiplications in it: with
these, all parts together take hardly longer than the whole."""

UNIT = 64
"""Parts start at multiples of it: products are slower where they don't."""

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
    workers: Workers | None = None,
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
        The activation σ.
    hidden : slice
        Neurons whose values may matter between the first step and the last.
    factors : Tensor of shape (n_hidden,), optional
        Factors of what outputs read from these neurons, for dropout.
    workers : Workers, optional
        Threads that share the neurons of each step.

    Returns
    -------
    outputs : Tensor of shape (n_samples, n_outputs)
        Of step I, before the activation.
    row_activity : Tensor of shape (n_samples,)
        ``Σ_t Σ_j |N_tj|`` over the hidden neurons and the steps 1 to I - 1.
    neuron_activity : Tensor of shape (n_hidden,)
        The same, summed over the rows instead; has no gradient.
    """
    workers = workers or Workers()
    return _Recursion.apply(
        x, W, b, n_outputs, n_steps, sigma, hidden, factors, workers
    )


def advance(
    N: Tensor, W: Tensor, b: Tensor, sigma: Activation, workers: Workers
) -> Tensor:
    """Make one step: ``σ(NW + b)``.

    Parameters
    ----------
    N : Tensor of shape (n_samples, n_sources)
        Values of the neurons from which there are edges.
    W : Tensor of shape (n_sources, n_targets)
        Weights of the edges.
    b : Tensor of shape (n_targets,)
        Biases.
    sigma : Activation
        The activation σ.
    workers : Workers
        Threads that share the targets.

    Returns
    -------
    Tensor of shape (n_samples, n_targets)
        Values of the targets.
    """

    def compute(part: slice) -> Tensor:
        return sigma.value(torch.addmm(b[part], N, W[:, part]))

    return _join(_share(workers, compute, b.shape[0], N))


def _share(
    workers: Workers, compute: Callable[[slice], Any], n_neurons: int, N: Tensor
) -> list[Any]:
    """Have threads compute parts of the neurons, each from all of `N`."""
    if n_neurons < 2 * LEAST_NEURONS:  # soon said, for small ones
        return [compute(slice(0, n_neurons))]
    n_products = N.numel() * n_neurons
    n_parts = n_products // PART_PRODUCTS if N.device.type == "cpu" else 1
    parts = cut(n_neurons, LEAST_NEURONS, n_parts, UNIT)
    return workers.run([partial(compute, part) for part in parts], n_products)


def _join(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-1)


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
        workers: Workers,
    ) -> tuple[Tensor, Tensor, Tensor]:
        read = slice(b.shape[0] - n_outputs, b.shape[0])
        inputs = slice(0, x.shape[1])
        row_activity = x.new_zeros(x.shape[0])
        neuron_activity = x.new_zeros(hidden.stop - hidden.start)
        states, slopes = [], []
        N, source = x, inputs
        for _ in range(n_steps - 1):
            step = partial(_step, N, W[source, hidden], b[hidden], sigma)
            found = _share(workers, step, neuron_activity.shape[0], N)
            values, slope, rows, neurons = zip(*found, strict=True)
            N = _join(values)
            states.append(N)
            slopes.append(_join(slope))
            for size in rows:
                row_activity += size
            neuron_activity += _join(neurons)
            source = hidden
        V = W[source, read]
        if not states:
            factors = None  # nothing is hidden
        if factors is not None:
            V = V * factors[:, None]
        outputs = torch.addmm(b[read], N, V)
        ctx.factors, ctx.workers = factors, workers
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
        workers: Workers = ctx.workers
        dW, db = torch.zeros_like(W), W.new_zeros(W.shape[0])
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
            step = partial(_step_back, delta, back, N, g_activity, slope)
            delta, back = (
                _join(_share(workers, step, back.shape[0], delta)),
                W[hidden, hidden],
            )
            deltas.append(delta)
        if states:
            db[hidden] += sum(d.sum(0) for d in deltas)
            _add_products(dW[inputs, hidden], x, delta, workers)
            back = W[inputs, hidden]
        if len(states) > 1:
            before, after = torch.cat(states[-2::-1]), torch.cat(deltas[:-1])
            _add_products(dW[hidden, hidden], before, after, workers)
        dx = delta @ back.t() if ctx.needs_input_grad[0] else None
        return dx, dW, db, None, None, None, None, None, None


def _step(
    N: Tensor, W: Tensor, b: Tensor, sigma: Activation, part: slice
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values of some neurons, slopes, and activity of the rows and the neurons."""
    u = torch.addmm(b[part], N, W[:, part])
    values, slopes = sigma.value(u), sigma.slope(u)
    size = values.abs()
    return values, slopes, size.sum(1), size.sum(0)


def _step_back(
    delta: Tensor,
    W: Tensor,
    N: Tensor,
    g_activity: Tensor,
    slope: Tensor,
    part: slice,
) -> Tensor:
    """``δ`` of some neurons, from that of the step that follows."""
    g = delta @ W[part].t()
    g += N[:, part].sign() * g_activity[:, None]
    return g.mul_(slope[:, part])


def _add_products(dW: Tensor, N: Tensor, delta: Tensor, workers: Workers) -> None:
    """``dW += Nᵀδ``, by the neurons from which the edges lead."""

    def add(part: slice) -> None:
        dW[part].addmm_(N[:, part].t(), delta)

    _share(workers, add, dW.shape[0], delta)


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
        """Return all but what follows from the edges."""
        return vars(self) | {"needed": ()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, in which every neuron is needed."""
        vars(self).update(state)
        vars(self).update(needed=self.unsettled().needed)

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

    def unsettled(self) -> Recursion:
        """Compute all hidden neurons at each step, as training does."""
        return self.keep(np.arange(len(self.neurons)), self.hidden)

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
        self,
        x: Tensor,
        steps: list[tuple[Tensor, Tensor]],
        sigma: Activation,
        workers: Workers,
    ) -> Tensor:
        """Compute outputs (n_samples, n_outputs) of inputs (n_samples, n_inputs)."""
        N = x[:, self.needed[0]]
        for W, b in steps[:-1]:
            N = advance(N, W, b, sigma, workers)
        W, b = steps[-1]
        return torch.addmm(b, N, W)


def _outside(part: slice, n: int) -> np.ndarray:
    outside = np.ones(n, dtype=bool)
    outside[part] = False
    return outside
