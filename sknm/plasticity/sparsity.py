"""Sparsity of acyclic graphs: every edge has a price, and those not worth it vanish."""

from __future__ import annotations

import torch
from torch import Tensor

from sknm.graph.plan import Plan
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedGraph
from sknm.plasticity.modules import soft_threshold_

PRICE_INTERVAL = 20
"""Steps between two looks at how many edges lead to each node."""


class SparseGraph(FixedGraph):
    """L1 penalty on the edges, as a proximal step after each of the optimiser's.

    Edges that vanish are still trained and can come back.

    Parameters
    ----------
    topology : Topology
        The edges that may exist.
    sparsity : {"uniform", "adaptive"}
        Whether all edges have price 1, or edges to nodes with many a higher one.
    alpha : float
        Strength, in steps of the optimiser.
    restraint : float, default=1.0
        Share of its steps that is left to the weights of long chains of squares.
    """

    def __init__(
        self, topology: Topology, sparsity: str, alpha: float, restraint: float = 1.0
    ) -> None:
        super().__init__(topology, restraint=restraint)
        self._possible = topology
        self.set_rule(sparsity, alpha)
        self._step = 0
        self._prices: Tensor | None = None

    def set_rule(self, sparsity: str, alpha: float) -> None:
        """Change the prices to come."""
        self.sparsity, self.alpha = sparsity, alpha

    def start(self, W: Tensor) -> Plan:
        """Begin to train `W`, in which impossible edges become zero."""
        self._step, self._prices = 0, None
        self.topology = self._possible
        return super().start(W)

    def after_step(self, W: Tensor, step_size: float, strained: bool) -> Plan:
        """Shrink the weights by what their edges cost."""
        if self.alpha > 0:
            amount = step_size * self.alpha
            if self.sparsity == "uniform":
                soft_threshold_(W, amount)
            else:
                soft_threshold_(W, self._current_prices(W) * amount)
        self._step += 1
        return self.plan

    def finish(self, W: Tensor) -> Plan:
        """Leave out the edges that have vanished."""
        return Plan(Topology(W.cpu().numpy() != 0), W)

    def _current_prices(self, W: Tensor) -> Tensor:
        if self._prices is None or self._step % PRICE_INTERVAL == 0:
            self._prices = adaptive_prices(W)
        return self._prices


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
