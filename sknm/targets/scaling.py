"""Numeric targets: checked, and scaled for the loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import assert_all_finite

from sknm.encoding.sample import quantiles
from sknm.encoding.scale import place

LEAST_SCALE = 1e-12
"""Least scale of a target, relative to its range: rows of next to no weight would
overflow with a smaller one."""

TINY = np.finfo(np.float64).tiny
"""Least scale of all: halves of smaller numbers are not exact."""

FARTHEST = 1e30
"""Largest distance of a target from the centre, in units of the scale: what is farther
off may be, of robust ones, and its distance makes no difference."""

NORMAL_RANGE = 1.349
"""Range between the quartiles of a normal distribution, in standard deviations."""

LARGEST = np.finfo(np.float64).max / 2
"""Largest half of a range that can be made a deviation."""


def as_numbers(y: np.ndarray) -> np.ndarray:
    """Bring numeric targets into double precision.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Targets.

    Returns
    -------
    ndarray of the same shape
        The same numbers.

    Raises
    ------
    ValueError
        If they are no numbers, or not finite.
    """
    try:
        if y.dtype.kind in "USVc" or any(
            isinstance(v, (str, bytes)) for v in _objects(y)
        ):
            raise TypeError("they are text, or no numbers")
        numbers = y.astype(np.float64)
        assert_all_finite(numbers, input_name="y")
        return numbers
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y must be numbers for a regressor, but: {str(error).rstrip('.')}. For "
            "labels, use a classifier."
        ) from error


def refuse_no_numbers(y: Any) -> None:
    """Refuse targets that scikit-learn has no clear word for.

    Parameters
    ----------
    y : object
        What the user gave.

    Raises
    ------
    TypeError
        If they are sparse.
    ValueError
        If they are dates or times.
    """
    if sparse.issparse(y):
        raise TypeError("y is sparse; give a dense array of targets: y.toarray().")
    of_columns: Any = getattr(y, "dtypes", getattr(y, "dtype", None))
    kinds = {getattr(dtype, "kind", "O") for dtype in np.atleast_1d(of_columns)}
    if kinds & {"m", "M"}:
        raise ValueError(
            "y holds dates or times; make numbers of them, such as days since a date."
        )


def _objects(y: np.ndarray) -> Iterable[Any]:
    return y.ravel() if y.dtype.kind == "O" else ()


def mean_of(y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Mean of each target, of numbers of any size.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Targets, in double precision.
    weights : ndarray of shape (n_samples,) or None
        Weights of the rows.

    Returns
    -------
    ndarray of shape (n_targets,)
        1 if no row has a weight, for which the rows are refused afterwards.
    """
    columns, weights = _counted(y, weights)
    if not len(columns):
        return np.ones(columns.shape[1])
    units, _, exponent = _in_units(columns)
    return np.ldexp(np.average(units, axis=0, weights=weights), exponent)


@dataclass(frozen=True)
class TargetScaling:
    """Numbers are learned scaled, in double precision whatever they come in.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_targets,)
        Centre and spread of each target: mean and standard deviation, or what stands
        for them where outliers are not to count. The scale is 1 of constants.
    is_single : bool
        Whether there is one target, without a dimension of its own.
    """

    mean: np.ndarray
    scale: np.ndarray
    is_single: bool

    @classmethod
    def of(cls, y: np.ndarray, weights: np.ndarray | None) -> TargetScaling:
        """Learn mean and standard deviation from targets.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets, in double precision.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.

        Returns
        -------
        TargetScaling
            Rows of weight zero don't count.
        """
        columns, weights = _counted(y, weights)
        if not len(columns):
            return cls._of_none(y)
        units, first, exponent = _in_units(columns)
        units = units - first
        mean = np.average(units, axis=0, weights=weights)
        spread = np.average((units - mean) ** 2, axis=0, weights=weights) ** 0.5
        spread = np.maximum(spread, LEAST_SCALE * units.max(axis=0))
        is_flat = units.max(axis=0) == 0
        return cls(
            np.ldexp(first + mean, exponent),
            np.where(is_flat, 1.0, np.maximum(np.ldexp(spread, exponent), TINY)),
            y.ndim == 1,
        )

    @classmethod
    def robust(
        cls, y: np.ndarray, weights: np.ndarray | None, share: float = 0.5
    ) -> TargetScaling:
        """Learn a quantile, and a standard deviation as if the targets were normal.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets, in double precision.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.
        share : float, default=0.5
            The quantile that is the centre.

        Returns
        -------
        TargetScaling
            The deviation is the range of the quartiles; where these are equal, twice
            the median distance from the median of the targets that differ from it.
        """
        columns, weights = _counted(y, weights)
        if not len(columns):
            return cls._of_none(y)
        shares = np.array([share])
        centre = [quantiles(column, shares, weights)[0] for column in columns.T]
        with np.errstate(over="ignore"):
            half = np.array([place(column, weights)[1] for column in columns.T])
        scale = np.minimum(half, LARGEST) * (2 / NORMAL_RANGE)
        scale = np.where(np.isinf(half), 1.0, np.maximum(scale, TINY))
        return cls(np.array(centre), scale, y.ndim == 1)

    @classmethod
    def _of_none(cls, y: np.ndarray) -> TargetScaling:
        """Stand for the scaling of no rows, which are refused afterwards."""
        return cls(np.zeros(y[:1].size), np.ones(y[:1].size), y.ndim == 1)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Scale targets.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_targets)
            Targets.

        Returns
        -------
        ndarray of shape (n_samples, n_targets)
            In units of the scale, from the centre; outliers, where they don't count,
            at a distance that single precision holds.
        """
        # Halves of the largest numbers differ by less than the largest.
        with np.errstate(over="ignore"):
            codes = (y / 2 - self.mean / 2) / self.scale * 2
        return codes.clip(-FARTHEST, FARTHEST)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Make targets of outputs.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_targets)
            Outputs of a network.

        Returns
        -------
        ndarray of shape (n_samples, n_targets)
            In double precision; infinite where they overflow.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return outputs * self.scale + self.mean


def _counted(
    y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Give each target a column, and leave rows out that don't count."""
    columns = y.reshape(len(y), -1)
    if weights is None:
        return columns, None
    return columns[weights > 0], weights[weights > 0]


def _in_units(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give targets in units of about the largest, the least of them, and the units.

    Differences are taken in such units: so neither large numbers overflow, nor do
    close ones vanish.
    """
    _, exponent = np.frexp(np.abs(columns).max(axis=0))
    units = np.ldexp(columns, -exponent)
    return units, units.min(axis=0), exponent
