"""Which modules merge: those whose nodes have a use for each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.graph.components import PADDING_WASTE, members
from sknm.plasticity.evidence import (
    asked_where_active,
    chances,
    degrees_of_freedom,
    discoveries,
    lone_errors,
)
from sknm.plasticity.modules import ModulePenalty
from sknm.plasticity.rule import Step
from sknm.plasticity.watch import Watch

MERGE_RATE = 0.1
"""False discovery rate of pairs of modules that have a use for each other."""

LARGEST_SHARE = 0.4
"""Most of the nodes that are in a module which merging makes, unless ``1 / lambda_NM``
is more."""

LARGEST_SIZE, FULL_STRENGTH = 64, 10.0
"""Most nodes of such a module, since time grows with it, and the least `lambda_NM` for
which that is so; modules may be the larger the less it is."""

FIRST_STEPS = 7.5
"""How far weights may have moved before modules merge, in steps of the full learning
rate: until then, all modules ask for the same."""

LONGEST_PAUSE = 7
"""Most epochs that are not looked at after one without a merge."""

OBSERVED_ROWS, OBSERVED_VALUES = 2048, 2**22
"""About how many rows of an epoch are looked at, and most values of their nodes."""

AWAKE_SHARE = 0.1
"""Share of the edges between two modules that exist when they have merged: those that
lower the loss most."""

START, LARGEST_START = 1.3, 1.0
"""What these edges start at, in thresholds, and the most that blocks bear: with larger
thresholds modules don't merge."""

MOST_MODULES = 2048
"""Modules from which on they don't merge: there are too many pairs of them."""

PANEL_PAIRS = 2**22
"""Pairs of nodes that are looked at at a time."""


class Encounters:
    """What modules have to give each other, as the rows of an epoch show it.

    Edges between modules have the weight zero, or one below the threshold that has no
    effect: what a node j asks for, ``δ_j`` without its slope, is what its module and
    the outputs leave unexplained. Where it has something in common with the values of a
    node of another module while j is active, beyond what it has on average, an edge
    would be worth something, as it is with features.

    Attributes
    ----------
    above : ndarray of int
        ``i * n_nodes + j`` of the edges by which modules are being merged.
    """

    def __init__(self) -> None:
        self._tau: float
        self._penalty: ModulePenalty
        self._rate: float
        self._watch = Watch(OBSERVED_ROWS)
        self._way = 0.0
        self._rest = self._pause = 0  # epochs that are not looked at
        self.above = np.arange(0)
        self._forget()

    def start(self, W: Tensor, tau: float, penalty: ModulePenalty, rate: float) -> None:
        """Begin a training, given threshold, what merging costs, and learning rate."""
        vars(self).update(vars(self.at_rest()))
        self._tau, self._penalty, self._rate = tau, penalty, rate
        most = OBSERVED_VALUES // max(1, len(W))
        self._watch = Watch(max(1, min(OBSERVED_ROWS, most)))

    @torch.no_grad()
    def observe(self, step: Step) -> None:
        """Look at the rows of a step, if it is one of those that are looked at."""
        self._way += step.size
        self._watch.follow(step.size)
        is_due = self._way > FIRST_STEPS * self._rate and not self._rest
        if step.seen is None or not is_due:
            return
        flow, ends = step.seen
        z, weights = flow.z, step.weights
        n = self._watch.take(z.shape[1]) if self._watch.is_early else 0
        if not n or (weights is not None and not weights.any()):
            return
        factors = lone_errors(ends.errors, weights)
        asked = asked_where_active(flow, ends, weights, factors)
        if weights is None:
            given = z - z.mean(1, keepdim=True)
        else:  # the product of both has a row's weight once
            roots = weights.sqrt()
            given = (z - (z @ weights / weights.sum())[:, None]) * roots
            asked = asked * roots
        self._given.append(given[:, :n])
        self._asked.append(asked[:, :n])

    @torch.no_grad()
    def merge(self, W: Tensor, labels: np.ndarray, novelty: float) -> bool:
        """Set edges between the modules that are to merge, after an epoch.

        Parameters
        ----------
        W : Tensor of shape (n_nodes, n_nodes)
            Weights.
        labels : ndarray of int of shape (n_nodes,)
            Module of each node.
        novelty : float
            Different rows per weight.

        Returns
        -------
        bool
            Whether any are to merge.
        """
        size, given, asked = self._watch.size, self._given, self._asked
        self._forget()
        if not given:
            self._rest = max(0, self._rest - 1)
            return False
        self._watch.epoch()
        if START * self._tau >= LARGEST_START or labels.max() >= MOST_MODULES:
            return False
        # Neither scale has an effect, but squares must not overflow.
        x, a = (within_one(torch.cat(parts, 1)) for parts in (given, asked))
        x = x / x.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30)
        pairs = self._chosen(x, a, labels, novelty)
        self._pause = 0 if pairs else min(LONGEST_PAUSE, 2 * self._pause + 1)
        self._rest = self._pause
        nodes = members(labels)
        found = [np.arange(0)]
        start = max(START * self._tau, size)
        for source, target in (*pairs, *((b, a) for a, b in pairs)):
            i = torch.as_tensor(nodes[source], device=W.device)
            j = torch.as_tensor(nodes[target], device=W.device)
            gradient = (x[i] @ a[j].t()).view(-1)
            strongest = gradient.abs().topk(max(1, int(AWAKE_SHARE * len(gradient))))
            k = strongest.indices
            source_nodes, target_nodes = i[k // len(j)], j[k % len(j)]
            W[source_nodes, target_nodes] = -gradient[k].sign() * start
            found.append((source_nodes * len(W) + target_nodes).cpu().numpy())
        self.above = np.sort(np.concatenate(found))
        return len(pairs) > 0

    def _chosen(
        self, x: Tensor, asked: Tensor, labels: np.ndarray, novelty: float
    ) -> list[tuple[int, int]]:
        """Pair modules, those that have most use for each other first."""
        found, ratios = use_for_each_other(x, asked, labels, novelty)
        counts = np.bincount(labels)
        share = (counts[:, None] + counts) / len(labels)
        apart = ~np.eye(len(counts), dtype=bool)
        worth = np.zeros(found.shape, dtype=bool)
        worth[apart] = discoveries(found[apart], MERGE_RATE)
        worth &= ratios >= 1 + self._penalty.strength * share
        strength = max(self._penalty.strength, 1e-300)
        worth &= share <= max(LARGEST_SHARE, 1 / strength)
        most = LARGEST_SIZE * max(1.0, FULL_STRENGTH / strength)
        worth &= share * len(labels) <= most
        # Of other sizes, modules would have to be solved one batch after the other.
        worth &= counts[:, None] <= counts * PADDING_WASTE
        worth &= counts <= counts[:, None] * PADDING_WASTE
        value = np.where(worth, ratios / (1 + self._penalty.strength * share), -np.inf)
        value = np.maximum(value, value.T)
        first, second = np.nonzero(np.triu(np.isfinite(value), 1))
        order = np.argsort(-value[first, second], kind="stable")
        taken: set[int] = set()
        pairs = []
        for pair in zip(first[order].tolist(), second[order].tolist(), strict=True):
            if taken.isdisjoint(pair):
                taken.update(pair)
                pairs.append(pair)
        return pairs

    def _forget(self) -> None:
        self._given: list[Tensor] = []
        self._asked: list[Tensor] = []

    def at_rest(self) -> Encounters:
        """Make the same without what only steps that follow at once would need."""
        other = Encounters()
        other.__setstate__(self.__getstate__())
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: not what a start makes anew."""
        return {k: getattr(self, k) for k in ("_way", "_rest", "_pause")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state."""
        vars(self).update(vars(Encounters()) | state)


def within_one(values: Tensor) -> Tensor:
    """Scale values to at most 1 by a power of two, which rounds nothing."""
    _, exponent = torch.frexp(values.abs().max())
    return torch.ldexp(values, -exponent)


def use_for_each_other(
    x: Tensor, asked: Tensor, labels: np.ndarray, novelty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find how much of what modules ask for a node of another one explains.

    Parameters
    ----------
    x : Tensor of shape (n_nodes, n_samples)
        Values of the nodes, of mean 0 and mean square 1.
    asked : Tensor of shape (n_nodes, n_samples)
        What they ask for where they are active.
    labels : ndarray of int of shape (n_nodes,)
        Module of each.
    novelty : float
        Different rows per weight.

    Returns
    -------
    chances : ndarray of shape (n_modules, n_modules)
        How likely as much is by chance, from modules (rows) to modules (columns).
    ratios : ndarray of shape (n_modules, n_modules)
        How much more a node explains, on average, than it does by chance.
    """
    n_modules = int(labels.max()) + 1
    module = torch.as_tensor(labels, device=x.device)
    sums = x.new_zeros(n_modules, n_modules)
    n_panel = max(1, PANEL_PAIRS // len(x))
    for panel in torch.arange(len(x), device=x.device).split(n_panel):
        squares = (x[panel] @ asked.t()).square()
        by_target = squares.new_zeros(len(panel), n_modules)
        by_target.index_add_(1, module, squares)
        sums.index_add_(0, module[panel], by_target)
    is_used = (x.square().sum(1) > 0).double().cpu().numpy()
    counts = np.bincount(labels, is_used)
    sizes = np.bincount(labels, asked.square().sum(1).double().cpu().numpy())
    expected = np.maximum(np.outer(counts, sizes), 1e-300)
    ratios = novelty * sums.double().cpu().numpy() / expected
    widths, freedom = np.ones(n_modules), np.ones(n_modules)
    for k, nodes in enumerate(members(labels)):
        own = torch.as_tensor(nodes, device=x.device)
        widths[k] = degrees_of_freedom(x[own] @ x[own].t())
        freedom[k] = degrees_of_freedom(asked[own] @ asked[own].t())
    found = chances(ratios, np.outer(widths, freedom))
    return found, ratios
