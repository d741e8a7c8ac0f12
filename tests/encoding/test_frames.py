"""Columns of data frames of any library, and of arrays of objects."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from sknm.encoding.columns import Column, learn_column
from sknm.encoding.frames import (
    check_names,
    columns_of_array,
    columns_of_frame,
    is_frame,
    is_gap,
)

NUMBERS, TRUTHS, TEXTS = [1, None, 3.5], [True, None, False], ["b", None, "a"]
DAY, SPAN = datetime.date(2020, 1, 2), datetime.timedelta(hours=1)
DECIMALS = [Decimal("1"), None, Decimal("3.50")]


def of_pandas(values, dtype=None):
    return pd.DataFrame({"a": pd.Series(values, dtype=dtype)})


def of_polars(values, dtype=None):
    polars = pytest.importorskip("polars")
    if dtype == "Enum":
        dtype = polars.Enum(["c", "b", "a"])
    elif dtype == "Array":
        dtype = polars.Array(polars.Int64, 2)
    elif isinstance(dtype, str):
        dtype = getattr(polars, dtype)
    return polars.DataFrame({"a": polars.Series(values, dtype=dtype)})


def of_arrow(values, dtype=None):
    pyarrow = pytest.importorskip("pyarrow")
    if dtype == "dictionary":
        return pyarrow.table({"a": pyarrow.array(values).dictionary_encode()})
    return pyarrow.table(
        {"a": pyarrow.array(values, dtype and getattr(pyarrow, dtype)())}
    )


def of_pandas_arrow(values, dtype):
    pytest.importorskip("pyarrow")
    return of_pandas(values, dtype)


def of_array(values, dtype=object):
    return np.array(values, dtype=dtype)[:, None]


def read(table):
    if isinstance(table, np.ndarray):
        (values,) = columns_of_array(table)
    else:
        assert is_frame(table)
        (values,) = columns_of_frame(table)
    return values


def plain(values, kind):
    """Values with None for gaps."""
    known = float if kind == "number" else lambda value: value
    return [None if is_gap(value) else known(value) for value in values]


LEVELS = pd.CategoricalDtype(["c", "b", "a"], ordered=True)
SPARSE = pd.arrays.SparseArray([0, 0, 3.5])


@pytest.mark.parametrize(
    ("make", "values", "dtype", "kind"),
    [
        *[(of_pandas, [1, 2, 3], dtype, "number")
          for dtype in ("int8", "uint64", "float16", "float32", "Int64", "Float32")],
        *[(of_pandas, NUMBERS, dtype, "number")
          for dtype in (None, "float32", "Float64", object)],
        (of_pandas, [1, None, 3], "Int8", "number"),
        (of_pandas, [1, None, True, np.float32(2), np.int64(3)], object, "number"),
        (of_pandas, [1, 2**70], object, "number"),
        (of_pandas, DECIMALS, object, "number"),
        (of_pandas, SPARSE, None, "number"),
        (of_pandas, SPARSE != 0, None, "boolean"),
        (of_pandas, [np.nan, np.nan], None, "number"),
        (of_pandas_arrow, NUMBERS, "double[pyarrow]", "number"),
        (of_pandas_arrow, [1, None, 3], "int64[pyarrow]", "number"),
        (of_pandas_arrow, TRUTHS, "bool[pyarrow]", "boolean"),
        (of_pandas_arrow, TEXTS, "string[pyarrow]", "text"),
        (of_pandas, [True, False], bool, "boolean"),
        (of_pandas, TRUTHS, "boolean", "boolean"),
        (of_pandas, TRUTHS, object, "boolean"),
        (of_pandas, TEXTS, None, "text"),
        (of_pandas, TEXTS, "string", "text"),
        (of_pandas, ["b", None, np.nan, pd.NA, pd.NaT], object, "text"),
        (of_pandas, [None, np.nan, pd.NA, pd.NaT], object, "empty"),
        (of_pandas, TEXTS, "category", "category"),
        (of_pandas, [3, None, 1], "category", "category"),
        (of_pandas, TRUTHS, "category", "category"),
        (of_pandas, [None, None], "category", "category"),
        (of_pandas, pd.cut(np.arange(5.0), 2), None, "ordered"),
        (of_pandas, TEXTS, LEVELS, "ordered"),
        *[(of_polars, [1, None, 3], dtype, "number") for dtype in ("Int8", "Float32")],
        (of_polars, [1, 2], "UInt64", "number"),
        (of_polars, [1.0, None, float("nan")], "Float64", "number"),
        (of_polars, DECIMALS, None, "number"),
        (of_polars, TRUTHS, None, "boolean"),
        (of_polars, TEXTS, None, "text"),
        (of_polars, TEXTS, "Categorical", "category"),
        (of_polars, TEXTS, "Enum", "ordered"),
        (of_polars, NUMBERS, "Object", "number"),
        (of_arrow, [1, None, 3], "int16", "number"),
        (of_arrow, NUMBERS, None, "number"),
        (of_arrow, DECIMALS, None, "number"),
        (of_arrow, TRUTHS, None, "boolean"),
        (of_arrow, TEXTS, None, "text"),
        (of_arrow, TEXTS, "large_string", "text"),
        (of_arrow, TEXTS, "dictionary", "category"),
        (of_array, NUMBERS, object, "number"),
        (of_array, TRUTHS, object, "boolean"),
        (of_array, TEXTS, object, "text"),
        (of_array, ["b", "a"], str, "text"),
        # Arrays have one type for all columns, so that text makes text of numbers.
        (of_array, ["1", "-1e3"], str, "number"),
        (of_array, ["1", "b"], str, "text"),
        (of_pandas, ["1", "2"], None, "text"),
        (of_array, [None, np.nan], object, "empty"),
    ],
)  # fmt: skip
def test_kind_and_values_of_a_column(make, values, dtype, kind):
    column = read(make(values, dtype))
    assert column.kind == kind
    assert plain(column.data, kind) == plain(values, kind)
    assert column.name == ("x0" if make is of_array else "a")
    if kind == "number":
        assert column.data.dtype.kind in "fiu"


@pytest.mark.parametrize(
    ("make", "dtype"),
    [(of_pandas_arrow, "null[pyarrow]"), (of_polars, None), (of_arrow, None)],
)
def test_columns_without_a_type_are_gaps_of_any_kind(make, dtype):
    values = read(make([None, None], dtype))
    for column in (Column("a", "number"), Column("a", "category", ("b",))):
        assert np.isnan(column.code(values)).all()


def test_order_of_levels_is_that_of_their_type():
    pa = pytest.importorskip("pyarrow")
    texts = ["a", "c", None, "b"]
    array = pa.DictionaryArray.from_arrays(
        [2, 0, None, 1], ["c", "b", "a"], ordered=True
    )
    for frame in (
        of_pandas(texts, LEVELS), of_polars(texts, "Enum"), pa.table({"a": array})
    ):  # fmt: skip
        assert learn_column(read(frame), None) == Column(
            "a", "ordered", ("c", "b", "a")
        )


@pytest.mark.parametrize("make", [of_pandas, of_polars])
def test_single_precision_stays_where_there_are_gaps(make):
    dtype = "float32" if make is of_pandas else "Float32"
    for values in ([1, 2.5], [1, None]):
        assert read(make(values, dtype)).data.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "values", "dtype", "message"),
    [
        (of_pandas, ["2020-01-02", None], "datetime64[ns]", "dates or times"),
        (of_pandas, ["2020-01-02"], "datetime64[ns, UTC]", "dates or times"),
        *[(make, [value, None], object, "dates or times")
          for make in (of_pandas, of_array)
          for value in (DAY, SPAN, datetime.time(1), np.datetime64("2020"),
                        np.timedelta64(1), pd.Timestamp(DAY))],
        (of_pandas, [SPAN, None], None, "dates or times"),
        *[(make, [value, None], None, "dates or times")
          for make in (of_polars, of_arrow)
          for value in (DAY, SPAN, datetime.time(1), datetime.datetime(2020, 1, 2))],
        (of_pandas, pd.period_range("2020", periods=2, freq="M"), None, "period"),
        (of_pandas, pd.interval_range(0, 2), None, "interval"),
        *[(make, [value, value], None, "neither numbers nor categories")
          for make in (of_polars, of_arrow) for value in ([1], {"b": 1}, b"a")],
        (of_pandas, [1j, 2], None, "Complex data not supported: column 'a'"),
        (of_pandas, [1j, 2, None], object, "Complex data not supported"),
        (of_array, [1j, 2], object, "Complex data not supported: column 'x0'"),
        (of_polars, [[1, 2], [3, 4]], "Array", "neither numbers nor categories"),
        *[(make, [1, "seven", None], object, "numbers and text, such as 'seven'")
          for make in (of_pandas, of_array)],
    ],
)  # fmt: skip
def test_columns_that_can_not_be_used_are_named(make, values, dtype, message):
    with pytest.raises(ValueError, match=message):
        read(make(values, dtype))


@pytest.mark.parametrize("make", [of_pandas, of_array])
def test_objects_are_taken_for_their_text_with_a_warning(make):
    values = [{"b": 1}, {}, None]
    with pytest.warns(UserWarning, match="objects of type dict"):
        column = read(make(values, object))
    assert (column.kind, column.data) == ("text", ["{'b': 1}", "{}", None])


def test_only_names_have_to_be_unique():
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"column_names": [1, 1], "columns": [1, 1], "name": [1, 1]}
    for make in (pd.DataFrame, pyarrow.table):
        check_names(make(columns))
        found = list(columns_of_frame(make(columns)))
        assert [values.name for values in found] == list(columns)
    for frame in (
        pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
        pd.DataFrame([[1, 2, 3]], columns=["1", "a", 1]),
        pyarrow.table([pyarrow.array([1])] * 2, names=["a", "a"]),
    ):
        with pytest.raises(ValueError, match=r"several columns named '[a1]'"):
            check_names(frame)


def test_lazy_frames_are_to_be_collected():
    lazy = of_polars([1, 2]).lazy()
    assert is_frame(lazy)
    with pytest.raises(TypeError, match="LazyFrame, which holds no data yet"):
        check_names(lazy)
