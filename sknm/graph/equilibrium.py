"""The differentiable solve ``z = σ(zW + a)`` over a `Topology`.

Stages are solved one after another: nodes on no cycle by substitution, cyclic
components by a solver, batched by size. The gradient is exact: the adjoint system
``δ = σ'(u) ∘ (g + δ Wᵀ)`` has the form of the forward one and is solved in the same
way, stages in reverse (NM eq. 2-5).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sknm.compute.parallel import Workers
from sknm.graph.activations import ACTIVATIONS, Activation, Gate
from sknm.graph.plan import Components, Plan, PlannedStage
from sknm.graph.problem import Elementwise, Problem, Solution, SolverOptions
from sknm.graph.solvers import refine_reflection, reflection, solve_blocks
from sknm.graph.substitution import Joins
from sknm.graph.topology import Topology

REFRESH_INTERVAL = 20
"""Solves after which a refined reflection is computed anew."""

LARGEST_DEFECT = 0.2
"""Root mean square row norm of the defect up to which a reflection is only refined."""

Gradient = Literal["edges", "all"]


@dataclass
class Prepared:
    """What several solves with the same weights have in common.

    Attributes
    ----------
    blocks : dict of tuple to (Tensor, Tensor or None)
        Weights of each batch, and their reflection if the solver needs it.
    joins : Joins or None
        Weights of the edges that lead out of strong components.
    """

    blocks: dict[tuple, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    joins: Joins | None = None

    def turn_round(self) -> Prepared:
        """Make the same for the adjoint system."""
        blocks = {
            key: (W.mT, None if C is None else C.mT)
            for key, (W, C) in self.blocks.items()
        }
        return Prepared(blocks, self.joins and self.joins.turn_round())


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
    _plan: Plan | None = field(default=None, repr=False, compare=False)

    def attend(self, plan: Plan) -> None:
        """Begin a solve: forget the batches of former plans that `plan` lacks."""
        if plan is self._plan:
            return
        self._plan = plan
        keys = {batch.key for batch in plan.batches}
        kept = {k: v for k, v in self.reflections.items() if k[:2] in keys}
        self.reflections = kept
        self.iterations = {k: v for k, v in self.iterations.items() if k[0][:2] in keys}

    def reflection(self, batch: Components, W: Tensor) -> Tensor:
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
        self, batch: Components, adjoint: bool, options: SolverOptions
    ) -> SolverOptions:
        """`options` with the first test where the last solve says."""
        expected = self.iterations.get((batch.key, adjoint))
        if expected is None or expected == options.first_check + 1:
            return options
        return replace(options, first_check=max(1, expected - 1))

    def _keep(self, batch: Components, C: Tensor, age: int) -> Tensor:
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
    workers: Workers | None = None,
    prepared: Prepared | None = None,
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
    gradient : {"edges", "all"}, default="edges"
        For which weights a gradient is computed: those of the edges that exist (the
        mathematical gradient), or of all pairs, so that an edge that is left out can
        come back (NM eq. 2).
    workers : Workers, optional
        Threads that share the blocks of each stage.
    prepared : Prepared, optional
        New before the first of several solves with the same weights; holds what the
        others need not compute again.

    Returns
    -------
    Solution
        Node values (n_samples, n_nodes), differentiable with respect to `a` and `W`.
    """
    sigma = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    plan = Plan(topology, W) if isinstance(topology, Topology) else topology
    passage = Passage(
        plan, sigma, options or SolverOptions(), memory, workers or Workers(), prepared
    )
    value = _Equilibrium.apply(a, W, passage, gradient)
    return replace(passage.found, value=value)


class _Equilibrium(torch.autograd.Function):
    """Forward solve and its adjoint."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, W: Tensor, passage: Passage, gradient: Gradient
    ) -> Tensor:
        ctx.save_for_backward(W)
        ctx.passage, ctx.gradient = passage, gradient
        return passage.run(a.t(), W).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (W,) = ctx.saved_tensors
        gradient = ctx.gradient if ctx.needs_input_grad[1] else None
        delta, dW = ctx.passage.back(grad.t(), W, gradient)
        return delta.t(), dW, None, None


def _gradient_by_stage(plan: Plan, z: Tensor, delta: Tensor) -> Tensor:
    """Multiply only what can have edges: the nodes up to each stage with its own."""
    dW = z.new_zeros(len(z), len(z))
    for stage in plan.stages:
        into = stage.places
        for rows in (stage.sources, into):
            dW[rows, into] = z[rows] @ delta[into].t()
    return plan.restore_pairs(dW).mul_(plan.mask)


class Passage:
    """One passage through the stages: forward, or with slopes given, the adjoint.

    Parameters
    ----------
    plan : Plan
        The edges that exist.
    sigma : Activation
        The activation σ.
    options : SolverOptions
        Solver and tolerances.
    memory : Memory or None
        What the last solve of a training run left; it is brought up to date.
    workers : Workers
        Threads that share the blocks of each stage.
    prepared : Prepared, optional
        What solves with the same weights share.

    Attributes
    ----------
    found : Solution
        What :meth:`run` found.
    is_strained : bool
        Whether it, or the way back, came to the iteration limit.
    """

    def __init__(
        self,
        plan: Plan,
        sigma: Activation,
        options: SolverOptions,
        memory: Memory | None,
        workers: Workers,
        prepared: Prepared | None = None,
    ) -> None:
        self.workers = workers
        self.plan = plan
        self.sigma = sigma
        self.options = options
        self.memory = memory
        self.is_adjoint = False
        self.found: Solution
        self.is_strained = False
        # Of each part of the cyclic components: its values.
        self._values: dict[tuple, tuple[Components, Tensor]] = {}
        # Pre-activations of nodes on no cycle (then their slopes), and of each part.
        self._loose: dict[int, Tensor] = {}
        self._tied: dict[tuple, Tensor] = {}
        self.prepared = Prepared() if prepared is None else prepared

    def turn_round(self) -> Passage:
        """Make the way back: slopes at the solution, and the weights transposed."""
        prepared = self.prepared.turn_round()
        back = Passage(
            self.plan, self.sigma, self.options, self.memory, self.workers, prepared
        )
        back.is_adjoint = True
        back._loose = {k: self.sigma.slope(u) for k, u in self._loose.items()}
        back._tied = self._tied
        return back

    def back(
        self, g: Tensor, W: Tensor, gradient: Gradient | None
    ) -> tuple[Tensor, Tensor | None]:
        """Go the way back, after :meth:`run`.

        Parameters
        ----------
        g : Tensor of shape (n_nodes, n_samples)
            Gradient of the node values.
        W : Tensor of shape (n_nodes, n_nodes)
            Weights of the way forward.
        gradient : {"edges", "all"} or None
            For which weights a gradient is wanted.

        Returns
        -------
        delta : Tensor of shape (n_nodes, n_samples)
            Gradient of what enters the nodes.
        dW : Tensor of shape (n_nodes, n_nodes) or None
            ``zᵀ δ`` (NM eq. 3), zero on the diagonal.
        """
        adjoint = self.turn_round()
        delta = adjoint.run(g, W.t())
        self.is_strained |= adjoint.is_strained
        if gradient is None:
            return delta, None
        z = self.found.value
        if gradient == "all":
            return delta, (z @ delta.t()).fill_diagonal_(0)
        if not self.plan.is_modular:
            arranged = self.plan.arrange(z), self.plan.arrange(delta)
            return delta, _gradient_by_stage(self.plan, *arranged)
        dW = z.new_zeros(len(z), len(z))
        for key, (part, values) in self._values.items():
            pairs = values @ adjoint._values[key][1].mT
            part.write_pairs(pairs * part.edges, dW)
        return delta, dW

    def run(self, x: Tensor, W: Tensor) -> Tensor:
        """Solve for `x` (n_nodes, n_samples); the adjoint pass gets `W` transposed."""
        if self.memory is not None and not self.is_adjoint:
            self.memory.attend(self.plan)
        whole = self.plan.whole
        if whole is None or len(whole.parts(x.shape[1])) > 1:
            self.found = self._run_stages(x, W)
        else:
            solution = self._solve_part(whole, x, W)
            self.found = replace(solution, value=solution.value.reshape(x.shape))
        self.is_strained = self.found.n_iter >= self.options.max_iter
        return self.found.value

    def _run_stages(self, x: Tensor, W: Tensor) -> Solution:
        plan = self.plan
        x = plan.arrange(x)
        z = torch.empty_like(x, memory_format=torch.contiguous_format)
        found = Solution(z, x.new_ones(x.shape[1], dtype=torch.bool), 0, 0.0)
        joins = self._joins(W)
        stages = list(enumerate(plan.stages))
        for k, stage in reversed(stages) if self.is_adjoint else stages:
            entering = x if joins is None else joins.enter(k, x, z)
            n_acyclic = stage.acyclic.stop - stage.acyclic.start
            if n_acyclic:
                z[stage.acyclic] = self._substitute(k, joins, entering[:n_acyclic])
            for solution in self._solve_stage(stage, entering, W, z[stage.places]):
                found = _worse_of(found, solution)
        return replace(found, value=plan.restore(z))

    def _joins(self, W: Tensor) -> Joins | None:
        if self.prepared.joins is None and not self.plan.is_modular:
            self.prepared.joins = Joins.of(self.plan, W)
        return self.prepared.joins

    def _substitute(self, k: int, joins: Joins | None, x: Tensor) -> Tensor:
        sigma = Gate(self._loose[k]) if self.is_adjoint else self.sigma
        u, z = x, sigma.value(x)
        if joins is not None:
            u, z = joins.substitute(k, sigma, x)
        if not self.is_adjoint:
            self._loose[k] = u
        return z

    def _solve_stage(
        self, stage: PlannedStage, x: Tensor, W: Tensor, z: Tensor
    ) -> list[Solution]:
        """Solve the cyclic components of a stage, parts shared among the workers."""
        tasks, size = [], 0
        for batch in stage.batches:
            for part in batch.parts(x.shape[1]):
                tasks.append(partial(self._solve_part, part, x, W, z))
            size += batch.edges.numel() * x.shape[1]
        return self.workers.run(tasks, size)

    def _solve_part(
        self, part: Components, x: Tensor, W: Tensor, z: Tensor | None = None
    ) -> Solution:
        """Solve some blocks, which stop when they have converged; write them to `z`."""
        sigma: Elementwise = self.sigma
        if self.is_adjoint:
            sigma = Gate(self.sigma.slope(self._tied[part.key]))
        options = self.options
        if self.memory is not None:
            options = self.memory.options(part, self.is_adjoint, options)
        blocks, C = self._weights_of(part, W)
        u, solution = solve_blocks(Problem(sigma, part.gather(x), blocks), options, C)
        self._values[part.key] = part, solution.value
        if not self.is_adjoint:
            self._tied[part.key] = u
        if self.memory is not None:
            self.memory.iterations[part.key, self.is_adjoint] = solution.n_iter
        if z is not None:
            part.scatter(solution.value, z)
        return solution

    def _weights_of(self, part: Components, W: Tensor) -> tuple[Tensor, Tensor | None]:
        """Look up or prepare what the solves of `part` need."""
        known = self.prepared.blocks
        if part.key not in known:
            blocks = part.weights(W)
            known[part.key] = blocks, self._reflection(part, blocks)
        return known[part.key]

    def _reflection(self, part: Components, blocks: Tensor) -> Tensor | None:
        if self.options.name not in ("auto", "peaceman_rachford"):
            return None
        if self.memory is None or self.options.verify:
            return reflection(blocks)  # a refined one solves for weights close by
        return self.memory.reflection(part, blocks)


def _worse_of(whole: Solution, blocks: Solution) -> Solution:
    return Solution(
        whole.value,
        whole.converged & blocks.converged,
        max(whole.n_iter, blocks.n_iter),
        float(np.maximum(whole.residual, blocks.residual)),  # keeps NaN, as max doesn't
    )
