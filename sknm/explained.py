"""Explanations that are exact: outputs as sums over modules."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sknm.attempt import attempt
from sknm.base import GraphEstimator
from sknm.graph.components import members


class Explained(GraphEstimator):
    """What can be told of estimators whose outputs are sums over modules.

    Modules that exchange nothing act on the outputs by ``z V`` alone, which is the sum
    of what the nodes of each add.
    """

    def module_contributions(self, X: Any) -> np.ndarray:
        """Compute what each module adds to the outputs, which they are the sum of.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_modules, n_outputs)
            Terms in double precision, in the order of the modules of
            ``feature_modules_``. Their sum over the modules is, of classifiers,
            ``decision_function``, with one output for two classes; of regressors
            ``predict``, in units of the targets, or its logarithm with the losses
            "poisson" and "gamma". What belongs to no module, the biases of the outputs
            and the centre of the targets, is shared out: each node carries the same
            part of it. Of an ensemble of regressors, the means over the members.

        Raises
        ------
        ValueError
            If it is an ensemble whose output is no mean of its members' outputs, as
            that of classifiers, and of regressors with a logarithm.
        """
        check_is_fitted(self)
        self._refuse_ensembles("module_contributions")
        shares = np.bincount(self._module_labels()) / self.net_.module_.graph.n_nodes
        return self._module_terms(X) + shares[:, None] * self._constant()

    def drop_modules(self, modules: Any) -> Any:
        """Make a copy without some modules, whose nodes are taken out of the network.

        All that the others compute, and the biases of the outputs, stay as they are, so
        that ``decision_function`` or ``predict`` loses what the modules have added.

        Parameters
        ----------
        modules : array-like of int of shape (n_dropped,)
            Which modules, in the numbers of ``feature_modules_``.

        Returns
        -------
        object
            A fitted estimator, whose modules are numbered anew. It is trained on, by a
            warm start or ``partial_fit``, if `n_nodes` is set to the number of nodes
            that are left. Curves and histories are those of the whole.

        Raises
        ------
        ValueError
            If there are no such modules, none would be left, or others depend on them.
        """
        check_is_fitted(self)
        labels = self._module_labels()
        dropped = check_modules(modules, int(labels.max(initial=-1)) + 1)
        refuse_dependents(self.topology_.edges, labels, dropped)
        other = copy.copy(self)
        with attempt(other, goes_on=True) as work:
            kept = np.flatnonzero(~np.isin(labels, dropped))
            work.net_.keep(kept)
            work._read_nodes(kept)
        return other

    def _read_nodes(self, kept: np.ndarray) -> None:
        """Bring fitted attributes of nodes to those that are left."""

    def _module_labels(self) -> np.ndarray:
        """Tell the module of each node."""
        graph = self.net_.module_.graph
        labels = self._modules_of_nodes(graph)
        return np.zeros(graph.n_nodes, dtype=int) if labels is None else labels

    def _constant(self) -> np.ndarray:
        """Compute what is decided or predicted if all node values are zero."""
        c = self.net_.module_.show("output_biases").astype(np.float64)
        mean = c if c.ndim < 2 else c.mean(axis=0)
        return self._target_.terms(mean) + self._target_.origin

    def _module_terms(self, X: Any) -> np.ndarray:
        """Compute ``z_m V_m`` of each module, in the terms of the targets."""
        nodes = members(self._module_labels())
        V = self.net_.module_.show("output_weights").astype(np.float64)

        def finish(z: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore", invalid="ignore"):  # which is told
                return self._target_.terms(sums_over_modules(z, V, nodes))

        return self._compute("values", X, finish)[0]

    def _refuse_ensembles(self, what: str) -> None:
        n_members = self.net_.module_.n_members
        if n_members > 1 and not self._target_.has_linear_mean:
            raise ValueError(
                f"{what} needs n_members=1, but the estimator was fitted with "
                f"n_members={n_members}: the logarithm of what members have on average "
                "is no sum over modules. Set n_members=1, and fit again."
            )


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
