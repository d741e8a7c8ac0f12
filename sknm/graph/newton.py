"""Newton's method on ``u = σ(u) W + a``, for rows that are hard to solve.

The equation's defect is ``F(u) = σ(u) W + a - u``. Where the guarantees of
:mod:`sknm.graph.stability` hold, ``F`` maps one to one, and ``DW - I``, its derivative,
is regular for all slopes ``D`` in [0, 1]. So the path ``F(u(t)) = (1 - t) F(u(0))``
leads from everywhere to the solution. Newton's method follows it in steps that are
shortened as needed; where σ has a kink, the path is a polygon, and is followed from one
corner to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sknm.graph.problem import Elementwise, Problem, SolverOptions

NEWTON_MEMORY = 2**24
"""Most elements that the Jacobians of one batch may have."""

FIRST_STEPS = 8
"""Steps before the path to the only solution is followed with more care."""

HALVINGS, MANY_HALVINGS = 8, 20
"""Most steps that are tried, each half as long; and where there is one solution."""

SCALED_STEPS = 40
"""Steps that may make the next correction smaller instead of the defect."""

CORNERS = 10
"""Corners of a path, for each node, after which it is left."""


@dataclass(frozen=True)
class _Rows:
    """Rows of a problem, one for each sample of a block, each by itself.

    Attributes
    ----------
    sigma : Elementwise
        The activation σ.
    a : Tensor of shape (n_rows, n_nodes)
        What enters the nodes from outside.
    W : Tensor of shape (n_blocks, n_nodes, n_nodes)
        Weights of the blocks.
    block : Tensor of int of shape (n_rows,)
        To which of them each row belongs.
    """

    sigma: Elementwise
    a: Tensor
    W: Tensor
    block: Tensor

    @classmethod
    def of(cls, problem: Problem) -> _Rows:
        n_blocks, _, n_samples = problem.a.shape
        each = torch.arange(n_blocks * n_samples, device=problem.a.device)
        block, sample = each // max(n_samples, 1), each % max(n_samples, 1)
        index = (block, slice(None), sample)
        return cls(problem.sigma.rows(index), problem.a[index], problem.W, block)

    def __getitem__(self, rows: Tensor | slice) -> _Rows:
        return _Rows(self.sigma.rows(rows), self.a[rows], self.W, self.block[rows])

    def to(self, dtype: torch.dtype) -> _Rows:
        """Pose the same problem in another precision."""
        return _Rows(self.sigma, self.a.to(dtype), self.W.to(dtype), self.block)

    def weights(self) -> Tensor:
        """``W`` of each row."""
        return self.W if len(self.W) == 1 else self.W[self.block]

    def image(self, u: Tensor) -> Tensor:
        """``σ(u) W + a``."""
        z = self.sigma.value(u)
        if len(self.W) == 1:
            return torch.addmm(self.a, z, self.W[0])
        return torch.baddbmm(self.a[:, None], z[:, None], self.weights())[:, 0]

    def jacobian(self, u: Tensor) -> Tensor:
        """``I - DW``, which turns a row of corrections into one of defects."""
        jacobian = -self.sigma.slope(u)[..., None] * self.weights()
        jacobian.diagonal(dim1=-2, dim2=-1).add_(1)
        return jacobian

    def are_open(self, u: Tensor, image: Tensor, options: SolverOptions) -> Tensor:
        """Whether each row misses a tenth of the tolerances."""
        z = self.sigma.value(u)
        allowed = options.atol + options.rtol * z.abs().amax(1)
        return ~((self.sigma.value(image) - z).abs().amax(1) <= 0.1 * allowed)


def newton(
    problem: Problem,
    options: SolverOptions,
    C: Tensor | None = None,
    start: Tensor | None = None,
) -> tuple[Tensor, int]:
    """Semi-smooth Newton's method with backtracking, per sample and block.

    Each step solves ``Δ (I - diag(σ'(u)) W) = σ(u) W + a - u``. For the gate of an
    adjoint system, which is linear, the first one is exact.

    Parameters
    ----------
    problem : Problem
        What to solve.
    options : SolverOptions
        Tolerances.
    C : Tensor, optional
        Not used.
    start : Tensor of shape (n_blocks, n_nodes, n_samples), optional
        Pre-activations to start from.

    Returns
    -------
    u : Tensor of shape (n_blocks, n_nodes, n_samples)
        Pre-activations.
    n_iter : int
        Steps of the slowest batch.
    """
    n_blocks, n_nodes, n_samples = problem.a.shape
    u = problem.a
    if start is not None:
        u = torch.where(start.isfinite().all(1, keepdim=True), start, u)
    rows, u = _Rows.of(problem), u.mT.reshape(-1, n_nodes)
    is_sure = problem.has_one_solution()
    chunk = max(1, NEWTON_MEMORY // n_nodes**2)
    found, n_iter = torch.empty_like(u), 0
    for first in range(0, len(u), chunk):
        part = slice(first, min(first + chunk, len(u)))
        found[part], steps = _solve(rows[part], u[part], options, is_sure)
        n_iter = max(n_iter, steps)
    return found.view(n_blocks, n_samples, n_nodes).mT.contiguous(), n_iter


def _solve(
    rows: _Rows, u: Tensor, options: SolverOptions, is_sure: bool
) -> tuple[Tensor, int]:
    """Make a few quick steps for all rows, and careful ones for those left open."""
    n_steps = min(FIRST_STEPS, options.max_iter) if is_sure else options.max_iter
    u, rest, n_iter = _descend(rows, u, options, n_steps)
    if not len(rest) or n_iter == options.max_iter:
        return u, n_iter
    wide = u.dtype if u.device.type == "mps" else torch.float64  # which has no double
    hard, further = rows[rest].to(wide), u[rest].to(wide)
    if rows.sigma.kinked:
        further = _follow(hard, further)
    further, _, more = _descend(
        hard, further, options, options.max_iter - n_iter, is_careful=True
    )
    return u.index_copy(0, rest, further.to(u.dtype)), n_iter + more


def _descend(
    rows: _Rows,
    u: Tensor,
    options: SolverOptions,
    n_steps: int,
    is_careful: bool = False,
) -> tuple[Tensor, Tensor, int]:
    """Make Newton steps, shortened until they help.

    Parameters
    ----------
    rows : _Rows
        What to solve.
    u : Tensor of shape (n_rows, n_nodes)
        Where to start.
    options : SolverOptions
        Tolerances.
    n_steps : int
        Most steps.
    is_careful : bool, default=False
        Whether to look for steps that help until rounding leaves none. Otherwise, rows
        without a step soon found make one of the fixed-point iteration, which leaves
        the kink that held them.

    Returns
    -------
    u : Tensor of shape (n_rows, n_nodes)
        Pre-activations.
    rest : Tensor of int
        Rows that miss the tolerances.
    n_iter : int
        Steps made.
    """
    found, left = u.clone(), torch.arange(len(u), device=u.device)
    stuck, n_iter, image = left[:0], 0, rows.image(u)
    while True:
        is_open = rows.are_open(u, image, options)
        found[left] = u
        if not is_open.all():
            rows, left = rows[is_open], left[is_open]
            u, image = u[is_open], image[is_open]
        if not len(left) or n_iter == n_steps:
            return found, torch.cat([stuck, left]), n_iter
        n_iter += 1
        is_scaled = is_careful and n_iter <= SCALED_STEPS
        n_trials = MANY_HALVINGS if is_careful else HALVINGS
        u, helped = _backtrack(rows, u, image - u, n_trials, is_scaled)
        if not is_careful:
            u = torch.where(helped[:, None], u, image)
            helped = u.isfinite().all(1)
        if not helped.all():
            stuck = torch.cat([stuck, left[~helped]])
            rows, left, u = rows[helped], left[helped], u[helped]
        image = rows.image(u)


def _backtrack(
    rows: _Rows, u: Tensor, defect: Tensor, n_trials: int, is_scaled: bool
) -> tuple[Tensor, Tensor]:
    """Take the longest of the steps 1, ½, ¼, … that makes a row's defect smaller.

    With `is_scaled`, the correction that would come next with the same Jacobian may
    become smaller instead. It has the units of `u`, and lets steps be longer where
    blocks are far from symmetric, but unlike the defect it may grow again.

    Returns
    -------
    u : Tensor of shape (n_rows, n_nodes)
        Where the steps lead.
    helped : Tensor of bool of shape (n_rows,)
        Which rows have one.
    """
    factors, pivots, _ = torch.linalg.lu_factor_ex(rows.jacobian(u).mT)

    def correction(defect: Tensor, left: Tensor | slice) -> Tensor:
        right = defect[..., None]
        solved = torch.linalg.lu_solve(factors[left], pivots[left], right)
        return solved[..., 0].nan_to_num(0, 0, 0)

    step = correction(defect, slice(None))
    size, step_size = defect.norm(dim=1), step.norm(dim=1)
    found, left = u.clone(), torch.arange(len(u), device=u.device)
    for halvings in range(n_trials):
        length = 0.5**halvings
        trial = u[left] + length * step[left]
        later = rows.image(trial) - trial
        better = later.norm(dim=1) <= (1 - 0.1 * length) * size[left]
        if is_scaled and not better.all():
            next_size = correction(later, left).norm(dim=1)
            better |= next_size <= (1 - 0.1 * length) * step_size[left]
        found[left[better]] = trial[better]
        if better.any():
            rows, left = rows[~better], left[~better]
        if not len(left):
            break
    helped = torch.ones(len(u), dtype=torch.bool, device=u.device)
    helped[left] = False
    return found, helped


def _follow(rows: _Rows, u: Tensor) -> Tensor:
    """Follow the path of a σ with a kink at 0 from corner to corner (Katzenelson 1965).

    A corner is where a node comes to its kink. Beyond it, one row of the Jacobian is
    another one, so that the inverse takes a step of rank one.

    Parameters
    ----------
    rows : _Rows
        What to solve.
    u : Tensor of shape (n_rows, n_nodes)
        Where to start.

    Returns
    -------
    Tensor of shape (n_rows, n_nodes)
        Close to the solution, or, where the path turns back or has too many corners,
        as far as it goes: only blocks without the guarantee make it turn back.
    """
    inverse = torch.linalg.inv_ex(rows.jacobian(u)).inverse
    velocity = ((rows.image(u) - u)[:, None] @ inverse)[:, 0]
    found, left = u.clone(), torch.arange(len(u), device=u.device)
    active, remaining = u > 0, torch.ones_like(u[:, 0])
    jump = 1 - rows.sigma.slope(-torch.ones_like(u[:1, 0]))  # of the slope, at 0
    for _ in range(CORNERS * u.shape[1]):
        approaches = torch.where(active, -velocity, velocity) > 0
        times, node = torch.where(approaches, (u / velocity).abs(), torch.inf).min(1)
        u = u + torch.minimum(times, remaining)[:, None] * velocity
        remaining = remaining - times
        each = torch.arange(len(u), device=u.device)
        change = torch.where(active[each, node], -jump, jump)
        across = (rows.W[rows.block, node][:, None] @ inverse)[:, 0]
        pivot = 1 - change * across[each, node]
        goes_on = (remaining > 0) & (pivot > 0)
        gain = change / pivot
        if not goes_on.all():
            found[left] = u
            rows, left, each = rows[goes_on], left[goes_on], each[: goes_on.sum()]
            u, node, remaining = u[goes_on], node[goes_on], remaining[goes_on]
            active, velocity, inverse = (
                x[goes_on] for x in (active, velocity, inverse)
            )
            across, gain = across[goes_on], gain[goes_on]
        if not len(left):
            break
        active[each, node] ^= True
        turned = gain[:, None] * inverse[each, :, node]
        velocity = velocity + (gain * velocity[each, node])[:, None] * across
        inverse.baddbmm_(turned[..., None], across[:, None])
    found[left] = u
    return found
