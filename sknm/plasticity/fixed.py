"""A topology that stays as it is: layers, or whatever edges a graph is given."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sknm.graph.equilibrium import Gradient
from sknm.graph.plan import Plan
from sknm.graph.topology import Topology

FULL_STEP_EDGES = 16
"""Most edges into a node with which weights get the optimiser's whole step. A step of
Adam moves all weights by about the same amount, so that what it adds to a node's input
grows with their number: with more edges they get steps in inverse proportion to its
square root. Layers bear larger steps than graphs with long paths."""


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
