"""Graphs that stay as they are: layers, or whatever edges there are."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sknm._wording import counted
from sknm.compute.groups import step_share
from sknm.graph.state import EquationState, GraphState
from sknm.plasticity.rule import Change, Epoch, Remade, Step

FULL_STEP_EDGES = 16
"""Most edges into a node with which weights get the optimiser's whole step. Layers bear
larger steps than graphs with long paths."""


@dataclass
class NoRule(Remade):
    """Leaves all weights to the optimiser: there is no topology to change.

    Attributes
    ----------
    step_scale : float, default=1.0
        Share of the learning rate that the node weights get.
    """

    step_scale: float = 1.0

    def start(self, graph: GraphState) -> None:
        """Have all weights trained."""
        graph.train_on("all", self.step_scale)

    def step(self, graph: GraphState, step: Step) -> None:
        """Change nothing."""

    def epoch(self, graph: GraphState, epoch: Epoch) -> Change:
        """Change nothing."""
        return Change()

    def end(self, graph: GraphState) -> None:
        """Change nothing."""


@dataclass
class FixedRule(Remade):
    """Trains the weights of the edges that exist, and leaves the edges alone.

    Rules that change the edges of an acyclic graph are derived from it.

    Attributes
    ----------
    full_step_edges : int, default=FULL_STEP_EDGES
        Most edges into a node with which weights get the optimiser's whole step.
    restraint : float, default=1.0
        Share of its steps that is left to the weights of long chains of squares.
    """

    full_step_edges: int = FULL_STEP_EDGES
    restraint: float = 1.0

    @torch.no_grad()
    def start(self, graph: EquationState) -> None:
        """Cut the weights of absent edges."""
        if graph.plan.is_sparse:
            graph.rewire(graph.topology)
        graph.weights.mul_(graph.plan.mask)
        self.train_edges(graph)

    def step(self, graph: EquationState, step: Step) -> None:
        """Change nothing."""

    def epoch(self, graph: EquationState, epoch: Epoch) -> Change:
        """Change nothing."""
        return Change(summary=counted(graph.topology.n_edges, "edge"))

    def end(self, graph: EquationState) -> None:
        """Change nothing."""

    def train_edges(self, graph: EquationState) -> None:
        """Have the weights of the edges trained, in steps that nodes can bear."""
        fan_in = int(graph.topology.in_degrees.max(initial=1))
        share = step_share(self.full_step_edges, fan_in) * self.restraint
        graph.train_on("edges", share)
