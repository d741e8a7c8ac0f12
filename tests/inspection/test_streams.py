"""Modules over epochs as bands: what lies where, and what flows into what."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknm.inspection.drawing.streams import ALONE, Passing, bands_of, stations_of

HISTORIES = st.tuples(st.integers(1, 6), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 4))
)


def area(outline):
    x, y = outline.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def stations(labels):
    labels = np.asarray(labels)
    return stations_of(np.arange(len(labels)), labels)


@settings(max_examples=25, deadline=None)
@given(HISTORIES)
def test_bands_are_as_wide_as_modules_have_nodes(labels):
    for station in stations(labels):
        sizes = {k: high - low for k, (low, high) in station.extents.items()}
        assert sum(sizes.values()) == pytest.approx(labels.shape[1])
        for module, size in sizes.items():
            assert size == pytest.approx((station.labels == module).sum())


@settings(max_examples=25, deadline=None)
@given(HISTORIES)
def test_bands_never_overlap(labels):
    for station in stations(labels):
        bounds = np.sort(list(station.extents.values()), axis=0).ravel()
        assert (np.diff(bounds) > 0).all()


@settings(max_examples=25, deadline=None)
@given(HISTORIES)
def test_every_node_is_in_one_band_at_each_time(labels):
    found = stations(labels)
    bands, streams = bands_of(found)
    total = sum(area(band.outline()) for band in [*bands, *streams])
    duration = max(1, len(labels) - 1)
    assert total == pytest.approx(labels.shape[1] * duration)


@settings(max_examples=25, deadline=None)
@given(HISTORIES)
def test_what_flows_are_the_nodes_that_are_shared(labels):
    found = stations(labels)
    for before, after in pairwise(found):
        for (a, b), bounds in Passing.between(before, after).flows.items():
            n_shared = ((before.labels == a) & (after.labels == b)).sum()
            np.testing.assert_allclose(bounds[:, 2] - bounds[:, 1], n_shared)


def test_merging_bands_come_to_lie_side_by_side():
    before, after = stations([[0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 0, 0]])
    flows = Passing.between(before, after).flows
    ends = sorted(tuple(flows[a, 0][-1, 1:]) for a in (0, 2))
    low, high = after.extents[0]
    assert ends[0][0] == pytest.approx(low)
    assert ends[0][1] == pytest.approx(ends[1][0])
    assert ends[1][1] == pytest.approx(high)


def test_a_module_goes_on_as_the_one_with_most_of_its_nodes():
    before, after = stations([[0, 0, 0, 1, 1, 1], [3, 3, 2, 2, 2, 2]])
    assert Passing.between(before, after).heirs == {0: 3, 1: 2}


def test_epochs_without_a_change_are_one_station():
    found = stations([[0, 0, 1, 1]] * 3 + [[0, 0, 0, 0]] * 2)
    assert [(s.start, s.stop) for s in found] == [(0, 2), (3, 4)]


def test_one_epoch_is_to_be_seen():
    (station,) = stations([[0, 0, 1, 1]])
    assert station.stop > station.start


def test_nodes_that_are_modules_by_themselves_are_one_band():
    (station,) = stations([[0, 1, 2, 2]])
    assert station.labels.tolist() == [ALONE, ALONE, 2, 2]
    bands, _ = bands_of([station])
    assert sorted(band.is_alone for band in bands) == [False, True]


def test_modules_that_only_merge_never_cross():
    labels = np.array([[0, 1, 2, 3] * 2, [0, 1, 0, 1] * 2, [0, 0, 0, 0] * 2])
    found = stations(labels)
    for before, after in pairwise(found):
        flows = Passing.between(before, after).flows
        starts = sorted(flows.values(), key=lambda bounds: bounds[0, 1])
        assert starts == sorted(starts, key=lambda bounds: bounds[-1, 1])
