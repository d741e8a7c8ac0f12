"""Modules spread over threads: each worker solves its own until they have converged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from torch import Tensor

from sknm.graph.problem import Problem, Solution, SolverOptions
from sknm.graph.solvers import solve_blocks

LEAST_OPERATIONS = 10**8
"""Multiplications per iteration and worker below which handing the work over takes
longer than it saves: about a millisecond's worth."""


class Workers:
    """Threads that share the blocks of a batch.

    Parameters
    ----------
    pool : joblib.Parallel or None
        An open pool; None solves everything in the calling thread.
    n_workers : int
        Threads of the pool.
    """

    def __init__(self, pool: Parallel | None = None, n_workers: int = 1) -> None:
        self._pool = pool
        self._n_workers = n_workers

    def solve(
        self, problem: Problem, options: SolverOptions, C: Tensor | None
    ) -> tuple[Tensor, Solution]:
        """Solve as `solve_blocks` does, blocks dealt out to the workers.

        Parameters
        ----------
        problem : Problem
            What to solve.
        options : SolverOptions
            Which solver, and the tolerances.
        C : Tensor of shape (n_blocks, n_nodes, n_nodes) or None
            The reflection of the weights, where it is known.

        Returns
        -------
        u : Tensor of shape (n_blocks, n_samples, n_nodes)
            Pre-activations.
        solution : Solution
            Node values; a sample has converged if all of its blocks have.
        """
        n_bins = self._n_bins(problem)
        if self._pool is None or n_bins < 2:
            return solve_blocks(problem, options, C)
        ends = np.linspace(0, len(problem.W), n_bins + 1).astype(int)
        bins = [slice(a, b) for a, b in pairwise(ends)]
        found = self._pool(
            delayed(_solve_bin)(problem, options, C, part) for part in bins
        )
        return _join(found)

    def _n_bins(self, problem: Problem) -> int:
        operations = problem.a.numel() * problem.a.shape[-1]
        worthwhile = operations // LEAST_OPERATIONS
        return min(self._n_workers, len(problem.W), worthwhile)


@contextmanager
def open_workers(n_jobs: int | None) -> Iterator[Workers]:
    """Keep a pool of threads for as long as the context lasts.

    Torch computes with one thread inside: its own threads cost small operations more
    than they save, and would compete with the workers. The number that the caller had
    set is restored, whatever happens.

    Parameters
    ----------
    n_jobs : int or None
        Number of workers, as joblib understands it.

    Yields
    ------
    Workers
        To solve with.
    """
    n_workers = effective_n_jobs(n_jobs)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if n_workers < 2:
            yield Workers()
        else:
            with Parallel(n_jobs=n_workers, require="sharedmem") as pool:
                yield Workers(pool, n_workers)
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def torch_threads(n_jobs: int | None) -> Iterator[None]:
    """Have torch itself use `n_jobs` threads for as long as the context lasts.

    Parameters
    ----------
    n_jobs : int or None
        Number of threads, as joblib understands it.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(effective_n_jobs(n_jobs))
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _solve_bin(
    problem: Problem, options: SolverOptions, C: Tensor | None, part: slice
) -> tuple[Tensor, Solution]:
    torch.set_num_threads(1)  # is a setting of each thread
    own = Problem(problem.sigma.rows(part), problem.a[part], problem.W[part])
    with torch.no_grad():
        return solve_blocks(own, options, None if C is None else C[part])


def _join(found: list[tuple[Tensor, Solution]]) -> tuple[Tensor, Solution]:
    solutions = [solution for _, solution in found]
    return torch.cat([u for u, _ in found]), Solution(
        torch.cat([s.value for s in solutions]),
        torch.stack([s.converged for s in solutions]).all(0),
        max(s.n_iter for s in solutions),
        float(np.max([s.residual for s in solutions])),  # keeps NaN, as max doesn't
    )
