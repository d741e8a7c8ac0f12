"""A `Topology` made ready for tensors: indices and masks of each stage."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknm.compute.settings import own_settings
from sknm.graph.blocks import Blocks
from sknm.graph.topology import Stage, Topology

PART_VALUES = 2**17
"""Most node values of modules that are solved together: their buffers stay in a core's
cache, which makes iterations up to twice as fast."""

STAGE_NODES = 32
"""Most nodes of levels without cycles that are joined to one stage: a stage costs
one product with what comes before, and as many small ones as it has levels."""

SPARSE_STAGE_NODES = 16
"""The same where products with what comes before are sparse, which makes them cheap."""


LEAST_LINKED, MOST_LINKS = 512, 4
"""Nodes from which on, and edges per node up to which, edges between components are
multiplied one by one: as blocks, they would take time that grows with the square."""


def block_masks(topology: Topology, nodes: np.ndarray) -> np.ndarray:
    """Find the edges inside each of several sets of nodes.

    Parameters
    ----------
    topology : Topology
        The graph.
    nodes : ndarray of shape (n_blocks, block_size)
        Sets of nodes without common members, padded with -1.

    Returns
    -------
    ndarray of bool of shape (n_blocks, block_size, block_size)
        Whether the edge between two nodes of a set exists.
    """
    blocks, slots = np.nonzero(nodes >= 0)
    place = np.full((topology.n_nodes, 2), -1)
    place[nodes[blocks, slots]] = np.column_stack([blocks, slots])
    source, target = topology.edges.nonzero()
    block = place[source, 0]
    inside = (block >= 0) & (block == place[target, 0])
    source, target = source[inside], target[inside]
    masks = np.zeros((*nodes.shape, nodes.shape[1]), dtype=bool)
    masks[block[inside], place[source, 1], place[target, 1]] = True
    return masks


class Components(Blocks):
    """Cyclic components of one stage, solved together.

    Parameters
    ----------
    nodes : ndarray of shape (n_blocks, block_size)
        The nodes of each component, padded with -1.
    topology : Topology
        The graph.
    like : Tensor
        A tensor of the device and floating type of the solve.
    start : int
        Place of the first of these nodes among those of its stage; the others follow.

    Attributes
    ----------
    edges : Tensor of shape (n_blocks, block_size, block_size)
        1 where there is an edge, else 0.
    key : tuple
        Equal for batches of the same nodes.
    """

    def __init__(
        self, nodes: np.ndarray, topology: Topology, like: Tensor, start: int
    ) -> None:
        super().__init__(nodes, topology.n_nodes, like.device)
        self._ends = start + np.cumsum((nodes >= 0).sum(1))
        self._rows = slice(start, int(self._ends[-1]))
        self._parts: dict[int, list[Components]] = {}
        self.key: tuple = (nodes.shape, nodes.tobytes())
        self.edges = _to(block_masks(topology, nodes), like).to(like.dtype)

    def parts(self, n_samples: int) -> list[Components]:
        """Take the blocks apart so that what a part needs stays in a core's cache."""
        if self.edges.device.type != "cpu":
            return [self]
        n_blocks, size = self.shape
        # Batches of an epoch differ by one sample, and should not in their parts.
        n_values = n_blocks * size * (-(-n_samples // 16) * 16)
        halvings = math.ceil(math.log2(max(1, n_values / PART_VALUES)))
        n_parts = min(n_blocks, 2**halvings)
        if n_parts not in self._parts:
            ends = np.linspace(0, n_blocks, n_parts + 1).astype(int)
            blocks = [slice(int(a), int(b)) for a, b in pairwise(ends)]
            self._parts[n_parts] = (
                [self] if n_parts == 1 else [self._part(own) for own in blocks]
            )
        return self._parts[n_parts]

    def _part(self, own: slice) -> Components:
        part = copy.copy(self)
        part.shape = (own.stop - own.start, self.shape[1])
        start = self._ends[own.start - 1] if own.start else self._rows.start
        part._rows = slice(int(start), int(self._ends[own.stop - 1]))
        part._index, part._places = self._index[own], None
        part._present = None if self._present is None else self._present[own]
        part._own, part.edges = own, self.edges[own]
        part.key = (*self.key, own.start, own.stop)
        return part

    def gather(self, x: Tensor) -> Tensor:
        """Rows of `x`, which are those of the stage, as blocks."""
        rows = x[self._rows]
        if self._present is None:
            return rows.reshape(*self.shape, -1)
        blocks = x.new_zeros(*self.shape, x.shape[1])
        blocks[self._present] = rows
        return blocks

    def scatter(self, blocks: Tensor, out: Tensor) -> None:
        """Write blocks to the rows of `out`, which are those of the stage."""
        if self._present is None:
            out[self._rows] = blocks.flatten(0, 1)
        else:
            out[self._rows] = blocks[self._present]

    def weights(self, W: Tensor) -> Tensor:
        """Take out the edges of each block, (n_blocks, block_size, block_size)."""
        return self._pairs(W) * self.edges

    def update_edges(self, W: Tensor, blocks: Tensor) -> None:
        """Replace the weights of the edges inside the blocks, and no others."""
        old = self._pairs(W)
        self.write_pairs(torch.where(self.edges > 0, blocks, old), W)


class PlannedStage:
    """Levels of the graph that are evaluated together, side by side in the plan.

    Parameters
    ----------
    levels : list of Stage
        The levels; all but a single one have no cyclic component.
    start : int
        Place of its first node in the order of the plan.
    topology : Topology
        The graph.
    like : Tensor
        A tensor of the device and floating type of the solve.

    Attributes
    ----------
    nodes : ndarray of shape (n_stage_nodes,)
        All nodes, in the order of the plan.
    places : slice
        Where they are in that order.
    acyclic : slice
        Where the nodes on no cycle are; they come first.
    depth : int
        Substitutions after which these have their exact values.
    batches : list of Components
        The cyclic components.
    sources, targets : slice
        Where the nodes before and after this stage are that have edges into and out
        of it.
    """

    def __init__(
        self, levels: list[Stage], start: int, topology: Topology, like: Tensor
    ) -> None:
        blocks = [nodes for level in levels for nodes in level.blocks]
        acyclic = [level.acyclic for level in levels]
        parts = [*acyclic, *(nodes[nodes >= 0] for nodes in blocks)]
        self.nodes = np.concatenate(parts)
        self.places = slice(start, start + len(self.nodes))
        self.acyclic = slice(start, start + sum(map(len, acyclic)))
        self.depth = len(levels)
        self.batches = []
        place = self.acyclic.stop - start
        for nodes in blocks:
            self.batches.append(Components(nodes, topology, like, place))
            place += int((nodes >= 0).sum())
        self.sources = self.targets = slice(0, 0)

    def connect(
        self, edges: sparse.csr_array, edges_T: sparse.csr_array, place_of: np.ndarray
    ) -> None:
        """Find `sources` and `targets`, where each node has its place."""
        sources = place_of[np.unique(edges_T[self.nodes].indices)]
        targets = place_of[np.unique(edges[self.nodes].indices)]
        self.sources = _span(sources[sources < self.places.start])
        self.targets = _span(targets[targets >= self.places.stop])


class Plan:
    """How to solve over a topology, on one device.

    Parameters
    ----------
    topology : Topology
        The graph.
    like : Tensor
        A tensor of the device and floating type of the solve.
    is_sparse : bool, default=False
        Whether edges between stages are multiplied one by one where few of them
        exist. It pays for predictions, which prepare their weights once.

    Attributes
    ----------
    topology : Topology
        The graph.
    stages : list of PlannedStage
        In the order of substitution.
    order : Tensor of int of shape (n_nodes,) or None
        The nodes in the order of the stages; None if that is their own order.
    """

    def __init__(
        self, topology: Topology, like: Tensor, is_sparse: bool = False
    ) -> None:
        self.topology = topology
        self.is_sparse = is_sparse
        self._like = like.new_empty(0)
        self.stages: list[PlannedStage] = []
        start = 0
        most = SPARSE_STAGE_NODES if is_sparse else STAGE_NODES
        for levels in _grouped(topology.stages, most):
            self.stages.append(PlannedStage(levels, start, topology, like))
            start = self.stages[-1].places.stop
        order = np.concatenate([np.arange(0), *(s.nodes for s in self.stages)])
        place_of = np.empty_like(order)
        place_of[order] = np.arange(len(order))
        if len(self.stages) > 1:
            edges_T = topology.edges.T.tocsr()
            for stage in self.stages:
                stage.connect(topology.edges, edges_T, place_of)
        in_order = bool((np.diff(order) > 0).all())
        self.order = None if in_order else _to(order, like)
        self._place_of = None if in_order else _to(place_of, like)

    def __getstate__(self) -> dict[str, Any]:
        """Return what the plan follows from."""
        return {
            "topology": self.topology,
            "is_double": self._like.dtype == torch.float64,
            "is_sparse": self.is_sparse,
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the plan anew, on the CPU."""
        dtype = torch.float64 if state["is_double"] else torch.float32
        like = torch.empty(0, dtype=dtype, device="cpu")
        Plan.__init__(self, state["topology"], like, state["is_sparse"])

    @property
    def batches(self) -> list[Components]:
        """All batches of cyclic components."""
        return [batch for stage in self.stages for batch in stage.batches]

    @property
    def is_modular(self) -> bool:
        """Whether no edge leads out of a strong component: the order is all one."""
        return len(self.stages) < 2 and all(stage.depth < 2 for stage in self.stages)

    @cached_property
    def whole(self) -> Components | None:
        """The only batch, if it is all there is and needs no gathering."""
        if len(self.stages) == 1 and len(self.stages[0].batches) == 1:
            batch = self.stages[0].batches[0]
            return batch if batch.is_whole else None
        return None

    @cached_property
    def links(self) -> Tensor | None:
        """Edges between components one by one, if there are few of them.

        Sources, targets and places in the order of the plan of both, (4, n_links).
        """
        labels, n = self.topology.strong_labels, self.topology.n_nodes
        source, target = self.topology.edges.nonzero()
        apart = labels[source] != labels[target]
        if n < LEAST_LINKED or apart.sum() > MOST_LINKS * n:
            return None
        ends = _to(
            np.stack([source[apart], target[apart]]).astype(np.int64), self._like
        )
        places = ends if self._place_of is None else self._place_of[ends]
        return torch.cat([ends, places])

    @cached_property
    def mask(self) -> Tensor:
        """1 where there is an edge, else 0; (n_nodes, n_nodes)."""
        return _to(self.topology.to_dense(), self._like).to(self._like.dtype)

    def arrange(self, x: Tensor) -> Tensor:
        """Bring the rows of `x` (n_nodes, …) into the order of the plan."""
        return x if self.order is None else x.index_select(0, self.order)

    def restore(self, x: Tensor) -> Tensor:
        """Bring rows in the order of the plan into that of the nodes."""
        places = self._place_of
        return x if places is None else x.index_select(0, places)

    def arrange_pairs(self, W: Tensor) -> Tensor:
        """Bring rows and columns of `W` (n_nodes, n_nodes) into the plan's order."""
        return W if self.order is None else W[self.order[:, None], self.order]

    def restore_pairs(self, W: Tensor) -> Tensor:
        """Bring rows and columns in the plan's order into that of the nodes."""
        places = self._place_of
        return W if places is None else W[places[:, None], places]


def _grouped(levels: list[Stage], most: int) -> Iterator[list[Stage]]:
    """Join consecutive levels without cycles, up to so many nodes."""
    waiting: list[Stage] = []
    for level in levels:
        size = sum(len(stage.acyclic) for stage in waiting)
        if waiting and (level.blocks or size + len(level.acyclic) > most):
            yield waiting
            waiting = []
        if level.blocks:
            yield [level]
        else:
            waiting.append(level)
    if waiting:
        yield waiting


def _span(places: np.ndarray) -> slice:
    if not len(places):
        return slice(0, 0)
    return slice(int(places.min()), int(places.max()) + 1)


def _to(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(array, device=like.device)
