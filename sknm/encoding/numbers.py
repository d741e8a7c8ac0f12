"""Numbers: their scale, where they are missing, and functions of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sknm.compute.groups import ParameterGroup
from sknm.encoding.embeddings import EMBEDDINGS, Embedding
from sknm.encoding.sample import Sample
from sknm.encoding.scale import MOST_GAIN, Robust, Unscaled
from sknm.encoding.stored import Stored


class Numbers(Stored):
    """Columns of numbers, of which each enters the graph itself, too.

    Parameters
    ----------
    scale : {"robust"} or None
        How they are scaled.
    embedding : str or None
        Name of the functions of them that are learned.
    silent : sequence of int, default=()
        Places of columns whose gaps are told elsewhere.

    Attributes
    ----------
    n_outputs : int
        Number of columns that enter the graph: the numbers, their functions, and
        whether they are missing where some are.
    fan_in : float
        Number of inputs of unit variance that they count for; functions don't.
    """

    scale: Robust | Unscaled
    inner: Robust | None
    embedding: Embedding | None
    gappy: Tensor
    shares: Tensor
    gains: Tensor

    def __init__(
        self, scale: str | None, embedding: str | None, silent: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.silent = tuple(silent)
        self.scale = Unscaled() if scale is None else Robust()
        # Functions are of scaled numbers in any case.
        self.inner = Robust() if scale is None and embedding is not None else None
        self.embedding = None if embedding is None else EMBEDDINGS[embedding]()

    def fit(
        self,
        sample: Sample,
        gaps: np.ndarray,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        """Learn scales and functions of numbers.

        Parameters
        ----------
        sample : Sample
            Rows of these columns, NaN for gaps.
        gaps : ndarray of shape (n_columns,)
            Share of all rows in which there is no number.
        generator : torch.Generator
            Source of randomness.
        dtype : torch.dtype
            Precision.
        """
        self.scale.fit(sample, dtype)
        self.n_columns = sample.X.shape[1]
        gappy = np.flatnonzero((gaps > 0) & (gaps < 1))
        gappy = gappy[~np.isin(gappy, self.silent)]
        shares = gaps[gappy]
        self.keep("gappy", gappy, torch.int64)
        self.keep("shares", shares, dtype)
        deviations = np.sqrt(shares * (1 - shares))
        self.keep("gains", np.minimum(1 / deviations, MOST_GAIN), dtype)
        self.n_outputs = self.n_columns + len(gappy)
        self.fan_in = float(self.n_outputs)
        if self.embedding is not None:
            scale = self.scale
            if self.inner is not None:
                self.inner.fit(sample, dtype)
                scale = self.inner
            u = scale(torch.as_tensor(sample.X, dtype=dtype)).numpy()
            scaled = np.where(np.isnan(sample.X), np.nan, u)
            self.embedding.fit(replace(sample, X=scaled), generator, dtype)
            self.n_outputs += self.embedding.n_outputs
            if not self.embedding.n_outputs:  # no number has more than two values
                self.embedding = self.inner = None

    def forward(self, X: Tensor) -> Tensor:
        """Encode numbers (n_samples, n_columns) as (n_samples, n_outputs)."""
        u = self.scale(X)
        parts = [u]
        if self.embedding is not None:
            parts.append(self.embedding(u if self.inner is None else self.inner(X)))
        if len(self.gappy):
            missing = X.index_select(1, self.gappy).isnan().to(u.dtype)
            parts.append((missing - self.shares) * self.gains)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    @property
    def n_fixed(self) -> int:
        """Number of outputs, the first ones, whose gradient nobody needs."""
        return self.n_outputs if self.embedding is None else self.n_columns

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters of the functions."""
        return [] if self.embedding is None else self.embedding.groups()

    def forms(self) -> list[str]:
        """Say in words how each column enters the graph."""
        forms = ["constant" if c else "number" for c in self.scale.are_constant()]
        if self.embedding is not None:
            for k in self.embedding.columns():
                forms[k] += " + learned function"
        for k in self.gappy.tolist():
            forms[k] += " + missing"
        return forms

    def labels(self) -> list[tuple[int, str]]:
        """Name what each input means.

        Returns
        -------
        list of tuple
            Of each, the place of its column, and "" for the number itself, "function",
            or "missing".
        """
        labels = [(k, "") for k in range(self.n_columns)]
        if self.embedding is not None:
            labels += [(k, "function") for k in self.embedding.columns()]
        return labels + [(k, "missing") for k in self.gappy.tolist()]
