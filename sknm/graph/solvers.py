"""Solvers of ``u = σ(u) W + a`` on a batch of blocks: one protocol, one `Solution`.

A solver is a function ``(problem, options, C) -> (u, n_iter)``; `solve_blocks` calls
it, measures what it found and finishes the samples that it left open. The unknown is
the pre-activation ``u = zW + a``, from which ``z = σ(u)`` and ``σ'(u)`` both follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sknm.graph.newton import newton
from sknm.graph.problem import Elementwise, Problem, Solution, SolverOptions

DROP_OUT_SHARE = 0.2
"""Share of open samples at which the settled ones drop out of the iteration."""

USUAL_RATE = 0.45
"""What an iteration of the splitting usually leaves of the error."""

ACCELERATOR_CHECK = 8
"""Iterations between two looks on an accelerator, which has to be waited for."""
NEWTON_STEPS = 50
"""Steps that Newton's method may make for samples that may have no solution."""

Solver = Callable[[Problem, SolverOptions, Tensor | None], tuple[Tensor, int]]


def reflection(W: Tensor) -> Tensor:
    """``C = 2 (2I - W)⁻¹ - I``, the linear half of a Peaceman-Rachford iteration.

    Parameters
    ----------
    W : Tensor of shape (n_blocks, n_nodes, n_nodes)
        Weights of each block.

    Returns
    -------
    Tensor of shape (n_blocks, n_nodes, n_nodes)
        Not finite where ``2I - W`` is singular.
    """
    shifted = -W
    shifted.diagonal(dim1=-2, dim2=-1).add_(2)
    C = torch.linalg.inv_ex(shifted).inverse.mul_(2)
    C.diagonal(dim1=-2, dim2=-1).sub_(1)
    return C


def refine_reflection(C: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """One Newton-Schulz step from the reflection of weights close to `W`.

    Parameters
    ----------
    C : Tensor of shape (n_blocks, n_nodes, n_nodes)
        Reflection of nearby weights.
    W : Tensor of shape (n_blocks, n_nodes, n_nodes)
        Weights of each block.

    Returns
    -------
    C : Tensor of shape (n_blocks, n_nodes, n_nodes)
        The better reflection; its error is the square of the old one.
    defect : Tensor of shape (n_blocks, n_nodes, n_nodes)
        ``I - (2I - W)(C + I)/2`` of the old one: zero if it was exact.
    """
    doubled = C.clone()
    doubled.diagonal(dim1=-2, dim2=-1).add_(1)
    defect = torch.baddbmm(C, W, doubled, beta=-1, alpha=0.5)
    return torch.baddbmm(C, doubled, defect), defect


def peaceman_rachford(
    problem: Problem, options: SolverOptions, C: Tensor | None = None
) -> tuple[Tensor, int]:
    """Peaceman-Rachford splitting with step 1: ``u <- (2σ(u) - u) C + a (C + I)``.

    Converges when σ is a proximal operator and the symmetric part of each block's
    weights is below the identity (Winston & Kolter 2020, monotone operator
    equilibrium networks).

    Parameters
    ----------
    problem : Problem
        What to solve.
    options : SolverOptions
        Tolerances.
    C : Tensor of shape (n_blocks, n_nodes, n_nodes), optional
        The :func:`reflection` of the weights, where it is known.

    Returns
    -------
    u : Tensor of shape (n_blocks, n_nodes, n_samples)
        Pre-activations.
    n_iter : int
        Iterations done.
    """
    C = reflection(problem.W) if C is None else C
    # The first iteration, from u = 0, also is the constant of the others.
    beta = torch.baddbmm(problem.a, C.mT, problem.a)
    return _split(problem.sigma, beta, C.mT, beta, options)


def _split(
    sigma: Elementwise, beta: Tensor, C: Tensor, u: Tensor, options: SolverOptions
) -> tuple[Tensor, int]:
    """``u <- C (2σ(u) - u) + beta`` until the step is small."""
    if options.verify:
        return _split_rows(sigma, beta, C, u, options)
    reflected = torch.empty_like(beta)
    buffers = torch.empty_like(beta), torch.empty_like(beta)
    for n_iter in range(1, options.max_iter + 1):
        previous = u
        sigma.reflect(previous, out=reflected)
        u = torch.baddbmm(beta, C, reflected, out=buffers[n_iter % 2])
        if _is_checked(n_iter, options, u):
            step = torch.sub(u, previous, out=reflected)
            if _has_settled(step, u, options):
                break
    return u, n_iter


def _split_rows(
    sigma: Elementwise, beta: Tensor, C: Tensor, u: Tensor, options: SolverOptions
) -> tuple[Tensor, int]:
    """Iterate until every sample has settled; when most have, with the others only."""
    reflected = torch.empty_like(beta)
    buffers = torch.empty_like(beta), torch.empty_like(beta)
    check = options.first_check
    for n_iter in range(1, options.max_iter + 1):
        previous = u
        sigma.reflect(previous, out=reflected)
        u = torch.baddbmm(beta, C, reflected, out=buffers[n_iter % 2])
        if n_iter < check:
            continue
        overshoot = _overshoot(torch.sub(u, previous, out=reflected), u, options)
        rest = (overshoot > 1).nonzero()[:, 0]
        if not len(rest):
            break
        check = n_iter + _iterations_ahead(overshoot)
        if n_iter < options.max_iter and len(rest) <= DROP_OUT_SHARE * u.shape[2]:
            index = (slice(None), slice(None), rest)
            further = replace(
                options, max_iter=options.max_iter - n_iter, first_check=check - n_iter
            )
            settled, more = _split_rows(
                sigma.rows(index), beta[index], C, u[index], further
            )
            return u.index_copy(2, rest, settled), n_iter + more
    return u, n_iter


def _overshoot(step: Tensor, u: Tensor, options: SolverOptions) -> Tensor:
    """How many times too large the last step of each sample was."""
    allowed = options.atol + options.rtol * u.abs().amax((0, 1))
    return step.abs_().amax((0, 1)) / allowed


def _iterations_ahead(overshoot: Tensor) -> int:
    """Guess when all but `DROP_OUT_SHARE` of the samples will have settled."""
    k = max(1, int((1 - DROP_OUT_SHARE) * len(overshoot)))
    excess = overshoot.kthvalue(k).values.item()
    if not 1 < excess < float("inf"):
        return 2
    return max(2, math.ceil(math.log(excess) / -math.log(USUAL_RATE)))


def picard(
    problem: Problem, options: SolverOptions, C: Tensor | None = None
) -> tuple[Tensor, int]:
    """Fixed-point iteration ``u <- σ(u) W + a``; converges for contractions.

    Parameters
    ----------
    problem : Problem
        What to solve.
    options : SolverOptions
        Tolerances.
    C : Tensor, optional
        Not used.

    Returns
    -------
    u : Tensor of shape (n_blocks, n_nodes, n_samples)
        Pre-activations.
    n_iter : int
        Iterations done.
    """
    u = problem.a
    for n_iter in range(1, options.max_iter + 1):
        previous, u = u, problem.step(u)
        if _is_checked(n_iter, options, u) and _has_settled(u - previous, u, options):
            break
    return u, n_iter


def anderson(
    problem: Problem,
    options: SolverOptions,
    C: Tensor | None = None,
    memory: int = 5,
) -> tuple[Tensor, int]:
    """Anderson acceleration of the fixed-point iteration, per sample and block.

    Parameters
    ----------
    problem : Problem
        What to solve.
    options : SolverOptions
        Tolerances.
    C : Tensor, optional
        Not used.
    memory : int, default=5
        Number of former iterates that are combined.

    Returns
    -------
    u : Tensor of shape (n_blocks, n_nodes, n_samples)
        Pre-activations.
    n_iter : int
        Iterations done.
    """
    iterates, images = [problem.a], [problem.step(problem.a)]
    for n_iter in range(1, options.max_iter + 1):
        u = _anderson_mix(iterates, images)
        image = problem.step(u)
        iterates, images = [*iterates, u][-memory:], [*images, image][-memory:]
        if _is_checked(n_iter, options, u) and _has_settled(image - u, u, options):
            break
    return images[-1], n_iter


def _anderson_mix(iterates: list[Tensor], images: list[Tensor]) -> Tensor:
    """Combine `images` so that the combined defect is smallest."""
    if len(images) == 1:
        return images[0]
    pairs = zip(iterates, images, strict=True)
    defects = torch.stack([(image - u).mT for u, image in pairs], -1)
    differences = defects[..., 1:] - defects[..., :-1]
    gram = differences.mT @ differences
    scale = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    ridge = 10 * torch.finfo(gram.dtype).eps * scale + torch.finfo(gram.dtype).tiny
    right = differences.mT @ defects[..., -1:]
    gamma, _ = torch.linalg.solve_ex(gram + ridge * eye, right)
    stacked = torch.stack([image.mT for image in images], -1)
    steps = stacked[..., 1:] - stacked[..., :-1]
    return images[-1] - (steps @ gamma.nan_to_num(0, 0, 0))[..., 0].mT


SOLVERS: dict[str, Solver] = {
    "peaceman_rachford": peaceman_rachford,
    "picard": picard,
    "anderson": anderson,
    "newton": newton,
}
"""The solvers of cyclic blocks by name."""


def solve_blocks(
    problem: Problem, options: SolverOptions, C: Tensor | None = None
) -> tuple[Tensor, Solution]:
    """Solve a batch of blocks with the solver that `options` name.

    Parameters
    ----------
    problem : Problem
        What to solve.
    options : SolverOptions
        Which solver, and the tolerances.
    C : Tensor of shape (n_blocks, n_nodes, n_nodes), optional
        The :func:`reflection` of the weights, where it is known.

    Returns
    -------
    u : Tensor of shape (n_blocks, n_nodes, n_samples)
        Pre-activations, ``z = σ(u)``.
    solution : Solution
        Node values; ``converged`` says which samples fulfil the tolerances.
    """
    solver = _choose(problem, options)
    found, n_iter = solver(problem, options, C)
    if not options.verify:
        z = problem.sigma.value(found)
        settled = torch.full((), n_iter < options.max_iter, device=found.device)
        return found, Solution(z, settled.expand(z.shape[2]), n_iter, float("nan"))
    u, solution = _measure(problem, options, found, n_iter)
    if not solution.converged.all() and n_iter < options.max_iter:
        # It stopped by the size of its last step, which the residual may exceed.
        tight = replace(options, atol=options.atol / 20, rtol=options.rtol / 20)
        again = replace(tight, max_iter=options.max_iter - n_iter)

        def repeat(rest: Problem, start: Tensor) -> tuple[Tensor, int]:
            return solver(rest, again, C)

        found, u, solution = _finish(problem, options, found, u, solution, repeat)
    if options.name == "auto" and not solution.converged.all():
        u, solution = _finish_by_newton(problem, options, found, u, solution)
    return u, solution


def _choose(problem: Problem, options: SolverOptions) -> Solver:
    if options.name != "auto":
        return SOLVERS[options.name]
    return peaceman_rachford if problem.sigma.proximal else anderson


def _measure(
    problem: Problem, options: SolverOptions, u: Tensor, n_iter: int
) -> tuple[Tensor, Solution]:
    """One more evaluation, and the residual of what came before it."""
    z = problem.sigma.value(u)
    u = torch.baddbmm(problem.a, problem.W.mT, z)
    allowed = options.atol + options.rtol * torch.maximum(
        z.amax((0, 1)), -z.amin((0, 1))
    )
    errors = problem.sigma.value(u).sub_(z).abs_().amax((0, 1))
    converged = errors <= allowed
    residual = errors.max().item() if len(errors) else 0.0
    return u, Solution(z, converged, n_iter, residual)


def _finish(
    problem: Problem,
    options: SolverOptions,
    found: Tensor,
    u: Tensor,
    solution: Solution,
    solver: Callable[[Problem, Tensor], tuple[Tensor, int]],
) -> tuple[Tensor, Tensor, Solution]:
    """Solve the samples that have not converged once more, from what was found."""
    rows = (~solution.converged).nonzero()[:, 0]
    rest = problem.columns(rows)
    better, n_iter = solver(rest, found[:, :, rows])
    entering, finished = _measure(rest, options, better, n_iter)
    u = u.index_copy(2, rows, entering)
    value = solution.value.index_copy(2, rows, finished.value)
    errors = (problem.sigma.value(problem.step(u)) - value).abs()
    solution = Solution(
        value,
        solution.converged.index_copy(0, rows, finished.converged),
        solution.n_iter + n_iter,
        errors.max().item(),
    )
    return found.index_copy(2, rows, better), u, solution


def _finish_by_newton(
    problem: Problem,
    options: SolverOptions,
    found: Tensor,
    u: Tensor,
    solution: Solution,
) -> tuple[Tensor, Solution]:
    """Insist where there is a solution; what was found is then close to it."""
    is_sure = problem.has_one_solution()
    n_steps = max(NEWTON_STEPS, options.max_iter) if is_sure else NEWTON_STEPS
    effort = replace(options, max_iter=n_steps)

    def finish(rest: Problem, start: Tensor) -> tuple[Tensor, int]:
        return newton(rest, effort, start=start if is_sure else None)

    _, u, solution = _finish(problem, options, found, u, solution, finish)
    return u, solution


def _is_checked(n_iter: int, options: SolverOptions, u: Tensor) -> bool:
    late = n_iter - options.first_check
    interval = 3 if options.verify else 2
    return late >= 0 and late % (interval if u.is_cpu else ACCELERATOR_CHECK) == 0


def _has_settled(step: Tensor, u: Tensor, options: SolverOptions) -> bool:
    if options.verify:
        return not bool((_overshoot(step, u, options) > 1).any())
    step, u = step.reshape(-1), u.reshape(-1)
    # Both at once: an accelerator is waited for at each look.
    moved, size = torch.stack([torch.dot(step, step), torch.dot(u, u)]).tolist()
    return moved <= options.rtol**2 * size < float("inf")
