"""How a graph organises itself into modules while its weights are trained."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.graph.blocks import ModuleWeights, pairs_above
from sknm.graph.equilibrium import Gradient
from sknm.graph.plan import Plan
from sknm.graph.stability import guard, settle
from sknm.graph.topology import Topology
from sknm.plasticity.bridges import Bridges, update_interval
from sknm.plasticity.modules import FREE, ModulePenalty, admissible_merges

FIRST_INTERVAL, LONGEST_INTERVAL = 5, 40
"""Steps between two looks at which edges are above the threshold, at first and at most.
Modules that merge have to be seen before all have merged; each look that finds them as
they were puts the next one off by a step."""

LOOK_STEPS = 4
"""Steps that an accelerator goes on with the former graph while the new one is made."""

GUARD_INTERVAL = 10
"""Steps between two clips of the cyclic blocks. In between, they may come closer to the
bound than the margin."""

FIRST_CLIPS = 10
"""Most clips of the blocks that a training starts with."""

REFERENCE_SIZE = 50
"""Largest block that gets the optimiser's whole step. A step of Adam moves all weights
by about the same amount, so that what it adds to a block's eigenvalues grows with its
size: larger blocks get steps in inverse proportion."""


@dataclass
class ModularOrganiser:
    """Thresholds, prices and guards the weights after each step of the optimiser.

    Edges of at most `tau` are left out of the solves, but all weights
    keep being updated, so that an edge can come back (NM section 2).

    Parameters
    ----------
    make_optimizer : callable
        Makes an Adam optimiser of a list of tensors, for the edges between modules.

    Attributes
    ----------
    tau : float
        Threshold of an edge's absolute weight. It may change, as all that follows, from
        one :meth:`start` to the next.
    penalty : ModulePenalty
        What edges cost.
    connection : {"weak", "strong"}
        Which components are the modules.
    stability : {"monotone", "contraction"} or None
        What the cyclic blocks are kept to.
    margin : float
        How far below 1 they stay.
    blockwise : bool
        Whether the weights inside modules may be trained apart from the others, where
        these are priced alone: it saves time and memory, but not every optimiser
        stands it.
    history : list of dict
        What :meth:`after_epoch` found, once per call.
    """

    make_optimizer: Callable[[list[Tensor]], Any]
    tau: float = 0.0
    penalty: ModulePenalty = FREE
    connection: str = "weak"
    stability: str | None = None
    margin: float = 0.0
    blockwise: bool = True
    history: list[dict[str, float]] = field(default_factory=list)
    _step: int = 0
    _next_look: int = 0
    _interval: int = FIRST_INTERVAL
    _plan: Plan | None = None
    _edges: np.ndarray | None = None
    _prices: Tensor | None = None
    _labels: np.ndarray | None = None
    _modules: ModuleWeights | None = None
    _bridges: Bridges | None = None
    _coming: Callable[[], Plan] | None = None

    def start(self, W: Tensor) -> Plan:
        """Bring the weights of a new graph in order; `W` is changed in place."""
        self._step, self._interval = 0, FIRST_INTERVAL
        self._plan = self._labels = self._modules = self._coming = self._prices = None
        if not self.penalty.prices_bridges_only:
            self._bridges = None
        else:
            if self._bridges is None:
                self._bridges = Bridges(self.make_optimizer)
            self._bridges.start(W, self.tau, self.penalty)
        self._plan = self._adopt(W, self._look(W))
        if self.stability is not None:
            # One clip may not do: what it puts on the diagonal is dropped.
            for _ in range(FIRST_CLIPS):
                if not self._guard(W, self._plan):
                    break
        return self._plan

    def gradient(self) -> Gradient | ModuleWeights:
        """For which weights the next step needs a gradient."""
        if self._modules is not None and self.blockwise:
            return self._modules
        return "all"

    def before_step(self, network: Any) -> None:
        """Keep the gradient of the edges between modules from the optimiser."""
        if self._bridges is None or self._modules is None:
            return
        every = update_interval(network.n_nodes, self._modules.mean_size)
        if self._step % every == 0:
            self._bridges.take(network.memory.flow)
        if not self.blockwise:
            labels = torch.as_tensor(self._labels, device=network.device)
            network.node_weights.grad.masked_fill_(labels[:, None] != labels, 0)

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
        if self._modules is not None and self._bridges is not None:
            if not self.blockwise:
                self._modules.read(W)
            try:
                self._bridges.step(W, step_size)
            finally:  # also if the user interrupts: the weights inside are spoiled
                self._modules.write(W)
        elif self._prices is not None:
            self.penalty.apply(W, self._prices, step_size)
        self._step += 1
        if self._step == self._next_look:
            self._coming = self._look(W)
        if self._step == self._next_look + look_steps(W) and self._coming is not None:
            return self._adopt(W, self._coming)
        if self.stability is not None and (
            strained or self._step % GUARD_INTERVAL == 0
        ):
            self._guard(W, self._plan)
        return self._plan

    def finish(self, W: Tensor) -> Plan:
        """Fulfil the guarantee to the letter; `W` is changed in place."""
        if self._labels is not None:
            self._hold(W, pairs_above(W, self.tau), self._labels)
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
        if plan is not self._plan:  # what follows is of another graph
            self._edges = self._labels = self._modules = self._coming = None
        self._plan = plan

    def forget(self) -> None:
        """Drop what only further training would need; a start makes it anew."""
        self._plan = self._edges = self._prices = self._labels = None
        self._modules = self._bridges = self._coming = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: not what a start makes anew."""
        return vars(self) | dict.fromkeys(("_coming", "_modules", "_prices"))

    def progress(self) -> str:
        """Say in a few words how the graph looks."""
        return f"{self.history[-1]['n_modules']} modules" if self.history else ""

    def _look(self, W: Tensor) -> Callable[[], Plan]:
        """See which edges are above the threshold; return what waits for their plan."""
        edges, plan = self._find_edges(W), self._plan
        if self._labels is not None:
            edges = self._hold(W, edges, self._labels)
        former = np.arange(0) if self._edges is None else self._edges
        if plan is not None and np.array_equal(edges, former):
            return lambda: plan
        self._edges = edges
        if not look_steps(W):
            return partial(_make_plan, edges, W)
        executor = ThreadPoolExecutor(1)
        coming = executor.submit(_make_plan, edges, W)
        executor.shutdown(wait=False)  # its thread ends with this
        return coming.result

    def _adopt(self, W: Tensor, coming: Callable[[], Plan]) -> Plan:
        """Guard the blocks of a plan, and price edges by its modules."""
        plan = self._plan = coming()
        labels, self._coming = self._labels, None
        if self.stability is not None:
            self._guard(W, plan)
        found = plan.topology.labels(self.connection)
        is_known = labels is not None and np.array_equal(found, labels)
        former, self._interval = self._interval, FIRST_INTERVAL
        if is_known:
            self._interval = min(LONGEST_INTERVAL, former + 1)
        else:
            self._labels = found
            self._set_prices(W, plan.topology)
        self._next_look = self._step + self._interval
        return plan

    def _find_edges(self, W: Tensor) -> np.ndarray:
        """Find the weights above the threshold, as `pairs_above` gives them."""
        if self._modules is None or self._bridges is None or self._labels is None:
            return pairs_above(W, self.tau)
        source, target = np.divmod(self._bridges.above, len(W))
        bridges = self._bridges.above[self._labels[source] != self._labels[target]]
        bridges = bridges[self._strengths(W, bridges) > self.tau]
        inside = self._modules.pairs_above(self.tau)
        return np.sort(np.concatenate([inside, bridges]), kind="stable")

    @staticmethod
    def _strengths(W: Tensor, pairs: np.ndarray) -> np.ndarray:
        weights = W.view(-1)[torch.as_tensor(pairs, device=W.device)]
        return weights.abs().cpu().numpy()

    def _set_prices(self, W: Tensor, topology: Topology) -> None:
        if self.penalty.kind is None:
            return
        if self._bridges is None:
            prices = self.penalty.prices(topology, self.connection)
            self._prices = torch.as_tensor(prices, device=W.device).to(W.dtype)
            return
        self._bridges.set_sizes(self.penalty.sizes(topology, self.connection), W)
        self._modules = ModuleWeights(topology.labels(self.connection), W)

    def _guard(self, W: Tensor, plan: Plan) -> bool:
        assert self.stability is not None, "there is nothing to keep to"
        has_changed = guard(W, plan, self.stability, self.margin)
        if has_changed and self._modules is not None:
            self._modules.read(W)
        return has_changed

    def _hold(self, W: Tensor, edges: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Put bridges that may not merge modules back to the threshold.

        Each was priced for the module that it would make alone; together they could
        merge everything at once. So they are admitted one by one, the strongest first,
        as long as the module they make is one that the penalty lets grow: the shrinkage
        of an edge, `strength` times the share of the nodes in its module, must not
        exceed the longest step that the optimiser takes.
        """
        if self._bridges is None:
            return edges
        source, target = np.divmod(edges, len(labels))
        bridges = np.flatnonzero(labels[source] != labels[target])
        if not len(bridges):
            return edges
        order = np.argsort(-self._strengths(W, edges[bridges]), kind="stable")
        bridges = bridges[order]
        merged = np.column_stack([labels[source[bridges]], labels[target[bridges]]])
        limit = len(labels) / max(1.0, self.penalty.strength)
        held = bridges[~np.array(admissible_merges(labels, merged, limit), dtype=bool)]
        self._bridges.hold(W, source[held], target[held])
        return np.delete(edges, held)


def look_steps(W: Tensor) -> int:
    """Count the steps between a look and the use of what it finds."""
    return 0 if W.is_cpu else LOOK_STEPS


def _make_plan(edges: np.ndarray, W: Tensor) -> Plan:
    return Plan(Topology.from_pairs(edges, len(W)), W)
