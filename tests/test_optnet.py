"""OptNet: its layer, seen from outside, and what can go wrong."""

import sys

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

import sknm.baselines.optnet
from sknm import OptNetClassifier, OptNetRegressor
from sknm.graph import proxqp, qp

BOTH = pytest.mark.parametrize("estimator", [OptNetClassifier, OptNetRegressor])
METHODS = pytest.mark.parametrize("method", ["fit", "partial_fit"])


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 6, "random_state": 0}
    return estimator(**defaults | parameters)


def violations(model, X, activation=lambda u: np.maximum(u, 0)):
    """Violations of the KKT conditions, with the multipliers that fit best."""
    z = model.node_values(X)
    K, h, W = model.constraint_weights_, model.constraint_bounds_, model.node_weights_
    a = activation(model.encode(X) @ model.input_weights_ + model.node_biases_)
    force, slack = a - z + z @ W, h - z @ K
    worst = -slack.min()
    for k in range(len(X)):
        active = slack[k] < 1e-6
        multipliers, *_ = np.linalg.lstsq(K[:, active], force[k], rcond=None)
        worst = max(worst, abs(K[:, active] @ multipliers - force[k]).max())
        worst = max(worst, -multipliers.min(initial=0))
    return worst


@BOTH
@pytest.mark.parametrize("n_constraints", [None, 1, 5, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_minimisers(overlapping, estimator, n_constraints, dtype):
    X, y = overlapping[0].astype(dtype), overlapping[1]
    model = make(estimator, n_constraints=n_constraints).fit(X, y)
    m = n_constraints or 12
    assert model.constraint_weights_.shape == (12, m)
    assert model.constraint_bounds_.shape == (m,)
    assert violations(model, X.astype(np.float64)) < 1e-6
    z, stats = model.node_values(X, return_stats=True)
    assert stats["residual"] <= 1e-6
    assert stats["unconverged"] == 0
    assert model.solver_stats_["residual"] <= 1e-6
    # The constraints matter for some rows, and not for others.
    slack = model.constraint_bounds_ - z @ model.constraint_weights_
    assert 0 < (slack < 1e-6).mean() < 1


@BOTH
def test_objective_is_convex_and_the_programme_feasible(overlapping, estimator):
    model = make(estimator, max_iter=60).fit(*overlapping)
    W = model.node_weights_
    np.testing.assert_allclose(W, W.T, atol=1e-12)
    assert np.linalg.eigvalsh(W)[-1] <= 0.9 + 1e-9
    network = model.net_.module_
    point = network.graph.feasible_point.detach().numpy()
    assert (point @ model.constraint_weights_ < model.constraint_bounds_).all()


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu"])
def test_outputs_follow_from_public_attributes(overlapping, activation):
    X, y = overlapping
    model = make(OptNetRegressor, activation=activation).fit(X, y)
    expected = model.node_values(X) @ model.output_weights_ + model.output_biases_
    np.testing.assert_allclose(model.predict(X), expected[:, 0], atol=1e-9)
    functions = {"identity": lambda u: u, "tanh": np.tanh}
    if activation in functions:
        assert violations(model, X, functions[activation]) < 1e-6


@BOTH
def test_both_solvers_train_the_same_model(overlapping, answers, estimator):
    pytest.importorskip("proxsuite")
    X, y = overlapping
    ours = make(estimator, n_nodes=8).fit(X, y)
    theirs = make(estimator, n_nodes=8, solver="proxqp").fit(X, y)
    np.testing.assert_allclose(answers(ours, X), answers(theirs, X), atol=1e-5)
    # A fitted model can change its solver.
    values = ours.node_values(X)
    ours.net_.module_.solver = "proxqp"
    np.testing.assert_allclose(ours.node_values(X), values, atol=1e-6)


@pytest.mark.parametrize("solver", ["admm", "proxqp"])
def test_features_of_any_size_are_fitted(solver):
    if solver == "proxqp":
        pytest.importorskip("proxsuite")
    rng = np.random.default_rng(0)
    X = 1e7 * rng.normal(size=(60, 5))
    model = make(OptNetRegressor, n_nodes=20, solver=solver, max_iter=2)
    model.fit(X, rng.normal(size=60))
    z, stats = model.node_values(X, return_stats=True)
    assert stats["unconverged"] == 0
    assert stats["residual"] <= 1e-9 * np.abs(X).max()
    model.net_.module_.solver = "admm"
    np.testing.assert_allclose(model.node_values(X), z, atol=1e-8 * np.abs(z).max())


def test_rows_that_proxsuite_leaves_open_are_told(overlapping, monkeypatch):
    pytest.importorskip("proxsuite")
    X, y = overlapping
    model = make(OptNetRegressor, solver="proxqp").fit(X, y)
    monkeypatch.setattr(proxqp, "OUTER_STEPS", 1)
    with pytest.warns(ConvergenceWarning):
        model.predict(X)
    with pytest.warns(ConvergenceWarning):
        _, stats = model.node_values(X, return_stats=True)
    assert stats["unconverged"] > 0


def test_gradients_of_all_parameters_are_those_of_finite_differences(overlapping):
    X, y = overlapping
    model = make(OptNetClassifier, n_nodes=6, dropout=0.0).fit(X, y)
    network, criterion = model.net_.module_.train(), model.net_.criterion_
    rows, labels = torch.from_numpy(X[:10]), torch.from_numpy(y[:10])

    def loss():
        return criterion(network(rows), labels, None)

    network.zero_grad()
    loss().backward()
    for name, p in network.named_parameters():
        for i in range(0, p.numel(), 3):
            flat, size = p.data.view(-1), 1e-5
            value = flat[i].item()
            ends = []
            for end in (value + size, value - size):
                flat[i] = end
                ends.append(loss().item())
            flat[i] = value
            slope = (ends[0] - ends[1]) / (2 * size)
            assert p.grad.view(-1)[i].item() == pytest.approx(slope, abs=1e-7), name


@BOTH
def test_it_learns_what_a_linear_model_cannot(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = make(estimator, n_nodes=20, max_iter=60).fit(X[:300], y[:300])
    least = 0.9 if estimator is OptNetClassifier else 0.5
    assert model.score(X[300:], y[300:]) > least


@BOTH
@METHODS
def test_missing_library_is_named(overlapping, estimator, method, monkeypatch):
    monkeypatch.setitem(sys.modules, "proxsuite", None)
    model = make(estimator, solver="proxqp")
    is_first_part = estimator is OptNetClassifier and method == "partial_fit"
    classes = {"classes": [0, 1]} if is_first_part else {}
    with pytest.raises(ImportError, match=r"pip install 'sknm\[optnet\]'"):
        getattr(model, method)(*overlapping, **classes)
    assert not hasattr(model, "net_")
    # The default needs nothing but what sknm needs.
    make(estimator, max_iter=1).fit(*overlapping)


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [("n_constraints", 0), ("n_constraints", 1.5), ("solver", "osqp")],
)
def test_wrong_options_are_named(overlapping, estimator, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
        make(estimator, **{name: value}).fit(*overlapping)


@BOTH
def test_device_without_double_precision_is_refused(
    overlapping, estimator, monkeypatch
):
    monkeypatch.setattr(sknm.baselines.optnet, "choose_device", lambda device: "mps")
    with pytest.raises(ValueError, match=r"device='auto' has no double precision.*cpu"):
        make(estimator, device="auto").fit(*overlapping)


@BOTH
def test_warm_start_keeps_the_number_of_constraints(overlapping, estimator):
    X, y = overlapping
    model = make(estimator, warm_start=True).fit(X, y)
    model.set_params(n_constraints=7)
    message = r"n_constraints=7, but the fitted network has 12 .*warm_start=False"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert model.set_params(n_constraints=12).fit(X, y).n_iter_ == 12
    with pytest.raises(ValueError, match=r"n_nodes=9, but the fitted network has 12"):
        model.set_params(n_constraints=None, n_nodes=9).fit(X, y)
    fewer = make(estimator, n_constraints=7, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"n_constraints=12, but the fitted network"):
        fewer.set_params(n_constraints=None).fit(X, y)


def test_what_is_not_solved_is_told(overlapping, monkeypatch):
    X, y = overlapping
    model = make(OptNetClassifier).fit(X, y)
    for name in ("SPLITTINGS", "FURTHER_SPLITTINGS"):
        monkeypatch.setattr(qp, name, 1)
    for name in ("PIVOTS", "SEARCHES"):
        monkeypatch.setattr(qp, name, 0)
    with pytest.warns(
        ConvergenceWarning, match="Scale the features .* or use fewer con"
    ):
        model.predict(X)


def test_outliers_are_solved_too(overlapping):
    X, y = overlapping
    model = make(OptNetClassifier).fit(X, y)
    _, stats = model.node_values(1e4 * X, return_stats=True)
    assert stats["unconverged"] == 0


@BOTH
@pytest.mark.parametrize("rate", [30.0, 1e80])
def test_divergence_is_named_and_the_last_finite_state_kept(
    overlapping, estimator, rate
):
    X, y = overlapping
    model = make(estimator, optimizer="sgd", batch_size=16, warm_start=True).fit(X, y)
    model.set_params(learning_rate_init=rate, max_iter=30)
    with pytest.raises(ValueError, match="The loss is no longer finite"):
        model.fit(X, y)
    z = model.node_values(X)
    assert np.isfinite(z).all()
    assert np.isfinite(z @ model.output_weights_).all()


@BOTH
def test_weights_beyond_measure_are_told(overlapping, estimator):
    X, y = overlapping
    model = make(estimator).fit(X, y)
    # An objective that can't be factorised: 0.1 is nothing beside 1e18.
    model.net_.module_.graph.weights.data[:] = 1e9
    with pytest.warns(ConvergenceWarning, match="have not converged"):
        assert np.isnan(model.node_values(X)).all()


@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs"])
def test_slack_and_feasible_point_are_no_weights(overlapping, optimizer):
    model = make(OptNetClassifier, optimizer=optimizer, max_iter=30).fit(*overlapping)
    slack = torch.nn.functional.softplus(model.net_.module_.graph.constraint_slack)
    assert slack.mean() < 0.2
