"""Topology: which edges exist, and what follows from them.

An edge mask is taken apart into weak components (which never exchange anything) and
strong components (the smallest sets of nodes that must be solved together), and the
strong components are ordered so that each depends on earlier ones only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sknm.graph.components import (
    component_levels,
    grouped_by_size,
    members,
    ordered_strong_components,
)
from sknm.graph.exchange import Exchangeable


@dataclass(frozen=True)
class Stage:
    """The nodes of one level: all of them can be evaluated at the same time.

    Attributes
    ----------
    acyclic : ndarray of shape (n_acyclic,)
        Nodes on no cycle; one evaluation each.
    blocks : tuple of ndarray of shape (n_blocks, block_size)
        Batches of cyclic components, one row each; rows are padded with -1.
    """

    acyclic: np.ndarray
    blocks: tuple[np.ndarray, ...]


class Topology(Exchangeable):
    """Which edges of a graph exist, and the components that follow from them.

    It is the attribute `topology_` of fitted estimators. A topology is never changed:
    where edges come or go, another one takes its place. Two are equal if they have the
    same edges.

    Parameters
    ----------
    mask : ndarray or sparse array of shape (n_nodes, n_nodes)
        Non-zero at ``[i, j]`` where the edge from node i to node j exists.
    loops : bool, default=False
        Whether a node may have an edge to itself. In an equation it may not: it has
        a bias instead (NM, "self-spin edge"). In a recursion (URN) it may.

    Attributes
    ----------
    edges : csr_array of bool of shape (n_nodes, n_nodes)
        The edges.
    n_nodes : int
        Number of nodes.
    n_edges : int
        Number of edges.
    has_loops : bool
        Whether a node has an edge to itself.
    weak_labels : ndarray of shape (n_nodes,)
        Weak component of each node: without regard to the direction of edges.
    strong_labels : ndarray of shape (n_nodes,)
        Strong component of each node: its nodes reach each other. They are numbered in
        topological order, so that edges lead to equal or larger labels.
    n_weak : int
        Number of weak components.
    n_strong : int
        Number of strong components.

    Raises
    ------
    ValueError
        If `mask` is not square or has an entry on the diagonal without `loops`.

    See Also
    --------
    sknm.NeuralModuleClassifier : A graph that falls into weak or strong components.
    sknm.FreeNetClassifier : An acyclic graph that rewires itself.

    Examples
    --------
    A triangle that leads to a pair of nodes:

    >>> import numpy as np
    >>> from sknm.graph.topology import Topology
    >>> mask = np.zeros((5, 5), dtype=bool)
    >>> mask[[0, 1, 2, 2, 3, 4], [1, 2, 0, 3, 4, 3]] = True
    >>> graph = Topology(mask)
    >>> graph
    Topology(n_nodes=5, n_edges=6, n_weak=1, n_strong=2)
    >>> graph.sizes("strong")
    array([3, 2])
    >>> graph.is_acyclic
    False
    >>> Topology.triangular(5).is_acyclic
    True
    """

    def __init__(self, mask: Any, loops: bool = False) -> None:
        edges = sparse.csr_array(mask, dtype=bool)
        edges.eliminate_zeros()
        if edges.ndim != 2 or edges.shape[0] != edges.shape[1]:
            raise ValueError(f"mask must be square, got shape {edges.shape}.")
        self.has_loops = bool(edges.diagonal().any())
        if self.has_loops and not loops:
            raise ValueError(
                "mask has entries on its diagonal, but a node can't have an edge to "
                "itself; set the diagonal to zero."
            )
        self.edges = edges
        is_mask = isinstance(mask, np.ndarray) and mask.dtype == bool
        self._mask = mask.copy() if is_mask else None
        self.n_nodes = int(edges.shape[0])
        self.n_edges = int(edges.nnz)
        self.n_weak, self.weak_labels = connected_components(edges, connection="weak")
        self.n_strong, self.strong_labels = ordered_strong_components(edges)

    @classmethod
    def from_weights(cls, W: Any, tau: float = 0.0) -> Topology:
        """Make the graph of edges with ``|W_ij| > tau`` (NM Definition 1).

        Parameters
        ----------
        W : ndarray or sparse array of shape (n_nodes, n_nodes)
            ``W[i, j]`` is the weight of the edge from node i to node j.
        tau : float, default=0.0
            Edges of at most this absolute weight do not count.

        Returns
        -------
        Topology
            The graph of the edges that count.
        """
        return cls(abs(W) > tau)

    @classmethod
    def from_pairs(cls, pairs: np.ndarray, n_nodes: int) -> Topology:
        """Make the graph of some edges.

        Parameters
        ----------
        pairs : ndarray of int of shape (n_edges,)
            ``i * n_nodes + j`` of each edge, ascending.
        n_nodes : int
            Number of nodes.

        Returns
        -------
        Topology
            The graph of these edges.
        """
        source, target = np.divmod(pairs, max(1, n_nodes))
        ends = np.cumsum(np.bincount(source, minlength=n_nodes))
        edges = (np.ones(len(pairs), bool), target, np.append(0, ends))
        return cls(sparse.csr_array(edges, shape=(n_nodes, n_nodes)))

    @classmethod
    def complete(cls, n_nodes: int) -> Topology:
        """Make the graph of every edge between `n_nodes` nodes.

        Parameters
        ----------
        n_nodes : int
            Number of nodes.

        Returns
        -------
        Topology
            The complete graph.
        """
        return cls(~np.eye(n_nodes, dtype=bool))

    @classmethod
    def modular(cls, sizes: Sequence[int]) -> Topology:
        """Make complete modules, and no edge between them.

        Parameters
        ----------
        sizes : sequence of int
            Nodes of each module.

        Returns
        -------
        Topology
            The graph of these modules.
        """
        labels = np.repeat(np.arange(len(sizes)), sizes)
        mask = labels[:, None] == labels
        np.fill_diagonal(mask, False)
        return cls(mask)

    @classmethod
    def layered(cls, sizes: Sequence[int]) -> Topology:
        """Make layers, each wholly joined to the next.

        Parameters
        ----------
        sizes : sequence of int
            Nodes of each layer.

        Returns
        -------
        Topology
            The graph of these layers.
        """
        labels = np.repeat(np.arange(len(sizes)), sizes)
        return cls(labels[:, None] + 1 == labels)

    @classmethod
    def triangular(cls, n_nodes: int) -> Topology:
        """Make the complete acyclic graph: every edge from a node to a later one.

        Parameters
        ----------
        n_nodes : int
            Number of nodes.

        Returns
        -------
        Topology
            The graph whose mask is a triangle.
        """
        return cls(np.triu(np.ones((n_nodes, n_nodes), dtype=bool), 1))

    def __repr__(self) -> str:
        return (
            f"Topology(n_nodes={self.n_nodes}, n_edges={self.n_edges}, "
            f"n_weak={self.n_weak}, n_strong={self.n_strong})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        if self.edges.shape != other.edges.shape:
            return False
        return (self.edges != other.edges).nnz == 0

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        """Return the edges, from which all else follows, in the shorter of two ways."""
        size = {"n_nodes": self.n_nodes, "loops": self.has_loops}
        if 32 * self.n_edges > self.n_nodes**2:
            return size | {"bits": np.packbits(self.to_dense())}
        kind = np.int32 if self.n_edges < 2**31 else np.int64
        targets, ends = self.edges.indices, self.edges.indptr
        return size | {"targets": targets.astype(kind), "ends": ends.astype(kind)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the graph of pickled edges."""
        n = state["n_nodes"]
        mask: Any
        if "bits" in state:
            mask = np.unpackbits(state["bits"], count=n * n).reshape(n, n).astype(bool)
        else:
            # Copied, since joblib may have mapped them to a file that is read only.
            targets, ends = np.array(state["targets"]), np.array(state["ends"])
            edges = (np.ones(len(targets), dtype=bool), targets, ends)
            mask = sparse.csr_array(edges, shape=(n, n))
        Topology.__init__(self, mask, state["loops"])

    def to_dense(self) -> np.ndarray:
        """Return the edges as an array.

        Returns
        -------
        ndarray of bool of shape (n_nodes, n_nodes)
            True at ``[i, j]`` where the edge from node i to node j exists.
        """
        return self.edges.toarray() if self._mask is None else self._mask.copy()

    def labels(self, connection: str = "weak") -> np.ndarray:
        """Component of each node, of weak or of strong components.

        Parameters
        ----------
        connection : {"weak", "strong"}, default="weak"
            The kind of component.

        Returns
        -------
        ndarray of shape (n_nodes,)
            A component's number for each node.
        """
        return self.weak_labels if connection == "weak" else self.strong_labels

    def sizes(self, connection: str = "weak") -> np.ndarray:
        """Count the nodes of each component.

        Parameters
        ----------
        connection : {"weak", "strong"}, default="weak"
            The kind of component.

        Returns
        -------
        ndarray of shape (n_components,)
            Nodes per component, in the order of the labels.
        """
        return np.bincount(self.labels(connection))

    @cached_property
    def in_degrees(self) -> np.ndarray:
        """Number of edges into each node."""
        return np.bincount(self.edges.indices, minlength=self.n_nodes)

    @property
    def density(self) -> float:
        """Share of the possible edges that exist."""
        return self.n_edges / max(1, self.n_nodes * (self.n_nodes - 1))

    @property
    def is_acyclic(self) -> bool:
        """Whether no node can reach itself."""
        return self.n_strong == self.n_nodes and not self.has_loops

    @cached_property
    def node_levels(self) -> np.ndarray:
        """Longest number of component-to-component edges that lead to each node."""
        levels = component_levels(self.edges, self.strong_labels, self.n_strong)
        return levels[self.strong_labels]

    @cached_property
    def cyclic_components(self) -> list[np.ndarray]:
        """The nodes of each strong component that has a cycle, in topological order."""
        return [nodes for nodes in members(self.strong_labels) if len(nodes) > 1]

    @cached_property
    def stages(self) -> list[Stage]:
        """What can be evaluated together, in the order in which it has to be."""
        levels = self.node_levels
        is_cyclic = np.zeros(self.n_nodes, dtype=bool)
        by_level: dict[int, list[np.ndarray]] = {}
        for nodes in self.cyclic_components:
            is_cyclic[nodes] = True
            by_level.setdefault(int(levels[nodes[0]]), []).append(nodes)
        return [
            Stage(
                np.flatnonzero((levels == level) & ~is_cyclic),
                tuple(grouped_by_size(by_level.get(level, []))),
            )
            for level in range(int(levels.max(initial=-1)) + 1)
        ]
