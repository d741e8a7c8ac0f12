"""Topologies for other programs: networkx, scipy and GraphML files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

Kind = TypeVar("Kind", bound="Exchangeable")


@dataclass(frozen=True)
class Details:
    """What a fitted network adds to its topology.

    Attributes
    ----------
    weights : ndarray of shape (n_nodes, n_nodes)
        Of the edges between nodes.
    biases : ndarray of shape (n_nodes,)
        Of the nodes.
    modules : ndarray of int of shape (n_nodes,)
        The module of each node.
    names : dict of int to str
        What nodes are called that stand for an input or an output.
    inputs : list of tuple of (str, str)
        Name and feature of each input.
    outputs : list of str
        Name of each output.
    input_weights : ndarray of shape (n_inputs, n_nodes)
        Of the edges from inputs that are no nodes; none if all are.
    output_weights : ndarray of shape (n_nodes, n_outputs)
        Of those to outputs that are no nodes.
    """

    weights: np.ndarray
    biases: np.ndarray
    modules: np.ndarray
    names: dict[int, str]
    inputs: list[tuple[str, str]]
    outputs: list[str]
    input_weights: np.ndarray
    output_weights: np.ndarray


class Exchangeable:
    """What a topology is to other programs."""

    _tell: Callable[[Any], Details] | None = None

    def described(self: Kind, tell: Callable[[Any], Details]) -> Kind:
        """Have a network say what it adds: its weights, and what its ends are called.

        Parameters
        ----------
        tell : callable
            Is called with the topology when this is asked for. It must not hold what
            holds the topology: that would stay in memory.

        Returns
        -------
        Topology
            The same.
        """
        self._tell = tell
        return self

    def _details(self) -> Details | None:
        return None if self._tell is None else self._tell(self)

    def to_scipy(self) -> sparse.csr_array:
        """Return the weights of the edges as a sparse array.

        Returns
        -------
        csr_array of shape (n_nodes, n_nodes)
            The weight of the edge from node i to node j at ``[i, j]``, also where it is
            zero. Where no fitted network is behind the topology, True for each edge.

        Raises
        ------
        ValueError
            If the estimator has been trained further, or is gone.
        """
        edges: sparse.csr_array = _edges(self).copy()
        details = self._details()
        if details is None:
            return edges
        weights = details.weights[edges.nonzero()]
        return sparse.csr_array(
            (weights, edges.indices, edges.indptr), shape=edges.shape
        )

    def to_networkx(self, *, ends: bool = True) -> Any:
        """Return a graph of networkx.

        Parameters
        ----------
        ends : bool, default=True
            Whether inputs and outputs are part of it. Without a fitted network there
            are none.

        Returns
        -------
        networkx.DiGraph
            Nodes 0 to ``n_nodes - 1`` have the attributes "kind", "module" and "depth"
            (the number of components before its own), and of a fitted network "bias";
            an edge has "weight". Inputs are nodes "input …" and outputs "output …",
            with "name" (the class) and, of inputs, "feature" (the column that it is
            made of). Of a URN, whose neurons they are, they have numbers and names. Of
            an ensemble, weights of inputs and outputs are those of the first member.

        Raises
        ------
        ImportError
            If there is no networkx.
        ValueError
            If the estimator has been trained further, or is gone.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sknm import NeuralModuleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = NeuralModuleClassifier(40, max_iter=5, random_state=0).fit(X, y)
        >>> graph = model.topology_.to_networkx()
        >>> graph.nodes["output 2"]["name"]
        '2'
        >>> graph.subgraph(range(40)).number_of_edges() == model.topology_.n_edges
        True
        """
        graph = _networkx("to_networkx").DiGraph()
        details = self._details()
        _add_nodes(graph, self, details)
        if details is not None and ends:
            _add_ends(graph, details)
        return graph

    def to_graphml(self, path: str | PathLike[str], *, ends: bool = True) -> None:
        """Write a GraphML file, which Gephi, Cytoscape, yEd and others read.

        Parameters
        ----------
        path : str or path-like
            Where to.
        ends : bool, default=True
            Whether inputs and outputs are part of it.

        Raises
        ------
        ImportError
            If there is no networkx.
        """
        networkx = _networkx("to_graphml")
        networkx.write_graphml(self.to_networkx(ends=ends), path)

    @classmethod
    def from_networkx(cls: type[Kind], graph: Any) -> Kind:
        """Make the topology of a graph of networkx.

        Parameters
        ----------
        graph : networkx.DiGraph
            A directed graph. Nodes named "input …" and "output …", as `to_networkx`
            makes them, are left out; the others are numbered by their numbers, or as
            they come if they have none.

        Returns
        -------
        Topology
            Its edges, without weights.

        Raises
        ------
        ValueError
            If edges have no direction.
        """
        if not graph.is_directed():
            raise ValueError(
                "graph has edges without direction; give a networkx.DiGraph, such as "
                "graph.to_directed()."
            )
        nodes = [node for node in graph if not _is_end(node)]
        if all(str(node).isdigit() for node in nodes):
            nodes.sort(key=int)
        places = {node: k for k, node in enumerate(nodes)}
        pairs = [
            (places[a], places[b])
            for a, b in graph.edges
            if a in places and b in places
        ]
        source, target = np.array(pairs, dtype=int).reshape(-1, 2).T
        mask = sparse.csr_array(
            (np.ones(len(pairs), bool), (source, target)), shape=2 * (len(nodes),)
        )
        loops = bool((source == target).any())
        return cls(mask, loops)  # type: ignore[call-arg]

    @classmethod
    def from_graphml(cls: type[Kind], path: str | PathLike[str]) -> Kind:
        """Read the topology of a GraphML file.

        Parameters
        ----------
        path : str or path-like
            A file, such as `to_graphml` writes.

        Returns
        -------
        Topology
            Its edges, without weights.

        Raises
        ------
        ImportError
            If there is no networkx.
        """
        return cls.from_networkx(_networkx("from_graphml").read_graphml(path))


def _edges(topology: Any) -> sparse.csr_array:
    edges: sparse.csr_array = topology.edges
    return edges


def _is_end(node: Any) -> bool:
    return isinstance(node, str) and node.startswith(("input ", "output "))


def _add_nodes(graph: Any, topology: Any, details: Details | None) -> None:
    """Add nodes and the edges between them."""
    labels = topology.weak_labels if details is None else details.modules
    for k, (module, depth) in enumerate(zip(labels, topology.node_levels, strict=True)):
        graph.add_node(k, kind="node", module=int(module), depth=int(depth))
    source, target = topology.edges.nonzero()
    pairs = zip(source.tolist(), target.tolist(), strict=True)
    if details is None:
        graph.add_edges_from(pairs)
        return
    for k, bias in enumerate(details.biases.tolist()):
        graph.nodes[k]["bias"] = bias
    for k, name in details.names.items():
        kind, name = name.split(" ", 1)
        graph.nodes[k].update(kind=kind, name=name)
    weights = details.weights[source, target].tolist()
    graph.add_weighted_edges_from(
        (a, b, w) for (a, b), w in zip(pairs, weights, strict=True)
    )


def _add_ends(graph: Any, details: Details) -> None:
    """Add inputs and outputs, and the edges by which they are joined."""
    for name, feature in details.inputs:
        graph.add_node(f"input {name}", kind="input", name=name, feature=feature)
    for name in details.outputs:
        graph.add_node(f"output {name}", kind="output", name=name)
    for j, k in np.argwhere(details.input_weights).tolist():
        weight = float(details.input_weights[j, k])
        graph.add_edge(f"input {details.inputs[j][0]}", k, weight=weight)
    for k, j in np.argwhere(details.output_weights).tolist():
        weight = float(details.output_weights[k, j])
        graph.add_edge(k, f"output {details.outputs[j]}", weight=weight)


def _networkx(method: str) -> Any:
    try:
        import networkx
    except ImportError as error:
        raise ImportError(
            f"{method} needs networkx; install it with pip install 'sknm[plot]' or "
            "pip install networkx."
        ) from error
    return networkx
