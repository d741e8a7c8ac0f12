"""FreeNets: an acyclic graph that rewires itself by co-activation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm._wording import counted
from sknm.graph.plan import Plan
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.rule import Change, Epoch

N_BINS = 50
"""Bins by which pairs of nodes are counted, from 0 to 1."""


class Coactivation:
    """How often pairs of nodes are active, or inactive, together (FN, NCAM and NCIM).

    A node is active on a row when its value is above zero. Rows are added chunk by
    chunk, so that no more than a chunk's node values are ever in memory.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    """

    def __init__(self, n_nodes: int) -> None:
        self._together = np.zeros((n_nodes, n_nodes))
        self._total = 0.0
        self._decimals = 12

    def add(self, z: Tensor, weights: Tensor | None = None) -> None:
        """Count some rows.

        Parameters
        ----------
        z : Tensor of shape (n_samples, n_nodes)
            Node values.
        weights : Tensor of shape (n_samples,), default=None
            Weights of the rows; None counts each once.
        """
        if weights is not None and weights.dtype == torch.float32:
            self._decimals = 6  # weights have no more
        active = (z > 0).to(torch.float64 if weights is not None else torch.float32)
        counted = active if weights is None else active * weights.double()[:, None]
        # Whole numbers of this size are exact in single precision.
        self._together += (counted.T @ active).double().cpu().numpy()
        self._total += len(z) if weights is None else float(weights.double().sum())

    def of_nodes(self, nodes: np.ndarray) -> Coactivation:
        """Take what is known of some of the nodes.

        Parameters
        ----------
        nodes : ndarray of int of shape (n_kept,)
            Which nodes.

        Returns
        -------
        Coactivation
            Of these alone.
        """
        other = Coactivation(len(nodes))
        other._together = self._together[np.ix_(nodes, nodes)]
        other._total, other._decimals = self._total, self._decimals
        return other

    @property
    def active(self) -> np.ndarray:
        """Share of the rows on which both of two nodes are active: NCAM."""
        return self._shares(self._together)

    @property
    def inactive(self) -> np.ndarray:
        """Share of the rows on which neither of two nodes is active: NCIM."""
        alone = self._together.diagonal()
        either = alone[:, None] + alone - self._together
        return self._shares(self._total - either)

    def count_pairs(self) -> list[list[int]]:
        """Count the pairs of different nodes by NCAM, and by NCIM.

        Returns
        -------
        list of list of int of shape (2, N_BINS)
            Pairs whose share is in each of the bins.
        """
        return [count_pairs(self.active).tolist(), count_pairs(self.inactive).tolist()]

    def _shares(self, counts: np.ndarray) -> np.ndarray:
        # Rounded, so that weighting rows gives what repeating them does.
        return np.round(counts / max(self._total, 1e-300), self._decimals)

    def __getstate__(self) -> dict[str, Any]:
        """Return a triangle, as whole numbers of the least size if they are whole."""
        counts = self._together[np.triu_indices(len(self._together))]
        kind = np.min_scalar_type(int(counts.max(initial=0)))
        is_whole = (counts == counts.astype(kind)).all()
        return vars(self) | {
            "_together": counts.astype(kind) if is_whole else counts,
            "_n_nodes": len(self._together),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state."""
        n = state.pop("_n_nodes")
        counts = np.zeros((n, n))
        counts[np.triu_indices(n)] = state["_together"]
        counts += np.triu(counts, 1).T
        vars(self).update(state | {"_together": counts})


def count_pairs(shares: np.ndarray) -> np.ndarray:
    """Count pairs of different nodes by what they share.

    Parameters
    ----------
    shares : ndarray of shape (n_nodes, n_nodes)
        NCAM or NCIM.

    Returns
    -------
    ndarray of int of shape (N_BINS,)
        Pairs whose share is in each of the bins.
    """
    both, own = (
        np.histogram(s, N_BINS, (0, 1))[0] for s in (shares, shares.diagonal())
    )
    return (both - own) // 2  # each pair is there twice


def free_evolve(
    graph: np.ndarray, active: np.ndarray, inactive: np.ndarray, epsilon: float
) -> np.ndarray:
    """Prune and add edges by co-activation, once (FN algorithm 2, FreeEvolve).

    Edges between nodes that are inactive together on more than ``1 - epsilon`` of the
    rows are pruned; between nodes that are active together as often, edges that are
    not there are added, from the earlier node to the later one. From ``epsilon=0.5``
    on, a pair may be both: then it is joined if it was not, parted if it was, and
    evolutions may never end.

    Parameters
    ----------
    graph : ndarray of bool of shape (n_nodes, n_nodes)
        The edges, strictly upper triangular.
    active, inactive : ndarray of shape (n_nodes, n_nodes)
        NCAM and NCIM.
    epsilon : float
        In (0, 1).

    Returns
    -------
    ndarray of bool of shape (n_nodes, n_nodes)
        The edges afterwards, strictly upper triangular.
    """
    # Below 1, so that what is always so counts for the smallest epsilon, too.
    threshold = min(round(1 - epsilon, 12), np.nextafter(1.0, 0.0))
    # Both matrices are symmetric: only the upper triangle keeps the graph acyclic.
    augment = np.triu(active > threshold, 1) & ~graph
    prune = (inactive > threshold) & graph
    return (graph & ~prune) | (augment & ~prune)


@dataclass
class EvolvingRule(FixedRule):
    """Alternates training and FreeEvolve (FN algorithm 1).

    The weights of pruned edges are kept, and edges that come back have them again.

    Attributes
    ----------
    epsilon : float
        Threshold of the evolution.
    interval : int or None
        Epochs between evolutions; None evolves after the last epoch of a training, and
        asks for another round of it until nothing changes.
    max_evolutions : int
        Most of them after :meth:`start`.
    """

    epsilon: float = 0.25
    interval: int | None = None
    max_evolutions: int = 10

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""
        self._n_before = 0
        self._known: Plan | None = None  # since which weights are kept
        self._kept: Tensor | None = None

    @torch.no_grad()
    def start(self, graph: EquationState) -> None:
        """Begin to train; lower triangle and diagonal become zero."""
        self.end(graph)
        if graph.plan.is_sparse:
            graph.rewire(graph.topology)
        graph.weights.triu_(1)
        self._keep(graph)
        self._n_before = len(graph.log)
        self.train_edges(graph)

    def epoch(self, graph: EquationState, epoch: Epoch) -> Change:
        """Evolve if it is time; not at the end, unless edges are trained thereafter."""
        goes_on, record = False, None
        if self._is_due(epoch) and not self.is_exhausted(graph):
            assert epoch.node_values is not None, "co-activation is of node values"
            seen = observe(graph.n_nodes, epoch.node_values)
            record = None if graph.log else seen.count_pairs()
            goes_on = self.evolve(graph, seen) and epoch.is_last
        summary = counted(graph.topology.n_edges, "edge")
        return Change(record=record, goes_on=goes_on, summary=summary)

    @torch.no_grad()
    def end(self, graph: EquationState) -> None:
        """Put back the weights of pruned edges, which the optimiser may have moved."""
        if self._kept is not None and self._known is graph.plan:
            W, kept = graph.weights.data, self._kept.to(graph.device)
            torch.where(graph.plan.mask > 0, W, kept, out=W)

    def is_exhausted(self, graph: EquationState) -> bool:
        """Whether there have been as many evolutions as there may be."""
        return len(graph.log) - self._n_before >= self.max_evolutions

    def evolve(self, graph: EquationState, seen: Coactivation) -> bool:
        """Change the graph, and take up the weights of edges that come back.

        Parameters
        ----------
        graph : EquationState
            The graph.
        seen : Coactivation
            Of its nodes.

        Returns
        -------
        bool
            Whether an edge was pruned or added.
        """
        self.end(graph)
        before = graph.topology.to_dense()
        after = free_evolve(before, seen.active, seen.inactive, self.epsilon)
        graph.log.append(
            {
                "pruned": int((before & ~after).sum()),
                "added": int((after & ~before).sum()),
                "left": int(after.sum()),
            }
        )
        graph.rewire(Topology(after))
        self._keep(graph)
        self.train_edges(graph)
        return bool((before != after).any())

    def _keep(self, graph: EquationState) -> None:
        """Keep the weights, those of absent edges among them."""
        self._known, self._kept = graph.plan, graph.weights.detach().clone()

    def _is_due(self, epoch: Epoch) -> bool:
        if self.interval is None:
            return epoch.is_last
        return epoch.number % self.interval == 0 and not epoch.is_last


def observe(
    n_nodes: int, node_values: Callable[[], Iterator[tuple[Tensor, Tensor | None]]]
) -> Coactivation:
    """Count co-activations over all rows.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    node_values : callable
        As an epoch offers it.

    Returns
    -------
    Coactivation
        Of the network as it is.
    """
    found = Coactivation(n_nodes)
    for z, weights in node_values():
        found.add(z, weights)
    return found
