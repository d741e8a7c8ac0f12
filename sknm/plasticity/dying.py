"""URN: edges and neurons that are not worth their price die, and structure emerges."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.graph.depth import active_neurons, reaches_outputs
from sknm.graph.equilibrium import Gradient
from sknm.graph.recursion import Recursion
from sknm.plasticity.locality import Locality
from sknm.plasticity.modules import soft_threshold_

FULL_STEP_EDGES = 100
"""Most edges into a neuron with which weights get the optimiser's whole step."""

LEAST_STEPS = 10
"""Steps for which a neuron has to be silent before it is dead."""

MOVE_INTERVAL = 20
"""Steps between two looks at where the neurons are."""


class DyingNeurons:
    """L1 penalty on all edges, and an end to neurons that are silent or not heard.

    A neuron dies when it was zero on all rows of at least an epoch, or when no path
    leads from it to the outputs in the steps that are left. The dead are taken out of
    the matrix, so that they no longer cost anything.

    Parameters
    ----------
    plan : Recursion
        What is computed at first.
    locality : Locality or None
        What edges cost by their length.

    Attributes
    ----------
    alpha_weight : float
        Price of an edge, in steps of the optimiser: ``c_W``.
    alpha_locality : float
        Price of an edge per unit of its length, ``c_L``.
    history : list of int
        Number of active neurons after each epoch.
    """

    alpha_weight: float
    alpha_locality: float

    def __init__(self, plan: Recursion, locality: Locality | None = None) -> None:
        self.plan = plan
        self.locality = locality
        self.history: list[int] = []
        self._fan_in = len(plan.neurons)
        self._survivors: Tensor | None = None
        self._step = 0
        self._lengths: Tensor | None = None

    def start(self, W: Tensor) -> Recursion:
        """Begin to train, or go on."""
        self._step, self._lengths = 0, None
        return self.plan

    def gradient(self) -> Gradient:
        """For which weights the next step needs a gradient."""
        return "all"

    def step_scale(self) -> float:
        """Share of the learning rate that the node weights get."""
        return min(1.0, (FULL_STEP_EDGES / self._fan_in) ** 0.5)

    def before_step(self, network: Any) -> None:
        """Change the gradient of the network's node weights."""

    def after_step(self, W: Tensor, step_size: float, strained: bool) -> Recursion:
        """Shrink the weights by what their edges cost."""
        price: Tensor | float = self.alpha_weight
        if self.locality is not None:
            if self._lengths is None or self._step % MOVE_INTERVAL == 0:
                self._lengths = self.locality.move(W, self.plan.neurons)
            price = price + self.alpha_locality * self._lengths
        soft_threshold_(W, step_size * price)
        self._step += 1
        return self.plan

    def after_epoch(self, network: Any, table: Any, is_last: bool) -> Recursion:
        """Find the dead, whom :meth:`survivors` then leaves out."""
        self._survivors = None
        W, b = network.node_weights.data, network.node_biases.data
        if network.n_observed >= LEAST_STEPS:
            self._bury(W, b, (network.activity == 0).cpu().numpy())
            network.forget_activity()
        nodes = slice(None) if self._survivors is None else self._survivors
        active = self._active(W[nodes][:, nodes], network.sigma.value(b[nodes]))
        self.history.append(int(active.sum()))
        return self.plan

    def survivors(self) -> Tensor | None:
        """Return the neurons that the last epoch left, None for all of them."""
        return self._survivors

    def resume(self, plan: Recursion) -> None:
        """Go back to a plan that was in use before."""
        self.plan, self._lengths = plan, None

    def forget(self) -> None:
        """Drop what the next start makes anew."""
        self._lengths = self._survivors = None

    def finish(self, W: Tensor) -> Recursion:
        """Compute only what outputs are reached from, as at the end of training."""
        return self.plan.settled((W != 0).cpu().numpy(), W.device)

    def progress(self) -> str:
        """Say in a few words how the graph looks."""
        return f"{self.history[-1]} active neurons" if self.history else ""

    def leave_out_inactive(self, network: Any) -> Tensor:
        """Leave features, outputs and active neurons in the plan; return which."""
        W, b = network.node_weights.data, network.node_biases.data
        kept = self._active(W, network.sigma.value(b))
        kept[: self.plan.n_inputs] = kept[len(b) - self.plan.n_outputs :] = True
        return self._keep(kept, self.plan.hidden, W.device)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without tensors of the device."""
        return vars(self) | {"_lengths": None, "_survivors": None}

    def _active(self, W: Tensor, constants: Tensor) -> np.ndarray:
        plan = self.plan
        mask, always = (W != 0).cpu().numpy(), (constants != 0).cpu().numpy()
        counts = plan.n_inputs, plan.n_outputs, plan.n_steps
        return active_neurons(mask, always, *counts)

    def _keep(self, kept: np.ndarray, hidden: slice, device: torch.device) -> Tensor:
        nodes = np.flatnonzero(kept)
        stop = hidden.stop - (len(kept) - len(nodes))
        self.plan = self.plan.keep(nodes, slice(hidden.start, stop))
        self._lengths = None
        return torch.as_tensor(nodes, device=device)

    def _bury(self, W: Tensor, b: Tensor, silent: np.ndarray) -> None:
        """Take the dead out of the plan; `W` and `b` are changed in place."""
        plan, n = self.plan, len(b)
        first_output = n - plan.n_outputs
        dead = np.zeros(n, dtype=bool)
        dead[plan.hidden] = silent[plan.hidden]
        mask = (W != 0).cpu().numpy()
        # What enters an output counts in the last step, what leaves an input in step 1.
        mask[:, :first_output][:, dead[:first_output]] = False
        mask[plan.n_inputs :][dead[plan.n_inputs :]] = False
        reaching = reaches_outputs(mask, plan.n_outputs, plan.n_steps)
        dead |= ~reaching[1 : plan.n_steps].any(axis=0)
        # Inputs and outputs stay, but may be dead between the first step and the last.
        start, stop = plan.hidden.start, plan.hidden.stop
        if dead[: plan.n_inputs].all():
            start = plan.n_inputs
            W[:, :start], b[:start] = 0, 0
        if dead[first_output:].all():
            stop = first_output
            W[stop:] = 0
        dead[: plan.n_inputs] = dead[first_output:] = False
        nodes = self._keep(~dead, slice(start, stop), W.device)
        self._survivors = nodes if dead.any() else None
