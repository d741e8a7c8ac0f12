"""What a fitted search of scikit-learn's says of its candidates."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sknm.inspection.drawing.axes import FONT_SIZE, dpi_of

FIRST_PARAMETERS = ("lambda_NM", "tau")
"""What is shown, in this order, if it was searched."""

MODULES = ("n_modules", "largest_share")
"""What scores of modules are called."""

WIDE = 10
"""Ratio of the largest value to the least from which on an axis is logarithmic."""

MOST_NAMED = 5
"""Values up to which each is named on its axis."""


@dataclass(frozen=True)
class Candidates:
    """What a search says of its candidates.

    Attributes
    ----------
    params : list of str
        Names of one or two parameters.
    values : list of list
        Their values, for each candidate.
    error_name : str
        What the error is called.
    error, spread : ndarray of shape (n_candidates,)
        Mean error and its standard deviation over the splits.
    n_modules, largest_share : ndarray of shape (n_candidates,) or None
        Means over the splits, where they were scored.
    """

    params: list[str]
    values: list[list[Any]]
    error_name: str
    error: np.ndarray
    spread: np.ndarray
    n_modules: np.ndarray | None
    largest_share: np.ndarray | None

    @classmethod
    def of(cls, search: Any, params: Any = None) -> Candidates:
        """Read a search.

        Parameters
        ----------
        search : estimator
            A fitted search.
        params : sequence of str or None
            One or two parameters; None chooses.

        Returns
        -------
        Candidates
            What it says.
        """
        search = _fitted(search)
        results = _last_rounds(search)
        tried = results["params"]
        chosen = _chosen(tried, params)
        metric = _metric(search, results)
        error_name, error = _as_error(search, metric, results[f"mean_test_{metric}"])
        return cls(
            chosen,
            [[candidate.get(name) for candidate in tried] for name in chosen],
            error_name,
            error,
            results[f"std_test_{metric}"],
            *(results.get(f"mean_test_{name}") for name in MODULES),
        )


def _fitted(search: Any) -> Any:
    if hasattr(search, "cv_results_"):
        return search
    if hasattr(search, "steps"):
        return _fitted(search.steps[-1][1])
    if hasattr(search, "estimator"):
        check_is_fitted(search)
    raise TypeError(
        f"{type(search).__name__} is no search: give a fitted GridSearchCV, "
        "RandomizedSearchCV or another one with cv_results_."
    )


def _last_rounds(search: Any) -> dict[str, Any]:
    """Keep the last round of each candidate of a search that halves.

    What it gives its candidates more and more of is no parameter of theirs.
    """
    results, resource = search.cv_results_, getattr(search, "resource", None)
    tried = [
        {name: value for name, value in candidate.items() if name != resource}
        for candidate in results["params"]
    ]
    last = {repr(candidate): k for k, candidate in enumerate(tried)}
    kept = sorted(last.values())
    found = {name: np.asarray(column)[kept] for name, column in results.items()}
    return found | {"params": [tried[k] for k in kept]}


def _chosen(tried: Any, params: Any) -> list[str]:
    """Choose two parameters of those that were searched."""
    values: dict[str, set[str]] = {}
    for candidate in tried:
        for name, value in candidate.items():
            values.setdefault(name, set()).add(repr(value))
    if params is None:
        varied = [name for name in values if len(values[name]) > 1] or list(values)
        short = {name: name.rsplit("__", 1)[-1] for name in varied}
        known = [k for f in FIRST_PARAMETERS for k in varied if short[k] == f]
        return [*known, *(name for name in varied if name not in known)][:2]
    params = [params] if isinstance(params, str) else list(params)
    chosen = []
    for name in params:
        found = [k for k in values if k == name or k.endswith(f"__{name}")]
        if not found:
            raise ValueError(
                f"{name!r} was not searched; there are {', '.join(map(repr, values))}."
            )
        chosen.append(found[0])
    if not 1 <= len(chosen) <= 2:
        raise ValueError(f"params={params!r}, but one or two can be shown.")
    return chosen


def _metric(search: Any, results: dict[str, Any]) -> str:
    """Find the score that tells the error."""
    start = "mean_test_"
    names = [name.removeprefix(start) for name in results if name.startswith(start)]
    refit = getattr(search, "refit", None)
    if refit in names and isinstance(refit, str):
        return refit
    others = [name for name in names if name not in MODULES]
    if not others:
        raise ValueError(
            "The search has scored modules only: give it a score of predictions, too, "
            "such as scoring={'score': 'accuracy', 'n_modules': n_modules_scorer}."
        )
    return others[0]


def _as_error(search: Any, metric: str, scores: np.ndarray) -> tuple[str, np.ndarray]:
    """Turn a score, which is larger for better candidates, into an error."""
    scoring = search.scoring
    if isinstance(scoring, dict):
        scoring = scoring.get(metric)
    scores = np.asarray(scores, dtype=float)
    name = scoring if isinstance(scoring, str) else metric
    if name.startswith("neg_"):
        return name.removeprefix("neg_").replace("_", " "), -scores
    is_plain = name in ("accuracy", "score") and is_classifier(search)
    named = "score" if name == "score" else name.replace("_", " ")
    return "error" if is_plain else f"1 − {named}", 1 - scores


@dataclass(frozen=True)
class Scale:
    """Values of a parameter as places on an axis.

    Attributes
    ----------
    distinct : list
        The values, each once: numbers by their size, others as they come.
    ranks : ndarray of int of shape (n_candidates,)
        Which of them each candidate has.
    kind : {"linear", "log", "names"}
        How they are placed.
    """

    distinct: list[Any]
    ranks: np.ndarray
    kind: str

    @classmethod
    def of(cls, values: Any) -> Scale:
        """Find out how to place values.

        Parameters
        ----------
        values : sequence
            Of all candidates.

        Returns
        -------
        Scale
            Of numbers, a linear or logarithmic one.
        """
        values = [value.item() if hasattr(value, "item") else value for value in values]
        is_number = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
        distinct = sorted(set(values)) if is_number else list(dict.fromkeys(values))
        kind = _kind(distinct) if is_number else "names"
        ranks = np.array([distinct.index(value) for value in values], dtype=int)
        return cls(distinct, ranks, kind)

    @property
    def places(self) -> np.ndarray:
        """Where each candidate is."""
        if self.kind == "names":
            return self.ranks.astype(float)
        return np.array(self.distinct, dtype=float)[self.ranks]

    @property
    def names(self) -> list[str]:
        """What to call the values."""
        if self.is_ordered:
            return [f"{v:.3g}" for v in self.distinct]
        return [str(v) for v in self.distinct]

    @property
    def is_ordered(self) -> bool:
        """Whether the values are numbers, so that a line from one to the next tells."""
        return all(isinstance(v, Real) for v in self.distinct)

    def mark(self, ax: Any) -> None:
        """Set the ticks below axes: few values are named, where there is room.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
            The axes.
        """
        if self.kind == "log":
            ax.set_xscale("log")
        ax.margins(x=0.08)
        ax.tick_params(axis="x", labelsize=FONT_SIZE)
        names = self.names
        if self.kind != "names" and len(names) > MOST_NAMED:
            return
        places = np.unique(self.places)
        has_room = _has_room(ax, places, names)
        if self.kind == "names" and not has_room:
            ax.tick_params(axis="x", labelrotation=90)
        if self.kind == "names" or has_room:
            ax.set_xticks(places.tolist(), names)
            ax.minorticks_off()


def _has_room(ax: Any, places: np.ndarray, names: list[str]) -> bool:
    """Whether names fit beside each other, if a letter is as wide as most are."""
    ax.autoscale_view()
    at = ax.transData.transform(np.column_stack([places, 0 * places + 1]))[:, 0]
    widths = np.array([len(name) + 1 for name in names])
    letter = 0.65 * FONT_SIZE * dpi_of(ax) / 72
    return bool((np.diff(at) > (widths[1:] + widths[:-1]) / 2 * letter).all())


def _kind(numbers: list[Any]) -> str:
    """Tell whether numbers are better spaced by size, by ratio or evenly."""
    positive = [v for v in numbers if v > 0]
    if not positive or max(positive) < WIDE * min(positive):
        return "linear"
    if len(positive) == len(numbers):
        return "log"
    return "names" if len(numbers) <= 2 * MOST_NAMED else "linear"
