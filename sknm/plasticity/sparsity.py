"""Sparsity of acyclic graphs: every edge has a price, and those not worth it vanish."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sknm.graph.plan import Plan
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedGraph
from sknm.plasticity.modules import soft_threshold_

DEGREE_INTERVAL = 20
"""Steps between two looks at how many edges lead to each node."""


class SparseGraph(FixedGraph):
    """L1 penalty on the edges, as a proximal step after each of the optimiser's.

    Edges that vanish are still trained and can come back.

    Parameters
    ----------
    topology : Topology
        The edges that may exist.

    Attributes
    ----------
    sparsity : {"uniform", "adaptive"}
        Whether all edges have price 1, or edges to nodes with many a higher one.
    alpha : float
        Strength, in steps of the optimiser.
    """

    sparsity: str
    alpha: float

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology)
        self._possible = topology
        self._step = 0
        self._prices: Tensor | None = None

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

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: not what a start makes anew."""
        return vars(self) | {"_prices": None}

    def _current_prices(self, W: Tensor) -> Tensor:
        if self._prices is None or self._step % DEGREE_INTERVAL == 0:
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
