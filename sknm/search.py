"""Search spaces: which parameters are worth a search, and how far to look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from sknm.base import GraphEstimator

MANY = 40
"""From so many candidates on, ranges are the wide ones."""

Values = Callable[[Any, bool], Any]
"""Makes a distribution of a default, and of whether the range is to be wide."""


@dataclass(frozen=True)
class Dimension:
    """One parameter: from how many candidates on it is searched, and how.

    Attributes
    ----------
    least_budget : int
        Fewer candidates are better spent on parameters that matter more.

    values : callable
        Makes its distribution, around the default.

    condition : callable or None
        Whether it has a meaning with the other parameters of an estimator; None is
        always.
    """

    least_budget: int
    values: Values
    condition: Callable[[Any], bool] | None = None

    def matters(self, estimator: Any) -> bool:
        """Tell whether it has a meaning.

        Parameters
        ----------
        estimator : estimator of sknm
            Whose parameter it is.

        Returns
        -------
        bool
            False if other parameters leave it none.
        """
        return self.condition is None or self.condition(estimator)


def search_space(estimator: Any, budget: int = 30) -> dict[str, Any]:
    """Give distributions of the parameters that are worth a search.

    They are for :class:`sklearn.model_selection.RandomizedSearchCV`,
    `HalvingRandomSearchCV`, or a search of your own. Ranges lie around the parameters
    that the estimator has, and are as wide as the benchmarks say that it pays.

    Read more in the :ref:`User Guide <searching>`.

    Parameters
    ----------
    estimator : estimator of sknm, its class, or what is built around one
        A pipeline whose last step is an estimator of sknm, for instance, or what wraps
        a single one of them; names then have the prefix that ``set_params`` asks for.

    budget : int, default=30
        Number of candidates that are to be tried. Few go to the parameters that matter
        most, in narrow ranges; more candidates to more parameters, in wider ones.

    Returns
    -------
    dict of str to distribution or list
        Frozen distributions of :mod:`scipy.stats`, and lists of values. The settings
        that the estimator has are inside the ranges, but are no candidate by
        themselves: compare with them, too.

    Raises
    ------
    TypeError
        If `estimator` is or holds no estimator of sknm, or `budget` is no int.
    ValueError
        If it holds several of them, or `budget` is not positive.

    See Also
    --------
    sklearn.model_selection.RandomizedSearchCV : Tries candidates drawn at random.

    Examples
    --------
    >>> from sklearn.model_selection import RandomizedSearchCV
    >>> from sknm import NeuralModuleClassifier, search_space
    >>> model = NeuralModuleClassifier(random_state=0)
    >>> sorted(search_space(model, budget=8))
    ['dropout', 'label_smoothing', 'learning_rate_init']
    >>> search = RandomizedSearchCV(model, search_space(model, budget=8), n_iter=8)
    """
    _check_budget(budget)
    prefix, model = _find(estimator)
    defaults = model.get_params(deep=False)
    dimensions = {
        name: dimension
        for name, dimension in DIMENSIONS.items()
        if name in defaults and dimension.matters(model)
    }
    # However few candidates there are, they have to differ.
    enough = max(budget, min(d.least_budget for d in dimensions.values()))
    return {
        prefix + name: dimension.values(defaults[name], budget >= MANY)
        for name, dimension in dimensions.items()
        if enough >= dimension.least_budget
    }


def _check_budget(budget: Any) -> None:
    """Raise unless it is a number of candidates."""
    if isinstance(budget, bool) or not isinstance(budget, Integral):
        raise TypeError(
            f"budget={budget!r} must be an int: the number of candidates to be tried, "
            "such as n_iter of RandomizedSearchCV."
        )
    if budget < 1:
        raise ValueError(f"budget={budget} must be at least 1.")


def _find(estimator: Any) -> tuple[str, GraphEstimator]:
    """Return the one estimator of sknm within, and the prefix of its parameters."""
    if isinstance(estimator, type) and issubclass(estimator, GraphEstimator):
        return "", estimator()
    if isinstance(estimator, GraphEstimator):
        return "", estimator
    if not isinstance(estimator, BaseEstimator):
        raise _no_estimator(estimator)
    if isinstance(estimator, Pipeline):
        return _find_last(estimator)
    return _find_within(estimator)


def _find_last(pipeline: Pipeline) -> tuple[str, GraphEstimator]:
    """Return the estimator in a pipeline's last step, other steps are no matter."""
    name, last = pipeline.steps[-1]
    prefix, model = _find(last)
    return f"{name}__{prefix}", model


def _find_within(estimator: BaseEstimator) -> tuple[str, GraphEstimator]:
    """Return the only estimator of sknm among the parameters of another one."""
    inner = estimator.get_params(deep=True)
    found = {
        name: value
        for name, value in inner.items()
        if isinstance(value, GraphEstimator)
    }
    if not found:
        raise _no_estimator(estimator)
    if len(found) > 1:
        raise ValueError(
            f"{type(estimator).__name__} holds several estimators of sknm, "
            f"{', '.join(found)}: ask for the space of each of them."
        )
    ((name, model),) = found.items()
    return f"{name}__", model


def _no_estimator(estimator: Any) -> TypeError:
    """Return what is raised where there is no estimator of sknm."""
    given = estimator if isinstance(estimator, type) else type(estimator)
    return TypeError(
        f"estimator is {given.__name__}, which neither is an estimator of sknm nor "
        "holds one, such as a pipeline whose last step is one."
    )


# ------------------------------------------------------------------ distributions


def _number(default: Any) -> float | None:
    """Return a default that is a number, None for what follows from the data."""
    if isinstance(default, bool) or not isinstance(default, Real):
        return None
    return float(default)


def _around(narrow: float, wide: float, usual: float) -> Values:
    """Make a log-uniform range by factors, around `usual` if the default is no number.

    A default of zero means "without", and one that is no number follows from the data.
    """

    def values(default: Any, is_wide: bool) -> Any:
        factor = wide if is_wide else narrow
        middle = _number(default)
        if middle is not None and middle > 0:
            return stats.loguniform(middle / factor, middle * factor)
        return [default, usual / factor, usual, usual * factor]

    return values


def _between(narrow: float, wide: float) -> Values:
    """Make a uniform range from 0 on, that reaches beyond the default."""

    def values(default: Any, is_wide: bool) -> Any:
        width = wide if is_wide else narrow
        middle = _number(default)
        if middle is not None:
            return stats.uniform(0, max(width, min(1.5 * middle, 0.9)))
        return [default, 0.0, width / 2, width]

    return values


def _multiples(narrow: tuple[float, ...], wide: tuple[float, ...]) -> Values:
    """Make a list of whole numbers: multiples of the default, and the default."""

    def values(default: Any, is_wide: bool) -> Any:
        factors = wide if is_wide else narrow
        return sorted({max(1, round(default * factor)) for factor in (*factors, 1.0)})

    return values


def _choices(*others: Any) -> Values:
    """Make a list: the default, and others."""

    def values(default: Any, is_wide: bool) -> Any:
        return [default, *(other for other in others if other != default)]

    return values


# --------------------------------------------------------------------- dimensions


def _is_stable(estimator: Any) -> bool:
    return estimator.stability is not None


def _is_stochastic(estimator: Any) -> bool:
    return estimator.optimizer != "lbfgs"


def _has_functions(estimator: Any) -> bool:
    """Tell whether they are on: what is off is so for a reason."""
    return estimator.numerical_embedding is not None


def _has_links(estimator: Any) -> bool:
    """Tell whether features enter by links that are learned."""
    return estimator.feature_fdr is not None


def _may_be_smooth(estimator: Any) -> bool:
    """Tell whether nodes may be active a little, which rules by activity exclude."""
    smooth = clone(estimator).set_params(activation="softplus")
    try:
        smooth._validate_params()
        smooth._check_parameters()
    except ValueError:
        return False
    return True


def _starts_modular(estimator: Any) -> bool:
    return estimator.init == "modular"


def _has_one_size(estimator: Any) -> bool:
    return getattr(estimator, "hidden_layer_sizes", None) is None


#: What matters in all estimators, and in single families by the parameter that only
#: they have. Order and ranges: "What parameters are worth" of the page on benchmarks.
DIMENSIONS = {
    "learning_rate_init": Dimension(1, _around(4, 10, 0.02), _is_stochastic),
    "dropout": Dimension(5, _between(0.3, 0.5)),
    "label_smoothing": Dimension(8, _between(0.1, 0.2)),
    "n_steps": Dimension(10, _multiples((0.5, 0.75), (0.5, 0.75, 1.5))),
    "numerical_embedding": Dimension(
        15, _choices("piecewise", "piecewise_tree"), _has_functions
    ),
    "alpha_weight": Dimension(15, _around(4, 10, 0.03)),
    "alpha_sparsity": Dimension(15, _around(4, 10, 0.1)),
    "feature_fdr": Dimension(20, _choices(0.05, None), _has_links),
    "activation": Dimension(
        25, _choices("relu", "leaky_relu", "softplus"), _may_be_smooth
    ),
    "batch_size": Dimension(30, _choices("auto", 32, 64), _is_stochastic),
    "alpha": Dimension(MANY, _around(10, 100, 0.01)),
    "alpha_neuron": Dimension(MANY, _around(4, 10, 0.3)),
    "n_nodes": Dimension(MANY, _multiples((0.5, 2), (0.25, 0.5, 2)), _has_one_size),
    "module_size": Dimension(MANY, _multiples((0.5, 2), (0.5, 2)), _starts_modular),
    "margin": Dimension(MANY, _around(3, 3, 0.3), _is_stable),
}
