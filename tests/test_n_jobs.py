"""Work shared by threads: the same fits, and nothing left behind or taken twice."""

import multiprocessing
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from scipy.special import softmax
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from sknm import (
    NeuralModuleClassifier,
    NeuralModuleRegressor,
    OptNetClassifier,
    OptNetRegressor,
    URNClassifier,
    URNRegressor,
)
from sknm.compute import parallel
from sknm.compute.parallel import count_workers
from sknm.graph import equilibrium, plan, qp, recursion
from sknm.graph.equilibrium import solve
from sknm.graph.problem import SolverOptions
from sknm.graph.topology import Topology
from sknm.training.net import TrainingNet

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


@pytest.fixture
def always_share(always_share, monkeypatch):
    """Parts are as small as can be, and other threads always get some."""
    monkeypatch.setattr(plan, "PART_VALUES", 1)
    for module in (recursion, qp):
        monkeypatch.setattr(module, "PART_PRODUCTS", 1)
    monkeypatch.setattr(recursion, "LEAST_NEURONS", 4)
    monkeypatch.setattr(recursion, "UNIT", 1)
    monkeypatch.setattr(qp, "LEAST_ROWS", 8)


def make(estimator=NeuralModuleClassifier, **parameters):
    defaults = {"n_nodes": 24, "max_iter": 4, "random_state": 0}
    if estimator in MODULAR:
        defaults["module_size"] = 5
    return estimator(**defaults | parameters)


MODULAR = NeuralModuleClassifier, NeuralModuleRegressor
OTHERS = URNClassifier, URNRegressor, OptNetClassifier, OptNetRegressor


@pytest.mark.usefixtures("always_share")
@pytest.mark.parametrize("estimator", [*MODULAR, *OTHERS])
@pytest.mark.sweep(2)
@pytest.mark.parametrize("n_jobs", [None, 2, 3, -1])
def test_fits_and_predictions_are_the_same_to_the_bit(estimator, n_jobs, data):
    X, y = data
    alone = make(estimator, n_jobs=1).fit(X, y)
    shared = make(estimator, n_jobs=n_jobs).fit(X, y)
    assert np.array_equal(shared.node_weights_, alone.node_weights_)
    assert np.array_equal(shared.node_values(X), alone.node_values(X))
    assert np.array_equal(shared.predict(X), alone.predict(X))
    assert shared.loss_curve_ == alone.loss_curve_


@pytest.mark.parametrize(("dtype", "atol"), [(np.float32, 4e-5), (np.float64, 1e-8)])
def test_modules_have_the_values_of_the_whole_graph(dtype, atol, data):
    X, y = data[0].astype(dtype), data[1]
    model = make(n_nodes=60, n_jobs=2).fit(X, y)
    assert model.n_modules_ > 1
    a = torch.from_numpy(model.encode(X) @ model.input_weights_ + model.node_biases_)
    W, whole = torch.from_numpy(model.node_weights_), Topology.complete(60)
    tight = SolverOptions(atol=1e-10, rtol=1e-10, max_iter=500)
    z = solve(a.double(), W.double(), whole, options=tight).value.numpy()
    np.testing.assert_allclose(model.node_values(X), z, rtol=0, atol=atol)
    logits = z @ model.output_weights_ + model.output_biases_
    expected = softmax(logits, axis=1)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("always_share")
@pytest.mark.parametrize("estimator", [MODULAR[0], *OTHERS])
def test_torch_computes_with_one_thread_in_each_of_several(
    estimator, data, monkeypatch
):
    seen = set()

    def take(job):
        found = TAKE(job)
        if found is not None:
            seen.add((threading.get_ident(), torch.get_num_threads()))
        return found

    monkeypatch.setattr(parallel._Job, "_take", take)
    make(estimator, n_jobs=3, batch_size=150).fit(*data).predict(data[0])
    assert len({thread for thread, _ in seen}) > 1
    assert {n_threads for _, n_threads in seen} == {1}


FORKED = """
import multiprocessing, sys
import sklearn.datasets, torch
import sknm

torch.set_num_threads(2)
X, y = sklearn.datasets.make_classification(500, 20, random_state=0)
estimator = getattr(sknm, sys.argv[1])

def fit():
    estimator(n_nodes=200, max_iter=1, n_jobs=2).fit(X, y).predict(X)

fit()
child = multiprocessing.get_context("fork").Process(target=fit)
child.start()
child.join(60)
ended = not child.is_alive()
child.kill()
sys.exit(child.exitcode if ended else "The child hangs.")
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"
)
@pytest.mark.parametrize(
    "estimator",
    [
        URNClassifier,
        # Which tests/test_surroundings.py forks in one child with all others.
        pytest.param(MODULAR[0], marks=pytest.mark.slow),
        pytest.param(OptNetClassifier, marks=pytest.mark.slow),
    ],
)
def test_a_fit_in_a_forked_child_ends(estimator):
    # Torch's own threads, once there, are missed by a child, which waits for them.
    command = [sys.executable, "-c", FORKED, estimator.__name__]
    subprocess.run(command, check=True, timeout=120)


def test_config_of_joblib_counts(data, monkeypatch):
    seen = []

    class Workers(parallel.Workers):
        def __init__(self, n_workers=1):
            seen.append(n_workers)
            super().__init__(n_workers)

    monkeypatch.setattr(parallel, "Workers", Workers)
    with joblib.parallel_config("threading", n_jobs=2):
        make().fit(*data)
    assert set(seen) == {min(2, joblib.cpu_count())}


# What goes wrong in a thread

SOLVE_BLOCKS, TRAIN_STEP = equilibrium.solve_blocks, TrainingNet.train_step
TAKE = parallel._Job._take


def failing_elsewhere(error, after):
    """Return a solver that fails in a worker, after some calls."""
    calls = []

    def solve_blocks(*args):
        calls.append(None)
        if len(calls) > after and threading.current_thread().name != "MainThread":
            raise error
        return SOLVE_BLOCKS(*args)

    return solve_blocks


@pytest.mark.usefixtures("always_share")
def test_error_in_a_worker_ends_the_fit(data, monkeypatch):
    failing = failing_elsewhere(ArithmeticError("in a worker"), after=20)
    monkeypatch.setattr(equilibrium, "solve_blocks", failing)
    with pytest.raises(ArithmeticError, match="in a worker"):
        make(n_jobs=2, max_iter=50).fit(*data)


@pytest.mark.usefixtures("always_share")
def test_interrupt_in_a_worker_leaves_a_fitted_model(data, monkeypatch):
    failing = failing_elsewhere(KeyboardInterrupt(), after=100)

    def train_step(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(equilibrium, "solve_blocks", failing)
            return TRAIN_STEP(*args, **kwargs)

    monkeypatch.setattr(TrainingNet, "train_step", train_step)
    with pytest.warns(UserWarning, match="interrupted"):
        model = make(n_jobs=2, max_iter=50).fit(*data)
    assert model.n_iter_ < 50
    assert np.isfinite(model.predict_proba(data[0])).all()


# Parallel work inside parallel work


@pytest.fixture(params=["loky", "threading"])
def backend(request):
    yield request.param
    if request.param == "loky":  # whose processes and threads joblib keeps
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.mark.sweep(2)
def test_search_over_estimators_with_workers_ends(backend, data):
    grid = {"tau": [0.0, 0.1]}
    expected = GridSearchCV(make(), grid, cv=2).fit(*data)
    with joblib.parallel_config(backend):
        search = GridSearchCV(make(n_jobs=2), grid, cv=2, n_jobs=2).fit(*data)
    for key in ("split0_test_score", "split1_test_score"):
        assert np.array_equal(search.cv_results_[key], expected.cv_results_[key])


def test_tasks_of_a_search_share_the_cores(backend):
    counts = joblib.Parallel(2, backend=backend)(
        joblib.delayed(count_workers)(n_jobs) for n_jobs in (1, 2, -1, None)
    )
    cores = 1 if backend == "threading" else max(1, joblib.cpu_count() // 2)
    assert max(counts) <= cores
