"""Tables and figures that ``modules.py`` makes of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import _common as common
import numpy as np

Row = dict[str, str]
#: Columns that name one setting of the map.
SETTING = ("data", "variant", "tau", "lambda_NM")


def cell(
    rows: Iterable[Row], column: str, decimals: int = 1, spread: bool = False
) -> str:
    """Return a column's mean over rows, with its standard error where asked."""
    values = np.array([common.number(row[column]) for row in rows])
    if not len(values):
        return ""
    text = f"{values.mean():.{decimals}f}"
    if spread and len(values) > 1:
        error = values.std(ddof=1) / np.sqrt(len(values))
        text += f" ± {error:.{decimals}f}"
    return text


# ----------------------------------------------------------------------------- map


def map_table(rows: list[Row]) -> str:
    """Return one line per setting."""
    header = [
        "data",
        "penalty",
        "tau",
        "lambda_NM",
        "modules",
        "single nodes",
        "largest share",
        "error",
        "sizes (last seed)",
    ]
    keys = list(dict.fromkeys(tuple(row[key] for key in SETTING) for row in rows))
    body = []
    for key in sorted(keys, key=lambda k: (*k[:2], *map(common.number, k[2:]))):
        group = [row for row in rows if tuple(row[name] for name in SETTING) == key]
        body.append(
            [
                *key,
                cell(group, "n_groups"),
                cell(group, "n_single"),
                cell(group, "largest_share", 2),
                cell(group, "error", 4, spread=True),
                group[-1]["sizes"],
            ]
        )
    return common.markdown_table(header, body)


PANELS = (
    ("n_groups", "modules (two nodes and more)", 1),
    ("largest_share", "share of nodes in the largest", 2),
    ("error", "test error", 4),
)


def draw_map(rows: list[Row], path: Path) -> None:
    """Draw heat maps: one line of panels for the NM penalty, one for plain L1."""
    variants = [v for v in ("nm", "l1") if any(row["variant"] == v for row in rows)]
    if not variants:
        return
    size = (14, 4 * len(variants))
    figure, axes = common.new_figure(len(PANELS), len(variants), size)
    for line, variant in zip(axes, variants, strict=True):
        for panel, (column, title, decimals) in zip(line, PANELS, strict=True):
            shown = [row for row in rows if row["variant"] in (variant, "none")]
            draw_heat_map(panel, shown, column, decimals)
            panel.set_title(f"{variant}: {title}")
    common.save_figure(figure, path)


def draw_heat_map(axes, rows: list[Row], column: str, decimals: int) -> None:
    """Draw tau by strength; the first column is the fit without penalty."""
    taus = sorted({row["tau"] for row in rows}, key=float)
    strengths = sorted({row["lambda_NM"] or "0" for row in rows}, key=float)
    texts = [
        [cell(_at(rows, tau, strength), column, decimals) for strength in strengths]
        for tau in taus
    ]
    values = [[common.number(text) for text in line] for line in texts]
    axes.imshow(values, aspect="auto", origin="lower", cmap="viridis", alpha=0.6)
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            axes.text(j, i, text, ha="center", va="center", fontsize="small")
    axes.set_xticks(range(len(strengths)), strengths)
    axes.set_yticks(range(len(taus)), taus)
    axes.set_xlabel("lambda_NM")
    axes.set_ylabel("tau")


def _at(rows: list[Row], tau: str, strength: str) -> list[Row]:
    """Return the rows of one tile."""
    return [
        row for row in rows if (row["tau"], row["lambda_NM"] or "0") == (tau, strength)
    ]


# ------------------------------------------------------------------------- compare


def compare_table(
    rows: list[Row], data_sets: Sequence[str], variants: Sequence[str], reference: str
) -> str:
    """Return one line per data set and variant, compared with one of the variants."""
    header = [
        "data",
        "variant",
        "modules",
        "single nodes",
        "largest share",
        "parameters in use",
        "fit s",
        "speed-up",
        "error",
        "error difference",
        "unconverged",
    ]
    body = [
        compare_line(rows, data, variant, reference)
        for data in data_sets
        for variant in variants
    ]
    return common.markdown_table(header, body)


def compare_line(rows: list[Row], data: str, variant: str, reference: str) -> list[str]:
    """Return one variant's figures, and speed and error against the reference."""
    ours = _of(rows, data, variant)
    theirs = {row["seed"]: row for row in _of(rows, data, reference)}
    pairs = [(row, theirs[row["seed"]]) for row in ours if row["seed"] in theirs]
    return [
        data,
        variant,
        cell(ours, "n_groups"),
        cell(ours, "n_single"),
        cell(ours, "largest_share", 2),
        cell(ours, "n_parameters", 0),
        cell(ours, "fit_seconds", 2, spread=True),
        speed_up(pairs),
        cell(ours, "error", 4, spread=True),
        error_difference(pairs),
        cell(ours, "unconverged", 3),
    ]


def _of(rows: list[Row], data: str, variant: str) -> list[Row]:
    """Return the rows of one data set and variant."""
    return [row for row in rows if (row["data"], row["variant"]) == (data, variant)]


def speed_up(pairs: Sequence[tuple[Row, Row]]) -> str:
    """Return how many times faster the first of each pair was fitted."""
    if not pairs:
        return ""
    ours, theirs = np.array(
        [[common.number(row["fit_seconds"]) for row in pair] for pair in pairs]
    ).T
    return f"{theirs.mean() / ours.mean():.2f}"


def error_difference(pairs: Sequence[tuple[Row, Row]]) -> str:
    """Return the mean of the paired differences of error."""
    if not pairs:
        return ""
    difference = [
        common.number(a["error"]) - common.number(b["error"]) for a, b in pairs
    ]
    return f"{np.mean(difference):+.4f}"


def draw_history(
    rows: list[Row], data_sets: Sequence[str], variants: Sequence[str], path: Path
) -> None:
    """Plot the number of modules over the epochs, one line per variant and seed."""
    size = (6 * len(data_sets), 4)
    figure, (panels,) = common.new_figure(len(data_sets), size=size)
    for axes, data in zip(panels, data_sets, strict=True):
        for color, variant in enumerate(variants):
            plot_lines(axes, _of(rows, data, variant), f"C{color}", variant)
        axes.set_yscale("log")
        common.plain_ticks(axes.yaxis)
        axes.set_xlabel("epoch")
        axes.set_ylabel("modules")
        axes.set_title(data)
    panels[0].legend(fontsize="small")
    common.save_figure(figure, path)


def plot_lines(axes, rows: list[Row], color: str, label: str) -> None:
    """Plot one variant's seeds in one colour."""
    for seed in dict.fromkeys(row["seed"] for row in rows):
        line = [row for row in rows if row["seed"] == seed]
        axes.plot(
            [int(row["epoch"]) for row in line],
            [int(row["n_modules"]) for row in line],
            color=color,
            label=label,
            alpha=0.7,
        )
        label = "_nolegend_"
