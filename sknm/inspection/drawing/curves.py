"""Curves for edges, as wide and as dense as weights are large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sknm.inspection.drawing.axes import INK, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

_T = np.linspace(0, 1, 25)[:, None]


def _through(*points: np.ndarray) -> np.ndarray:
    """Bézier curves of degree 2 or 3 with these control points, each (n, 2)."""
    P = [p[:, None] for p in points]
    if len(P) == 3:
        return (1 - _T) ** 2 * P[0] + 2 * _T * (1 - _T) * P[1] + _T**2 * P[2]
    return (
        (1 - _T) ** 3 * P[0]
        + 3 * _T * (1 - _T) ** 2 * P[1]
        + 3 * _T**2 * (1 - _T) * P[2]
        + _T**3 * P[3]
    )


def flat_ended(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Curves that leave and arrive horizontally.

    Parameters
    ----------
    starts, ends : ndarray of shape (n, 2)
        The ends.

    Returns
    -------
    ndarray of shape (n, n_points, 2)
        Points on the curves.
    """
    away = (ends - starts) * [0.5, 0]
    return _through(starts, starts + away, ends - away, ends)


def elbows(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Curves that leave horizontally and arrive vertically.

    Parameters
    ----------
    starts, ends : ndarray of shape (n, 2)
        The ends.

    Returns
    -------
    ndarray of shape (n, n_points, 2)
        Points on the curves.
    """
    corners = np.column_stack([ends[:, 0], starts[:, 1]])
    return _through(starts, corners, ends)


def bows(starts: np.ndarray, ends: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Curves that pass the straight line at a side.

    Parameters
    ----------
    starts, ends : ndarray of shape (n, 2)
        The ends.
    by : ndarray of shape (n,)
        How far the middle of a curve is from the line, as a share of its length: to the
        left where positive, as seen from the start.

    Returns
    -------
    ndarray of shape (n, n_points, 2)
        Points on the curves.
    """
    across = (ends - starts)[:, ::-1] * [-1, 1]
    return _through(starts, (starts + ends) / 2 + 2 * by[:, None] * across, ends)


def aside(starts: np.ndarray, ends: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Curves between points above each other, bent to the right or the left.

    Parameters
    ----------
    starts, ends : ndarray of shape (n, 2)
        The ends.
    by : ndarray of shape (n,)
        How far the middle of a curve is from the line, as a share of its length; to
        the left where negative.

    Returns
    -------
    ndarray of shape (n, n_points, 2)
        Points on the curves.
    """
    away = 2 * by * np.abs(ends - starts)[:, 1]
    bend = np.column_stack([away, np.zeros(len(away))])
    return _through(starts, (starts + ends) / 2 + bend, ends)


def sign_colours(signs: np.ndarray) -> list[str]:
    """Return the colours of weights; several weights at once are grey.

    Parameters
    ----------
    signs : ndarray of shape (n,)
        -1, 0 or 1.

    Returns
    -------
    list of str
        Their colours.
    """
    return [(NEGATIVE, INK, POSITIVE)[int(sign) + 1] for sign in signs]


def draw_lines(
    ax: Axes,
    paths: np.ndarray,
    sizes: np.ndarray,
    colours: list[str],
    widest: float = 3.0,
    largest: float | None = None,
    zorder: float = 1.0,
) -> LineCollection:
    """Draw lines; the larger an edge, the wider and the denser.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to.
    paths : ndarray of shape (n, n_points, 2)
        Points on each line.
    sizes : ndarray of shape (n,)
        Absolute weights.
    colours : list of str
        A colour for each.
    widest : float, default=3.0
        Width of the largest, in points.
    largest : float or None, default=None
        Absolute weight of that width; None takes the largest of these.
    zorder : float, default=1.0
        What it is drawn above.

    Returns
    -------
    matplotlib.collections.LineCollection
        All of them.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba_array

    share = sizes / max(sizes.max(initial=0) if largest is None else largest, 1e-300)
    share = share ** (1 + 0.5 * np.log10(max(1, len(sizes) / 60)))
    # What covers what: about as much ink for a thousand lines as for a hundred.
    thin = min(1.0, (120 / max(1, len(sizes))) ** 0.5)
    rgba = to_rgba_array(colours) if colours else np.empty((0, 4))
    rgba[:, 3] = np.clip((0.15 + 0.75 * share) * (0.25 + 0.75 * thin), 0.04, 0.9)
    # On small axes, lines are finer.
    widest *= min(1.0, max(0.5, ax.get_xlim()[1] / 400))
    widths = 0.35 + (widest - 0.35) * share * (0.3 + 0.7 * thin)
    lines = LineCollection(
        list(paths), colors=rgba, linewidths=widths, zorder=zorder, capstyle="round"
    )
    ax.add_collection(lines, autolim=False)
    return lines
