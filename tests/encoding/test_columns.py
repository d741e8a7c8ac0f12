"""What columns are taken for, and the numbers that stand for their values."""

import numpy as np
import pandas as pd
import pytest

from sknm.encoding import columns as module
from sknm.encoding.columns import LEAST_TEXTS, UNSEEN, Column, learn_column
from sknm.encoding.frames import columns_of_array, columns_of_frame

NAN, ORDERED = np.nan, pd.CategoricalDtype(["lo", "mid", "hi"], ordered=True)


def values_of(values, dtype=None):
    """Columns as pandas gives them."""
    frame = pd.DataFrame({"a": pd.Series(values, dtype=dtype)})
    (column,) = columns_of_frame(frame)
    return column


def learn(values, dtype=None, is_category=None):
    return learn_column(values_of(values, dtype), is_category)


@pytest.mark.parametrize(
    ("values", "dtype", "kind", "levels"),
    [
        ([1, 2.5, None], None, "number", None),
        ([None, None], object, "category", ()),
        ([None, None], "string", "category", ()),
        (["b", None, "a", "b"], None, "category", ("a", "b")),
        ([True, True, None], "boolean", "category", (False, True)),
        (["b", None, "a"], "category", "category", ("a", "b")),
        ([30, None, 4], "category", "category", (4, 30)),
        ([None, None], "category", "category", ()),
        (pd.Categorical(["b", "a"], ["z", "b", "a"]), None, "category", ("a", "b")),
        (["hi", "lo", "mid"], ORDERED, "ordered", ("lo", "mid", "hi")),
        (["hi", "lo"], ORDERED, "category", ("lo", "hi")),
    ],
)
def test_kind_follows_from_the_type(values, dtype, kind, levels):
    assert learn(values, dtype) == Column("a", kind, levels)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([3, 1, None], None, [3, 1, NAN]),
        (["b", None, "a", "b"], None, [1, NAN, 0, 1]),
        ([True, None, False], "boolean", [1, NAN, 0]),
        ([30, None, 4], "category", [1, NAN, 0]),
        ([None, None], object, [NAN, NAN]),
        ([None, None], "category", [NAN, NAN]),
        (pd.cut([1.0, 9.0, 2.0, NAN], [0, 5, 10]), None, [0, 1, 0, NAN]),
        (["hi", "lo", None, "mid"], ORDERED, [2, 0, NAN, 1]),
    ],
)
def test_values_become_numbers_or_places(values, dtype, expected):
    column = learn(values, dtype)
    np.testing.assert_array_equal(column.code(values_of(values, dtype)), expected)


def test_user_may_say_what_is_a_category():
    assert learn([3, 1.5], None, True) == Column("a", "category")
    assert learn([3, 1], None, True) == Column("a", "category", (1, 3))
    assert learn([None], object, True) == Column("a", "category", ())
    assert learn([True, False], None, False) == Column("a", "number")
    truths = values_of([True, None, False], "boolean")
    numbers = learn([True, False], None, False).code(truths)
    np.testing.assert_array_equal(numbers, [1, NAN, 0])
    for dtype, word in ((ORDERED, "categories"), (None, "text")):
        assert learn(["lo"], dtype, True).levels == ("lo",)
        with pytest.raises(ValueError, match=f"holds {word}, and is not one of"):
            learn(["lo"], dtype, False)


def test_way_in_which_categories_are_stored_may_change():
    column = learn(["b", "a", None], "category")
    for dtype in (object, "string", pd.CategoricalDtype(["a", "c", "b"], ordered=True)):
        found = column.code(values_of(["b", None, "a", "c"], dtype))
        np.testing.assert_array_equal(found, [1, NAN, 0, UNSEEN])
    numbers = learn([30, 4, None], "category")
    np.testing.assert_array_equal(numbers.code(values_of([4.0, NAN, 5])), [0, NAN, -1])
    truths = learn([True, False])
    np.testing.assert_array_equal(truths.code(values_of([1, 0, 1])), [1, 0, 1])


@pytest.mark.parametrize("fitted", [["b", "a"], [1.5, 2], [True, False], [None]])
@pytest.mark.parametrize("is_category", [None, True])
@pytest.mark.parametrize("missing", ["empty", "number"])
def test_column_may_lack_all_values_later(fitted, is_category, missing):
    # A single row without a value is of type float in pandas, whatever it was.
    values = values_of([None, None], object if missing == "empty" else float)
    assert values.kind == missing
    column = learn(fitted, None, is_category)
    np.testing.assert_array_equal(column.code(values), [NAN, NAN])


@pytest.mark.parametrize(
    ("fitted", "later", "message"),
    [
        ([1, 2], ["b"], "holds text, but held numbers in fit"),
        ([1, 2], pd.Categorical(["b"]), "holds text, but held numbers in fit"),
        (["b"], [1.5], "holds numbers, but held text in fit"),
        (pd.Categorical([pd.Interval(0, 1)]), [1], "holds numbers, but held text"),
        ([True, False], ["yes"], "holds text, but held truth values in fit"),
        (["b"], [True], "holds truth values, but held text in fit"),
    ],
)
def test_kind_of_a_column_must_not_change(fitted, later, message):
    column = learn(fitted)
    with pytest.raises(ValueError, match=message):
        column.code(values_of(later))


def test_categories_without_values_in_fit_may_be_anything_later():
    column = learn([None, None], "category")
    for values in ([1.5], ["b"], [True]):
        assert column.code(values_of(values)).tolist() == [UNSEEN]


def test_texts_stay_texts_where_they_look_like_numbers_later():
    table = np.array([["1", "2"], ["a", "b"]], dtype=object)
    columns = [learn_column(values, None) for values in columns_of_array(table)]
    later = list(columns_of_array(table[:1]))
    found = [column.code(values) for column, values in zip(columns, later, strict=True)]
    assert found == [[0], [0]]


@pytest.mark.parametrize("dtype", [None, "category"])
def test_most_categories_of_a_column(monkeypatch, dtype):
    monkeypatch.setattr(module, "MOST_CATEGORIES", 9)
    texts = [f"text{k}" for k in range(10)]
    assert len(learn(texts[1:], dtype).levels) == 9
    with pytest.raises(ValueError, match="'a' of X has 10 categories, more than 9"):
        learn(texts, dtype)


def sentences(n, n_words=3):
    return [" ".join(f"word{k}" for _ in range(n_words)) for k in range(n)]


def test_free_text_is_refused():
    for texts in (sentences(LEAST_TEXTS), 2 * sentences(LEAST_TEXTS)):
        with pytest.raises(ValueError, match="text, which differs from row to row"):
            learn([*texts, None, None])


@pytest.mark.parametrize(
    ("texts", "dtype"),
    [
        (sentences(LEAST_TEXTS - 1), None),  # few
        (sentences(LEAST_TEXTS, n_words=2), None),  # short
        (3 * sentences(LEAST_TEXTS), None),  # repeated
        (sentences(LEAST_TEXTS), "category"),  # said to be none
    ],
)
def test_categories_with_long_names_are_no_free_text(texts, dtype):
    assert learn(texts, dtype).kind == "category"
