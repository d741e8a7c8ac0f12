"""Explanations that are exact: outputs as sums over modules."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

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

    def _module_labels(self) -> np.ndarray:
        """Module of each node."""
        return self._modules_of_nodes(self.net_.module_.graph)

    def _constant(self) -> np.ndarray:
        """What is decided or predicted if all node values are zero, (n_terms,)."""
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
