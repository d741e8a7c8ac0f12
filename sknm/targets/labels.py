"""The labels of classes: which there are, their codes, and their weights."""

from __future__ import annotations

from collections.abc import KeysView, Set, ValuesView
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sknm.checks import of_usual_size

LARGEST_WEIGHT = float(np.finfo(float).max)
"""Largest weight of a class."""


def as_labels(y: Any) -> np.ndarray:
    """Check class labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        What the user gave.

    Returns
    -------
    ndarray of shape (n_samples,)
        Labels.

    Raises
    ------
    ValueError
        If these are no labels.
    """
    if getattr(y, "dtype", None) is np.dtype(object):
        distinct(np.ravel(y), "y")
    check_classification_targets(y)
    return column_or_1d(y, warn=True)


def without_extension(y: Any) -> Any:
    """Bring pandas' own integers and booleans to numpy's: scikit-learn makes floats.

    Parameters
    ----------
    y : object
        What the user gave.

    Returns
    -------
    object
        The same, unless it is such a series without gaps.
    """
    dtype = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    is_whole = dtype is not None and dtype.kind in "iub"
    return y.to_numpy(dtype) if is_whole and not y.isna().any() else y


def check_classes(classes: Any) -> np.ndarray:
    """Check the `classes` of a first ``partial_fit``.

    Parameters
    ----------
    classes : array-like or set of shape (n_classes,)
        What the user gave.

    Returns
    -------
    ndarray of shape (n_classes,)
        Labels in order.

    Raises
    ------
    ValueError
        If they are no labels.
    """
    is_unordered = isinstance(classes, (Set, KeysView, ValuesView))
    labels = np.asarray(list(classes) if is_unordered else classes)
    if labels.ndim != 1:
        raise ValueError(
            f"classes={classes!r} must be a list of labels, of shape (n_classes,)."
        )
    if not len(labels):
        raise ValueError("classes is empty; give all labels that will ever be seen.")
    return distinct(labels, "classes")


def distinct(labels: np.ndarray, name: str) -> np.ndarray:
    """Find the labels that occur, in order.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Labels.
    name : str
        What the user calls them.

    Returns
    -------
    ndarray of shape (n_classes,)
        Each of them once.

    Raises
    ------
    ValueError
        If one is missing, or they have no order.
    """
    if _has_gap(labels):
        raise ValueError(
            f"{name} contains a missing value, which is no label; leave such rows out."
        )
    try:
        return np.unique(labels)
    except TypeError as error:
        raise ValueError(
            f"{name} mixes labels of different types, which have no order; make them "
            "all strings, or all numbers."
        ) from error


def _has_gap(labels: np.ndarray) -> bool:
    if labels.dtype.kind in "fcmM":
        return bool((np.isnat if labels.dtype.kind in "mM" else np.isnan)(labels).any())
    if labels.dtype.kind != "O":
        return False
    try:
        return any(label is None or bool(label != label) for label in labels)
    except TypeError:  # of pandas' NA, nothing is true or false
        return True


def encode_labels(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Find the codes of labels.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels.
    classes : ndarray of shape (n_classes,)
        All that are known.

    Returns
    -------
    ndarray of int of shape (n_samples,)
        Their places among the classes.

    Raises
    ------
    ValueError
        If one is not known.
    """
    known = _codes(classes)
    labels = distinct(y, "y")
    codes = np.array([known.get(label, -1) for label in labels.tolist()], dtype=int)
    if (codes < 0).any():
        raise ValueError(
            f"y has labels {labels[codes < 0]} that the fit did not know; it knows "
            f"{classes}."
        )
    return codes[np.searchsorted(labels, y)]


def _codes(classes: np.ndarray) -> dict[Any, int]:
    return {label: code for code, label in enumerate(classes.tolist())}


def class_weights(class_weight: Any, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weight of each class.

    Parameters
    ----------
    class_weight : dict or "balanced"
        Weights by label, 1 for labels that are not named; or in inverse proportion to
        how often they occur.
    classes : ndarray of shape (n_classes,)
        The labels.
    y : ndarray of int of shape (n_samples,)
        Codes of the labels.

    Returns
    -------
    ndarray of shape (n_classes,)
        In double precision.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or a label is not among the classes while
        others are not named.
    """
    if isinstance(class_weight, str):
        counts = np.bincount(y, minlength=len(classes))
        return len(y) / ((counts > 0).sum() * np.maximum(1, counts))
    known = _codes(classes)
    weights, strange = np.ones(len(classes)), []
    for label, weight in class_weight.items():
        is_number = isinstance(weight, Real)
        if not is_number or not 0 <= weight < LARGEST_WEIGHT:  # of any size: no float
            raise ValueError(
                f"class_weight={class_weight} has a weight that is negative or no "
                f"number, or infinite: {weight!r} of {label!r}; give finite numbers of "
                "at least 0."
            )
        if label in known:
            weights[known[label]] = weight
        else:
            strange.append(label)
    # A fold may lack a class, but labels of another type name none.
    if strange and len(class_weight) - len(strange) < len(classes):
        raise ValueError(
            f"The classes are {classes.tolist()}, but class_weight={class_weight} has "
            f"weights of {strange}, and some classes are not in class_weight: give "
            "weights by label."
        )
    return of_usual_size(weights)
