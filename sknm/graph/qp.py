"""OptNet's layer: a quadratic programme per sample, all with the same matrices.

Each row `a` of a batch has the programme

    minimise ``½ zᵀQz - aᵀz`` subject to ``Gz <= h``

(Amos & Kolter 2017). It is solved in the multipliers λ of the constraints, where it is
``0 <= λ ⟂ h - Gz >= 0`` with ``z = Q⁻¹(a - Gᵀλ)``. Operator splitting with one factor
for the whole batch finds about which constraints are active; active sets do the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sknm.compute.parallel import Workers, cut
from sknm.graph.problem import Solution
from sknm.graph.proxqp import solve_one_by_one

SPLITTINGS = 30
"""Iterations of the splitting before active sets are tried. Each costs one product."""

FURTHER_SPLITTINGS = 1000
"""The same for the samples that were left open."""

PIVOTS, SEARCHES = 8, 300
"""Most active sets that are tried without and with a line search."""

BISECTIONS = 25
"""Halvings of a step by its line search."""

RELAXATION = 0.9
"""Step of the splitting, below 1, with which it converges for singular ``GQ⁻¹Gᵀ``."""

PROXIMITY = 1e-8
"""Weight, relative to the diagonal of ``GQ⁻¹Gᵀ``, that keeps multipliers close to the
last ones, so that dependent constraints do no harm."""

ATOL, RTOL = 1e-6, 1e-9
"""Largest violation of the KKT conditions, absolute and relative to the forces."""

SHARPNESS = 1e-3
"""Share of it that multipliers may have, before values are computed from them."""

TINY = 1e-12
"""Least square of a constraint's length that is not taken for zero."""

MEMORY = 2**24
"""Most elements of the systems of equations that are solved at a time."""

LEAST_ROWS, PART_PRODUCTS = 32, 2**19
"""Least rows, and products with ``S``, of a part that threads may share."""

SOLVERS = ("admm", "proxqp")


class Programme:
    """The matrices that all samples share, and what follows from them.

    Parameters
    ----------
    Q : Tensor of shape (n_nodes, n_nodes)
        Positive definite.
    G : Tensor of shape (n_constraints, n_nodes)
        Normals of the constraints.
    h : Tensor of shape (n_constraints,)
        Their bounds. The programme has to be feasible.
    """

    def __init__(self, Q: Tensor, G: Tensor, h: Tensor) -> None:
        self.Q, self.G, self.h = Q, G, h

    @cached_property
    def _factor(self) -> Tensor:
        factor, info = torch.linalg.cholesky_ex(self.Q)
        # Weights that have grown beyond measure: all that follows is no number.
        return factor if info == 0 else torch.full_like(factor, torch.nan)

    @cached_property
    def _lift(self) -> Tensor:
        return self.divide(self.G)

    @cached_property
    def scale(self) -> Tensor:
        """Units of the multipliers in which ``S`` has a diagonal of ones."""
        diagonal = (self.G * self._lift).sum(1)
        return diagonal.clamp_min(TINY).rsqrt()

    @cached_property
    def S(self) -> Tensor:
        """``GQ⁻¹Gᵀ`` in these units."""
        return (self.G @ self._lift.mT) * self.scale * self.scale[:, None]

    @cached_property
    def splitting(self) -> tuple[Tensor, float]:
        """``2(I + γS)⁻¹ - I``, and γ."""
        eye = torch.eye(len(self.S), dtype=self.S.dtype, device=self.S.device)
        if not self.S.isfinite().all():
            return torch.full_like(eye, torch.nan), 1.0
        eigenvalues = torch.linalg.eigvalsh(self.S).clamp_min(TINY)
        largest = eigenvalues[-1].item()
        least = max(eigenvalues[0].item(), 1e-2 * largest)
        gamma = (least * largest) ** -0.5
        return 2 * torch.linalg.inv(eye + gamma * self.S) - eye, gamma

    def divide(self, rows: Tensor) -> Tensor:
        """``Q⁻¹`` times each row."""
        return torch.cholesky_solve(rows.mT, self._factor).mT

    def excess(self, a: Tensor) -> Tensor:
        """By how much ``Q⁻¹a`` breaks each constraint, in the units of the multipliers.

        Parameters
        ----------
        a : Tensor of shape (n_samples, n_nodes)
            Linear terms.

        Returns
        -------
        Tensor of shape (n_samples, n_constraints)
            Negative where it keeps it.
        """
        return (a @ self._lift.mT - self.h) * self.scale

    def values(self, a: Tensor, multipliers: Tensor) -> Tensor:
        """Minimisers ``z`` (n_samples, n_nodes) that belong to multipliers."""
        return self.divide(a - multipliers @ self.G)

    def violations(self, a: Tensor, z: Tensor, multipliers: Tensor) -> Tensor:
        """Largest violation of a KKT condition, in absolute terms, of each sample.

        Distances to the constraints are measured in the norm of Q, so that it makes no
        difference how long the constraints' normals are.
        """
        stationarity = z @ self.Q - a + multipliers @ self.G
        slack = (self.h - z @ self.G.mT) * self.scale
        complementarity = torch.minimum(multipliers / self.scale, slack)
        return torch.maximum(stationarity.abs().amax(1), complementarity.abs().amax(1))


def solve_programmes(
    a: Tensor,
    programme: Programme,
    solver: str = "admm",
    workers: Workers | None = None,
) -> Solution:
    """Solve the programme of each row of `a`.

    The gradient is that of the KKT conditions (Amos & Kolter 2017, eq. 6-8).

    Parameters
    ----------
    a : Tensor of shape (n_samples, n_nodes)
        Linear terms, in double precision.
    programme : Programme
        What all samples share.
    solver : {"admm", "proxqp"}, default="admm"
        Ours, for all samples at once; or that of proxsuite, one by one.
    workers : Workers, optional
        Threads that share the samples; those of "proxqp" on the way back only.

    Returns
    -------
    Solution
        Values (n_samples, n_nodes), differentiable with respect to `a` and the three
        tensors of `programme`; `residual` is the largest violation of the KKT
        conditions.

    Raises
    ------
    ImportError
        If proxsuite is asked for and not installed.
    """
    passing = _Pass(programme, solver, workers or Workers())
    value = _Programmes.apply(a, programme.Q, programme.G, programme.h, passing)
    return replace(passing.found, value=value)


class _Pass:
    """What the way back needs of the way forth."""

    found: Solution
    multipliers: Tensor

    def __init__(self, programme: Programme, solver: str, workers: Workers) -> None:
        self.programme, self.solver, self.workers = programme, solver, workers

    def run(self, a: Tensor) -> Tensor:
        programme = self.programme
        if self.solver == "proxqp":
            self.multipliers, n_iter = solve_one_by_one(
                a, programme.Q, programme.G, programme.h, 0.01 * SHARPNESS * ATOL
            )
        else:
            self.multipliers, n_iter = _admm(a, programme, self.workers)
        z = programme.values(a, self.multipliers)
        violations = programme.violations(a, z, self.multipliers)
        residual = violations.max().item() if len(a) else 0.0
        size = torch.maximum(a.abs(), (self.multipliers @ programme.G).abs()).amax(1)
        converged = violations <= ATOL + RTOL * size
        self.found = Solution(z, converged, n_iter, residual)
        return z


class _Programmes(torch.autograd.Function):
    """Minimisers, and the way back through the KKT conditions."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, Q: Tensor, G: Tensor, h: Tensor, passing: _Pass
    ) -> Tensor:
        ctx.passing = passing
        return passing.run(a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # ``Qu + Gᵀv = grad`` and ``Gu = 0`` for the active constraints.
        passing: _Pass = ctx.passing
        programme, z = passing.programme, passing.found.value
        active = passing.multipliers > programme.h - z @ programme.G.mT
        right = (programme.divide(grad) @ programme.G.mT) * programme.scale
        solve = partial(_solve_active, programme.S, ridge=1e-3 * PROXIMITY)
        parts = _share_rows(passing.workers, solve, 1, active, right)
        v = torch.cat(parts) * programme.scale
        u = programme.values(grad, v)
        pairs = u.mT @ z
        dG = -(passing.multipliers.mT @ u + v.mT @ z)
        return u, -(pairs + pairs.mT) / 2, dG, v.sum(0), None


def _admm(a: Tensor, programme: Programme, workers: Workers) -> tuple[Tensor, int]:
    """Multipliers of each row, and the iterations that it took."""
    R, gamma = programme.splitting
    c, allowed = programme.excess(a), SHARPNESS * (ATOL + RTOL * a.abs().amax(1))
    beta = torch.addmm(c, c, R).mul_(gamma)
    solve = partial(_solve, programme, SPLITTINGS, PIVOTS, False)
    parts = _share_rows(workers, solve, PIVOTS, c, allowed, beta, beta)
    found, is_open, x, n_iter = _join(parts)
    if is_open.any():
        rows = is_open.nonzero()[:, 0]
        solve = partial(_solve, programme, FURTHER_SPLITTINGS, SEARCHES, True)
        given = (values[rows] for values in (c, allowed, beta, x))
        found[rows], _, _, more = _join(_share_rows(workers, solve, SEARCHES, *given))
        n_iter += more
    return found * programme.scale, n_iter


def _share_rows(
    workers: Workers, solve: Callable[..., Any], n_systems: int, *rows: Tensor
) -> list[Any]:
    """Have threads solve parts of the rows, at most so many systems of each."""
    n_samples, n_constraints = rows[0].shape
    n_products = n_samples * n_constraints**2
    n_parts = n_products // PART_PRODUCTS if rows[0].device.type == "cpu" else 1
    parts = cut(n_samples, LEAST_ROWS, n_parts)
    tasks = [partial(solve, *(values[part] for values in rows)) for part in parts]
    return workers.run(tasks, n_systems * n_products)


_Found = tuple[Tensor, Tensor, Tensor, int]


def _join(parts: list[_Found]) -> _Found:
    found, is_open, x, n_iter = zip(*parts, strict=True)
    return torch.cat(found), torch.cat(is_open), torch.cat(x), max(n_iter)


def _solve(
    programme: Programme,
    n_splittings: int,
    n_sets: int,
    is_searching: bool,
    c: Tensor,
    allowed: Tensor,
    beta: Tensor,
    x: Tensor,
) -> _Found:
    """Split, then try active sets, for some of the rows.

    Returns
    -------
    multipliers, is_open : Tensor
        As :func:`_try_active_sets` has them.
    x : Tensor of shape (n_samples, n_constraints)
        What splitting found.
    n_iter : int
        Iterations of both.
    """
    x = _split(programme.splitting[0], beta, x, n_splittings)
    found, is_open, n_tried = _try_active_sets(
        programme, c, allowed, x, n_sets, is_searching
    )
    return found, is_open, x, n_splittings + n_tried


def _split(R: Tensor, beta: Tensor, x: Tensor, n_iter: int) -> Tensor:
    """Averaged reflections: ADMM of the programme, in its multipliers ``max(x, 0)``."""
    x, size = x.clone(), torch.empty_like(x)
    for _ in range(n_iter):
        torch.abs(x, out=size)
        x.mul_(1 - RELAXATION).add_(beta, alpha=RELAXATION)
        x.addmm_(size, R, alpha=RELAXATION)
    return x


def _try_active_sets(
    programme: Programme,
    c: Tensor,
    allowed: Tensor,
    x: Tensor,
    n_sets: int,
    is_searching: bool,
) -> tuple[Tensor, Tensor, int]:
    """Find multipliers by the active sets that follow from one another.

    With a line search, this is the semi-smooth Newton method on the augmented
    Lagrangian, which comes to the solution from far away. Without one, it is faster
    where the first active set is nearly right.

    Parameters
    ----------
    programme : Programme
        What all samples share.
    c : Tensor of shape (n_samples, n_constraints)
        By how much the unconstrained minimiser breaks the constraints.
    allowed : Tensor of shape (n_samples,)
        Largest violation of a KKT condition.
    x : Tensor of shape (n_samples, n_constraints)
        Multipliers to start from, negative where a constraint is inactive.
    n_sets : int
        Most sets that are tried.
    is_searching : bool
        Whether steps are shortened to the minimum along them.

    Returns
    -------
    multipliers : Tensor of shape (n_samples, n_constraints)
        Those of the last set.
    is_open : Tensor of bool of shape (n_samples,)
        Where they are no solution.
    n_tried : int
        Sets that were tried.
    """
    S = programme.S
    found, rows = x.clamp_min(0), torch.arange(len(x), device=x.device)
    # Multipliers at the centre; those of the iterate, and its excess.
    centre = iterate = x.clamp_min(0)
    excess = c - iterate @ S
    active = excess + PROXIMITY * centre > 0 if is_searching else x > 0
    n_tried = 0
    while len(rows) and n_tried < n_sets:
        n_tried += 1
        target = _solve_active(S, active, c + PROXIMITY * centre, PROXIMITY)
        step = target - iterate
        change = c - target @ S - excess
        violation = torch.minimum(target, -(excess + change)).abs().amax(1)
        found[rows] = target.clamp_min(0)
        # Where the set stays, the augmented Lagrangian is at its minimum: to the next.
        is_settled = ((excess + change + PROXIMITY * centre > 0) == active).all(1)
        if is_searching:
            length = _search(iterate, excess, centre, c, step, change)[:, None]
            step, change = length * step, length * change
        iterate, excess = iterate + step, excess + change
        centre = torch.where(is_settled[:, None], target.clamp_min(0), centre)
        active = excess + PROXIMITY * centre > 0
        left = violation > allowed
        rows, allowed, c = rows[left], allowed[left], c[left]
        iterate, excess = iterate[left], excess[left]
        centre, active = centre[left], active[left]
    is_open = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    is_open[rows] = True
    return found, is_open, n_tried


def _search(
    iterate: Tensor,
    excess: Tensor,
    centre: Tensor,
    c: Tensor,
    step: Tensor,
    change: Tensor,
) -> Tensor:
    """Length, at most 1, at which the augmented Lagrangian is least along a step."""

    def slope(t: Tensor) -> Tensor:
        later = excess + t[:, None] * change
        linear = (step * (c - later)).sum(1)
        broken = (later / PROXIMITY + centre).clamp_min(0)
        return linear + (broken * change).sum(1)

    high = torch.ones_like(c[:, 0])
    is_long = slope(high) > 0
    low = torch.zeros_like(high)
    if is_long.any():
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            is_past = slope(middle) > 0
            high = torch.where(is_past, middle, high)
            low = torch.where(is_past, low, middle)
    return torch.where(is_long, (low + high) / 2, torch.ones_like(high))


def _solve_active(S: Tensor, active: Tensor, right: Tensor, ridge: float) -> Tensor:
    """Solve ``(S + ridge I) x = right`` among the active constraints of each sample.

    Parameters
    ----------
    S : Tensor of shape (n_constraints, n_constraints)
        Positive semidefinite.
    active : Tensor of bool of shape (n_samples, n_constraints)
        Which equations and unknowns belong to the sample.
    right : Tensor of shape (n_samples, n_constraints)
        Right-hand sides.
    ridge : float
        Added to the diagonal.

    Returns
    -------
    Tensor of shape (n_samples, n_constraints)
        Zero for the other constraints.
    """
    if not len(active):
        return torch.zeros_like(right)
    largest = int(active.sum(1).max())
    n_rows = max(1, MEMORY // max(1, largest) ** 2)
    chunks = zip(active.split(n_rows), right.split(n_rows), strict=True)
    return torch.cat([_solve_chunk(S, *chunk, ridge) for chunk in chunks])


def _solve_chunk(S: Tensor, active: Tensor, right: Tensor, ridge: float) -> Tensor:
    counts = active.sum(1)
    size = int(counts.max())
    # Active constraints come first; what fills up the rest is made an identity.
    order = torch.argsort(active.byte(), dim=1, descending=True, stable=True)[:, :size]
    is_filling = torch.arange(size, device=S.device) >= counts[:, None]
    system = S[order[:, :, None], order[:, None, :]]
    system.masked_fill_(is_filling[:, :, None] | is_filling[:, None, :], 0)
    system.diagonal(dim1=1, dim2=2).add_(is_filling.to(S.dtype) + ridge)
    known = right.gather(1, order).masked_fill_(is_filling, 0)
    factor, _ = torch.linalg.cholesky_ex(system)
    solved = torch.cholesky_solve(known[..., None], factor)[..., 0]
    return torch.zeros_like(right).scatter_(1, order, solved.nan_to_num(0, 0, 0))
