"""Repeated measurements: interleaved, recorded one by one, summarised by the median."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _common as common
from sklearn.exceptions import ConvergenceWarning

COLUMNS = ("session", "measure", "contestant", "n_nodes", "value", "unit", "note")

#: Measures one value, and returns it with a remark.
Contestant = Callable[[], tuple[float, str]]


class Recorder:
    """Writes measurements to the CSV file and keeps those of this run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = common.session()
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        measure: str,
        contestant: str,
        n_nodes: int,
        value: float,
        unit: str,
        note: str,
    ) -> None:
        """Record one measurement."""
        values = (self.session, measure, contestant, n_nodes, value, unit, note)
        row = dict(zip(COLUMNS, values, strict=True))
        common.append_row(self.path, COLUMNS, row)
        print(f"{measure} {contestant} {n_nodes}: {value:.4g} {unit}  {note}")
        self.rows.append(row)

    def interleave(
        self,
        measure: str,
        contestants: dict[str, Contestant],
        n_nodes: int,
        unit: str,
        repeats: int,
    ) -> None:
        """Measure each contestant once, and all that `repeats` times."""
        for _ in range(repeats):
            for name, run in contestants.items():
                value, note = run()
                self.add(measure, name, n_nodes, value, unit, note)


def time_fit(estimator: Any, data: common.Split) -> common.Stopwatch:
    """Fit, not minding ConvergenceWarnings, and return the watch."""
    with warnings.catch_warnings(), common.Stopwatch() as watch:
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(data.X_train, data.y_train)
    return watch


def summarise(rows: list[dict[str, Any]], reference: str) -> list[dict[str, Any]]:
    """Return median, smallest and largest per contestant, and the ratio of medians.

    The ratio is to the contestant called `reference` of the same measure and number of
    nodes, NaN where there is none.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("measure", "n_nodes", "contestant"))
        groups.setdefault(key, []).append(row)
    medians = {
        key: statistics.median(row["value"] for row in group)
        for key, group in groups.items()
    }
    return [
        {
            **group[-1],
            "median": medians[key],
            "low": min(row["value"] for row in group),
            "high": max(row["value"] for row in group),
            "ratio": medians[key] / medians.get((*key[:2], reference), float("nan")),
        }
        for key, group in groups.items()
    ]


def table(summary: list[dict[str, Any]], reference: str) -> str:
    """Return a summary as Markdown."""
    header = [
        "measure",
        "nodes",
        "contestant",
        "median",
        "min..max",
        f"ratio to {reference}",
        "note (last repetition)",
    ]
    body = [
        [
            line["measure"],
            str(line["n_nodes"]),
            line["contestant"],
            f"{line['median']:.4g} {line['unit']}",
            f"{line['low']:.4g}..{line['high']:.4g}",
            f"{line['ratio']:.2f}" if line["ratio"] == line["ratio"] else "",
            line["note"],
        ]
        for line in summary
    ]
    return common.markdown_table(header, body)


def report(recorder: Recorder, reference: str) -> list[dict[str, Any]]:
    """Print and write the table of this run, and return the summary."""
    summary = summarise(recorder.rows, reference)
    text = f"{table(summary, reference)}\n\nMachine: {common.machine()}.\n"
    recorder.path.with_suffix(".md").write_text(text)
    print(f"\n{text}")
    return summary


def draw_dots(axes, lines: list[dict[str, Any]], label: str, log: bool) -> None:
    """Draw medians as dots with the range over repetitions."""
    names = [line["contestant"] for line in lines]
    low = [line["median"] - line["low"] for line in lines]
    high = [line["high"] - line["median"] for line in lines]
    medians = [line["median"] for line in lines]
    axes.errorbar(medians, range(len(names)), xerr=[low, high], fmt="o", capsize=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(label)
    if log:
        axes.set_xscale("log")
        common.plain_ticks(axes.xaxis)
    else:
        axes.set_xlim(0, 1.1 * max(line["high"] for line in lines))
