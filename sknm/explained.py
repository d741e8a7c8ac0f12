"""Explanations that are exact: outputs as sums over modules."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, cast

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sknm.attempt import attempt
from sknm.base import GraphEstimator
from sknm.checks import Samples, check_weights
from sknm.compute.settings import own_settings
from sknm.explanations.importance import importances
from sknm.explanations.modules import (
    check_modules,
    dependents,
    refuse_dependents,
    sums_over_modules,
)
from sknm.explanations.proof import Proof, Weights, radii
from sknm.explanations.summaries import (
    as_table,
    feature_lists,
    scores_without,
    variance_shares,
    votes,
)
from sknm.graph.certificate import Certificate
from sknm.graph.components import members
from sknm.targets import ClassTarget, LabelTarget
from sknm.training.equation import EquationNetwork

ATTRIBUTES = """
feature_importances_ : ndarray of shape (n_features,)
    How much the outputs change with each feature: root mean squares of their gradients
    over up to 64 training rows, in standard deviations of what is made of the feature;
    they add up to 1, and are 0 for features that enter nowhere. It is what the model
    relies on, not what the targets depend on: features that tell the same share it,
    and an overfitted model has its own. It is there after ``fit``, not after
    ``partial_fit``. :func:`sklearn.inspection.permutation_importance` measures what
    counts for a score, on any rows.

certificate_ : Certificate
    What is proved of the solutions: that there is one for each input, and how far
    outputs can move with the encoded input. It is computed when it is first asked for,
    and not there with several `n_members`.
"""


class Explained(GraphEstimator):
    """What can be told of estimators whose outputs are sums over modules.

    Modules that exchange nothing act on the outputs by ``z V`` alone, which is the sum
    of what the nodes of each add.
    """

    _doc_parts: ClassVar[dict[str, str]] = {"attributes": ATTRIBUTES}

    @property
    def feature_importances_(self) -> np.ndarray:
        """How much outputs change with each feature, (n_features,)."""
        found: np.ndarray | None = vars(self).get("_importances_")
        if found is None:
            raise AttributeError(
                f"{type(self).__name__} has no feature_importances_: it is there after "
                "fit, until partial_fit or drop_modules. Use "
                "sklearn.inspection.permutation_importance, which takes any model."
            )
        return found

    def _measure_features(self, samples: Samples | None) -> None:
        if samples is None:
            self.__dict__.pop("_importances_", None)
            return
        target = self._target_
        self._importances_ = importances(
            cast(EquationNetwork, self.net_.module_),
            samples,
            self.encoding_.get_feature_indices(),
            self.n_features_in_,
            isinstance(target, ClassTarget),
        )

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
        terms = self._target_.terms(self._module_sums(X))
        return terms + shares[:, None] * self._constant()

    def module_summary(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Tell what each module is made of, and what it does on some rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        DataFrame or dict of str to list
            A data frame of pandas where it is installed, else its columns. A row for
            each module, in the order of ``feature_modules_``:

            - "module", its number;
            - "n_nodes", its size;
            - "features", the names of those that enter it;
            - "votes_for", of classifiers, the classes that it votes for: where they
              are predicted, it adds more to them than to the others on average. At
              least half as much as to the first of them, which comes first;
            - "variance_share", its share in the variance of the outputs: the
              covariance of its term with their sum, by the variance of the sum. The
              shares add up to 1; those of modules that counteract others are negative;
            - "score_without", with `y`, the accuracy or R² of
              ``drop_modules([module])``, as there is no retraining; NaN for modules
              that others depend on.

        Raises
        ------
        ValueError
            If it is an ensemble whose output is no mean of its members' outputs, or the
            rows have no weight.
        """
        check_is_fitted(self)
        self._refuse_ensembles("module_summary")
        sums, target, labels = (
            self._module_sums(X),
            self._target_,
            self._module_labels(),
        )
        weights = check_weights(sample_weight, sums)
        rows = np.ones(len(sums)) if weights is None else weights
        if not rows.any():
            raise ValueError("sample_weight is zero for all rows; weigh some of them.")
        n_modules = sums.shape[1]
        names = [column.name for column in self.encoding_.columns]
        columns: dict[str, Any] = {
            "module": list(range(n_modules)),
            "n_nodes": np.bincount(labels).tolist(),
            "features": feature_lists(self.feature_modules_, names),
        }
        if isinstance(target, LabelTarget):
            outputs = sums.sum(axis=1) + self._biases()
            columns["votes_for"] = votes(sums, outputs, rows, target)
        shares = variance_shares(target.terms(sums), rows, target)
        columns["variance_share"] = shares.tolist()
        if y is not None:
            scores = scores_without(sums, self._biases(), y, weights, target)
            edges = self.topology_.edges
            columns["score_without"] = [
                float("nan") if len(dependents(edges, labels, np.array([m]))) else score
                for m, score in enumerate(scores)
            ]
        return as_table(columns)

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
            work._measure_features(None)
        return other

    @property
    def certificate_(self) -> Certificate:
        """What is proved of the fitted network; computed when it is first asked for."""
        if not hasattr(self, "net_"):
            raise AttributeError(
                f"{type(self).__name__} has no certificate_ before fit."
            )
        if self.net_.module_.n_members > 1:
            raise AttributeError(self._no_ensembles("certificate_"))
        return self._proof().certificate

    @available_if(is_classifier)
    def certified_radius(self, X: Any) -> np.ndarray:
        """Compute how far encoded rows can be moved before a decision may change.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Euclidean distances from what ``encode`` returns, within which the predicted
            class, or of several labels each of them, is proved to stay: the least
            difference of two outputs, divided by the most that it can change by, of
            which ``certificate_`` tells. What the node values may be wrong by is taken
            off. 0 where nothing is proved.

        Raises
        ------
        ValueError
            If it is an ensemble.
        """
        check_is_fitted(self)
        if self.net_.module_.n_members > 1:
            raise ValueError(self._no_ensembles("certified_radius"))
        proof, weights = self._proof(), Weights(self)
        z = self.node_values(X).astype(np.float64)
        errors = weights.residuals(self.encode(X).astype(np.float64), z)
        found, rounding = weights.outputs(z), weights.rounding(z)
        if proof.certificate.of_pairs is None:
            gaps = abs(found) - 2 * rounding
            gains, per_error = proof.certificate.of_outputs, proof.errors_of_outputs
            return radii(gaps, gains, per_error, errors)
        predicted, rows = found.argmax(axis=1), np.arange(len(found))
        gaps = found[rows, predicted][:, None] - found
        gaps -= 2 * (rounding[rows, predicted][:, None] + rounding)
        gaps[rows, predicted] = np.inf
        gains = proof.certificate.of_pairs[predicted]
        return radii(gaps, gains, proof.errors_of_pairs[predicted], errors)

    def _no_ensembles(self, what: str) -> str:
        return (
            f"{what} is of single networks, but the estimator was fitted with "
            f"n_members={self.net_.module_.n_members}: set n_members=1, and fit again."
        )

    def _proof(self) -> Proof:
        """Look up or compute what follows from the weights as they are."""
        weights, net = Weights(self), self.net_
        if net.proof is None or net.proof[0] != weights.digest:
            with own_settings():
                found = Proof.of(weights, self.solver_stats_["residual"])
            net.proof = weights.digest, found
        proof: Proof = net.proof[1]
        return proof

    def _read_nodes(self, kept: np.ndarray) -> None:
        """Bring fitted attributes of nodes to those that are left."""

    def _module_labels(self) -> np.ndarray:
        """Tell the module of each node."""
        graph = self.net_.module_.graph
        labels = self._modules_of_nodes(graph)
        return np.zeros(graph.n_nodes, dtype=int) if labels is None else labels

    def _biases(self) -> np.ndarray:
        """Return the biases of the outputs, of an ensemble their mean."""
        c = self.net_.module_.show("output_biases").astype(np.float64)
        return c if c.ndim < 2 else c.mean(axis=0)

    def _constant(self) -> np.ndarray:
        """Compute what is decided or predicted if all node values are zero."""
        return self._target_.terms(self._biases()) + self._target_.origin

    def _module_sums(self, X: Any) -> np.ndarray:
        """Compute ``z_m V_m`` of each module, (n_samples, n_modules, n_outputs)."""
        nodes = members(self._module_labels())
        V = self.net_.module_.show("output_weights").astype(np.float64)

        def finish(z: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore", invalid="ignore"):  # which is told
                return sums_over_modules(z, V, nodes)

        return self._compute("values", X, finish)[0]

    def _refuse_ensembles(self, what: str) -> None:
        n_members = self.net_.module_.n_members
        if n_members > 1 and not self._target_.has_linear_mean:
            raise ValueError(
                f"{what} needs n_members=1, but the estimator was fitted with "
                f"n_members={n_members}: the logarithm of what members have on average "
                "is no sum over modules. Set n_members=1, and fit again."
            )
