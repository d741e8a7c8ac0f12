"""The differentiable solve ``z = σ(zW + a)`` over a `Topology`.

Stages are solved one after another: nodes on no cycle by substitution, cyclic components
by a solver, batched by size. The gradient is exact: the adjoint system
``δ = σ'(u) ∘ (g + δ Wᵀ)`` has the form of the forward one and is solved in the same
way, stages in reverse (NM eq. 2-5).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from sknm.graph.activations import ACTIVATIONS, Activation, Gate
from sknm.graph.plan import Batch, Plan
from sknm.graph.solvers import (
    Elementwise,
    Problem,
    Solution,
    SolverOptions,
    refine_reflection,
    reflection,
    solve_blocks,
)
from sknm.graph.topology import Topology

REFRESH_INTERVAL = 20
"""Solves after which a refined reflection is computed anew."""

LARGEST_DEFECT = 0.2
"""Root mean square row norm of the defect up to which a reflection is only refined."""

Gradient = Literal["edges", "modules", "all"]


@dataclass
class Memory:
    """What one solve of a training run leaves for the next.

    The weights move little from step to step, so that the reflection of the last step
    needs one Newton-Schulz step only, and the number of iterations is known about.

    Attributes
    ----------
    reflections : dict of tuple to (Tensor, int)
        The last reflection of each batch, and its age in solves.
    iterations : dict of (tuple, bool) to int
        Iterations that the last forward (False) and adjoint (True) solve needed.
    """

    reflections: dict[tuple, tuple[Tensor, int]] = field(default_factory=dict)
    iterations: dict[tuple[tuple, bool], int] = field(default_factory=dict)

    def reflection(self, batch: Batch, W: Tensor) -> Tensor:
        """Reflection of the weights `W` of `batch`, refined from the last one."""
        C, age = self.reflections.get(batch.key, (None, 0))
        if C is None or age >= REFRESH_INTERVAL:
            return self._keep(batch, reflection(W), 0)
        refined, defect = refine_reflection(C, W)
        flat = defect.view(-1)
        if torch.dot(flat, flat) > LARGEST_DEFECT**2 * defect.shape[0] * len(W[0]):
            return self._keep(batch, reflection(W), 0)
        return self._keep(batch, refined, age + 1)

    def options(
        self, batch: Batch, adjoint: bool, options: SolverOptions
    ) -> SolverOptions:
        """`options` with the first test where the last solve says."""
        expected = self.iterations.get((batch.key, adjoint), options.first_check + 1)
        return replace(options, first_check=max(1, expected - 1))

    def _keep(self, batch: Batch, C: Tensor, age: int) -> Tensor:
        self.reflections[batch.key] = C, age
        return C


def solve(
    a: Tensor,
    W: Tensor,
    topology: Topology | Plan,
    activation: str | Activation = "relu",
    options: SolverOptions | None = None,
    *,
    memory: Memory | None = None,
    gradient: Gradient = "edges",
) -> Solution:
    """Solve ``z = σ(zW + a)`` for every sample.

    Parameters
    ----------
    a : Tensor of shape (n_samples, n_nodes)
        What enters the nodes from outside, ``xU + b``.
    W : Tensor of shape (n_nodes, n_nodes)
        ``W[i, j]`` is the weight of the edge from node i to node j; weights of edges
        that `topology` lacks count as zero.
    topology : Topology or Plan
        The edges that exist. A `Plan` saves the preparation when there are many solves.
    activation : str or Activation, default="relu"
        The activation σ.
    options : SolverOptions, optional
        Solver and tolerances.
    memory : Memory, optional
        What the last solve of a training run left; it is brought up to date.
    gradient : {"edges", "modules", "all"}, default="edges"
        For which weights a gradient is computed: those of the edges that exist (the
        mathematical gradient), of all pairs of nodes inside a cyclic component (which
        needs a topology with no edge between components, else "all" is
        used), or of all pairs, so that an edge that is left out can come back (NM eq. 2).

    Returns
    -------
    Solution
        Node values (n_samples, n_nodes), differentiable with respect to `a` and `W`.
    """
    sigma = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    plan = Plan(topology, W) if isinstance(topology, Topology) else topology
    passing = _Pass(plan, sigma, options or SolverOptions(), memory)
    value = _Equilibrium.apply(a, W, passing, gradient)
    found = passing.found
    return replace(found, value=value)


class _Equilibrium(torch.autograd.Function):
    """Forward solve and its adjoint."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, W: Tensor, passing: _Pass, gradient: Gradient
    ) -> Tensor:
        solution = passing.run(a, W)
        ctx.save_for_backward(solution.value, solution.preactivation, W)
        ctx.passing, ctx.gradient = passing, gradient
        return solution.value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        z, u, W = ctx.saved_tensors
        passing = ctx.passing
        adjoint = replace(passing, slope=passing.sigma.slope(u))
        delta = adjoint.run(grads[0], W.t()).value
        dW = None
        if ctx.needs_input_grad[1]:
            dW = _weight_gradient(z, delta, passing.plan, ctx.gradient)
        return delta, dW, None, None


def _weight_gradient(
    z: Tensor, delta: Tensor, plan: Plan, gradient: Gradient
) -> Tensor:
    """``dW = zᵀ δ`` (NM eq. 3), for the weights that `gradient` names."""
    if gradient == "all" or not plan.is_modular:
        dW = z.t() @ delta
        return dW.fill_diagonal_(0) if gradient != "edges" else dW.mul_(plan.mask)
    dW = z.new_zeros(z.shape[1], z.shape[1])
    for stage in plan.stages:
        for batch in stage.batches:
            pairs = batch.gather(z).mT @ batch.gather(delta)
            if gradient == "edges":
                pairs = pairs * batch.edges
            batch.scatter_pairs(pairs, dW)
    return dW.fill_diagonal_(0)


@dataclass
class _Pass:
    """One passage through the stages: forward, or with slopes given, the adjoint."""

    plan: Plan
    sigma: Activation
    options: SolverOptions
    memory: Memory | None
    slope: Tensor | None = None
    found: Solution = field(init=False, repr=False)

    def run(self, x: Tensor, W: Tensor) -> Solution:
        """Solve with `W`, which the adjoint pass gives transposed."""
        batch = self.plan.whole
        if batch is not None:
            blocks = self._solve_batch(batch, batch.gather(x), W)
            value, preactivation = torch.empty_like(x), torch.empty_like(x)
            batch.scatter(blocks.value, value)
            batch.scatter(blocks.preactivation, preactivation)
            self.found = replace(blocks, value=value, preactivation=preactivation)
        else:
            self.found = self._run_stages(x, W)
        return self.found

    def _run_stages(self, x: Tensor, W: Tensor) -> Solution:
        z, u = torch.zeros_like(x), x.clone()
        found = Solution(z, u, x.new_ones(len(x), dtype=torch.bool), 0, 0.0)
        adjoint = self.slope is not None
        if len(self.plan.stages) > 1:
            mask = self.plan.mask
            W = W * (mask.t() if adjoint else mask)
        stages = self.plan.stages
        for stage in reversed(stages) if adjoint else stages:
            sources = stage.targets if adjoint else stage.sources
            if len(sources):
                joining = W[sources[:, None], stage.nodes]
                u[:, stage.nodes] += z[:, sources] @ joining
            if len(stage.acyclic):
                z[:, stage.acyclic] = self._at(stage.acyclic).value(u[:, stage.acyclic])
            for batch in stage.batches:
                blocks = self._solve_batch(batch, batch.gather(u), W)
                batch.scatter(blocks.value, z)
                batch.scatter(blocks.preactivation, u)
                found = _worse_of(found, blocks)
        return found

    def _at(self, nodes: Tensor) -> Elementwise:
        return self.sigma if self.slope is None else Gate(self.slope[:, nodes])

    def _solve_batch(self, batch: Batch, x: Tensor, W: Tensor) -> Solution:
        adjoint = self.slope is not None
        sigma: Elementwise = self.sigma
        if self.slope is not None:
            sigma = Gate(batch.gather(self.slope).contiguous())
        # The adjoint pass gets the transpose of everything, reflections included.
        forward_W = batch.weights(W.t() if adjoint else W)
        options, C = self.options, None
        if self.memory is not None:
            options = self.memory.options(batch, adjoint, options)
            if adjoint and batch.key in self.memory.reflections:
                C = self.memory.reflections[batch.key][0]
            elif options.name in ("auto", "peaceman_rachford"):
                C = self.memory.reflection(batch, forward_W)
        if adjoint:
            forward_W = forward_W.mT
            C = None if C is None else C.mT
        solution = solve_blocks(Problem(sigma, x.contiguous(), forward_W), options, C)
        if self.memory is not None:
            self.memory.iterations[batch.key, adjoint] = solution.n_iter
        return solution


def _worse_of(whole: Solution, blocks: Solution) -> Solution:
    return replace(
        whole,
        converged=whole.converged & blocks.converged,
        n_iter=max(whole.n_iter, blocks.n_iter),
        residual=max(whole.residual, blocks.residual),
    )
