"""How a complete graph is cut into modules: where that costs least."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from sknm.graph.draw import module_sizes

CUT_STEPS = 50
"""Steps of the optimiser before a complete graph is cut: until then, its weights show
which nodes have a use for each other."""


def cut_into_modules(affinity: np.ndarray, size: int) -> np.ndarray:
    """Find modules of about equal size with little between them.

    Parameters
    ----------
    affinity : ndarray of shape (n_nodes, n_nodes)
        How much is lost if two nodes are parted; symmetric.
    size : int
        Nodes of a module.

    Returns
    -------
    ndarray of int of shape (n_nodes,)
        Module of each node.

    Notes
    -----
    The graph is halved again and again, along the second eigenvector of its normalised
    Laplacian (Shi & Malik 2000); pairs of nodes change sides as long as that lowers
    what is cut (Kernighan & Lin 1970).
    """
    labels = np.zeros(len(affinity), dtype=int)
    waiting = [(np.arange(len(affinity)), module_sizes(len(affinity), size))]
    n_modules = 0
    while waiting:
        nodes, sizes = waiting.pop()
        if len(sizes) < 2:
            labels[nodes] = n_modules
            n_modules += 1
            continue
        half = len(sizes) // 2
        own = affinity[np.ix_(nodes, nodes)]
        is_first = exchanged(own, halved(own, sum(sizes[:half])))
        waiting += [(nodes[is_first], sizes[:half]), (nodes[~is_first], sizes[half:])]
    return labels


def halved(affinity: np.ndarray, n_first: int) -> np.ndarray:
    """Part nodes in two along the second eigenvector of the Laplacian.

    Parameters
    ----------
    affinity : ndarray of shape (n, n)
        Symmetric.
    n_first : int
        Nodes of the first part.

    Returns
    -------
    ndarray of bool of shape (n,)
        Whether a node is in the first part.
    """
    degrees = np.maximum(affinity.sum(1), 1e-300) ** -0.5
    near = affinity * degrees[:, None] * degrees
    n = len(near)
    # The largest of these belong to the smallest of the Laplacian, 1 - near.
    _, vectors = scipy.linalg.eigh(near, subset_by_index=(n - 2, n - 1))
    order = np.argsort(vectors[:, 0] * degrees, kind="stable")
    is_first = np.zeros(n, dtype=bool)
    is_first[order[:n_first]] = True
    return is_first


def exchanged(affinity: np.ndarray, is_first: np.ndarray) -> np.ndarray:
    """Let pairs of nodes change sides, the best first, as long as less is cut.

    Parameters
    ----------
    affinity : ndarray of shape (n, n)
        Symmetric, with a diagonal that has no effect.
    is_first : ndarray of bool of shape (n,)
        Whether a node is in the first part.

    Returns
    -------
    ndarray of bool of shape (n,)
        The same for the parts afterwards, which have the same sizes.
    """
    affinity = affinity - np.diag(np.diag(affinity))
    side = np.where(is_first, 1.0, -1.0)
    for _ in range(len(side)):
        gains = -side * (affinity @ side)  # what less is cut if one changes sides
        first, second = np.flatnonzero(side > 0), np.flatnonzero(side < 0)
        between = affinity[np.ix_(first, second)]
        both = gains[first][:, None] + gains[second] - 2 * between
        i, j = np.unravel_index(both.argmax(), both.shape)
        if both[i, j] <= 1e-12 * max(1.0, affinity.sum()):
            break
        side[first[i]], side[second[j]] = -1, 1
    return side > 0


@torch.no_grad()
def cut(W: Tensor, size: int, tau: float) -> int:
    """Cut a complete graph into modules; what enters a node keeps its size.

    Parameters
    ----------
    W : Tensor of shape (n_nodes, n_nodes)
        Weights, changed in place: those between modules are at most half of the
        threshold.
    size : int
        Nodes of a module.
    tau : float
        Threshold.

    Returns
    -------
    int
        Number of modules.
    """
    squares = W.double().square().cpu().numpy()
    labels = cut_into_modules(squares + squares.T, size)
    of_node = torch.as_tensor(labels, device=W.device)
    apart = of_node[:, None] != of_node
    sizes = np.bincount(labels)
    gain = torch.as_tensor((len(W) / sizes[labels]) ** 0.5, device=W.device).to(W.dtype)
    inside = W * gain
    torch.where(apart, W.clamp(-tau / 2, tau / 2), inside, out=W)
    return len(sizes)
