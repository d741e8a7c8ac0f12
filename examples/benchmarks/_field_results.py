"""The rows of ``field.py`` as arrays: models by data sets by splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import _common as common
import numpy as np
from _report import corrected_t_test
from scipy import stats

Row = dict[str, str]

#: No error counts as less in a ratio: one row in a thousand.
LEAST_ERROR = 1e-3
#: Models with at least this share of the sets are ranked, on the sets they all have.
RANKED_SHARE = 0.8


@dataclass(frozen=True)
class Results:
    """Measurements, of which the newest count; missing ones are NaN."""

    models: tuple[str, ...]
    data_sets: tuple[str, ...]
    splits: tuple[str, ...]
    rows: dict[tuple[str, str, str], Row] = field(repr=False)

    @classmethod
    def of(cls, rows: Iterable[Row], models: Sequence[str]) -> Results:
        """Sort rows of the same number of configurations; order as in `models`."""
        found = {(row["model"], row["data"], row["split"]): row for row in rows}
        present = {key[0] for key in found}
        return cls(
            tuple(model for model in models if model in present),
            tuple(dict.fromkeys(key[1] for key in found)),
            tuple(sorted({key[2] for key in found}, key=int)),
            found,
        )

    def only(self, models: Sequence[str], data_sets: Sequence[str]) -> Results:
        """Return some models, on some sets."""
        return Results(tuple(models), tuple(data_sets), self.splits, self.rows)

    def grid(self, column: str) -> np.ndarray:
        """Return a column as an array of models by data sets by splits."""
        return np.array(
            [
                [
                    [self._value(model, data, split, column) for split in self.splits]
                    for data in self.data_sets
                ]
                for model in self.models
            ]
        )

    def _value(self, model: str, data: str, split: str, column: str) -> float:
        row = self.rows.get((model, data, split))
        return float("nan") if row is None else common.number(row[column])

    def means(self, column: str) -> np.ndarray:
        """Return means over the splits that all models have, NaN if there are none."""
        grid = self.grid(column)
        shared = ~np.isnan(grid).any(axis=0)
        total = np.where(shared, grid, 0).sum(axis=2)
        count = shared.sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def of_pair(self, one: str, other: str) -> Results:
        """Return two models on the sets that both have."""
        pair = self.only([one, other], self.data_sets)
        has_both = ~np.isnan(pair.means("error")).any(axis=0)
        return self.only([one, other], np.array(self.data_sets)[has_both])

    def ranked(self) -> Results:
        """Return the models that have most of the sets, on those they all have."""
        has = ~np.isnan(self.grid("error")).all(axis=2)
        is_ranked = has.mean(axis=1) >= RANKED_SHARE
        models = [m for m, good in zip(self.models, is_ranked, strict=True) if good]
        some = self.only(models, self.data_sets)
        complete = ~np.isnan(some.means("error")).any(axis=0)
        return self.only(models, np.array(self.data_sets)[complete])


def mean_ranks(errors: np.ndarray) -> np.ndarray:
    """Return the mean rank of each model (rows) over sets (columns), ties shared."""
    return stats.rankdata(errors.round(12), axis=0).mean(axis=1)


def geometric_ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the geometric mean of ratios, of values that are not too small."""
    parts = [np.log(np.maximum(part, LEAST_ERROR)) for part in (ours, theirs)]
    return float(np.exp(np.mean(parts[0] - parts[1])))


# --------------------------------------------------------------------------- tests


def friedman_p(errors: np.ndarray) -> float:
    """Return the p-value of Friedman's test that all models are as good."""
    if errors.shape[0] < 3 or errors.shape[1] < 2:
        return float("nan")
    return float(stats.friedmanchisquare(*errors).pvalue)


def critical_difference(n_models: int, n_sets: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks (Demšar 2006)."""
    q = stats.studentized_range.ppf(1 - alpha, n_models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_models * (n_models + 1) / (6 * n_sets)))


def corrected_t_p(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the p-value of the corrected resampled t-test over the splits of a set."""
    return corrected_t_test(ours, theirs, common.TEST_SHARE / (1 - common.TEST_SHARE))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number by Holm's steps, NaN left out."""
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    factors = np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return result


@dataclass(frozen=True)
class Comparison:
    """A model beside a reference, on the sets that both have."""

    n_sets: int
    n_lower: int
    n_equal: int
    ratio: float
    time_ratio: float
    wilcoxon_p: float
    clearly_lower: list[str]
    clearly_higher: list[str]

    @classmethod
    def of(cls, results: Results, model: str, reference: str) -> Comparison:
        """Compare errors and processor seconds."""
        pair = results.of_pair(model, reference)
        ours, theirs = pair.means("error")
        times = np.maximum(pair.means("fit_cpu_seconds"), 1e-3)
        time_ratio = np.exp(np.mean(np.log(times[0] / times[1])))
        difference = np.round(ours - theirs, 12)
        is_useful = len(ours) > 1 and difference.any()
        p = stats.wilcoxon(difference).pvalue if is_useful else float("nan")
        clear = _clear_differences(pair)
        return cls(
            len(ours),
            int((difference < 0).sum()),
            int((difference == 0).sum()),
            geometric_ratio(ours, theirs),
            float(time_ratio),
            float(p),
            [data for data, sign in clear.items() if sign < 0],
            [data for data, sign in clear.items() if sign > 0],
        )


def _clear_differences(pair: Results, alpha: float = 0.05) -> dict[str, int]:
    """Return the sets whose splits differ by the corrected t-test, and in which way."""
    ours, theirs = pair.grid("error")
    found = {}
    for k, data in enumerate(pair.data_sets):
        both = ~np.isnan(ours[k] - theirs[k])
        if corrected_t_p(ours[k, both], theirs[k, both]) < alpha:
            found[data] = int(np.sign(ours[k, both].mean() - theirs[k, both].mean()))
    return found
