"""Looking at the rows before training, for what features are of use."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sknm.checks import Samples
from sknm.compute.rows import Inputs
from sknm.encoding.encoder import Encoder
from sknm.graph.entries import Entries
from sknm.plasticity.scouting import Scouted, scout

MOST_ROWS = 2**14
"""Most rows that are looked at."""

MOST_VALUES = 2**19
"""Most values that enter the graph in these rows."""


CHUNK_ROWS = 256
"""Rows that are encoded at a time."""


def to_scout(
    samples: Samples,
    encoder: Encoder,
    columns: np.ndarray,
    n_outputs: int,
    generator: torch.Generator,
) -> tuple[Scouted, np.ndarray]:
    """Draw rows and encode them.

    Parameters
    ----------
    samples : Samples
        Training rows.
    encoder : Encoder
        What turns rows into what enters the graph.
    columns : ndarray of int of shape (n_inputs,)
        The column that each input is made of.
    n_outputs : int
        Number of outputs.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    rows : Scouted
        What to look at.
    used : ndarray of int
        Which inputs these have.
    """
    table = samples.table("cpu")
    # Functions of numbers are zero at first.
    used = [k for k, (_, label) in enumerate(encoder.labels()) if label != "function"]
    n = min(MOST_ROWS, max(1, MOST_VALUES // max(1, len(used))))
    batch = table.take(torch.randperm(len(table), generator=generator)[:n])
    chunks = _dense(batch.X).split(CHUNK_ROWS)
    dtype = samples.X.torch_dtype
    x = torch.cat([_encoded(encoder, chunk)[:, used].to(dtype) for chunk in chunks])
    y, weights = batch.y, batch.weights
    weights = x.new_ones(len(x)) if weights is None else weights.to(x.dtype)
    weights = weights * (_n_effective(x, y, weights) / weights.sum())
    y = y.to(x.dtype) if y.is_floating_point() else y
    return Scouted(x, y, weights, columns[used], n_outputs), np.array(used)


def find_links(
    entries: Entries,
    rows: Scouted,
    used: np.ndarray,
    loss: nn.Module,
    rate: float,
    generator: torch.Generator,
) -> None:
    """Tell the edges from inputs what was found out about their columns.

    Parameters
    ----------
    entries : Entries
        The edges.
    rows : Scouted
        What to look at.
    used : ndarray of int
        Which inputs these have.
    loss : nn.Module
        Loss of outputs, targets and weights.
    rate : float
        False discovery rate.
    generator : torch.Generator
        Source of randomness.
    """

    def residual(outputs: Tensor, y: Tensor) -> Tensor:
        outputs = outputs.detach().requires_grad_()
        with torch.enable_grad():
            total = loss(outputs, y, None) * len(y)
        (found,) = torch.autograd.grad(total, outputs)
        return found

    entries.affinity = scout(rows, residual, rate, generator)
    entries.novelty = float(rows.weights.mean())
    variances = rows.weights @ rows.x.square() / rows.weights.sum()
    entries.variances = np.zeros(len(entries.columns))
    entries.variances[used] = variances.double().numpy()


def _dense(X: Inputs) -> Tensor:
    assert isinstance(X, Tensor), "all columns of sparse rows are awake"
    return X


@torch.no_grad()
def _encoded(encoder: Encoder, rows: Tensor) -> Tensor:
    return _dense(encoder(rows)).detach()


def _n_effective(x: Tensor, y: Tensor, weights: Tensor) -> float:
    """Count rows as evidence: several that are the same are one, of their weight.

    Of unequal weights, fewer rows than there are decide (Kish 1965).
    """
    marks = torch.zeros(len(x), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for column in (*x.t(), *y.reshape(len(y), -1).t()):
        largest = column.abs().max().double().clamp_min(1e-300)
        factor = torch.rand((), generator=generator, dtype=torch.float64)
        marks += column.double() / largest * (1 + factor)
    _, which = marks.unique(return_inverse=True)
    of_rows = torch.zeros(int(which.max()) + 1, dtype=torch.float64)
    of_rows.index_add_(0, which, weights.double())
    return float(of_rows.sum() ** 2 / of_rows.square().sum())
