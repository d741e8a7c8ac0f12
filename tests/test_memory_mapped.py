"""Memory-mapped arrays: nothing is copied whole, and nothing changes."""

import sys

import numpy as np
import pytest
from sklearn.base import is_classifier

import sknm

NAMES = [name for name in sknm.__all__ if isinstance(getattr(sknm, name), type)]
EVERY = pytest.mark.parametrize("name", NAMES)
CLASSIFIERS = [name for name in NAMES if name.endswith("Classifier")]


def make(name, **params):
    params = {"n_nodes": 8, "max_iter": 1, "random_state": 0} | params
    return getattr(sknm, name)(**params)


def mapped(path, array):
    """Write an array to a file, and map it."""
    array.tofile(path)
    return np.memmap(path, array.dtype, "r", shape=array.shape)


@pytest.fixture(params=[np.float32, np.float64])
def pair(request, tmp_path):
    """Return an array, the same in a file, and labels."""
    X = np.random.default_rng(0).normal(size=(300, 6)).astype(request.param)
    return X, mapped(tmp_path / "X", X), (X[:, 0] > 0).astype(int)


def same(model, other, X):
    assert model.loss_curve_ == other.loss_curve_
    assert model.validation_scores_ == other.validation_scores_
    np.testing.assert_array_equal(model.node_weights_, other.node_weights_)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


@EVERY
@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    "params", [{}, {"early_stopping": True}, {"optimizer": "lbfgs"}]
)
def test_mapped_array_gives_what_the_array_gives_to_the_bit(name, params, pair):
    X, X_mapped, y = pair
    w = np.arange(len(X)) % 3
    model = make(name, **params).fit(X, y, sample_weight=w)
    other = make(name, **params).fit(X_mapped, y, sample_weight=w)
    same(model, other, X)
    np.testing.assert_array_equal(model.node_values(X), other.node_values(X_mapped))


@EVERY
def test_chunks_of_a_mapped_array_give_what_those_of_the_array_give(name, pair):
    X, X_mapped, y = pair
    model, other = make(name), make(name)
    first = {"classes": [0, 1]} if is_classifier(model) else {}
    for start in range(0, len(X), 100):
        chunk, kwargs = slice(start, start + 100), {} if start else first
        model.partial_fit(X[chunk], y[chunk], **kwargs)
        other.partial_fit(X_mapped[chunk], y[chunk], **kwargs)
    same(model, other, X)


def test_precision_of_the_fit_is_kept(tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 6))
    y = (X[:, 0] > 0).astype(int)
    X_mapped = mapped(tmp_path / "X", X)
    model = make("FeedForwardClassifier").fit(X.astype(np.float32), y)
    expected = model.predict_proba(X.astype(np.float32))
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(model.predict_proba(X_mapped), expected)
    model.partial_fit(X_mapped, y)
    assert model.node_weights_.dtype == np.float32


# Memory.

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return 128 MB of single and of double precision in files."""
    part = np.random.default_rng(0).normal(size=(2**12, 2**8)).astype(np.float32)
    folder = tmp_path_factory.mktemp("large")
    single = mapped(folder / "single", np.tile(part, (2**5, 1)))
    double = mapped(folder / "double", np.tile(part.astype(float), (2**4, 1)))
    return single, double


@pytest.fixture
def little_memory():
    """Allow 64 MB beyond what is in use, half of the data; mapped files don't count."""
    resource = pytest.importorskip("resource")
    if sys.platform != "linux":
        pytest.skip("only Linux can limit private memory")
    with open("/proc/self/status", encoding="ascii") as status:
        (used,) = (int(line.split()[1]) for line in status if line[:7] == "VmData:")
    _, most = former = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + 64 * MEGABYTE, most))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, former)


def test_limit_of_memory_is_one(large, little_memory):
    for X in large:
        assert X.nbytes == 128 * MEGABYTE
        with pytest.raises(MemoryError):
            np.array(X)


@pytest.mark.sweep(4)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_estimator_copies_the_whole(name, large, little_memory):
    single, double = large
    y = np.arange(len(single)) % 2
    w = np.ones(len(y), dtype=np.float32)
    w[::1000] = 0
    params = {"batch_size": 1024, "n_nodes": 2, "early_stopping": True}
    model = make(name, **params).fit(single, y, sample_weight=w)
    # Of the other precision.
    model.partial_fit(double, y[: len(double)])
    assert len(model.predict(double)) == len(double)
