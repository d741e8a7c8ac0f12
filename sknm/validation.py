"""Validation: how well an estimator does while it is trained, on rows of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import get_scorer

from sknm.calibration import calibrated
from sknm.checks import Samples
from sknm.prediction import SolveStats, compute
from sknm.targets import combined
from sknm.training.tensor_net import NonFiniteLoss

if TYPE_CHECKING:
    from sknm.base import GraphEstimator


class Validation:
    """Loss and score of an estimator whose network is being trained.

    Parameters
    ----------
    estimator : GraphEstimator
        Its network is looked at as it is at each call.
    samples : Samples
        Rows to validate with.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        The same rows as the user gave them, which scorers are given.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Their targets, as the user knows them.

    Attributes
    ----------
    losses : list of float
        The loss at each call, without what dropout and penalties add to it.
    """

    def __init__(
        self, estimator: GraphEstimator, samples: Samples, X: Any, y: Any
    ) -> None:
        self._estimator, self._samples = estimator, samples
        self._rows = samples.X.move(estimator.device_)
        self._loss = _LossOf(estimator, samples)
        self._scorer: _Scorer | None = None
        if estimator.scoring not in (None, "loss"):
            self._scorer = _Scorer(estimator, X, y, samples)
        self.losses: list[float] = []

    def __call__(self) -> float:
        """Score the network as it is; larger is better."""
        estimator, samples = self._estimator, self._samples
        network, n_jobs = estimator.net_.module_.eval(), estimator.n_jobs
        finish = partial(combined, estimator._target_)
        outputs, stats = compute(network, self._rows, network.outputs, n_jobs, finish)
        loss = self._loss(outputs)
        if not (np.isfinite(outputs).all() and np.isfinite(loss)):
            raise NonFiniteLoss
        self.losses.append(loss)
        if self._scorer is not None:
            return self._scorer(outputs, stats)
        score = None
        if estimator.scoring is None:
            score = estimator._target_.score(samples.y, outputs, samples.weights)
        return -loss if score is None else score


class _LossOf:
    """The loss of outputs for rows that stay the same, in double precision."""

    def __init__(self, estimator: GraphEstimator, samples: Samples) -> None:
        self._loss = estimator._target_.make_loss()
        y = samples.y.astype(np.float64) if samples.y.dtype.kind == "f" else samples.y
        self._y, self._weights = torch.from_numpy(y), None
        if samples.weights is not None:
            weights = samples.weights / samples.weights.mean()
            self._weights = torch.from_numpy(weights)

    @torch.no_grad()
    def __call__(self, outputs: np.ndarray) -> float:
        values = torch.from_numpy(outputs.astype(np.float64))
        return float(self._loss(values, self._y, self._weights))


class _Scorer:
    """A scorer of the user's, with rows that stay the same."""

    def __init__(
        self, estimator: GraphEstimator, X: Any, y: Any, samples: Samples
    ) -> None:
        given: Any = estimator.scoring
        self._scorer = get_scorer(given) if isinstance(given, str) else given
        self._name = f"scoring={given!r}"
        self._estimator, self._X, self._y = estimator, X, y
        self._samples, weights = samples, samples.weights
        is_weighted = weights is not None and np.ptp(weights) > 0
        self._weights = {"sample_weight": weights} if is_weighted else {}

    def __call__(self, outputs: np.ndarray, stats: SolveStats) -> float:
        view = _view(self._estimator, self._X, outputs, stats)
        view._target_ = calibrated(self._estimator, self._samples, outputs)
        try:
            score = float(self._scorer(view, self._X, self._y, **self._weights))
        except Exception as error:  # whatever it is, it is the scorer's
            raise ValueError(
                f"{self._name} has failed on the validation data: {error!r}. "
                + self._remedy(error)
            ) from error
        if not np.isfinite(score):
            raise ValueError(
                f"{self._name} gave {score} on the validation data; a score has to be "
                "a finite number. Give other validation data, or another scorer."
            )
        return score

    def _remedy(self, error: Exception) -> str:
        if self._weights and "sample_weight" in str(error):
            return (
                "Rows count by their weights, and are given with a parameter "
                "sample_weight: choose a scorer that has one."
            )
        return (
            "A scorer is called with an estimator, X and y, and returns a number, "
            "larger for a better fit."
        )


def _view(
    estimator: GraphEstimator, X: Any, outputs: np.ndarray, stats: SolveStats
) -> Any:
    """Show an estimator in training as one that predicts; the network is its own."""
    view: Any = object.__new__(type(estimator))
    view.__dict__.update(vars(estimator))
    view._compute = _Known(estimator._compute, X, outputs, stats)
    return view


class _Known:
    """Computes what an estimator does, but for outputs of rows that are known.

    These are what members have together; those of each are computed.
    """

    def __init__(
        self,
        otherwise: Callable[..., tuple[np.ndarray, SolveStats]],
        X: Any,
        outputs: np.ndarray,
        stats: SolveStats,
    ) -> None:
        self._otherwise, self._X, self._found = otherwise, X, (outputs, stats)

    def __call__(
        self, what: str, X: Any, finish: Any = None
    ) -> tuple[np.ndarray, SolveStats]:
        is_known = what == "outputs" and finish is not None and X is self._X
        return self._found if is_known else self._otherwise(what, X, finish)
