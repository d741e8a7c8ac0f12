"""How a graph organises itself into modules while its weights are trained."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm._wording import counted
from sknm.graph.blocks import ModuleWeights, pairs_above
from sknm.graph.plan import Plan
from sknm.graph.stability import guard, settle
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.bridges import Bridges, update_interval
from sknm.plasticity.cutting import CUT_STEPS, cut
from sknm.plasticity.merging import Encounters
from sknm.plasticity.modules import FREE, ModulePenalty, admissible_merges
from sknm.plasticity.rule import Change, Epoch, Remade, Step

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
class ModularRule(Remade):
    """Thresholds, prices and guards the weights after each step of the optimiser.

    Edges of at most `tau` are left out of the solves, but all weights
    keep being updated, so that an edge can come back (NM section 2); those between
    modules not, if these merge by evidence.

    Attributes
    ----------
    tau : float, default=0.0
        Threshold of an edge's absolute weight.
    penalty : ModulePenalty
        What edges cost; nothing by default.
    connection : {"weak", "strong"}, default="weak"
        Which components are the modules.
    stability : {"monotone", "contraction"} or None
        What the cyclic blocks are kept to.
    margin : float, default=0.0
        How far below 1 they stay.
    is_blockwise : bool, default=True
        Whether the weights inside modules may be trained apart from the others, where
        these are priced alone: it saves time and memory, but not every optimiser
        stands it.
    cut_size : int or None
        Nodes of the modules that a new, complete graph is cut into; None if it isn't.
    rate : float, default=0.0
        Peak of the learning rate, by which it is time to look for evidence.
    """

    tau: float = 0.0
    penalty: ModulePenalty = FREE
    connection: str = "weak"
    stability: str | None = None
    margin: float = 0.0
    is_blockwise: bool = True
    cut_size: int | None = None
    rate: float = 0.0

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""
        self._step = self._next_look = 0
        self._interval = FIRST_INTERVAL
        self._known: Plan | None = None  # of which what follows is true
        self._edges: np.ndarray | None = None
        self._prices: Tensor | None = None
        self._labels: np.ndarray | None = None
        self._modules: ModuleWeights | None = None
        self._bridges: Bridges | Encounters | None = None
        self._coming: Callable[[], Plan] | None = None
        self._told: tuple[int, ...] = ()  # the labels of the last record

    @torch.no_grad()
    def start(self, graph: EquationState) -> None:
        """Bring the weights of a new graph in order."""
        W = graph.weights.data
        self._step, self._interval = 0, FIRST_INTERVAL
        self._edges = self._labels = self._modules = self._coming = self._prices = None
        if not self.penalty.prices_bridges_only:
            self._bridges = None
        else:
            kind = Encounters if self.penalty.kind == "evidence" else Bridges
            if not isinstance(self._bridges, kind):
                self._bridges = kind()
            self._start_asleep(graph)
            if isinstance(self._bridges, Encounters):
                self._bridges.start(W, self.tau, self.penalty, self.rate)
            else:
                self._bridges.start(W, self.tau, self.penalty)
        self._adopt(graph, self._look(graph))
        self._guard_well(graph)

    @torch.no_grad()
    def step(self, graph: EquationState, step: Step) -> None:
        """Change the weights, and the graph if it is time."""
        W = graph.weights.data
        if self._modules is not None and self._bridges is not None:
            self._step_apart(W, self._modules, self._bridges, step)
        elif self._prices is not None:
            self.penalty.apply(W, self._prices, step.size)
        self._step += 1
        if self._is_uncut(graph):
            self._approach_cut(graph)
        if self._step == self._next_look:
            self._coming = self._look(graph)
        if self._step == self._next_look + look_steps(W) and self._coming is not None:
            self._adopt(graph, self._coming)
        elif self.stability is not None and (
            step.is_strained or self._step % GUARD_INTERVAL == 0
        ):
            self._guard(graph)

    def epoch(self, graph: EquationState, epoch: Epoch) -> Change:
        """Record the modules, the largest one's share, and the density."""
        if isinstance(self._bridges, Encounters) and not epoch.is_last:
            self._merge(graph, self._bridges)
        topology = graph.topology
        sizes = topology.sizes(self.connection)
        record = {
            "n_modules": len(sizes),
            "largest_share": float(sizes.max() / topology.n_nodes),
            "sizes": sorted(sizes.tolist(), reverse=True),
            "density": topology.density,
            "labels": self._labels_to_tell(topology),
        }
        return Change(record=record, summary=counted(len(sizes), "module"))

    def _labels_to_tell(self, topology: Topology) -> tuple[int, ...]:
        """Return the last record's if they are the same: a pickle holds them once."""
        labels = tuple(topology.labels(self.connection).tolist())
        if labels != self._told:
            self._told = labels
        return self._told

    @torch.no_grad()
    def end(self, graph: EquationState) -> None:
        """Fulfil the guarantee to the letter."""
        W = graph.weights.data
        if self._labels is not None and graph.plan is self._known:
            self._hold(W, pairs_above(W, self.tau), self._labels)
        _, plan = settle(W, self.tau, self.stability, self.margin)
        graph.adopt(plan)

    def __copy__(self) -> ModularRule:
        """Return the same rule as it is between two trainings."""
        other: ModularRule = super().__copy__()
        other._bridges = self._bridges and self._bridges.at_rest()
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: the bridges, too, which remember their gradients."""
        return super().__getstate__() | {"_bridges": self._bridges}

    def _step_apart(
        self,
        W: Tensor,
        modules: ModuleWeights,
        bridges: Bridges | Encounters,
        step: Step,
    ) -> None:
        """Move bridges now and then; the weights inside modules move at each step."""
        if not self.is_blockwise:
            modules.read(W)
        try:
            if isinstance(bridges, Encounters):
                bridges.observe(step)
                return
            every = update_interval(len(W), modules.mean_size)
            if self._step % every == 0 and step.flow is not None:
                bridges.step(W, step.flow, step.size)
        finally:  # also if the user interrupts: the weights inside are spoiled
            modules.write(W)

    def _start_asleep(self, graph: EquationState) -> None:
        """Note a new graph that is to be cut; keep modules of another threshold apart.

        With evidence, weights between modules don't move: a lower threshold would wake
        them all.
        """
        if graph.origin is None and self.cut_size is not None and not graph.log:
            graph.log.append({"uncut": 0})
        if graph.plan is None or self._is_uncut(graph) or self.penalty.kind == "bridge":
            return
        labels = torch.as_tensor(graph.topology.weak_labels, device=graph.device)
        W = graph.weights.data
        asleep = W.clamp(-self.tau / 2, self.tau / 2)
        torch.where(labels[:, None] == labels, W, asleep, out=W)

    def _is_uncut(self, graph: EquationState) -> bool:
        """Whether the graph is to be cut, which its log tells until it is."""
        return self.cut_size is not None and "uncut" in (graph.log or [{}])[-1]

    def _approach_cut(self, graph: EquationState) -> None:
        """Count a step of a complete graph, and cut it into modules if it is time."""
        n_steps = graph.log[-1]["uncut"] + 1
        if n_steps < CUT_STEPS or self.cut_size is None:
            graph.log[-1] = {"uncut": n_steps}
            return
        graph.log[-1] = {"cut": n_steps}
        cut(graph.weights.data, self.cut_size, self.tau)
        self._labels = self._edges = None
        self._adopt(graph, self._look(graph))

    @torch.no_grad()
    def _merge(self, graph: EquationState, encounters: Encounters) -> None:
        """Merge modules that have a use for each other."""
        if self._labels is None or graph.plan is not self._known:
            return
        novelty = 1.0 if graph.entries is None else graph.entries.novelty
        W = graph.weights.data
        if encounters.merge(W, self._labels, novelty):
            assert self._modules is not None, "they have merged"
            self._modules.read(W)
            self._edges = None
            self._adopt(graph, self._look(graph))
            self._guard_well(graph)
        encounters.above = np.arange(0)

    def _look(self, graph: EquationState) -> Callable[[], Plan]:
        """See which edges are above the threshold; return what waits for their plan."""
        W = graph.weights.data
        edges, plan = self._find_edges(W), graph.plan
        if self._labels is not None:
            edges = self._hold(W, edges, self._labels)
        if self._edges is not None and np.array_equal(edges, self._edges):
            return lambda: plan
        self._edges = edges
        if not look_steps(W):
            return partial(_make_plan, edges, W)
        executor = ThreadPoolExecutor(1)
        coming = executor.submit(_make_plan, edges, W)
        executor.shutdown(wait=False)  # its thread ends with this
        return coming.result

    def _adopt(self, graph: EquationState, coming: Callable[[], Plan]) -> None:
        """Guard the blocks of a plan, and price edges by its modules."""
        self._known = plan = coming()
        graph.adopt(plan)
        labels, self._coming = self._labels, None
        if self.stability is not None:
            self._guard(graph)
        found = plan.topology.labels(self.connection)
        is_known = labels is not None and np.array_equal(found, labels)
        former, self._interval = self._interval, FIRST_INTERVAL
        if is_known:
            self._interval = min(LONGEST_INTERVAL, former + 1)
        else:
            self._labels = found
            if not self._is_uncut(graph):
                self._set_prices(graph.weights.data, plan.topology)
        self._train(graph)
        self._next_look = self._step + self._interval

    def _train(self, graph: EquationState) -> None:
        """Have modules trained in steps that their eigenvalues bear."""
        sizes = [batch.shape[1] for batch in graph.plan.batches]
        scale = min(1.0, REFERENCE_SIZE / max(sizes, default=1))
        if self._modules is None:
            graph.train_on("all", scale)
        elif self.is_blockwise:
            graph.train_on(self._modules, scale)
        else:
            of_node = torch.as_tensor(self._modules.labels, device=graph.device)
            graph.train_on("all", scale, held=of_node[:, None] != of_node)

    def _find_edges(self, W: Tensor) -> np.ndarray:
        """Find the weights above the threshold, as `pairs_above` gives them."""
        if self._modules is None or self._bridges is None:
            return pairs_above(W, self.tau)
        labels = self._modules.labels
        source, target = np.divmod(self._bridges.above, len(W))
        bridges = self._bridges.above[labels[source] != labels[target]]
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
        connection = self.connection
        if isinstance(self._bridges, Bridges):
            self._bridges.set_sizes(self.penalty.sizes(topology, connection), W)
        else:  # what joins strong modules to a weak one is trained with them
            connection = "weak"
        self._modules = ModuleWeights(topology.labels(connection), W)

    def _guard_well(self, graph: EquationState) -> None:
        """Clip blocks that are new: what one clip puts on the diagonal is dropped."""
        if self.stability is not None:
            for _ in range(FIRST_CLIPS):
                if not self._guard(graph):
                    break

    def _guard(self, graph: EquationState) -> bool:
        assert self.stability is not None, "there is nothing to keep to"
        W = graph.weights.data
        has_changed = guard(W, graph.plan, self.stability, self.margin)
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
        if not isinstance(self._bridges, Bridges):
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
