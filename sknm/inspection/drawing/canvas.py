"""Axes whose unit is a point, so that text, gaps and discs are sure to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sknm.inspection.drawing.axes import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.text import Text


def in_points(ax: Axes, caption: str) -> tuple[float, float]:
    """Give axes a caption and the unit of a point, and take their frame away.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    caption : str
        Their title, broken at commas where it is too long.

    Returns
    -------
    tuple of float
        Width and height of the axes, in points.
    """
    ax.set_axis_off()
    figure: Any = ax.figure.figure
    write_caption(ax, caption)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    extent = ax.get_window_extent()
    width, height = (72 / figure.dpi * np.array([extent.width, extent.height])).tolist()
    ax.set(xlim=(0, width), ylim=(0, height), aspect="auto")
    return width, height


def write_caption(ax: Axes, caption: str) -> Text:
    """Write a title that is no wider than the axes, in several lines if need be.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    caption : str
        What to write.

    Returns
    -------
    matplotlib.text.Text
        The title.
    """
    title = ax.set_title("", fontsize=9.5, color=INK)
    lines: list[str] = []
    for part in caption.split(", "):
        title.set_text(", ".join([*lines[-1:], part]))
        if lines and title.get_window_extent().width < ax.get_window_extent().width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    title.set_text(",\n".join(lines))
    return title


def width_of(text: Text) -> float:
    """Return the width of a text.

    Parameters
    ----------
    text : matplotlib.text.Text
        The text.

    Returns
    -------
    float
        In points.
    """
    figure: Any = text.figure
    return float(text.get_window_extent().width * 72 / figure.figure.dpi)


def write_names(
    ax: Axes, names: list[str], heights: np.ndarray, side: str, widest: float
) -> tuple[list[Text], float]:
    """Write names in a column at the left or right edge, shortened where too long.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes whose unit is a point.
    names : list of str
        What to write.
    heights : ndarray of shape (n_names,)
        At which height.
    side : {"left", "right"}
        The edge.
    widest : float
        Largest width, in points.

    Returns
    -------
    texts : list of matplotlib.text.Text
        The texts.
    width : float
        That of the widest of them, in points.
    """
    step = abs(np.diff(heights)).min() if len(heights) > 1 else 12.0
    right = ax.get_xlim()[1]
    size = float(np.clip(0.8 * step, 6.5, np.clip(right / 36, 7, 8.5)))
    texts = [
        ax.text(0, y, name, va="center_baseline", fontsize=size, color=INK)
        for name, y in zip(names, heights.tolist(), strict=True)
    ]
    for text in texts:
        _shorten(text, widest)
    width = max(map(width_of, texts), default=0.0)
    for text in texts:
        text.set(x=width if side == "left" else right - width)
        text.set_horizontalalignment("right" if side == "left" else "left")
    return texts, width


def _shorten(text: Text, widest: float) -> None:
    """Leave out the middle of a text that is too wide."""
    whole = text.get_text()
    for n_left in range(len(whole) - 1, 1, -1):
        if width_of(text) <= widest:
            return
        head, tail = whole[: -(-n_left // 2)], whole[-(n_left // 2) :]
        text.set_text(f"{head.rstrip()}…{tail.lstrip()}")


def write_key(ax: Axes, entries: dict[str, str]) -> Legend:
    """Say what colours of lines mean, below the graph.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes whose unit is a point.
    entries : dict of str to str
        Colours by what they mean.

    Returns
    -------
    matplotlib.legend.Legend
        The key.
    """
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=c, lw=2.2, label=name) for name, c in entries.items()]
    key = ax.legend(
        handles=lines,
        loc="lower center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=0,
        ncols=len(lines),
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        borderpad=0,
        handlelength=1.5,
        columnspacing=1.8,
    )
    return key
