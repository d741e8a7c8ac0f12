"""Strong components: their numbers, their levels, and batches of similar size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

PADDING_WASTE = 1.25
"""Cyclic components share a batch when the largest has at most this many times the
nodes of the smallest: beyond, padding costs more than a second batch."""

MANY_LEVELS = 32
"""Levels of a graph from which on it is walked through node by node: taking off one
level looks at all edges that are left."""


def ordered_strong_components(edges: sparse.csr_array) -> tuple[int, np.ndarray]:
    """Find strong components, numbered so that edges never lead to a smaller number.

    Parameters
    ----------
    edges : csr_array of bool of shape (n_nodes, n_nodes)
        The edges.

    Returns
    -------
    n_components : int
        How many there are.
    labels : ndarray of shape (n_nodes,)
        Component of each node.
    """
    n_strong, labels = connected_components(edges, connection="strong")
    # Tarjan's algorithm closes a component only after all that it leads to, so scipy's
    # numbers run against the edges; this isn't documented, hence the check.
    labels = n_strong - 1 - labels
    rows, columns = edges.nonzero()
    if not (labels[rows] <= labels[columns]).all():
        labels = _topological_labels(labels[rows], labels[columns], n_strong)[labels]
    return n_strong, labels


def _topological_labels(source: np.ndarray, target: np.ndarray, n: int) -> np.ndarray:
    """Rank of each of `n` components in a topological order of the given edges."""
    levels = _peel(source, target, n)
    ranks = np.empty(n, dtype=np.intp)
    ranks[np.argsort(levels, kind="stable")] = np.arange(n)
    return ranks


def component_levels(
    edges: sparse.csr_array, labels: np.ndarray, n_components: int
) -> np.ndarray:
    """Longest number of edges between components that leads to each of them.

    Parameters
    ----------
    edges : csr_array of bool of shape (n_nodes, n_nodes)
        The edges.
    labels : ndarray of shape (n_nodes,)
        Strong component of each node.
    n_components : int
        How many there are.

    Returns
    -------
    ndarray of shape (n_components,)
        Level of each component, from 0 on.
    """
    rows, columns = edges.nonzero()
    return _peel(labels[rows], labels[columns], n_components)


def _peel(source: np.ndarray, target: np.ndarray, n: int) -> np.ndarray:
    """Find the longest path to each of `n` components, by taking off the sources.

    Edges inside a component are passed over.
    """
    between = source != target
    source, target = source[between], target[between]
    levels = np.zeros(n, dtype=np.intp)
    for _ in range(MANY_LEVELS):
        if not len(source):
            return levels
        waiting = np.zeros(n, dtype=bool)
        waiting[target] = True
        levels[waiting] += 1
        keep = waiting[source]
        source, target = source[keep], target[keep]
    return _walk(source, target, levels)


def _walk(source: np.ndarray, target: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Go on from `levels` node by node, each when all that leads to it is known."""
    n = len(levels)
    edges = sparse.csr_array((np.ones(len(source), bool), (source, target)), (n, n))
    n_waiting = np.bincount(target, minlength=n)
    ready = [int(k) for k in np.unique(source) if not n_waiting[k]]
    while ready:
        k = ready.pop()
        to = edges.indices[edges.indptr[k] : edges.indptr[k + 1]]
        levels[to] = np.maximum(levels[to], levels[k] + 1)
        n_waiting[to] -= 1
        ready += to[n_waiting[to] == 0].tolist()
    return levels


def members(labels: np.ndarray) -> list[np.ndarray]:
    """Nodes of each component, in the order of the labels.

    Parameters
    ----------
    labels : ndarray of shape (n_nodes,)
        Component of each node.

    Returns
    -------
    list of ndarray of int
        Ascending in each component.
    """
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    return np.split(order, ends[:-1]) if len(labels) else []


def grouped_by_size(components: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Put components of similar size into padded arrays, largest first.

    Parameters
    ----------
    components : list of ndarray of int
        Nodes of each component.

    Yields
    ------
    ndarray of int of shape (n_components, size)
        Nodes of some components, padded with -1.
    """
    waiting = sorted(components, key=len, reverse=True)
    while waiting:
        width = len(waiting[0])
        taken = [nodes for nodes in waiting if len(nodes) * PADDING_WASTE >= width]
        waiting = waiting[len(taken) :]
        batch = np.full((len(taken), width), -1, dtype=np.intp)
        for row, nodes in zip(batch, taken, strict=True):
            row[: len(nodes)] = nodes
        # Modules that lie side by side in the node order stay in that order, so that
        # a block-diagonal graph needs no gathering.
        yield batch[np.argsort(batch[:, 0], kind="stable")]
