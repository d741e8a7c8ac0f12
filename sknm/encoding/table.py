"""The encoder of tables: numbers and categories, each by its own means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sknm.compute.groups import ParameterGroup
from sknm.compute.rows import Inputs, Rows, SparseBatch
from sknm.encoding.categories import Categories
from sknm.encoding.columns import UNSEEN, Column, refuse_many
from sknm.encoding.numbers import Numbers
from sknm.encoding.sample import Sample, shares_of_gaps
from sknm.encoding.stored import Stored


class TableEncoder(Stored):
    """Turns rows of numbers and of codes of categories into what enters the graph.

    Parameters
    ----------
    columns : sequence of Column
        What the columns are taken for.
    scale : {"robust"} or None
        How numbers are scaled.
    embedding : str or None
        Name of the functions of numbers that are learned.

    Attributes
    ----------
    n_outputs : int
        Number of columns that enter the graph.
    fan_in : float
        Number of inputs of unit variance that they count for.
    """

    numbers: Numbers | None
    categories: Categories | None
    as_numbers: Tensor
    as_categories: Tensor
    ranks: Tensor

    def __init__(
        self, columns: Sequence[Column], scale: str | None, embedding: str | None
    ) -> None:
        super().__init__()
        self.columns = tuple(columns)
        is_number = [column.kind != "category" for column in columns]
        is_category = [column.kind != "number" for column in columns]
        self.numbers = None
        if any(is_number):
            numbers = [column for column in columns if column.kind != "category"]
            ranks = [k for k, column in enumerate(numbers) if column.kind == "ordered"]
            self.numbers = Numbers(scale, embedding, ranks)
            self.keep("ranks", [c.kind == "ordered" for c in numbers], torch.bool)
        self.categories = Categories() if any(is_category) else None
        self.keep("as_numbers", np.flatnonzero(is_number), torch.int64)
        self.keep("as_categories", np.flatnonzero(is_category), torch.int64)
        # Rows stay sparse where numbers are all there is, and nothing changes them.
        self.is_plain = all(is_number) and scale is None and embedding is None

    def fit(
        self,
        X: Rows,
        y: np.ndarray,
        weights: np.ndarray | None,
        generator: torch.Generator,
    ) -> None:
        """Learn from training rows."""
        self.n_outputs, self.fan_in = 0, 0.0
        if self.numbers is not None:
            columns = self.as_numbers.numpy()
            sample = Sample.of(X, y, weights).take(columns)
            gaps = shares_of_gaps(X, weights)[columns]
            self.numbers.fit(sample, gaps, generator, X.torch_dtype)
            self.n_outputs += self.numbers.n_outputs
            self.fan_in += self.numbers.fan_in
        if self.categories is not None:
            columns = self.as_categories.numpy()
            sample = Sample.of_columns(X, y, weights, columns)
            self._count_categories(sample)
            self.categories.fit(sample, generator, X.torch_dtype)
            self.n_outputs += self.categories.n_outputs
            self.fan_in += self.categories.fan_in

    def _count_categories(self, sample: Sample) -> None:
        """Raise if numbers that are to be categories are too many."""
        for k, column in enumerate(self.as_categories.tolist()):
            if self.columns[column].levels is None:
                refuse_many(self.columns[column].name, len(np.unique(sample.X[:, k])))

    def forward(self, X: Inputs) -> Inputs:
        """Encode a batch of rows, (n_samples, n_features) to (n_samples, n_outputs)."""
        if isinstance(X, SparseBatch):
            if self.is_plain and self.n_outputs == X.n_features:
                return X
            X = X.to_dense()
        if self.categories is None:
            assert self.numbers is not None, "a table has columns"
            encoded: Tensor = self.numbers(X)
            return encoded
        codes = X.index_select(1, self.as_categories)
        if self.numbers is None:
            return self.categories(codes)
        numbers = X.index_select(1, self.as_numbers)
        # Other categories than in fit have no rank.
        numbers.masked_fill_(self.ranks & (numbers == UNSEEN), torch.nan)
        return torch.cat([self.numbers(numbers), self.categories(codes)], 1)

    @property
    def n_fixed(self) -> int:
        """Number of outputs, the first ones, whose gradient nobody needs."""
        return 0 if self.numbers is None else self.numbers.n_fixed

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters of functions and vectors."""
        parts = [part for part in (self.numbers, self.categories) if part is not None]
        return [group for part in parts for group in part.groups()]

    def labels(self) -> list[tuple[int, float | str]]:
        """Name the column that each output is made of, and what of it."""
        labels: list[tuple[int, float | str]] = []
        if self.numbers is not None:
            columns = self.as_numbers.tolist()
            labels += [(columns[k], label) for k, label in self.numbers.labels()]
        if self.categories is not None:
            columns = self.as_categories.tolist()
            labels += [(columns[k], label) for k, label in self.categories.labels()]
        return labels

    def forms(self) -> list[str]:
        """Say in words how each column enters the graph."""
        forms: list[list[str]] = [[] for _ in self.columns]
        for part, columns in (
            (self.numbers, self.as_numbers), (self.categories, self.as_categories)
        ):  # fmt: skip
            if part is not None:
                for k, form in zip(columns.tolist(), part.forms(), strict=True):
                    is_rank = self.columns[k].kind == "ordered"
                    forms[k].append(form.replace("number", "rank") if is_rank else form)
        return [" + ".join(form) for form in forms]
