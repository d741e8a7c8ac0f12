"""Bundles: lines for several edges are as strong as these, and names share rows."""

import numpy as np

from sknm.inspection.drawing.bundles import bundle, choose_rows


def test_edges_between_the_same_units_are_one_line():
    sources, targets = np.array([0, 1, 0, 2]), np.array([2, 2, 3, 3])
    lines = bundle(
        sources, targets, np.array([3.0, -4.0, -1.0, 2.0]), np.array([0, 0, 1, 2])
    )
    found = {*zip(*(part.tolist() for part in lines), strict=True)}
    assert found == {(0, 1, 5.0, 0), (0, 2, 1.0, -1), (1, 2, 2.0, 1)}


def test_the_strongest_are_kept_and_come_last():
    n = np.arange(5)
    lines = bundle(n, n + 5, np.array([3.0, 1, 5, 2, 4]), np.arange(10))
    assert lines.strongest(3).sizes.tolist() == [3, 4, 5]
    assert lines.strongest(9).sizes.tolist() == [1, 2, 3, 4, 5]


def test_rows_go_to_what_matters_in_its_order():
    names, sizes = np.array(list("abcde")), np.array([1.0, 5, 2, 4, 3])
    rows = choose_rows(names, sizes, 3, "features")
    assert rows.labels == ["b", "d", "3 others"]
    assert rows.row_of.tolist() == [2, 0, 2, 1, 2]
    assert rows.counts.tolist() == [1, 1, 3]
    assert choose_rows(names, sizes, 5, "features").labels == [*"abcde"]
    assert choose_rows(names, sizes, 1, "features").labels == ["5 features"]
