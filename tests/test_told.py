"""What is told: values that are no numbers, and graphs of which nothing is left."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import sknm

ACYCLIC = ["DAG", "FeedForward", "FreeNet", "URN"]


def make(kind, task="Regressor", **parameters):
    # Without a scale, features overflow.
    defaults = {"n_nodes": 12, "max_iter": 3, "random_state": 0, "scale": None}
    return getattr(sknm, kind + task)(**defaults | parameters)


@pytest.mark.parametrize("kind", ACYCLIC)
@pytest.mark.parametrize("task", ["Regressor", "Classifier"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_that_are_not_finite_are_told(overlapping, kind, task, dtype):
    X, y = overlapping
    X = X.astype(dtype)
    model = make(kind, task, activation="squared_relu").fit(X, y)
    assert model.solver_stats_["unconverged"] == 0
    far = X.copy()
    far[:3] *= 1e30 if dtype == np.float32 else 1e300
    with pytest.warns(ConvergenceWarning, match=r"3 of 120 rows are not finite.*scale"):
        predicted = model.predict(far)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(predicted[3:], model.predict(X)[3:])
    with pytest.warns(ConvergenceWarning, match="not finite"):
        model.node_values(far)


def test_targets_that_overflow_are_told(overlapping, every_regressor):
    X, _ = overlapping
    y = np.where(X[:, 0] > 0, 1e305, -1e305)
    model = every_regressor(12, max_iter=2, random_state=0, scale=None).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="targets' scale"):
        model.predict(1e6 * X)


@pytest.mark.parametrize("kind", ["DAG", "FeedForward", "FreeNet"])
def test_without_a_finite_state_nothing_is_fitted(overlapping, kind):
    X, y = overlapping
    model = make(kind, activation="squared_relu", warm_start=True)
    with pytest.raises(ValueError, match=r"no longer finite.*as it was before"):
        model.fit(1e200 * X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert np.isfinite(model.fit(X, y).predict(X)).all()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
@pytest.mark.parametrize("interval", [1, "convergence"])
def test_a_freenet_that_diverges_says_so(overlapping, optimizer, interval):
    X, y = overlapping
    model = make("FreeNet", optimizer=optimizer, evolve_interval=interval)
    model.set_params(learning_rate_init=1e30, warm_start=True)
    X = X * 1e160
    with pytest.raises(ValueError, match="no longer finite"):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("kind", "parameters", "remedy"),
    [
        ("NeuralModule", {"tau": 0.9}, "Lower tau=0.9, alpha"),
        (
            "NeuralModule",
            {"penalty": "nm", "measure": "edges", "init": "dense", "lambda_NM": 100},
            "lambda_NM=100",
        ),
        ("DAG", {"alpha_sparsity": 100.0}, "alpha_sparsity=100.0"),
    ],
)
def test_a_graph_without_edges_is_told(overlapping, kind, parameters, remedy):
    X, y = overlapping
    model = make(kind, **parameters)
    with pytest.warns(UserWarning, match=rf"No edge between nodes is left.*{remedy}"):
        model.fit(X, y)
    assert model.topology_.n_edges == 0


def test_a_single_layer_is_no_loss(overlapping):
    make("FeedForward").fit(*overlapping)
    make("NeuralModule", n_nodes=1).fit(*overlapping)


def test_evolutions_that_do_not_end_are_told(overlapping):
    X, y = overlapping
    model = make("FreeNet", evolve_interval="convergence", max_evolutions=1)
    model.set_params(n_nodes=30, rule="coactivation", epsilon=0.45, max_iter=10)
    with pytest.warns(ConvergenceWarning, match="still changes after max_evolutions=1"):
        model.fit(X, y)
    assert not model.converged_
    clone(model).set_params(max_evolutions=0).fit(X, y)


@pytest.mark.parametrize("value", [True, False])
def test_true_is_no_number(overlapping, every_estimator, value):
    X, y = overlapping
    names = every_estimator().get_params().keys()
    numeric = {
        name
        for name, constraints in every_estimator._parameter_constraints.items()
        if any(type(c).__name__ == "Number" for c in constraints)
    }
    assert {"n_nodes", "alpha", "max_iter", "tol", "n_jobs"} <= numeric & names
    for name in numeric & names:
        with pytest.raises(ValueError, match=f"The '{name}' parameter"):
            every_estimator(**{name: value}).fit(X, y)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("rate", [1e100, 1e300])
def test_rates_beyond_single_precision_diverge(
    overlapping, every_estimator, rate, stops
):
    X, y = overlapping
    model = every_estimator(8, learning_rate_init=rate, max_iter=3, random_state=0)
    model.set_params(early_stopping=stops)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="no longer finite"):
            model.fit(X.astype(np.float32), y)
        assert np.isfinite(model.predict(X)).all()


def test_sizes_beyond_memory_are_refused_at_once(overlapping, every_estimator):
    X, y = overlapping
    with pytest.raises(ValueError, match="n_nodes"):
        every_estimator(n_nodes=10**30).fit(X, y)


def test_want_of_memory_names_the_number_of_nodes(overlapping, monkeypatch):
    def allocate(self, samples, encoder, generator):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(sknm.NeuralModuleClassifier, "_make_network", allocate)
    with pytest.raises(MemoryError, match="n_nodes=50000 is too much"):
        sknm.NeuralModuleClassifier(50_000).fit(*overlapping)


REFUSED = [
    "fit",
    "partial_fit",
    "predict",
    "predict_proba",
    "forward",
    "forward_iter",
    "infer",
    "evaluation_step",
    "validation_step",
    "set_params",
    "save_params",
    "load_params",
    "trim_for_prediction",
]


def test_net_says_where_to_go(overlapping, every_estimator):
    X, y = overlapping
    net = every_estimator(8, max_iter=1).fit(X, y).net_
    for name in REFUSED:
        with pytest.raises(NotImplementedError, match="methods of the estimator"):
            getattr(net, name)(X)
    with pytest.raises(NotImplementedError, match=r"clone\(estimator\)"):
        clone(net)
    assert repr(net)
    assert len(net.history) == 1
