"""The torch modules that estimators train: inputs, a graph of nodes, outputs."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknm.compute.arrays import padded, to_numpy
from sknm.compute.groups import ParameterGroup, step_share
from sknm.compute.parallel import Workers, open_workers
from sknm.compute.rows import Inputs, SparseBatch
from sknm.compute.settings import own_settings
from sknm.encoding.encoder import Encoder, Identity
from sknm.graph.activations import ACTIVATIONS, Activation
from sknm.graph.draw import draw_outputs
from sknm.graph.entries import Entries
from sknm.graph.equilibrium import Memory
from sknm.graph.problem import Solution
from sknm.graph.state import GraphState, Snapshot
from sknm.graph.trace import Trace
from sknm.training.members import Members

CHUNK_ELEMENTS = 2**18
"""Node values that are computed at a time: they should stay in the cache."""

FULL_STEP_INPUTS, FULL_STEP_OUTLETS = 16, 400
"""Most inputs of a node, and most nodes that an output is read from, with which weights
get the optimiser's whole step; 400 are what the rate was chosen for."""


class _OfThread(threading.local):
    """The workers of each thread that fits or predicts."""

    workers: Workers | None = None


_of_thread = _OfThread()


@dataclass(frozen=True)
class NetworkSnapshot:
    """A copy of a network's parameters and of its graph, to come back to.

    Attributes
    ----------
    graph : Snapshot
        The graph.
    parameters : dict of str to Tensor
        All parameters beside those of the graph, and what else its encoder keeps.
    """

    graph: Snapshot
    parameters: dict[str, Tensor]

    def is_finite(self) -> bool:
        """Whether all parameters are finite."""
        parameters = [*self.parameters.values(), *self.graph.parameters.values()]
        return all(bool(p.isfinite().all()) for p in parameters)


class Network(nn.Module):
    """What training and prediction ask of a network.

    Parameters
    ----------
    encoder : Encoder
        Turns rows into what enters the graph.
    graph : GraphState
        The nodes and what joins them.
    generator : torch.Generator
        Source of randomness of the dropout.

    Attributes
    ----------
    sigma : Activation
        The activation σ; set, as all that may change from one training to the next,
        before the first use.
    dropout : float
        Share of the nodes whose output is left out of a training step.
    memory : Memory
        What solves of one training step leave for the next.
    members : Members or None
        What members have of their own; None for a network that is no ensemble.
    """

    members: Members | None
    graph: GraphState
    sigma: Activation
    dropout: float

    def __init__(
        self, encoder: Encoder, graph: GraphState, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.graph = graph
        self.generator = generator
        self.memory = Memory()
        self.members = None

    @abstractmethod
    def multiply(self, n_members: int) -> None:
        """Make a new network one of several members, which are drawn.

        Parameters
        ----------
        n_members : int
            How many, at least 2.
        """

    @property
    def n_members(self) -> int:
        """Number of members, 1 if it is no ensemble."""
        return 1 if self.members is None else len(self.members)

    # What predictions ask.

    @abstractmethod
    def values(self, X: Inputs, prepared: Any = None) -> Solution:
        """Compute the values of all nodes, and how well they were found.

        Parameters
        ----------
        X : Tensor or SparseBatch of shape (n_samples, n_features)
            A batch of rows.
        prepared : object, optional
            What :meth:`prepare` made, shared by several batches.

        Returns
        -------
        Solution
            ``value`` is of shape (n_samples, …, n_nodes), of an ensemble (n_samples,
            n_members, …, n_nodes).
        """

    @abstractmethod
    def outputs(self, X: Inputs, prepared: Any = None) -> Solution:
        """Compute the outputs, and how well the node values were found.

        Parameters
        ----------
        X : Tensor or SparseBatch of shape (n_samples, n_features)
            A batch of rows.
        prepared : object, optional
            What :meth:`prepare` made, shared by several batches.

        Returns
        -------
        Solution
            ``value`` is of shape (n_samples, n_outputs), of an ensemble (n_samples,
            n_members, n_outputs).
        """

    def inputs(self, X: Inputs, prepared: Any = None) -> Solution:
        """Compute what enters the graph, where there is nothing to be found."""
        x = self._encode(X).to_dense()
        converged = torch.ones(len(x), dtype=torch.bool, device=x.device)
        return Solution(x, converged, 0, 0.0)

    @abstractmethod
    def prepare(self) -> Any:
        """Make what several batches with the same weights share."""

    @property
    def chunk_rows(self) -> int:
        """Rows that are predicted at a time."""
        return self._rows_of(CHUNK_ELEMENTS)

    def _rows_of(self, n_values: int) -> int:
        """Count the rows that have so many node values, and not more dense inputs."""
        is_plain = isinstance(self.encoder, Identity)
        n_inputs = 0 if is_plain else self.encoder.n_outputs
        n_most = max(self.graph.n_nodes * self.n_members, n_inputs)
        return rows_of(n_values, n_most)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.graph.device

    @property
    def numpy_dtype(self) -> np.dtype:
        """Precision of the parameters."""
        is_double = self.graph.biases.dtype == torch.float64
        return np.dtype(np.float64 if is_double else np.float32)

    # What training asks.

    def forward(self, X: Inputs, trace: Trace | None = None) -> Tensor:
        """Compute the outputs of a batch.

        Parameters
        ----------
        X : Tensor or SparseBatch of shape (n_samples, n_features)
            A batch of rows.
        trace : Trace, optional
            Is told what a training step finds on its way.

        Returns
        -------
        Tensor of shape (n_samples, n_outputs) or (n_samples, n_members, n_outputs)
            Outputs; in training with nodes left out, and differentiable.
        """
        if not self.training:
            return self.outputs(X).value
        return self._train(self._encode(X), Trace() if trace is None else trace)

    def _encode(self, X: Inputs) -> Inputs:
        """Turn a batch of rows into what enters the graph."""
        return self.encoder(X)

    @abstractmethod
    def _train(self, X: Inputs, trace: Trace) -> Tensor:
        """Compute outputs of encoded rows that have a gradient."""

    def penalty(self, trace: Trace, weights: Tensor | None) -> Tensor | None:
        """Return what a step costs beyond its loss, given row weights."""
        return None

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser."""
        own = () if self.members is None else self.members.groups()
        return [*self.encoder.groups(), *self.graph.groups(), *own]

    def snapshot(self) -> NetworkSnapshot:
        """Copy the network."""
        parameters = {
            name: tensor.clone()
            for name, tensor in self.state_dict().items()
            if not name.startswith("graph.")
        }
        return NetworkSnapshot(self.graph.snapshot(), parameters)

    def restore(self, snapshot: NetworkSnapshot) -> bool:
        """Go back to a copy; return whether the sizes are as before."""
        own = self.state_dict()
        for name, values in snapshot.parameters.items():
            own[name].copy_(values)
        return self.graph.restore(snapshot.graph)

    def move(self, device: str) -> None:
        """Bring parameters and graph to a device."""
        self.to(device)
        self.graph.move(device)

    def sparsify(self) -> None:
        """Drop what predictions don't need."""
        self.graph.sparsify(self.sigma)

    def keep(self, nodes: np.ndarray) -> None:
        """Remove all nodes but some, which compute what they did.

        Parameters
        ----------
        nodes : ndarray of int of shape (n_kept,)
            Which nodes are left, ascending; no other leads to them.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps its nodes.")

    @property
    def workers(self) -> Workers:
        """Threads that share the work."""
        return _of_thread.workers or Workers()

    def _dropout_factors(self, n_nodes: int) -> Tensor:
        # One draw per node and step, not per sample (Graham et al. 2015, "Efficient
        # batchwise dropout"): it costs nothing, and rows may be repeated or
        # weighted without changing what is drawn.
        kept = torch.empty(n_nodes, dtype=self.graph.biases.dtype)
        kept.bernoulli_(1 - self.dropout, generator=self.generator)
        return kept.div_(1 - self.dropout).to(self.device)

    # What users see.

    def show(self, name: str) -> np.ndarray:
        """Return what an attribute of that name shows.

        Parameters
        ----------
        name : {"input_weights", "node_weights", "node_biases", "output_weights", \
"output_biases"}
            Of shape (n_inputs, n_nodes), (n_nodes, n_nodes), (n_nodes,),
            (n_nodes, n_outputs) and (n_outputs,). Of an ensemble, all but the weights
            between nodes have the members before these.

        Returns
        -------
        ndarray
            A copy.
        """
        if name == "node_weights":
            return self.graph.show()
        return self.graph.show_biases()

    # What pickles hold.

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: arrays instead of tensors, and no generator."""
        left_out = "generator", "memory", "training"
        own = {
            name: value
            for name, value in vars(self).items()
            if not (name.startswith("_") or name in left_out)
        }
        arrays = {k: to_numpy(p) for k, p in self.named_parameters(recurse=False)}
        return own | self._modules | {"sigma": self.sigma.name, "arrays": arrays}

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU, ready to predict."""
        nn.Module.__init__(self)
        for name, array in state["arrays"].items():
            setattr(self, name, nn.Parameter(torch.tensor(array, device="cpu")))
        for name, value in state.items():
            if name != "arrays":
                setattr(self, name, value)
        self.sigma = ACTIVATIONS[state["sigma"]]
        self.memory = Memory()
        self.eval()


class LinearEnds(Network):
    """A network that inputs enter by ``xU``, and whose outputs are read by ``zV + c``.

    Parameters
    ----------
    encoder : Encoder
        Turns rows into what enters the graph.
    graph : GraphState
        The nodes and what joins them.
    input_weights : Tensor of shape (n_inputs, n_inlets)
        ``U``.
    output_weights : Tensor of shape (n_outlets, n_outputs)
        ``V``; of an ensemble, each member has its own, in a tensor of three dimensions.
    generator : torch.Generator
        Source of randomness of the dropout.
    """

    def __init__(
        self,
        encoder: Encoder,
        graph: GraphState,
        input_weights: Tensor,
        output_weights: Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__(encoder, graph, generator)
        columns = [column for column, _ in encoder.labels()]
        graph.entries = Entries(input_weights, columns)
        self.output_weights = nn.Parameter(output_weights)
        self.output_biases = nn.Parameter(
            output_weights.new_zeros(output_weights.shape[1])
        )

    @property
    def entries(self) -> Entries:
        """The edges from inputs to nodes."""
        assert self.graph.entries is not None, "the constructor makes them"
        return self.graph.entries

    @property
    def input_weights(self) -> Tensor:
        """``U``."""
        return self.entries.weights

    def multiply(self, n_members: int) -> None:
        """Make a new network one of several members: signs, biases and readouts."""
        V, generator = self.output_weights.detach(), self.generator
        n_inlets, n_nodes = self.input_weights.shape[1], self.graph.n_nodes
        members = Members.draw(n_members, n_inlets, n_nodes, generator)
        n_outlets, n_outputs = V.shape
        others = [
            draw_outputs(n_outlets, n_outputs, generator) for _ in range(n_members - 1)
        ]
        stacked = torch.stack([V, *(other.to(V) for other in others)])
        self.members = members.to(V)
        self.output_weights = nn.Parameter(stacked)
        self.output_biases = nn.Parameter(V.new_zeros(n_members, n_outputs))

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser."""
        V, entries = self.output_weights, self.entries
        entries.group.step_scale = step_share(FULL_STEP_INPUTS, self.encoder.fan_in)
        return [
            *entries.groups(),
            *super().groups(),
            ParameterGroup([V], step_share(FULL_STEP_OUTLETS, V.shape[-2])),
            ParameterGroup([self.output_biases], ridge=0.0),
        ]

    def _project(self, X: Inputs) -> Tensor:
        """Compute ``(xU)ᵀ``."""
        U = self.input_weights
        if isinstance(X, SparseBatch):
            return X.times(U).t().contiguous()
        return U.t() @ X.t()

    def show(self, name: str) -> np.ndarray:
        """Return ``U``, ``W``, ``b``, ``V`` or ``c``, zero where nothing leads."""
        n_nodes, members = self.graph.n_nodes, self.members
        if name == "input_weights":
            U = to_numpy(self.input_weights)
            if members is not None:
                U = U * to_numpy(members.scales)[:, None]
            return padded(U, -1, after=n_nodes - U.shape[-1])
        if name == "output_weights":
            V = to_numpy(self.output_weights)
            return padded(V, -2, before=n_nodes - V.shape[-2])
        if name == "output_biases":
            return to_numpy(self.output_biases)
        shown = super().show(name)
        if name == "node_biases" and members is not None:
            assert members.biases is not None, "they have been drawn"
            return shown + to_numpy(members.biases)
        return shown


def rows_of(n_values: int, n_nodes: int) -> int:
    """Count the rows that have about so many node values."""
    return max(128, n_values // max(1, n_nodes) // 64 * 64)


@contextmanager
def at_work(n_jobs: int | None) -> Iterator[None]:
    """Let `n_jobs` threads share the work of networks for as long as the context lasts.

    Parameters
    ----------
    n_jobs : int or None
        Number of threads, as joblib understands it.
    """
    if _of_thread.workers is not None:  # predictions share those of a fit
        yield
        return
    with open_workers(n_jobs) as _of_thread.workers:
        try:
            yield
        finally:
            _of_thread.workers = None
