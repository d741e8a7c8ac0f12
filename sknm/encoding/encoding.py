"""The fitted attribute that says what became of each column of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from sknm.encoding.columns import Column, learn_column
from sknm.encoding.frames import Values


@dataclass(frozen=True)
class Input:
    """One of the numbers that enter the graph.

    Attributes
    ----------
    column : int
        The column of the table that it is made of.
    name : str
        What it is called.
    """

    column: int
    name: str


class Encoding:
    """What became of each column of a table.

    Parameters
    ----------
    columns : iterable of Column
        What the columns are taken for.
    options : mapping of str to object, optional
        Parameters of the estimator by which columns are encoded.
    is_sparse : bool, default=False
        Whether they are those of a sparse matrix, which stay as they are.

    Attributes
    ----------
    columns : tuple of Column
        The same.
    inputs : tuple of Input
        What enters the graph, in the order of the rows of ``input_weights_``.
    forms : tuple of str
        How each column enters the graph, in words.
    """

    def __init__(
        self,
        columns: Iterable[Column],
        options: Mapping[str, Any] = MappingProxyType({}),
        is_sparse: bool = False,
    ) -> None:
        self.columns = tuple(columns)
        self.options = dict(options)
        self.is_sparse = is_sparse
        self.inputs: tuple[Input, ...] = ()
        self.forms: tuple[str, ...] = ()

    def describe(
        self, labels: Sequence[tuple[int, float | str]], forms: Sequence[str]
    ) -> None:
        """Say how the columns enter the graph.

        Parameters
        ----------
        labels : sequence of tuple
            What an encoder says of each of its outputs.
        forms : sequence of str
            What it says of each column.
        """
        names = [self._name(column, label) for column, label in labels]
        self.inputs = tuple(
            Input(column, name)
            for (column, _), name in zip(labels, _distinct(names), strict=True)
        )
        self.forms = tuple(forms)

    def _name(self, column: int, label: float | str) -> str:
        if column < 0:
            return str(label)
        known = self.columns[column]
        if not isinstance(label, str):
            levels = known.levels
            label = _as_text(label) if levels is None else str(levels[int(label)])
        return f"{known.name}_{label}" if label else known.name

    def get_feature_names_out(self) -> np.ndarray:
        """Return the names of what enters the graph.

        Returns
        -------
        ndarray of str of shape (n_inputs,)
            Such as "age", "age_missing", "job_clerk".
        """
        return np.array([entry.name for entry in self.inputs], dtype=object)

    def get_feature_indices(self) -> np.ndarray:
        """Return which column each of the inputs is made of.

        Returns
        -------
        ndarray of int of shape (n_inputs,)
            Places of the columns.
        """
        return np.array([entry.column for entry in self.inputs], dtype=np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoding) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        width = max((len(column.name) for column in self.columns), default=0)
        lines = [
            f"  {column.name:{width}s}  {form}"
            for column, form in zip(self.columns, self.forms, strict=False)
        ]
        return "\n".join(
            [f"{len(self.columns)} columns, {len(self.inputs)} inputs:", *lines]
        )

    # How tables become numbers.

    @classmethod
    def learn(
        cls,
        columns: Sequence[Values],
        categorical: np.ndarray | None,
        options: Mapping[str, Any],
    ) -> Encoding:
        """Decide what each column is taken for.

        Parameters
        ----------
        columns : sequence of Values
            The columns.
        categorical : ndarray of bool of shape (n_features,) or None
            Which ones are categories; None leaves it to their types.
        options : mapping of str to object
            Parameters of the estimator by which columns are encoded.

        Returns
        -------
        Encoding
            Of a table of such columns.
        """
        said = [None] * len(columns) if categorical is None else categorical.tolist()
        pairs = zip(columns, said, strict=True)
        return cls((learn_column(*pair) for pair in pairs), options)

    def code(self, columns: Sequence[Values], n_rows: int) -> np.ndarray:
        """Make numbers of a table.

        Parameters
        ----------
        columns : sequence of Values
            The columns, as many as in `fit`.
        n_rows : int
            Number of rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In single precision if all numbers are, else in double.
        """
        parts: list[Any] = [
            column.code(values)
            for column, values in zip(self.columns, columns, strict=True)
        ]
        pairs = zip(parts, self.columns, strict=True)
        numbers = [part.dtype for part, column in pairs if column.levels is None]
        is_single = all(dtype == np.float32 for dtype in numbers)
        dtype = np.float32 if is_single else np.float64
        if not parts:
            return np.empty((n_rows, 0), dtype)
        X = np.empty((len(parts[0]), len(parts)), dtype)
        for k, part in enumerate(parts):
            X[:, k] = part
        return X

    @property
    def has_codes(self) -> bool:
        """Whether values of some columns have to be looked up."""
        return any(column.levels is not None for column in self.columns)


def _as_text(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:.12g}"


def _distinct(names: Iterable[str]) -> Iterable[str]:
    """Lengthen names that are there already, as a category named "missing" may be."""
    seen: set[str] = set()
    for name in names:
        while name in seen:
            name += "_"
        seen.add(name)
        yield name
