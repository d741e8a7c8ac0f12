"""Which fitted estimator is meant, and what its features and outputs are called."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted


def fitted_estimator(model: Any) -> Any:
    """Find the estimator of sknm that a model is, or ends with.

    Parameters
    ----------
    model : estimator
        An estimator of sknm, a pipeline whose last step is one, or a search whose best
        estimator is one of these.

    Returns
    -------
    estimator
        The estimator of sknm.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    TypeError
        If there is no such estimator.
    """
    if hasattr(model, "feature_fdr"):
        check_is_fitted(model)
        return model
    if hasattr(model, "best_estimator_"):
        return fitted_estimator(model.best_estimator_)
    if hasattr(model, "steps"):
        return fitted_estimator(model.steps[-1][1])
    if hasattr(model, "estimator"):  # a search that is not fitted yet
        check_is_fitted(model)
    raise TypeError(
        f"{type(model).__name__} is no estimator of sknm, and none that ends with one; "
        "give an estimator of sknm, a pipeline whose last step is one, or a fitted "
        "search over these."
    )


def feature_names(estimator: Any) -> np.ndarray:
    """Return the names of the columns that a fitted estimator has seen.

    Parameters
    ----------
    estimator : estimator of sknm
        A fitted one.

    Returns
    -------
    ndarray of str of shape (n_features,)
        Those of a data frame, or x0, x1, ….
    """
    names = [column.name for column in estimator.encoding_.columns]
    return np.array(names, dtype=object)


def output_names(estimator: Any) -> np.ndarray:
    """Return what the outputs of a fitted estimator are called.

    Parameters
    ----------
    estimator : estimator of sknm
        A fitted one.

    Returns
    -------
    ndarray of str of shape (n_outputs,)
        The classes, or y0, y1, …; one target alone is y.
    """
    return np.array(estimator._target_.output_names, dtype=object)
