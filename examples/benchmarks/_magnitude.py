"""A control for FreeNets: prune the smallest weights, once, half-way through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sknm import DAGClassifier
from sknm.graph.plan import Plan
from sknm.graph.topology import Topology
from sknm.plasticity.sparsity import SparseGraph


class MagnitudeGraph(SparseGraph):
    """Keeps the edges of largest absolute weight from some epoch on."""

    def __init__(self, topology: Topology, density: float, epoch: int) -> None:
        super().__init__(topology)
        self._n_kept = round(density * topology.n_edges)
        self._epochs_left = epoch

    def after_step(self, W: torch.Tensor, step_size: float, strained: bool) -> Plan:
        """Keep pruned weights at zero, whatever their momentum."""
        W.mul_(self.plan.mask)
        return super().after_step(W, step_size, strained)

    def after_epoch(self, network: Any, table: Any, is_last: bool) -> Plan:
        """Prune if it is time."""
        self._epochs_left -= 1
        if self._epochs_left == 0:
            W = network.node_weights.data
            least = W.abs().flatten().topk(self._n_kept).values[-1]
            W.mul_(W.abs() >= least)
            self.topology = Topology(W.cpu().numpy() != 0)
            self.plan = Plan(self.topology, W)
        return self.plan


@dataclass(repr=False, eq=False)
class MagnitudeClassifier(DAGClassifier):
    """A complete acyclic graph, pruned to `density` after half of the epochs."""

    density: float = 1.0
    alpha_sparsity: float = 0.0

    def _make_organiser(self, generator: torch.Generator) -> MagnitudeGraph:
        triangle = Topology.triangular(self.n_nodes)
        return MagnitudeGraph(triangle, self.density, self.max_iter // 2)
