"""Columns of data frames, and of arrays of objects: what each of them holds."""

from __future__ import annotations

import datetime
import numbers
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import itemgetter
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from sknm._warnings import warn

BEFORE = "put skrub's TableVectorizer before the estimator, in a pipeline"

DATES = (
    nw.Date, nw.Datetime, nw.Duration, nw.Time,
    datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64,
)  # fmt: skip


@dataclass(frozen=True)
class Values:
    """A column as it was given.

    Attributes
    ----------
    name : str
        What to call it.
    kind : {"number", "boolean", "text", "category", "ordered", "empty"}
        What it holds, by its type; an array of objects without a value is empty.
    data : ndarray or list
        Numbers, with NaN for gaps; or anything else, with None or another sign of one.
    levels : list or None
        All values that an ordered type allows.
    texts : list or None
        What was given for numbers that were text, as it can be in arrays, which have
        one type for all columns.
    """

    name: str
    kind: str
    data: Any
    levels: list[Any] | None = None
    texts: list[Any] | None = None


def is_frame(X: Any) -> bool:
    """Whether X is a data frame of pandas, polars, pyarrow, …, in memory or not."""
    return nw.dependencies.is_into_dataframe(X) or _is_lazy(X)


def _is_lazy(X: Any) -> bool:
    return isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame)


def check_names(X: Any) -> None:
    """Raise for a frame that can't be read column by column.

    Parameters
    ----------
    X : data frame
        Of any library that narwhals knows.

    Raises
    ------
    TypeError
        If the frame is lazy.
    ValueError
        If names are not unique.
    """
    if not nw.dependencies.is_into_dataframe(X):
        raise TypeError(
            f"X is a {type(X).__name__}, which holds no data yet; call its collect "
            "method first."
        )
    is_arrow = nw.dependencies.is_pyarrow_table(X)
    counts = Counter(map(str, X.column_names if is_arrow else X.columns))
    name, count = max(counts.items(), key=itemgetter(1), default=("", 0))
    if count > 1:
        raise ValueError(
            f"X has several columns named {name!r}: each needs a name of its own."
        )


def holds_numbers(X: Any) -> bool:
    """Whether a frame of pandas is an array of numbers, dense or sparse, with names.

    Parameters
    ----------
    X : data frame
        Of any library.

    Returns
    -------
    bool
        False for others than pandas.
    """
    if not nw.dependencies.is_pandas_dataframe(X) or not len(X.columns):
        return False
    return all(
        isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in X.dtypes
    ) or all(map(_is_scarce, X.dtypes))


def _is_scarce(dtype: Any) -> bool:
    is_sparse = type(dtype).__name__ == "SparseDtype"
    return is_sparse and dtype.subtype.kind in "fiu" and dtype.fill_value == 0


def columns_of_frame(X: Any) -> Iterator[Values]:
    """Give the columns of a data frame.

    Parameters
    ----------
    X : data frame
        Of any library that narwhals knows.

    Yields
    ------
    Values
        The next column.

    Raises
    ------
    ValueError
        If a column holds what can't be used.
    """
    for series in nw.from_native(X, eager_only=True).iter_columns():
        yield _read_series(series)


def columns_of_array(X: np.ndarray) -> Iterator[Values]:
    """Give the columns of an array of objects or text.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Of objects.

    Yields
    ------
    Values
        The next column, named as scikit-learn names features without names.
    """
    for k in range(X.shape[1]):
        yield _read_objects(f"x{k}", X[:, k].tolist(), has_type=False)


def _read_series(series: nw.Series) -> Values:
    name, dtype = str(series.name), series.dtype
    if dtype.is_numeric():
        if dtype.is_decimal() or (series.null_count() and not dtype.is_float()):
            series = series.cast(nw.Float64)
        return Values(name, "number", _plain(series.to_numpy(), dtype))
    if dtype == nw.Boolean:
        return Values(name, "boolean", series.to_list())
    if dtype in (nw.Categorical, nw.Enum):
        levels = _order_of(series)
        kind = "category" if levels is None else "ordered"
        return Values(name, kind, _categories(series), levels)
    if dtype in (nw.String, nw.Object):
        read = _read_objects(name, series.to_list(), has_type=True)
        is_typed = str(getattr(series.to_native(), "dtype", "")) != "object"
        if read.kind == "empty" and dtype == nw.String and is_typed:
            return replace(read, kind="text")
        return read
    if dtype in DATES:
        raise ValueError(_about_dates(name))
    if series.null_count() == len(series):  # of no type at all
        return Values(name, "empty", [None] * len(series))
    if not dtype.is_nested():
        values = series.to_numpy()  # such as sparse columns of pandas
        if values.dtype.kind in "fiu":
            return Values(name, "number", values)
        if values.dtype.kind == "b":
            return Values(name, "boolean", values.tolist())
        if values.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: column {name!r} of X.")
    native = getattr(series.to_native(), "dtype", dtype)
    raise ValueError(
        f"Column {name!r} of X is of type {native}, which is neither numbers nor "
        f"categories: make it one of both, or {BEFORE}."
    )


def _plain(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Make an array of numbers of what may be one of objects."""
    if values.dtype.kind in "fiu":
        return values
    numbers = as_numbers(values.tolist())
    return numbers.astype(np.float32) if dtype == nw.Float32 else numbers


def _categories(series: nw.Series) -> list[Any]:
    """Values of a categorical type as its levels are; lists may be of another type."""
    native = series.to_native()
    if nw.dependencies.is_pandas_series(native) and hasattr(native.dtype, "categories"):
        levels = [*native.cat.categories, None]
        return [levels[code] for code in native.cat.codes]
    return series.to_list()


def _order_of(series: nw.Series) -> list[Any] | None:
    """Levels of a categorical type that has an order, None if it has none."""
    native = series.to_native()
    if nw.dependencies.is_pandas_series(native):
        is_ordered = getattr(native.dtype, "ordered", False)
        return list(native.cat.categories) if is_ordered else None
    if nw.dependencies.is_pyarrow_chunked_array(native):
        if not native.type.ordered:
            return None
        return native.unify_dictionaries().chunk(0).dictionary.to_pylist()
    return list(series.dtype.categories) if isinstance(series.dtype, nw.Enum) else None


def _read_objects(name: str, values: list[Any], has_type: bool) -> Values:
    known = kinds_of(values)
    if not known:
        return Values(name, "empty", values)
    if any(issubclass(kind, DATES[4:]) for kind in known):
        raise ValueError(_about_dates(name))
    if all(issubclass(kind, (bool, np.bool_)) for kind in known):
        return Values(name, "boolean", values)
    if all(issubclass(kind, str) for kind in known):
        return _read_text(name, values, has_type)
    is_number = [issubclass(kind, (numbers.Real, np.bool_, Decimal)) for kind in known]
    if all(is_number):
        return Values(name, "number", as_numbers(values))
    if any(issubclass(kind, (complex, np.complexfloating)) for kind in known):
        raise ValueError(f"Complex data not supported: column {name!r} of X.")
    if any(issubclass(kind, str) for kind in known) and any(is_number):
        stray = next(v for v in values if isinstance(v, str))
        raise ValueError(
            f"Column {name!r} of X holds numbers and text, such as {stray!r}: make it "
            "one of both, with pandas.to_numeric(…, errors='coerce') or astype(str)."
        )
    other = sorted(k.__name__ for k in known if not issubclass(k, (str, numbers.Real)))
    warn(
        f"Column {name!r} of X holds objects of type {other[0]}: what they look like "
        "as text is taken for categories.",
        UserWarning,
    )
    texts = [None if is_gap(value) else str(value) for value in values]
    return Values(name, "text", texts)


def _read_text(name: str, values: list[Any], has_type: bool) -> Values:
    """Read strings; where columns have no type of their own, they may be numbers."""
    if not has_type:
        try:
            return Values(name, "number", as_numbers(values), texts=values)
        except ValueError:
            pass
    return Values(name, "text", values)


def as_numbers(values: list[Any]) -> np.ndarray:
    """Make an array of numbers, or of text that looks like them; gaps are NaN.

    Parameters
    ----------
    values : list
        Numbers, truth values, text, gaps.

    Returns
    -------
    ndarray of shape (n_values,)
        In double precision.

    Raises
    ------
    ValueError
        If a text is no number.
    """
    return np.array([np.nan if is_gap(v) else _as_float(v) for v in values], float)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond all floats
        return np.inf if value > 0 else -np.inf


def is_gap(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, NaT, pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(value != value)


def kinds_of(values: list[Any]) -> set[type]:
    """Types of values, but for those that only stand for gaps.

    Parameters
    ----------
    values : list
        What a column holds.

    Returns
    -------
    set of type
        None of them if there is no value.
    """
    kinds = set(map(type, values))
    return {kind for kind in kinds if not _holds_gaps_only(kind, values)}


def _holds_gaps_only(kind: type, values: list[Any]) -> bool:
    if kind is type(None) or kind.__name__ in ("NAType", "NaTType"):
        return True
    is_float = issubclass(kind, (float, np.floating))
    return is_float and all(v != v for v in values if type(v) is kind)


def _about_dates(name: str) -> str:
    return (
        f"Column {name!r} of X holds dates or times: make numbers of them that mean "
        f"something for the task, as skrub's DatetimeEncoder does, or {BEFORE}."
    )
