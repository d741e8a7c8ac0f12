"""A `Topology` made ready for tensors: indices and masks of each stage."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sknm.graph.topology import Stage, Topology


class Batch:
    """Cyclic components of one stage, solved together.

    Parameters
    ----------
    nodes : ndarray of shape (n_blocks, block_size)
        The nodes of each component, padded with -1.
    topology : Topology
        The graph.
    like : Tensor
        A tensor of the device and floating type of the solve.

    Attributes
    ----------
    edges : Tensor of shape (n_blocks, block_size, block_size)
        1 where there is an edge, else 0.
    is_whole : bool
        Whether the blocks are all nodes in their order, so that blocks are views.
    key : tuple
        Equal for batches of the same nodes.
    """

    def __init__(self, nodes: np.ndarray, topology: Topology, like: Tensor) -> None:
        self.shape = nodes.shape
        self.key = (nodes.shape, nodes.tobytes())
        in_order = nodes.size == topology.n_nodes and bool(
            (nodes.ravel() == np.arange(topology.n_nodes)).all()
        )
        self.is_whole = in_order
        self._present = None if (nodes >= 0).all() else _to(nodes >= 0, like)
        self._index = _to(nodes.clip(0), like)
        self.edges = _to(topology.block_masks(nodes), like).to(like.dtype)

    def gather(self, x: Tensor) -> Tensor:
        """Rows of `x` (n_nodes, n_samples) as (n_blocks, block_size, n_samples)."""
        if self.is_whole:
            return x.reshape(*self.shape, -1)
        blocks = x[self._index]
        return blocks if self._present is None else blocks * self._present[:, :, None]

    def scatter(self, blocks: Tensor, out: Tensor) -> None:
        """Write (n_blocks, block_size, n_samples) to the rows of `out`."""
        if self._present is None:
            out[self._index] = blocks
        else:
            out[self._index[self._present]] = blocks[self._present]

    def weights(self, W: Tensor) -> Tensor:
        """Take out the edges of each block, (n_blocks, block_size, block_size)."""
        return self._pairs(W) * self.edges

    def scatter_pairs(self, blocks: Tensor, out: Tensor) -> None:
        """Write (n_blocks, block_size, block_size) to the node pairs in `out`."""
        if self.is_whole:
            self._pairs(out).copy_(blocks)
        elif self._present is None:
            out[self._index[:, :, None], self._index[:, None, :]] = blocks
        else:
            pairs = self._present[:, :, None] & self._present[:, None, :]
            rows = self._index[:, :, None].expand(pairs.shape)[pairs]
            columns = self._index[:, None, :].expand(pairs.shape)[pairs]
            out[rows, columns] = blocks[pairs]

    def update_edges(self, W: Tensor, blocks: Tensor) -> None:
        """Replace the weights of the edges inside the blocks, and no others."""
        old = self._pairs(W)
        self.scatter_pairs(torch.where(self.edges > 0, blocks, old), W)

    def _pairs(self, W: Tensor) -> Tensor:
        if not self.is_whole:
            return W[self._index[:, :, None], self._index[:, None, :]]
        n_blocks, size = self.shape
        grid = W.view(n_blocks, size, n_blocks, size)
        return grid.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


class PlannedStage:
    """One level of the graph, with what enters and leaves it.

    Parameters
    ----------
    stage : Stage
        The nodes of the level.
    topology : Topology
        The graph.
    like : Tensor
        A tensor of the device and floating type of the solve.

    Attributes
    ----------
    nodes : Tensor of shape (n_stage_nodes,)
        All nodes of the stage.
    sources, targets : Tensor of shape (n_sources,) and (n_targets,)
        Nodes of other stages with edges into and out of this one.
    acyclic : Tensor of shape (n_acyclic,)
        Its nodes on no cycle.
    batches : list of Batch
        Its cyclic components.
    """

    def __init__(self, stage: Stage, topology: Topology, like: Tensor) -> None:
        self.nodes = _to(stage.nodes, like)
        self.acyclic = _to(stage.acyclic, like)
        self.batches = [Batch(nodes, topology, like) for nodes in stage.blocks]
        self.sources = self.targets = self.nodes[:0]
        if len(stage.nodes) == topology.n_nodes:
            return
        inside = np.zeros(topology.n_nodes, dtype=bool)
        inside[stage.nodes] = True
        sources = np.unique(topology.edges_T[stage.nodes].indices)
        targets = np.unique(topology.edges[stage.nodes].indices)
        self.sources = _to(sources[~inside[sources]], like)
        self.targets = _to(targets[~inside[targets]], like)


class Plan:
    """How to solve over a topology, on one device.

    Parameters
    ----------
    topology : Topology
        The graph.
    like : Tensor
        A tensor of the device and floating type of the solve.

    Attributes
    ----------
    topology : Topology
        The graph.
    stages : list of PlannedStage
        In the order of substitution.
    """

    def __init__(self, topology: Topology, like: Tensor) -> None:
        self.topology = topology
        self._like = like.new_empty(0)
        self.stages = [PlannedStage(s, topology, like) for s in topology.stages]

    @property
    def batches(self) -> list[Batch]:
        """All batches of cyclic components."""
        return [batch for stage in self.stages for batch in stage.batches]

    @property
    def is_modular(self) -> bool:
        """Whether no edge leads from one cyclic component to another node."""
        return len(self.stages) <= 1

    @cached_property
    def whole(self) -> Batch | None:
        """The only batch, if it is all there is and needs no gathering."""
        if len(self.stages) == 1 and len(self.stages[0].batches) == 1:
            batch = self.stages[0].batches[0]
            return batch if batch.is_whole else None
        return None

    @cached_property
    def mask(self) -> Tensor:
        """1 where there is an edge, else 0; (n_nodes, n_nodes)."""
        return _to(self.topology.to_dense(), self._like).to(self._like.dtype)


def _to(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(array, device=like.device)
