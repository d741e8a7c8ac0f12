"""The edges between modules: priced, and trained apart from the edges inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.compute.adam import AdamW
from sknm.graph.blocks import panel_above, panel_rows
from sknm.graph.trace import Flow
from sknm.plasticity.modules import ModulePenalty

SHORTEST_INTERVAL = 8
"""Fewest steps between two updates of the bridges."""

BRIDGE_SHARE = 5
"""Mean sizes of a module in as many nodes as there are steps between two updates: both
ways of a solve multiply each weight inside modules some twenty times, an update each
bridge once, so that it takes a quarter of the time."""


class Bridges:
    """The weights of edges between modules.

    They have an Adam optimiser of their own, for two reasons. Their gradient costs as
    much as several iterations of a solve, so that it is computed now and then only, and
    no momentum may carry them over the threshold in the meantime. And Adam's steps are
    at most about the step size, so that a price is worth a known number of steps.

    Attributes
    ----------
    above : ndarray of int
        ``i * n_nodes + j`` of the pairs above the threshold after the last update, with
        some inside modules among them.
    """

    def __init__(self) -> None:
        self._tau: float
        self._penalty: ModulePenalty
        self._optimizer: AdamW | None = None
        self._sizes: Tensor
        self._equal_size: float | None = None
        self.above: np.ndarray

    def start(self, W: Tensor, tau: float, penalty: ModulePenalty) -> None:
        """Begin to train those of `W`, given the threshold and what they cost."""
        self._tau, self._penalty = tau, penalty
        if self._optimizer is None:
            self._optimizer = AdamW([W])
        # After a pickle, say, the weights are other ones.
        self._optimizer.param_groups[0]["params"] = [W]
        self.above = np.arange(0)

    def set_sizes(self, sizes: np.ndarray, like: Tensor) -> None:
        """Set the size of the module of each node, as the penalty measures it."""
        self._sizes = torch.as_tensor(sizes, device=like.device).to(like.dtype)
        is_equal = len(sizes) > 0 and sizes.min() == sizes.max()
        self._equal_size = float(sizes[0]) if is_equal else None

    def step(self, W: Tensor, flow: Flow, step_size: float) -> None:
        """Move and price them; spoils the weights inside modules."""
        assert self._optimizer is not None, "start comes first"
        self._optimizer.param_groups[0]["lr"] = step_size
        n_rows, above = panel_rows(W), []
        for rows in self._optimizer.step_by_rows(flow.gradient, n_rows):
            self._penalty.apply(W[rows], self._prices(rows), step_size)
            above.append(panel_above(W, rows, self._tau))
        self.above = np.concatenate(above)

    def _prices(self, rows: slice) -> Tensor | float:
        """Size of the module that each edge from some nodes would make."""
        if self._equal_size is not None:
            return 2 * self._equal_size
        return self._sizes[rows, None] + self._sizes

    def hold(self, W: Tensor, source: np.ndarray, target: np.ndarray) -> None:
        """Put those of the given ends back to the threshold."""
        ends = tuple(torch.as_tensor(e, device=W.device) for e in (source, target))
        W[ends] = W[ends].clamp(-self._tau, self._tau)

    def at_rest(self) -> Bridges:
        """Make the same without what only steps that follow at once would need."""
        other = Bridges()
        other._optimizer = self._optimizer and self._optimizer.compressed()
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: not what a start makes anew."""
        return {"_optimizer": self._optimizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state."""
        vars(self).update(vars(Bridges()) | state)


def update_interval(n_nodes: int, mean_size: float) -> int:
    """Count the steps between two updates, so that they cost less than the solves.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    mean_size : float
        Weights inside modules per node.

    Returns
    -------
    int
        More in large graphs of small modules.
    """
    return max(SHORTEST_INTERVAL, round(n_nodes / max(1.0, BRIDGE_SHARE * mean_size)))
