"""What every test shares: one thread, and the data sets of the papers."""

import os
import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.compute import parallel

# Small graphs: more threads cost more than they give.
torch.set_num_threads(1)

PUBLIC = [getattr(sknm, name) for name in sknm.__all__]
EVERY = {
    "every_estimator": [e for e in PUBLIC if isinstance(e, type)],
    "every_classifier": [e for e in PUBLIC if e.__name__.endswith("Classifier")],
    "every_regressor": [e for e in PUBLIC if e.__name__.endswith("Regressor")],
}


def pytest_generate_tests(metafunc):
    """Run a test that asks for every estimator with each of them."""
    for name in EVERY.keys() & set(metafunc.fixturenames):
        ids = [estimator.__name__ for estimator in EVERY[name]]
        metafunc.parametrize(name, EVERY[name], ids=ids)


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items):
    """Leave one case in n of a sweep to the plain run, with every value of each axis.

    Cases are told by the sum of the places of their values, so that neighbours along
    an axis differ: every value is met as long as two axes have n values or more.
    """
    places = defaultdict(dict)
    for item in items:
        for sweep in item.iter_markers("sweep"):
            function, total = item.nodeid.partition("[")[0], 0
            for axis, value in item.callspec.params.items():
                seen = places[function, axis]
                total += seen.setdefault(id(value), len(seen))
            if total % sweep.args[0]:
                item.add_marker("slow")


@pytest.fixture(scope="session")
def data_dir():
    """Folder of the papers' data sets; set SKNM_DATA to run the tests that read it."""
    folder = os.environ.get("SKNM_DATA")
    if not folder:
        pytest.skip("SKNM_DATA is not set: no folder with the papers' data sets")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"SKNM_DATA={folder!r} is not a folder")
    return path


@pytest.fixture(scope="session")
def load_data(data_dir):
    """Return a function from the name of a data set to its ``X, y``."""

    def load(name):
        with np.load(data_dir / f"{name}.npz") as arrays:
            return arrays["X"], arrays["y"]

    return load


@pytest.fixture(scope="session")
def overlapping():
    """Two overlapping classes, 120 rows of 5 features, in double precision."""
    X, y = make_classification(
        120, 5, n_informative=4, n_redundant=0, flip_y=0.2, random_state=1
    )
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="session")
def answers():
    """Return a function from a model and data to what it says, as numbers."""

    def say(model, X):
        has_classes = hasattr(model, "predict_proba")
        return model.predict_proba(X) if has_classes else model.predict(X)

    return say


@pytest.fixture(scope="session")
def substitute():
    """Return a function from an acyclic model and data to its node values.

    They are computed node after node, from public attributes only.
    """
    activations = {
        "relu": lambda u: np.maximum(u, 0),
        "squared_relu": lambda u: np.maximum(u, 0) ** 2,
        "tanh": np.tanh,
    }

    def values(model, X):
        W, b = model.node_weights_, model.node_biases_
        a = model.encode(X) @ model.input_weights_ + b
        z = np.zeros_like(a)
        for j in range(len(b)):
            z[:, j] = activations[model.activation](a[:, j] + z[:, :j] @ W[:j, j])
        return z

    return values


@pytest.fixture
def always_share(monkeypatch):
    """Have threads share whatever has several parts, whether or not that pays."""
    monkeypatch.setattr(parallel._Times, "is_known", lambda self: True)
    monkeypatch.setattr(parallel._Times, "prefer_sharing", lambda *args: True)


@pytest.fixture
def nothing_is_left():
    """Assert that neither a thread nor another number of torch's threads is."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    threads = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in threads]
    for thread in left:
        thread.join(timeout=5)
    found = torch.get_num_threads()
    torch.set_num_threads(before)
    assert not [t for t in left if t.is_alive()]
    assert found == 2
