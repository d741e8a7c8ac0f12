"""Classes: one label a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score
from torch import nn

from sknm.targets.indicators import IndicatorTarget, is_indicator
from sknm.targets.labels import (
    as_labels,
    class_weights,
    distinct,
    encode_labels,
    without_extension,
)
from sknm.targets.target import LabelTarget, Target, log_mean_exp
from sknm.training.losses import CrossEntropy


@dataclass(eq=False)
class ClassTarget(LabelTarget):
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

    kind: ClassVar[str] = "one label a row"

    def suited_to(self, y: Any) -> Target:
        """Have an indicator matrix taken for several labels a row."""
        if not is_indicator(y):
            return self
        return IndicatorTarget(self.label_smoothing, self.class_weight, self.classes_)

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

    @property
    def n_bits(self) -> float:
        """Bits that the classes can tell."""
        return math.log2(max(2, len(self._classes)))

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

    def _make_loss(self, smoothing: float) -> nn.Module:
        return CrossEntropy(smoothing)

    def combine(self, outputs: np.ndarray) -> np.ndarray:
        """Return the logarithms of the mean probabilities."""
        return log_mean_exp(log_softmax(outputs, axis=2))

    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        """Compute the accuracy."""
        return float(accuracy_score(y, outputs.argmax(axis=1), sample_weight=weights))

    def terms(self, parts: np.ndarray) -> np.ndarray:
        """Divide by the temperature; of two classes, take the difference."""
        if self.n_outputs == 2:
            parts = parts[..., 1:] - parts[..., :1]
        return super().terms(parts)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Compute the softmax."""
        return softmax(outputs / self.temperature_, axis=1)

    def log_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Compute its logarithm."""
        return log_softmax(outputs / self.temperature_, axis=1)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Find the label of the largest logit."""
        return self._classes[outputs.argmax(axis=1)]

    @property
    def _classes(self) -> np.ndarray:
        assert self.classes_ is not None, "they have been learned or told"
        return self.classes_
