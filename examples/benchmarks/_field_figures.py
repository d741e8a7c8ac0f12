"""The figures of ``field.py``: ranks with their critical difference, error and time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import _common as common
import numpy as np
from _field_results import Results, critical_difference, geometric_ratio, mean_ranks

OURS_COLOUR, PEERS_COLOUR = "#b3261e", "#2b5c8a"
#: Where a label may be, beside its dot, in points, and how it is aligned.
PLACES = [
    (dx, dy, align)
    for distance in (6, 14, 24)
    for dx, dy, align in (
        (distance, 0, "left"),
        (-distance, 0, "right"),
        (0, distance, "center"),
        (0, -distance, "center"),
        (distance, distance, "left"),
        (distance, -distance, "left"),
        (-distance, distance, "right"),
        (-distance, -distance, "right"),
    )
]


def colour_of(model: str, ours: Sequence[str]) -> str:
    """Return the colour of what is developed here, or elsewhere."""
    return OURS_COLOUR if model in ours else PEERS_COLOUR


# --------------------------------------------------------------- critical difference


def draw_ranks(ranked: Results, ours: Sequence[str], path: Path) -> None:
    """Draw mean ranks on a line, with bars over those that don't differ (Nemenyi)."""
    errors = ranked.means("error")
    ranks = mean_ranks(errors)
    order = np.argsort(ranks, kind="stable")
    names = [ranked.models[k] for k in order]
    gap = critical_difference(*errors.shape)
    bars = groups(ranks[order], gap)
    n_lines = (len(names) + 1) // 2
    height = 1.2 + 0.17 * len(bars) + 0.24 * n_lines
    figure, ((axes,),) = common.new_figure(size=(7, height))
    _dress_ranks(axes, len(names), gap, len(ranked.data_sets))
    for k, bar in enumerate(bars):
        low, high = ranks[order][bar[0]], ranks[order][bar[1]]
        axes.plot([low - 0.04, high + 0.04], [_bar_height(k)] * 2, "k", linewidth=3)
    below = _bar_height(len(bars)) - 0.3
    for k, name in enumerate(names):
        is_left = k < n_lines
        line = k if is_left else len(names) - 1 - k
        _draw_rank(axes, ranks[order][k], name, below - line, is_left, ours)
    axes.set_ylim(below - n_lines, 2.4)
    common.save_figure(figure, path)


def groups(ranks: np.ndarray, gap: float) -> list[tuple[int, int]]:
    """Return first and last of the largest runs of sorted ranks within a gap."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + gap, side="right")) - 1
        if last > first and not (found and found[-1][1] >= last):
            found.append((first, last))
    return found


def _bar_height(k: int) -> float:
    return -0.55 - 0.6 * k


def _dress_ranks(axes, n_models: int, gap: float, n_sets: int) -> None:
    """Draw the line of ranks, with the critical difference above it."""
    axes.set_xlim(0.2 - 0.32 * n_models, 1.32 * n_models + 0.8)
    axes.axis("off")
    axes.plot([1, n_models], [0, 0], "k", linewidth=1)
    for rank in range(1, n_models + 1):
        axes.plot([rank, rank], [0, 0.2], "k", linewidth=1)
        axes.text(rank, 0.35, str(rank), ha="center", fontsize=9)
    axes.plot([1, 1 + gap], [1.5, 1.5], "k", linewidth=1.5)
    for x in (1, 1 + gap):
        axes.plot([x, x], [1.35, 1.65], "k", linewidth=1.5)
    text = f"critical difference {gap:.2f} (Nemenyi, 5 %, {n_sets} sets)"
    axes.text(1 + gap + 0.3, 1.5, text, va="center", fontsize=9)


def _draw_rank(
    axes, rank: float, name: str, y: float, is_left: bool, ours: Sequence[str]
) -> None:
    """Draw a line from a mean rank down and out to the model's name."""
    low, high = axes.get_xlim()
    side = 0.24 * (high - low)
    edge = low + side if is_left else high - side
    colour = colour_of(name, ours)
    axes.plot([rank, rank, edge], [0, y, y], color=colour, linewidth=1)
    text = f"{name} {rank:.1f}"
    align, shift = ("right", -0.1) if is_left else ("left", 0.1)
    axes.text(edge + shift, y, text, ha=align, va="center", fontsize=9, color=colour)


# ------------------------------------------------------------------- error and time


def draw_times(
    ranked: Results, reference: str, ours: Sequence[str], path: Path
) -> None:
    """Draw error against time to fit, both relative to a reference."""
    errors, times = ranked.means("error"), ranked.means("fit_cpu_seconds")
    base = ranked.models.index(reference)
    y = [geometric_ratio(part, errors[base]) for part in errors]
    x = [float(np.exp(np.mean(np.log(part / times[base])))) for part in times]
    figure, ((axes,),) = common.new_figure(size=(7, 4.6))
    for model, *place in zip(ranked.models, x, y, strict=True):
        axes.plot(*place, "o", color=colour_of(model, ours), markersize=5)
    axes.set_xscale("log")
    common.plain_ticks(axes.xaxis)
    axes.axhline(1, color="gray", linewidth=0.6)
    axes.axvline(1, color="gray", linewidth=0.6)
    axes.set_xlabel(f"time to fit, relative to {reference} (geometric means over sets)")
    axes.set_ylabel(f"error, relative to {reference}")
    axes.margins(0.12)
    figure.tight_layout()
    colours = [colour_of(model, ours) for model in ranked.models]
    place_labels(axes, ranked.models, np.column_stack([x, y]), colours)
    common.save_figure(figure, path)


def place_labels(
    axes, names: Sequence[str], places: np.ndarray, colours: Sequence[str]
) -> None:
    """Write a label beside each dot, where it covers no dot and no other label."""
    renderer = axes.figure.canvas.get_renderer()
    dots = axes.transData.transform(places)
    taken = [_box_around(dot) for dot in dots]
    for name, place, colour in zip(names, places, colours, strict=True):
        for dx, dy, align in PLACES:
            label = axes.annotate(
                name,
                place,
                (dx, dy),
                textcoords="offset points",
                ha=align,
                va="center",
                fontsize=9,
                color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
            box = label.get_window_extent(renderer)
            is_inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
            if is_inside and not box.count_overlaps(taken):
                break
            label.remove()
        else:
            label = axes.annotate(name, place, fontsize=9, color=colour)
            box = label.get_window_extent(renderer)
        taken.append(box)


def _box_around(dot: np.ndarray):
    """Return the box that a dot takes, in pixels."""
    from matplotlib.transforms import Bbox

    return Bbox([dot - 4, dot + 4])
