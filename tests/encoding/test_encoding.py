"""What became of each column: names, words, and tables as numbers."""

import numpy as np
import pandas as pd
import pytest

from sknm.encoding.columns import Column
from sknm.encoding.encoding import Encoding
from sknm.encoding.frames import columns_of_frame


def learn(frame, categorical=None):
    columns = list(columns_of_frame(frame))
    return Encoding.learn(columns, categorical, {}), columns


COLUMNS = [
    Column("age", "number"),
    Column("job", "category", ("clerk", "nurse", "smith")),
    Column("zip", "category"),
    Column("size", "ordered", ("s", "l")),
    Column("town", "category", ("a", "b")),
]
LABELS = [
    (0, ""), (3, ""), (0, "function0"), (0, "function1"), (0, "missing"),
    (1, 0.0), (1, 2.0), (1, "other"), (1, "missing"), (2, 12.5), (2, 7.0), (3, 1.0),
    (4, "vector0"), (4, "vector1"), (-1, "pool0"),
]  # fmt: skip
NAMES = [
    "age", "size", "age_function0", "age_function1", "age_missing",
    "job_clerk", "job_smith", "job_other", "job_missing", "zip_12.5", "zip_7", "size_l",
    "town_vector0", "town_vector1", "pool0",
]  # fmt: skip
FORMS = ["number", "two values", "3 values, one-hot", "rank", "learned vectors"]


@pytest.fixture
def encoding():
    encoding = Encoding(COLUMNS)
    encoding.describe(LABELS, FORMS)
    return encoding


def test_inputs_are_named_by_their_columns_and_values(encoding):
    names = encoding.get_feature_names_out()
    assert names.dtype == object
    assert names.tolist() == NAMES
    indices = encoding.get_feature_indices()
    assert indices.dtype == np.int64
    assert indices.tolist() == [column for column, _ in LABELS]
    assert [(entry.column, entry.name) for entry in encoding.inputs] == list(
        zip(indices, names, strict=True)
    )


def test_forms_say_how_each_column_enters(encoding):
    assert encoding.forms == tuple(FORMS)
    lines = repr(encoding).splitlines()
    assert lines[0] == "5 columns, 15 inputs:"
    assert lines[1:3] == ["  age   number", "  job   two values"]
    assert len(lines) == 1 + 5


def test_names_are_unique():
    # Levels and columns may be called what inputs are called.
    levels = "missing", "other", "a", "a_"
    columns = [Column("x", "category", levels), Column("x_missing", "number")]
    encoding = Encoding(columns)
    encoding.describe([(1, ""), *[(0, k) for k in (0.0, 1.0, 2.0, 3.0)],
                       (0, "other"), (0, "missing")], FORMS[:2])  # fmt: skip
    names = encoding.get_feature_names_out()
    assert len(set(names)) == len(names) == 7
    assert names[0] == "x_missing"


@pytest.mark.parametrize("code", [94043.0, 1234567.0, 20240131.0, 0.1, -3.0, 2.0**40])
def test_numbers_that_are_categories_are_named_in_full(code):
    encoding = Encoding([Column("zip", "category")])
    encoding.describe([(0, code)], FORMS[:1])
    assert float(encoding.inputs[0].name.removeprefix("zip_")) == code


@pytest.mark.parametrize(
    ("column", "categorical", "dtype"),
    [
        (["x", "y"], None, np.float32),
        (np.int16([1, 2]), None, np.float64),
        (np.float32([1, np.nan]), None, np.float32),
        ([True, False], None, np.float32),
        ([True, False], np.array([False, False]), np.float32),
        ([None, None], None, np.float32),
        ([1.5, 2], None, np.float64),
        ([1, 2**30 + 1], np.array([False, True]), np.float32),
        ([1.5, 2**30 + 1], np.array([False, True]), np.float64),
    ],
)
def test_precision_is_single_if_nothing_needs_more(column, categorical, dtype):
    frame = pd.DataFrame({"a": np.float32([1, 2]), "b": column})
    encoding, values = learn(frame, categorical)
    assert encoding.code(values, 2).dtype == dtype


def test_table_becomes_numbers_and_codes():
    frame = pd.DataFrame(
        {"a": [1.5, None], "b": ["y", "x"], "c": [True, None], "d": [7, 8]}
    )
    encoding, values = learn(frame)
    kinds = ["number", "category", "category", "number"]
    assert [column.kind for column in encoding.columns] == kinds
    X = encoding.code(values, 2)
    np.testing.assert_array_equal(X, [[1.5, 1, 1, 7], [np.nan, 0, np.nan, 8]])
    chosen, _ = learn(frame, np.array([False, True, False, True]))
    kinds = ["number", "category", "number", "category"]
    assert [column.kind for column in chosen.columns] == kinds


def test_values_are_looked_up_where_they_are_no_numbers():
    for values in ([1, 2], [1.5, np.nan]):
        assert not learn(pd.DataFrame({"a": values}))[0].has_codes
    for values in (["x", "y"], pd.Categorical([1, 2]), pd.Categorical([None, None])):
        assert learn(pd.DataFrame({"a": values}))[0].has_codes


def test_table_without_columns_has_rows():
    encoding, columns = learn(pd.DataFrame(index=range(3)))
    assert encoding.code(columns, 3).shape == (3, 0)
