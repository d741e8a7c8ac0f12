"""Modules as parts of the whole: what they add, and who depends on whom."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np


def sums_over_modules(
    z: np.ndarray, V: np.ndarray, nodes: list[np.ndarray]
) -> np.ndarray:
    """Compute ``z_m V_m`` of each module, of an ensemble the mean of its members'.

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_nodes) or (n_samples, n_members, n_nodes)
        Node values.
    V : ndarray of shape (n_nodes, n_outputs) or (n_members, n_nodes, n_outputs)
        Output weights.
    nodes : list of ndarray of int
        The nodes of each module.

    Returns
    -------
    ndarray of shape (n_samples, n_modules, n_outputs)
        In double precision.
    """
    z, V = z.reshape(len(z), -1, z.shape[-1]), V.reshape(-1, *V.shape[-2:])
    found = np.empty((len(z), len(nodes), V.shape[-1]))
    for m, own in enumerate(nodes):
        of_members = z[:, :, own].astype(np.float64).swapaxes(0, 1) @ V[:, own]
        found[:, m] = of_members.mean(axis=0)
    return found


def check_modules(modules: Any, n_modules: int) -> np.ndarray:
    """Check which modules are to be dropped.

    Parameters
    ----------
    modules : object
        What the user gave.
    n_modules : int
        How many there are.

    Returns
    -------
    ndarray of int
        Their numbers, each once.

    Raises
    ------
    ValueError
        If they are no numbers of modules, or all of them.
    """
    given = list(np.atleast_1d(np.asarray(modules, dtype=object)))
    if not all(isinstance(m, Integral) and not isinstance(m, bool) for m in given):
        raise ValueError(
            f"modules={modules!r} must be numbers of modules, a list of int."
        )
    numbers = np.array(given, dtype=int)
    unknown = sorted({int(m) for m in numbers if not 0 <= m < n_modules})
    if unknown:
        raise ValueError(
            f"modules={modules!r} has {unknown}, but the modules are numbered from 0 "
            f"to {n_modules - 1}."
        )
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError(f"modules={modules!r} has a module twice; give each once.")
    if len(numbers) == n_modules:
        raise ValueError(
            f"modules={modules!r} are all {n_modules} modules, and nothing would be "
            "left; keep at least one."
        )
    return numbers


def dependents(edges: Any, labels: np.ndarray, modules: np.ndarray) -> np.ndarray:
    """Find the other modules that some modules lead to.

    Parameters
    ----------
    edges : sparse array of shape (n_nodes, n_nodes)
        The edges between nodes.
    labels : ndarray of int of shape (n_nodes,)
        Module of each node.
    modules : ndarray of int
        Some modules.

    Returns
    -------
    ndarray of int
        All that depend on them, over any number of edges, in order.
    """
    source, target = (labels[ends] for ends in edges.nonzero())
    reached = np.isin(np.arange(labels.max(initial=-1) + 1), modules)
    n_before = -1
    while n_before < (n_before := int(reached.sum())):
        reached[target[reached[source]]] = True
    return np.setdiff1d(np.flatnonzero(reached), modules)


def refuse_dependents(edges: Any, labels: np.ndarray, modules: np.ndarray) -> None:
    """Raise if others depend on modules that are to be dropped.

    Parameters
    ----------
    edges : sparse array of shape (n_nodes, n_nodes)
        The edges between nodes.
    labels : ndarray of int of shape (n_nodes,)
        Module of each node.
    modules : ndarray of int
        Which are to be dropped.

    Raises
    ------
    ValueError
        If others depend on them.
    """
    others = dependents(edges, labels, modules).tolist()
    if others:
        raise ValueError(
            f"Modules {others} depend on modules that are to be dropped, "
            f"{np.sort(modules).tolist()}: drop these, too, or keep those."
        )
