"""Probabilities that mean something: their temperature, from rows not trained on."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from sknm.checks import Samples
from sknm.prediction import compute
from sknm.targets import LabelTarget, Target, combined
from sknm.training.holdout import FEWEST_EPOCHS, Holdout

if TYPE_CHECKING:
    from sknm.base import GraphEstimator

MOST_ROWS = 2000
"""Most rows that are withheld for the sake of one number."""

LEAST_ROWS = 10
"""Fewest rows that say something of it."""


def withhold(
    estimator: GraphEstimator, samples: Samples, n_epochs: int
) -> Holdout | None:
    """Have some rows join a whole training late, to calibrate probabilities before.

    Parameters
    ----------
    estimator : GraphEstimator
        What is to be trained, for the first time.
    samples : Samples
        Its training rows.
    n_epochs : int
        Epochs of the training.

    Returns
    -------
    Holdout or None
        A callback; None if there are no probabilities, or too few rows.
    """
    target, net = estimator._target_, estimator.net_
    if not isinstance(target, LabelTarget) or estimator.calibration_fraction is None:
        return None
    if n_epochs < FEWEST_EPOCHS:
        return None
    share = min(estimator.calibration_fraction, MOST_ROWS / len(samples))
    seed = int(torch.randint(2**62, (), generator=net.generator))
    rows = some_of_each(target.strata(samples.y), len(samples), share, seed)
    if len(rows) < LEAST_ROWS:
        return None
    withheld = samples.take(rows)
    where = torch.as_tensor(rows, device="cpu")  # where the order of rows is drawn
    return Holdout(where, n_epochs, lambda: calibrate(estimator, withheld))


def calibrate(estimator: GraphEstimator, samples: Samples) -> None:
    """Find the temperature of probabilities, if the targets have any.

    Parameters
    ----------
    estimator : GraphEstimator
        Its network is looked at as it is.
    samples : Samples
        Rows that it has not been trained on; a few say nothing, and leave it as it is.
    """
    target = estimator._target_
    if not isinstance(target, LabelTarget) or estimator.calibration_fraction is None:
        return
    network, n_jobs = estimator.net_.module_.eval(), estimator.n_jobs
    rows, finish = samples.X.move(estimator.device_), partial(combined, target)
    outputs, _ = compute(network, rows, network.outputs, n_jobs, finish)
    estimator._target_ = calibrated(estimator, samples, outputs)


def calibrated(
    estimator: GraphEstimator, samples: Samples, outputs: np.ndarray
) -> Target:
    """Give the target that an estimator would have if training ended now.

    Parameters
    ----------
    estimator : GraphEstimator
        What is trained.
    samples : Samples
        Rows that it has not been trained on.
    outputs : ndarray of shape (n_samples, n_outputs)
        Its outputs for them.

    Returns
    -------
    Target
        A copy with the temperature that they tell, if they do.
    """
    target = copy.copy(estimator._target_)
    if isinstance(target, LabelTarget) and len(samples) >= LEAST_ROWS:
        if estimator.calibration_fraction is not None:
            target.calibrate(samples.y, outputs, samples.weights)
    return target


def some_of_each(
    strata: np.ndarray | None, n_rows: int, share: float, seed: int
) -> np.ndarray:
    """Choose a share of the rows of each stratum, rounded down.

    So the last rows of a rare class are not withheld.

    Parameters
    ----------
    strata : ndarray of shape (n_rows,) or None
        Labels; None if all rows are of one stratum.
    n_rows : int
        Number of rows.
    share : float
        Share to choose.
    seed : int
        Seed of the choice.

    Returns
    -------
    ndarray of int
        Rows in ascending order.
    """
    codes = np.zeros(n_rows, dtype=int)
    if strata is not None:
        codes = np.unique(strata, return_inverse=True)[1]
    counts = np.bincount(codes)
    order = np.random.default_rng(seed).permutation(n_rows)
    order = order[np.argsort(codes[order], kind="stable")]
    rank = np.arange(n_rows) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen: np.ndarray = order[rank < np.floor(share * counts).repeat(counts)]
    return np.sort(chosen)
