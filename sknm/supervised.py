"""Classifiers and regressors: the shell with a kind of target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions

from sknm.base import GraphEstimator
from sknm.fitted import temperature
from sknm.parameters import Number
from sknm.prediction import are_finite, warn_of_infinite
from sknm.targets import (
    MEAN_LOSSES,
    NUMERIC_LOSSES,
    ClassTarget,
    LabelTarget,
    MeanTarget,
    NumericTarget,
    Target,
    combined,
)
from sknm.targets.labels import check_classes

CLASSIFIER_PARAMETERS = """
label_smoothing : float, default=0.1
    Share of a target's probability that is spread over all classes. It makes
    errors fewer, and the probabilities less extreme.

calibration_fraction : float or None, default=0.1
    Share of the training rows (at most 2000 of them) that join a ``fit`` for the last
    15 % of its epochs only. Before that, they tell the temperature of the
    probabilities. Validation data of 10 rows or more do so instead, if there are any.
    None leaves the probabilities as they are trained, with the smoothing of labels; so
    do trainings whose batches hold all rows, of less than 5 epochs or several rounds,
    and with "lbfgs". Those that go on keep the temperature.

class_weight : dict or "balanced", default=None
    Weights of the classes, ``{label: weight}``, 1 for those not named. "balanced"
    weights them inversely to how often they occur in the rows of the call. Rows of an
    indicator matrix have several labels, and can't be weighted by them.
"""

CLASSES = """
temperature_ : float
    By which the outputs are divided before they become probabilities; 1 if it was not
    found.

classes_ : ndarray of shape (n_classes,)
    Class labels; of an indicator matrix, the numbers of its columns.
"""

REGRESSOR_PARAMETERS = """
loss : {"squared_error", "absolute_error", "huber", "quantile", "poisson", "gamma"}, \
default="squared_error"
    What is minimised, and so what is predicted: the mean of the targets; their median
    ("absolute_error"), of which outliers change little; something between both
    ("huber": squared up to 1.35 robust standard deviations of the targets, which are
    the range of their quartiles divided by 1.349, and linear beyond); a quantile; or
    the mean of counts or amounts, whose logarithm the network gives: "poisson" for
    targets of at least 0, "gamma" for positive ones.

quantile : float, default=0.5
    The quantile that ``loss="quantile"`` predicts.
"""


@dataclass(repr=False, eq=False)
class GraphClassifier(ClassifierMixin, GraphEstimator):
    """What all classifiers have in common."""

    _: KW_ONLY
    label_smoothing: float = 0.1
    calibration_fraction: float | None = 0.1
    class_weight: Mapping[Any, float] | str | None = None

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "label_smoothing": [Number(Real, 0, 1, closed="left")],
        "calibration_fraction": [Number(Real, 0, 1, closed="neither"), None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    _doc_parts: ClassVar[dict[str, str]] = {
        "parameters": CLASSIFIER_PARAMETERS,
        "attributes": CLASSES,
    }

    temperature_ = temperature()

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that rows may have several labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Any:
        """Go on training with one pass over some data.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training data.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_classes)
            Class labels, or an indicator matrix of them.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever be seen; needed in the first call. Of an indicator
            matrix, the numbers of its columns.
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
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            The most probable class of each row, or an indicator matrix of the labels
            that are more probable than not; this is sparse if that of `fit` was.
        """
        outputs = self._outputs(X)
        return self._target_.decode(outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``. Where rows may have several
            labels, each is that of having the label.
        """
        outputs = self._outputs(X)
        return self._labels.probabilities(outputs)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithms of class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities, in the order of ``classes_``.
        """
        outputs = self._outputs(X)
        return self._labels.log_probabilities(outputs)

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute what decides between classes, from which the probabilities follow.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            The outputs divided by ``temperature_``, in the order of ``classes_``, whose
            softmax is ``predict_proba``. Of two classes, the difference of both, which
            is positive for the second: its logistic function is the probability of the
            second class. Where rows may have several labels, the logistic function of
            each is its probability. Outputs of an ensemble are logarithms of the
            members' mean probabilities, or of their odds.
        """
        outputs = self._outputs(X)
        return self._labels.decisions(outputs)

    @property
    def _labels(self) -> LabelTarget:
        """What the labels are taken for; known as soon as there are outputs."""
        assert isinstance(self._target_, LabelTarget), "it makes no other"
        return self._target_

    def _make_target(self) -> Target:
        told = getattr(self, "classes_", None)  # by partial_fit
        return ClassTarget(self.label_smoothing, self.class_weight, told)


@dataclass(repr=False, eq=False)
class GraphRegressor(RegressorMixin, GraphEstimator):
    """What all regressors have in common."""

    _: KW_ONLY
    loss: str = "squared_error"
    quantile: float = 0.5

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": [StrOptions({*NUMERIC_LOSSES, *MEAN_LOSSES})],
        "quantile": [Number(Real, 0, 1, closed="neither")],
    }

    _doc_parts: ClassVar[dict[str, str]] = {"parameters": REGRESSOR_PARAMETERS}

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Go on training with one pass over some data.

        The first call decides how the targets are scaled. If the user interrupts, the
        estimator is fitted as far as it got.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
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

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.
        return_std : bool, default=False
            Whether to return the standard deviation of the members' predictions, too,
            which needs several `n_members`. It tells where members disagree, not how
            much targets scatter.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, in the shape of the targets of ``fit``; the mean of those of
            all members.
        std : ndarray of the same shape
            Only with `return_std`.

        Raises
        ------
        ValueError
            If `return_std` is set and there is only one member.
        """
        if not return_std:
            return self._decode(self._outputs(X))
        outputs = self._compute("outputs", X)[0]
        if outputs.ndim < 3:
            raise ValueError(
                "return_std=True needs the members of an ensemble, but the estimator "
                "was fitted with n_members=1; set n_members=8, say, and fit again."
            )
        y = self._decode(combined(self._target_, outputs))
        with np.errstate(over="ignore", invalid="ignore"):
            members = [self._target_.decode(own) for own in np.moveaxis(outputs, 1, 0)]
            return y, np.std(members, axis=0)

    def _decode(self, outputs: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # which is told
            targets = self._target_.decode(outputs)
        n_infinite = int((~are_finite(targets)).sum())
        if n_infinite > int((~are_finite(outputs)).sum()):
            warn_of_infinite(n_infinite, len(targets))
        return targets

    def _make_target(self) -> Target:
        if self.loss in MEAN_LOSSES:
            return MeanTarget(self.loss)
        return NumericTarget(self.loss, self.quantile)
