"""Tables, paired tests and the figure that ``accuracy.py`` makes of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _common as common
import numpy as np
from scipy import stats

Row = dict[str, str]


@dataclass(frozen=True)
class Results:
    """The rows of a CSV file: ``rows[estimator, data set][seed]``.

    ``clock`` is the column that fit times are taken from.
    """

    estimators: tuple[str, ...]
    data_sets: tuple[str, ...]
    rows: dict[tuple[str, str], dict[str, Row]]
    clock: str = "fit_seconds"

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        estimators: Sequence[str],
        data_sets: Sequence[str],
        clock: str,
    ) -> Results:
        """Sort rows; estimators and data sets without any are left out."""
        found: dict[tuple[str, str], dict[str, Row]] = {}
        for row in rows:
            if row["estimator"] in estimators and row["data"] in data_sets:
                cell = found.setdefault((row["estimator"], row["data"]), {})
                cell[row["seed"]] = row
        return cls(
            tuple(e for e in estimators if any(key[0] == e for key in found)),
            tuple(d for d in data_sets if any(key[1] == d for key in found)),
            found,
            clock,
        )

    def values(self, estimator: str, data: str, column: str) -> np.ndarray:
        """Return a column over the seeds."""
        cell = self.rows.get((estimator, data), {})
        return np.array([common.number(row[column]) for row in cell.values()])

    def mean(self, estimator: str, data: str, column: str = "error") -> float:
        """Return a column's mean over the seeds, NaN if there is none."""
        values = self.values(estimator, data, column)
        return float(np.mean(values)) if len(values) else float("nan")

    def pairs(
        self, estimator: str, reference: str, data: str, column: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a column of both over the seeds that both have."""
        ours = self.rows.get((estimator, data), {})
        theirs = self.rows.get((reference, data), {})
        seeds = [seed for seed in ours if seed in theirs]
        return tuple(
            np.array([common.number(rows[seed][column]) for seed in seeds])
            for rows in (ours, theirs)
        )

    def shared_sessions(self, estimator: str, reference: str) -> bool:
        """Tell whether every pair of rows was measured in one process."""
        return all(
            row["session"] == self.rows[reference, data][seed]["session"]
            for (name, data), cell in self.rows.items()
            for seed, row in cell.items()
            if name == estimator and seed in self.rows.get((reference, data), {})
        )


# --------------------------------------------------------------------------- tests


def corrected_t_test(
    ours: np.ndarray, theirs: np.ndarray, test_per_train: float
) -> float:
    """Return the p-value of Nadeau and Bengio's corrected resampled t-test.

    Splits of one data set overlap, so the plain variance of the mean difference is
    too small; ``1 / k`` becomes ``1 / k + n_test / n_train``.
    """
    difference = ours - theirs
    k = len(difference)
    if k < 2:
        return float("nan")
    variance = difference.var(ddof=1)
    if variance == 0:
        return 1.0 if difference.mean() == 0 else 0.0
    t = difference.mean() / np.sqrt((1 / k + test_per_train) * variance)
    return float(2 * stats.t.sf(abs(t), k - 1))


def wilcoxon_p(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the two-sided p-value of the signed-rank test over data sets' means."""
    if len(ours) < 2 or np.array_equal(ours, theirs):
        return float("nan")
    return float(stats.wilcoxon(ours, theirs).pvalue)


def mean_ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the ratio of two means, NaN without any values or of zero."""
    if not len(ours) or not theirs.any():
        return float("nan")
    return float(ours.mean() / theirs.mean())


# -------------------------------------------------------------------------- tables


def error_table(results: Results) -> str:
    """Mean error ± standard error of the mean; the lowest of a row is bold."""
    body = []
    for data in results.data_sets:
        means = [results.mean(e, data) for e in results.estimators]
        best = np.nanmin(means)
        cells = [_error_cell(results, e, data, best) for e in results.estimators]
        body.append([data, *cells])
    return common.markdown_table(["error", *results.estimators], body)


def _error_cell(results: Results, estimator: str, data: str, best: float) -> str:
    """Format one mean ± standard error."""
    errors = results.values(estimator, data, "error")
    if not len(errors):
        return ""
    text = f"{errors.mean():.4f}"
    if len(errors) > 1:
        text += f" ± {errors.std(ddof=1) / np.sqrt(len(errors)):.4f}"
    return f"**{text}**" if errors.mean() == best else text


def complete_sets(results: Results, estimators: Sequence[str]) -> list[str]:
    """Return the data sets on which all these estimators have the same seeds."""
    seeds = {
        data: {frozenset(results.rows.get((e, data), ())) for e in estimators}
        for data in results.data_sets
    }
    return [data for data, sets in seeds.items() if len(sets) == 1 and all(sets)]


def summary_table(results: Results, reference: str) -> str:
    """One row per estimator: wins, comparison with the reference, time, trouble."""
    header = [
        "estimator",
        "lowest error",
        "mean error",
        f"better than {reference}",
        "Wilcoxon p",
        "fit time ratio",
        "fit no longer",
        "unconverged",
        "max residual",
        "warnings",
    ]
    sets = complete_sets(results, results.estimators)
    body = [
        [
            name,
            f"{wins(results, name, sets)} of {len(sets)}",
            f"{np.mean([results.mean(name, d) for d in sets]):.4f}" if sets else "",
            *versus_reference(results, name, reference),
            *trouble(results, name),
        ]
        for name in results.estimators
    ]
    return common.markdown_table(header, body)


def wins(results: Results, estimator: str, data_sets: Sequence[str]) -> int:
    """Count the data sets on which no estimator has a lower mean error."""
    return sum(
        results.mean(estimator, data)
        == min(results.mean(e, data) for e in results.estimators)
        for data in data_sets
    )


def versus_reference(results: Results, estimator: str, reference: str) -> list[str]:
    """Return wins over the reference, Wilcoxon p, time ratio, and times not above."""
    sets = complete_sets(results, [estimator, reference])
    if estimator == reference or not sets:
        return ["", "", "1" if estimator == reference else "", ""]
    pairs = [results.pairs(estimator, reference, data, "error") for data in sets]
    ours, theirs = np.array([[p.mean() for p in pair] for pair in pairs]).T
    ratios = mean_ratios(results, estimator, reference, sets, results.clock)
    mark = "" if results.shared_sessions(estimator, reference) else " *"
    return [
        f"{np.sum(ours < theirs)} of {len(sets)}",
        f"{wilcoxon_p(ours, theirs):.3f}",
        f"{np.exp(np.mean(np.log(ratios))):.2f}{mark}",
        f"{np.sum(ratios <= 1)} of {len(sets)}{mark}",
    ]


def mean_ratios(
    results: Results,
    estimator: str,
    reference: str,
    data_sets: Sequence[str],
    column: str,
) -> np.ndarray:
    """Return a column's mean over the reference's, over shared seeds, per data set."""
    pairs = [results.pairs(estimator, reference, data, column) for data in data_sets]
    return np.array([mean_ratio(*pair) for pair in pairs])


def trouble(results: Results, estimator: str) -> list[str]:
    """Return the worst unconverged share and residual, and all warnings counted."""
    columns = ("unconverged", "residual", "convergence_warnings")
    cells = []
    for column, reduce in zip(columns, (np.nanmax, np.nanmax, np.nansum), strict=True):
        parts = [results.values(estimator, data, column) for data in results.data_sets]
        values = np.concatenate(parts)
        known = not np.isnan(values).all()
        cells.append(f"{reduce(values):.2g}" if known else "")
    return cells


def detail_table(results: Results, reference: str) -> str:
    """One row per other estimator and data set: tests, time, size and modules."""
    header = [
        "data",
        "estimator",
        "error difference",
        "p corrected",
        "p paired t",
        "fit s",
        "fit time ratio",
        "epochs",
        "parameters",
        "modules",
        "largest share",
    ]
    body = [
        _detail_row(results, name, reference, data)
        for data in results.data_sets
        for name in results.estimators
        if (name, data) in results.rows
    ]
    return common.markdown_table(header, body)


def _detail_row(
    results: Results, estimator: str, reference: str, data: str
) -> list[str]:
    """Format the comparison with the reference on one data set."""
    formats = {
        "n_iter": "{:.0f}",
        "n_parameters": "{:.0f}",
        "n_modules": "{:.1f}",
        "largest_share": "{:.2f}",
    }
    facts = [
        _known(results.mean(estimator, data, column), form)
        for column, form in formats.items()
    ]
    seconds = f"{results.mean(estimator, data, results.clock):.2f}"
    difference, *tests, ratio = _comparison(results, estimator, reference, data)
    return [data, estimator, difference, *tests, seconds, ratio, *facts]


def _comparison(
    results: Results, estimator: str, reference: str, data: str
) -> list[str]:
    """Return error difference, both p-values and the time ratio on one data set."""
    ours, theirs = results.pairs(estimator, reference, data, "error")
    if estimator == reference or not len(ours):
        return ["", "", "", ""]
    per_train = common.TEST_SHARE / (1 - common.TEST_SHARE)
    times = results.pairs(estimator, reference, data, results.clock)
    return [
        f"{np.mean(ours - theirs):+.4f}",
        _known(corrected_t_test(ours, theirs, per_train), "{:.3f}"),
        _known(corrected_t_test(ours, theirs, 0), "{:.3f}"),
        f"{mean_ratio(*times):.2f}",
    ]


def _known(value: float, form: str) -> str:
    """Format a number, NaN as an empty cell."""
    return "" if np.isnan(value) else form.format(value)


def markdown(results: Results, reference: str) -> str:
    """Return the whole report."""
    if not results.estimators:
        return "no rows of these estimators and data sets\n"
    per_cell = sorted({len(cell) for cell in results.rows.values()})
    seeds = "-".join(map(str, sorted({per_cell[0], per_cell[-1]})))
    return "\n\n".join(
        [
            f"Test error over {seeds} stratified 75/25 splits, mean ± standard error.",
            error_table(results),
            f"Against {reference}; counts and means over the data sets that all "
            "estimators have with the same seeds. Time ratios are geometric means.",
            summary_table(results, reference),
            f"Times are the column {results.clock}; "
            "\\* times of different runs, so only roughly comparable. p corrected: "
            "corrected resampled t-test (Nadeau and Bengio 2003).",
            detail_table(results, reference),
            f"Machine of this report: {common.machine()}.\n",
        ]
    )


# -------------------------------------------------------------------------- figure


def draw(results: Results, reference: str, path: Path) -> None:
    """Plot error and fit time relative to the reference, one row per data set."""
    others = [name for name in results.estimators if name != reference]
    size = (11, 1.5 + 0.35 * len(results.data_sets))
    figure, ((left, right),) = common.new_figure(2, size=size)
    for shift, name in zip(_shifts(len(others)), others, strict=True):
        y = np.arange(len(results.data_sets)) + shift
        pair = (name, reference, results.data_sets)
        left.plot(mean_ratios(results, *pair, "error"), y, "o", label=name)
        right.plot(mean_ratios(results, *pair, results.clock), y, "o")
    _dress(left, "error", reference, results.data_sets)
    _dress(right, "fit time", reference, [""] * len(results.data_sets))
    left.legend(fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    common.save_figure(figure, path)


def _shifts(n: int) -> np.ndarray:
    """Return offsets that keep n dots of one row apart."""
    return np.linspace(-0.25, 0.25, n) if n > 1 else np.zeros(n)


def _dress(axes, what: str, reference: str, labels: Sequence[str]) -> None:
    """Label one panel; ratios are on a logarithmic axis, below 1 is better."""
    axes.axvline(1, color="gray", linewidth=1)
    axes.set_xscale("log")
    common.plain_ticks(axes.xaxis)
    axes.set_xlabel(f"{what} / {what} of {reference}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
