"""FreeNets: an acyclic graph that rewires itself by co-activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.compute.settings import own_settings
from sknm.graph.plan import Plan
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedGraph

CHUNK_ROWS = 2048
"""Rows whose node values are held at a time."""


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
        self._alone = np.zeros(n_nodes)
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
        self._alone += counted.sum(0, dtype=torch.float64).cpu().numpy()
        self._total += len(z) if weights is None else float(weights.double().sum())

    @property
    def active(self) -> np.ndarray:
        """Share of the rows on which both of two nodes are active: NCAM."""
        return self._shares(self._together)

    @property
    def inactive(self) -> np.ndarray:
        """Share of the rows on which neither of two nodes is active: NCIM."""
        either = self._alone[:, None] + self._alone - self._together
        return self._shares(self._total - either)

    def _shares(self, counts: np.ndarray) -> np.ndarray:
        # Rounded, so that weighting rows gives what repeating them does.
        return np.round(counts / max(self._total, 1e-300), self._decimals)


def free_evolve(
    graph: np.ndarray, active: np.ndarray, inactive: np.ndarray, epsilon: float
) -> np.ndarray:
    """Prune and add edges by co-activation, once (FN algorithm 2, FreeEvolve).

    Edges between nodes that are inactive together on more than ``1 - epsilon`` of the
    rows are pruned; between nodes that are active together as often, they are
    added, from the earlier node to the later one.

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
    augment = np.triu(active > threshold, 1)
    # For epsilon >= 1/2 a pair may be in both: what is to be pruned isn't added.
    prune = inactive > threshold
    return (graph | augment) & ~prune


class EvolvingGraph(FixedGraph):
    """Alternates training and FreeEvolve (FN algorithm 1).

    The weights of pruned edges are kept, and edges that come back have them again.

    Parameters
    ----------
    topology : Topology
        Edges to start from, from earlier to later nodes only.

    Attributes
    ----------
    epsilon : float
        Threshold of the evolution.
    interval : int or None
        Epochs between evolutions; None leaves it to :meth:`evolve`'s caller.
    max_evolutions : int
        Most of them after :meth:`start`.
    """

    epsilon: float
    interval: int | None
    max_evolutions: int

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology)
        self._n_epochs = self._n_before = 0
        self._kept: Tensor | None = None
        # The plan at the start and after each evolution, and what was kept then.
        self._past: list[tuple[Plan, Tensor]] = []

    def set_rule(self, epsilon: float, interval: int | None, most: int) -> None:
        """Change threshold, interval and number of the evolutions to come."""
        self.epsilon, self.interval, self.max_evolutions = epsilon, interval, most

    def start(self, W: Tensor) -> Plan:
        """Begin to train `W`; lower triangle and diagonal become zero."""
        W.triu_(1)
        if self._kept is None:
            self._kept = W.clone()
        self._n_before = len(self.history)
        self.plan = Plan(self.topology, W)
        self._past = [(self.plan, self._kept)]
        return self.plan

    def after_epoch(self, network: Any, table: Any, is_last: bool) -> Plan:
        """Evolve if it is time; not after the last epoch: edges have to be trained."""
        self._n_epochs += 1
        is_due = self.interval is not None and self._n_epochs % self.interval == 0
        if is_due and not is_last and not self.is_exhausted:
            seen = self.observe(network, table)
            self.evolve(network.node_weights.data, seen.active, seen.inactive)
        return self.plan

    def resume(self, plan: Plan) -> None:
        """Go back to a plan that was in use before, and forget what came after."""
        super().resume(plan)
        for k, (past, kept) in enumerate(self._past):
            if past is plan:
                self._kept = kept
                del self._past[k + 1 :], self.history[self._n_before + k :]

    def forget(self) -> None:
        """Drop the weights of absent edges."""
        self._kept, self._past = None, []

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: an array instead of the tensor, and no past."""
        kept = None if self._kept is None else self._kept.cpu().numpy()
        return vars(self) | {"_kept": kept, "_past": []}

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        kept = state["_kept"]
        if kept is not None:
            kept = torch.tensor(kept, device="cpu")
        vars(self).update(state | {"_kept": kept})

    @property
    def is_exhausted(self) -> bool:
        """Whether there have been as many evolutions as there may be."""
        return len(self.history) - self._n_before >= self.max_evolutions

    def observe(self, network: Any, table: Any) -> Coactivation:
        """Count co-activations over all rows.

        Parameters
        ----------
        network : GraphNetwork
            The network.
        table : Table
            Training data.

        Returns
        -------
        Coactivation
            Of the network as it is.
        """
        was_training = network.training
        network.eval()
        found = Coactivation(network.n_nodes)
        with torch.inference_mode():
            for start in range(0, len(table), CHUNK_ROWS):
                chunk = table.take(slice(start, start + CHUNK_ROWS))
                found.add(network.solve(chunk.X).value, chunk.weights)
        network.train(was_training)
        return found

    def evolve(self, W: Tensor, active: np.ndarray, inactive: np.ndarray) -> bool:
        """Change the graph, and take up the weights of edges that come back.

        Parameters
        ----------
        W : Tensor of shape (n_nodes, n_nodes)
            Weights, changed in place.
        active, inactive : ndarray of shape (n_nodes, n_nodes)
            NCAM and NCIM.

        Returns
        -------
        bool
            Whether an edge was pruned or added.
        """
        self.finish(W)
        before = self.topology.to_dense()
        after = free_evolve(before, active, inactive, self.epsilon)
        self.history.append(
            {
                "pruned": int((before & ~after).sum()),
                "added": int((after & ~before).sum()),
                "left": int(after.sum()),
            }
        )
        self.topology = Topology(after)
        self.plan = Plan(self.topology, W)
        assert self._kept is not None, "finish has set it"
        self._past.append((self.plan, self._kept))
        return bool((before != after).any())

    def finish(self, W: Tensor) -> Plan:
        """Put back the weights of pruned edges, which the optimiser may have moved."""
        if self._kept is not None:  # else they are as they were
            torch.where(self.plan.mask > 0, W, self._kept.to(W.device), out=W)
        self._kept = W.clone()
        return self.plan
