"""Rows of inputs that may be too many to copy: dense, memory-mapped or sparse."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag

from sknm.compute.arrays import to_tensor

DENSE_SHARE = 0.1
"""Share of non-zeros above which batches of a sparse matrix are multiplied as dense."""

CHUNK_INPUTS = 2**21
"""Inputs that are copied at a time, if they have to be."""


@dataclass(frozen=True)
class SparseBatch:
    """Some rows of a sparse matrix in CSR format, as tensors on one device.

    Attributes
    ----------
    starts : Tensor of shape (n_samples + 1,)
        Where the non-zeros of each row start.
    columns, values : Tensor of shape (n_nonzeros,)
        The non-zeros.
    n_features : int
        Number of columns of the matrix.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    n_features: int

    @classmethod
    def of(cls, X: Any) -> SparseBatch:
        """Take over a matrix of SciPy."""
        starts, columns = (to_tensor(part).long() for part in (X.indptr, X.indices))
        return cls(starts, columns, to_tensor(X.data), X.shape[1])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    def to(self, device: torch.device, dtype: torch.dtype) -> SparseBatch | Tensor:
        """Bring the batch to a device; an accelerator multiplies it as a dense one.

        Parameters
        ----------
        device : torch.device
            Where to.
        dtype : torch.dtype
            Precision of the values.

        Returns
        -------
        SparseBatch or Tensor
            The same rows.
        """
        moved = SparseBatch(
            self.starts.to(device),
            self.columns.to(device),
            self.values.to(device, dtype),
            self.n_features,
        )
        return moved if device.type == "cpu" else moved.to_dense()

    def times(self, U: Tensor) -> Tensor:
        """``XU``, of shape (n_samples, n_nodes)."""
        return _weighted_sums(self.columns, U, self.starts, self.values)

    def transposed_times(self, delta: Tensor) -> Tensor:
        """``Xᵀδ``, of shape (n_features, n_nodes), given δ (n_samples, n_nodes)."""
        columns, order = self.columns.sort(stable=True)
        features = torch.arange(self.n_features + 1, device=self.device)
        starts = torch.searchsorted(columns, features)
        return _weighted_sums(self._rows()[order], delta, starts, self.values[order])

    def to_dense(self) -> Tensor:
        """Return the matrix (n_samples, n_features)."""
        dense = self.values.new_zeros(len(self), self.n_features)
        places = self._rows(), self.columns
        return dense.index_put_(places, self.values, accumulate=True)

    def _rows(self) -> Tensor:
        rows = torch.arange(len(self), device=self.device)
        return rows.repeat_interleave(self.starts.diff())


def _weighted_sums(rows: Tensor, of: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    # For few rows many times faster than torch's products of sparse matrices.
    return embedding_bag(
        rows,
        of.contiguous(),
        starts,
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
    )


Inputs: TypeAlias = Tensor | SparseBatch
"""What a network gets: a batch of rows, on its device."""


class Rows:
    """Rows that batches are made from, without a copy of the whole.

    A dense table is a tensor that shares the memory of the array, or of the
    file that is mapped to it. A sparse one stays a matrix of SciPy.

    Parameters
    ----------
    X : ndarray or sparse matrix in CSR format, of shape (n_samples, n_features)
        Checked data.
    dtype : dtype, default=None
        Precision of the batches; None is that of `X`.

    Attributes
    ----------
    n_features : int
        Number of columns.
    dtype : dtype
        Precision of the batches.
    torch_dtype : torch.dtype
        The same in torch's words.
    is_sparse : bool
        Whether `X` is.
    """

    def __init__(self, X: Any, dtype: np.dtype | None = None) -> None:
        self.n_features: int = X.shape[1]
        self.dtype = np.dtype(X.dtype if dtype is None else dtype)
        self.torch_dtype = torch.from_numpy(np.empty(0, self.dtype)).dtype
        self.is_sparse = sparse.issparse(X)
        self._stays = self.is_sparse or is_memory_mapped(X)
        self._X = X if self.is_sparse else to_tensor(X)
        self._numbers: Tensor | None = None
        if self.is_sparse:
            self._is_scarce = X.nnz <= DENSE_SHARE * X.shape[0] * X.shape[1]

    def __len__(self) -> int:
        return self._X.shape[0] if self._numbers is None else len(self._numbers)

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return torch.device("cpu") if self.is_sparse else self._X.device

    def keep(self, numbers: np.ndarray) -> Rows:
        """Leave some of the rows only; they are not copied.

        Parameters
        ----------
        numbers : ndarray of int
            Which ones.

        Returns
        -------
        Rows
            These.
        """
        kept = torch.as_tensor(numbers, device=self.device)
        if self._numbers is not None:
            kept = self._numbers[kept]
        return self._with(self._X, kept)

    def move(self, device: str) -> Rows:
        """Bring dense rows in memory to a device; only batches of others go there.

        Parameters
        ----------
        device : str
            Where to.

        Returns
        -------
        Rows
            The same rows.
        """
        if self._stays or torch.device(device) == self.device:
            return self
        X = self._X if self._numbers is None else self._X[self._numbers]
        return self._with(X.to(device, self.torch_dtype), None)

    def take(self, numbers: Tensor | slice, device: torch.device) -> Inputs:
        """Make a batch.

        Parameters
        ----------
        numbers : Tensor or slice
            Which rows.
        device : torch.device
            Where the batch is to be.

        Returns
        -------
        Tensor or SparseBatch
            The rows.
        """
        if isinstance(numbers, Tensor):
            numbers = numbers.to(self.device)
        if self._numbers is not None:
            numbers = self._numbers[numbers]
        if self.is_sparse:
            return self._take_sparse(numbers).to(device, self.torch_dtype)
        return pick(self._X, numbers).to(device, self.torch_dtype)

    def split(self, size: int, device: torch.device) -> Iterator[Inputs]:
        """Batches of all rows in their order.

        Parameters
        ----------
        size : int
            Most rows of a batch.
        device : torch.device
            Where the batches are to be.

        Yields
        ------
        Tensor or SparseBatch
            The next rows.
        """
        size = min(size, max(128, CHUNK_INPUTS // self.n_features))
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size), device)

    def _take_sparse(self, numbers: Tensor | slice) -> Inputs:
        part = self._X[numbers.numpy() if isinstance(numbers, Tensor) else numbers]
        batch = SparseBatch.of(part)
        return batch if self._is_scarce else batch.to_dense()

    def _with(self, X: Any, numbers: Tensor | None) -> Rows:
        other = object.__new__(Rows)
        vars(other).update(vars(self) | {"_X": X, "_numbers": numbers})
        return other


def pick(tensor: Tensor, rows: Tensor | slice) -> Tensor:
    """Return some rows of a tensor; by number, faster than torch's brackets do."""
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


def is_memory_mapped(array: Any) -> bool:
    """Whether an array is a view of a file."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array is not None
