"""What encoders learn from: rows, their targets and weights, and statistics of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from sknm.compute.rows import Rows

MOST_ROWS, LEAST_ROWS, MOST_VALUES = 2**17, 5_000, 2**20
"""Rows that quantiles are learned from: the most, those of wide tables, and the most
values. A quantile of so many is as good as one of all."""

CHUNK_ROWS = 2**12
"""Rows that are looked at at a time, where all are."""

MARKED_VALUES = 2**16
"""Values of rows that are told from others at a time."""


@dataclass(frozen=True)
class Sample:
    """Rows to learn from.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_samples,) or None
        Weights in double precision.
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, X: Rows, y: np.ndarray, weights: np.ndarray | None) -> Sample:
        """Draw rows, always the same, from a table that may be too large to copy."""
        n_rows = min(len(X), MOST_ROWS, max(LEAST_ROWS, MOST_VALUES // X.n_features))
        taken = np.arange(len(X))
        if n_rows < len(X):
            drawn = np.random.default_rng(0).choice(len(X), n_rows, replace=False)
            taken = np.sort(drawn)
        batch = X.take(torch.from_numpy(taken), torch.device("cpu"))
        weights = None if weights is None else weights[taken]
        return cls(batch.to_dense().numpy(), y[taken], weights)

    @classmethod
    def of_columns(
        cls, X: Rows, y: np.ndarray, weights: np.ndarray | None, columns: np.ndarray
    ) -> Sample:
        """Take all rows of some columns, as is needed to know all categories."""
        chunks = X.split(CHUNK_ROWS, torch.device("cpu"))
        parts = [chunk.to_dense().numpy()[:, columns] for chunk in chunks]
        return cls(np.concatenate(parts), y, weights)

    @property
    def n_distinct(self) -> int:
        """Number of different rows that have a weight: repeating rows adds none."""
        largest = np.nan_to_num(np.abs(self.X)).max(axis=0, initial=0)
        drawn = 1 + np.random.default_rng(0).random(self.X.shape[1])
        factors = np.where(largest > 0, drawn, 0) / np.where(largest > 0, largest, 1)
        parts = np.array_split(self.X, max(1, self.X.size // MARKED_VALUES))
        scaled = (part.astype(np.float64) * factors for part in parts)
        marks = np.concatenate([np.nan_to_num(rows, nan=0.5).sum(1) for rows in scaled])
        has_weight = slice(None) if self.weights is None else self.weights > 0
        return len(np.unique(marks[has_weight]))

    def column(self, k: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return values of a column where there are any, their weights, and where."""
        x = self.X[:, k].astype(np.float64)
        known = ~np.isnan(x)
        if known.all():
            return x, self.weights, known
        return x[known], None if self.weights is None else self.weights[known], known

    def take(self, columns: np.ndarray) -> Sample:
        """Return some of the columns, or the very same where it is all of them."""
        if len(columns) == self.X.shape[1]:
            return self
        return replace(self, X=self.X[:, columns])


def shares_of_gaps(X: Rows, weights: np.ndarray | None) -> np.ndarray:
    """Share of all rows in which each column has no value.

    Parameters
    ----------
    X : Rows
        The rows.
    weights : ndarray of shape (n_samples,) or None
        Their weights.

    Returns
    -------
    ndarray of shape (n_features,)
        Exactly 0 and 1 for none and all.
    """
    gaps, count, start = np.zeros(X.n_features), np.zeros(X.n_features, int), 0
    for chunk in X.split(CHUNK_ROWS, torch.device("cpu")):
        missing = np.isnan(chunk.to_dense().numpy())
        own = None if weights is None else weights[start : start + len(missing)]
        for k in np.flatnonzero(missing.any(0)):
            count[k] += missing[:, k].sum()
            gaps[k] += missing[:, k].sum() if own is None else own[missing[:, k]].sum()
        start += len(missing)
    total = start if weights is None else weights.sum()
    return np.where(count == start, 1.0, gaps / total)


def quantiles(
    x: np.ndarray, shares: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Quantiles of weighted values; a weight is what so many repetitions are.

    Where a share falls between two values, the mean of both is taken.

    Parameters
    ----------
    x : ndarray of shape (n_values,)
        Values, at least one.
    shares : ndarray of shape (n_shares,)
        Shares of the total weight, from 0 to 1.
    weights : ndarray of shape (n_values,) or None
        Their weights.

    Returns
    -------
    ndarray of shape (n_shares,)
        The quantiles.
    """
    if weights is None:
        x, total = np.sort(x), np.arange(1.0, len(x) + 1)
    else:
        order = np.argsort(x, kind="stable")
        x, total = x[order], np.cumsum(weights[order])
    wanted, slack = shares * total[-1], 1e-9 * total[-1]
    last = len(x) - 1
    lower = np.minimum(np.searchsorted(total, wanted - slack), last)
    upper = np.minimum(np.searchsorted(total, wanted + slack, side="right"), last)
    return x[lower] / 2 + x[upper] / 2


def mean_and_deviation(
    x: np.ndarray, weights: np.ndarray | None
) -> tuple[float, float]:
    """Weighted mean and standard deviation of values.

    Parameters
    ----------
    x : ndarray of shape (n_values,)
        Values.
    weights : ndarray of shape (n_values,) or None
        Their weights.

    Returns
    -------
    mean : float
        0 of no values.
    deviation : float
        0 of no values.
    """
    if not len(x):
        return 0.0, 0.0
    mean = np.average(x, weights=weights)
    return float(mean), float(np.average((x - mean) ** 2, weights=weights) ** 0.5)
