"""The scale of numbers: quartiles, smooth clipping, unit variance."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sknm.encoding.sample import Sample, mean_and_deviation, quantiles
from sknm.encoding.stored import Stored

LIMIT = 5.0
"""How far from the median, in interquartile ranges, numbers can be seen to be."""

MOST_GAIN = 10.0
"""What varies in few rows only is not scaled to unit variance by more than this."""

LEAST_DEVIATION = 1e-6
"""Columns that deviate by less, after clipping, are constant."""

FARTHEST = 1e4
"""Ranges from the median that are told apart: their fourth powers are finite."""


class Robust(Stored):
    """Median and quartiles, smooth clipping, and unit variance.

    ``t = (x - median) / range``, ``u = t / (1 + (t / LIMIT)⁴)^¼``, and of u the mean is
    taken away and the standard deviation is made 1. Gaps become 0, which is the mean.
    The fourth power instead of the second of [1]_ leaves all but outliers as they are.
    The range is that between the quartiles; where these are equal, twice the
    median distance from the median of those numbers that differ from it.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: strong
       pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024.
    """

    centres: Tensor
    rates: Tensor
    shifts: Tensor
    gains: Tensor

    def fit(self, sample: Sample, dtype: torch.dtype) -> None:
        """Learn the scales of the columns of a sample."""
        d, most = sample.X.shape[1], torch.finfo(dtype).max
        centres, rates, shifts, gains = np.zeros((4, d))
        for k in range(d):
            x, weights, _ = sample.column(k)
            centres[k], half = place(x, weights)
            with np.errstate(divide="ignore", over="ignore"):
                rates[k] = min(0.5 / half, most)
                u = _clip(torch.from_numpy((x - centres[k]) * rates[k])).numpy()
            mean, deviation = mean_and_deviation(u, weights)
            if deviation > LEAST_DEVIATION:
                gains[k] = min(1 / deviation, MOST_GAIN)
            shifts[k] = -mean * gains[k]
        for name, values in [
            ("centres", centres), ("rates", rates), ("shifts", shifts), ("gains", gains)
        ]:  # fmt: skip
            self.keep(name, values, dtype)

    def forward(self, X: Tensor) -> Tensor:
        """Scale numbers (n_samples, n_columns)."""
        u = _clip((X - self.centres).mul_(self.rates))
        return u.mul_(self.gains).add_(self.shifts).nan_to_num_(0.0)

    def are_constant(self) -> list[bool]:
        """Say which columns are always 0."""
        constant: list[bool] = (self.gains == 0).tolist()
        return constant


class Unscaled(Stored):
    """Numbers as they are; gaps become the median."""

    medians: Tensor

    def fit(self, sample: Sample, dtype: torch.dtype) -> None:
        """Learn what stands for gaps in the columns of a sample."""
        columns = map(sample.column, range(sample.X.shape[1]))
        medians = [place(x, weights)[0] for x, weights, _ in columns]
        self.keep("medians", np.array(medians), dtype)

    def forward(self, X: Tensor) -> Tensor:
        """Fill the gaps of numbers (n_samples, n_columns)."""
        return torch.where(X.isnan(), self.medians, X)

    def are_constant(self) -> list[bool]:
        """Say of no column that it is constant: all are left as they are."""
        return [False] * len(self.medians)


def _clip(t: Tensor) -> Tensor:
    """Bring distances in ranges within the limit, smoothly, in place."""
    fourth = t.clamp_(-FARTHEST, FARTHEST).div(LIMIT).square_().square_()
    return t.mul_(fourth.add_(1).sqrt_().rsqrt_())


def place(x: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """Median and half of the range of numbers: that between the quartiles.

    Parameters
    ----------
    x : ndarray of shape (n_values,)
        Numbers.
    weights : ndarray of shape (n_values,) or None
        Their weights.

    Returns
    -------
    median : float
        0 of no numbers.
    half : float
        Half of the range; where the quartiles are equal, the median distance from the
        median of those numbers that differ from it. Infinite if none does.
    """
    if not len(x):
        return 0.0, np.inf
    low, median, high = quantiles(x, np.array([0.25, 0.5, 0.75]), weights)
    if low < high:
        return median, high / 2 - low / 2
    distance = np.abs(x / 2 - median / 2) * 2
    away = distance > 0
    if not away.any():
        return median, np.inf
    weights = None if weights is None else weights[away]
    return median, float(quantiles(distance[away], np.array([0.5]), weights)[0])
