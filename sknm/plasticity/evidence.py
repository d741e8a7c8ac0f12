"""What speaks for an edge that is asleep: its gradient, against what chance gives.

An edge from x to a node, whose weight is zero, has the gradient ``Σ_i x_i δ_i`` over
rows i. If x has nothing to do with δ, its square is ``Σ_i x_i² Σ_i δ_i²`` over the
number of rows, on average; if it has, as many times more as there are rows. Over a
group of edges the ratio of both sums is about a χ² variable over its degrees of
freedom, which are fewer than there are edges, since inputs and nodes of a group
resemble each other (Satterthwaite 1946).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

from sknm.graph.trace import Ends, Flow

MOST_EXCESS = 2.0
"""Most times its root mean square that the error of a row counts: a few rows that a
network doesn't get right yet are not to decide alone."""

INDIFFERENT = 0.5
"""From which probability on chances are taken for those of what is of no use."""


def clipping(errors: Tensor, weights: Tensor | None = None) -> Tensor:
    """Find factors that shorten the errors of rows that are much larger than others.

    Parameters
    ----------
    errors : Tensor of shape (n_samples, n)
        The error of a row in each row.
    weights : Tensor of shape (n_samples,), optional
        Weights of the rows.

    Returns
    -------
    Tensor of shape (n_samples, 1)
        With them, each is at most `MOST_EXCESS` times as long as their root mean
        square was.
    """
    squares = errors.square().sum(1)
    mean = squares.mean() if weights is None else squares @ weights / weights.sum()
    tiny = torch.finfo(errors.dtype).tiny
    limits = MOST_EXCESS * mean.sqrt() / squares.clamp_min(tiny).sqrt()
    return limits.clamp_max(1)[:, None]


def lone_errors(errors: Tensor, weights: Tensor | None = None) -> Tensor:
    """Find factors that make the errors of a step those of each row alone, clipped.

    Parameters
    ----------
    errors : Tensor of shape (n_samples, n_outputs)
        Gradient of the loss of a step by the outputs.
    weights : Tensor of shape (n_samples,), optional
        Weights of the rows, which the loss heeds.

    Returns
    -------
    Tensor of shape (n_samples, 1)
        One for each row.
    """
    alone = float(len(errors))
    factors = errors.new_full((len(errors), 1), alone)
    if weights is not None:
        factors = (alone / weights).masked_fill(weights == 0, 0)[:, None]
    return factors * clipping(errors * factors, weights)


def asked_where_active(
    flow: Flow, ends: Ends, weights: Tensor | None, factors: Tensor
) -> Tensor:
    """Find what nodes ask for where they are active, beyond what they ask on average.

    Parameters
    ----------
    flow : Flow
        Values and adjoints of a step.
    ends : Ends
        What there was at both ends of the graph.
    weights : Tensor of shape (n_samples,) or None
        Weights of the rows.
    factors : Tensor of shape (n_samples, 1)
        What :func:`lone_errors` found.

    Returns
    -------
    Tensor of shape (n_nodes, n_samples)
        Of each row alone.
    """
    z = flow.z
    mean = z.mean(1) if weights is None else z @ weights / weights.sum()
    active = (z > mean[:, None]).to(z.dtype)
    level = active.mean(1) if weights is None else active @ weights / weights.sum()
    asked = ends.asked(flow.delta)
    return active.sub_(level[:, None]).mul_(asked).mul_(factors.t())


def degrees_of_freedom(covariance: Tensor) -> float:
    """Count the independent variables of equal size that vary like some others.

    Parameters
    ----------
    covariance : Tensor of shape (n, n)
        Covariance of these.

    Returns
    -------
    float
        At least 1, at most n.
    """
    trace = float(covariance.diagonal().sum())
    squares = float(covariance.square().sum())
    return trace**2 / squares if squares > 0 else 1.0


def chances(ratios: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """How likely ratios as large as these are, if there is nothing but chance.

    Parameters
    ----------
    ratios : ndarray
        Of squared gradients to what they are by chance.
    freedom : ndarray that broadcasts with `ratios`
        Degrees of freedom.

    Returns
    -------
    ndarray
        Probabilities.
    """
    found: np.ndarray = chi2.sf(np.nan_to_num(ratios) * freedom, freedom)
    return found


def discoveries(chances: np.ndarray, rate: float) -> np.ndarray:
    """Choose as many as can be had with a share of at most `rate` of false ones.

    By Benjamini and Hochberg (1995), with the number of those that are of no use
    estimated from the large probabilities (Storey 2002): where there are none of these,
    nearly all are chosen.

    Parameters
    ----------
    chances : ndarray
        How likely what was seen is by chance.
    rate : float
        False discovery rate.

    Returns
    -------
    ndarray of bool
        Which are chosen.
    """
    ordered = np.sort(chances.ravel())
    n = len(ordered)
    if not n:
        return np.zeros(chances.shape, dtype=bool)
    n_useless = ((ordered > INDIFFERENT).sum() + 1) / (1 - INDIFFERENT)
    limits = rate * np.arange(1, n + 1) / min(n_useless, n)
    passed = np.flatnonzero(ordered <= limits)
    chosen: np.ndarray = chances <= (ordered[passed[-1]] if len(passed) else -1)
    return chosen


def least_of(chances: np.ndarray) -> np.ndarray:
    """Probability that the rows of a matrix hold nothing but chance (Simes 1986).

    Parameters
    ----------
    chances : ndarray of shape (n_rows, n)
        Probabilities.

    Returns
    -------
    ndarray of shape (n_rows,)
        One for each row.
    """
    n = chances.shape[1]
    if not n:
        return np.ones(len(chances))
    found: np.ndarray = (np.sort(chances, 1) * n / np.arange(1, n + 1)).min(1)
    return found
