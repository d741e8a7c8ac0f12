"""Warm starts and partial fits: what has changed since is heeded, and nothing grows."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import EarlyStopping

import sknm
from sknm import fitting
from sknm.training import net

# What can't be seen in a model, and how graphs start, which is over.
WITHOUT_EFFECT = {"n_jobs", "verbose", "random_state", "device", "warm_start"}
AT_THE_START = {"init", "module_size", "density", "calibration_fraction"}
OTHERWISE = {
    "activation": "tanh",
    "scale": None,
    "numerical_embedding": "periodic",
    "feature_fdr": None,
    "categorical_features": [0],
    "optimizer": "sgd",
    "penalty": None,
    "norm": "l2",
    "measure": "edges",
    "connection": "strong",
    "stability": None,
    "sparsity": "adaptive",
    "class_weight": {0: 3.0},
    "batch_size": 30,
    "max_iter": 4,
    "early_stopping": True,
    "alpha": 10.0,
    "dropout": 0.9,
    "label_smoothing": 0.9,
    "loss": "huber",
    "quantile": 0.9,
    "tau": 0.3,
    "lambda_NM": 500.0,
    "learning_rate_init": 0.1,
    "alpha_weight": 3.0,
    "alpha_activity": 3.0,
    "alpha_neuron": 3.0,
    "alpha_locality": 3.0,
    "alpha_sparsity": 3.0,
    "rule": "coactivation",
    "target_density": 0.6,
    "epsilon": 0.45,
    "evolve_interval": "convergence",
    "max_evolutions": 0,
    "margin": 0.99,
    "solver": {"DEQ": "picard", "NeuralModule": "picard", "OptNet": "proxqp"},
    "hidden_layer_sizes": [3],
    "n_constraints": 3,
    "n_nodes": 3,
    "n_members": 2,
    "n_steps": 2,
    "feature_positions": np.arange(10.0).reshape(5, 2) ** 2,
    "callbacks": [EarlyStopping("train_loss", patience=1, threshold=0.9)],
}
# With early stopping or useless features, or where solves stop for other reasons.
TOO_FINE = {"n_iter_no_change", "validation_fraction", "tol", "solver", "feature_fdr"}
TOO_FINE |= {"scoring"}


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 5, "random_state": 0, "batch_size": 60}
    model = estimator(**defaults | {"dropout": 0.2, "warm_start": True} | parameters)
    if isinstance(model, sknm.urn.URN):
        model.set_params(feature_positions=np.arange(10.0).reshape(5, 2))
    return model


def make_lively(estimator):
    """An estimator of which each parameter has something to do."""
    model = make(estimator)
    if "loss" in model.get_params():
        model.set_params(loss="quantile")
    if isinstance(model, sknm.neural_module.NeuralModules):
        # Modules whose edges have prices, and that come to their bound at once.
        model.set_params(init="dense", penalty="nm", lambda_NM=0.1, dropout=0.0)
        model.set_params(stability="contraction", margin=0.8, learning_rate_init=0.2)
        model.set_params(alpha=0.0)
    if isinstance(model, sknm.freenet.FreeNet):
        model.set_params(epsilon=0.5, evolve_interval=3)  # it changes each time
    return model


def going_on(model, X, y, method, **parameters):
    model = copy.deepcopy(model).set_params(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(model, method)(X, y)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_every_parameter_is_heeded_or_refused(
    overlapping, answers, every_estimator, method
):
    X, y = overlapping
    base = make_lively(every_estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base.fit(X, y)
    same = answers(going_on(base, X, y, method), X)
    of_fit = set()
    if method == "partial_fit":
        of_fit |= {"early_stopping", "max_iter", "callbacks"}
        of_fit |= {"evolve_interval", "max_evolutions", "alpha_neuron"}
    ignored = set()
    for name in base.get_params():
        if name in WITHOUT_EFFECT | AT_THE_START | TOO_FINE | of_fit:
            continue
        try:
            other = going_on(base, X, y, method, **{name: OTHERWISE[name]})
        except ValueError:  # which says so
            continue
        with warnings.catch_warnings():
            if other.get_params().get("stability", "") is None:
                # There may be no solution, as the warning says.
                warnings.simplefilter("ignore", ConvergenceWarning)
            found = answers(other, X)
        if np.array_equal(found, same):
            ignored.add(name)
    assert not ignored


def test_solver_of_the_next_fit_is_the_one_asked_for(overlapping):
    X, y = overlapping
    model = make(sknm.OptNetClassifier).fit(X, y)
    assert model.set_params(solver="proxqp").fit(X, y).net_.module_.solver == "proxqp"
    model = make(sknm.DEQClassifier).fit(X, y)
    assert model.set_params(solver="newton").fit(X, y).net_.module_.options.name == (
        "newton"
    )


def test_predictions_do_not_look_at_parameters(overlapping, answers, every_estimator):
    X, y = overlapping
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(every_estimator).fit(X, y)
    before, values = answers(model, X), model.node_values(X)
    changed = {k: v for k, v in OTHERWISE.items() if k in model.get_params()}
    model.set_params(**changed | {"n_nodes": 3})
    np.testing.assert_array_equal(answers(model, X), before)
    np.testing.assert_array_equal(model.node_values(X), values)
    model = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answers(model.sparsify(), X), before)
    np.testing.assert_array_equal(model.node_values(X), values)


def test_calls_cost_the_same_after_any_number_of_others(
    overlapping, every_estimator, monkeypatch
):
    monkeypatch.setattr(net, "KEPT_HISTORY", 3)
    monkeypatch.setattr(fitting, "KEPT_HISTORY", 3)
    X, y = overlapping
    told = {"classes": [0, 1]} if hasattr(every_estimator, "predict_proba") else {}
    model, sizes = make(every_estimator, n_nodes=5), []
    for _ in range(9):
        model.partial_fit(X[:20], y[:20], **told)
        sizes.append(len(pickle.dumps(model)))
    assert model.n_iter_ == 9
    assert len(model.loss_curve_) == len(model.net_.history) == 4
    assert max(sizes[4:]) - min(sizes[4:]) < 100
    assert model.best_loss_ <= min(model.loss_curve_)
