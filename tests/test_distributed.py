"""Fits on a real cluster: what comes back is what one machine finds."""

import contextlib
import io
import os
import warnings
from unittest import mock

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sknm import (
    DEQClassifier,
    FreeNetClassifier,
    NeuralModuleClassifier,
    URNRegressor,
)
from sknm.compute import parallel

distributed = pytest.importorskip("distributed")

GRID = {
    "neuralmoduleclassifier__tau": [0.0, 0.1],
    "neuralmoduleclassifier__lambda_NM": [0.0, 4.0],
    "neuralmoduleclassifier__n_nodes": [6, 12],
}


def is_running(pid):
    """Whether there is such a process; one that nobody has waited for counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread each; what warns users is an error there."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = set(client.run(os.getpid).values())
        assert len(pids - {os.getpid()}) == 2
        client.run(warnings.simplefilter, "error", UserWarning)
        yield client
    assert not [pid for pid in pids if is_running(pid)]


@pytest.fixture
def on_cluster(client):
    """Let joblib hand its work to the cluster."""
    with joblib.parallel_config("dask"):
        yield


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def make(estimator=NeuralModuleClassifier, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 5, "random_state": 0}
    return estimator(**defaults | parameters)


def test_grid_search_finds_what_one_machine_finds(data, client):
    X, y = data
    model = make_pipeline(StandardScaler(), make(module_size=6))
    how = {"scoring": "neg_log_loss", "cv": 2, "error_score": "raise"}
    here = GridSearchCV(model, GRID, **how).fit(X, y)
    there = GridSearchCV(model, GRID, **how)
    with joblib.parallel_config("dask"):
        there.fit(X, y)
    assert len(there.cv_results_["params"]) == 8
    assert len(set(here.cv_results_["mean_test_score"])) > 3
    for name in ["split0_test_score", "split1_test_score", "rank_test_score"]:
        np.testing.assert_array_equal(there.cv_results_[name], here.cv_results_[name])
    assert there.best_params_ == here.best_params_
    np.testing.assert_array_equal(there.predict_proba(X), here.predict_proba(X))


def test_fits_run_on_the_workers(data, client, on_cluster):
    results = cross_validate(
        make(), *data, cv=4, scoring=lambda model, X, y: os.getpid()
    )
    assert set(results["test_score"]) == set(client.run(os.getpid).values())


@pytest.mark.parametrize("estimator", [FreeNetClassifier, URNRegressor])
def test_fitted_models_travel_back(data, client, estimator, answers):
    X, y = data
    here = cross_validate(make(estimator), X, y, cv=2, return_estimator=True)
    with joblib.parallel_config("dask"):
        there = cross_validate(make(estimator), X, y, cv=2, return_estimator=True)
    np.testing.assert_array_equal(there["test_score"], here["test_score"])
    for a, b in zip(there["estimator"], here["estimator"], strict=True):
        np.testing.assert_array_equal(answers(a, X), answers(b, X))
        assert a.loss_curve_ == b.loss_curve_


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("device", "nonsense", "device='nonsense' is not the name of a device; use"),
        ("tau", -1.0, "The 'tau' parameter of NeuralModuleClassifier must be a float"),
        ("learning_rate_init", 1e30, r"no longer finite.*learning_rate_init=1e\+30"),
    ],
)
def test_an_error_of_a_worker_is_raised_here(
    data, on_cluster, parameter, value, message
):
    search = GridSearchCV(make(), {parameter: [value]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match=message):
        search.fit(*data)


def test_progress_is_printed_on_the_worker(data, client, capfd):
    X, y = data
    model = make()

    def fit_and_listen(verbose):
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            clone(model).set_params(verbose=verbose).fit(X, y)
        return printed.getvalue().splitlines()

    lines = client.submit(fit_and_listen, 2).result()
    assert [line.split(":")[0].split(", ")[1] for line in lines] == [
        f"epoch {k} of 5" for k in range(1, 6)
    ]
    (line,) = client.submit(fit_and_listen, 1).result()
    assert line.startswith("NeuralModuleClassifier: 5 of 5 epochs")
    assert "epoch" not in "".join(capfd.readouterr())


def test_warnings_are_filtered_on_the_workers_as_they_are_here(overlapping, on_cluster):
    X, y = overlapping
    # What tests/test_deq.py shows not to converge.
    model = make(DEQClassifier, n_nodes=20, stability=None, solver="picard")
    model.set_params(max_iter=60, learning_rate_init=0.06, alpha=0.0)
    folds = [(np.arange(len(X)),) * 2]
    with pytest.raises(ConvergenceWarning, match="have not converged"):
        cross_validate(model, X, y, cv=folds, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = cross_validate(model, X, y, cv=folds, return_estimator=True)
    # What was not warned of is told by the models all the same.
    assert results["estimator"][0].solver_stats_["unconverged"] > 0


def test_a_fitted_model_can_be_sent(data, client):
    X, y = data
    model = make().fit(X, y)
    there = client.submit(model.predict_proba, X).result()
    np.testing.assert_array_equal(there, model.predict_proba(X))


def test_fit_can_be_submitted(data, client):
    X, y = (client.scatter(array) for array in data)
    there = client.submit(make().fit, X, y).result()
    here = make().fit(*data)
    np.testing.assert_array_equal(
        there.predict_proba(data[0]), here.predict_proba(data[0])
    )


@pytest.mark.parametrize("estimator", [NeuralModuleClassifier, URNRegressor])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_threads_of_a_worker_stay_as_they_are(data, client, estimator, n_jobs):
    def n_threads():
        tasks = [
            client.submit(torch.get_num_threads, workers=[worker], pure=False)
            for worker in client.scheduler_info()["workers"]
        ]
        return client.gather(tasks), client.run(torch.get_num_threads)

    before = n_threads()
    with joblib.parallel_config("dask"):
        cross_validate(make(estimator, n_jobs=n_jobs), *data, cv=4, error_score="raise")
    assert n_threads() == before


@pytest.fixture
def threads_asked_for(data):
    """Return a function that tells how many threads a fit has asked for."""
    X, y = data

    def fit(model):
        with mock.patch.object(parallel, "Workers", wraps=parallel.Workers) as workers:
            model.fit(X, y)
        return max(call.args[0] for call in workers.call_args_list)

    return fit


def test_a_worker_takes_one_thread_unless_told(on_cluster, threads_asked_for):
    task = joblib.delayed(threads_asked_for)(make(URNRegressor))
    assert joblib.Parallel()([task]) == [1]


def test_n_jobs_of_a_submitted_fit_counts(client, threads_asked_for):
    assert client.submit(threads_asked_for, make(URNRegressor, n_jobs=2)).result() == 2
