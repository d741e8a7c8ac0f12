"""Rows to train on, and the batches that an epoch takes them in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sknm.compute.rows import Inputs, Rows, pick


@dataclass(frozen=True)
class Batch:
    """Rows of one training step, on the network's device.

    Attributes
    ----------
    X : Tensor or SparseBatch of shape (n_samples, n_features)
        Inputs.
    y : Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or scaled targets.
    weights : Tensor of shape (n_samples,) or None
        Sample weights with mean 1.
    """

    X: Inputs
    y: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return self.y.shape[0]


@dataclass(frozen=True)
class Table:
    """Rows to train on.

    Attributes
    ----------
    X : Rows
        Inputs, wherever they are.
    y : Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or scaled targets, on the network's device.
    weights : Tensor of shape (n_samples,) or None
        Sample weights with mean 1, on the same device.
    """

    X: Rows
    y: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return self.y.shape[0]

    def take(self, rows: Tensor | slice) -> Batch:
        """Make a batch of some of the rows."""
        X = self.X.take(rows, self.y.device)
        if isinstance(rows, Tensor):
            rows = rows.to(self.y.device)
        weights = None if self.weights is None else pick(self.weights, rows)
        return Batch(X, pick(self.y, rows), weights)


class Batches:
    """The rows of a table in random order, in batches of nearly equal size.

    Parameters
    ----------
    table : Table
        The rows.
    batch_size : int
        Most rows of a batch.
    generator : torch.Generator
        Source of the order.
    withheld : callable, optional
        Says at the begin of an epoch which rows it is to go without, None for none. The
        number of batches stays, if there are as many rows.
    """

    def __init__(
        self,
        table: Table,
        batch_size: int,
        generator: torch.Generator,
        withheld: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        self.table = table
        self.n_batches = math.ceil(len(table) / batch_size)
        self.generator = generator
        self._withheld = withheld

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        if self.n_batches == 1:
            yield self.table.take(slice(None))
            return
        order = torch.randperm(len(self.table), generator=self.generator)
        withheld = self._withheld()
        if withheld is not None:
            order = order[torch.isin(order, withheld, invert=True)]
        n_batches = min(self.n_batches, len(order))
        for rows in order.to(self.table.X.device).tensor_split(n_batches):
            yield self.table.take(rows)
