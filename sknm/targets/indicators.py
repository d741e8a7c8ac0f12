"""Several labels a row: indicator matrices, with a column for each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit
from torch import nn

from sknm.targets.target import LabelTarget, log_mean_exp
from sknm.training.losses import BinaryCrossEntropy


@dataclass(eq=False)
class IndicatorTarget(LabelTarget):
    """Labels of which a row may have any number, each with an output: its logit.

    Attributes
    ----------
    label_smoothing : float
        Share of the probability of each label that is spread over "has it" and "has it
        not".
    class_weight : dict or "balanced" or None
        None: a row has labels of several weights.
    classes_ : ndarray of shape (n_classes,) or None
        Numbers of the columns; None until they are learned, unless they were told.
    is_sparse_ : bool
        Whether predictions are sparse, as the targets of a first fit were.
    """

    label_smoothing: float = 0.0
    class_weight: Mapping[Any, float] | str | None = None
    classes_: np.ndarray | None = None
    is_sparse_: bool = False

    kind: ClassVar[str] = "several labels a row (an indicator matrix)"
    multi_output: ClassVar[bool] = True

    def prepare(self, y: Any) -> Any:
        """Refuse weights of classes."""
        if self.class_weight is not None:
            raise ValueError(
                f"class_weight={self.class_weight!r} is for one label a row, but y is "
                "an indicator matrix, whose rows may have several: set "
                "class_weight=None, and give sample_weight to weigh rows."
            )
        return y

    def check(self, y: Any) -> np.ndarray:
        """Check that these are zeros and ones."""
        if y.ndim != 2 or y.shape[1] < 2:
            what = "is sparse and" if sparse.issparse(y) else "has not several columns:"
            raise ValueError(
                f"y {what} of shape {y.shape}, but is to be an indicator matrix, with "
                "a column for each of several labels; give y as a dense array of shape "
                "(n_samples,) if each row has one label."
            )
        is_truth = np.isin(y.data if sparse.issparse(y) else y, (0, 1))
        if not is_truth.all():
            raise ValueError(
                "y has several columns, but is no indicator matrix of 0 and 1, which "
                "says of each label whether a row has it. If the columns are targets "
                "of several classes, use sklearn.multioutput.MultiOutputClassifier."
            )
        return y

    def learn(self, y: Any, weights: np.ndarray | None) -> None:
        """Learn how many labels there are, and whether they are sparse."""
        numbers = np.arange(y.shape[1])
        if self.classes_ is not None and not np.array_equal(self.classes_, numbers):
            raise ValueError(
                f"classes={self.classes_.tolist()}, but y is an indicator matrix of "
                f"{len(numbers)} columns: give their numbers, list(range("
                f"{len(numbers)}))."
            )
        self.classes_, self.is_sparse_ = numbers, sparse.issparse(y)

    def attributes(self) -> dict[str, Any]:
        """Show `classes_`."""
        return {"classes_": self.classes_}

    @property
    def n_outputs(self) -> int:
        """Number of labels."""
        assert self.classes_ is not None, "they have been learned or told"
        return len(self.classes_)

    def encode(self, y: Any) -> np.ndarray:
        """Make numbers of indicators."""
        if y.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {y.shape[1]} columns, but the fit knew {self.n_outputs} labels."
            )
        return (y.toarray() if sparse.issparse(y) else y).astype(np.float64)

    def _make_loss(self, smoothing: float) -> nn.Module:
        return BinaryCrossEntropy(smoothing)

    def combine(self, outputs: np.ndarray) -> np.ndarray:
        """Return the logits of the mean probabilities."""
        having, lacking = log_expit(outputs), log_expit(-outputs)
        return log_mean_exp(having) - log_mean_exp(lacking)

    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        """Compute the share of rows all of whose labels are right."""
        right = ((outputs > 0) == y).all(axis=1)
        return float(np.average(right, weights=weights))

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Compute the probability of each label."""
        return expit(outputs / self.temperature_)

    def log_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Compute its logarithm."""
        return log_expit(outputs / self.temperature_)

    def decode(self, outputs: np.ndarray) -> Any:
        """Find the labels that are more probable than not."""
        found = (outputs > 0).astype(np.int64)
        return sparse.csr_matrix(found) if self.is_sparse_ else found


def is_indicator(y: Any) -> bool:
    """Whether targets are a matrix, with a column for each of several labels.

    Parameters
    ----------
    y : object
        What the user gave.

    Returns
    -------
    bool
        False for a single column, which is one label a row, and for what has no shape.
    """
    if sparse.issparse(y):
        return True
    try:
        shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    except ValueError:  # ragged, of which scikit-learn tells
        return False
    return len(shape) == 2 and shape[1] > 1
