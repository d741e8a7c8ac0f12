"""How good predictions are: labels, probabilities, and numbers."""

from __future__ import annotations

import numpy as np

#: Probabilities of the true class count as at least this in the log loss.
LEAST_PROBABILITY = 1e-15
#: Bins of equal width of the calibration error.
N_BINS = 15


def aligned(
    probabilities: np.ndarray, known: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return probabilities of all `classes`, zero for those a model doesn't know."""
    result = np.zeros((len(probabilities), len(classes)))
    result[:, np.searchsorted(classes, known)] = probabilities
    return result


def log_loss(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Return the mean of -log p of the true class, p at least 1e-15."""
    true = probabilities[np.arange(len(codes)), codes]
    return float(-np.log(np.clip(true, LEAST_PROBABILITY, 1)).mean())


def brier_score(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Return the mean squared distance from the indicator of the class, 0 to 2."""
    true = np.eye(probabilities.shape[1])[codes]
    return float(((probabilities - true) ** 2).sum(axis=1).mean())


def expected_calibration_error(
    probabilities: np.ndarray, codes: np.ndarray, n_bins: int = N_BINS
) -> float:
    """Return the mean distance of confidence and accuracy over bins of confidence.

    The confidence is the largest probability of a row, and bins are of equal width;
    each counts by its rows (Guo et al. 2017, "On calibration of modern neural
    networks").
    """
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == codes
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=confidence - is_right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(codes))


def relative_rmse(predicted: np.ndarray, y: np.ndarray) -> float:
    """Return the root of the mean squared error, in standard deviations of ``y``.

    It is the root of 1 - R².
    """
    return float(np.sqrt(np.mean((predicted - y) ** 2) / np.var(y)))
