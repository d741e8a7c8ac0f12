"""Neural Modules: the threshold, and the proximal steps that make modules form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sknm.graph.topology import Topology

PENALTIES = ("evidence", "bridge", "nm", "l1", "l2")


def soft_threshold_(W: Tensor, amount: Tensor | float) -> None:
    """Minimiser of ``(w - v)² / 2 + amount · |v|`` over v, in place (NM eq. 9)."""
    if isinstance(amount, Tensor):
        W.sub_(torch.clamp(W, -amount, amount))
    else:
        amount = min(amount, torch.finfo(W.dtype).max)
        W.sub_(W.clamp(-amount, amount))


def shrink(w: Tensor, amount: Tensor | float) -> Tensor:
    """Minimiser of ``(w - v)² / 2 + amount · v²`` over v, elementwise (NM eq. 10)."""
    return w / (1 + 2 * amount)


@dataclass(frozen=True)
class ModulePenalty:
    """What an edge costs, given the modules that exist.

    Attributes
    ----------
    kind : {"evidence", "bridge", "nm", "l1", "l2"} or None
        ``"evidence"``: an edge between two modules doesn't exist until it is shown that
        they have a use for each other, that exceeds a price; inside, it costs nothing.
        ``"bridge"``: an edge between two modules costs the share of all nodes that
        lies in the module it would make, an edge inside a module nothing.
        ``"nm"``: an edge into node j costs the size ``s_j`` of j's module (NM eq. 6-8).
        ``"l1"``, ``"l2"``: every edge costs 1.
    strength : float
        ``lambda_NM``.
    norm : {"l1", "l2"}
        Whether an edge's size is ``|w|`` or ``w²``; ``kind="l1"`` and ``kind="l2"`` say
        so themselves.
    measure : {"share", "edges"}
        What the size of a module is: its share of the nodes, or its number of edges.
    """

    kind: str | None
    strength: float
    norm: str = "l1"
    measure: str = "share"

    @property
    def prices_bridges_only(self) -> bool:
        """Whether edges inside a module are free."""
        return self.kind in ("evidence", "bridge")

    def prices(self, topology: Topology, connection: str = "weak") -> np.ndarray:
        """Price of each edge, exists it or not; of bridges, `sizes` tells.

        Parameters
        ----------
        topology : Topology
            The edges above the threshold.
        connection : {"weak", "strong"}, default="weak"
            Which components are the modules.

        Returns
        -------
        ndarray that broadcasts to (n_nodes, n_nodes)
            ``s`` of NM eq. (6), to be multiplied by ``lambda_NM``.
        """
        if self.kind in ("l1", "l2"):
            return np.ones((1, 1))
        return self.sizes(topology, connection)[None, :]

    def sizes(self, topology: Topology, connection: str = "weak") -> np.ndarray:
        """Size of the module of each node.

        Parameters
        ----------
        topology : Topology
            The edges above the threshold.
        connection : {"weak", "strong"}, default="weak"
            Which components are the modules.

        Returns
        -------
        ndarray of shape (n_nodes,)
            Its share of the nodes, or its number of edges.
        """
        labels = topology.labels(connection)
        if self.measure == "share":
            return (np.bincount(labels) / topology.n_nodes)[labels]
        source, target = topology.edges.nonzero()
        inside = labels[source] == labels[target]
        counts = np.bincount(labels[source[inside]], minlength=labels.max() + 1)
        return counts[labels] * 1.0

    def apply(self, W: Tensor, prices: Tensor | float, step_size: float) -> None:
        """Proximal step on the weights, in place.

        Parameters
        ----------
        W : Tensor of shape (n_nodes, n_nodes)
            Weights after the optimiser's step.
        prices : Tensor or float
            What :meth:`prices` gave, or the price of all.
        step_size : float
            Step size of the optimiser, which scales the proximal step.
        """
        strength = min(step_size * self.strength, torch.finfo(W.dtype).max)
        amount = prices * strength
        if self.kind == "l2" or (self.kind != "l1" and self.norm == "l2"):
            W.copy_(shrink(W, amount))
        else:
            soft_threshold_(W, amount)


FREE = ModulePenalty(None, 0.0)
"""Edges cost nothing."""


def admissible_merges(
    labels: np.ndarray, pairs: np.ndarray, limit: float
) -> list[bool]:
    """Join modules pair by pair, as long as none gets too large.

    Parameters
    ----------
    labels : ndarray of shape (n_nodes,)
        Module of each node.
    pairs : ndarray of shape (n_pairs, 2)
        Modules that an edge would join, in the order in which they are tried.
    limit : float
        Most nodes of a module that joining makes.

    Returns
    -------
    list of bool
        For each pair, whether both are in one module now.
    """
    sizes = np.bincount(labels)
    root = np.arange(len(sizes))
    outcomes = []
    for a, b in root[pairs] if len(pairs) else ():
        a, b = _find(root, a), _find(root, b)
        if a != b and sizes[a] + sizes[b] <= limit:
            root[b] = a
            sizes[a] += sizes[b]
            b = a
        outcomes.append(bool(a == b))
    return outcomes


def _find(root: np.ndarray, k: int) -> int:
    while root[k] != k:
        k = root[k]
    return int(k)
