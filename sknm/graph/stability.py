"""Keeps every cyclic block uniquely solvable.

With a proximal activation, ``z = σ(zW + a)`` has exactly one solution, which depends
smoothly on `a`, whenever each cyclic block of W fulfils one of two conditions:

``"monotone"``
    the largest eigenvalue of its symmetric part ``(W + Wᵀ)/2`` is at most
    ``1 - margin`` (Winston & Kolter 2020);
``"contraction"``
    its largest singular value is at most ``1 - margin``. This is stricter.

Edges between components are free: they make no cycle.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from sknm.graph.blocks import pairs_above
from sknm.graph.plan import Components, Plan
from sknm.graph.topology import Topology

MAX_CLIPS = 10
"""Clips tried before a block is scaled down as a whole."""

FAILURES = (
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
    np.linalg.LinAlgError,
)


def guard(W: Tensor, plan: Plan, stability: str, margin: float) -> bool:
    """Clip the blocks that break the guarantee, once; enough while training.

    Parameters
    ----------
    W : Tensor of shape (n_nodes, n_nodes)
        Weights, changed in place where there is an edge inside a cyclic block.
    plan : Plan
        The edges that exist.
    stability : {"monotone", "contraction"}
        The condition to keep.
    margin : float
        How far below 1 the blocks have to stay.

    Returns
    -------
    bool
        Whether a block had to be changed.
    """
    changed = False
    for stage in plan.stages:
        for batch in stage.batches:
            changed |= _guard_batch(W, batch, stability, 1 - margin)
    return changed


def settle(
    W: Tensor, tau: float, stability: str | None, margin: float
) -> tuple[Topology, Plan]:
    """Find weights and topology that fulfil the guarantee to the letter.

    Clipping can push an edge below `tau`, and dropping an edge can spoil what clipping
    achieved; so the two alternate until neither changes anything. As edges
    only disappear, this ends.

    Parameters
    ----------
    W : Tensor of shape (n_nodes, n_nodes)
        Weights, changed in place.
    tau : float
        Edges of at most this absolute weight are left out.
    stability : {"monotone", "contraction"} or None
        The condition to fulfil.
    margin : float
        How far below 1 the blocks have to stay.

    Returns
    -------
    topology : Topology
        The edges above `tau`.
    plan : Plan
        The same, ready for solves.
    """
    while True:
        topology = Topology.from_pairs(pairs_above(W, tau), len(W))
        plan = Plan(topology, W)
        if stability is None:
            return topology, plan
        clips = 0
        while guard(W, plan, stability, margin):
            clips += 1
            if clips == MAX_CLIPS:
                _scale(W, plan, stability, 1 - margin)
                break
        if not clips or len(pairs_above(W, tau)) == topology.n_edges:
            return topology, plan


def excess(blocks: Tensor, stability: str) -> Tensor:
    """Measure what has to stay below 1: the top eigen- or singular value of each block.

    Parameters
    ----------
    blocks : Tensor of shape (n_blocks, n_nodes, n_nodes)
        Weights of cyclic blocks.
    stability : {"monotone", "contraction"}
        The condition.

    Returns
    -------
    Tensor of shape (n_blocks,)
        In double precision.
    """
    blocks = blocks.double()
    try:
        if stability == "contraction":
            return torch.linalg.matrix_norm(blocks, 2)
        return torch.linalg.eigvalsh((blocks + blocks.mT) / 2)[:, -1]
    except FAILURES:
        # Happens on very sparse blocks; the row sums bound both from above.
        return _row_sum_bound(blocks)


def _guard_batch(W: Tensor, batch: Components, stability: str, limit: float) -> bool:
    blocks = batch.weights(W)
    broken = _breaks(blocks, stability, limit).nonzero()[:, 0]
    if not len(broken):
        return False
    blocks[broken] = _clipped(blocks[broken], stability, limit) * batch.edges[broken]
    batch.update_edges(W, blocks)
    return True


def _breaks(blocks: Tensor, stability: str, limit: float) -> Tensor:
    """Whether each block breaks its condition: a Cholesky factorisation fails."""
    eye = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    if stability == "contraction":
        slack = limit**2 * eye - blocks @ blocks.mT
    else:
        slack = limit * eye - (blocks + blocks.mT) / 2
    # Clipped blocks lie on the limit: a relative tolerance keeps them from failing.
    slack.diagonal(dim1=1, dim2=2).add_(_tolerance(blocks.dtype))
    return torch.linalg.cholesky_ex(slack).info > 0


def _tolerance(dtype: torch.dtype) -> float:
    return 1e-4 if dtype == torch.float32 else 1e-7


def _clipped(blocks: Tensor, stability: str, limit: float) -> Tensor:
    """Find the nearest blocks that keep the condition, in Frobenius norm."""
    exact = blocks.double()
    try:
        if stability == "contraction":
            left, values, right = torch.linalg.svd(exact, full_matrices=False)
            return ((left * values.clamp_max(limit)[:, None]) @ right).to(blocks.dtype)
        return (exact - _above((exact + exact.mT) / 2, limit)).to(blocks.dtype)
    except FAILURES:
        return (exact * _shrinkage(_row_sum_bound(exact), limit)).to(blocks.dtype)


def _above(symmetric: Tensor, limit: float) -> Tensor:
    """Take out what symmetric blocks have above a limit: ``V max(λ - limit, 0) Vᵀ``."""
    if symmetric.device.type != "cpu":
        values, vectors = torch.linalg.eigh(symmetric)
        over = (values - limit).clamp_min(0)
        return (vectors * over[:, None]) @ vectors.mT
    parts = [_part_above(block.numpy(), limit) for block in symmetric]
    return torch.stack([torch.from_numpy(part) for part in parts])


def _part_above(symmetric: np.ndarray, limit: float) -> np.ndarray:
    # Few eigenvalues are above: finding these alone takes a third of the time.
    values, vectors = scipy.linalg.eigh(
        symmetric, subset_by_value=(limit, np.inf), check_finite=False
    )
    return (vectors * (values - limit)) @ vectors.T


def _scale(W: Tensor, plan: Plan, stability: str, limit: float) -> None:
    for stage in plan.stages:
        for batch in stage.batches:
            blocks = batch.weights(W)
            factors = _shrinkage(excess(blocks, stability), limit)
            batch.update_edges(W, blocks * factors.to(blocks.dtype))


def _shrinkage(size: Tensor, limit: float) -> Tensor:
    return (limit / size.clamp_min(1e-12)).clamp_max(1)[:, None, None]


def _row_sum_bound(blocks: Tensor) -> Tensor:
    sums = blocks.abs().sum(-1).amax(-1), blocks.abs().sum(-2).amax(-1)
    return torch.maximum(*sums)
