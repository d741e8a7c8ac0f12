"""Before training: which columns tell of the targets, and which of them together.

Targets are explained by a sum of functions of single inputs, which takes a fraction of
a second; products of two columns that explain what is left say which columns interact.
So does the detection of interactions for generalised additive models (Lou et al. 2013,
"Accurate intelligible models with pairwise interactions").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sknm.compute.adam import AdamW
from sknm.graph.entries import Affinity
from sknm.plasticity.evidence import (
    chances,
    clipping,
    degrees_of_freedom,
    discoveries,
    least_of,
)

KNOTS = -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5
"""Where the hinge functions of an input begin, in deviations from its mean."""

LEAST_VARIANCE = 3e-3
"""Least variance of a function, relative to that of its input."""

CHUNK_VALUES = 2**16
"""Values of inputs whose functions are computed at a time."""

RESEMBLING_ROWS = 512
"""Rows on which functions are compared with each other."""

RATE, EPOCHS, LEAST_STEPS = 0.1, 5, 60
"""Step size of the additive model, which falls to nothing in so many epochs, or steps
if these are more."""

CONSTANT_STEPS = 30
"""Steps in which the best constant is found."""

FULL_VALUES, BATCH_ROWS = 2**16, 256
"""Most values of inputs that are taken all at once, and rows of a batch if there are
more."""

RIDGE = 1e-3
"""What its squared coefficients cost."""

LIMIT = 3.0
"""Largest deviation of an input that counts in products."""

LEAST_SHARE = 0.2
"""Least evidence for a pair, as a share of the weaker of the strongest pairs that its
columns are in: with many rows, traces of what functions of one column have left over
are not chance, either."""

MOST_PRODUCTS = 4e10
"""Most multiplications for the pairs of columns: fewer rows where there are many."""

MOST_PRODUCT_VALUES = 2**20
"""Most values that are multiplied with each other."""

PRODUCT_ROWS = 256
"""Rows whose products are computed at a time."""

MOST_INPUTS, FEWEST_ROWS = 1024, 512
"""Most inputs that are looked at, since the work grows with their square, and fewest
rows for pairs of them."""

Residual = Callable[[Tensor, Tensor], Tensor]
"""Gives the gradient of each row's loss, of outputs and targets."""


@dataclass(frozen=True)
class Scouted:
    """Rows to look at, on the CPU.

    Attributes
    ----------
    x : Tensor of shape (n_samples, n_inputs)
        What enters the graph.
    y : Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    weights : Tensor of shape (n_samples,)
        Weights of the rows; together as many as there are different ones.
    columns : ndarray of int of shape (n_inputs,)
        Column that each input is made of.
    n_outputs : int
        Number of outputs.
    """

    x: Tensor
    y: Tensor
    weights: Tensor
    columns: np.ndarray
    n_outputs: int

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.columns.max()) + 1


class Hinges:
    """Functions of single inputs: themselves, and hinges, of mean 0 and deviation 1.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_inputs)
        Inputs.
    weights : Tensor of shape (n_samples,)
        Weights of the rows.
    """

    def __init__(self, x: Tensor, weights: Tensor) -> None:
        share = weights / weights.sum()
        self._centre = share @ x
        deviation = (share @ (x - self._centre).square()).sqrt()
        self.chunk_rows = max(1, CHUNK_VALUES // x.shape[1])
        self._places = x.new_tensor(KNOTS)[:, None] * deviation
        parts = list(zip(self.chunks(x), self.chunks(share), strict=True))
        plain = [s @ self._plain(c) for c, s in parts]
        self._shifts = torch.stack(plain).sum(0)
        varying = [s @ (self._plain(c) - self._shifts).square_() for c, s in parts]
        squares = torch.stack(varying).sum(0)
        # What hardly varies is a constant; what varies on few rows would be noise.
        is_used = squares > LEAST_VARIANCE * deviation.square().repeat(1 + len(KNOTS))
        self._rates = torch.where(is_used, squares.clamp_min(1e-30).rsqrt(), 0.0)

    def chunks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Take rows apart, so that functions of their inputs take little memory."""
        return rows.split(self.chunk_rows)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the functions of inputs, (n_samples, n_inputs, n_functions)."""
        f = (self._plain(x) - self._shifts) * self._rates
        return f.unflatten(1, (1 + len(KNOTS), -1)).transpose(1, 2)

    def sums(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Sum weighted functions, given coefficients (n_outputs, n_functions).

        Of the functions, those of one kind of all inputs come first.
        """
        own = coefficients * self._rates
        return (own @ self._plain(x).t()).t() - own @ self._shifts

    def products(self, x: Tensor, errors: Tensor) -> Tensor:
        """Sum products of errors and functions: the gradient of the coefficients."""
        found = errors.t() @ self._plain(x)
        return found.sub_(torch.outer(errors.sum(0), self._shifts)).mul_(self._rates)

    def _plain(self, x: Tensor) -> Tensor:
        """Compute functions that are not standardised, those of one kind in a row."""
        x = x - self._centre
        hinges = (x[:, None] - self._places).clamp_(0)
        return torch.cat([x, hinges.flatten(1)], 1)


@torch.no_grad()
def scout(
    rows: Scouted, residual: Residual, rate: float, generator: torch.Generator
) -> Affinity | None:
    """Find out which columns tell of the targets, and which of them together.

    Parameters
    ----------
    rows : Scouted
        What to look at.
    residual : callable
        Gives the gradient of each row's loss, given outputs and targets.
    rate : float
        Share of what is found that may be wrong.
    generator : torch.Generator
        Source of the order of the rows.

    Returns
    -------
    Affinity or None
        None if no column tells more than chance would, or there are too many.
    """
    if rows.x.shape[1] > MOST_INPUTS:
        return None
    hinges = Hinges(rows.x, rows.weights)
    constant = _constant(rows, residual)
    alone = _alone(rows, hinges, residual, constant)
    left = _unexplained(rows, hinges, residual, constant, generator)
    pairs = _pairs(rows, left)
    upper = np.triu_indices(len(alone), 1)
    together = np.zeros(pairs.shape, dtype=bool)
    together[upper] = discoveries(pairs[upper], rate)
    together |= together.T
    others = ~np.eye(len(alone), dtype=bool)
    in_pairs = least_of(pairs[others].reshape(len(alone), len(alone) - 1))
    useful = discoveries(alone, rate) | discoveries(in_pairs, min(rate, 0.01))
    if not useful.any():
        return None
    together &= useful[:, None] & useful
    np.fill_diagonal(together, useful)
    return Affinity(useful, together)


def _alone(
    rows: Scouted, hinges: Hinges, residual: Residual, constant: Tensor
) -> np.ndarray:
    """How likely each column's evidence is by chance, if nothing is explained yet."""
    errors = residual(constant.expand(len(rows.y), -1), rows.y)
    errors = errors * clipping(errors, rows.weights)
    weighted = errors * rows.weights[:, None]
    parts = zip(hinges.chunks(rows.x), hinges.chunks(weighted), strict=True)
    scores = torch.stack([hinges.products(x, e) for x, e in parts]).sum(0)
    spread = errors.t() @ weighted
    squares = scores.square().sum(0).double().view(-1, rows.x.shape[1]).sum(0).numpy()
    first, weights = hinges(rows.x[:RESEMBLING_ROWS]), rows.weights[:RESEMBLING_ROWS]
    total = float(spread.diagonal().sum())
    found = []
    for column in range(rows.n_columns):
        own = np.flatnonzero(rows.columns == column)
        f = first[:, torch.as_tensor(own)].flatten(1)
        covariance = f.t() @ (f * weights[:, None])
        expected = float((f != 0).any(0).sum()) * total
        freedom = degrees_of_freedom(covariance) * degrees_of_freedom(spread)
        ratio = squares[own].sum() / expected if expected > 0 else 0.0
        found.append(chances(np.array(ratio), np.array(freedom)))
    return np.array(found)


def _constant(rows: Scouted, residual: Residual) -> Tensor:
    """Find the outputs of the best constant, by a few steps of gradient descent."""
    b = rows.x.new_zeros(rows.n_outputs)
    optimizer = AdamW([b])
    for k in range(CONSTANT_STEPS):
        optimizer.param_groups[0]["lr"] = 0.5 * (1 - k / CONSTANT_STEPS)
        errors = residual(b.expand(len(rows.y), -1), rows.y)
        b.grad = (rows.weights[:, None] * errors).mean(0)
        optimizer.step()
    return b


def _unexplained(
    rows: Scouted,
    hinges: Hinges,
    residual: Residual,
    constant: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return what functions of inputs leave of the errors, (n_samples, n_outputs)."""
    n, d = rows.x.shape
    coefficients = rows.x.new_zeros(rows.n_outputs, d * (1 + len(KNOTS)))
    b = constant.clone()
    optimizer = AdamW([coefficients, b])
    scale = 1 / d**0.5
    n_batches = 1 if n * d <= FULL_VALUES else max(1, n // BATCH_ROWS)
    n_steps = max(LEAST_STEPS, EPOCHS * n_batches)
    order = torch.arange(n).tensor_split(1)
    for k in range(n_steps):
        if n_batches > 1 and k % n_batches == 0:
            drawn = torch.randperm(n, generator=generator)
            order = drawn.tensor_split(n_batches)
        own = order[k % n_batches]
        x = rows.x[own]
        errors = residual(hinges.sums(x, coefficients) * scale + b, rows.y[own])
        share = rows.weights[own] / rows.weights[own].sum()
        errors = errors * share[:, None]
        ridge = (2 * RIDGE / d) * coefficients
        coefficients.grad = hinges.products(x, errors) * scale + ridge
        b.grad = errors.sum(0)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - k / n_steps)
        optimizer.step()
    left = [
        residual(hinges.sums(x, coefficients) * scale + b, y)
        for x, y in zip(hinges.chunks(rows.x), hinges.chunks(rows.y), strict=True)
    ]
    return torch.cat(left)


def _pairs(rows: Scouted, left: Tensor) -> np.ndarray:
    """How likely the evidence for each pair of columns is by chance."""
    used = torch.as_tensor((rows.x != 0).any(0))
    n_columns, d, c = rows.n_columns, int(used.sum()), left.shape[1]
    most = min(MOST_PRODUCTS / (8 * d**2 * c + 1), MOST_PRODUCT_VALUES / (2 * d + 1))
    n = int(max(FEWEST_ROWS, most))
    x, weights = rows.x[:n, used], rows.weights[:n]
    errors = left[:n] - weights @ left[:n] / weights.sum()
    errors = errors * clipping(errors, weights)
    z, owners = _products(x, weights, rows.columns[used.numpy()])
    sums = z.new_zeros(z.shape[1], z.shape[1])
    for e in errors.t():
        sums += _weighted_products(z, e * weights).square_()
    expected = _weighted_products(z, errors.square().sum(1) * weights, squared=True)
    ratios = sums / expected.clamp_min(torch.finfo(z.dtype).tiny)
    spread = errors.t() @ (errors * weights[:, None])
    member = torch.zeros(len(owners), n_columns, dtype=torch.float64)
    member[torch.arange(len(owners)), torch.as_tensor(owners)] = 1
    counts = member.sum(0)
    mean = member.t() @ ratios.double() @ member
    mean /= torch.outer(counts, counts).clamp_min(1)
    correlations = _weighted_products(z, weights) / weights.sum()
    own = member.t() @ correlations.double().square() @ member
    # Of columns whose inputs resemble each other, a few do for all.
    width = (counts**2 / own.diagonal().clamp_min(1e-30)).clamp_min(1)
    freedom = degrees_of_freedom(spread) * torch.outer(width, width)
    found = chances(mean.numpy(), freedom.numpy())
    excess = np.maximum(mean.numpy() - 1, 0)
    np.fill_diagonal(excess, 0)
    strongest = excess.max(1, initial=0)
    weaker = np.minimum(strongest[:, None], strongest)
    found[excess < LEAST_SHARE * weaker] = 1
    found[(counts == 0).numpy()] = found[:, (counts == 0).numpy()] = 1
    np.fill_diagonal(found, 1)
    return found


def _weighted_products(z: Tensor, weights: Tensor, squared: bool = False) -> Tensor:
    """Sum the products of all pairs of functions, or their squares, over weighted rows.

    Some rows at a time, which takes little memory.
    """
    sums = z.new_zeros(z.shape[1], z.shape[1])
    parts = zip(z.split(PRODUCT_ROWS), weights.split(PRODUCT_ROWS), strict=True)
    for own, w in parts:
        f = own.square() if squared else own
        sums.addmm_(f.t(), f * w[:, None])
    return sums


def _products(
    x: Tensor, weights: Tensor, columns: np.ndarray
) -> tuple[Tensor, np.ndarray]:
    """Two functions of each input, odd and even, and the column each is made of."""
    share = weights / weights.sum()

    def standardised(v: Tensor) -> Tensor:
        v = v - share @ v
        deviations = (share @ v.square()).sqrt()
        return v / deviations.clamp_min(1e-30) * (deviations > 1e-3)

    u = standardised(x / x.abs().amax(0).clamp_min(1e-30))
    odd = standardised(u.clamp(-LIMIT, LIMIT))
    even = odd.abs()
    even = even - share @ even
    even = standardised(even - (share @ (even * odd)) * odd)
    z = torch.cat([odd, even], 1)
    is_used = (z != 0).any(0)
    owners = np.concatenate([columns, columns])[is_used.numpy()]
    return z[:, is_used], owners
