"""Fitted attributes that are read from the network, so that they are there once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sknm.graph.exchange import Details
from sknm.graph.topology import Topology


class Fitted:
    """An attribute that is read from the net of a fitted estimator.

    Parameters
    ----------
    read : callable
        Reads it, given the estimator and its net.
    """

    def __init__(self, read: Callable[[Any, Any], Any]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name of the attribute."""
        self._name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        """Read it."""
        if estimator is None:
            return self
        if "net_" not in vars(estimator):
            raise AttributeError(
                f"{type(estimator).__name__} has no {self._name} before fit."
            )
        return self._read(estimator, vars(estimator)["net_"])

    def __set__(self, estimator: Any, value: Any) -> None:
        """Refuse: the network would not heed it."""
        raise AttributeError(f"{self._name} can't be set: it is read from the network.")


def shown(name: str) -> Any:
    """Make an attribute that the network shows, in the terms of the targets.

    Parameters
    ----------
    name : str
        What the network calls it.

    Returns
    -------
    Fitted
        The attribute.
    """

    def read(estimator: Any, net: Any) -> Any:
        return estimator._target_.show(name, net.module_.show(name))

    return Fitted(read)


def topology() -> Any:
    """Make the attribute that shows the topology of the graph.

    Returns
    -------
    Fitted
        The attribute.
    """

    def read(estimator: Any, net: Any) -> Topology:
        found: Topology = net.module_.graph.topology
        return found.described(partial(_details, weakref.ref(estimator)))

    return Fitted(read)


def _details(known: weakref.ref[Any], topology: Topology) -> Details:
    """Say what a network adds to its topology, which has to be as it is now."""
    estimator = known()
    if estimator is None:
        raise ValueError(
            "The estimator of this topology is gone, and its weights with it: keep the "
            "fitted estimator in a variable."
        )
    graph = estimator.net_.module_.graph
    if graph.topology != topology:
        raise ValueError(
            "The estimator has been trained further, and its edges are others now; "
            "read topology_ again."
        )
    names = estimator._target_.output_names
    columns = [column.name for column in estimator.encoding_.columns]
    inputs = [
        (entry.name, columns[entry.column] if entry.column >= 0 else "")
        for entry in estimator.encoding_.inputs
    ]
    modules = estimator._modules_of_nodes(graph)
    n, is_apart = topology.n_nodes, graph.entries is not None
    first = (0,) if estimator.net_.module_.n_members > 1 else ()
    return Details(
        weights=graph.show(),
        biases=np.atleast_2d(estimator.node_biases_)[0],
        modules=np.zeros(n, dtype=int) if modules is None else modules,
        names={} if is_apart else _names_of_neurons(n, inputs, names),
        inputs=inputs if is_apart else [],
        outputs=names if is_apart else [],
        input_weights=estimator.input_weights_[first] if is_apart else np.empty((0, n)),
        output_weights=(
            estimator.output_weights_[first] if is_apart else np.empty((n, 0))
        ),
    )


def _names_of_neurons(
    n: int, inputs: list[tuple[str, str]], outputs: list[str]
) -> dict[int, str]:
    """Name the first neurons for inputs, and the last for the outputs of members."""
    names = {k: f"input {name}" for k, (name, _) in enumerate(inputs)}
    return names | {n - 1 - k: f"output {name}" for k, name in enumerate(outputs[::-1])}


def feature_modules() -> Any:
    """Make the attribute that shows which features enter which modules.

    Returns
    -------
    Fitted
        The attribute, bool of shape (n_features, n_modules).
    """

    def read(estimator: Any, net: Any) -> np.ndarray:
        graph, columns = net.module_.graph, estimator.encoding_.get_feature_indices()
        edges, labels = graph.entering(), estimator._modules_of_nodes(graph)
        if labels is None:
            labels = np.zeros(edges.shape[1], dtype=int)
        found = np.zeros((estimator.n_features_in_, labels.max(initial=0) + 1), bool)
        source, target = np.nonzero(edges)
        is_known = columns[source] >= 0
        found[columns[source[is_known]], labels[target[is_known]]] = True
        return found

    return Fitted(read)


def temperature() -> Any:
    """Make the attribute that shows by how much outputs are trusted.

    Returns
    -------
    Fitted
        The attribute.
    """
    return Fitted(lambda estimator, net: estimator._target_.temperature_)


def device() -> Any:
    """Make the attribute that shows where the network is.

    Returns
    -------
    Fitted
        The attribute.
    """
    return Fitted(lambda estimator, net: net.device)
