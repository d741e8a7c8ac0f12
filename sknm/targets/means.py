"""Counts and amounts, of which the logarithm of the mean is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import nn

from sknm.targets.numeric import as_columns, in_precision_of
from sknm.targets.scaling import FARTHEST, as_numbers, mean_of, refuse_no_numbers
from sknm.targets.target import Target, log_mean_exp
from sknm.training.losses import GammaDeviance, PoissonDeviance

MEAN_LOSSES: dict[str, Callable[[], nn.Module]] = {
    "poisson": PoissonDeviance,
    "gamma": GammaDeviance,
}
"""Makes the loss of each name."""

TINY = float(np.finfo(np.float64).tiny)
"""Least prediction: none of them is zero, for which these losses have no value."""


@dataclass(eq=False)
class MeanTarget(Target):
    """Numbers that are not negative, learned in units of their mean.

    Attributes
    ----------
    loss : str
        Name of the loss.
    mean_ : ndarray of shape (n_targets,)
        Mean of each target.
    is_single_ : bool
        Whether there is one target, without a dimension of its own.
    """

    loss: str = "poisson"

    kind: ClassVar[str] = "logarithms of means (loss='poisson' or 'gamma')"
    multi_output: ClassVar[bool] = True
    positive_only: ClassVar[bool] = True
    least_validation: ClassVar[int] = 2  # R² of one row has no meaning
    has_linear_mean: ClassVar[bool] = False

    def prepare(self, y: Any) -> Any:
        """Refuse sparse targets and dates."""
        refuse_no_numbers(y)
        return y

    def check(self, y: np.ndarray) -> np.ndarray:
        """Check the sign of numbers, in double precision."""
        y = as_numbers(y)
        least = y.min(initial=np.inf)
        if least < 0 or (least == 0 and self.loss == "gamma"):
            bound = "positive" if self.loss == "gamma" else "0 or more"
            raise ValueError(
                f"loss={self.loss!r} needs targets that are {bound}, but the least of "
                f"y is {least:g}. Use loss='squared_error' for other numbers."
            )
        return y

    def learn(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn the means."""
        self.mean_, self.is_single_ = mean_of(y, weights), y.ndim == 1
        if not (self.mean_ > 0).all():
            raise ValueError(
                f"loss={self.loss!r} learns the logarithm of the mean of y, but y is 0 "
                "in all rows. Leave such targets out, or use loss='squared_error'."
            )

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return len(self.mean_)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Divide targets by their means."""
        # Only a row of next to no weight can be farther off.
        with np.errstate(over="ignore"):
            return np.minimum(as_columns(y, self.n_outputs) / self.mean_, FARTHEST)

    def make_loss(self) -> nn.Module:
        """Make the loss of that name."""
        return MEAN_LOSSES[self.loss]()

    def combine(self, outputs: np.ndarray) -> np.ndarray:
        """Return the logarithms of the mean predictions."""
        return log_mean_exp(outputs)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Compute the means; infinite where they overflow, and nowhere zero."""
        logarithms = outputs.astype(np.float64) + np.log(self.mean_)
        with np.errstate(over="ignore", under="ignore"):
            targets = np.maximum(np.exp(logarithms), TINY)
        return targets[:, 0] if self.is_single_ else targets

    @property
    def origin(self) -> np.ndarray:
        """The logarithm of the targets' means."""
        logarithms: np.ndarray = np.log(self.mean_)
        return logarithms

    def show(self, name: str, values: np.ndarray) -> np.ndarray:
        """Give biases of the logarithm of y itself."""
        if name == "output_biases":
            return in_precision_of(values, values + np.log(self.mean_))
        return values
