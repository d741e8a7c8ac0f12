"""What a training step finds on its way through a graph, for the rule that follows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sknm.compute.rows import Inputs


@dataclass(frozen=True)
class Flow:
    """What the gradient of any weight follows from.

    Attributes
    ----------
    z, delta : Tensor of shape (n_nodes, n_samples)
        Values of the nodes, and of their adjoints; of an ensemble, those of all rows of
        the first member, then of the others.
    """

    z: Tensor
    delta: Tensor

    def gradient(self, rows: slice) -> Tensor:
        """Gradient of the edges that come from some nodes: rows of ``zᵀ δ``."""
        rows_of_W = self.z[rows] @ self.delta.t()
        rows_of_W.diagonal(rows.start).zero_()
        return rows_of_W

    def first(self, n_samples: int) -> Flow:
        """Values and adjoints of the first rows only."""
        if n_samples == self.z.shape[1]:
            return self
        return Flow(self.z[:, :n_samples], self.delta[:, :n_samples])


@dataclass
class Ends:
    """What a training step finds at both ends of a graph.

    Of an ensemble, this is what there was at the ends of its first member.

    Attributes
    ----------
    inputs : Tensor or SparseBatch of shape (n_samples, n_inputs)
        What entered it.
    errors : Tensor of shape (n_samples, n_outputs)
        Gradient of the loss by the outputs.
    entering : Tensor of shape (n_nodes, n_samples)
        Gradient of the loss by the node values that are read.
    weights : Tensor of shape (n_nodes, n_nodes) or None
        ``W``, if some nodes are read by other nodes only.
    """

    inputs: Inputs
    errors: Tensor
    entering: Tensor
    weights: Tensor | None = None

    def asked(self, delta: Tensor) -> Tensor:
        """Gradient by the values of all nodes, given the adjoints."""
        if self.weights is None:
            return self.entering
        return torch.addmm(self.entering, self.weights, delta)


@dataclass
class Trace:
    """What a training step finds on its way, for the rule that follows it.

    Attributes
    ----------
    flow : Flow or None
        What the gradient of any weight follows from; there after the way back.
    ends : Ends or None
        What there was at both ends.
    is_strained : bool
        Whether a solve came to its iteration limit.
    n_iter : int
        Iterations of the solve on the way there, 0 if none was needed.
    activity : Tensor of shape (n_nodes,) or None
        How active each node was, summed over the rows.
    row_activity : Tensor of shape (n_samples,) or None
        The same, summed over the nodes; has a gradient.
    n_passes : int
        How often activity was added up: some optimisers ask for the loss several times.
    """

    flow: Flow | None = None
    ends: Ends | None = None
    is_strained: bool = False
    n_iter: int = 0
    activity: Tensor | None = None
    row_activity: Tensor | None = None
    n_passes: int = 0

    def add_activity(self, activity: Tensor) -> None:
        """Add the activity of one more pass."""
        self.activity = activity if self.activity is None else self.activity + activity
        self.n_passes += 1
