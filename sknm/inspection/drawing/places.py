"""Where the nodes of a graph are drawn: modules packed in columns, depths in order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

GAP = 6.0
"""Points between discs of a column."""


class Box(NamedTuple):
    """A rectangle: left, bottom, right, top, in points."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.top - self.bottom

    @property
    def middle(self) -> tuple[float, float]:
        """Centre."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2


def spread(n: int, low: float, high: float, widest: float) -> np.ndarray:
    """Spread points evenly about the middle of an interval, from its upper end.

    Parameters
    ----------
    n : int
        How many.
    low, high : float
        The interval.
    widest : float
        Largest distance of neighbours.

    Returns
    -------
    ndarray of shape (n,)
        Descending.
    """
    step = min(widest, (high - low) / max(1, n))
    return (low + high) / 2 + step * ((n - 1) / 2 - np.arange(n))


def pack(
    sizes: np.ndarray, columns: np.ndarray, box: Box, largest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Stack discs in columns, as large as they fit; their areas are as the sizes.

    Parameters
    ----------
    sizes : ndarray of shape (n_discs,)
        What the areas stand for.
    columns : ndarray of int of shape (n_discs,)
        Column of each, without gaps.
    box : Box
        Where to.
    largest : float
        Largest radius.

    Returns
    -------
    centres : ndarray of shape (n_discs, 2)
        Their places.
    radii : ndarray of shape (n_discs,)
        Their radii.
    """
    width, height = box.size
    roots = np.sqrt(sizes)
    n_columns = columns.max(initial=0) + 1
    tall = np.bincount(columns, roots, minlength=n_columns)
    n_rows = np.bincount(columns, minlength=n_columns)
    gaps = np.minimum(GAP * (n_rows + 1), 0.3 * height)
    wide = np.array([roots[columns == c].max() for c in range(n_columns)])
    aside = min(24.0, width / (3 * n_columns))
    scale = min(
        ((height - gaps) / (2 * tall)).min(),
        (width - aside * n_columns) / (2 * wide.sum()),
        largest / roots.max(),
    )
    radii = scale * roots
    between = (width - 2 * scale * wide.sum()) / n_columns
    right = np.cumsum(2 * scale * wide + between) - between / 2
    centres = np.empty((len(sizes), 2))
    for c in range(n_columns):
        inside = np.flatnonzero(columns == c)
        free = (height - 2 * radii[inside].sum()) / len(inside)
        tops = np.cumsum(2 * radii[inside] + free) - 2 * radii[inside] - free / 2
        centres[inside, 0] = box.left + right[c] - scale * wide[c]
        centres[inside, 1] = box.top - tops - radii[inside]
    return centres, radii


def pack_best(
    sizes: np.ndarray, box: Box, largest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Stack discs in as many columns as make them largest.

    Parameters
    ----------
    sizes : ndarray of shape (n_discs,)
        What the areas stand for.
    box : Box
        Where to.
    largest : float
        Largest radius.

    Returns
    -------
    centres : ndarray of shape (n_discs, 2)
        Their places.
    radii : ndarray of shape (n_discs,)
        Their radii.
    """
    n = len(sizes)
    evenly = [np.arange(n) * c // n for c in range(1, min(n, 16) + 1)]
    found = [pack(sizes, columns, box, largest) for columns in evenly]
    radii = np.array([r.max() for _, r in found])
    return found[int(np.argmax(radii > 0.97 * radii.max()))]


def within(n: int, radius: float) -> np.ndarray:
    """Place nodes in a disc: few on a circle, many as the seeds of a sunflower.

    Parameters
    ----------
    n : int
        How many.
    radius : float
        That of the disc.

    Returns
    -------
    ndarray of shape (n, 2)
        Places about the origin.
    """
    if n == 1:
        return np.zeros((1, 2))
    k = np.arange(n)
    few = n <= 16
    angles = np.pi / 2 - 2 * np.pi * k / n if few else k * np.pi * (3 - 5**0.5)
    away = radius * (np.full(n, 0.8) if few else 0.9 * np.sqrt((k + 0.5) / n))
    return np.column_stack([away * np.cos(angles), away * np.sin(angles)])


def in_columns(
    columns: np.ndarray, heights: np.ndarray, box: Box, widest: float = 40.0
) -> np.ndarray:
    """Place nodes in columns, evenly, ordered by the heights at which they would be.

    Parameters
    ----------
    columns : ndarray of int of shape (n_nodes,)
        Column of each, without gaps.
    heights : ndarray of shape (n_nodes,)
        By which nodes of a column are ordered.
    box : Box
        Where to.
    widest : float, default=40.0
        Largest distance of neighbours.

    Returns
    -------
    ndarray of shape (n_nodes, 2)
        Their places.
    """
    n_columns = columns.max(initial=0) + 1
    places = np.empty((len(columns), 2))
    places[:, 0] = box.left + (columns + 0.5) * box.size[0] / n_columns
    for c in range(n_columns):
        inside = np.flatnonzero(columns == c)
        order = inside[np.argsort(-heights[inside], kind="stable")]
        places[order, 1] = spread(len(inside), box.bottom, box.top, widest)
    return places


def staircase(levels: np.ndarray, box: Box) -> np.ndarray:
    """Place nodes on a diagonal by depth; those of one depth are below each other.

    Edges then lead to the right and downwards, and none passes through a node.

    Parameters
    ----------
    levels : ndarray of int of shape (n_nodes,)
        Their depths.
    box : Box
        Where to.

    Returns
    -------
    ndarray of shape (n_nodes, 2)
        Their places.
    """
    n = len(levels)
    share = np.empty(n)
    share[np.argsort(levels, kind="stable")] = (np.arange(n) + 0.5) / n
    _, places = np.unique(levels, return_inverse=True)
    means = np.bincount(places, share) / np.bincount(places)
    x = box.left + means[places] * box.size[0]
    return np.column_stack([x, box.top - share * box.size[1]])
