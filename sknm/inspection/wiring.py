"""What leads where in a fitted model: edges from features over nodes to outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sknm.graph.depth import main_depths
from sknm.inspection.models import feature_names, fitted_estimator, output_names

MOST_DEPTHS = 8
"""Of more depths than these, neighbours are one group."""


@dataclass(frozen=True)
class Wiring:
    """The edges of a fitted model, and what its nodes have in common.

    Elements are numbered: features first, then nodes, then outputs.

    Attributes
    ----------
    sources, targets : ndarray of int of shape (n_edges,)
        The elements that edges join.
    weights : ndarray of float of shape (n_edges,)
        Their weights.
    groups : ndarray of int of shape (n_nodes,)
        Module or range of depths of each node, without gaps.
    levels : ndarray of int of shape (n_nodes,)
        Depth of each node, from 0 on.
    feature_names, output_names : ndarray of str
        What the ends are called.
    grouped_by : {"module", "depth"}
        What the groups are.
    has_depths : bool
        Whether each node has a depth: it is on no cycle, or a URN's.
    neurons : ndarray of int of shape (n_nodes,) or None
        What nodes are, where some are the same at several depths.
    """

    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    groups: np.ndarray
    levels: np.ndarray
    feature_names: np.ndarray
    output_names: np.ndarray
    grouped_by: str = "module"
    has_depths: bool = False
    neurons: np.ndarray | None = None

    @property
    def kinds(self) -> np.ndarray:
        """Of each element: 0 for features, 1 for nodes, 2 for outputs."""
        counts = [len(self.feature_names), len(self.groups), len(self.output_names)]
        return np.repeat([0, 1, 2], counts)

    @property
    def n_nodes(self) -> int:
        """Number of nodes; what stands at several depths is one."""
        return len(self.groups if self.neurons is None else np.unique(self.neurons))

    @property
    def n_node_edges(self) -> int:
        """Number of edges between nodes; what is there several times is one."""
        n, d = len(self.groups), len(self.feature_names)
        sources, targets = self.sources - d, self.targets - d
        is_inner = (sources >= 0) & (sources < n) & (targets >= 0) & (targets < n)
        pairs = np.stack([sources[is_inner], targets[is_inner]])
        if self.neurons is None:
            return pairs.shape[1]
        return np.unique(self.neurons[pairs], axis=1).shape[1]

    @property
    def n_features_used(self) -> int:
        """Number of features from which an edge leads somewhere."""
        return len(np.unique(self.sources[self.sources < len(self.feature_names)]))

    def matrix(self, source: int, target: int) -> np.ndarray:
        """Return the weights of edges between two kinds of element.

        Parameters
        ----------
        source, target : int
            The kinds: 0 for features, 1 for nodes, 2 for outputs.

        Returns
        -------
        ndarray of shape (n_sources, n_targets)
            NaN where there is no edge.
        """
        kinds = self.kinds
        counts = np.bincount(kinds, minlength=3)
        starts = np.append(0, np.cumsum(counts))
        found = np.full((counts[source], counts[target]), np.nan)
        is_one = (kinds[self.sources] == source) & (kinds[self.targets] == target)
        places = self.sources[is_one] - starts[source]
        found[places, self.targets[is_one] - starts[target]] = self.weights[is_one]
        return found


def vars_of(thing: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return some attributes of an object by their names.

    Parameters
    ----------
    thing : object
        Whose.
    names : iterable of str
        Which.

    Returns
    -------
    dict of str to object
        The attributes.
    """
    return {name: getattr(thing, name) for name in names}


def read_wiring(model: Any, display: str) -> Wiring:
    """Read the edges of a fitted model.

    Parameters
    ----------
    model : estimator
        A fitted estimator of sknm, or a pipeline or search that ends with one.
    display : str
        What asks, for the error.

    Returns
    -------
    Wiring
        The edges. Of several members of an ensemble, those of the first.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    TypeError
        If it has no topology.
    """
    estimator = fitted_estimator(model)
    if not hasattr(estimator, "topology_"):
        raise TypeError(
            f"{display} draws the edges of topology_, and {type(estimator).__name__} "
            "has none: its nodes are the variables of one quadratic programme. Give "
            "an estimator that has a topology_, such as NeuralModuleClassifier, or "
            "look at node_weights_ itself."
        )
    if hasattr(estimator, "node_depth_"):
        return unrolled(estimator)
    U, V = first_of(estimator.input_weights_), first_of(estimator.output_weights_)
    row, column = estimator.topology_.edges.nonzero()
    d, n = estimator.n_features_in_, len(V)
    parts = [
        _features_in(estimator, U, np.arange(d, d + n)),
        (row + d, column + d, estimator.node_weights_[row, column]),
        _entries(V, np.arange(d, d + n), np.arange(d + n, d + n + V.shape[1])),
    ]
    sources, targets, weights = map(np.concatenate, zip(*parts, strict=True))
    groups, levels = _groups(estimator)
    return Wiring(sources, targets, weights, groups, levels, **_names(estimator))


def unrolled(estimator: Any) -> Wiring:
    """Read a URN: each neuron stands at all the steps at which it matters.

    Parameters
    ----------
    estimator : estimator
        A fitted URN.

    Returns
    -------
    Wiring
        Its nodes are neurons at steps between the first, that of features, and the
        last, that of outputs; each edge leads from a step to the next.
    """
    W, V = estimator.node_weights_, first_of(estimator.output_weights_)
    n_steps = max((steps[-1] for steps in estimator.node_depth_ if steps), default=1)
    steps, neurons = np.nonzero(_at_steps(estimator.node_depth_, n_steps))
    is_between = (steps > 0) & (steps < n_steps)
    levels, between = steps[is_between] - 1, neurons[is_between]
    d = estimator.n_features_in_
    # What each neuron is drawn as at each step; -1 where it does not matter.
    places = np.full((n_steps + 1, len(W)), -1)
    columns = estimator.encoding_.get_feature_indices()
    starts = neurons[(steps == 0) & (neurons < len(columns))]
    places[0, starts] = columns[starts]
    places[levels + 1, between] = d + np.arange(len(between))
    read = np.flatnonzero(V.any(axis=1))
    places[n_steps, read] = d + len(between) + np.abs(V[read]).argmax(axis=1)
    source, target = np.nonzero(W)
    step, edge = np.nonzero((places[:-1, source] >= 0) & (places[1:, target] >= 0))
    return Wiring(
        places[step, source[edge]],
        places[step + 1, target[edge]],
        W[source[edge], target[edge]],
        in_ranges(levels),
        levels,
        **_names(estimator),
        neurons=between,
    )


def by_main_depth(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read the matrix of a URN, and at which depth most of the weight of neurons is.

    Parameters
    ----------
    estimator : estimator
        A fitted URN.

    Returns
    -------
    weights : ndarray of shape (n_nodes, n_nodes)
        Those between neurons that matter, features and outputs included; NaN where
        there is no edge.
    levels : ndarray of int of shape (n_nodes,)
        Their depths.
    """
    W, d = estimator.node_weights_, len(first_of(estimator.input_weights_))
    n_outputs = estimator.output_weights_.size // len(W)
    n_steps = max((steps[-1] for steps in estimator.node_depth_ if steps), default=1)
    depths = main_depths(W, d, n_outputs, n_steps)
    matters = np.flatnonzero(depths >= 0)
    inner = W[np.ix_(matters, matters)]
    return np.where(inner == 0, np.nan, inner), depths[matters]


def _at_steps(depths: list[tuple[int, ...]], n_steps: int) -> np.ndarray:
    """Say at which steps neurons matter, as an array (n_steps + 1, n_neurons)."""
    found = np.zeros((n_steps + 1, len(depths)), dtype=bool)
    for neuron, steps in enumerate(depths):
        found[list(steps), neuron] = True
    return found


def first_of(weights: np.ndarray) -> np.ndarray:
    """Return the weights of the first member of an ensemble.

    Parameters
    ----------
    weights : ndarray
        Those of all, or of a model that is no ensemble.

    Returns
    -------
    ndarray of 2 dimensions
        Those of the first.
    """
    return weights[0] if weights.ndim == 3 else weights


def _names(estimator: Any) -> dict[str, Any]:
    is_modular = hasattr(estimator, "module_labels_")
    is_layered = estimator.topology_.is_acyclic or hasattr(estimator, "node_depth_")
    return {
        "feature_names": feature_names(estimator),
        "output_names": output_names(estimator),
        "grouped_by": "depth" if is_layered and not is_modular else "module",
        "has_depths": is_layered,
    }


def _entries(
    A: np.ndarray, sources: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges where a matrix is not zero, between elements of these numbers."""
    i, j = np.nonzero(A)
    return sources[i], targets[j], A[i, j]


def _features_in(
    estimator: Any, U: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges from features: of the numbers that a feature enters as, the largest."""
    columns = estimator.encoding_.get_feature_indices()
    i, j, weights = _entries(U, np.arange(len(U)), np.arange(U.shape[1]))
    is_one = columns[i] >= 0
    i, j, weights = columns[i][is_one], j[is_one], weights[is_one]
    order = np.lexsort((-abs(weights), j, i))
    pairs = i[order] * U.shape[1] + j[order]
    largest = order[np.append(True, np.diff(pairs) > 0)[: len(order)]]
    return i[largest], targets[j[largest]], weights[largest]


def _groups(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Find the groups and levels of nodes."""
    topology = estimator.topology_
    levels = topology.node_levels
    if hasattr(estimator, "module_labels_"):
        return _numbered(estimator.module_labels_, estimator.connection), levels
    if topology.is_acyclic:
        return in_ranges(levels), levels
    return _numbered(topology.weak_labels, "weak"), levels


def _numbered(labels: np.ndarray, connection: str) -> np.ndarray:
    """Weak modules by size, the largest first; strong ones as they depend."""
    if connection == "strong":
        return np.unique(labels, return_inverse=True)[1]
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels]


def in_ranges(levels: np.ndarray) -> np.ndarray:
    """Put neighbouring depths together where there are many.

    Parameters
    ----------
    levels : ndarray of int of shape (n_nodes,)
        The depths.

    Returns
    -------
    ndarray of int of shape (n_nodes,)
        Groups of depths, of similar numbers of nodes, without gaps.
    """
    _, places = np.unique(levels, return_inverse=True)
    if places.max(initial=0) >= MOST_DEPTHS:
        before = np.cumsum(np.bincount(places)) - np.bincount(places) / 2
        parts = np.floor(before / len(levels) * MOST_DEPTHS).astype(int)
        places = np.unique(parts[places], return_inverse=True)[1]
    return places
