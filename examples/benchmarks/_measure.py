"""One measurement: fit, predict, and what there is to know about the result."""

from __future__ import annotations

import warnings
from typing import Any

import _common as common
import _estimators as estimators
from sklearn.exceptions import ConvergenceWarning

#: Column names of what `measure` returns.
COLUMNS = (
    "error",
    "fit_seconds",
    "fit_cpu_seconds",
    "predict_seconds",
    "n_iter",
    "n_parameters",
    "n_modules",
    "largest_share",
    "unconverged",
    "residual",
    "convergence_warnings",
)


def measure(estimator: Any, data: common.Split) -> dict[str, Any]:
    """Fit an estimator on one split, and return a row of figures."""
    row = fit_and_time(estimator, data)
    row["n_iter"] = estimators.n_iter(estimator)
    row["n_parameters"] = estimators.n_parameters(estimator)
    row |= estimators.module_facts(estimator)
    if estimators.is_sknm(estimator):
        row |= estimators.residual_facts(estimator, data.X_test)
    return row


def fit_and_time(estimator: Any, data: common.Split) -> dict[str, Any]:
    """Fit, predict, and return error, times and the number of warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        with common.Stopwatch() as fit:
            estimator.fit(data.X_train, data.y_train)
        with common.Stopwatch() as predict:
            predicted = estimator.predict(data.X_test)
    return {
        "error": float((predicted != data.y_test).mean()),
        "fit_seconds": fit.wall,
        "fit_cpu_seconds": fit.cpu,
        "predict_seconds": predict.wall,
        "convergence_warnings": count_convergence_warnings(caught),
    }


def count_convergence_warnings(caught: list[warnings.WarningMessage]) -> int:
    """Count the ConvergenceWarnings and pass all others on.

    MLPClassifier gives one whenever it stops at `max_iter`, which is no failure here:
    the reports count them, nothing prints them.
    """
    ours = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
    for other in caught:
        if other not in ours:
            warnings.warn_explicit(
                other.message, other.category, other.filename, other.lineno
            )
    return len(ours)
