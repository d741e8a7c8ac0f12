"""What classifiers and regressors add to the shell: labels, numbers, their losses."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags
from torch import nn

from sknm.base import GraphEstimator
from sknm.labels import (
    as_labels,
    check_classes,
    class_weights,
    distinct,
    encode_labels,
    without_extension,
)
from sknm.parameters import ClassifierParameters
from sknm.scaling import TargetScaling, as_numbers, refuse_no_numbers
from sknm.training.losses import CrossEntropy, SquaredError


class GraphClassifier(ClassifierMixin, ClassifierParameters, GraphEstimator):
    """What all classifiers have in common."""

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Any:
        """Go on training with one pass over some data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever be seen; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        ValueError
            If `classes` is missing in the first call, or not those of the first call.
        KeyboardInterrupt
            If the user interrupts; the estimator is fitted as far as it got.
        """
        self._validate_params()
        announced = None if classes is None else check_classes(classes)
        if hasattr(self, "net_"):
            if announced is not None and not np.array_equal(announced, self.classes_):
                raise ValueError(
                    f"classes={classes} are not those of the first call of "
                    f"partial_fit, {self.classes_}; leave classes out."
                )
            return self._partial_fit(X, y, sample_weight)
        if announced is None:
            raise ValueError(
                "classes must be given in the first call of partial_fit: all labels "
                "that will ever be seen."
            )
        return self._partial_fit(X, y, sample_weight, classes_=announced)

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            The most probable class of each row.
        """
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return softmax(self._outputs(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithms of class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities, in the order of ``classes_``.
        """
        return log_softmax(self._outputs(X), axis=1)

    def _validate_pair(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        return super()._validate_pair(X, without_extension(y), reset)

    def _make_criterion(self) -> nn.Module:
        return CrossEntropy(self.label_smoothing)

    def _learn_targets(self, y: np.ndarray, weights: np.ndarray | None) -> None:
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
        if hasattr(self, "classes_"):  # partial_fit was told
            return self.classes_
        self.classes_ = distinct(as_labels(y), "y")
        codes = self._transform(y)
        weights = self._weigh(codes, weights)
        counted = codes if weights is None else codes[weights > 0]
        if not len(counted):  # which is told when rows are left out
            return self.classes_
        return self.classes_[np.unique(counted)]

    def _transform(self, y: np.ndarray) -> np.ndarray:
        return encode_labels(as_labels(y), self.classes_)

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _score_outputs(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        return float(accuracy_score(y, outputs.argmax(axis=1), sample_weight=weights))

    def _strata(self, y: np.ndarray) -> np.ndarray:
        return self.classes_[y]

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return weights
        of_row = class_weights(self.class_weight, self.classes_, y)[y]
        return of_row if weights is None else weights * of_row


class GraphRegressor(RegressorMixin, GraphEstimator):
    """What all regressors have in common."""

    _least_validation: ClassVar[int] = 2  # R² of one row has no meaning

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that there may be several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Go on training with one pass over some data.

        The first call decides how the targets are scaled. If the user interrupts, the
        estimator is fitted as far as it got.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        object
            The fitted estimator.
        """
        self._validate_params()
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, in the shape of the targets of ``fit``.
        """
        targets = self._outputs(X)
        return targets[:, 0] if self._scaling_.is_single else targets

    def _make_criterion(self) -> nn.Module:
        return SquaredError()

    def _target_rules(self) -> dict[str, Any]:
        return {"multi_output": True}

    def _validate_pair(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        refuse_no_numbers(y)
        X, y = super()._validate_pair(X, y, reset)
        return X, as_numbers(y)

    def _learn_targets(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        self._scaling_ = TargetScaling.of(y, weights)

    def _transform(self, y: np.ndarray) -> np.ndarray:
        columns, n_targets = y.reshape(len(y), -1), self._n_outputs()
        if columns.shape[1] != n_targets:
            raise ValueError(
                f"y has {columns.shape[1]} columns, but the fit knew {n_targets}."
            )
        return self._scaling_.encode(columns)

    def _decode(self, outputs: np.ndarray) -> np.ndarray:
        return self._scaling_.decode(outputs)

    def _n_outputs(self) -> int:
        return len(self._scaling_.mean)

    def _score_outputs(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
        return float(r2_score(y, outputs, sample_weight=weights))

    def _set_weights(self, network: Any) -> None:
        super()._set_weights(network)
        # Users see weights that give y itself; the network's give it standardised.
        V = self.output_weights_ * self._scaling_.scale
        self.output_weights_ = _in_precision_of(self.output_weights_, V)
        c = self._scaling_.decode(self.output_biases_)
        self.output_biases_ = _in_precision_of(self.output_biases_, c)


def _in_precision_of(like: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Round to single precision, if so, unless it can't hold such values."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(like.dtype)
    is_held = np.isfinite(rounded) == np.isfinite(values)
    is_held &= (rounded != 0) == (values != 0)
    return rounded if is_held.all() else values
