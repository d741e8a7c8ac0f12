"""Functions of single numbers that are learned: piecewise linear, and periodic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sknm.compute.groups import ParameterGroup
from sknm.encoding.sample import Sample, mean_and_deviation, quantiles
from sknm.encoding.scale import LEAST_DEVIATION
from sknm.encoding.stored import Stored

MOST_COLUMNS = 256
"""Most numbers that have functions: each costs as much as a number itself."""

WEIGHT = 0.08
"""What the function of a number weighs, where the number itself weighs 1. It is zero at
first and has small steps: it becomes large only where it is of use."""

MOST_BINS, ALL_BINS = 24, 1024
"""Most bins of a column, and of all columns together."""

ROWS_PER_BIN = 50
"""Fewest rows on average of a bin."""

N_FREQUENCIES = 16
"""Waves that a periodic function is made of."""

FREQUENCY = 0.1
"""Standard deviation of the frequencies at first, in waves per standard deviation."""


class Embedding(Protocol):
    """A function of each of some numbers."""

    n_outputs: int

    def fit(
        self, sample: Sample, generator: torch.Generator, dtype: torch.dtype
    ) -> None:
        """Learn from scaled numbers, NaN for gaps."""

    def __call__(self, u: Tensor) -> Tensor:
        """Embed scaled numbers, (n_samples, n_columns) to (n_samples, n_outputs)."""

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser."""

    def columns(self) -> list[int]:
        """Return the places of the columns that have functions."""


class _Sums(torch.autograd.Function):
    """Sums over bins, ``Σ_t (φ_t - m_t) r_t c_t``, of shape (n_columns, n_samples).

    Bins φ are of shape (n_columns, n_bins, n_samples): of the ways to compute sums and
    gradient, this takes by far the least time.
    """

    @staticmethod
    def forward(ctx: Any, bins: Tensor, means: Tensor, rates: Tensor, c: Tensor) -> Any:
        weights = c * rates
        ctx.save_for_backward(bins, means, rates, weights)
        return torch.bmm(weights[:, None], bins)[:, 0].sub_(
            (means * weights).sum(1, keepdim=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        bins, means, rates, weights = ctx.saved_tensors
        grad = grad.contiguous()
        d_bins = None
        if ctx.needs_input_grad[0]:
            d_bins = weights[:, :, None] * grad[:, None]
        d_weights = torch.bmm(grad[:, None], bins.transpose(1, 2))[:, 0]
        d_weights.addcmul_(means, grad.sum(1, keepdim=True), value=-1)
        return d_bins, None, None, d_weights.mul_(rates)


class Piecewise(Stored):
    """Piecewise linear functions: ``e = Σ_t φ_t c_t`` with a bin's φ from 0 to 1.

    ``φ_t = clip((u - b_t) / (b_{t+1} - b_t), 0, 1)`` [1]_, standardised. A function's
    slopes c are learned, and zero at first: what enters the graph is then what it would
    be without, until a function is worth it.

    Parameters
    ----------
    is_by_target : bool, default=False
        Whether the ends of bins are where a tree on the targets splits, instead of
        quantiles.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical
       features in tabular deep learning", NeurIPS 2022.
    """

    used: Tensor
    slopes: Tensor
    offsets: Tensor
    means: Tensor
    rates: Tensor

    def __init__(self, is_by_target: bool = False) -> None:
        super().__init__()
        self.is_by_target = is_by_target

    def fit(
        self, sample: Sample, generator: torch.Generator, dtype: torch.dtype
    ) -> None:
        """Choose bins, as many as rows, distinct values and other columns bear."""
        d = sample.X.shape[1]
        n_bins = min(MOST_BINS, ALL_BINS // d, sample.n_distinct // ROWS_PER_BIN)
        ends = [self._ends(sample, k, n_bins) for k in range(d)]
        used = [k for k in range(d) if len(ends[k]) > 2 and d <= MOST_COLUMNS]
        width = max((len(ends[k]) - 1 for k in used), default=0)
        slopes, offsets = np.zeros((2, len(used), width))
        for i, k in enumerate(used):
            b = ends[k]
            slopes[i, : len(b) - 1] = 1 / np.diff(b)
            offsets[i, : len(b) - 1] = -b[:-1] / np.diff(b)
        self.keep("used", used, torch.int64)
        self.keep("slopes", slopes, dtype)
        self.keep("offsets", offsets, dtype)
        self._standardise(sample, dtype)
        self.coefficients = nn.Parameter(torch.zeros(len(used), width, dtype=dtype))
        self.n_outputs = len(used)

    def _ends(self, sample: Sample, k: int, n_bins: int) -> np.ndarray:
        """Choose the ends of a column's bins; two or fewer mean none."""
        u, weights, known = sample.column(k)
        if n_bins < 2 or not len(u):
            return np.empty(0)
        ends = _apart(np.unique(u))
        if len(ends) <= n_bins + 1:
            return ends
        if self.is_by_target:
            splits = _splits(u, sample.y[known], weights, n_bins)
            return _apart(np.array([ends[0], *splits, ends[-1]]))
        return _apart(quantiles(u, np.linspace(0, 1, n_bins + 1), weights))

    def _standardise(self, sample: Sample, dtype: torch.dtype) -> None:
        """Keep what makes bins have mean 0 and deviation 1."""
        means, rates = np.zeros((2, *self.slopes.shape))
        offsets, slopes = self.offsets.double().numpy(), self.slopes.double().numpy()
        for i, k in enumerate(self.used.tolist()):
            u, weights, _ = sample.column(k)
            for t in np.flatnonzero(slopes[i]):
                phi = np.clip(offsets[i, t] + u * slopes[i, t], 0, 1)
                means[i, t], deviation = mean_and_deviation(phi, weights)
                rates[i, t] = 1 / deviation if deviation > LEAST_DEVIATION else 0
        self.keep("means", means, dtype)
        self.keep("rates", rates, dtype)

    def forward(self, u: Tensor) -> Tensor:
        """Embed scaled numbers (n_samples, n_columns)."""
        # Columns come first, one product for each, and rows last.
        u = u.t().index_select(0, self.used)[:, None]
        bins = (u * self.slopes[:, :, None]).add_(self.offsets[:, :, None])
        rates = self.rates * WEIGHT
        sums: Tensor = _Sums.apply(
            bins.clamp_(0, 1), self.means, rates, self.coefficients
        )
        return sums.t()

    def groups(self) -> list[ParameterGroup]:
        """Return the coefficients."""
        return [ParameterGroup([self.coefficients])]

    def columns(self) -> list[int]:
        """Return the places of the columns that have bins."""
        columns: list[int] = self.used.tolist()
        return columns


class Periodic(Stored):
    """Periodic functions: ``e = Σ_t c_t cos(ω_t u + φ_t)`` [1]_.

    All but u is learned; the coefficients c are zero at first, as those of `Piecewise`
    are.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: strong
       pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024 (PBLD).
    """

    used: Tensor

    def fit(
        self, sample: Sample, generator: torch.Generator, dtype: torch.dtype
    ) -> None:
        """Draw frequencies and phases."""
        d = sample.X.shape[1]
        wide = [k for k in range(d) if len(np.unique(sample.column(k)[0])) > 2]
        self.keep("used", wide if d <= MOST_COLUMNS else [], torch.int64)
        shape = len(self.used), N_FREQUENCIES
        self.n_outputs = shape[0]
        drawn = torch.randn(shape, generator=generator, dtype=torch.float32)
        phases = torch.rand(shape, generator=generator, dtype=torch.float32) * 2 - 1
        omega = drawn * (2 * math.pi * FREQUENCY)
        self.frequencies = nn.Parameter(omega.to(dtype))
        self.phases = nn.Parameter((phases * math.pi).to(dtype))
        self.coefficients = nn.Parameter(torch.zeros(shape, dtype=dtype))

    def forward(self, u: Tensor) -> Tensor:
        """Embed scaled numbers (n_samples, n_columns)."""
        u = u.index_select(1, self.used).t()[:, :, None]
        waves = torch.addcmul(self.phases[:, None], u, self.frequencies[:, None]).cos()
        weights = self.coefficients * (WEIGHT * (2 / N_FREQUENCIES) ** 0.5)
        return torch.bmm(waves, weights[:, :, None])[:, :, 0].t()

    def groups(self) -> list[ParameterGroup]:
        """Return the coefficients, and frequencies and phases, which move less."""
        waves: list[Tensor] = [self.frequencies, self.phases]
        return [
            ParameterGroup([self.coefficients]),
            ParameterGroup(waves, 0.1, decay=0.0, ridge=0.0),
        ]

    def columns(self) -> list[int]:
        """Return the places of the columns that have more than two values."""
        columns: list[int] = self.used.tolist()
        return columns


def _apart(ends: np.ndarray) -> np.ndarray:
    """Leave ends out that are next to none from the one before."""
    is_far = np.diff(ends, prepend=-np.inf) > LEAST_DEVIATION
    return ends[is_far]


def _splits(
    u: np.ndarray, y: np.ndarray, weights: np.ndarray | None, n_bins: int
) -> np.ndarray:
    """Where a tree of so many leaves splits a number to tell targets."""
    kind = DecisionTreeRegressor if y.dtype.kind == "f" else DecisionTreeClassifier
    tree = kind(
        max_leaf_nodes=n_bins, min_samples_leaf=ROWS_PER_BIN, random_state=0
    ).fit(u[:, None], y, sample_weight=weights)
    is_split = tree.tree_.children_left >= 0
    return np.unique(tree.tree_.threshold[is_split])


EMBEDDINGS: dict[str, Callable[[], Embedding]] = {
    "piecewise": Piecewise,
    "piecewise_tree": lambda: Piecewise(is_by_target=True),
    "periodic": Periodic,
}
"""What numbers are embedded by, for each name."""
