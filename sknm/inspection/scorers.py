"""What a search can be told to score beside the error: the modules of candidates."""

from __future__ import annotations

from typing import Any

import numpy as np

from sknm.inspection.models import fitted_estimator


def n_modules_scorer(estimator: Any, X: Any = None, y: Any = None) -> float:
    """Count the modules of a fitted estimator, as scorers of a search do.

    They are what `connection` says, or the weakly connected components of the graph.

    Parameters
    ----------
    estimator : estimator
        An estimator of sknm with modules, or a pipeline that ends with one.
    X : object, default=None
        Not used: scorers get it.
    y : object, default=None
        Not used: scorers get it.

    Returns
    -------
    float
        The number of modules.

    Raises
    ------
    TypeError
        If it has no modules.

    See Also
    --------
    largest_share_scorer : The share of the nodes in the largest module.
    TradeOffDisplay : Draws what a search with such scorers has found.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import n_modules_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralModuleClassifier(40, random_state=0).fit(X, y)
    >>> n_modules_scorer(model) == model.n_modules_
    True
    """
    return float(len(_module_sizes(estimator)))


def largest_share_scorer(estimator: Any, X: Any = None, y: Any = None) -> float:
    """Tell which share of the nodes is in the largest module, as scorers do.

    Modules are what `connection` says, or the weakly connected components of the graph.

    Parameters
    ----------
    estimator : estimator
        An estimator of sknm with modules, or a pipeline that ends with one.
    X : object, default=None
        Not used: scorers get it.
    y : object, default=None
        Not used: scorers get it.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    TypeError
        If it has no modules.

    See Also
    --------
    n_modules_scorer : The number of modules.
    TradeOffDisplay : Draws what a search with such scorers has found.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import largest_share_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralModuleClassifier(40, random_state=0).fit(X, y)
    >>> 0 < largest_share_scorer(model) <= 1
    True
    """
    sizes = _module_sizes(estimator)
    return float(sizes.max() / sizes.sum())


def _module_sizes(estimator: Any) -> np.ndarray:
    model = fitted_estimator(estimator)
    if not hasattr(model, "topology_") or hasattr(model, "active_nodes_"):
        raise TypeError(f"A {type(model).__name__} has no modules.")
    connection = getattr(model, "connection", "weak")
    sizes: np.ndarray = model.topology_.sizes(connection)
    return sizes
