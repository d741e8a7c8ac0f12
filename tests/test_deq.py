"""Deep equilibrium models: complete graphs, with and without the guarantee."""

import warnings

import numpy as np
import pytest
from scipy.optimize import root
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sknm import (
    DEQClassifier,
    DEQRegressor,
    FreeNetClassifier,
    NeuralModuleClassifier,
    NeuralModuleRegressor,
)

TWINS = pytest.mark.parametrize(
    ("estimator", "twin"),
    [
        (DEQClassifier, NeuralModuleClassifier),
        (DEQRegressor, NeuralModuleRegressor),
    ],
)
BOTH = pytest.mark.parametrize("estimator", [DEQClassifier, DEQRegressor])
SOLVERS = ["auto", "peaceman_rachford", "picard", "anderson", "newton"]


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 6, "random_state": 0}
    return estimator(**defaults | parameters)


def make_modular(estimator, **parameters):
    return make(estimator, init="dense", tau=0.0, penalty=None, **parameters)


@TWINS
@pytest.mark.parametrize("stability", ["monotone", "contraction", None])
def test_it_is_one_module_without_threshold_or_penalty(
    overlapping, answers, estimator, twin, stability
):
    X, y = overlapping
    options = {"stability": stability, "margin": 0.1, "batch_size": 40}
    a = make(estimator, **options).fit(X, y)
    b = make_modular(twin, **options).fit(X, y)
    for name in ("input_weights_", "node_weights_", "node_biases_", "output_weights_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(answers(a, X), answers(b, X))
    np.testing.assert_array_equal(a.node_values(X), b.node_values(X))
    assert a.topology_ == b.topology_
    assert b.n_modules_ == 1


@TWINS
@pytest.mark.parametrize("solver", SOLVERS)
def test_same_weights_give_the_same_values(overlapping, estimator, twin, solver):
    X, y = overlapping
    model = make(estimator, solver=solver, stability="contraction").fit(X, y)
    other = make_modular(twin, stability="contraction").fit(X, y)
    other.net_.module_.load_state_dict(model.net_.module_.state_dict())
    np.testing.assert_allclose(
        model.node_values(X), other.node_values(X), rtol=1e-7, atol=1e-7
    )


@BOTH
def test_graph_is_complete_and_values_solve_its_equation(overlapping, estimator):
    X, y = overlapping
    model = make(estimator).fit(X, y)
    W = model.node_weights_
    assert model.topology_.n_edges == 12 * 11
    assert not W.diagonal().any()
    a = model.encode(X) @ model.input_weights_ + model.node_biases_
    z, stats = model.node_values(X, return_stats=True)
    residual = abs(z - np.maximum(z @ W + a, 0)).max()
    assert residual <= 1e-8
    assert stats["unconverged"] == 0
    # Another solver's solution of the same equation.
    for k in range(5):
        found = root(lambda z, k=k: z - np.maximum(z @ W + a[k], 0), z[k] + 0.1)
        np.testing.assert_allclose(found.x, z[k], atol=1e-6)


@BOTH
@pytest.mark.parametrize("stability", ["monotone", "contraction"])
def test_guarantee_holds_after_fit(overlapping, estimator, stability):
    X, y = overlapping
    model = make(estimator, stability=stability, margin=0.2, max_iter=40).fit(X, y)
    W = model.node_weights_
    bound = (
        np.linalg.norm(W, 2)
        if stability == "contraction"
        else np.linalg.eigvalsh((W + W.T) / 2)[-1]
    )
    assert bound <= 0.8 + 1e-6


@pytest.mark.parametrize("solver", ["anderson", "newton"])
def test_unguarded_original_learns(solver):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = make(DEQClassifier, n_nodes=20, solver=solver, stability=None, max_iter=60)
    model.set_params(random_state=1)
    with warnings.catch_warnings():
        # Nothing guarantees a solution; if there is none, it says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
        assert model.score(X, y) > 0.9
    W = model.node_weights_
    assert np.linalg.eigvalsh((W + W.T) / 2)[-1] > 0.7


def test_what_does_not_converge_is_told(overlapping):
    X, y = overlapping
    model = make(
        DEQClassifier, n_nodes=20, solver="picard", stability=None, max_iter=60
    )
    model.set_params(learning_rate_init=0.06, alpha=0.0)
    with pytest.warns(ConvergenceWarning, match="stability='monotone'"):
        model.fit(X, y)
    assert model.solver_stats_["unconverged"] > 0


def test_lost_solution_is_named_when_the_loss_is_lost(overlapping):
    X, y = overlapping
    model = make(DEQClassifier, stability=None, learning_rate_init=1e30)
    with pytest.raises(ValueError, match=r"finite.*stability='monotone'"):
        model.fit(X, y)
    guarded = make(DEQClassifier, learning_rate_init=1e30)
    with pytest.raises(ValueError, match=r"cause is steps.*1e\+30\)\."):
        guarded.fit(X, y)


@BOTH
def test_activation_without_guarantee_is_refused(overlapping, estimator):
    model = make(estimator, activation="squared_relu")
    with pytest.raises(ValueError, match="activation='squared_relu' can't be guarante"):
        model.fit(*overlapping)
    assert not hasattr(model, "net_")


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [("solver", "bfgs"), ("stability", "yes"), ("margin", 1.0), ("margin", 0)],
)
def test_wrong_options_are_named(overlapping, estimator, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
        make(estimator, **{name: value}).fit(*overlapping)


@BOTH
def test_warm_start_heeds_a_new_guarantee(overlapping, estimator):
    X, y = overlapping
    model = make(estimator, warm_start=True, max_iter=30).fit(X, y)
    assert np.linalg.norm(model.node_weights_, 2) > 0.4
    model.set_params(stability="contraction", margin=0.6, solver="picard").fit(X, y)
    assert np.linalg.norm(model.node_weights_, 2) <= 0.4 + 1e-6
    assert model.solver_stats_["unconverged"] == 0


def test_history_tells_how_long_solves_take(overlapping):
    X, y = overlapping
    model = DEQClassifier(20, max_iter=3, random_state=0).fit(X, y)
    assert all(1 <= epoch["iterations"] <= 60 for epoch in model.net_.history)
    exact = FreeNetClassifier(20, max_iter=3, random_state=0).fit(X, y)
    assert not any("iterations" in epoch for epoch in exact.net_.history)
