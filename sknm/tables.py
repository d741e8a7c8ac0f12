"""The boundary for X: tables of any kind become checked arrays of numbers."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, check_X_y, validate_data

from sknm.encoding.columns import Column
from sknm.encoding.encoding import Encoding
from sknm.encoding.frames import (
    Values,
    check_names,
    columns_of_array,
    columns_of_frame,
    holds_numbers,
    is_frame,
)

if TYPE_CHECKING:
    from sknm.base import GraphEstimator

CHECKS = {"accept_sparse": "csr", "order": "C"}
"""What scikit-learn is asked to check of X."""


def take_rows(estimator: GraphEstimator, X: Any, **checks: Any) -> Any:
    """Check rows.

    Parameters
    ----------
    estimator : GraphEstimator
        Whose rows they are; it knows its encoding.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        What the user gave.
    **checks : object
        Further parameters of scikit-learn's :func:`check_array`.

    Returns
    -------
    ndarray or sparse matrix of shape (n_samples, n_features)
        Categories are their places among the levels, unless they are numbers of an
        array; gaps are NaN.

    Raises
    ------
    TypeError
        If X is of a kind that can't be used.
    ValueError
        If X can't be used, or is not such a table as in `fit`.
    """
    encoding, X = estimator.encoding_, _plain(X)
    columns = _columns_of(X, estimator, encoding)
    checks = CHECKS | checks | _finite(X, encoding)
    if columns is None:
        rows = validate_data(estimator, X, reset=False, **checks)
        return _code_array(rows, encoding)
    validate_data(estimator, X, reset=False, skip_check_array=True)
    rows = encoding.code(columns, len(X))
    return check_array(rows, estimator=estimator, input_name="X", **checks)


def take_pair(estimator: GraphEstimator, X: Any, y: Any, **checks: Any) -> Any:
    """Check rows and their targets.

    Parameters
    ----------
    estimator : GraphEstimator
        Whose rows they are; if it knows no encoding yet, it gets one.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        What the user gave.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    **checks : object
        Further parameters of scikit-learn's :func:`check_X_y`.

    Returns
    -------
    X : ndarray or sparse matrix of shape (n_samples, n_features)
        As :func:`take_rows` returns it.
    y : ndarray
        The targets.

    Raises
    ------
    TypeError
        If X is of a kind that can't be used.
    ValueError
        If X or y can't be used, or X is not such a table as in `fit`.
    """
    encoding, X = vars(estimator).get("encoding_"), _plain(X)
    is_new = encoding is None
    if encoding is not None:
        _refuse_changes(estimator, encoding)
    columns = _columns_of(X, estimator, encoding)
    checks = CHECKS | checks | _finite(X, encoding)
    if columns is None:
        rows, y = validate_data(estimator, X, y, reset=is_new, **checks)
        if encoding is None:
            encoding = estimator.encoding_ = _encoding_of_numbers(estimator, rows)
        return _code_array(rows, encoding), y
    validate_data(estimator, X, y, reset=is_new, skip_check_array=True)
    if encoding is None:
        chosen = _chosen(estimator, [values.name for values in columns])
        options = _options(estimator)
        encoding = estimator.encoding_ = Encoding.learn(columns, chosen, options)
    rows = encoding.code(columns, len(X))
    return check_X_y(rows, y, estimator=estimator, **checks)


def some_rows(X: Any, numbers: np.ndarray) -> Any:
    """Take some rows of a table, which stays of the kind that it is.

    Parameters
    ----------
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        What the user gave.
    numbers : ndarray of int of shape (n_rows,)
        Which rows.

    Returns
    -------
    {ndarray, sparse matrix, data frame} of shape (n_rows, n_features)
        These rows; an array of what was a list.
    """
    if is_frame(X):
        return nw.from_native(X, eager_only=True)[numbers, :].to_native()
    if sparse.issparse(X):
        return X.tocsr()[numbers]
    rows = _plain(X)
    return (rows if isinstance(rows, np.ndarray) else np.asarray(rows))[numbers]


def _finite(X: Any, encoding: Encoding | None) -> dict[str, Any]:
    """Tell scikit-learn what to check: rows that stay as they are can't have gaps."""
    stays = sparse.issparse(X) or (encoding is not None and encoding.is_sparse)
    return {"ensure_all_finite": True if stays else "allow-nan"}


def _code_array(rows: Any, encoding: Encoding) -> Any:
    """Look up the values of an array of numbers, where that is needed."""
    if not encoding.has_codes:
        return rows
    if sparse.issparse(rows):
        raise ValueError(
            "X is sparse, but had categories in fit: give X.toarray(), or a table of "
            "the same columns."
        )
    pairs = zip(encoding.columns, rows.T, strict=True)
    columns = [Values(column.name, "number", values) for column, values in pairs]
    return encoding.code(columns, len(rows))


# What X is.


def _plain(X: Any) -> Any:
    """Make an array of what is nearly one; numpy would make text of mixed lists."""
    if isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "fiub":
        return np.ma.filled(X.astype(np.float64), np.nan)
    if isinstance(X, (list, tuple)):
        try:
            array = np.asarray(X)
        except ValueError:  # ragged, or something else: scikit-learn says so
            return X
        return np.asarray(X, dtype=object) if array.dtype.kind in "OUS" else X
    if isinstance(X, np.ndarray) and X.dtype.kind in "ST":
        return X.astype(str).astype(object)
    return X


def _columns_of(
    X: Any, estimator: GraphEstimator, encoding: Encoding | None
) -> list[Values] | None:
    """Columns of X, or None if it can go on as an array of numbers."""
    options = _options(estimator) if encoding is None else encoding.options
    given = options["categorical_features"]
    is_named = given is not None and not isinstance(given, str)
    if is_frame(X):
        has_codes = is_named or (encoding is not None and encoding.has_codes)
        check_names(X)
        is_array = holds_numbers(X) and not has_codes
        return None if is_array else list(columns_of_frame(X))
    if not isinstance(X, np.ndarray) or isinstance(X, np.matrix) or X.ndim != 2:
        return None
    if X.dtype.kind in "OU":
        return list(columns_of_array(X))
    if is_named and X.dtype.kind in "iu":  # which floats may not tell apart
        return [Values(f"x{k}", "number", X[:, k]) for k in range(X.shape[1])]
    return None


def _encoding_of_numbers(estimator: GraphEstimator, rows: Any) -> Encoding:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{k}" for k in range(rows.shape[1])]
    chosen = _chosen(estimator, [str(name) for name in names])
    if chosen is None:
        chosen = np.zeros(len(names), dtype=bool)
    is_sparse = sparse.issparse(rows)
    if is_sparse and chosen.any():
        raise ValueError(
            "Sparse X stays as it is: set categorical_features='from_dtype', or give a "
            "dense X, such as X.toarray()."
        )
    columns = (
        Column(str(name), "category" if is_category else "number")
        for name, is_category in zip(names, chosen, strict=True)
    )
    return Encoding(columns, _options(estimator), is_sparse)


# What the user said of it.


def _options(estimator: GraphEstimator) -> dict[str, Any]:
    """Parameters that decide what becomes of columns."""
    given: Any = estimator.categorical_features
    if given is not None and not isinstance(given, str):
        given = np.asarray(given).tolist()
    return {
        "scale": estimator.scale,
        "numerical_embedding": estimator.numerical_embedding,
        "categorical_features": given,
    }


def _refuse_changes(estimator: GraphEstimator, encoding: Encoding) -> None:
    """Raise if columns are to be encoded in another way from now on."""
    for name, value in _options(estimator).items():
        if encoding.options[name] != value:
            raise ValueError(
                f"{name}={value!r}, but the network that is to go on was fitted with "
                f"{name}={encoding.options[name]!r}; set warm_start=False and call fit "
                "to start anew."
            )


def _chosen(estimator: GraphEstimator, names: list[str]) -> np.ndarray | None:
    """Tell which columns the user calls categories; None for "from_dtype"."""
    given: Any = estimator.categorical_features
    chosen = np.zeros(len(names), dtype=bool)
    if given is None:
        return chosen
    if isinstance(given, str):
        return None
    entries = given.tolist() if isinstance(given, np.ndarray) else list(given)
    if entries and all(isinstance(entry, (bool, np.bool_)) for entry in entries):
        if len(entries) != len(names):
            raise ValueError(
                f"categorical_features is a mask of {len(entries)} entries, but X has "
                f"{len(names)} features; give one entry per feature."
            )
        return np.array(entries)
    for entry in entries:
        chosen[_place(entry, names)] = True
    return chosen


def _place(entry: Any, names: list[str]) -> int:
    if isinstance(entry, str):
        if entry in names:
            return names.index(entry)
        raise ValueError(
            f"categorical_features names {entry!r}, but X has no such feature; it has "
            f"{', '.join(names[:10])}{', …' if len(names) > 10 else ''}."
        )
    is_number = isinstance(entry, Integral) and not isinstance(entry, bool)
    if is_number and -len(names) <= entry < len(names):
        return int(entry)
    raise ValueError(
        f"categorical_features holds {entry!r}, but X has {len(names)} features; give "
        "names, a mask, or numbers of features from 0."
    )
