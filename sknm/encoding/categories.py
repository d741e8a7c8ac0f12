"""Categories: an input for each value if they are few, learned vectors beyond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sknm.compute.groups import ParameterGroup
from sknm.encoding.sample import Sample
from sknm.encoding.stored import Stored

LEAST_ROWS = 3
"""Values of fewer rows are taken for one."""

MOST_ONE_HOT = 8
"""Most values that get an input each; of more, vectors are learned."""

N_DIMS = 8
"""Length of the vectors."""

OTHER, MISSING = "other", "missing"


@dataclass(frozen=True)
class Levels:
    """The values of one column that are told apart.

    Attributes
    ----------
    codes : ndarray of shape (n_codes,)
        Codes that are known, sorted.
    places : ndarray of int of shape (n_codes,)
        Level of each.
    shares : ndarray of shape (n_levels,)
        Share of the rows of each level.
    names : list
        Code of each level, or "other" for rare ones, "missing" for gaps.
    """

    codes: np.ndarray
    places: np.ndarray
    shares: np.ndarray
    names: list[float | str]

    @classmethod
    def of(cls, sample: Sample, k: int) -> Levels:
        """Learn the levels of a column of a sample."""
        x, weights, known = sample.column(k)
        weights = np.ones(len(x)) if weights is None else weights
        codes, places, counts = np.unique(x, return_inverse=True, return_counts=True)
        sums = np.bincount(places, weights, len(codes))
        is_rare = counts < LEAST_ROWS
        names: list[float | str] = list(codes[~is_rare])
        shares = list(sums[~is_rare])
        levels = np.cumsum(~is_rare) - 1
        if is_rare.any():
            levels[is_rare] = len(names)
            names.append(OTHER)
            shares.append(sums[is_rare].sum())
        if not known.all():
            every = np.ones(len(known)) if sample.weights is None else sample.weights
            names.append(MISSING)
            shares.append(every[~known].sum())
        return cls(codes, levels, np.array(shares) / np.sum(shares), names)

    def place(self, name: str) -> int:
        """Level of rare values or of gaps; there is none after the last."""
        return self.names.index(name) if name in self.names else len(self.names)


class Categories(Stored):
    """Columns of categories, by whichever way suits the number of their values.

    The input of a value is 1 or 0, less its share; it is not scaled, since then rare
    values would weigh most. Gaps are a value of their own where they occur, and so are
    rare values together, which stand for unseen ones, too. What was never seen is
    encoded as the mean of all.

    Attributes
    ----------
    names : list of list
        Of each column, the codes of its levels, "other" and "missing" among them.
    n_outputs : int
        Number of columns that enter the graph.
    fan_in : float
        Number of inputs that they count for: one for each value, or for a vector.
    """

    vectors: nn.Parameter | None
    names: list[list[float | str]]
    codes: Tensor
    places: Tensor
    gaps: Tensor
    sizes: Tensor
    few: Tensor
    slots: Tensor
    means: Tensor
    owners: Tensor
    many: Tensor
    starts: Tensor
    shares: Tensor

    def fit(
        self, sample: Sample, generator: torch.Generator, dtype: torch.dtype
    ) -> None:
        """Learn which values there are.

        Parameters
        ----------
        sample : Sample
            Rows of these columns: codes, NaN for gaps.
        generator : torch.Generator
            Source of randomness.
        dtype : torch.dtype
            Precision.
        """
        learnt = [Levels.of(sample, k) for k in range(sample.X.shape[1])]
        self.names = [levels.names for levels in learnt]
        self._keep_places(learnt, dtype)
        sizes = np.array([len(names) for names in self.names])
        few = sizes <= MOST_ONE_HOT
        self._keep_one_hot([v for v, is_few in zip(learnt, few, strict=True) if is_few],
                           np.flatnonzero(few), dtype)  # fmt: skip
        many = np.flatnonzero(~few)
        self.keep("many", many, torch.int64)
        self.keep("starts", np.cumsum(sizes[many]) - sizes[many], torch.int64)
        self.vectors = None
        self.keep("shares", np.zeros((0, 0)), dtype)
        if len(many):
            shape = int(sizes[many].sum()), N_DIMS
            drawn = torch.randn(shape, generator=generator, dtype=torch.float32)
            self.vectors = nn.Parameter(drawn.to(dtype))
            self._keep_shares([learnt[k] for k in many], dtype)
        self.n_outputs = len(self.means) + N_DIMS * len(many)
        self.fan_in = float(len(self.means) + len(many))

    def _keep_places(self, learnt: list[Levels], dtype: torch.dtype) -> None:
        """Keep which code is which level; the last place is for other codes."""
        longest = max(len(levels.codes) for levels in learnt)
        most = torch.finfo(dtype).max
        codes = np.full((len(learnt), longest + 1), most)
        # Single precision is enough to tell them, and may be what is asked about.
        with np.errstate(over="ignore"):
            singles = [levels.codes.astype(np.float32) for levels in learnt]
        self.is_single = all(len(np.unique(s)) == len(s) for s in singles)
        places = np.zeros(codes.shape, dtype=np.int64)
        for k, levels in enumerate(learnt):
            known = singles[k] if self.is_single else levels.codes
            codes[k, : len(levels.codes)] = known
            places[k] = levels.place(OTHER)
            places[k, : len(levels.codes)] = levels.places
        self.keep("codes", codes, dtype)
        self.keep("places", places, torch.int64)
        self.keep("gaps", [levels.place(MISSING) for levels in learnt], torch.int64)
        self.keep("sizes", [len(levels.names) for levels in learnt], torch.int64)

    def _keep_one_hot(
        self, learnt: list[Levels], few: np.ndarray, dtype: torch.dtype
    ) -> None:
        """Keep which input each level has; of two levels, only the second has one."""
        width = max((len(levels.names) for levels in learnt), default=0) + 1
        slots = np.full((len(learnt), width), -1)
        shares: list[float] = []
        for row, levels in zip(slots, learnt, strict=True):
            first = 1 if len(levels.names) == 2 else 0
            n = len(levels.names) - first
            row[first : first + n] = len(shares) + np.arange(n)
            shares.extend(levels.shares[first:])
        means = np.array(shares)
        slots[slots < 0] = len(means)  # which is cut off
        self.keep("few", few, torch.int64)
        self.keep("slots", slots, torch.int64)
        self.keep("means", means, dtype)
        owners = np.zeros(len(means), dtype=np.int64)
        for k, own in enumerate(slots):
            owners[own[own < len(means)]] = k
        self.keep("owners", owners, torch.int64)

    def _keep_shares(self, learnt: list[Levels], dtype: torch.dtype) -> None:
        """Keep by which weights the mean of a column's vectors is taken."""
        n_vectors = sum(len(levels.names) for levels in learnt)
        shares, start = np.zeros((len(learnt), n_vectors)), 0
        for row, levels in zip(shares, learnt, strict=True):
            row[start : start + len(levels.names)] = levels.shares
            start += len(levels.names)
        self.keep("shares", shares, dtype)

    def forward(self, X: Tensor) -> Tensor:
        """Encode codes (n_samples, n_columns) as (n_samples, n_outputs)."""
        levels = self._levels(X)
        parts = []
        if len(self.few):
            parts.append(self._one_hot(levels.index_select(0, self.few)))
        if self.vectors is not None:
            parts.append(self._vectors(levels.index_select(0, self.many)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _levels(self, X: Tensor) -> Tensor:
        """Level of each value, (n_columns, n_samples); their number for none."""
        x = X.t().contiguous()
        if self.is_single:
            x = x.float().to(X.dtype)
        last = self.codes.shape[1] - 1
        at = torch.searchsorted(self.codes, x).clamp_(max=last)
        is_known = self.codes.gather(1, at) == x
        levels = self.places.gather(1, torch.where(is_known, at, last))
        return torch.where(x.isnan(), self.gaps[:, None], levels)

    def _one_hot(self, levels: Tensor) -> Tensor:
        n = len(self.means)
        hot = self.slots.gather(1, levels).t()
        out = self.means.new_zeros(len(hot), n + 1).scatter_(1, hot, 1)[:, :n]
        out -= self.means
        unseen = levels == self.sizes[self.few, None]
        if unseen.any():
            out.masked_fill_(unseen.t().index_select(1, self.owners), 0)
        return out

    def _vectors(self, levels: Tensor) -> Tensor:
        assert self.vectors is not None, "there are such columns"
        unseen = levels == self.sizes[self.many, None]
        rows = (levels + self.starts[:, None]).masked_fill(unseen, 0).t()
        table = self.vectors * N_DIMS**-0.5
        means = self.shares @ table
        found = nn.functional.embedding(rows, table) - means
        return found.masked_fill(unseen.t()[:, :, None], 0).flatten(1)

    def groups(self) -> list[ParameterGroup]:
        """Return the vectors, if there are any."""
        return [] if self.vectors is None else [ParameterGroup([self.vectors])]

    def forms(self) -> list[str]:
        """Say in words how each column enters the graph."""
        many = set(self.many.tolist())
        return [_form(names, k in many) for k, names in enumerate(self.names)]

    def labels(self) -> list[tuple[int, float | str]]:
        """Name what each input means.

        Returns
        -------
        list of tuple
            Of each, the place of its column, and the code of a value, "other",
            "missing", or "vector" and a number.
        """
        labels: list[tuple[int, float | str]] = []
        for k in self.few.tolist():
            names = self.names[k]
            labels.extend((k, name) for name in names[len(names) == 2 :])
        for k in self.many.tolist():
            labels.extend((k, f"vector{i}") for i in range(N_DIMS))
        return labels


def _form(names: list[float | str], is_long: bool) -> str:
    """Say in words how a column with these levels enters the graph."""
    others = [name for name in (OTHER, MISSING) if name in names]
    n_values = len(names) - len(others)
    if len(names) < 2:
        return "constant"
    if is_long:
        words = [f"learned vectors of {N_DIMS} for {n_values} values"]
    elif len(names) == 2:
        words = ["two values" if n_values == 2 else "one value"]
    else:
        words = [f"{n_values} value{'s' * (n_values != 1)}, one-hot"]
    return " + ".join(words + others)
