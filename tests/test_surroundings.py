"""What callers have set for torch and numpy stays theirs, and is not felt."""

import contextlib
import os
import subprocess
import sys
import textwrap
from functools import cache

import numpy as np
import pytest
import torch

from sknm.compute.settings import own_settings


@contextlib.contextmanager
def default_type(dtype):
    former = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(former)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SURROUNDINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "default device": lambda: torch.device("meta"),
    "default type double": lambda: default_type(torch.float64),
    "default type half": lambda: default_type(torch.float16),
    "deterministic": deterministic,
    "numpy raises": lambda: np.errstate(all="raise"),
}
IN_SURROUNDINGS = pytest.mark.parametrize("surroundings", SURROUNDINGS)


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 2, "random_state": 0}
    return estimator(**defaults | parameters)


def use(model, X, y):
    """Everything that computes, one after the other."""
    model.fit(X, y)
    values = [model.predict(X), model.node_values(X)]
    model.set_params(warm_start=True).fit(X, y, X_val=X, y_val=y)
    model.partial_fit(X, y)
    model.sparsify()
    if hasattr(model, "predict_proba"):
        values += [model.predict_proba(X), model.predict_log_proba(X)]
    return [*values, model.predict(X), model.input_weights_]


@pytest.fixture(scope="module")
def elsewhere(overlapping):
    """Return a function that uses an estimator where nothing is set."""
    X, y = overlapping
    return cache(lambda estimator: use(make(estimator), X.astype(np.float32), y))


@pytest.mark.sweep(3)
@IN_SURROUNDINGS
def test_surroundings_are_not_felt(
    overlapping, elsewhere, every_estimator, surroundings
):
    X, y = overlapping
    expected = elsewhere(every_estimator)
    with SURROUNDINGS[surroundings]():
        found = use(make(every_estimator), X.astype(np.float32), y)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_of_the_caller_are_restored():
    with torch.no_grad(), torch.autocast("cpu"), torch.device("meta"):
        with own_settings():
            assert torch.is_grad_enabled()
            assert not torch.is_autocast_enabled("cpu")
            assert torch.empty(0).device.type == "cpu"
        assert not torch.is_grad_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.empty(0).device.type == "meta"


def test_context_can_be_left_by_an_error(nothing_is_left):
    with pytest.raises(ZeroDivisionError), own_settings():
        raise ZeroDivisionError
    assert torch.is_grad_enabled()


FORK = """
    import multiprocessing, os, sys, warnings

    import numpy as np
    import torch

    import sknm

    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).normal(size=(300, 6))
    y = (X[:, 0] > 0).astype(int)

    def make(kind):
        # Of 200 nodes: enough for torch's own threads.
        return getattr(sknm, kind + "Classifier")(200, max_iter=1, n_jobs=N_JOBS)

    models = {kind: make(kind).fit(X, y) for kind in KINDS}
    for kind in KINDS:
        models[kind].predict(X), models[kind].node_values(X), models[kind].sparsify()

    def child():
        for kind in KINDS:
            models[kind].predict(X)
            make(kind).fit(X, y)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
        sys.exit("the child hangs")
    sys.exit(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_forked_children_fit_and_predict(n_jobs):
    # In a process of its own: other tests may have left threads in this one.
    kinds = ["NeuralModule", "FreeNet", "URN", "FeedForward", "DEQ", "DAG", "OptNet"]
    code = textwrap.dedent(FORK).replace("N_JOBS", repr(n_jobs))
    code = code.replace("KINDS", repr(kinds))
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
