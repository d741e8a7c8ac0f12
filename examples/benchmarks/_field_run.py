"""One measurement of ``field.py``: a model fitted to a task, and a row about it."""

from __future__ import annotations

import warnings
from typing import Any

import _common as common
import _metrics as metrics
import numpy as np
from _field_data import Task
from _field_models import Model
from sklearn.exceptions import ConvergenceWarning

#: What tells one measurement from another; ``n_tried`` counts the configurations that
#: were tried, one for the defaults.
KEYS = ("model", "n_tried", "data", "split")
COLUMNS = (
    *KEYS,
    "version",
    "session",
    "n_train",
    "n_features",
    "n_classes",
    "error",
    "log_loss",
    "ece",
    "brier",
    "r2",
    "fit_seconds",
    "fit_cpu_seconds",
    "predict_seconds",
    "predict_cpu_seconds",
    "convergence_warnings",
    "parameters",
    "failure",
)


def measure(model: Model, task: Task, seed: int, **params: Any) -> dict[str, Any]:
    """Fit and predict; a model that fails gives a row that says how."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = model.make(task, seed, **params)
            row = fit_and_judge(estimator, task)
    except Exception as failure:  # of any kind: the others are still to be measured
        text = " ".join(f"{type(failure).__name__}: {failure}".split())
        return {"failure": text[:200]}
    kinds = [w.category for w in caught]
    row["convergence_warnings"] = sum(issubclass(k, ConvergenceWarning) for k in kinds)
    return row


def fit_and_judge(estimator: Any, task: Task) -> dict[str, Any]:
    """Return times and what the predictions of the test rows are worth."""
    with common.Stopwatch() as fit:
        estimator.fit(task.X_train, task.y_train)
    with common.Stopwatch() as predict:
        predicted = estimator.predict(task.X_test)
    row = {
        "fit_seconds": fit.wall,
        "fit_cpu_seconds": fit.cpu,
        "predict_seconds": predict.wall,
        "predict_cpu_seconds": predict.cpu,
    }
    if task.classes is None:
        return row | judge_numbers(np.ravel(predicted), task)
    return row | judge_classes(estimator, predicted, task)


def judge_numbers(predicted: np.ndarray, task: Task) -> dict[str, float]:
    """Return the error in standard deviations, and R²."""
    error = metrics.relative_rmse(predicted, task.y_test)
    return {"error": error, "r2": 1 - error**2}


def judge_classes(
    estimator: Any, predicted: np.ndarray, task: Task
) -> dict[str, float]:
    """Return the share of wrong labels, and how good probabilities are."""
    found = estimator.predict_proba(task.X_test)
    known = np.asarray(estimator.classes_)
    probabilities = metrics.aligned(found, known, task.classes)
    codes = np.searchsorted(task.classes, task.y_test)
    return {
        "error": float(np.mean(predicted != task.y_test)),
        "log_loss": metrics.log_loss(probabilities, codes),
        "ece": metrics.expected_calibration_error(probabilities, codes),
        "brier": metrics.brier_score(probabilities, codes),
    }
