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

    def links(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return which columns entered which nodes, bool of shape (n_columns, n)."""
        if self.bits is None:
            return np.ones(shape, dtype=bool)
        bits = np.unpackbits(self.bits, count=int(np.prod(shape)))
        return bits.astype(bool).reshape(shape)
