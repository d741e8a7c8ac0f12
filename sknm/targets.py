"""Kinds of targets: how they are checked, learned, scored and predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from torch import nn

from sknm.labels import (
    as_labels,
    class_weights,
    distinct,
    encode_labels,
    without_extension,
)
from sknm.scaling import TargetScaling, as_numbers, refuse_no_numbers
from sknm.training.losses import CrossEntropy, SquaredError


class Target(ABC):
    """What an estimator has to know of its targets, as of a likelihood.

    A new one is made for each fit, with the parameters as they are then. What it learns
    are attributes whose names end in an underscore; it has to be plain data.
    """

    multi_output: ClassVar[bool] = False
    """Whether there may be several targets."""

    least_validation: ClassVar[int] = 1
    """Fewest rows that can be scored."""

    def prepare(self, y: Any) -> Any:
        """Refuse or convert what scikit-learn has no clear word for.

        Parameters
        ----------
        y : object
            What the user gave.

        Returns
        -------
        object
            What scikit-learn is to check.
        """
        return y

    def check(self, y: np.ndarray) -> np.ndarray:
        """Check what scikit-learn has let through.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        ndarray of the same shape
            Targets that can be learned and encoded.
        """
        return y

    @abstractmethod
    def learn(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn from the targets of a first fit what encoding them needs.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Checked targets.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.
        """

    def go_on_from(self, former: Target) -> None:
        """Take over what was learned, but not the parameters.

        Parameters
        ----------
        former : Target
            That of the fit before.
        """
        learned = {k: v for k, v in vars(former).items() if k.endswith("_")}
        vars(self).update(learned)

    def attributes(self) -> dict[str, Any]:
        """Return what users see of what was learned.

        Returns
        -------
        dict
            Fitted attributes of the estimator.
        """
        return {}

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of outputs of the network."""

    @abstractmethod
    def encode(self, y: np.ndarray) -> np.ndarray:
        """Make of targets what the loss takes.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Checked targets.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        """

    def weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weigh rows by their targets, too.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.

        Returns
        -------
        ndarray of shape (n_samples,) or None
            Weights of the rows.
        """
        return weights

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        """Tell of what both parts of a split are to get their share.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.

        Returns
        -------
        ndarray of shape (n_samples,) or None
            Labels; None for a split at random.
        """
        return None

    @abstractmethod
    def make_loss(self) -> nn.Module:
        """Make the loss of outputs, encoded targets and weights.

        Returns
        -------
        nn.Module
            A mean over the rows, whose weights are None or 1 on average.
        """

    @abstractmethod
    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        """Score raw outputs; larger is better.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.

        Returns
        -------
        float
            The score.
        """

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Make predictions of raw outputs.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, in the shape of the targets.
        """

    def show(self, name: str, values: np.ndarray) -> np.ndarray:
        """Bring an attribute that the network shows into the terms of the targets.

        Parameters
        ----------
        name : str
            "output_weights", "output_biases", or another one.
        values : ndarray
            The network's.

        Returns
        -------
        ndarray
            Of the same shape.
        """
        return values


@dataclass(eq=False)
class ClassTarget(Target):
    """Classes, each with an output: its logit.

    Attributes
    ----------
    label_smoothing : float
        Share of a target's probability that is spread over all classes.
    class_weight : dict or "balanced" or None
        Weights of the classes.
    classes_ : ndarray of shape (n_classes,) or None
        The labels; None until they are learned, unless they were told.
    """

    label_smoothing: float = 0.0
    class_weight: Mapping[Any, float] | str | None = None
    classes_: np.ndarray | None = None

    def prepare(self, y: Any) -> Any:
        """Bring pandas' own integers to numpy's."""
        return without_extension(y)

    def check(self, y: np.ndarray) -> np.ndarray:
        """Check that these are labels."""
        return as_labels(y)

    def learn(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn the classes, of which at least two have to count."""
        weighted = self._weighted_classes(y, weights)
        if len(weighted) < 2:
            (only,) = weighted.tolist()
            raise ValueError(
                f"y has one class only, {only!r}; a classifier needs rows of at least "
                "two classes."
            )

    def _weighted_classes(
        self, y: np.ndarray, weights: np.ndarray | None
    ) -> np.ndarray:
        """Learn the classes, and find those with rows that are not left out."""
        if self.classes_ is not None:
            return self.classes_
        self.classes_ = distinct(y, "y")
        codes = self.encode(y)
        weights = self.weigh(codes, weights)
        counted = codes if weights is None else codes[weights > 0]
        if not len(counted):  # which is told when rows are left out
            return self.classes_
        return self.classes_[np.unique(counted)]

    def attributes(self) -> dict[str, Any]:
        """Show `classes_`."""
        return {"classes_": self.classes_}

    @property
    def n_outputs(self) -> int:
        """Number of classes."""
        return len(self._classes)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Find the places of labels among the classes."""
        return encode_labels(y, self._classes)

    def weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weigh rows by their classes, too."""
        if self.class_weight is None:
            return weights
        of_row = class_weights(self.class_weight, self._classes, y)[y]
        return of_row if weights is None else weights * of_row

    def strata(self, y: np.ndarray) -> np.ndarray:
        """Have both parts of a split get their share of each class."""
        return self._classes[y]

    def make_loss(self) -> nn.Module:
        """Make the cross-entropy."""
        return CrossEntropy(self.label_smoothing)

    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        """Compute the accuracy."""
        return float(accuracy_score(y, outputs.argmax(axis=1), sample_weight=weights))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Find the label of the largest logit."""
        return self._classes[outputs.argmax(axis=1)]

    @property
    def _classes(self) -> np.ndarray:
        assert self.classes_ is not None, "they have been learned or told"
        return self.classes_


class NumericTarget(Target):
    """Numbers, whose squared error is the loss once they are standardised.

    Attributes
    ----------
    scaling_ : TargetScaling
        How they are standardised.
    """

    multi_output = True
    least_validation = 2  # R² of one row has no meaning

    def prepare(self, y: Any) -> Any:
        """Refuse sparse targets and dates."""
        refuse_no_numbers(y)
        return y

    def check(self, y: np.ndarray) -> np.ndarray:
        """Bring numbers into double precision."""
        return as_numbers(y)

    def learn(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn mean and scale."""
        self.scaling_ = TargetScaling.of(y, weights)

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return len(self.scaling_.mean)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Standardise targets."""
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {columns.shape[1]} columns, but the fit knew {self.n_outputs}."
            )
        return self.scaling_.encode(columns)

    def make_loss(self) -> nn.Module:
        """Make the squared error."""
        return SquaredError()

    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        """Compute R²."""
        return float(r2_score(y, outputs, sample_weight=weights))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Undo the standardisation."""
        targets = self.scaling_.decode(outputs)
        return targets[:, 0] if self.scaling_.is_single else targets

    def show(self, name: str, values: np.ndarray) -> np.ndarray:
        """Give weights of y itself: the network's give it standardised."""
        if name == "output_weights":
            return _in_precision_of(values, values * self.scaling_.scale)
        if name == "output_biases":
            return _in_precision_of(values, self.scaling_.decode(values))
        return values


def _in_precision_of(like: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Round to single precision, if so, unless it can't hold such values."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(like.dtype)
    is_held = np.isfinite(rounded) == np.isfinite(values)
    is_held &= (rounded != 0) == (values != 0)
    return rounded if is_held.all() else values
