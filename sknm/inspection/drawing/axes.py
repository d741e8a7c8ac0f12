"""What displays have in common: matplotlib where it is needed, axes, and colours.

Colours are legible on white and on black, told apart by those who see fewer of them
(after Okabe & Ito 2008), and, where they mean a sign, by how light they are. Figures
that displays make themselves are transparent, so that they suit the page they are on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap

INK = "#7a7a7a"
"""Text, axes and whatever is no colour: 4.2 to 1 on white and on a dark page."""

FONT_SIZE = 8
"""Of names and numbers beside what they are about, in points."""

NEGATIVE, POSITIVE = "#0072b2", "#e08214"
"""Colours of the sign of a weight: the second is the lighter one."""

MODULE_COLOURS = (
    "#0072b2",
    "#e08214",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c6bb1",
    "#998a3d",
)
"""Colours of modules, one after another and from the first again."""


def open_axes(ax: Any, display: str, size: tuple[float, float]) -> Axes:
    """Return axes to draw on, whose text and lines suit any background.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        Those of the user; None makes a transparent figure.
    display : str
        What asks, for the error.
    size : tuple of float
        Width and height of a new figure, in inches.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ImportError
        If there is no matplotlib.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{display}.plot needs matplotlib; install it with "
            "pip install 'sknm[plot]' or pip install matplotlib."
        ) from error
    if ax is None:
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        ax.patch.set_alpha(0)
    for spine in ax.spines.values():
        spine.set_color(INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.tick_params(colors=INK, which="both")
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        text.set_color(INK)
    return ax


def panels(
    ax: Axes, heights: Sequence[float], widths: Sequence[float] = (1,)
) -> list[Axes]:
    """Part axes into panels: what is drawn stays in the place of the user's axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        What to part; nothing else is to be seen of it.
    heights, widths : sequence of float
        Of the panels, from above to below and from left to right, relative to each
        other; between them is room for ticks and a line of text.

    Returns
    -------
    list of matplotlib.axes.Axes
        The panels, row by row.
    """
    ax.set_axis_off()
    box, point = ax.get_window_extent(), dpi_of(ax) / 72
    rows = _parts(heights, 4 * FONT_SIZE * point / box.height)
    columns = _parts(widths, 5 * FONT_SIZE * point / box.width)
    found = []
    for top, height in rows:
        for left, width in columns:
            inset = ax.inset_axes((left, 1 - top - height, width, height))
            inset.patch.set_alpha(0)
            open_axes(inset, "", (1, 1)).tick_params(labelsize=FONT_SIZE)
            found.append(inset)
    return found


def dpi_of(ax: Axes) -> float:
    """Return the dots per inch of the figure that axes are on.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.

    Returns
    -------
    float
        By which lengths in points become lengths on the screen.
    """
    figure = ax.get_figure()
    assert figure is not None, "axes that are drawn on have a figure"
    return float(figure.dpi)


def _parts(sizes: Sequence[float], gap: float) -> list[tuple[float, float]]:
    """Part the unit interval: where parts begin, and their lengths."""
    gap = min(gap, 0.5 / len(sizes))
    unit = (1 - gap * (len(sizes) - 1)) / sum(sizes)
    starts = np.cumsum([0, *(size * unit + gap for size in sizes[:-1])])
    return [(start, size * unit) for start, size in zip(starts, sizes, strict=True)]


def count_whole(axis: Axis) -> None:
    """Have the ticks of an axis count by 1, 2, 5, 10, 20, and so on.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        Where something is counted.
    """
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def module_colours(n_modules: int) -> list[str]:
    """Return a colour for each module.

    Parameters
    ----------
    n_modules : int
        How many there are.

    Returns
    -------
    list of str
        Neighbours differ; more modules than colours share them.
    """
    return [MODULE_COLOURS[k % len(MODULE_COLOURS)] for k in range(n_modules)]


def depth_colours(n_depths: int) -> list[str]:
    """Return a colour for each depth, from the first to the last.

    Parameters
    ----------
    n_depths : int
        How many there are.

    Returns
    -------
    list of str
        A walk from blue over violet and pink to orange.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    walk = ["#0072b2", "#8c6bb1", "#cc79a7", "#e08214"]
    colours = LinearSegmentedColormap.from_list("depth", walk)
    return [to_hex(colours(k / max(1, n_depths - 1))) for k in range(n_depths)]


def text_on(colour: str) -> str:
    """Return the colour in which text on a filled area is legible.

    Parameters
    ----------
    colour : str
        That of the area.

    Returns
    -------
    str
        White or nearly black, whichever differs more.
    """
    from matplotlib.colors import to_rgb

    c = np.array(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return "#ffffff" if 1.05 / (luminance + 0.05) > 4.5 else "#14181e"


def signed_colours() -> Colormap:
    """Return a colour map from negative over transparent to positive values.

    Returns
    -------
    matplotlib.colors.LinearSegmentedColormap
        Whose middle is transparent, so that no weight looks like the background.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    low, high = to_rgb(NEGATIVE), to_rgb(POSITIVE)
    steps = np.linspace(-1, 1, 129)
    colours = [(*(low if s < 0 else high), abs(s) ** 0.6) for s in steps]
    return LinearSegmentedColormap.from_list("sign", colours, N=257)
