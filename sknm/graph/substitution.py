"""Edges that make no cycle: what enters a stage from others, and exact substitution."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from sknm.graph.plan import Plan
from sknm.graph.problem import Elementwise

UNCHANGED_CHECK = 3
"""Substitutions between two looks at whether they still change anything."""

SPARSE_DENSITY = 0.2
"""Share of the edges between stages below which they are multiplied one by one."""


class Joins:
    """The weights of the edges that lead out of strong components, stage by stage.

    Parameters
    ----------
    plan : Plan
        Of the graph.
    W : Tensor of shape (n_nodes, n_nodes)
        Weights in the order of the plan, zero where there is no edge; transposed
        for the adjoint system.
    is_adjoint : bool
        Whether stages are passed in reverse.
    """

    def __init__(self, plan: Plan, W: Tensor, is_adjoint: bool = False) -> None:
        self._plan = plan
        self._W = W
        self._is_adjoint = is_adjoint
        self._sparse: dict[int, Tensor] = {}

    @classmethod
    def of(cls, plan: Plan, W: Tensor) -> Joins:
        """Arrange the weights `W`, which are in the order of the nodes."""
        if plan.links is None:
            return cls(plan, plan.arrange_pairs(W * plan.mask))
        source, target, *places = plan.links
        return Links(plan, W[source, target], *places)

    def turn_round(self) -> Joins:
        """Make those of the adjoint system."""
        return Joins(self._plan, self._W.t(), is_adjoint=True)

    def enter(self, k: int, x: Tensor, z: Tensor) -> Tensor:
        """Add what enters stage k from the stages before it.

        Parameters
        ----------
        k : int
            Number of the stage.
        x, z : Tensor of shape (n_nodes, n_samples)
            What enters all nodes from outside, and the values that are known.

        Returns
        -------
        Tensor of shape (n_stage_nodes, n_samples)
            The sum.
        """
        stage = self._plan.stages[k]
        rows = stage.targets if self._is_adjoint else stage.sources
        if rows.start == rows.stop:
            return x[stage.places]
        return torch.addmm(x[stage.places], self._into(k, rows), z[rows])

    def substitute(
        self, k: int, sigma: Elementwise, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Values of the nodes on no cycle of stage k.

        Each substitution makes one more level exact; after as many as there are levels,
        or when nothing changes any more, all are.

        Parameters
        ----------
        k : int
            Number of the stage.
        sigma : Elementwise
            The activation.
        x : Tensor of shape (n_acyclic, n_samples)
            What enters them from other stages.

        Returns
        -------
        u : Tensor of shape (n_acyclic, n_samples)
            Pre-activations.
        z : Tensor of shape (n_acyclic, n_samples)
            Values.
        """
        stage = self._plan.stages[k]
        u, z = x, sigma.value(x)
        if stage.depth < 2:
            return u, z
        inside = self._inside(stage.acyclic)
        for level in range(1, stage.depth):
            former, u = z, torch.addmm(x, inside, z)
            z = sigma.value(u)
            if level % UNCHANGED_CHECK == 0 and x.is_cpu and torch.equal(z, former):
                break
        return u, z

    def _inside(self, nodes: slice) -> Tensor:
        return self._W[nodes, nodes].t()

    def _into(self, k: int, rows: slice) -> Tensor:
        if k not in self._sparse:
            weights = self._W[rows, self._plan.stages[k].places].t()
            if not self._plan.is_sparse:
                return weights
            share = weights.count_nonzero().item() / weights.numel()
            with warnings.catch_warnings():
                # Torch warns at the first one that CSR tensors are in beta.
                warnings.filterwarnings("ignore", "Sparse CSR tensor support")
                is_sparse = share < SPARSE_DENSITY
                self._sparse[k] = weights.to_sparse_csr() if is_sparse else weights
        return self._sparse[k]


class Links(Joins):
    """The same where there are few such edges: they are multiplied one by one.

    Parameters
    ----------
    plan : Plan
        Of the graph.
    weights : Tensor of shape (n_links,)
        Their weights.
    source, target : Tensor of int of shape (n_links,)
        Places of their ends in the order of the plan; the other way round for the
        adjoint system.
    """

    def __init__(
        self, plan: Plan, weights: Tensor, source: Tensor, target: Tensor
    ) -> None:
        self._plan = plan
        self._weights = weights
        self._source, self._target = source, target

    def turn_round(self) -> Links:
        """Make those of the adjoint system."""
        return Links(self._plan, self._weights, self._target, self._source)

    def enter(self, k: int, x: Tensor, z: Tensor) -> Tensor:
        """Add what enters stage k from the stages before it."""
        places = self._plan.stages[k].places
        into = _within(self._target, places) & ~_within(self._source, places)
        weights, source = self._weights[into, None], self._source[into]
        sums = x[places].clone()
        return sums.index_add_(
            0, self._target[into] - places.start, weights * z[source]
        )

    def _inside(self, nodes: slice) -> Tensor:
        n_nodes = nodes.stop - nodes.start
        both = _within(self._target, nodes) & _within(self._source, nodes)
        inside = self._weights.new_zeros(n_nodes, n_nodes)
        ends = self._target[both] - nodes.start, self._source[both] - nodes.start
        inside[ends] = self._weights[both]
        return inside


def _within(places: Tensor, span: slice) -> Tensor:
    return (places >= span.start) & (places < span.stop)
