"""Tables, aims and figures that ``scale.py`` makes of the rows of its CSV file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _common as common
import _repeats as repeats
import baselines
import numpy as np

Row = dict[str, Any]

#: What the ratios of a measure's table are to.
REFERENCES = {
    "solves": "modules",
    "module-size": "1 sample, first",
    "step": "nm",
    "profile": "a step",
    "speedup": "n_jobs=1",
    "epoch": "nm n_jobs=1",
    "gpu": "training tolerance, refined",
}
#: Measures whose repetitions are seeds: several runs may add to them.
SEEDED = ("error", "facebook")
#: Numbers of nodes between which slopes are taken.
SLOPE_NODES = (300, 6000)
NAMES = {
    "nm": "Neural Modules",
    "ff": "NN (one layer)",
    "mlp": "MLPClassifier",
}


# --------------------------------------------------------------------------- rows


def group_of(row: Row) -> str:
    """Return the measure of the command line that a row belongs to."""
    return row["measure"].partition(",")[0]


def read(path: Path) -> list[Row]:
    """Return the rows of a CSV file, of times those of the last run of each only."""
    rows: list[Row] = [
        row | {"n_nodes": int(row["n_nodes"]), "value": float(row["value"])}
        for row in common.read_rows(path)
    ]
    last = {(row["measure"], row["n_nodes"]): row["session"] for row in rows}
    return [
        row
        for row in rows
        if group_of(row) in SEEDED
        or row["session"] == last[row["measure"], row["n_nodes"]]
    ]


def values(rows: list[Row], measure: str, contestant: str, n_nodes: int) -> np.ndarray:
    """Return all values of a contestant at a number of nodes."""
    key = (measure, contestant, n_nodes)
    names = ("measure", "contestant", "n_nodes")
    return np.array([r["value"] for r in rows if tuple(r[k] for k in names) == key])


def median(rows: list[Row], measure: str, contestant: str, n_nodes: int) -> float:
    """Return the median of a contestant, NaN if it has no value."""
    found = values(rows, measure, contestant, n_nodes)
    return float(np.median(found)) if len(found) else float("nan")


def ordered(rows: list[Row], column: str) -> list[Any]:
    """Return the different values of a column, in the order of the rows."""
    return list(dict.fromkeys(row[column] for row in rows))


# -------------------------------------------------------------------------- tables


def markdown(rows: list[Row], groups: Sequence[str]) -> str:
    """Return the whole report."""
    parts = []
    for group in groups:
        here = [row for row in rows if group_of(row) == group]
        if not here:
            continue
        parts.append(f"## {group}")
        if group in SEEDED:
            parts.append(error_tables(here))
            continue
        reference = REFERENCES[group]
        parts.append(repeats.table(repeats.summarise(here, reference), reference))
        met = aims(here)
        if met:
            header = ["measure", "what", "measured", "aim", "met"]
            parts.append(common.markdown_table(header, met))
    threads = "one thread where n_jobs isn't given"
    return "\n\n".join([*parts, f"Machine: {common.machine(threads)}{gpu()}.\n"])


def gpu() -> str:
    """Name the GPU, if there is one."""
    import torch

    if not torch.cuda.is_available():
        return ""
    return f"; GPU {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def error_tables(rows: list[Row]) -> str:
    """Return mean errors ± standard errors, and medians of seconds per fit."""
    tables = []
    for measure in ordered(rows, "measure"):
        here = [row for row in rows if row["measure"] == measure]
        nodes = sorted(ordered(here, "n_nodes"))
        form = "step" if here[0]["unit"] else "error"
        body = [
            [NAMES[name], *(baselines.cell(form, v) for _, v in line)]
            for name in ordered(here, "contestant")
            for line in [line_of(here, measure, name, nodes)]
        ]
        unit = here[0]["unit"] or "test error"
        title = f"{measure} ({unit}), nodes"
        tables.append(common.markdown_table([title, *map(str, nodes)], body))
    return "\n\n".join(tables)


def line_of(
    rows: list[Row], measure: str, contestant: str, nodes: Sequence[int]
) -> list[tuple[int, np.ndarray]]:
    """Return the values of a contestant at each number of nodes."""
    return [(n, values(rows, measure, contestant, n)) for n in nodes]


# ---------------------------------------------------------------------------- aims


def aims(rows: list[Row]) -> list[list[str]]:
    """Compare what was measured with what was aimed at, where there is both."""
    lines = []
    for measure in ordered(rows, "measure"):
        for what, number, bound, is_met in AIMS.get(measure.partition(",")[0], ()):
            found = number(rows, measure)
            if not np.isnan(found):
                met = "" if bound is None else ("yes" if is_met(found, bound) else "no")
                aim = "" if bound is None else f"{bound:g}"
                lines.append([measure, what, f"{found:.3g}", aim, met])
    return lines


Number = Callable[[list[Row], str], float]


def ratio(ours: str, theirs: str, n_nodes: int) -> Number:
    """Return a function that divides the medians of two contestants."""
    return lambda rows, measure: (
        median(rows, measure, ours, n_nodes) / median(rows, measure, theirs, n_nodes)
    )


def slope(contestant: str) -> Number:
    """Return a function that fits a power of the number of nodes to medians."""

    def number(rows: list[Row], measure: str) -> float:
        first, last = SLOPE_NODES
        nodes = [n for n in sorted(ordered(rows, "n_nodes")) if first <= n <= last]
        medians = np.array([median(rows, measure, contestant, n) for n in nodes])
        known = ~np.isnan(medians)
        if known.sum() < 2:
            return float("nan")
        return np.polyfit(np.log(nodes)[known], np.log(medians[known]), 1)[0]

    return number


def at(contestant: str, n_nodes: int, unit: str) -> Number:
    """Return a function that takes the median of one contestant in this unit."""

    def number(rows: list[Row], measure: str) -> float:
        here = [row for row in rows if row["unit"] == unit]
        return median(here, measure, contestant, n_nodes)

    return number


def at_least(found: float, bound: float) -> bool:
    """Tell whether a number is as large as it should be."""
    return bool(found >= bound)


def at_most(found: float, bound: float) -> bool:
    """Tell whether a number is as small as it should be."""
    return bool(found <= bound)


#: measure -> what, how it is computed, the aim, and in which direction.
AIMS: dict[str, list[tuple[str, Number, float | None, Callable[..., bool]]]] = {
    "solves": [
        ("dense / modules, 3000 nodes", ratio("dense", "modules", 3000), 15, at_least),
        ("DEQ / modules, 3000 nodes", ratio("deq", "modules", 3000), None, at_least),
        (
            "one thread / two, 3000 nodes",
            ratio("modules", "modules n_jobs=2", 3000),
            1.7,
            at_least,
        ),
        ("power of nodes, modules", slope("modules"), 1.15, at_most),
        ("power of nodes, DEQ", slope("deq"), None, at_most),
    ],
    "module-size": [
        ("50 nodes, 1 sample, first (ms)", at("1 sample, first", 50, "ms"), 1, at_most),
        (
            "50 nodes, 1 sample, prepared (ms)",
            at("1 sample, prepared", 50, "ms"),
            1,
            at_most,
        ),
    ],
    "step": [
        (
            "two threads / one, 100 nodes",
            ratio("nm n_jobs=2", "nm", 100),
            1.05,
            at_most,
        ),
        ("dense / modules, 3000 nodes", ratio("nm-dense", "nm", 3000), 5, at_least),
        ("DEQ / modules, 3000 nodes", ratio("deq", "nm", 3000), None, at_least),
        ("power of nodes, modules", slope("nm"), None, at_most),
        ("power of nodes, DEQ", slope("deq"), None, at_most),
    ],
    "speedup": [
        (
            "one thread / two, 3000 nodes",
            ratio("n_jobs=1", "n_jobs=2", 3000),
            None,
            at_least,
        ),
    ],
    "epoch": [
        ("3000 nodes (s)", at("nm n_jobs=2", 3000, "s"), 120, at_most),
        ("3000 nodes (MiB)", at("nm n_jobs=2", 3000, "MiB"), 4096, at_most),
    ],
}


# ------------------------------------------------------------------------- figures

PANEL = (4.5, 3.8)


def draw(rows: list[Row], group: str, path: Path) -> None:
    """Plot a measure, one panel per part of it."""
    here = [row for row in rows if group_of(row) == group]
    if not here or group in ("epoch", "profile"):
        return
    parts = ordered(here, "measure")
    n_rows = -(-len(parts) // 3)
    n_columns = -(-len(parts) // n_rows)
    size = (PANEL[0] * n_columns, PANEL[1] * n_rows)
    figure, grid = common.new_figure(n_columns, n_rows, size=size)
    panels = grid.ravel()
    draw_panel = draw_speedup if group == "speedup" else draw_nodes
    for axes, measure in zip(panels, parts, strict=False):
        draw_panel(axes, [row for row in here if row["measure"] == measure], measure)
        axes.set_title(measure.partition(", ")[2] or measure, fontsize="medium")
        axes.grid(alpha=0.3)
    for axes in panels[len(parts) :]:
        axes.remove()
    panels[0].legend(fontsize="small")
    common.save_figure(figure, path)


def draw_nodes(axes: Any, rows: list[Row], measure: str) -> None:
    """Plot values against the number of nodes."""
    unit = rows[0]["unit"]
    nodes = sorted(ordered(rows, "n_nodes"))
    for name in ordered(rows, "contestant"):
        line = [(n, v) for n, v in line_of(rows, measure, name, nodes) if len(v)]
        form = "step" if unit else "error"
        baselines.draw_line(axes, form, NAMES.get(name, name), line)
    axes.set_xscale("log")
    axes.set_xticks(nodes, [str(n) for n in nodes], rotation=45)
    axes.set_xlabel("nodes")
    axes.set_ylabel(unit or "test error")
    if unit:
        axes.set_yscale("log")
        common.plain_ticks(axes.yaxis)
    axes.xaxis.set_minor_locator(_no_ticks())


def draw_speedup(axes: Any, rows: list[Row], measure: str) -> None:
    """Plot how many times faster several threads are than one."""
    names = ordered(rows, "contestant")
    n_jobs = [int(name.removeprefix("n_jobs=")) for name in names]
    for n_nodes in sorted(ordered(rows, "n_nodes")):
        times = [values(rows, measure, name, n_nodes) for name in names]
        ratios = np.median(times[0]) / [np.median(v) for v in times]
        axes.plot(n_jobs, ratios, "o-", label=f"{n_nodes} nodes")
    axes.plot(n_jobs, n_jobs, ":", color="gray", label="as many times as threads")
    axes.set_xticks(n_jobs)
    axes.set_xlabel("n_jobs")
    axes.set_ylabel("time with n_jobs=1 / time")
    axes.set_ylim(0)


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()
