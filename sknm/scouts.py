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
    rows: Tensor | slice = slice(None)
    if len(table) > n:
        rows = torch.randperm(len(table), generator=generator)[:n]
    batch = table.take(rows)
    chunks = _dense(batch.X).split(CHUNK_ROWS)
    x = torch.cat([_encoded(encoder, chunk)[:, used] for chunk in chunks])
    y, weights = batch.y, batch.weights
    weights = x.new_ones(len(x)) if weights is None else weights.to(x.dtype)
    # Rows that are there several times are no more evidence than one.
    weights = weights * (_n_distinct(x[weights > 0]) / weights.sum())
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


def _n_distinct(x: Tensor) -> int:
    factors = torch.arange(2, x.shape[1] + 2, dtype=torch.float64).sqrt()
    marks = [(rows.double() * factors).sum(1) for rows in x.split(CHUNK_ROWS)]
    return len(torch.cat(marks).unique())
