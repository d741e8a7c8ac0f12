"""Modules over epochs as bands that merge and split: where each of them lies.

Epochs in which nothing changes are one *station*. From a station to the next, a module
goes on as the one with which it shares most nodes; other nodes that two modules share
flow from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

ALONE = -1
"""Label of the nodes that are modules by themselves: they are drawn as one band."""

GAP, MOST_GAPS = 0.025, 0.35
"""Space between two bands, and between all of them, as shares of the nodes."""

BEND = (1 - np.cos(np.linspace(0, np.pi, 13))) / 2
"""How a band comes from one station to the next: from 0 to 1, level at both ends."""


@dataclass
class Station:
    """Epochs with the same modules.

    Attributes
    ----------
    start, stop : float
        Where on the axis of the epochs it begins and ends.
    labels : ndarray of int of shape (n_nodes,)
        Module of each node.
    extents : dict of int to (float, float)
        Where each module lies, from below to above.
    """

    start: float
    stop: float
    labels: np.ndarray
    extents: dict[int, tuple[float, float]] = field(default_factory=dict)


@dataclass
class Band:
    """A module as long as it goes on, or what flows from one to another.

    Attributes
    ----------
    places : list of (int, int)
        Its stations and what it is called there; of what flows, where from and to.
    nodes : ndarray of int
        The nodes that it has, or had at last.
    bounds : ndarray of shape (n_points, 3)
        Epochs, and where it begins and ends then, from below to above.
    """

    places: list[tuple[int, int]]
    nodes: np.ndarray
    bounds: np.ndarray

    @property
    def is_alone(self) -> bool:
        """Whether its nodes are modules by themselves."""
        return self.places[0][1] == ALONE

    def outline(self) -> np.ndarray:
        """Return the polygon, of shape (n_corners, 2)."""
        return _closed(self.bounds)

    def pieces(self) -> list[np.ndarray]:
        """Return the polygons between one point and the next."""
        return [_closed(np.array(pair)) for pair in pairwise(self.bounds)]


def _closed(bounds: np.ndarray) -> np.ndarray:
    """Make a polygon of lower and upper bounds."""
    below, above = bounds[:, [0, 1]], bounds[:, [0, 2]]
    return np.concatenate([below, above[::-1]])


def stations_of(steps: np.ndarray, labels: np.ndarray) -> list[Station]:
    """Gather epochs with the same modules, and stack these.

    Parameters
    ----------
    steps : ndarray of shape (n_epochs,)
        Epochs.
    labels : ndarray of int of shape (n_epochs, n_nodes)
        Module of each node after each of them.

    Returns
    -------
    list of Station
        In the order of the epochs.
    """
    found: list[Station] = []
    for step, row in zip(steps.astype(float), map(_joined, labels), strict=True):
        if found and np.array_equal(row, found[-1].labels):
            found[-1].stop = step
        else:
            found.append(Station(step, step, row))
    if len(steps) == 1:
        found[0].stop += 1  # else there is nothing to be seen
    order = np.lexsort([station.labels for station in found])
    places = np.argsort(order)
    n_nodes = labels.shape[1]
    most = max(len(np.unique(station.labels)) for station in found)
    gap = n_nodes * min(GAP, MOST_GAPS / most)
    for station in found:
        station.extents = _stack(station.labels, places, gap)
    return found


def _joined(labels: np.ndarray) -> np.ndarray:
    """Call modules of one node alike."""
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.where(counts[index] > 1, labels, ALONE)


def _stack(
    labels: np.ndarray, places: np.ndarray, gap: float
) -> dict[int, tuple[float, float]]:
    """Stack modules around 0, in the order of the mean places of their nodes."""
    modules, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(np.bincount(index, places) / sizes, kind="stable")
    low = -(len(labels) + gap * (len(modules) - 1)) / 2
    extents = {}
    for k in order:
        extents[int(modules[k])] = low, low + sizes[k]
        low += sizes[k] + gap
    return extents


@dataclass
class Passing:
    """What flows from one station to the next.

    Attributes
    ----------
    heirs : dict of int to int
        As which module each goes on, if it does.
    flows : dict of (int, int) to ndarray of shape (n_points, 3)
        Epochs and bounds of what a module shares with a later one.
    """

    heirs: dict[int, int]
    flows: dict[tuple[int, int], np.ndarray]

    @classmethod
    def between(cls, before: Station, after: Station) -> Passing:
        """Follow the nodes, and find the modules that go on.

        Parameters
        ----------
        before, after : Station
            The two.

        Returns
        -------
        Passing
            What flows.
        """
        pairs = np.column_stack([before.labels, after.labels])
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        keys = [(a, b) for a, b in unique.tolist()]
        shared = dict(zip(keys, counts.tolist(), strict=True))
        leaving = _slots(shared, before.extents, after.extents, 0)
        arriving = _slots(shared, after.extents, before.extents, 1)
        x = np.linspace(before.stop, after.start, len(BEND))
        flows = {}
        for pair, ends in leaving.items():
            start, end = np.array(ends), np.array(arriving[pair])
            bounds = start + (end - start) * BEND[:, None]
            flows[pair] = np.column_stack([x, bounds])
        return cls(_heirs(shared), flows)


def _heirs(shared: dict[tuple[int, int], int]) -> dict[int, int]:
    """Have each module go on as the one with which it shares most, if that is free."""
    heirs: dict[int, int] = {}
    for a, b in sorted(shared, key=lambda pair: -shared[pair]):
        is_free = a not in heirs and b not in heirs.values()
        if is_free and (a == ALONE) == (b == ALONE):
            heirs[a] = b
    return heirs


def _slots(
    shared: dict[tuple[int, int], int],
    own: dict[int, tuple[float, float]],
    others: dict[int, tuple[float, float]],
    side: int,
) -> dict[tuple[int, int], tuple[float, float]]:
    """Part the extent of each module among those with which it shares nodes."""
    lows = {module: low for module, (low, _) in own.items()}
    slots = {}
    for pair in sorted(shared, key=lambda pair: others[pair[1 - side]]):
        low = lows[pair[side]]
        lows[pair[side]] = high = low + shared[pair]
        slots[pair] = low, high
    return slots


def bands_of(stations: list[Station]) -> tuple[list[Band], list[Band]]:
    """Find what goes on from station to station, and what flows between.

    Parameters
    ----------
    stations : list of Station
        Of all epochs.

    Returns
    -------
    bands : list of Band
        The modules, those that go on for longest last.
    streams : list of Band
        What flows from a module to one that isn't its heir.
    """
    passings = [Passing.between(*pair) for pair in pairwise(stations)]
    bands = []
    for k, station in enumerate(stations):
        inherited = set(passings[k - 1].heirs.values()) if k else set()
        for module in station.extents:
            if module not in inherited:
                bands.append(_follow(stations, passings, k, module))
    bands.sort(key=lambda band: len(band.places))
    return bands, _streams(stations, passings)


def _follow(
    stations: list[Station], passings: list[Passing], k: int, module: int
) -> Band:
    """Follow a module as long as it goes on."""
    places, bounds = [(k, module)], [_level(stations[k], module)]
    while k < len(passings) and module in passings[k].heirs:
        heir = passings[k].heirs[module]
        bounds += [passings[k].flows[module, heir], _level(stations[k + 1], heir)]
        k, module = k + 1, heir
        places.append((k, module))
    nodes = np.flatnonzero(stations[k].labels == module)
    return Band(places, nodes, np.concatenate(bounds))


def _streams(stations: list[Station], passings: list[Passing]) -> list[Band]:
    found = []
    for k, passing in enumerate(passings):
        before, after = stations[k].labels, stations[k + 1].labels
        for (a, b), bounds in passing.flows.items():
            if passing.heirs.get(a) != b:
                nodes = np.flatnonzero((before == a) & (after == b))
                found.append(Band([(k, a), (k + 1, b)], nodes, bounds))
    return found


def _level(station: Station, module: int) -> np.ndarray:
    """Bounds of a module while nothing changes."""
    low, high = station.extents[module]
    return np.array([(x, low, high) for x in (station.start, station.stop)])
