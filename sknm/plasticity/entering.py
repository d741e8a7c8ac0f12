"""Which features enter which modules: edges of the graph like all others."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from sknm.graph.entries import Affinity, Entries
from sknm.graph.origin import Origin
from sknm.graph.state import GraphState
from sknm.graph.trace import Ends, Flow
from sknm.plasticity.evidence import (
    asked_where_active,
    chances,
    degrees_of_freedom,
    discoveries,
    least_of,
    lone_errors,
)
from sknm.plasticity.rule import Change, Epoch, Remade, Rule, Step
from sknm.plasticity.watch import Watch

LINK_RATE = 0.1
"""False discovery rate of links between features that are awake and modules."""

LEAST_CHANCE = 1e-4
"""How unlikely evidence for a feature has to be that was asleep until now: it is looked
for many times."""

PRICE = 1e-3
"""Least share of what a module's nodes ask for that a link has to explain, beyond what
it explains by chance."""

OBSERVED_ROWS = 4096
"""About how many rows of an epoch are looked at, and of the next epoch none: evidence
of another epoch is of the same rows, and costs as much."""


@dataclass
class EnteringRule(Remade):
    """Lets features enter the modules that they are worth something to.

    A graph starts with the links that scouting has found: each module gets a column
    that tells something of the targets, or several, and the columns that interact with
    these. All other links are asleep. While the graph is trained, a link wakes when
    what it would explain exceeds chance and its price: what a feature has in common
    with what the nodes of a module ask for *where they are active*, beyond what they
    ask for on average, which other modules may give.

    Attributes
    ----------
    inner : Rule
        What changes the edges between nodes.
    rate : float or None
        False discovery rate of features; None has all of them enter everything.
    unit : {"node", "module", "graph"}
        Whose nodes get the same features: each chooses its own, or those of a weak
        component of the graph at the start, or all of them get the same ones.
    """

    inner: Rule[Any]
    rate: float | None = None
    unit: str = "graph"

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""
        self._watch, self._is_due = Watch(OBSERVED_ROWS), True
        self._evidence: Evidence | None = None
        self._labels: np.ndarray | None = None

    def start(self, graph: GraphState) -> None:
        """Begin a training, the first one with the links that scouting has found."""
        self.inner.start(graph)
        self._watch.start()
        self._evidence, self._is_due = None, True
        self._start_links(graph)
        if graph.origin is None:
            graph.origin = Origin.of(graph)

    def _start_links(self, graph: GraphState) -> None:
        entries = graph.entries
        if entries is None:
            return
        self._labels = self._units(graph, entries)
        if self.rate is None:
            entries.adopt(None)
        elif entries.affinity is not None:
            start_links(entries, entries.affinity, self._labels)
        entries.affinity = None

    def step(self, graph: GraphState, step: Step) -> None:
        """Follow a step of the optimiser, and gather evidence."""
        self.inner.step(graph, step)
        self._watch.follow(step.size)
        if step.seen is None or not self._is_looking(graph):
            return
        flow, ends = step.seen
        if not isinstance(ends.inputs, Tensor):  # sparse rows
            return
        weights = step.weights
        is_empty = weights is not None and not weights.any()
        if self._watch.take(flow.delta.shape[1]) and not is_empty:
            if self._evidence is None:
                assert graph.entries is not None, "links are asleep"
                self._evidence = Evidence(graph.entries.novelty)
            n_inlets = len(self._labels) if self._labels is not None else 0
            self._evidence.add(flow, ends, step.weights, n_inlets)

    def epoch(self, graph: GraphState, epoch: Epoch) -> Change:
        """Wake the links that are worth it."""
        change = self.inner.epoch(graph, epoch)
        evidence, self._evidence = self._evidence, None
        if self._is_due:
            self._watch.epoch()
        self._is_due = not self._is_due
        entries = graph.entries
        if entries is not None:
            if evidence is not None and self._labels is not None:
                assert self.rate is not None, "else all are awake"
                wake(entries, evidence, self._labels, self.rate)
            if isinstance(change.record, dict):
                change.record["links"] = float(entries.present.mean())
        return change

    def end(self, graph: GraphState) -> None:
        """Bring the graph into the state in which a training leaves it."""
        self.inner.end(graph)

    def __copy__(self) -> EnteringRule:
        """Return the same rule as it is between two trainings."""
        other: EnteringRule = super().__copy__()
        other.inner = copy.copy(self.inner)
        return other

    def _is_looking(self, graph: GraphState) -> bool:
        entries = graph.entries
        is_asleep = entries is not None and entries.links is not None
        return is_asleep and self._watch.is_early and self._is_due

    def _units(self, graph: GraphState, entries: Entries) -> np.ndarray:
        n = int(entries.weights.shape[1])
        topology = getattr(graph, "topology", None)
        if self.unit == "node":
            return np.arange(n)
        if self.unit == "graph" or topology is None:
            return np.zeros(n, dtype=int)
        return np.unique(topology.labels("weak")[:n], return_inverse=True)[1]


class Evidence:
    """What speaks for links, summed over the rows of an epoch.

    Parameters
    ----------
    novelty : float
        Different rows per weight.
    """

    def __init__(self, novelty: float) -> None:
        self._novelty = novelty
        self._sums: Tensor | None = None
        self.n_rows = 0.0

    @torch.no_grad()
    def add(
        self, flow: Flow, ends: Ends, weights: Tensor | None, n_inlets: int
    ) -> None:
        """Add the rows of a step.

        Parameters
        ----------
        flow : Flow
            Values and adjoints of the step.
        ends : Ends
            What there was at both ends of the graph.
        weights : Tensor of shape (n_samples,) or None
            Weights of the rows.
        n_inlets : int
            Number of nodes that inputs enter, from the first on.
        """
        factors = lone_errors(ends.errors, weights)
        errors, x = ends.errors * factors, ends.inputs
        assert isinstance(x, Tensor), "sparse rows are not looked at"
        asked = asked_where_active(flow, ends, weights, factors)[:n_inlets]
        x = x.detach()
        self._asked, self._x, self._errors = asked, x, errors
        own = x if weights is None else x * weights[:, None]
        sums = own.t() @ asked.t()
        means = own.t() @ errors
        squares = (own * x).sum(0)
        sizes = _summed(asked.square(), weights)
        total = _summed(errors.t().square(), weights).sum()
        rows = float(len(errors) if weights is None else weights.sum())
        if self._sums is None:
            self._sums, self._means = sums, means
            self._squares, self._sizes, self._total = squares, sizes, total
        else:
            self._sums += sums
            self._means += means
            self._squares += squares
            self._sizes += sizes
            self._total += total
        self.n_rows += rows

    def of_links(
        self, columns: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return chances and shares explained of links, (n_columns, n_units) both."""
        assert self._sums is not None, "there was a step"
        rates, counts = self._rates(columns)
        n_units = int(labels.max()) + 1
        squares = self._sums.double().square()  # which single precision may not hold
        sums = _grouped(squares * rates[:, None], columns, labels)
        sizes = np.bincount(labels, self._sizes.double().cpu(), n_units)
        ratios = self._novelty * sums / np.maximum(np.outer(counts, sizes), 1e-300)
        freedom = np.ones(n_units)
        for unit in np.flatnonzero(np.bincount(labels) > 1):
            asked = self._asked[torch.as_tensor(np.flatnonzero(labels == unit))]
            freedom[unit] = degrees_of_freedom(asked @ asked.t())
        found = chances(ratios, np.outer(self._widths(columns), freedom))
        return found, (ratios - 1) / max(1.0, self._novelty * self.n_rows)

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        """Return the chances of what columns explain by themselves, (n_columns,)."""
        rates, counts = self._rates(columns)
        one = np.zeros(self._means.shape[1], dtype=int)
        squares = self._means.double().square()
        sums = _grouped(squares * rates[:, None], columns, one)[:, 0]
        expected = np.maximum(counts * float(self._total), 1e-300)
        ratios = self._novelty * sums / expected
        freedom = degrees_of_freedom(self._errors.t() @ self._errors)
        return chances(ratios, self._widths(columns) * freedom)

    def _rates(self, columns: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Return what makes inputs of unit variance, and how many columns have."""
        squares = self._squares / self.n_rows
        is_used = squares > 0
        rates = torch.where(is_used, 1 / squares.clamp_min(1e-30), 0.0)
        counts = np.bincount(columns, is_used.double().cpu(), columns.max() + 1)
        return rates, counts

    def _widths(self, columns: np.ndarray) -> np.ndarray:
        """Count the independent inputs of each column."""
        x = self._x / self._x.square().mean(0).sqrt().clamp_min(1e-30)
        products = x.t() @ x
        traces = np.bincount(columns, products.diagonal().double().cpu())
        places = torch.as_tensor(columns, device=x.device)
        products.square_().mul_(places[:, None] == places)
        total = np.bincount(columns, products.sum(1).double().cpu())
        return np.where(total > 0, traces**2 / np.where(total > 0, total, 1), 1.0)


def start_links(entries: Entries, affinity: Affinity, labels: np.ndarray) -> None:
    """Begin with the links that scouting has found.

    Parameters
    ----------
    entries : Entries
        The edges from inputs, whose weights are drawn for all of them.
    affinity : Affinity
        What is known of the columns.
    labels : ndarray of int of shape (n_inlets,)
        The unit that each node belongs to.
    """
    links = links_of_units(affinity, int(labels.max(initial=-1)) + 1)
    begin_with(entries, links[entries.columns][:, labels])


@torch.no_grad()
def begin_with(entries: Entries, present: np.ndarray) -> None:
    """Leave only some edges before a training; what enters a node keeps its size.

    Parameters
    ----------
    entries : Entries
        The edges from inputs, whose weights are drawn for all of them.
    present : ndarray of bool of shape (n_inputs, n_inlets)
        Which edges exist.
    """
    variances = entries.variances
    if variances is None:
        variances = np.ones(len(present))
    entering = variances @ present
    scale = np.sqrt(variances.sum() / np.maximum(entering, 1e-300))
    scale[entering == 0] = 1
    entries.weights.mul_(torch.as_tensor(scale).to(entries.weights))
    entries.adopt(present)


def links_of_units(affinity: Affinity, n_units: int) -> np.ndarray:
    """Choose columns for each unit: some to begin with, and what interacts with these.

    Parameters
    ----------
    affinity : Affinity
        What is known of the columns.
    n_units : int
        Number of units.

    Returns
    -------
    ndarray of bool of shape (n_columns, n_units)
        Which columns enter which units; each useful one enters one at least.
    """
    together = affinity.together
    columns = np.flatnonzero(affinity.useful)
    links = np.zeros((len(affinity.useful), n_units), dtype=bool)
    if n_units == 0 or not len(columns):
        return links
    seeds = _seeds(together[np.ix_(columns, columns)], n_units)
    for unit, own in enumerate(seeds):
        links[columns[own], unit] = True
        links[:, unit] |= together[columns[own]].any(0)
    return links


def _seeds(together: np.ndarray, n_units: int) -> list[np.ndarray]:
    """Share columns out: each to units of its own, or similar ones to the same."""
    n = len(together)
    if n <= n_units:
        return [np.array([unit % n]) for unit in range(n_units)]
    # Columns are similar if they interact with the same ones.
    vectors = together | np.eye(n, dtype=bool)
    common = vectors.astype(float) @ vectors
    either = vectors.sum(1)[:, None] + vectors.sum(1) - common
    distances = 1 - common / either
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average")
    groups = fcluster(tree, n_units, "maxclust") - 1
    found = [np.flatnonzero(groups == k) for k in range(groups.max() + 1)]
    return [found[unit % len(found)] for unit in range(n_units)]


def wake(entries: Entries, evidence: Evidence, labels: np.ndarray, rate: float) -> None:
    """Let links come that are worth it.

    Parameters
    ----------
    entries : Entries
        The edges from inputs.
    evidence : Evidence
        What speaks for those that are asleep.
    labels : ndarray of int of shape (n_inlets,)
        The unit that each node belongs to.
    rate : float
        False discovery rate of features.
    """
    columns, present = entries.columns, entries.present
    n_units = int(labels.max()) + 1
    links: np.ndarray = _grouped(torch.as_tensor(present).double(), columns, labels) > 0
    found, explained = evidence.of_links(columns, labels)
    awake = np.asarray(links.any(1))
    coming = np.zeros_like(links)
    asleep = awake[:, None] & ~links
    coming[asleep] = discoveries(found[asleep], LINK_RATE)
    coming &= explained >= PRICE
    alone, inside = evidence.of_columns(columns), least_of(found)
    both = np.minimum(1, 2 * np.minimum(alone, inside))
    new = ~awake & discoveries(both, rate) & (both <= LEAST_CHANCE)
    load = links.sum(0)
    for column in np.flatnonzero(new):
        if inside[column] <= alone[column]:
            coming[column, found[column].argmin()] = True
        else:  # a few of the units that have the fewest
            n = max(1, n_units // max(1, int(awake.sum())))
            coming[column, np.argsort(load, kind="stable")[:n]] = True
        load += coming[column]
    if coming.any():
        entries.adopt(present | coming[columns][:, labels])


def _grouped(values: Tensor, columns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sum over the inputs of columns and the nodes of units."""
    values = values.double().cpu()
    by_column = torch.zeros(int(columns.max()) + 1, values.shape[1]).double()
    by_column.index_add_(0, torch.as_tensor(columns), values)
    found = torch.zeros(len(by_column), int(labels.max()) + 1).double()
    return found.index_add_(1, torch.as_tensor(labels), by_column).numpy()


def _summed(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum(1) if weights is None else values @ weights
