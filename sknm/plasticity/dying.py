"""URN: edges and neurons that are not worth their price die, and structure emerges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm._wording import counted
from sknm.compute.arrays import to_numpy
from sknm.compute.groups import step_share
from sknm.compute.settings import own_settings
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.recursion import Recursion
from sknm.graph.recursion_state import RecursionState
from sknm.plasticity.locality import move_neurons
from sknm.plasticity.modules import soft_threshold_
from sknm.plasticity.rule import Change, Epoch, Remade, Step

FULL_STEP_EDGES = 100
"""Most edges into a neuron with which weights get the optimiser's whole step."""

LEAST_STEPS = 10
"""Steps for which a neuron has to be silent before it is dead."""

MOVE_INTERVAL = 20
"""Steps between two looks at where the neurons are."""

FIRST_DEATHS, LAST_DEATHS = 0.1, 0.65
"""Shares of a training between which neurons die of their price: once it has begun to
tell them apart, and while there is time for the others to make up for them."""


@dataclass
class DyingRule(Remade):
    """Prices of edges and of neurons, and an end to those that are not worth them.

    A neuron dies when it was zero on all rows of at least an epoch, or when no path
    leads from it to the outputs in the steps that are left. In a training whose end is
    known, those that matter least die, too, before its learning rate has fallen. The
    dead are taken out of the matrix, so that they no longer cost anything.

    Attributes
    ----------
    alpha_weight : float, default=0.0
        Price of an edge, in steps of the optimiser: ``c_W``.
    alpha_locality : float, default=0.0
        Price of an edge per unit of its length, ``c_L``, where neurons have positions.
    activation : str, default="relu"
        The activation of the neurons.
    alpha_neuron : float, default=0.0
        Price of a neuron: those die that make up the least ``1 - exp(-alpha_neuron)``
        of what all free neurons matter, little by little.
    """

    alpha_weight: float = 0.0
    alpha_locality: float = 0.0
    activation: str = "relu"
    alpha_neuron: float = 0.0

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""
        self._step = self._n_observed = 0
        self._known: Recursion | None = None  # during which activity was observed
        self._activity: Tensor | None = None
        self._lengths: Tensor | None = None
        self._progress = self._paid = 0.0  # now, and when neurons last died of it
        self._worth: Tensor | None = None

    def start(self, graph: RecursionState) -> None:
        """Have all neurons that are alive trained."""
        self._step, self._lengths = 0, None
        self._progress = self._paid = 0.0
        self._worth = None
        if self._activity is None or len(self._activity) != graph.n_nodes:
            self._forget_activity(graph)
        else:
            self._activity = self._activity.to(graph.device)
        graph.adopt(graph.plan.unsettled())
        graph.train_on("all", step_share(FULL_STEP_EDGES, graph.plan.n_neurons))

    @torch.no_grad()
    def step(self, graph: RecursionState, step: Step) -> None:
        """Shrink the weights by what their edges cost."""
        W = graph.weights.data
        price: Tensor | float = self.alpha_weight
        if graph.positions is not None:
            price = price + self.alpha_locality * self._current_lengths(graph)
        soft_threshold_(W, step.size * price)
        if step.activity is not None and self._activity is not None:
            self._activity[graph.plan.hidden] += step.activity
            self._n_observed += step.n_passes
            self._known = graph.plan
        if self.alpha_neuron > 0 and step.progress is not None:
            self._weigh(graph)
            self._progress = step.progress
        self._step += 1

    @torch.no_grad()
    def epoch(self, graph: RecursionState, epoch: Epoch) -> Change:
        """Bury the dead."""
        survivors = None
        is_known = self._known is graph.plan and self._n_observed >= LEAST_STEPS
        if is_known and self._activity is not None:
            dying = self._activity.cpu().numpy() == 0
            if not epoch.is_last:  # which may be about an earlier state
                dying |= self._not_worth_it(graph)
            survivors = self._bury(graph, dying)
            self._forget_activity(graph)
        n_active = int(graph.active(ACTIVATIONS[self.activation]).sum())
        return Change(survivors, n_active, summary=counted(n_active, "active neuron"))

    def end(self, graph: RecursionState) -> None:
        """Compute only what outputs are reached from."""
        graph.settle()

    @own_settings()
    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: what has been observed, too."""
        seen = None if self._activity is None else to_numpy(self._activity)
        observed = {"_n_observed": self._n_observed, "_activity": seen}
        return super().__getstate__() | observed

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        super().__setstate__(state)
        if self._activity is not None:
            self._activity = torch.tensor(self._activity, device="cpu")

    def _current_lengths(self, graph: RecursionState) -> Tensor:
        assert graph.positions is not None, "lengths are of what is somewhere"
        if self._lengths is None or self._step % MOVE_INTERVAL == 0:
            plan = graph.plan
            self._lengths = move_neurons(
                graph.positions, graph.weights.data, plan.neurons, plan.n_inputs
            )
        return self._lengths

    def _forget_activity(self, graph: RecursionState) -> None:
        self._activity = torch.zeros_like(graph.biases.data)
        self._n_observed = 0
        self._worth = None

    def _weigh(self, graph: RecursionState) -> None:
        """Add up what the loss would change by if neurons lost a share of their value.

        The square of this, a neuron's values times their gradients summed over the
        rows of a step, is the first-order criterion of Molchanov et al. (2019),
        "Importance Estimation for Neural Network Pruning", for a gate at each neuron.
        """
        W = graph.weights
        if W.grad is None:
            return
        change = (W.detach() * W.grad).sum(1).square_()
        self._worth = change if self._worth is None else self._worth.add_(change)

    def _not_worth_it(self, graph: RecursionState) -> np.ndarray:
        """Find the free neurons that matter least: as much as is to go by now."""
        plan, dying = graph.plan, np.zeros(graph.n_nodes, dtype=bool)
        if self._worth is None or len(self._worth) != graph.n_nodes:
            return dying
        before, now = np.clip((self._paid, self._progress), FIRST_DEATHS, LAST_DEATHS)
        self._paid = self._progress
        part = (now - before) / (LAST_DEATHS - FIRST_DEATHS)
        free = slice(plan.n_inputs, graph.n_nodes - plan.n_outputs)
        worth = self._worth.sqrt().cpu().numpy()[free].astype(float)
        order = np.argsort(worth, kind="stable")
        least = np.cumsum(worth[order])
        is_dear = least < -np.expm1(-self.alpha_neuron * part) * worth.sum()
        dying[free][order[is_dear]] = True
        return dying

    def _bury(self, graph: RecursionState, silent: np.ndarray) -> Tensor | None:
        """Take the dead out of the graph; return who is left, if any died."""
        plan, n = graph.plan, graph.n_nodes
        W, b = graph.weights.data, graph.biases.data
        first_output = n - plan.n_outputs
        dead = np.zeros(n, dtype=bool)
        dead[plan.hidden] = silent[plan.hidden]
        mask = graph.mask
        # What enters an output counts in the last step, what leaves an input in step 1.
        mask[:, :first_output][:, dead[:first_output]] = False
        mask[plan.n_inputs :][dead[plan.n_inputs :]] = False
        reaching = graph.reaching(mask)
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
        self._lengths = None
        kept = np.flatnonzero(~dead)
        survivors = graph.keep(kept, slice(start, stop - int(dead.sum())))
        return survivors if dead.any() else None
