"""How a graph is drawn: single nodes or groups of them, in clusters or by depth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sknm.inspection.drawing.axes import INK, depth_colours, module_colours
from sknm.inspection.drawing.bundles import Bundles
from sknm.inspection.drawing.curves import aside, bows, elbows, flat_ended
from sknm.inspection.drawing.ends import Ends
from sknm.inspection.drawing.places import (
    Box,
    in_columns,
    pack,
    pack_best,
    staircase,
    within,
)
from sknm.inspection.wiring import MOST_DEPTHS, Wiring, in_ranges

MOST_CLUSTERED, MOST_IN_COLUMNS = 40, 120
"""Of more nodes than these, groups are drawn by default."""


class Arrangement(NamedTuple):
    """Where, how large and in which colour nodes are, or groups of them.

    Attributes
    ----------
    places : ndarray of shape (n_units, 2)
        Centres.
    radii : ndarray of shape (n_units,)
        Radii.
    colours : list of str
        A colour for each.
    units : ndarray of int of shape (n_nodes,)
        What each node is drawn as.
    is_staircase : bool
        Whether edges lead to the right and downwards, round a corner.
    discs : tuple of ndarray
        Centres and radii of what is drawn behind the nodes of each group.
    """

    places: np.ndarray
    radii: np.ndarray
    colours: list[str]
    units: np.ndarray
    is_staircase: bool = False
    discs: tuple[np.ndarray, np.ndarray] = (np.empty((0, 2)), np.empty(0))

    def paths(self, lines: Bundles) -> np.ndarray:
        """Return curves between what is drawn.

        Parameters
        ----------
        lines : Bundles
            Between which units.

        Returns
        -------
        ndarray of shape (n_lines, n_points, 2)
            Points on each curve.
        """
        starts, ends = self.places[lines.sources], self.places[lines.targets]
        if self.is_staircase:
            return elbows(starts, ends)
        if len(self.discs[1]):
            # Bent a little, so that an edge and the one that leads back are two.
            return bows(starts, ends, np.full(len(starts), 0.06))
        return route(starts, ends, tuple(self.places.mean(axis=0).tolist()))


def route(
    starts: np.ndarray, ends: np.ndarray, middle: tuple[float, float]
) -> np.ndarray:
    """Draw curves between columns: those that lead on, and those that lead back.

    Parameters
    ----------
    starts, ends : ndarray of shape (n, 2)
        The ends.
    middle : tuple of float
        The point towards which curves within a column and those that lead back bend.

    Returns
    -------
    ndarray of shape (n, n_points, 2)
        Points on each curve.
    """
    step = ends[:, 0] - starts[:, 0]
    to_side = np.where(starts[:, 0] < middle[0], 0.12, -0.12)
    is_high = (starts + ends)[:, 1] > 2 * middle[1]
    return np.select(
        [(step > 1)[:, None, None], (step < -1)[:, None, None]],
        [flat_ended(starts, ends), bows(starts, ends, np.where(is_high, 0.12, -0.12))],
        aside(starts, ends, to_side),
    )


def group_colours(groups: np.ndarray, grouped_by: str) -> list[str]:
    """Return the colours of groups: modules of one node are grey.

    Parameters
    ----------
    groups : ndarray of int of shape (n_nodes,)
        Group of each node, without gaps.
    grouped_by : {"module", "depth"}
        What the groups are.

    Returns
    -------
    list of str
        A colour for each group.
    """
    sizes = np.bincount(groups)
    if grouped_by == "depth":
        return depth_colours(len(sizes))
    colours = iter(module_colours(len(sizes)))
    return [next(colours) if size > 1 else INK for size in sizes]


def chosen_level(wiring: Wiring, level: str) -> str:
    """Decide what is drawn.

    Parameters
    ----------
    wiring : Wiring
        What leads where.
    level : {"auto", "nodes", "modules"}
        What the user asks for.

    Returns
    -------
    {"nodes", "modules"}
        Nodes where they are few.

    Raises
    ------
    ValueError
        If `level` is none of these.
    """
    if level not in ("auto", "nodes", "modules"):
        raise ValueError(
            f'level={level!r} is none of "auto", "nodes" and "modules"; give one of '
            "these."
        )
    if level != "auto":
        return level
    in_columns = wiring.grouped_by == "depth" and not _is_deep(wiring.levels)
    most = MOST_IN_COLUMNS if in_columns else MOST_CLUSTERED
    return "nodes" if len(wiring.groups) <= most else "modules"


def _is_deep(levels: np.ndarray) -> bool:
    """Whether there are too many depths, or too few nodes at each, for columns."""
    n_columns = len(np.unique(levels))
    return n_columns > MOST_DEPTHS or 2 < n_columns > len(levels) / 2


def arrange(wiring: Wiring, ends: Ends, level: str) -> Arrangement:
    """Place nodes or groups.

    Parameters
    ----------
    wiring : Wiring
        What leads where.
    ends : Ends
        What is drawn at both sides.
    level : {"nodes", "modules"}
        What is to be placed.

    Returns
    -------
    Arrangement
        Where they are.
    """
    by_depth = wiring.grouped_by == "depth"
    if level == "modules":
        return _depths(wiring, ends.box) if by_depth else _modules(wiring, ends.box)
    return _by_depth(wiring, ends) if by_depth else _clusters(wiring, ends.box)


def _packed(wiring: Wiring, box: Box, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of modules: by depth where edges lead from one to another."""
    sizes = np.bincount(wiring.groups)
    levels = np.full(len(sizes), 0)
    levels[wiring.groups] = wiring.levels
    if levels.max(initial=0) and _farthest(wiring):
        return _packed_by_depth(sizes, in_ranges(levels), box, largest)
    return pack_best(sizes, box, largest)


def _packed_by_depth(
    sizes: np.ndarray, columns: np.ndarray, box: Box, largest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places of modules in these columns, the largest in the middle of each."""
    order = np.empty(0, dtype=int)
    for c in range(columns.max() + 1):
        inside = np.flatnonzero(columns == c)
        by_size = inside[np.argsort(-sizes[inside], kind="stable")]
        order = np.concatenate([order, by_size[1::2][::-1], by_size[::2]])
    centres, radii = np.empty((len(sizes), 2)), np.empty(len(sizes))
    centres[order], radii[order] = pack(sizes[order], columns[order], box, largest)
    return centres, radii


def _farthest(wiring: Wiring) -> int:
    """How far, in groups, edges between nodes lead at most."""
    d, n = len(wiring.feature_names), len(wiring.groups)
    sources, targets = wiring.sources - d, wiring.targets - d
    is_inner = (sources >= 0) & (sources < n) & (targets >= 0) & (targets < n)
    groups = wiring.groups
    apart = groups[sources[is_inner]] - groups[targets[is_inner]]
    return int(np.abs(apart).max(initial=0))


def _modules(wiring: Wiring, box: Box) -> Arrangement:
    places, radii = _packed(wiring, box, 32.0)
    colours = group_colours(wiring.groups, "module")
    return Arrangement(places, radii, colours, wiring.groups)


def _clusters(wiring: Wiring, box: Box) -> Arrangement:
    centres, wide = _packed(wiring, box, 0.47 * min(box.size))
    n = len(wiring.groups)
    places, radii = np.empty((n, 2)), np.empty(n)
    for k, (centre, radius) in enumerate(zip(centres, wide, strict=True)):
        inside = np.flatnonzero(wiring.groups == k)
        places[inside] = centre + within(len(inside), radius)
        radii[inside] = np.clip(0.4 * radius / len(inside) ** 0.5, 1.2, 6.5)
    return Arrangement(places, radii, [INK] * n, np.arange(n), discs=(centres, wide))


def _depths(wiring: Wiring, box: Box) -> Arrangement:
    """Place groups of depths in a row, or on a diagonal where edges skip some."""
    sizes = np.bincount(wiring.groups)
    n = len(sizes)
    is_staircase = _farthest(wiring) > 1
    places = (
        staircase(np.arange(n), box)
        if is_staircase
        else in_columns(np.arange(n), np.zeros(n), box)
    )
    steps = box.size if is_staircase else box.size[:1]
    largest = min(30.0, *(0.4 * step / max(1, n) for step in steps))
    radii = largest * np.sqrt(sizes / sizes.max(initial=1))
    colours = group_colours(wiring.groups, "depth")
    return Arrangement(places, radii, colours, wiring.groups, is_staircase)


def _by_depth(wiring: Wiring, ends: Ends) -> Arrangement:
    """Place single nodes in columns, or on a diagonal where there are many depths."""
    n = len(wiring.groups)
    _, columns = np.unique(wiring.levels, return_inverse=True)
    is_staircase = _is_deep(wiring.levels)
    if is_staircase:
        places = staircase(wiring.levels, ends.box)
        tallest = n
    else:
        places = ordered_columns(wiring, ends, columns)
        tallest = int(np.bincount(columns).max(initial=1))
    radius = np.clip(0.4 * ends.box.size[1] / tallest, 1.3, 6.0)
    radii = np.full(n, radius)
    return Arrangement(places, radii, [INK] * n, np.arange(n), is_staircase)


def ordered_columns(wiring: Wiring, ends: Ends, columns: np.ndarray) -> np.ndarray:
    """Place nodes in columns, near to what they are joined to.

    Parameters
    ----------
    wiring : Wiring
        What leads where.
    ends : Ends
        What is drawn at both sides.
    columns : ndarray of int of shape (n_nodes,)
        Column of each, without gaps.

    Returns
    -------
    ndarray of shape (n_nodes, 2)
        Their places.
    """
    lines = ends.bundle(wiring, np.arange(len(columns)))
    first = len(ends.feature_places)
    heights = np.full(len(columns), np.mean(ends.box[1::2]))
    inner = slice(first, first + len(columns))
    places = np.empty((len(columns), 2))
    for _ in range(3):
        y = np.concatenate(
            [ends.feature_places[:, 1], heights, ends.output_places[:, 1]]
        )
        pull, weight = np.zeros(len(y)), np.full(len(y), 1e-12)
        for here, there in ((lines.sources, lines.targets), lines[1::-1]):
            pull += np.bincount(here, lines.sizes * y[there], minlength=len(y))
            weight += np.bincount(here, lines.sizes, minlength=len(y))
        places = in_columns(columns, (pull / weight)[inner], ends.box)
        heights = places[:, 1]
    return places
