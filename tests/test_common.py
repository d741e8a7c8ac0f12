"""scikit-learn's whole battery of checks, on every estimator of the package."""

import unittest
from collections import defaultdict

import pytest
import sklearn
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

import sknm

# The registry: every public estimator, small enough for hundreds of fits.
SHORT = {"max_iter": 10, "learning_rate_init": 0.05}
SMALL = {"n_nodes": 10, **SHORT}
ESTIMATORS = [
    sknm.DAGClassifier(**SMALL),
    sknm.DAGRegressor(**SMALL),
    sknm.DEQClassifier(**SMALL),
    sknm.DEQRegressor(**SMALL),
    sknm.FeedForwardClassifier(hidden_layer_sizes=(20, 10), **SHORT),
    sknm.FeedForwardRegressor(hidden_layer_sizes=(20, 10), **SHORT),
    sknm.FreeNetClassifier(**SMALL),
    sknm.FreeNetRegressor(**SMALL),
    sknm.NeuralModuleClassifier(**SMALL, module_size=5),
    sknm.NeuralModuleRegressor(**SMALL, module_size=5),
    sknm.OptNetClassifier(**SMALL),
    sknm.OptNetRegressor(**SMALL),
    sknm.URNClassifier(n_nodes=30, max_iter=30),
    sknm.URNRegressor(n_nodes=30, max_iter=30),
]

# Number of checks by minor version of scikit-learn: for a classifier, for a regressor.
N_CHECKS = {"1.7": (66, 59), "1.8": (66, 59), "1.9": (67, 60)}

# It runs only if the variable SCIPY_ARRAY_API is set before SciPy is imported.
SKIPPED = {"check_array_api_input"}

# Fits of a thousand epochs: one classifier stands for all in the plain run, in which
# other tests compare the weights of classes with those of rows for every estimator.
LONG = {"check_class_weight_classifiers"}

BATTERY = parametrize_with_checks(ESTIMATORS)

# One family stands for all in the plain run.
ENSEMBLES = [clone(estimator).set_params(n_members=2) for estimator in ESTIMATORS]
BATTERY_OF_ENSEMBLES = parametrize_with_checks(ENSEMBLES)

started, skipped = defaultdict(list), defaultdict(set)


def name_of(estimator):
    return type(estimator).__name__


def name_of_check(check):
    function = check
    while hasattr(function, "func"):
        function = function.func
    return function.__name__


def is_long(estimator, check):
    one = isinstance(estimator, sknm.FeedForwardClassifier)
    return name_of_check(check) in LONG and not one


def is_modular(estimator):
    return isinstance(estimator, sknm.neural_module.NeuralModules)


def test_registry_holds_every_public_estimator():
    public = {name for name in sknm.__all__ if isinstance(getattr(sknm, name), type)}
    assert {name_of(estimator) for estimator in ESTIMATORS} == public


# Before version 1.8, scikit-learn gives an iterator, which pytest 9 refuses.
@pytest.mark.parametrize(
    BATTERY.args[0],
    [
        pytest.param(*case, marks=[pytest.mark.slow] if is_long(*case) else [])
        for case in BATTERY.args[1]
    ],
    **BATTERY.kwargs,
)
def test_estimator_passes_check_of_scikit_learn(estimator, check):
    started[name_of(estimator)].append(name_of_check(check))
    try:
        check(estimator)
    except unittest.SkipTest:
        skipped[name_of(estimator)].add(name_of_check(check))
        raise


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    BATTERY_OF_ENSEMBLES.args[0],
    [
        pytest.param(
            *case,
            marks=[pytest.mark.slow] * (is_long(*case) or not is_modular(case[0])),
        )
        for case in BATTERY_OF_ENSEMBLES.args[1]
    ],
    **BATTERY_OF_ENSEMBLES.kwargs,
)
def test_ensemble_passes_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_no_check_was_left_out(estimator):
    checks = [c for _, c in estimator_checks_generator(estimator)]
    battery = [name_of_check(check) for check in checks]
    minor = ".".join(sklearn.__version__.split(".")[:2])
    expected = N_CHECKS.get(minor, max(N_CHECKS.values()))
    assert len(battery) >= expected[sklearn.base.is_regressor(estimator)]
    if minor in N_CHECKS:
        assert len(battery) == expected[sklearn.base.is_regressor(estimator)]
    ran = started[name_of(estimator)]
    if not LONG & set(ran):
        battery = [name_of_check(c) for c in checks if not is_long(estimator, c)]
    if len(ran) < len(battery):
        pytest.skip(f"only {len(ran)} of {len(battery)} checks were selected")
    assert sorted(ran) == sorted(battery)
    assert skipped[name_of(estimator)] <= SKIPPED
