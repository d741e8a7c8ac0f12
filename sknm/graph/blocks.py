"""Sets of nodes of about equal size as blocks: their rows, and the weights inside."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sknm.graph.components import grouped_by_size, members

MOST_PLACES = 2**22
"""Most pairs of nodes inside blocks whose places are remembered."""

PANEL_ELEMENTS = 2**18
"""Pairs of nodes that are looked at at a time: they should stay in the cache."""


class Blocks:
    """Pairs of nodes inside several sets of nodes.

    Parameters
    ----------
    nodes : ndarray of shape (n_blocks, block_size)
        The nodes of each set, padded with -1.
    n_nodes : int
        Number of nodes of the graph.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    shape : (int, int)
        Number and size of the blocks.
    is_whole : bool
        Whether the blocks are all nodes in their order, so that blocks are views.
    """

    def __init__(self, nodes: np.ndarray, n_nodes: int, device: torch.device) -> None:
        self.shape = nodes.shape
        present = nodes >= 0
        self.is_whole = nodes.size == n_nodes and bool(
            (nodes.ravel() == np.arange(n_nodes)).all()
        )
        self._index = torch.as_tensor(nodes.clip(0), device=device)
        self._own = slice(None)  # blocks, of those that are all nodes
        self._places: Tensor | None = None
        self._present: Tensor | None = None
        if not present.all():
            self._present = torch.as_tensor(present, device=device)

    def rows(self, x: Tensor) -> Tensor:
        """Take the rows of `x` (n_nodes, k), as (n_blocks, block_size, k)."""
        if self.is_whole:
            return x.reshape(*self.shape, -1)
        rows = x.index_select(0, self._index.view(-1)).view(*self.shape, *x.shape[1:])
        return rows if self._present is None else rows * self._present[..., None]

    def pairs(self, W: Tensor) -> Tensor:
        """Take the pairs of nodes in each set, (n_blocks, block_size, block_size)."""
        if self._present is None:
            return self._pairs(W)
        inside = self._present[:, :, None] & self._present[:, None, :]
        return self._pairs(W) * inside

    def write_pairs(self, blocks: Tensor, W: Tensor) -> None:
        """Write (n_blocks, block_size, block_size) to the pairs of nodes in `W`."""
        if self.is_whole:
            self._pairs(W).copy_(blocks)
        elif self._present is None:
            W.view(-1).scatter_(0, self._pair_places(W), blocks.reshape(-1))
        else:
            pairs = self._present[:, :, None] & self._present[:, None, :]
            places = self._pair_places(W).view(pairs.shape)[pairs]
            W.view(-1).scatter_(0, places, blocks[pairs])

    def _pairs(self, W: Tensor) -> Tensor:
        if not self.is_whole:
            found = W.view(-1).index_select(0, self._pair_places(W))
            return found.view(*self.shape, self.shape[1])
        size = self.shape[1]
        grid = W.view(-1, size, len(W) // size, size)
        return grid.diagonal(dim1=0, dim2=2).permute(2, 0, 1)[self._own]

    def _pair_places(self, W: Tensor) -> Tensor:
        """Find where the pairs are in `W`: one index is five times as fast as two."""
        if self._places is not None:
            return self._places
        index = self._index
        places = (index[:, :, None] * len(W) + index[:, None, :]).view(-1)
        if len(places) <= MOST_PLACES:
            self._places = places
        return places


class ModuleWeights:
    """The weights inside modules, which an optimiser can train apart from the others.

    They are far fewer than all pairs of nodes.

    Parameters
    ----------
    labels : ndarray of shape (n_nodes,)
        Module of each node.
    W : Tensor of shape (n_nodes, n_nodes)
        Weights to start from.

    Attributes
    ----------
    labels : ndarray of shape (n_nodes,)
        Module of each node.
    values : list of Tensor of shape (n_blocks, block_size, block_size)
        Modules of about equal size in one tensor, with zeros where they are smaller.
    """

    def __init__(self, labels: np.ndarray, W: Tensor) -> None:
        self.labels = labels
        self._n_nodes = len(labels)
        modules = [nodes for nodes in members(labels) if len(nodes) > 1]
        self._nodes = list(grouped_by_size(modules))
        self._blocks = [Blocks(nodes, len(W), W.device) for nodes in self._nodes]
        self.values = [blocks.pairs(W).clone() for blocks in self._blocks]

    @property
    def mean_size(self) -> float:
        """Weights per node."""
        return sum(value.numel() for value in self.values) / max(1, self._n_nodes)

    def read(self, W: Tensor) -> None:
        """Take the values from all weights."""
        for blocks, value in zip(self._blocks, self.values, strict=True):
            value.copy_(blocks.pairs(W))

    def write(self, W: Tensor) -> None:
        """Put the values among all weights."""
        for blocks, value in zip(self._blocks, self.values, strict=True):
            blocks.write_pairs(value, W)

    def pairs_above(self, tau: float) -> np.ndarray:
        """Find the values above a threshold, as `pairs_above` finds weights."""
        found = [np.arange(0)]
        for nodes, value in zip(self._nodes, self.values, strict=True):
            block, i, j = (value.abs() > tau).cpu().numpy().nonzero()
            found.append(nodes[block, i] * self._n_nodes + nodes[block, j])
        return np.concatenate(found)

    def take_gradient(self, z: Tensor, delta: Tensor) -> None:
        """Set the gradient of the values: ``z δᵀ`` of the pairs inside (NM eq. 3).

        Parameters
        ----------
        z, delta : Tensor of shape (n_nodes, n_samples)
            Values of the nodes, and of their adjoints.
        """
        for blocks, value in zip(self._blocks, self.values, strict=True):
            value.grad = blocks.rows(z) @ blocks.rows(delta).mT
            value.grad.diagonal(dim1=1, dim2=2).zero_()

    def rearrange(self, former: ModuleWeights, theirs: list[Tensor]) -> list[Tensor]:
        """Bring something that each of the values of other modules has to these.

        Parameters
        ----------
        former : ModuleWeights
            The other modules.
        theirs : list of Tensor
            Of the shapes of their values.

        Returns
        -------
        list of Tensor
            Of the shapes of these values; zero for pairs that were in no module.
        """
        own = [torch.zeros_like(value) for value in self.values]
        place = np.full((self._n_nodes, 3), -1)
        for k, nodes in enumerate(self._nodes):
            row, slot = np.nonzero(nodes >= 0)
            place[nodes[row, slot]] = np.column_stack([np.full(len(row), k), row, slot])
        for nodes, tensor in zip(former._nodes, theirs, strict=True):
            there = (nodes >= 0)[:, :, None] & (nodes >= 0)[:, None, :]
            block, i, j = np.nonzero(there)
            source, target = place[nodes[block, i]], place[nodes[block, j]]
            # A module that has split leaves pairs that no module has.
            together = (source[:, :2] == target[:, :2]).all(1) & (source[:, 0] >= 0)
            for k, value in enumerate(own):
                here = np.flatnonzero(together & (source[:, 0] == k))
                value[source[here, 1], source[here, 2], target[here, 2]] = tensor[
                    block[here], i[here], j[here]
                ]
        return own


def pairs_above(W: Tensor, tau: float) -> np.ndarray:
    """Find the weights above a threshold, without a copy of all.

    Parameters
    ----------
    W : Tensor of shape (n_nodes, n_nodes)
        Weights.
    tau : float
        The threshold of absolute weights.

    Returns
    -------
    ndarray of int
        ``i * n_nodes + j`` of each pair, ascending.
    """
    n_rows = panel_rows(W)
    starts = range(0, len(W), n_rows)
    found = [panel_above(W, slice(k, k + n_rows), tau) for k in starts]
    return np.concatenate([np.arange(0), *found])


def panel_rows(W: Tensor) -> int:
    """Count the rows of `W` that are looked at at a time."""
    return max(1, PANEL_ELEMENTS // max(1, len(W)))


def panel_above(W: Tensor, rows: slice, tau: float) -> np.ndarray:
    """Find the weights above a threshold in some rows, as `pairs_above` does in all."""
    panel = W[rows]
    if panel.is_cpu:  # where numpy is several times faster
        above = np.flatnonzero(np.abs(panel.numpy()) > tau)
    else:
        above = (panel.abs() > tau).view(-1).nonzero()[:, 0].cpu().numpy()
    return above + rows.start * len(W)
