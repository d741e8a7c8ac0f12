"""How a graph organises itself into modules while its weights are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.graph.equilibrium import Gradient
from sknm.graph.plan import Plan
from sknm.graph.stability import guard, settle
from sknm.graph.topology import Topology
from sknm.plasticity.modules import ModulePenalty, admissible_merges

REFRESH_INTERVAL = 20
"""Steps between two looks at which edges are above the threshold."""

GUARD_INTERVAL = 10
"""Steps between two clips of the cyclic blocks. In between, they may come closer to the
bound than the margin."""

FIRST_STEPS, FIRST_INTERVAL = 100, 5
"""Steps at the start, and their interval: modules that merge early have to be seen
before all have merged."""

FIRST_CLIPS = 10
"""Most clips of the blocks that a training starts with."""

REFERENCE_SIZE = 50
"""Largest block that gets the optimiser's whole step. A step of Adam moves all weights
by about the same amount, so that what it adds to a block's eigenvalues grows with its
size: larger blocks get steps in inverse proportion."""

BRIDGE_INTERVAL = 8
"""Steps between two updates of the edges between modules, where these are priced
alone."""


@dataclass
class ModularOrganiser:
    """Thresholds, prices and guards the weights after each step of the optimiser.

    Edges of at most `tau` are left out of the solves, but all weights
    keep being updated, so that an edge can come back (NM section 2).

    Parameters
    ----------
    tau : float
        Threshold of an edge's absolute weight.
    penalty : ModulePenalty
        What edges cost.
    connection : {"weak", "strong"}
        Which components are the modules.
    stability : {"monotone", "contraction"} or None
        What the cyclic blocks are kept to.
    margin : float
        How far below 1 they stay.
    make_optimizer : callable
        Makes an Adam optimiser of a list of tensors, for the edges between modules.

    Attributes
    ----------
    history : list of dict
        What :meth:`after_epoch` found, once per call.
    """

    tau: float
    penalty: ModulePenalty
    connection: str
    stability: str | None
    margin: float
    make_optimizer: Callable[[list[Tensor]], Any]
    history: list[dict[str, float]] = field(default_factory=list)
    _step: int = 0
    _plan: Plan | None = None
    _prices: Tensor | None = None
    _labels: np.ndarray | None = None
    _bridges: Bridges | None = None

    def start(self, W: Tensor) -> Plan:
        """Bring the weights of a new graph in order; `W` is changed in place."""
        self._step, self._plan, self._labels, self._bridges = 0, None, None, None
        if self.penalty.prices_bridges_only:
            self._bridges = Bridges(W, self.tau, self.make_optimizer)
        self._plan = self._look(W)
        if self.stability is not None:
            # One clip may not do: what it puts on the diagonal is dropped.
            for _ in range(FIRST_CLIPS):
                if not guard(W, self._plan, self.stability, self.margin):
                    break
        return self._plan

    def gradient(self) -> Gradient:
        """For which weights the next step needs a gradient."""
        if self._bridges is None or self._step % BRIDGE_INTERVAL == 0:
            return "all"
        return "modules"

    def before_step(self, grad: Tensor) -> None:
        """Take the gradient of the edges between modules away from the optimiser."""
        if self._bridges is None:
            return
        if self._step % BRIDGE_INTERVAL == 0:
            self._bridges.take(grad)
        elif self._plan is not None and not self._plan.is_modular:
            # Such a plan has no gradient of the modules alone: it has that of all.
            self._bridges.drop(grad)

    def step_scale(self) -> float:
        """Share of the learning rate that the node weights get."""
        assert self._plan is not None, "start comes first"
        sizes = [batch.shape[1] for batch in self._plan.batches]
        return min(1.0, REFERENCE_SIZE / max(sizes, default=1))

    def after_step(self, W: Tensor, step_size: float, strained: bool) -> Plan:
        """Change the weights in place, and return how to solve with them.

        Parameters
        ----------
        W : Tensor of shape (n_nodes, n_nodes)
            Weights after a step of the optimiser.
        step_size : float
            The optimiser's step size for these weights.
        strained : bool
            Whether the last solve came to its iteration limit.

        Returns
        -------
        Plan
            Of the edges above the threshold.
        """
        assert self._plan is not None, "start comes first"
        if self._bridges is not None:
            self._bridges.step(W, step_size, self.penalty)
        elif self._prices is not None:
            self.penalty.apply(W, self._prices, step_size)
        self._step += 1
        early = self._step <= FIRST_STEPS
        if self._step % (FIRST_INTERVAL if early else REFRESH_INTERVAL) == 0:
            return self._look(W)
        if self.stability is None:
            return self._plan
        if strained or self._step % GUARD_INTERVAL == 0:
            guard(W, self._plan, self.stability, self.margin)
        return self._plan

    def finish(self, W: Tensor) -> Plan:
        """Fulfil the guarantee to the letter; `W` is changed in place."""
        if self._bridges is not None and self._labels is not None:
            mask = (W.abs() > self.tau).cpu().numpy()
            self._bridges.hold(W, mask, self._admit(W, mask, self._labels))
        _, self._plan = settle(W, self.tau, self.stability, self.margin)
        return self._plan

    def after_epoch(self, network: Any, table: Any, is_last: bool) -> Plan:
        """Record the number of modules, the largest one's share, and the density."""
        assert self._plan is not None, "start comes first"
        topology = self._plan.topology
        sizes = topology.sizes(self.connection)
        self.history.append(
            {
                "n_modules": len(sizes),
                "largest_share": float(sizes.max() / topology.n_nodes),
                "density": topology.density,
            }
        )
        return self._plan

    def survivors(self) -> Tensor | None:
        """Return the nodes that the last epoch left: all, for which None stands."""
        return None

    def resume(self, plan: Plan) -> None:
        """Go back to a plan that was in use before."""
        self._plan = plan

    def forget(self) -> None:
        """Drop what only further training would need; a start makes it anew."""
        self._bridges = None

    def progress(self) -> str:
        """Say in a few words how the graph looks."""
        return f"{self.history[-1]['n_modules']} modules" if self.history else ""

    def _look(self, W: Tensor) -> Plan:
        """See which edges are above the threshold, and guard the blocks they make."""
        mask = (W.abs() > self.tau).cpu().numpy()
        if self._bridges is not None and self._labels is not None:
            self._bridges.hold(W, mask, self._admit(W, mask, self._labels))
        plan = self._plan
        if plan is None or not np.array_equal(plan.topology.to_dense(), mask):
            plan = self._plan = Plan(Topology(mask), W)
        topology = plan.topology
        if self.stability is not None:
            guard(W, plan, self.stability, self.margin)
        labels = topology.labels(self.connection)
        known = self._labels is not None and np.array_equal(labels, self._labels)
        if self.penalty.kind is not None and not known:
            prices = self.penalty.prices(topology, self.connection)
            self._prices = torch.as_tensor(prices, device=W.device).to(W.dtype)
            self._labels = labels
            if self._bridges is not None:
                self._bridges.set_prices(self._prices)
        return plan

    def _admit(self, W: Tensor, mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Bridges above the threshold that may merge modules, as a mask.

        Each was priced for the module that it would make alone; together they could
        merge everything at once. So they are admitted one by one, the strongest first,
        as long as the module they make is one that the penalty lets grow: the shrinkage
        of an edge, `strength` times the share of the nodes in its module, must not
        exceed the longest step that the optimiser takes.
        """
        bridges = np.argwhere(mask & (labels[:, None] != labels))
        weights = np.abs(W.cpu().numpy()[tuple(bridges.T)])
        bridges = bridges[np.argsort(-weights, kind="stable")]
        admitted = np.zeros_like(mask)
        limit = mask.shape[0] / max(1.0, self.penalty.strength)
        for (i, j), merged in zip(
            bridges, admissible_merges(labels, labels[bridges], limit), strict=True
        ):
            admitted[i, j] = merged
        return admitted


class Bridges:
    """The edges between modules: priced, and trained apart from the others.

    They have an Adam optimiser of their own, for two reasons. Their gradient costs as
    much as several iterations of a solve, so that it is computed now and then only, and
    no momentum may carry them over the threshold in the meantime. And Adam's steps are
    at most about the step size, so that a price is worth a known number of steps.

    Parameters
    ----------
    W : Tensor of shape (n_nodes, n_nodes)
        Weights to start from.
    tau : float
        The threshold.
    make_optimizer : callable
        Makes an Adam optimiser of a list of tensors.
    """

    def __init__(
        self, W: Tensor, tau: float, make_optimizer: Callable[[list[Tensor]], Any]
    ) -> None:
        self._tau = tau
        self._weights = W.clone()
        self._optimizer = make_optimizer([self._weights])
        self._is_bridge = torch.zeros_like(W, dtype=torch.bool)
        self._prices = torch.zeros_like(W)

    def set_prices(self, prices: Tensor) -> None:
        """Set the prices (n_nodes, n_nodes): positive between modules, 0 inside."""
        self._prices = prices
        self._is_bridge = prices > 0

    def take(self, grad: Tensor) -> None:
        """Keep the gradient of the bridges, and set it to zero in `grad`."""
        self._weights.grad = grad * self._is_bridge
        grad.sub_(self._weights.grad)

    def drop(self, grad: Tensor) -> None:
        """Set the gradient of the bridges to zero in `grad`."""
        grad.masked_fill_(self._is_bridge, 0)

    def hold(self, W: Tensor, mask: np.ndarray, admitted: np.ndarray) -> None:
        """Put the bridges above the threshold that were not admitted back to it."""
        held = mask & self._is_bridge.cpu().numpy() & ~admitted
        if not held.any():
            return
        mask &= ~held
        rows = torch.as_tensor(held, device=W.device)
        W[rows] = W[rows].clamp(-self._tau, self._tau)

    def step(self, W: Tensor, step_size: float, penalty: ModulePenalty) -> None:
        """Move and price the bridges in `W`, if there is a gradient of theirs."""
        if self._weights.grad is None:
            return
        self._weights.copy_(W)
        self._optimizer.param_groups[0]["lr"] = step_size
        self._optimizer.step()
        penalty.apply(self._weights, self._prices, step_size)
        torch.where(self._is_bridge, self._weights, W, out=W)
        self._weights.grad = None
