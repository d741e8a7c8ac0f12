"""Numeric targets: checked, and standardised for the loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import assert_all_finite

LEAST_SCALE = 1e-12
"""Least scale of a target, relative to its range: rows of next to no weight would
overflow with a smaller one."""

TINY = np.finfo(np.float64).tiny
"""Least scale of all: halves of smaller numbers are not exact."""


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


@dataclass(frozen=True)
class TargetScaling:
    """Numbers are learned standardised, in double precision whatever they come in.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_targets,)
        Mean and standard deviation of each target; 1 where it is constant.
    is_single : bool
        Whether there is one target, without a dimension of its own.
    """

    mean: np.ndarray
    scale: np.ndarray
    is_single: bool

    @classmethod
    def of(cls, y: np.ndarray, weights: np.ndarray | None) -> TargetScaling:
        """Learn from targets.

        Differences are taken first, and in units of the largest: so neither large
        numbers overflow, nor do close ones vanish.

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
        columns = y.reshape(len(y), -1)
        if weights is not None:
            columns, weights = columns[weights > 0], weights[weights > 0]
            if not len(columns):  # for which the rows are refused afterwards
                return cls(np.zeros(y[:1].size), np.ones(y[:1].size), y.ndim == 1)
        _, exponent = np.frexp(np.abs(columns).max(axis=0))
        units = np.ldexp(columns, -exponent)
        first = units.min(axis=0)
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

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Standardise targets.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_targets)
            Targets.

        Returns
        -------
        ndarray of shape (n_samples, n_targets)
            Of mean 0 and standard deviation 1 in the training data.
        """
        # Halves of the largest numbers differ by less than the largest.
        return (y / 2 - self.mean / 2) / self.scale * 2

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
