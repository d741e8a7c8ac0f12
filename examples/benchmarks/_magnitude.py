"""A control for FreeNets: prune the smallest weights, once, half-way through."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch

from sknm import DAGClassifier
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.rule import Change, Epoch, Step


@dataclass
class MagnitudeRule(FixedRule):
    """Keeps the edges of largest absolute weight from some epoch on."""

    density: float = 1.0
    prune_epoch: int = 1

    @torch.no_grad()
    def step(self, graph: EquationState, step: Step) -> None:
        """Keep pruned weights at zero, whatever their momentum."""
        graph.weights.mul_(graph.plan.mask)

    @torch.no_grad()
    def epoch(self, graph: EquationState, epoch: Epoch) -> Change:
        """Prune if it is time."""
        if epoch.number == self.prune_epoch:
            n_kept = round(self.density * graph.topology.n_edges)
            sizes = graph.weights.abs()
            graph.weights.mul_(sizes >= sizes.flatten().topk(n_kept).values[-1])
            graph.rewire(Topology(graph.weights.cpu().numpy() != 0))
        return super().epoch(graph, epoch)


@dataclass(repr=False, eq=False)
class MagnitudeClassifier(DAGClassifier):
    """A complete acyclic graph, pruned to `density` after half of the epochs."""

    _: KW_ONLY
    density: float = 1.0
    alpha_sparsity: float = 0.0

    def _make_rule(self) -> MagnitudeRule:
        return MagnitudeRule(
            restraint=super()._make_rule().restraint,
            density=self.density,
            prune_epoch=self.max_iter // 2,
        )
