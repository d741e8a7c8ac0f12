"""What classifiers and regressors add to the shell: labels, numbers, their losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import nn

from sknm.base import GraphEstimator
from sknm.parameters import ClassifierParameters
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
        """
        self._validate_params()
        if not hasattr(self, "net_"):
            if classes is None:
                raise ValueError(
                    "classes must be given in the first call of partial_fit: all "
                    "labels that will ever be seen."
                )
            self._announced = np.unique(classes)
        elif classes is not None and not np.array_equal(
            np.unique(classes), self.classes_
        ):
            raise ValueError(
                f"classes={classes} are not those of the first call of partial_fit, "
                f"{self.classes_}; leave classes out."
            )
        try:
            return self._partial_fit(X, y, sample_weight)
        finally:
            vars(self).pop("_announced", None)

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

    def _make_criterion(self) -> nn.Module:
        return CrossEntropy(self.label_smoothing)

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        y = _labels(y)
        self.classes_ = getattr(self, "_announced", None)
        if self.classes_ is None:
            self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            (only,) = self.classes_.tolist()
            raise ValueError(
                f"y has one class only, {only!r}; a classifier needs rows of at least "
                "two classes."
            )

    def _transform(self, y: np.ndarray) -> np.ndarray:
        y = _labels(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels {unknown} that the fit did not know; it knows "
                f"{self.classes_}."
            )
        return np.searchsorted(self.classes_, y)

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _score_outputs(self, y: np.ndarray, outputs: np.ndarray) -> float:
        return float(accuracy_score(y, outputs.argmax(axis=1)))

    def _strata(self, y: np.ndarray) -> np.ndarray:
        return y

    def _weights(self, sample_weight: Any, X: np.ndarray, y: Any) -> np.ndarray | None:
        weights = super()._weights(sample_weight, X, y)
        if self.class_weight is None:
            return weights
        of_class = compute_sample_weight(self.class_weight, _labels(y))
        if not (of_class >= 0).all():
            raise ValueError(
                f"class_weight={self.class_weight} has a weight that is negative or no "
                "number; give weights of at least 0."
            )
        return of_class if weights is None else weights * of_class


class GraphRegressor(RegressorMixin, GraphEstimator):
    """What all regressors have in common."""

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that there may be several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Go on training with one pass over some data.

        The first call decides how the targets are scaled.

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
        outputs = self._outputs(X)
        outputs = outputs * self._scale + self._mean
        return outputs[:, 0] if self._is_single else outputs

    def _make_criterion(self) -> nn.Module:
        return SquaredError()

    def _target_rules(self) -> dict[str, Any]:
        return {"multi_output": True, "y_numeric": True}

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        self._is_single = y.ndim == 1
        columns = y.reshape(len(y), -1)
        self._mean = np.average(columns, axis=0, weights=weights)
        spread = np.average((columns - self._mean) ** 2, axis=0, weights=weights) ** 0.5
        # A constant target has no spread; rounding makes it tiny rather than zero.
        flat = spread <= 1e-12 * np.abs(self._mean)
        self._scale = np.where(flat, 1.0, spread)

    def _transform(self, y: np.ndarray) -> np.ndarray:
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != len(self._mean):
            raise ValueError(
                f"y has {columns.shape[1]} columns, but the fit knew {len(self._mean)}."
            )
        return (columns - self._mean) / self._scale

    def _n_outputs(self) -> int:
        return len(self._mean)

    def _score_outputs(self, y: np.ndarray, outputs: np.ndarray) -> float:
        return float(r2_score(y, outputs))

    def _set_weights(self, network: Any) -> None:
        super()._set_weights(network)
        # Users see weights that give y itself; the network's give it standardised.
        scale, mean = self._scale, self._mean
        dtype = self.output_weights_.dtype
        self.output_weights_ = (self.output_weights_ * scale).astype(dtype)
        self.output_biases_ = (self.output_biases_ * scale + mean).astype(dtype)


def _labels(y: Any) -> np.ndarray:
    check_classification_targets(y)
    return column_or_1d(y, warn=True)
