"""What a graph was before it was trained, to tell what it has learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Origin:
    """How a graph started, in few bytes.

    Attributes
    ----------
    n_edges : int
        Number of edges between nodes.
    labels : ndarray of int of shape (n_nodes,)
        Module of each node: its weak component.
    bits : ndarray of uint8 or None
        Which columns entered which nodes, packed; None for all.
    """

    n_edges: int
    labels: np.ndarray
    bits: np.ndarray | None

    @classmethod
    def of(cls, graph: Any) -> Origin:
        """Take note of a graph as it is.

        Parameters
        ----------
        graph : GraphState
            The graph; one without edges has one module.

        Returns
        -------
        Origin
            What it is at that time.
        """
        topology, entries = getattr(graph, "topology", None), graph.entries
        labels = np.zeros(graph.n_nodes, dtype=int)
        if topology is not None and entries is not None:
            labels = topology.weak_labels
        small = np.min_scalar_type(int(labels.max(initial=0)))
        bits = None
        if entries is not None and entries.links is not None:
            bits = np.packbits(entries.by_columns())
        n_edges = 0 if topology is None else topology.n_edges
        return cls(n_edges, labels.astype(small), bits)

    def of_nodes(
        self, nodes: np.ndarray, inlets: np.ndarray, shape: tuple[int, ...]
    ) -> Origin:
        """Tell how a part of the graph started.

        Parameters
        ----------
        nodes, inlets : ndarray of int
            Which nodes, and which of those that inputs enter.
        shape : tuple of int
            Number of columns, and of all nodes that inputs enter.

        Returns
        -------
        Origin
            Its edges are counted as if modules had all been as dense as each other, or
            as if they had been triangles, which most graphs start as.
        """
        small, labels = self.labels.dtype, self.labels[nodes]
        pairs = [int(n) * (int(n) - 1) for n in np.bincount(self.labels)]
        kept = [int(n) * (int(n) - 1) for n in np.bincount(labels)]
        n_edges = round(self.n_edges * sum(kept) / max(1, sum(pairs)))
        labels = np.unique(labels, return_inverse=True)[1].astype(small)
        bits = None
        if self.bits is not None:
            bits = np.packbits(self.links(shape)[:, inlets])
        return Origin(n_edges, labels, bits)

    def links(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return which columns entered which nodes, bool of shape (n_columns, n)."""
        if self.bits is None:
            return np.ones(shape, dtype=bool)
        bits = np.unpackbits(self.bits, count=int(np.prod(shape)))
        return bits.astype(bool).reshape(shape)
