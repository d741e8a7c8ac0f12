"""Numbers, which are learned in units of their own spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import r2_score
from torch import nn

from sknm.targets.scaling import TargetScaling, as_numbers, refuse_no_numbers
from sknm.targets.target import Target
from sknm.training.losses import HuberError, QuantileError, SquaredError

HUBER_DELTA = 1.35
"""Deviation from which on Huber's loss is linear, in robust standard deviations of the
targets: of normal errors of that size, it loses a twentieth of the efficiency."""

NUMERIC_LOSSES: dict[str, Callable[[NumericTarget], nn.Module]] = {
    "squared_error": lambda target: SquaredError(),
    "absolute_error": lambda target: QuantileError(0.5),
    "huber": lambda target: HuberError(HUBER_DELTA),
    "quantile": lambda target: QuantileError(float(target.quantile)),
}
"""Makes the loss of each name."""


@dataclass(eq=False)
class NumericTarget(Target):
    """Numbers, of which one loss or another is minimised once they are scaled.

    The squared error has them scaled by mean and standard deviation, the other losses,
    for which outliers do not count, by median (or the quantile) and quartiles.

    Attributes
    ----------
    loss : str
        Name of the loss.
    quantile : float
        That of the loss "quantile".
    scaling_ : TargetScaling
        How they are scaled.
    """

    loss: str = "squared_error"
    quantile: float = 0.5

    kind: ClassVar[str] = "numbers"
    multi_output: ClassVar[bool] = True
    least_validation: ClassVar[int] = 2  # R² of one row has no meaning

    def prepare(self, y: Any) -> Any:
        """Refuse sparse targets and dates."""
        refuse_no_numbers(y)
        return y

    def check(self, y: np.ndarray) -> np.ndarray:
        """Bring numbers into double precision."""
        return as_numbers(y)

    def learn(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn centre and scale."""
        if self.loss == "squared_error":
            self.scaling_ = TargetScaling.of(y, weights)
        else:
            share = self.quantile if self.loss == "quantile" else 0.5
            self.scaling_ = TargetScaling.robust(y, weights, share)

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return len(self.scaling_.mean)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Scale targets."""
        return self.scaling_.encode(as_columns(y, self.n_outputs))

    def make_loss(self) -> nn.Module:
        """Make the loss of that name."""
        return NUMERIC_LOSSES[self.loss](self)

    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float | None:
        """Compute R², which is a matter of squared errors."""
        if self.loss != "squared_error":
            return None
        y, outputs = y.astype(np.float64), outputs.astype(np.float64)
        return float(r2_score(y, outputs, sample_weight=weights))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Undo the scaling."""
        targets = self.scaling_.decode(outputs)
        return targets[:, 0] if self.scaling_.is_single else targets

    def terms(self, parts: np.ndarray) -> np.ndarray:
        """Bring parts to the units of the targets."""
        return parts * self.scaling_.scale

    @property
    def origin(self) -> np.ndarray:
        """The centre of the targets."""
        return self.scaling_.mean

    def show(self, name: str, values: np.ndarray) -> np.ndarray:
        """Give weights of y itself: the network's give it scaled."""
        if name == "output_weights":
            return in_precision_of(values, values * self.scaling_.scale)
        if name == "output_biases":
            return in_precision_of(values, self.scaling_.decode(values))
        return values


def as_columns(y: np.ndarray, n_targets: int) -> np.ndarray:
    """Give each target a column.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Targets.
    n_targets : int
        How many there are.

    Returns
    -------
    ndarray of shape (n_samples, n_targets)
        The same.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    columns = y.reshape(len(y), -1)
    if columns.shape[1] != n_targets:
        raise ValueError(
            f"y has {columns.shape[1]} columns, but the fit knew {n_targets}."
        )
    return columns


def in_precision_of(like: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Round to single precision, if so, unless it can't hold such values.

    Parameters
    ----------
    like : ndarray
        Numbers of the precision.
    values : ndarray
        What is to be rounded.

    Returns
    -------
    ndarray
        In single or double precision.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(like.dtype)
    is_held = np.isfinite(rounded) == np.isfinite(values)
    is_held &= (rounded != 0) == (values != 0)
    return rounded if is_held.all() else values
