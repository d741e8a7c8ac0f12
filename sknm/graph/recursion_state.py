"""URN's graph: weights between neurons, which may die."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.compute.arrays import to_numpy
from sknm.compute.settings import own_settings
from sknm.graph.activations import Activation
from sknm.graph.depth import active_neurons, reaches_outputs
from sknm.graph.recursion import Recursion
from sknm.graph.state import GraphState
from sknm.graph.topology import Topology


class RecursionState(GraphState):
    """The graph of URN, whose neurons may be removed.

    Parameters
    ----------
    weights : Tensor of shape (n_alive, n_alive)
        ``W``.
    biases : Tensor of shape (n_alive,)
        ``b``.
    plan : Recursion
        What is computed at each step.
    """

    def __init__(self, weights: Tensor, biases: Tensor, plan: Recursion) -> None:
        super().__init__(weights, biases, plan)

    @property
    def plan(self) -> Recursion:
        """What is computed at each step."""
        plan: Recursion = self._plan
        return plan

    @property
    def topology(self) -> Topology:
        """The edges that are left, between all neurons that there ever were."""
        return Topology(self.show() != 0, loops=True)

    @property
    def is_whole(self) -> bool:
        """Whether weights and plan belong together; an interrupt may part them."""
        return self.weights.shape == (len(self.plan.neurons), self.n_nodes)

    @property
    def mask(self) -> np.ndarray:
        """Whether edges exist, bool of shape (n_alive, n_alive)."""
        return (self.weights.detach() != 0).cpu().numpy()

    def settle(self) -> None:
        """Compute only what outputs are reached from."""
        self.adopt(self.plan.settled(self.mask, self.device))

    def keep(self, nodes: np.ndarray, hidden: slice) -> Tensor:
        """Remove all neurons but some.

        Parameters
        ----------
        nodes : ndarray of int
            Which neurons are left.
        hidden : slice
            Which of these may matter between the first step and the last.

        Returns
        -------
        Tensor of int
            The neurons that are left, on the device.
        """
        index = torch.as_tensor(nodes, device=self.device)
        for p in self.parameters():
            p.data, p.grad = at_nodes(index, p.data), None
        self.adopt(self.plan.keep(nodes, hidden))
        return index

    def active(self, sigma: Activation) -> np.ndarray:
        """Whether neurons act on the outputs, if only as a constant."""
        plan = self.plan
        always = (sigma.value(self.biases.detach()) != 0).cpu().numpy()
        counts = plan.n_inputs, plan.n_outputs, plan.n_steps
        return active_neurons(self.mask, always, *counts)

    def reaching(self, mask: np.ndarray) -> np.ndarray:
        """At which steps neurons can still act on the outputs, over some edges."""
        return reaches_outputs(mask, self.plan.n_outputs, self.plan.n_steps)

    def move(self, device: str) -> None:
        """Bring the graph to a device."""
        super().move(device)
        self.settle()

    @torch.no_grad()
    def sparsify(self, sigma: Activation) -> None:
        """Drop the edges and neurons that don't act on the outputs."""
        plan = self.plan
        self.weights.mul_(plan.used(self.weights))
        kept = self.active(sigma)
        kept[: plan.n_inputs] = kept[self.n_nodes - plan.n_outputs :] = True
        stop = plan.hidden.stop - int((~kept).sum())
        self.keep(np.flatnonzero(kept), slice(plan.hidden.start, stop))
        self.settle()

    def entering(self) -> np.ndarray:
        """Return which neurons each input leads to."""
        edges: np.ndarray = self.topology.to_dense()[: self.plan.n_inputs].copy()
        np.fill_diagonal(edges, False)
        return edges

    def show(self) -> np.ndarray:
        """Return the weights between all neurons; those of the dead are zero."""
        n, alive = self.plan.n_neurons, self.plan.neurons
        of_alive = to_numpy(self.weights)
        weights = np.zeros((n, n), of_alive.dtype)
        weights[np.ix_(alive, alive)] = of_alive
        return weights

    def show_biases(self) -> np.ndarray:
        """Return the biases of all neurons; those of the dead are zero."""
        of_alive = to_numpy(self.biases)
        biases = np.zeros(self.plan.n_neurons, of_alive.dtype)
        biases[self.plan.neurons] = of_alive
        return biases

    def __getstate__(self) -> dict[str, Any]:
        """Return the weights, one by one if there are few, and who is alive."""
        state = super().__getstate__() | {"plan": self.plan}
        W = state["arrays"]["weights"]
        places = np.flatnonzero(W).astype(np.int32 if W.size < 2**31 else np.int64)
        if len(places) * (W.itemsize + places.itemsize) < W.nbytes:
            state["arrays"].pop("weights")
            state |= {"places": places, "values": W.ravel()[places]}
        return state

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        if "places" in state:
            n = len(state["arrays"]["biases"])
            W = np.zeros((n, n), state["values"].dtype)
            W.ravel()[state["places"]] = state["values"]
            state = state | {"arrays": state["arrays"] | {"weights": W}}
        super().__setstate__(state)
        self.adopt(state["plan"])
        self.settle()


def at_nodes(nodes: Tensor, values: Tensor) -> Tensor:
    """Take some of the nodes from values of nodes or of pairs of nodes.

    Parameters
    ----------
    nodes : Tensor of int of shape (n_kept,)
        Which ones.
    values : Tensor of shape (n_nodes,) or (n_nodes, n_nodes)
        Values.

    Returns
    -------
    Tensor of shape (n_kept,) or (n_kept, n_kept)
        Those of these nodes.
    """
    for dim in range(values.ndim):
        values = values.index_select(dim, nodes)
    return values
