"""The one owner of a graph: its weights, and what follows from them.

Networks compute with it, estimators read from it, and rules alone change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknm.compute.arrays import to_numpy
from sknm.compute.groups import ParameterGroup
from sknm.compute.settings import own_settings
from sknm.graph.activations import Activation
from sknm.graph.blocks import ModuleWeights
from sknm.graph.entries import Entries
from sknm.graph.equilibrium import Gradient
from sknm.graph.origin import Origin
from sknm.graph.plan import Plan
from sknm.graph.topology import Topology


@dataclass(frozen=True)
class Snapshot:
    """A copy of a graph, to come back to.

    Attributes
    ----------
    parameters : dict of str to Tensor
        Weights and biases.
    plan : object
        How to compute with them.
    log : list of dict
        How the edges had changed.
    positions : Tensor or None
        Where the nodes are.
    trained : {"edges", "all"} or ModuleWeights
        Which weights the optimiser moved.
    step_scale : float
        Share of the learning rate that they got.
    held : Tensor of bool or None
        Where they were left alone.
    links : ndarray of bool or None
        Which edges led from inputs to nodes.
    """

    parameters: dict[str, Tensor]
    plan: Any
    log: list[dict[str, Any]]
    positions: Tensor | None
    trained: Gradient | ModuleWeights
    step_scale: float
    held: Tensor | None
    links: np.ndarray | None


class GraphState(nn.Module):
    """The weights between nodes, how to compute with them, and how to train them.

    Parameters
    ----------
    weights : Tensor of shape (n_nodes, n_nodes)
        ``W``, whose entry ``[i, j]`` is the weight of the edge from node i to node j.
    biases : Tensor of shape (n_nodes,)
        ``b``.
    plan : object
        How to compute with the edges that exist.

    Attributes
    ----------
    weights, biases : Parameter
        They keep their names and, but for nodes that are removed, their sizes.
    group : ParameterGroup
        How the optimiser treats the weights.
    trained : {"edges", "all"} or ModuleWeights
        Which weights it moves: those of the edges that exist, those of all pairs, or
        those inside modules.
    log : list of dict
        How the edges have changed: a record of each change, for rules that keep one.
    positions : Tensor of shape (n_all_nodes, n_dims) or None
        Where the nodes are, if they are somewhere; on the CPU.
    entries : Entries or None
        The edges from inputs to nodes; None where inputs are nodes.
    origin : Origin or None
        What the graph was before it was trained.
    """

    def __init__(self, weights: Tensor, biases: Tensor, plan: Any = None) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.biases = nn.Parameter(biases)
        self.group = ParameterGroup([self.weights], is_variable=True)
        self.trained: Gradient | ModuleWeights = "all"
        self.log: list[dict[str, Any]] = []
        self.positions: Tensor | None = None
        self.entries: Entries | None = None
        self.origin: Origin | None = None
        self._plan = plan

    @property
    def plan(self) -> Any:
        """How to compute with the edges that exist."""
        return self._plan

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.biases)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.biases.device

    @property
    def is_whole(self) -> bool:
        """Whether weights and plan belong together; an interrupt may part them."""
        return True

    # What rules do.

    def adopt(self, plan: Any) -> None:
        """Compute in another way from now on.

        Parameters
        ----------
        plan : object
            Of the kind that there was.
        """
        self._plan = plan

    def train_on(
        self,
        trained: Gradient | ModuleWeights,
        step_scale: float,
        held: Tensor | None = None,
    ) -> None:
        """Say which weights the optimiser moves from now on, and how far.

        Parameters
        ----------
        trained : {"edges", "all"} or ModuleWeights
            Which weights.
        step_scale : float
            Share of the learning rate that they get.
        held : Tensor of bool of shape (n_nodes, n_nodes), optional
            Where weights are left alone.
        """
        self.trained = trained
        self.group.step_scale, self.group.held = step_scale, held

    # What training does.

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser."""
        self.group.params = [self.weights]
        return [self.group, ParameterGroup([self.biases], ridge=0.0)]

    def snapshot(self) -> Snapshot:
        """Copy the graph."""
        parameters = {k: p.detach().clone() for k, p in self.named_parameters()}
        return Snapshot(
            parameters,
            self._plan,
            list(self.log),
            None if self.positions is None else self.positions.clone(),
            self.trained,
            self.group.step_scale,
            self.group.held,
            None if self.entries is None else self.entries.links,
        )

    def restore(self, snapshot: Snapshot) -> bool:
        """Go back to a copy; return whether the sizes are as before."""
        is_as_before = len(snapshot.parameters["biases"]) == self.n_nodes
        for name, p in self.named_parameters():
            _put(p, snapshot.parameters[name])
        self.train_on(snapshot.trained, snapshot.step_scale, snapshot.held)
        if isinstance(self.trained, ModuleWeights):
            self.trained.read(self.weights.detach())
        if self.entries is not None:
            self.entries.adopt(snapshot.links)
        self._plan = snapshot.plan
        self.log[:] = snapshot.log
        positions = snapshot.positions
        self.positions = None if positions is None else positions.clone()
        return is_as_before

    def move(self, device: str) -> None:
        """Bring the graph to a device."""
        self.to(device)
        if self.entries is not None:
            self.entries.adopt(self.entries.links)
        self.train_on("all", self.group.step_scale)

    def sparsify(self, sigma: Activation) -> None:
        """Drop the weights that computing with activation `sigma` needs not."""

    # What users see.

    def entering(self) -> np.ndarray:
        """Return which inputs enter which nodes, bool of (n_inputs, n_nodes)."""
        assert self.entries is not None, "else inputs are nodes"
        present = self.entries.present
        return np.pad(present, ((0, 0), (0, self.n_nodes - present.shape[1])))

    def show(self) -> np.ndarray:
        """Return the weights, (n_nodes, n_nodes)."""
        return to_numpy(self.weights)

    def show_biases(self) -> np.ndarray:
        """Return the biases, (n_nodes,)."""
        return to_numpy(self.biases)

    # What pickles hold.

    def __getstate__(self) -> dict[str, Any]:
        """Return arrays and plain objects, from which all else follows."""
        return {
            "arrays": {k: to_numpy(p) for k, p in self.named_parameters(recurse=False)},
            "entries": self.entries,
            "log": self.log,
            "origin": self.origin,
            "positions": None if self.positions is None else self.positions.numpy(),
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        parameters = {
            k: torch.tensor(array, device="cpu") for k, array in state["arrays"].items()
        }
        GraphState.__init__(self, parameters.pop("weights"), parameters.pop("biases"))
        for name, p in parameters.items():
            setattr(self, name, nn.Parameter(p))
        self.log, self.entries = state["log"], state["entries"]
        self.origin = state["origin"]
        if state["positions"] is not None:
            self.positions = torch.tensor(state["positions"], device="cpu")


class EquationState(GraphState):
    """The graph of ``z = σ(zW + a)``.

    Parameters
    ----------
    weights : Tensor of shape (n_nodes, n_nodes)
        ``W``.
    biases : Tensor of shape (n_nodes,)
        ``b``.
    topology : Topology, optional
        The edges that exist at first; without it, a rule has to find them.
    """

    def __init__(
        self, weights: Tensor, biases: Tensor, topology: Topology | None = None
    ) -> None:
        plan = None if topology is None else Plan(topology, weights)
        super().__init__(weights, biases, plan)

    @property
    def plan(self) -> Plan:
        """How to solve with the edges that exist."""
        plan: Plan = self._plan
        return plan

    @property
    def topology(self) -> Topology:
        """The edges that exist."""
        return self.plan.topology

    def rewire(self, topology: Topology, is_sparse: bool = False) -> None:
        """Have other edges from now on.

        Parameters
        ----------
        topology : Topology
            The edges.
        is_sparse : bool, default=False
            Whether no more is asked for than predictions.
        """
        self.adopt(Plan(topology, self.weights.detach(), is_sparse))

    def move(self, device: str) -> None:
        """Bring the graph to a device."""
        super().move(device)
        if self._plan is not None:
            self.rewire(self.topology, self.plan.is_sparse)

    @torch.no_grad()
    def sparsify(self, sigma: Activation) -> None:
        """Drop the weights of absent edges."""
        self.weights.mul_(self.plan.mask)
        self.rewire(self.topology, is_sparse=True)

    @torch.no_grad()
    def keep(self, nodes: np.ndarray, inlets: np.ndarray) -> None:
        """Remove all nodes but some.

        Parameters
        ----------
        nodes, inlets : ndarray of int
            Which nodes are left, ascending, and which of those that inputs enter.
        """
        edges, is_sparse = self.topology.edges[nodes][:, nodes], self.plan.is_sparse
        index = torch.as_tensor(nodes, device=self.device)
        self.weights.data = self.weights.data[index][:, index].contiguous()
        self.biases.data = self.biases.data[index]
        self.weights.grad = self.biases.grad = None
        assert self.entries is not None, "inputs enter by edges"
        if self.origin is not None:
            shape = self.entries.by_columns().shape
            self.origin = self.origin.of_nodes(nodes, inlets, shape)
        self.entries.keep(inlets)
        self.train_on("all", self.group.step_scale)
        self.rewire(Topology(edges), is_sparse)

    def show(self) -> np.ndarray:
        """Return the weights of the edges that exist; all others are zero."""
        W = self.weights.detach()
        source, target = self.topology.edges.nonzero()
        weights = np.zeros(W.shape, to_numpy(W[:0]).dtype)
        ends = (torch.as_tensor(e, device=W.device).long() for e in (source, target))
        weights[source, target] = W[tuple(ends)].cpu().numpy()
        return weights

    def __getstate__(self) -> dict[str, Any]:
        """Return the edges, and of the weights those that are not all zero."""
        state = super().__getstate__()
        W = state["arrays"].pop("weights")
        weights = W[self.topology.edges.nonzero()]
        if np.count_nonzero(weights) < np.count_nonzero(W):
            weights = W if np.tril(W).any() else W[np.triu_indices(len(W), 1)]
        return state | {
            "topology": self.topology,
            "is_sparse": self.plan.is_sparse,
            "weights": weights,
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        topology, weights = state["topology"], state["weights"]
        if weights.ndim < 2:
            n = topology.n_nodes
            W = np.zeros((n, n), weights.dtype)
            is_of_edges = len(weights) == topology.n_edges
            W[topology.edges.nonzero() if is_of_edges else np.triu_indices(n, 1)] = (
                weights
            )
            weights = W
        arrays = state["arrays"] | {"weights": weights}
        super().__setstate__(state | {"arrays": arrays})
        self.rewire(topology, state["is_sparse"])


def _put(parameter: nn.Parameter, values: Tensor) -> None:
    """Give a parameter the values of a copy, which may be of another size."""
    if parameter.shape == values.shape:
        parameter.data.copy_(values)
    else:
        parameter.data, parameter.grad = values.clone(), None
