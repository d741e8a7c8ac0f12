"""FreeNets: an acyclic graph that becomes sparse, and rewires itself on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sknm._wording import counted
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.coactivation import observe
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.rule import Change, Epoch, Step

LEAST_EVOLUTIONS = 4
"""Evolutions of a training that has epochs enough, however long the interval."""

LAST_EVOLUTION = 0.75
"""Share of the epochs after which the graph stays: what is left has to be trained."""

OBSERVED_ROWS = 4096
"""About how many rows of an epoch the gradients of absent edges are summed over."""


@dataclass
class RewiringRule(FixedRule):
    """Prunes the smallest weights, and adds the edges with the largest gradients.

    At each evolution, more edges are pruned than are added until a density is reached
    (Zhu & Gupta 2017). A share of the edges is replaced, as RigL does (Evci et al.
    2020), which becomes less and less; the last evolution replaces none, if there are
    several. An added edge starts from zero, and one that has just been pruned is not
    added at once.

    Attributes
    ----------
    density : float, default=0.2
        Share of the possible edges that is left in the end.
    epsilon : float, default=0.25
        Share of the edges that are left that is replaced at the first evolution.
    interval : int or None
        Epochs between evolutions; None evolves after the last epoch of a training, and
        asks for another round of it until there were as many as there may be.
    max_evolutions : int
        Most of them after :meth:`start`, or of all trainings whose end nobody knows.
    """

    density: float = 0.2
    epsilon: float = 0.25
    interval: int | None = None
    max_evolutions: int = 10

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""
        self._n_done = self._n_at_first = 0
        self._is_open = False  # whether nobody knows how many epochs follow
        self._gradient: Tensor | None = None
        self._stride, self._step, self._n_rows = 1, 0, 0

    def start(self, graph: EquationState) -> None:
        """Begin to train, or go on if nobody has known the end."""
        super().start(graph)
        if not self._is_open:
            self._begin(graph)
        self._gradient, self._step, self._n_rows = None, 0, 0

    @torch.no_grad()
    def step(self, graph: EquationState, step: Step) -> None:
        """Sum up the gradients of all edges, those of absent ones among them."""
        if step.flow is None or not self.max_evolutions:
            return
        self._n_rows += step.flow.delta.shape[1]
        if self._step % self._stride == 0:
            gradient = step.flow.gradient(slice(0, graph.n_nodes))
            if self._gradient is not None:
                gradient += self._gradient
            self._gradient = gradient
        self._step += 1

    @torch.no_grad()
    def epoch(self, graph: EquationState, epoch: Epoch) -> Change:
        """Evolve if it is time."""
        if self._is_open and epoch.n_epochs is not None:
            self._begin(graph)
        self._is_open = epoch.n_epochs is None
        n_planned, is_due = self._plan(epoch)
        goes_on, record = False, None
        if is_due and self._n_done < n_planned and self._gradient is not None:
            if not graph.log and epoch.node_values is not None:
                record = observe(graph.n_nodes, epoch.node_values).count_pairs()
            self.evolve(graph, self._gradient, n_planned)
            goes_on = self.interval is None
        self._stride = max(1, self._n_rows // OBSERVED_ROWS)
        self._gradient, self._n_rows = None, 0
        summary = counted(graph.topology.n_edges, "edge")
        return Change(record=record, goes_on=goes_on, summary=summary)

    @torch.no_grad()
    def end(self, graph: EquationState) -> None:
        """Cut the weights of pruned edges, which the optimiser may have moved."""
        graph.weights.mul_(graph.plan.mask)

    def evolve(self, graph: EquationState, gradient: Tensor, n_planned: int) -> None:
        """Prune and add edges.

        Parameters
        ----------
        graph : EquationState
            The graph.
        gradient : Tensor of shape (n_nodes, n_nodes)
            Of the loss by the weights of all edges, whether they exist or not.
        n_planned : int
            Number of evolutions, this one and those before and after it.
        """
        n_left, n_replaced = self._sizes(graph.n_nodes, n_planned)
        before = graph.plan.mask > 0
        absent = torch.ones_like(before).triu_(1) & ~before
        n_before, n_absent = graph.topology.n_edges, int(absent.sum())
        n_more = max(0, n_left - n_before)
        n_added = min(n_absent, min(n_replaced, n_before) + n_more)
        kept = largest(graph.weights.abs(), before, n_left - n_added)
        added = largest(gradient.abs(), absent, n_added)
        graph.weights.mul_(kept)
        graph.rewire(Topology((kept | added).cpu().numpy()))
        self.train_edges(graph)
        self._n_done += 1
        n_kept = int(kept.sum())
        pruned = {"pruned": n_before - n_kept, "added": n_added}
        graph.log.append(pruned | {"left": graph.topology.n_edges})

    def _begin(self, graph: EquationState) -> None:
        self._n_done, self._n_at_first = 0, graph.topology.n_edges

    def _sizes(self, n_nodes: int, n_planned: int) -> tuple[int, int]:
        """Count the edges that the next evolution leaves, and those it replaces."""
        n_in_the_end = count_edges(n_nodes, self.density)
        to_come = 1 - (self._n_done + 1) / n_planned
        n_more = (self._n_at_first - n_in_the_end) * decay(1 - to_come)
        n_left = round(n_in_the_end + n_more)
        progress = self._n_done / max(1, n_planned - 1)
        return n_left, round(self.epsilon * decay(progress) * n_left)

    def _plan(self, epoch: Epoch) -> tuple[int, bool]:
        """Say how many evolutions a training has, and whether one is due."""
        most = self.max_evolutions
        if self.interval is None:
            return most, epoch.is_last
        if epoch.n_epochs is None:
            return most, epoch.number % self.interval == 0
        n_free = max(1, int(LAST_EVOLUTION * epoch.n_epochs))
        n = min(most, max(n_free // self.interval, min(n_free, LEAST_EVOLUTIONS)))
        # What an evolution adds has to be trained.
        is_due = (self._n_done + 1) * n_free <= n * epoch.of_round
        return n, is_due and not epoch.is_last

    def __copy__(self) -> RewiringRule:
        """Return the same rule: what parts of a training follow is kept, too."""
        other = object.__new__(type(self))
        other.__setstate__(self.__getstate__())
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: how far the rewiring has come, too."""
        kept = ("_n_done", "_n_at_first", "_is_open", "_stride")
        return super().__getstate__() | {name: getattr(self, name) for name in kept}


def decay(progress: float) -> float:
    """Share of what is to change that is left to change (Zhu & Gupta 2017).

    Parameters
    ----------
    progress : float
        In [0, 1].

    Returns
    -------
    float
        1 at first, 0 in the end. Most is changed early, so that it can be trained.
    """
    return (1 - progress) ** 3


def count_edges(n_nodes: int, density: float) -> int:
    """Count the edges of an acyclic graph.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    density : float
        Share of the possible edges.

    Returns
    -------
    int
        At least one, if there may be one.
    """
    n_possible = math.comb(n_nodes, 2)
    return min(n_possible, max(1, round(density * n_possible)))


def largest(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """Choose the pairs of nodes with the largest scores.

    Parameters
    ----------
    scores : Tensor of shape (n_nodes, n_nodes)
        Not negative.
    among : Tensor of bool of shape (n_nodes, n_nodes)
        The pairs to choose from, of which there are at least `n`.
    n : int
        How many to choose.

    Returns
    -------
    Tensor of bool of shape (n_nodes, n_nodes)
        True for those that are chosen.
    """
    chosen = torch.zeros_like(among)
    places = scores.masked_fill(~among, -1).flatten().topk(n).indices
    chosen.view(-1)[places] = True
    return chosen
