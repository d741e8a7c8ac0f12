"""Sparsity of acyclic graphs: every edge has a price, and those not worth it vanish."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.modules import soft_threshold_
from sknm.plasticity.rule import Step

DEGREE_INTERVAL = 20
"""Steps between two looks at how many edges lead to each node."""


@dataclass
class SparseRule(FixedRule):
    """L1 penalty on the edges, as a proximal step after each of the optimiser's.

    All edges from earlier to later nodes are trained, and those that have vanished can
    come back.

    Attributes
    ----------
    sparsity : {"uniform", "adaptive"}, default="uniform"
        Whether all edges have price 1, or edges to nodes with many a higher one.
    alpha : float, default=0.0
        Strength, in steps of the optimiser.
    """

    sparsity: str = "uniform"
    alpha: float = 0.0

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""
        self._step = 0
        self._prices: Tensor | None = None
        self._all: Topology | None = None

    def start(self, graph: EquationState) -> None:
        """Begin to train all edges that are possible."""
        self._step, self._prices = 0, None
        if self._all is None or self._all.n_nodes != graph.n_nodes:
            self._all = _completed(graph.topology)
        if graph.topology is not self._all:
            graph.rewire(self._all)
        super().start(graph)

    @torch.no_grad()
    def step(self, graph: EquationState, step: Step) -> None:
        """Shrink the weights by what their edges cost."""
        if self.alpha > 0:
            W, amount = graph.weights.data, step.size * self.alpha
            if self.sparsity == "uniform":
                soft_threshold_(W, amount)
            else:
                soft_threshold_(W, self._current_prices(W) * amount)
        self._step += 1

    def end(self, graph: EquationState) -> None:
        """Leave out the edges that have vanished."""
        graph.rewire(Topology(graph.weights.detach().cpu().numpy() != 0))

    def _current_prices(self, W: Tensor) -> Tensor:
        if self._prices is None or self._step % DEGREE_INTERVAL == 0:
            self._prices = adaptive_prices(W)
        return self._prices


def _completed(topology: Topology) -> Topology:
    """Add all edges from earlier to later nodes."""
    is_complete = topology.n_edges == topology.n_nodes * (topology.n_nodes - 1) // 2
    return topology if is_complete else Topology.triangular(topology.n_nodes)


def adaptive_prices(W: Tensor) -> Tensor:
    """Price of an edge: the logarithm of its target's in-degree, relative to the mean.

    Parameters
    ----------
    W : Tensor of shape (n_nodes, n_nodes)
        Weights; zero where there is no edge.

    Returns
    -------
    Tensor of shape (n_nodes,)
        For the edges into each node, 1 on average.
    """
    prices = torch.log1p((W != 0).sum(0).to(W.dtype))
    return prices / prices.mean().clamp_min(torch.finfo(W.dtype).tiny)
