"""The validation boundary: what users give becomes checked arrays, and then tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight
from skorch.callbacks import Callback, EarlyStopping

from sknm.compute.arrays import to_tensor
from sknm.compute.rows import Rows
from sknm.training.batches import Table


@dataclass(frozen=True)
class Samples:
    """Checked rows: X (n, d), encoded targets, weights with mean 1 or None.

    Weights are in double precision, so that none of them is lost. The numbers say which
    of the rows of the user these are; None is all, in their order.
    """

    X: Rows
    y: np.ndarray
    weights: np.ndarray | None = None
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X)

    def table(self, device: str) -> Table:
        """Return the rows as what a net trains on.

        Parameters
        ----------
        device : str
            Where the net is.

        Returns
        -------
        Table
            The rows.
        """
        weights = None
        if self.weights is not None:
            weights = to_tensor(self.weights.astype(self.X.dtype), device)
        return Table(self.X.move(device), to_tensor(self.y, device), weights)

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
        numbers = rows if self.numbers is None else self.numbers[rows]
        return Samples(self.X.keep(rows), self.y[rows], weights, numbers)

    def set_aside(
        self, share: float, seed: int, strata: np.ndarray | None, least: int
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
        least : int
            Fewest rows that can be scored.

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
            if len(held) < least:
                raise ValueError(f"At least {least} have to be held out.")
        except ValueError as error:
            raise ValueError(
                f"early_stopping can't set aside validation_fraction={share} of "
                f"{len(self)} rows: {error} Give X_val and y_val, change "
                "validation_fraction, or set early_stopping=False."
            ) from error
        training = self.take(kept)
        if training.weights is not None:
            weights = training.weights / training.weights.mean()
            training = replace(training, weights=weights)
        return training, self.take(held)


def as_rows(X: Any, dtype: np.dtype) -> Rows:
    """Make rows of checked data, in the precision of a fitted network.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_samples, n_features)
        Checked data.
    dtype : dtype
        Precision of the rows.

    Returns
    -------
    Rows
        Batches are converted, not the whole.

    Raises
    ------
    ValueError
        If a value is infinite in that precision.
    """
    values = X.data if sparse.issparse(X) else X
    limit, size = np.finfo(dtype).max, np.finfo(X.dtype).max
    if size > limit and max(values.max(initial=0), -values.min(initial=0)) > limit:
        raise ValueError(
            f"Input X contains infinity or a value too large for {np.dtype(dtype)!r}."
        )
    return Rows(X, dtype)


def weighted_samples(X: Rows, y: np.ndarray, weights: np.ndarray | None) -> Samples:
    """Make rows with weights of mean 1; to give a row none is to leave it out.

    Parameters
    ----------
    X : Rows
        Checked data.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_samples,) or None
        Checked weights, in double precision.

    Returns
    -------
    Samples
        Repeating a row, or giving it a whole-number weight, come to the same.

    Raises
    ------
    ValueError
        If no row has a weight.
    """
    if y.dtype.kind == "f":
        y = y.astype(X.dtype)
    if weights is None:
        return Samples(X, y)
    kept = np.flatnonzero(weights)
    if not len(kept):
        raise ValueError(
            "Sample weights must contain at least one non-zero number; give some row "
            "a positive sample_weight (and its class a positive class_weight), or "
            "leave sample_weight out."
        )
    if len(kept) == len(weights):
        return Samples(X, y, weights / weights.mean())
    own = weights[kept]
    return Samples(X.keep(kept), y[kept], own / own.mean(), kept)


UNHEEDED = {
    "ScoringBase": "the net predicts nothing: give X_val, or ScoringMonitor of "
    "scikit-learn to set_callbacks",
    "PassthroughScoring": "batches are not recorded",
    "ParamMapper": "the network's parameters belong to the estimator",
    "LRScheduler": "the learning rate has a schedule: set learning_rate_init",
    "Checkpoint": "the net is saved with its estimator: pickle that, or set "
    "early_stopping",
    "TrainEndCheckpoint": "the net is saved with its estimator: pickle that",
    "LoadInitState": "the net goes on by warm_start",
    "InputShapeSetter": "the network knows its inputs",
}
"""Callbacks of skorch's that would fail here, or do nothing, and what to do instead."""


def check_callbacks(callbacks: Any) -> None:
    """Raise for what skorch could not call, and for what would not be heeded.

    Parameters
    ----------
    callbacks : list or tuple or None
        What the user gave: callbacks of skorch, classes of them, or pairs of a name and
        one of both, as skorch takes them.

    Raises
    ------
    ValueError
        If one is something else, or asks for what the net has not.
    """
    for given in callbacks or ():
        is_pair = isinstance(given, tuple) and len(given) == 2
        callback = given[1] if is_pair else given
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise ValueError(
                f"callbacks={callbacks!r} has {given!r}, which is no callback of "
                "skorch; give instances of skorch.callbacks.Callback, and those of "
                "scikit-learn to set_callbacks."
            )
        reason = _why_unheeded(kind, callback)
        if reason is not None:
            raise ValueError(
                f"callbacks={callbacks!r} has {given!r}, which is not for this: "
                f"{reason}."
            )


def _why_unheeded(kind: type[Callback], callback: Any) -> str | None:
    """Say what is wrong with a callback of skorch's, if something is."""
    for ancestor in kind.__mro__:
        if ancestor.__module__.startswith("skorch.") and ancestor.__name__ in UNHEEDED:
            return UNHEEDED[ancestor.__name__]
    if kind.on_grad_computed is not Callback.on_grad_computed:
        return "gradients are not told"
    if getattr(callback, "load_best", False):
        return "it would restore weights without their graph: set early_stopping"
    if issubclass(kind, EarlyStopping):
        known = "train_loss", "valid_score"
        if getattr(callback, "monitor", "valid_loss") not in known:
            return "give monitor='train_loss', or 'valid_score' where there is X_val"
    return None


def check_weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Check the weights of the rows of `X`.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        What the user gave.
    X : ndarray or sparse matrix of shape (n_samples, n_features)
        The rows.

    Returns
    -------
    ndarray of shape (n_samples,) or None
        In double precision, and of a size that can be multiplied and added up.

    Raises
    ------
    ValueError
        If a weight is negative, infinite or missing.
    """
    if sample_weight is None:
        return None
    return of_usual_size(
        _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
    )


def of_usual_size(weights: np.ndarray) -> np.ndarray:
    """Divide weights by a power of two, which is exact: the largest is about 1.

    Parameters
    ----------
    weights : ndarray of shape (n_weights,)
        Weights of at least 0, in double precision.

    Returns
    -------
    ndarray of shape (n_weights,)
        Weights in the same proportions.
    """
    _, exponent = np.frexp(weights.max(initial=0))
    return np.ldexp(weights, -exponent)


def draw_seed(random_state: Any) -> int:
    """Seed that a `random_state` stands for.

    None draws from numpy's global generator, as everywhere in scikit-learn.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        What the user gave.

    Returns
    -------
    int
        For a ``torch.Generator``.
    """
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def memory_for(n_nodes: int) -> Iterator[None]:
    """Say of a network that is made inside which parameter it is too large for.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.

    Raises
    ------
    MemoryError
        Where torch can't allocate what it needs.
    """
    try:
        yield
    except RuntimeError as error:  # torch's own word for it
        if "memory" not in str(error):
            raise
        raise MemoryError(
            f"n_nodes={n_nodes} is too much for this machine's memory: there is a "
            "weight for each pair of nodes. Take fewer nodes."
        ) from error
