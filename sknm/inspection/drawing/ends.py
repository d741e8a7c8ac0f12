"""Features at the left and outputs at the right of a graph, with their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sknm.inspection.drawing.axes import INK
from sknm.inspection.drawing.bundles import Bundles, Rows, bundle, choose_rows
from sknm.inspection.drawing.canvas import write_names
from sknm.inspection.drawing.places import Box, spread
from sknm.inspection.wiring import Wiring

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

ROW, KEY = 9.5, 16.0
"""Least height of a row of names, and what a key takes below the graph, in points."""


class Ends(NamedTuple):
    """What is drawn at both sides.

    Attributes
    ----------
    features, outputs : Rows
        The rows.
    feature_places, output_places : ndarray of shape (n_rows, 2)
        Where lines start and end.
    labels : list of matplotlib.text.Text
        Names of features, then of outputs.
    box : Box
        What is free between them.
    """

    features: Rows
    outputs: Rows
    feature_places: np.ndarray
    output_places: np.ndarray
    labels: list[Text]
    box: Box

    def bundle(self, wiring: Wiring, units: np.ndarray) -> Bundles:
        """Join edges that lead from the same to the same of what is drawn.

        Parameters
        ----------
        wiring : Wiring
            The edges.
        units : ndarray of int of shape (n_nodes,)
            What each node is drawn as.

        Returns
        -------
        Bundles
            Lines; units are features' rows, then those of nodes, then outputs' rows. A
            row for several is as strong as these are in the root mean square.
        """
        n_units = int(units.max(initial=-1)) + 1
        n_rows = len(self.features.labels)
        of_all = [self.features.row_of, units + n_rows, self.outputs.row_of]
        of_all[2] = of_all[2] + n_rows + n_units
        lines = bundle(
            wiring.sources, wiring.targets, wiring.weights, np.concatenate(of_all)
        )
        counts = [self.features.counts, np.ones(n_units, int), self.outputs.counts]
        shares = np.sqrt(np.concatenate(counts))
        sizes = lines.sizes / (shares[lines.sources] * shares[lines.targets])
        return lines._replace(sizes=sizes)


def draw_ends(
    ax: Axes,
    wiring: Wiring,
    size: tuple[float, float],
    max_features: int | None,
    below: float = KEY,
) -> Ends:
    """Draw features and outputs.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes whose unit is a point.
    wiring : Wiring
        What leads where.
    size : tuple of float
        Width and height of the axes.
    max_features : int or None
        Rows of features; None draws as many as fit.
    below : float, default=16.0
        What is left free below, in points.

    Returns
    -------
    Ends
        What was drawn.
    """
    width, height = size
    most = max(1, int((height - below) / ROW))
    n_features, n_outputs = len(wiring.feature_names), len(wiring.output_names)
    squares = wiring.weights.astype(np.float64) ** 2
    n_all = len(wiring.kinds)
    leaves = np.bincount(wiring.sources, squares, minlength=n_all)[:n_features]
    enters = np.bincount(wiring.targets, squares, minlength=n_all)[-n_outputs:]
    rows = (
        choose_rows(
            wiring.feature_names, leaves, min(most, max_features or most), "features"
        ),
        choose_rows(wiring.output_names, enters, most, "outputs"),
    )
    heights = [
        spread(len(row.labels), below, height, widest)
        for row, widest in zip(rows, (24.0, 0.2 * height), strict=True)
    ]
    left, w_left = write_names(ax, rows[0].labels, heights[0], "left", 0.31 * width)
    right, w_right = write_names(ax, rows[1].labels, heights[1], "right", 0.22 * width)
    x = w_left + 7, width - w_right - 7
    places = [
        np.column_stack([np.full(len(h), at), h])
        for at, h in zip(x, heights, strict=True)
    ]
    for at in places:
        ax.scatter(at[:, 0], at[:, 1], s=9, color=INK, linewidths=0, zorder=4)
    used = np.bincount(rows[0].row_of, leaves) > 0
    for text, is_used in zip(left, used, strict=True):
        text.set_alpha(1.0 if is_used else 0.45)
    aside = 0.05 * width
    box = Box(x[0] + aside, below + 2, x[1] - aside, height - 2)
    return Ends(rows[0], rows[1], places[0], places[1], [*left, *right], box)
