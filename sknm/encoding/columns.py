"""What the columns of a table are taken for, and how their values become numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from numbers import Real
from typing import Any

import numpy as np

from sknm.encoding.frames import BEFORE, Values, as_numbers, is_gap, kinds_of

MOST_CATEGORIES = 10_000
"""Most categories of a column: a column of more is no category."""

LEAST_TEXTS, LEAST_WORDS = 50, 3
"""A column of text is taken for free text if at least so many of its values differ, at
least half of all do, and they have so many words on average."""

UNSEEN = -1.0
"""Stands for a category that was not there in `fit`."""


@dataclass(frozen=True)
class Column:
    """What a column is taken for.

    Attributes
    ----------
    name : str
        What it is called.
    kind : {"number", "category", "ordered"}
        What it is taken for.
    levels : tuple or None
        What the categories are called; values become their places in it. None for
        numbers, and for categories that are numbers of an array, which stay as they
        are.
    """

    name: str
    kind: str
    levels: tuple[Any, ...] | None = None

    def code(self, values: Values) -> np.ndarray:
        """Make numbers of values.

        Parameters
        ----------
        values : Values
            A column of the same meaning.

        Returns
        -------
        ndarray of shape (n_samples,)
            Numbers, or places in the levels; NaN for gaps, UNSEEN for other categories.

        Raises
        ------
        ValueError
            If the values are of another kind than in `fit`.
        """
        if values.kind == "empty":
            return np.full(len(values.data), np.nan, np.float32)
        if self.levels is None and values.kind == "number":
            return np.asarray(values.data)
        if self.levels is None and values.kind == "boolean":
            return as_numbers(values.data).astype(np.float32)
        given = as_keys(_as_list(values))
        holds = kind_of(given)
        held = "numbers" if self.levels is None else kind_of(self.levels)
        if not _may_follow(holds, held):
            raise ValueError(
                f"Column {self.name!r} of X holds {holds}, but held {held} in fit."
            )
        return as_numbers(given) if self.levels is None else _places(given, self.levels)


def _as_list(values: Values) -> list[Any]:
    """Values as Python's own, and text where numbers were given as such."""
    given = values.data if values.texts is None else values.texts
    return given.tolist() if isinstance(given, np.ndarray) else given


def _may_follow(holds: str, held: str) -> bool:
    """Whether values can be categories, as those of `fit` were."""
    if holds == "nothing" or held in ("nothing", "categories"):
        return True
    return holds == held or (holds, held) == ("numbers", "truth values")


def kind_of(values: Iterable[Any]) -> str:
    """Say in words what values are, gaps left out.

    Parameters
    ----------
    values : iterable
        Values.

    Returns
    -------
    {"nothing", "truth values", "numbers", "text", "categories"}
        The last for a mixture.
    """
    found, values = set(), list(values)
    for kind in kinds_of(values):
        if issubclass(kind, (bool, np.bool_)):
            found.add("truth values")
        else:
            found.add("numbers" if issubclass(kind, Real) else "text")
    if not found:
        return "nothing"
    return found.pop() if len(found) == 1 else "categories"


def as_keys(values: list[Any]) -> list[Any]:
    """Make truth values, numbers and text of values; gaps stay.

    Parameters
    ----------
    values : list
        What a column holds.

    Returns
    -------
    list
        What is none of these, such as an interval, as its text.
    """
    plain = {bool, int, float, str, type(None), np.bool_}
    if set(map(type, values)) <= plain:
        return values
    return [v if is_gap(v) or isinstance(v, Real) else str(v) for v in values]


def learn_column(values: Values, is_category: bool | None) -> Column:
    """Decide what a column is taken for.

    Parameters
    ----------
    values : Values
        The column in `fit`.
    is_category : bool or None
        What the user said of it; None leaves it to its type.

    Returns
    -------
    Column
        What it is.

    Raises
    ------
    ValueError
        If it can't be what it is to be.
    """
    name, kind = values.name, values.kind
    if is_category is None:
        is_category = kind != "number"
    if not is_category and kind in ("number", "boolean", "empty"):
        return Column(name, "number")
    if not is_category:
        raise ValueError(
            f"Column {name!r} of X holds {'text' if kind == 'text' else 'categories'}, "
            "and is not one of categorical_features: add it, or set "
            "categorical_features='from_dtype'."
        )
    if kind == "number" and values.texts is None and values.data.dtype.kind == "f":
        return Column(name, "category")
    levels = _levels(values)
    if kind == "text":
        _refuse_free_text(values, levels)
    refuse_many(name, len(levels))
    is_ordered = kind == "ordered" and len(levels) > 2
    return Column(name, "ordered" if is_ordered else "category", levels)


def refuse_many(name: str, n_categories: int) -> None:
    """Raise for a column of so many values that it is no category.

    Parameters
    ----------
    name : str
        Of the column.
    n_categories : int
        Number of its values.

    Raises
    ------
    ValueError
        If there are more than MOST_CATEGORIES.
    """
    if n_categories > MOST_CATEGORIES:
        raise ValueError(
            f"Column {name!r} of X has {n_categories} categories, more than "
            f"{MOST_CATEGORIES}: is it a name or a number of each row? Leave it out, "
            f"or {BEFORE}."
        )


def _levels(values: Values) -> tuple[Any, ...]:
    """Values that occur, in the order that their type has, or else in their own."""
    if values.kind == "boolean":
        return (False, True)
    seen = {v for v in set(as_keys(_as_list(values))) if not is_gap(v)}
    if values.kind == "ordered":
        assert values.levels is not None, "its type has an order"
        return tuple(level for level in as_keys(values.levels) if level in seen)
    return tuple(sorted(seen, key=lambda level: (isinstance(level, str), level)))


def _refuse_free_text(values: Values, levels: Sequence[str]) -> None:
    n_words = sum(len(level.split()) for level in levels)
    n_rows = sum(not is_gap(value) for value in values.data)
    is_free = n_words >= LEAST_WORDS * len(levels) and 2 * len(levels) >= n_rows
    if len(levels) >= LEAST_TEXTS and is_free:
        raise ValueError(
            f"Column {values.name!r} of X holds text, which differs from row to row "
            f"({levels[0]!r}): make numbers of it, as skrub's StringEncoder or "
            f"scikit-learn's TfidfVectorizer does, or {BEFORE}."
        )


def _places(values: list[Any], levels: Sequence[Any]) -> np.ndarray:
    index = {level: float(k) for k, level in enumerate(levels)}
    found = np.fromiter(map(index.get, values, repeat(UNSEEN)), float, len(values))
    for k in np.flatnonzero(found == UNSEEN):
        if is_gap(values[k]):
            found[k] = np.nan
    return found
