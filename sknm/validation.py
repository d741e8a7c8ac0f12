"""The validation boundary: what users give becomes checked arrays, and then tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from sknm.training.net import Table


@dataclass(frozen=True)
class Samples:
    """Checked rows: X (n, d), encoded targets, weights with mean 1 or None."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X)

    def table(self, device: str) -> Table:
        """Return the rows as tensors.

        Parameters
        ----------
        device : str
            Where the tensors are to be.

        Returns
        -------
        Table
            The rows.
        """
        weights = None if self.weights is None else to_tensor(self.weights, device)
        return Table(to_tensor(self.X, device), to_tensor(self.y, device), weights)

    def take(self, rows: np.ndarray) -> Samples:
        """Return some of the rows.

        Parameters
        ----------
        rows : ndarray of int
            Which ones.

        Returns
        -------
        Samples
            These rows.
        """
        weights = None if self.weights is None else self.weights[rows]
        return Samples(self.X[rows], self.y[rows], weights)

    def set_aside(
        self, share: float, seed: int, strata: np.ndarray | None
    ) -> tuple[Samples, Samples]:
        """Split off a share of the rows for validation.

        Parameters
        ----------
        share : float
            Share of the rows, ``validation_fraction``.
        seed : int
            Seed of the split.
        strata : ndarray of shape (n_samples,) or None
            Labels that both parts get their share of.

        Returns
        -------
        training : Samples
            The larger part.
        validation : Samples
            The part set aside.

        Raises
        ------
        ValueError
            If there are too few rows.
        """
        try:
            kept, held = train_test_split(
                np.arange(len(self)),
                test_size=share,
                random_state=seed,
                stratify=strata,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping can't set aside validation_fraction={share} of "
                f"{len(self)} rows: {error} Give X_val and y_val, change "
                "validation_fraction, or set early_stopping=False."
            ) from error
        return self.take(kept), self.take(held)


def leave_out_unweighted(
    X: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Leave out the rows of weight zero: to give a row none is to leave it out.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Checked data.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Checked targets.
    weights : ndarray of shape (n_samples,) or None
        Checked weights.

    Returns
    -------
    X : ndarray of shape (n_kept, n_features)
        Data of the rows that count.
    y : ndarray of shape (n_kept,) or (n_kept, n_outputs)
        Their targets.
    weights : ndarray of shape (n_kept,) or None
        Their weights.

    Raises
    ------
    ValueError
        If there are none.
    """
    if weights is None or weights.all():
        return X, y, weights
    kept = weights > 0
    if not kept.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number; give some row "
            "a positive sample_weight (and its class a positive class_weight), or "
            "leave sample_weight out."
        )
    return X[kept], y[kept], weights[kept]


def weighted_samples(
    X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
) -> Samples:
    """Make rows with weights of mean 1, in the precision of `X`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Checked data.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_samples,) or None
        Positive weights.

    Returns
    -------
    Samples
        Repeating a row, or giving it a whole-number weight, come to the same.
    """
    if y.dtype.kind == "f":
        y = y.astype(X.dtype)
    if weights is None:
        return Samples(X, y)
    return Samples(X, y, (weights / weights.mean()).astype(X.dtype))


def check_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray | None:
    """Check the weights of the rows of `X`.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        What the user gave.
    X : ndarray of shape (n_samples, n_features)
        The rows.

    Returns
    -------
    ndarray of shape (n_samples,) or None
        In double precision.

    Raises
    ------
    ValueError
        If a weight is negative, infinite or missing.
    """
    if sample_weight is None:
        return None
    return _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )


def draw_seed(random_state: Any) -> int:
    """Seed that a `random_state` stands for.

    None takes fresh entropy: the global generators of numpy and torch stay untouched.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        What the user gave.

    Returns
    -------
    int
        For a ``torch.Generator``.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(2**31 - 1))


def to_tensor(array: np.ndarray, device: str | torch.device) -> Tensor:
    """Put an array on a device, without a copy where torch can do without one.

    Parameters
    ----------
    array : ndarray
        What to put there.
    device : str or torch.device
        Where.

    Returns
    -------
    Tensor
        May share the array's memory.
    """
    if not array.flags.writeable:  # torch would warn: it can't protect the memory
        array = array.copy()
    return torch.as_tensor(array, device=device)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Copy a tensor to an array of its own.

    Parameters
    ----------
    tensor : Tensor
        On any device.

    Returns
    -------
    ndarray
        Shares no memory with the tensor.
    """
    return tensor.detach().cpu().numpy().copy()
