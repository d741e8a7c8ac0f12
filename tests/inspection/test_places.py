"""Places: discs don't overlap, nodes are where their depth is."""

import numpy as np
import pytest

from sknm.inspection.drawing.places import Box, in_columns, pack_best, staircase, within

BOX = Box(10.0, 20.0, 210.0, 320.0)


@pytest.mark.parametrize(
    "sizes", [[100], [40, 40, 20], [5] * 80, [90, *[1] * 60], [1] * 100, [3, 2] * 10]
)
@pytest.mark.parametrize("box", [BOX, Box(0.0, 0.0, 60.0, 200.0)])
def test_discs_are_apart_and_inside(sizes, box):
    sizes = np.array(sizes)
    centres, radii = pack_best(sizes, box, 40.0)
    np.testing.assert_allclose(radii**2 / radii[0] ** 2, sizes / sizes[0])
    assert radii.max() <= 40
    assert (centres - radii[:, None] >= [box.left, box.bottom]).all()
    assert (centres + radii[:, None] <= [box.right, box.top]).all()
    apart = np.linalg.norm(centres[:, None] - centres, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (apart >= radii[:, None] + radii).all()


@pytest.mark.parametrize("n", [1, 2, 7, 16, 17, 100])
def test_nodes_are_within_their_disc_and_apart(n):
    places = within(n, 30.0)
    assert (np.linalg.norm(places, axis=1) <= 30).all()
    apart = np.linalg.norm(places[:, None] - places, axis=2) + np.eye(n) * 99
    assert apart.min() > 30 / n**0.5 / 2


def test_columns_are_ordered_by_height():
    columns, heights = np.array([0, 1, 1, 0, 1]), np.array([1.0, 5, 9, 3, 7])
    places = in_columns(columns, heights, BOX)
    for c in (0, 1):
        order = np.argsort(heights[columns == c])
        assert (np.diff(places[columns == c][order, 1]) > 0).all()
        assert len(np.unique(places[columns == c][:, 0])) == 1


def test_a_staircase_leads_to_the_right_and_downwards():
    levels = np.array([2, 0, 1, 1, 3])
    places = staircase(levels, BOX)
    for i in range(5):
        later = places[levels > levels[i]]
        assert (later[:, 0] > places[i, 0]).all()
        assert (later[:, 1] < places[i, 1]).all()
    assert places[2, 0] == places[3, 0]
