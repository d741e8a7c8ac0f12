"""A topology that stays as it is: layers, or whatever edges a graph is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import Gradient
from sknm.graph.plan import Plan
from sknm.graph.topology import Topology

FULL_STEP_EDGES = 16
"""Most edges into a node with which weights get the optimiser's whole step. A step of
Adam moves all weights by about the same amount, so that what it adds to a node's input
grows with their number: with more edges they get steps in inverse proportion to its
square root. Layers bear larger steps than graphs with long paths."""

FULL_LEVELS = 8
"""Most levels of a graph of squares that starts and is trained like others: see
`restraint`. In a complete graph few paths pass through all levels."""


class NoPlasticity:
    """Leaves the weights to the optimiser: there is no topology to change.

    It shows what training asks of the rules that change one.

    Parameters
    ----------
    scale : float, default=1.0
        Share of the learning rate that the node weights get.

    Attributes
    ----------
    plan : Any
        How the network computes with the edges that exist, if it has to be told.
    history : list of dict
        What happened to the edges; empty if nothing does.
    """

    plan: Any = None

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self.history: list[dict[str, Any]] = []

    def start(self, W: Tensor) -> Any:
        """Begin to train `W`, which may be changed in place; return the plan."""
        return self.plan

    def gradient(self) -> Gradient:
        """For which weights the next step needs a gradient."""
        return "edges"

    def step_scale(self) -> float:
        """Share of the learning rate that the node weights get."""
        return self._scale

    def before_step(self, network: Any) -> None:
        """Change the gradient of the network's node weights."""

    def after_step(self, W: Tensor, step_size: float, strained: bool) -> Any:
        """Change the weights in place, and return how to solve with them."""
        return self.plan

    def after_epoch(self, network: Any, table: Any, is_last: bool) -> Any:
        """Change the edges, given the network and the data; return how to solve."""
        return self.plan

    def survivors(self) -> Tensor | None:
        """Return the nodes that the last epoch left, None for all of them."""
        return None

    def resume(self, plan: Any) -> None:
        """Go back to a plan that was in use before."""
        self.plan = plan

    def forget(self) -> None:
        """Drop what only further training on absent edges would need."""

    def finish(self, W: Tensor) -> Any:
        """Bring the weights into the state in which a fit leaves them."""
        return self.plan

    def progress(self) -> str:
        """Say in a few words how the graph looks."""
        return ""


class FixedGraph(NoPlasticity):
    """Trains the weights of the edges that exist, and leaves the edges alone.

    Rules that change the edges of an acyclic graph are derived from it.

    Parameters
    ----------
    topology : Topology
        The edges.
    full_step_edges : int, default=FULL_STEP_EDGES
        Most edges into a node with which weights get the optimiser's whole step.
    restraint : float, default=1.0
        Share of its steps that is left to the weights of long chains of squares.
    """

    plan: Plan

    def __init__(
        self,
        topology: Topology,
        full_step_edges: int = FULL_STEP_EDGES,
        restraint: float = 1.0,
    ) -> None:
        super().__init__()
        self.topology = topology
        self.full_step_edges = full_step_edges
        self.restraint = restraint

    def start(self, W: Tensor) -> Plan:
        """Begin to train `W`, in which absent edges become zero."""
        self.plan = Plan(self.topology, W)
        W.mul_(self.plan.mask)
        return self.plan

    def step_scale(self) -> float:
        """Share of the learning rate that the node weights get."""
        fan_in = self.topology.in_degrees.max(initial=1)
        share = min(1.0, (self.full_step_edges / fan_in) ** 0.5)
        return float(share * self.restraint)

    def resume(self, plan: Plan) -> None:
        """Go back to a plan that was in use before."""
        self.plan, self.topology = plan, plan.topology

    def progress(self) -> str:
        """Say in a few words how the graph looks."""
        return f"{self.topology.n_edges} edges"


def restraint(n_levels: int, activation: str, full_levels: int = FULL_LEVELS) -> float:
    """How much more carefully a chain of squares has to be trained than others.

    With degree 2, a value that enters at ``s`` standard deviations is of the order
    ``s ** 2 ** L`` after L levels: let edges add a little too much to one row, and the
    rest of the chain overflows. What a level may add to the next therefore has to
    become small as there are more of them; the features, which enter at each node,
    don't vanish with it.

    Parameters
    ----------
    n_levels : int
        Nodes on the longest path of an acyclic graph.
    activation : str
        Name of the activation of its nodes.
    full_levels : int, default=FULL_LEVELS
        Most levels that need no restraint.

    Returns
    -------
    float
        Share of the optimiser's steps that the weights should get, and the square root
        of the share of what they are otherwise drawn as: 1 unless the activation has a
        degree above 1.
    """
    if ACTIVATIONS[activation].degree == 1:
        return 1.0
    return min(1.0, full_levels / n_levels)


def draw_edges(
    topology: Topology, generator: torch.Generator, restraint: float = 1.0
) -> Tensor:
    """Weights of the edges of an acyclic graph (Glorot & Bengio 2010).

    Parameters
    ----------
    topology : Topology
        The graph.
    generator : torch.Generator
        Source of randomness.
    restraint : float, default=1.0
        Below 1 for long chains of squares, see `restraint`.

    Returns
    -------
    Tensor of shape (n_nodes, n_nodes)
        Uniform in ``±sqrt(6 / (in-degree of the target + out-degree of the source))``
        times `restraint` squared, zero where there is no edge.
    """
    n = topology.n_nodes
    degrees = topology.in_degrees + np.diff(topology.edges.indptr)[:, None]
    bounds = np.sqrt(6 / np.maximum(1, degrees)) * topology.to_dense() * restraint**2
    uniform = torch.empty(n, n, dtype=torch.float32)
    uniform.uniform_(-1, 1, generator=generator)
    return uniform * torch.as_tensor(bounds, dtype=torch.float32)


def random_part(
    topology: Topology, density: float, generator: torch.Generator
) -> Topology:
    """Keep a random share of the edges.

    Parameters
    ----------
    topology : Topology
        All edges.
    density : float
        Share of them to keep, in [0, 1].
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Topology
        As many edges as that share, rounded.
    """
    n_kept = round(density * topology.n_edges)
    kept = torch.randperm(topology.n_edges, generator=generator)[:n_kept].numpy()
    source, target = topology.edges.nonzero()
    mask = np.zeros((topology.n_nodes, topology.n_nodes), dtype=bool)
    mask[source[kept], target[kept]] = True
    return Topology(mask)
