"""What a solver gets and gives: the equation, the tolerances, the solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Elementwise(Protocol):
    """What a solver needs of σ: an activation, or the gate of an adjoint system."""

    @property
    def proximal(self) -> bool:
        """Whether the slope lies in [0, 1]."""

    @property
    def kinked(self) -> bool:
        """Whether σ is two straight lines that meet in a kink at 0."""

    def value(self, u: Tensor, /) -> Tensor:
        """``σ(u)``."""

    def slope(self, u: Tensor, /) -> Tensor:
        """``σ'(u)``."""

    def reflect(self, u: Tensor, /, out: Tensor | None = None) -> Tensor:
        """``2σ(u) - u``."""

    def rows(self, index: Any, /) -> Elementwise:
        """Return the same function for some samples only."""


@dataclass(frozen=True)
class SolverOptions:
    """How a solve is to be done, and how well.

    Attributes
    ----------
    name : str, default="auto"
        A key of `SOLVERS`, or ``"auto"``: Peaceman-Rachford splitting where it is known
        to converge, Anderson acceleration elsewhere, and Newton's method for
        the samples that are left.
    atol, rtol : float, default=1e-5
        A sample has converged when ``|z - σ(zW + a)| <= atol + rtol * max|z|``.
    max_iter : int, default=200
        Iterations after which a solver gives up.
    verify : bool, default=True
        Measure the residual of each sample. Without it (training), convergence is
        judged by the root mean square of the last step over the whole batch.
    first_check : int, default=5
        First iteration after which convergence is tested: a test costs as
        much as an iteration.
    """

    name: str = "auto"
    atol: float = 1e-5
    rtol: float = 1e-5
    max_iter: int = 200
    verify: bool = True
    first_check: int = 5


@dataclass(frozen=True)
class Problem:
    """``u = σ(u) W + a`` on `n_blocks` graphs of `n_nodes` nodes, many samples each.

    Samples are the last dimension: products with many small matrices are up to a third
    faster so, and a graph of equal modules needs no copy to be taken apart.

    Attributes
    ----------
    sigma : Elementwise
        The activation σ.
    a : Tensor of shape (n_blocks, n_nodes, n_samples)
        What enters the nodes from outside.
    W : Tensor of shape (n_blocks, n_nodes, n_nodes)
        ``W[k, i, j]`` is the weight of the edge from node i to node j of block k.
    """

    sigma: Elementwise
    a: Tensor
    W: Tensor

    def step(self, u: Tensor) -> Tensor:
        """``σ(u) W + a``."""
        return torch.baddbmm(self.a, self.W.mT, self.sigma.value(u))

    def has_one_solution(self) -> bool:
        """Whether :mod:`sknm.graph.stability` guarantees it, whatever enters."""
        if not self.sigma.proximal:
            return False
        slack = -(self.W + self.W.mT) / 2
        slack.diagonal(dim1=-2, dim2=-1).add_(1)
        return not torch.linalg.cholesky_ex(slack).info.any()

    def columns(self, rows: Tensor | slice) -> Problem:
        """Pose the same problem for some of the samples."""
        index = (slice(None), slice(None), rows)
        return Problem(self.sigma.rows(index), self.a[index], self.W)


@dataclass(frozen=True)
class Solution:
    """What a solver found: node values, and how far it got.

    Attributes
    ----------
    value : Tensor
        Node values ``z``; (n_blocks, n_nodes, n_samples) for a batch of
        blocks, (n_samples, n_nodes) for a whole graph.
    converged : Tensor of bool of shape (n_samples,)
        Which samples fulfil the tolerances.
    n_iter : int
        Iterations of the solver.
    residual : float
        Largest ``|z - σ(zW + a)|``.
    """

    value: Tensor
    converged: Tensor
    n_iter: int
    residual: float
