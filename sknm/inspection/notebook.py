"""A fitted topology in brief, as HTML: a drawing that needs nothing, and a few facts.

Styles stand in the elements, and colours suit light and dark pages: there is neither a
style sheet, which would be that of the whole page, nor a script.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, sqrt
from typing import Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.axes import INK, module_colours
from sknm.inspection.models import feature_names, output_names
from sknm.inspection.report import topology_report

WIDTH, HEIGHT, LABELS = 360, 190, 30
"""Size of the drawing, and of the part of it below that says what there is."""

MIDDLE, SPREAD = 190, 140
"""Where discs are, and how wide."""

MOST_DISCS, MOST_DOTS, MOST_NAMES = 36, 120, 8
"""Most that is drawn, or named, one by one."""

BOX = (
    "display:flex;flex-wrap:wrap;gap:4px 28px;align-items:center;color:inherit;"
    "font:13px/1.5 system-ui,sans-serif;margin:8px 0"
)
LIST = "display:grid;grid-template-columns:auto auto;gap:0 14px;margin:0"
"""Styles of the whole, and of the facts."""


Place = tuple[float, float, float]
"""The middle of a disc, and the radius of the largest."""

Begin = tuple[float, float, float]
"""Where links begin: x, and y from top to bottom."""


@dataclass(frozen=True)
class Disc:
    """What is drawn as a disc: a module, or all nodes.

    Attributes
    ----------
    size : int
        Number of nodes.
    n_all : int
        Number of nodes at the start; more than `size` if some have died.
    features : ndarray of str
        Names of the features that enter it.
    share : float
        Share of all features that these are.
    name : str
        What it is, in words.
    colour : str
        Its colour.
    """

    size: int
    n_all: int
    features: np.ndarray
    share: float
    name: str
    colour: str


def notebook_view(estimator: Any) -> str:
    """Draw a fitted estimator's topology, beside a few facts.

    Parameters
    ----------
    estimator : estimator of sknm
        A fitted one.

    Returns
    -------
    str
        HTML.
    """
    rows = "".join(
        f'<dt style="color:{INK};font-weight:400">{escape(name)}</dt>'
        f'<dd style="margin:0">{escape(value)}</dd>'
        for name, value in facts(estimator).items()
    )
    return (
        f'<div class="sknm-view" style="{BOX}">{sketch(estimator)}'
        f'<dl style="{LIST}">{rows}</dl></div>'
    )


def facts(estimator: Any) -> dict[str, str]:
    """Tell the facts of a fitted estimator.

    Parameters
    ----------
    estimator : estimator of sknm
        A fitted one.

    Returns
    -------
    dict of str to str
        What there is to each of them.
    """
    report = topology_report(estimator)
    told = {"nodes": f"{report['n_nodes']:,}"}
    if "nodes_alive" in report:
        told["neurons alive"] = f"{report['nodes_alive']:,} of {report['n_nodes']:,}"
    elif "n_edges" in report:
        told["edges between nodes"] = _changed(report, "n_edges")
    if hasattr(estimator, "module_labels_"):
        told["modules"] = _changed(report, "n_modules")
    if hasattr(estimator, "constraint_bounds_"):
        told["constraints"] = f"{np.shape(estimator.constraint_bounds_)[-1]:,}"
    if estimator.net_.module_.n_members > 1:
        told["members"] = str(estimator.net_.module_.n_members)
    used = estimator.feature_modules_.any(axis=1)
    told["features used"] = f"{used.sum():,} of {len(used):,}"
    return told | _training(estimator)


def sketch(estimator: Any) -> str:
    """Draw which features enter which modules, and what comes out.

    Parameters
    ----------
    estimator : estimator of sknm
        A fitted one.

    Returns
    -------
    str
        SVG.
    """
    used, names = estimator.feature_modules_.any(axis=1), feature_names(estimator)
    outputs = output_names(estimator)
    nouns = ("class", "classes") if hasattr(estimator, "classes_") else ("output",)
    discs, kind = _discs(estimator, names)
    left = f"{used.sum():,} of {_counted(len(used), 'feature')}"
    right = _counted(len(outputs), *nouns)
    by_size = sorted(range(len(discs)), key=lambda k: -discs[k].size)
    drawn = [discs[k] for k in sorted(by_size[:MOST_DISCS])]
    if len(drawn) < len(discs):
        kind += f", {len(drawn)} drawn"
    dots, begin = _dots(used, names)
    squares, end = _squares(outputs)
    placed = list(zip(drawn, _places(len(drawn)), strict=True))
    largest = max(disc.n_all for disc in drawn)
    links = [
        _link(*p, begin, end, (k + 0.5) / len(drawn)) for k, p in enumerate(placed)
    ]
    parts = [
        *links,
        dots,
        *(_circle(*p, largest) for p in placed),
        squares,
        _text(4, HEIGHT + 22, "start", left),
        _text(MIDDLE, HEIGHT + 22, "middle", kind),
        _text(WIDTH - 4, HEIGHT + 22, "end", right),
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{escape(f"{left}, {kind}, {right}")}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + LABELS}" fill="currentColor" '
        'font-family="system-ui,sans-serif" font-size="12" '
        f'style="width:{WIDTH}px;max-width:100%;height:auto">{"".join(parts)}</svg>'
    )


# What there is.


def _discs(estimator: Any, names: np.ndarray) -> tuple[list[Disc], str]:
    """Take apart the nodes, and say in words how many there are of what."""
    enters, noun = estimator.feature_modules_, "node"
    report = topology_report(estimator)
    sizes = [int(report.get("nodes_alive", report["n_nodes"]))]
    totals, words = [int(report["n_nodes"])], [""]
    if "nodes_alive" in report:
        noun = "neuron"
    if hasattr(estimator, "module_labels_"):
        sizes = totals = [int(size) for size in estimator.module_sizes_]
        words = [f"module {k}: " for k in range(len(sizes))]
    else:
        enters = enters.any(axis=1, keepdims=True)
    colours = module_colours(len(sizes))
    discs = [
        Disc(
            sizes[k],
            totals[k],
            names[enters[:, k]],
            float(enters[:, k].mean()),
            words[k] + _counted(sizes[k], noun),
            colours[k],
        )
        for k in range(len(sizes))
    ]
    is_one = not hasattr(estimator, "module_labels_")
    return discs, discs[0].name if is_one else _counted(len(discs), "module")


def _training(estimator: Any) -> dict[str, str]:
    """Tell how the training went, and how well values are found."""
    told = {"epochs": f"{estimator.n_iter_:,}", "loss": f"{estimator.loss_:.4g}"}
    if estimator.validation_scores_:
        told["validation score"] = f"{estimator.validation_scores_[-1]:.4g}"
    stats = estimator.solver_stats_
    residual = stats["residual"]
    told["residual"] = f"{residual:.1e}" if residual else "0"
    if stats["unconverged"]:
        told["not converged"] = f"{stats['unconverged']:.1%} of the rows"
    return told


def _changed(report: dict[str, int | float], name: str) -> str:
    now, before = report[name], report[f"{name}_start"]
    return f"{now:,}" if now == before else f"{now:,} ({before:,} at the start)"


def _counted(n: int, singular: str, plural: str | None = None) -> str:
    """Return a number, with its thousands set apart, and its noun."""
    return counted(n, singular, plural).replace(str(n), f"{n:,}", 1)


def _listed(names: np.ndarray) -> str:
    """List a few names, and say how many more there are."""
    told = ", ".join(str(name) for name in names[:MOST_NAMES])
    return told + (
        f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    )


# How it is drawn.


def _dots(used: np.ndarray, names: np.ndarray) -> tuple[str, Begin]:
    """Draw features, those without use hollow, and tell where links begin."""
    n = len(used)
    if n > MOST_DOTS:
        return _gauge(used)
    n_columns = max(1, ceil(sqrt(n * 72 / HEIGHT)))
    n_rows = ceil(n / n_columns)
    step = min(15.0, (HEIGHT - 8) / n_rows)
    top = (HEIGHT - step * n_rows) / 2
    dots = []
    for k, (is_used, name) in enumerate(zip(used, names, strict=True)):
        x, y = 4 + step * (k % n_columns + 0.5), top + step * (k // n_columns + 0.5)
        fill, told = (INK, "") if is_used else ("none", " (not used)")
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{step * 0.3:.1f}" fill="{fill}" '
            f'stroke="{INK}" opacity="{1 if is_used else 0.7}">'
            f"<title>{escape(str(name) + told)}</title></circle>"
        )
    bounds = (top, HEIGHT - top) if n_rows > 1 else (HEIGHT / 2, HEIGHT / 2)
    return "".join(dots), (4 + step * n_columns, *bounds)


def _gauge(used: np.ndarray) -> tuple[str, Begin]:
    """Draw how many of many features are of use."""
    share = float(used.mean()) * (HEIGHT - 8)
    drawn = (
        f'<rect x="6" y="4" width="22" height="{HEIGHT - 8}" rx="3" fill="none" '
        f'stroke="{INK}"/><rect x="6" y="{HEIGHT - 4 - share:.1f}" width="22" '
        f'height="{share:.1f}" rx="3" fill="{INK}"/>'
    )
    return drawn, (30.0, HEIGHT * 0.2, HEIGHT * 0.8)


def _squares(names: np.ndarray) -> tuple[str, float]:
    """Draw outputs, and their names if there are few; tell where they begin."""
    n = min(len(names), 12)
    step = min(24.0, (HEIGHT - 8) / n)
    top, x = (HEIGHT - step * n) / 2, WIDTH - 62
    squares = []
    for k in range(n):
        y = top + step * (k + 0.5)
        name = str(names[k]) if len(names) == n or k < n - 1 else "…"
        short = name if len(name) <= 7 else name[:6] + "…"
        squares.append(
            f'<g><title>{escape(name)}</title><rect x="{x}" y="{y - 4:.1f}" width="8" '
            f'height="8" fill="{INK}"/>{_text(x + 13, y + 4, "start", short)}</g>'
        )
    return "".join(squares), float(x)


def _places(n: int) -> list[Place]:
    """Place discs in a grid: the middle of each, and how large it may be."""
    n_columns = max(1, round(sqrt(n * SPREAD / HEIGHT)))
    n_rows = ceil(n / n_columns)
    step = min(SPREAD / n_columns, (HEIGHT - 4) / n_rows, 96)
    places = []
    for k in range(n):
        row, column = divmod(k, n_columns)
        in_row = min(n_columns, n - row * n_columns)
        x = MIDDLE + step * (column - (in_row - 1) / 2)
        places.append((x, HEIGHT / 2 + step * (row - (n_rows - 1) / 2), step * 0.44))
    return places


def _link(disc: Disc, place: Place, begin: Begin, end: float, share: float) -> str:
    """Tie a disc to features, by more ink for more of them, and to the outputs."""
    x, y, _ = place
    right, half = end - 3, HEIGHT / 2
    lines = (
        f'<path d="M{x:.1f} {y:.1f}C{(x + end) / 2 + 12:.1f} {y:.1f} {end - 30:.1f} '
        f'{half:.1f} {right:.1f} {half:.1f}" fill="none" stroke="{INK}" '
        'stroke-opacity="0.35"/>'
    )
    if not disc.share:
        return lines
    left, top, bottom = begin
    start, bend = top + (bottom - top) * share, (left + x) / 2
    return lines + (
        f'<path d="M{left:.1f} {start:.1f}C{bend:.1f} {start:.1f} {bend:.1f} {y:.1f} '
        f'{x:.1f} {y:.1f}" fill="none" stroke="{disc.colour}" stroke-opacity="0.7" '
        f'stroke-width="{0.75 + 5 * disc.share:.2f}"/>'
    )


def _circle(disc: Disc, place: Place, largest: int) -> str:
    """Draw a disc whose area is its size, inside of what it was at the start."""
    x, y, most = place
    r = most * sqrt(max(disc.size, 0.2) / largest)
    circles = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{disc.colour}"/>'
    if disc.n_all > disc.size:
        circles += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{most:.1f}" fill="none" '
            f'stroke="{INK}" stroke-dasharray="3 3"/>'
        )
    number, told = f"{disc.size:,}", f"{disc.name}; {_listed(disc.features)}"
    if r >= 4 + 3.5 * len(number):
        circles += _text(x, y + 4, "middle", number, _ink_on(disc.colour))
    return f"<g><title>{escape(told)}</title>{circles}</g>"


def _ink_on(colour: str) -> str:
    """Return black or white, whichever is told better from a colour."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    luminance = (channels**2.2) @ [0.2126, 0.7152, 0.0722]
    return "#000" if luminance > 0.18 else "#fff"


def _text(x: float, y: float, anchor: str, text: str, colour: str = "") -> str:
    fill = f' fill="{colour}"' if colour else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{fill}>{escape(text)}</text>"
