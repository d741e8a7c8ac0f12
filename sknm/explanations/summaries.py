"""What modules are made of, and what they do: a table with a row for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score

from sknm.targets import IndicatorTarget, LabelTarget, Target

LEAST_VOTE = 0.5
"""Share of a module's largest vote that others need to be named beside it."""


def as_table(columns: dict[str, Any]) -> Any:
    """Make a data frame of columns where there is pandas.

    Parameters
    ----------
    columns : dict of str to list
        The columns.

    Returns
    -------
    DataFrame or dict of str to list
        The same.
    """
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return columns
    return pd.DataFrame(columns)


def feature_lists(entering: np.ndarray, names: list[str]) -> list[list[str]]:
    """List the features that enter each module.

    Parameters
    ----------
    entering : ndarray of bool of shape (n_features, n_modules)
        Which do.
    names : list of str
        What they are called.

    Returns
    -------
    list of list of str
        One list for each module.
    """
    return [[names[j] for j in np.flatnonzero(column)] for column in entering.T]


def votes(
    terms: np.ndarray, outputs: np.ndarray, weights: np.ndarray, target: LabelTarget
) -> list[list[Any]]:
    """Find the classes that each module votes for.

    What a module adds to a class, over the mean of all classes, is averaged over the
    rows that are predicted to be of this class; of several labels, what it adds to the
    label, over the rows that are predicted to have it.

    Parameters
    ----------
    terms : ndarray of shape (n_samples, n_modules, n_outputs)
        What modules add to the outputs.
    outputs : ndarray of shape (n_samples, n_outputs)
        The outputs.
    weights : ndarray of shape (n_samples,)
        Weights of the rows.
    target : LabelTarget
        What the outputs are of.

    Returns
    -------
    list of list
        For each module the classes for which this is positive, and at least half of
        what it is for the first of them, in descending order.
    """
    if isinstance(target, IndicatorTarget):
        is_predicted = outputs > 0
    else:
        terms = terms - terms.mean(axis=2, keepdims=True)
        is_predicted = np.eye(outputs.shape[1], dtype=bool)[outputs.argmax(axis=1)]
    shares = is_predicted * weights[:, None]
    totals = np.maximum(shares.sum(axis=0), np.finfo(np.float64).tiny)
    means = np.einsum("nmk,nk->mk", terms, shares / totals)
    classes, found = target.attributes()["classes_"], []
    for of_module in means:
        order = np.argsort(-of_module, kind="stable")
        least = LEAST_VOTE * of_module[order[0]]
        kept = [k for k in order if of_module[k] > 0 and of_module[k] >= least]
        found.append(classes[kept].tolist())
    return found


def variance_shares(
    terms: np.ndarray, weights: np.ndarray, target: Target
) -> np.ndarray:
    """Compute the share of each module in the variance of the outputs.

    Parameters
    ----------
    terms : ndarray of shape (n_samples, n_modules, n_terms)
        What modules add to decisions or predictions.
    weights : ndarray of shape (n_samples,)
        Weights of the rows.
    target : Target
        What the outputs are of.

    Returns
    -------
    ndarray of shape (n_modules,)
        Covariances with the sum, by its variance, which add up to 1; negative for
        modules that counteract the others, NaN if nothing varies. Those of classes are
        of logits over the mean of all classes, those of several targets are averaged.
    """
    is_of_labels = isinstance(target, LabelTarget)
    if is_of_labels and not isinstance(target, IndicatorTarget) and terms.shape[2] > 1:
        terms = terms - terms.mean(axis=2, keepdims=True)
    shares = weights / weights.sum()
    terms = terms - np.einsum("nmk,n->mk", terms, shares)
    together = np.einsum("nmk,nk,n->mk", terms, terms.sum(axis=1), shares)
    if is_of_labels:
        together = together.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (together / together.sum(axis=0)).mean(axis=1)
    return found


def scores_without(
    sums: np.ndarray,
    biases: np.ndarray,
    y: Any,
    weights: np.ndarray | None,
    target: Target,
) -> list[float]:
    """Score predictions without each of the modules.

    Parameters
    ----------
    sums : ndarray of shape (n_samples, n_modules, n_outputs)
        What modules add to the outputs.
    biases : ndarray of shape (n_outputs,)
        What is added to all.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        True targets.
    weights : ndarray of shape (n_samples,) or None
        Weights of the rows.
    target : Target
        What the outputs are of.

    Returns
    -------
    list of float
        Accuracies of classifiers, R² of regressors.
    """
    outputs = sums.sum(axis=1) + biases
    score: Any = accuracy_score if isinstance(target, LabelTarget) else r2_score
    found = []
    for m in range(sums.shape[1]):
        with np.errstate(over="ignore"):
            predicted = target.decode(outputs - sums[:, m])
        if sparse.issparse(y) and not sparse.issparse(predicted):
            predicted = sparse.csr_matrix(predicted)
        found.append(float(score(y, predicted, sample_weight=weights)))
    return found
