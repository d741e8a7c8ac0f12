"""The tables that ``field.py`` makes of its rows."""

from __future__ import annotations

import _common as common
import numpy as np
from _field_results import (
    RANKED_SHARE,
    Comparison,
    Results,
    critical_difference,
    friedman_p,
    geometric_ratio,
    holm,
    mean_ranks,
)

#: column of the rows -> heading, number format; those without values are left out.
SUMMARY = {
    "error": ("mean error", "{:.4f}"),
    "r2": ("mean R²", "{:.3f}"),
    "log_loss": ("log loss", "{:.3f}"),
    "ece": ("calibration error", "{:.3f}"),
    "brier": ("Brier", "{:.3f}"),
}
SET_FORMATS = {
    "error": "{:.4f}",
    "log_loss": "{:.3f}",
    "ece": "{:.3f}",
    "fit_cpu_seconds": "{:.3g}",
}
TIMES = {"fit_cpu_seconds": "fit s", "predict_cpu_seconds": "predict s"}


def summary_table(ranked: Results, reference: str) -> str:
    """One row for each model, from the best mean rank on: means over the sets."""
    errors = ranked.means("error")
    ranks = mean_ranks(errors)
    columns = {name: ranked.means(name) for name in (*SUMMARY, *TIMES)}
    shown = [name for name in SUMMARY if not np.isnan(columns[name]).all()]
    base = errors[ranked.models.index(reference)]
    body = []
    for k in np.argsort(ranks, kind="stable"):
        means = [SUMMARY[name][1].format(columns[name][k].mean()) for name in shown]
        times = [f"{_geometric_mean(columns[name][k]):.3g}" for name in TIMES]
        ratio = f"{geometric_ratio(errors[k], base):.3f}"
        body.append([ranked.models[k], f"{ranks[k]:.2f}", ratio, *means, *times])
    headings = [SUMMARY[name][0] for name in shown]
    header = ["model", "mean rank", f"error to {reference}", *headings, *TIMES.values()]
    return common.markdown_table(header, body)


def _geometric_mean(values: np.ndarray) -> float:
    """Return the geometric mean of seconds, of which none count as less than 1e-4."""
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-4)))))


def pair_table(results: Results, reference: str) -> str:
    """One row for each other model, on the sets that it and the reference have."""
    others = [model for model in results.models if model != reference]
    found = {model: Comparison.of(results, reference, model) for model in others}
    found = {model: pair for model, pair in found.items() if pair.n_sets}
    adjusted = holm(np.array([pair.wilcoxon_p for pair in found.values()]))
    body = [
        [
            model,
            str(pair.n_sets),
            f"{pair.n_lower} / {pair.n_equal} / "
            f"{pair.n_sets - pair.n_lower - pair.n_equal}",
            f"{pair.ratio:.3f}",
            _p(pair.wilcoxon_p),
            _p(p),
            str(len(pair.clearly_lower)),
            str(len(pair.clearly_higher)),
            f"{pair.time_ratio:.2f}",
        ]
        for (model, pair), p in zip(found.items(), adjusted, strict=True)
    ]
    header = [
        f"{reference} against",
        "sets",
        "lower / equal / higher",
        "error ratio",
        "Wilcoxon p",
        "Holm",
        "clearly lower",
        "clearly higher",
        "fit time ratio",
    ]
    return common.markdown_table(header, body)


def _p(value: float) -> str:
    """Format a p-value, NaN as an empty cell."""
    return "" if np.isnan(value) else f"{value:.3f}"


def losses(results: Results, reference: str) -> str:
    """Name the sets on which the reference is clearly worse than some models."""
    lines = []
    for model in results.models:
        if model != reference:
            sets = Comparison.of(results, reference, model).clearly_higher
            if sets:
                lines.append(f"- than {model}: {', '.join(sets)}")
    return "\n".join(lines) or "- none"


def win_table(results: Results) -> str:
    """Share of the sets, in percent, on which the row's error is below the column's.

    Equal errors count half.
    """
    body = []
    for one in results.models:
        cells = [_win_cell(results, one, other) for other in results.models]
        body.append([one, *cells])
    return common.markdown_table(["lower error, %", *results.models], body)


def _win_cell(results: Results, one: str, other: str) -> str:
    """Format one pair of the win table."""
    if one == other:
        return ""
    ours, theirs = results.of_pair(one, other).means("error").round(12)
    if not len(ours):
        return ""
    return f"{100 * np.mean((ours < theirs) + 0.5 * (ours == theirs)):.0f}"


def set_table(results: Results, column: str, form: str = "{:.4f}") -> str:
    """One row for each set: means over the splits; the lowest of a row is bold."""
    grid = results.grid(column)
    known = ~np.isnan(grid)
    total = np.where(known, grid, 0).sum(axis=2)
    means = np.where(known.any(axis=2), total / known.sum(axis=2).clip(1), np.nan)
    body = []
    for k, data in enumerate(results.data_sets):
        low = np.nanmin(means[:, k]) if known[:, k].any() else np.nan
        body.append([data, *(_bold(v, v == low, form) for v in means[:, k])])
    return common.markdown_table([column, *results.models], body)


def _bold(value: float, is_best: bool, form: str) -> str:
    """Format a value, the best one bold, NaN as an empty cell."""
    text = "" if np.isnan(value) else form.format(value)
    return f"**{text}**" if is_best else text


def absences(results: Results) -> str:
    """Say which models lack which sets, and what those said that failed."""
    lines = []
    has = ~np.isnan(results.grid("error"))
    for k, model in enumerate(results.models):
        sets = np.array(results.data_sets)[~has[k].any(axis=1)]
        if len(sets):
            lines.append(f"- {model} was not measured on {', '.join(sets)}")
        failed = [
            (key[1], row["failure"])
            for key, row in results.rows.items()
            if key[0] == model and row["failure"]
        ]
        lines += [
            f"- {model} failed on {d}: {text}" for d, text in dict(failed).items()
        ]
    return "\n".join(lines) or "- none"


def versions(results: Results) -> str:
    """Say which versions of each model were measured."""
    found: dict[str, set[str]] = {}
    for (model, _, _), row in results.rows.items():
        found.setdefault(row["version"], set()).add(model)
    parts = [f"{', '.join(sorted(models))}: {v}" for v, models in found.items()]
    return "; ".join(sorted(parts))


def tuned_table(plain: Results, tuned: Results, n_tried: str) -> str:
    """Errors at the defaults and tuned, on the sets that have been tuned."""
    body = []
    for model in tuned.models:
        if model not in plain.models:
            continue
        sets = list(tuned.data_sets)
        grids = [part.only([model], sets).grid("error")[0] for part in (plain, tuned)]
        both = ~np.isnan(grids[0]) & ~np.isnan(grids[1])
        if not both.any():
            continue
        ours, theirs = (grid[both] for grid in grids)
        ratio = geometric_ratio(theirs, ours)
        n_sets = int(both.any(axis=1).sum())
        cells = f"{ours.mean():.4f}", f"{theirs.mean():.4f}", f"{ratio:.3f}"
        body.append([model, str(n_sets), *cells])
    header = ["model", "sets", "default", f"best of {n_tried}", "error ratio"]
    return common.markdown_table(header, body)


def markdown(results: Results, reference: str, tuned: dict[str, Results]) -> str:
    """Return the whole report."""
    ranked = results.ranked()
    errors = ranked.means("error")
    parts = [
        f"{len(results.data_sets)} sets, splits {', '.join(results.splits)}. Means and "
        f"ranks are over the {len(ranked.data_sets)} sets that all models have which "
        f"were measured on {100 * RANKED_SHARE:.0f} % of them or more; times are "
        "geometric means of processor seconds; ratios are geometric means, where no "
        "error counts as less than 0.001.",
        summary_table(ranked, reference),
        f"Friedman's p {friedman_p(errors):.2g}; Nemenyi's critical difference of mean "
        f"ranks {critical_difference(*errors.shape):.2f} (5 %).",
        f"{reference} against each, on the sets that both have. Clearly: corrected "
        "resampled t-test over the splits of a set, 5 %, not adjusted for the number "
        "of sets.",
        pair_table(results, reference),
        f"{reference} is clearly worse",
        losses(results, reference),
        win_table(results),
        *(_set_tables(results)),
        "Not measured:",
        absences(results),
        *(tuned_table(results, part, n) for n, part in tuned.items()),
        f"Versions: {versions(results)}. Machine of this report: {common.machine()}.\n",
    ]
    return "\n\n".join(parts)


def _set_tables(results: Results) -> list[str]:
    """Return the tables by set of errors, and of what there is besides."""
    tables = []
    for name, form in SET_FORMATS.items():
        if not np.isnan(results.grid(name)).all():
            tables.append(set_table(results, name, form))
    return tables
