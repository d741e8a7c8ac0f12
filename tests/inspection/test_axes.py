"""Colours of graphs, on white, on dark and in grey."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sknm.inspection.drawing.axes import (
    INK,
    MODULE_COLOURS,
    NEGATIVE,
    POSITIVE,
    depth_colours,
    text_on,
)


def luminance(colour):
    """Relative luminance, as the contrast of texts is defined on the web."""
    c = np.array(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [*MODULE_COLOURS, *depth_colours(8), INK])
def test_numbers_are_legible_on_discs(colour):
    assert contrast(colour, text_on(colour)) > 4


@pytest.mark.parametrize("page", ["#ffffff", "#14181e"])
def test_colours_are_seen_on_white_and_on_dark(page):
    for colour in (*MODULE_COLOURS, *depth_colours(8), INK):
        assert contrast(colour, page) > 2.2, colour


def test_signs_differ_in_grey():
    assert contrast(NEGATIVE, POSITIVE) > 1.7


def test_depths_differ_and_start_with_one():
    assert len({*depth_colours(8)}) == 8
    assert len(depth_colours(1)) == 1
    assert depth_colours(0) == []
