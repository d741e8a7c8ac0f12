"""Sparse matrices: each estimator does with them what it does with dense ones."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import is_classifier

import sknm
from sknm.compute.rows import SparseBatch
from sknm.training import net, network

N_ROWS, N_FEATURES = 300, 40
NAMES = [name for name in sknm.__all__ if isinstance(getattr(sknm, name), type)]
EVERY = pytest.mark.parametrize("name", NAMES)
SOME = pytest.mark.parametrize("name", ["FeedForwardClassifier", "OptNetRegressor"])


def draw(density=0.05, dtype=np.float64):
    """Draw a matrix, and labels that are numbers, too."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_FEATURES))
    X *= rng.uniform(size=X.shape) < density
    X[7] = 0
    y = (X.sum(axis=1) > np.median(X.sum(axis=1))).astype(int)
    return sparse.csr_array(X.astype(dtype)), y


def make(name, **params):
    return getattr(sknm, name)(
        n_nodes=12,
        **{"max_iter": 2, "random_state": 0, "scale": None}
        | {"numerical_embedding": None, "feature_fdr": None}
        | params,
    )


def agree(model, other, X, answers, tolerance=1e-8):
    """Assert that both models say the same, given the matrix, sparse or dense."""
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, **close)
    np.testing.assert_allclose(answers(model, X), answers(other, X.toarray()), **close)
    np.testing.assert_allclose(
        model.node_values(X), other.node_values(X.toarray()), **close
    )


@EVERY
@pytest.mark.sweep(2)
@pytest.mark.parametrize("density", [0.05, 0.5])
def test_sparse_data_fit_as_dense_data_do(name, density, answers):
    X, y = draw(density)
    data = {"X_val": X[:50], "y_val": y[:50]}
    model = make(name).fit(X, y, **data)
    other = make(name).fit(X.toarray(), y, **data | {"X_val": X[:50].toarray()})
    agree(model, other, X, answers)
    assert model.validation_scores_ == pytest.approx(other.validation_scores_)
    assert model.score(X, y) == pytest.approx(other.score(X.toarray(), y))


@EVERY
def test_single_precision_stays(name, answers):
    X, y = draw(dtype=np.float32)
    model = make(name).fit(X, y)
    agree(model, make(name).fit(X.toarray(), y), X, answers, tolerance=1e-3)
    dense = make(name).fit(X.toarray(), y)
    assert model.input_weights_.dtype == dense.input_weights_.dtype
    assert answers(model, X.astype(np.float64)).dtype == answers(model, X).dtype


@EVERY
def test_sparse_chunks_fit_as_dense_chunks_do(name, answers):
    X, y = draw()
    model, other = make(name), make(name)
    first = {"classes": [0, 1]} if is_classifier(model) else {}
    for start in range(0, N_ROWS, 100):
        chunk, kwargs = slice(start, start + 100), {} if start else first
        model.partial_fit(X[chunk], y[chunk], **kwargs)
        other.partial_fit(X[chunk].toarray(), y[chunk], **kwargs)
    agree(model, other, X, answers)


@EVERY
@pytest.mark.sweep(2)
@pytest.mark.parametrize("params", [{"early_stopping": True}, {"optimizer": "lbfgs"}])
def test_sparse_rows_are_set_aside_and_left_out_as_dense_ones(name, params, answers):
    X, y = draw()
    w = np.arange(N_ROWS) % 3
    model = make(name, **params).fit(X, y, sample_weight=w)
    other = make(name, **params).fit(X.toarray(), y, sample_weight=w)
    agree(model, other, X, answers, tolerance=1e-4)


@EVERY
@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs"])
def test_the_whole_is_never_dense(name, optimizer, monkeypatch, answers):
    X, y = draw()
    n_dense = []
    to_dense = SparseBatch.to_dense

    def watched(batch):
        n_dense.append(len(batch))
        return to_dense(batch)

    def checked(kind, method):
        original = getattr(kind, method)

        def run(matrix, *args, **kwargs):
            assert matrix.shape[1] != X.shape[1], "the whole matrix was made dense"
            return original(matrix, *args, **kwargs)

        monkeypatch.setattr(kind, method, run)

    monkeypatch.setattr(SparseBatch, "to_dense", watched)
    monkeypatch.setattr(network, "CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(net, "CHUNK_ROWS", 128)
    for kind in (sparse.csr_array, sparse.csr_matrix):
        checked(kind, "toarray")
        checked(kind, "todense")
    model = make(name, early_stopping=True, optimizer=optimizer).fit(X, y)
    answers(model, X)
    model.node_values(X)
    if not name.startswith("URN"):
        assert n_dense == []
    elif optimizer == "adamw":  # whose state is a dense matrix
        assert 0 < max(n_dense) <= 128


@SOME
@pytest.mark.parametrize(
    "container",
    [sparse.csc_array, sparse.coo_array, sparse.csr_matrix, sparse.lil_matrix],
)
def test_each_kind_of_matrix_does(name, container, answers):
    X, y = draw()
    model = make(name).fit(X, y)
    other = make(name).fit(container(X), y)
    np.testing.assert_array_equal(answers(model, X), answers(other, container(X)))


@SOME
def test_entries_may_be_stored_in_any_way(name, answers):
    X, y = draw()
    model = make(name).fit(X, y)
    # Long indices, unsorted, zeros among the values, and entries in two halves.
    rows, columns = X.nonzero()
    order = np.random.default_rng(0).permutation(X.nnz)
    halves = np.concatenate([X.data[order] / 2, X.data[order] / 2, np.zeros(5)])
    places = np.concatenate([rows[order], rows[order], np.arange(5)])
    features = np.concatenate([columns[order], columns[order], np.arange(5)])
    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], np.arange(N_ROWS + 1))
    stored = sparse.csr_array(
        (halves[order], features[order].astype(np.int64), starts.astype(np.int64)),
        shape=X.shape,
    )
    assert stored.nnz == 2 * X.nnz + 5
    other = make(name).fit(stored, y)
    np.testing.assert_allclose(answers(other, stored), answers(model, X), rtol=1e-8)


@SOME
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64])
def test_numbers_of_other_kinds_become_double(name, dtype, answers):
    X, y = draw()
    X = (X != 0).astype(dtype)
    model = make(name).fit(X, y)
    other = make(name).fit(X.astype(np.float64), y)
    np.testing.assert_array_equal(answers(model, X), answers(other, X))


@SOME
def test_matrix_may_be_empty(name, answers):
    X, y = draw()
    nothing = sparse.csr_array(X.shape)
    model = make(name).fit(X, y)
    np.testing.assert_allclose(
        answers(model, nothing), answers(model, nothing.toarray())
    )
    assert np.isfinite(answers(make(name).fit(nothing, y), nothing)).all()


@SOME
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_entries_are_refused(name, value):
    X, y = draw()
    model, broken = make(name).fit(X, y), X.copy()
    broken.data[3] = value
    message = r"(?s)contains (NaN|infinity)"
    for call in (model.predict, model.node_values):
        with pytest.raises(ValueError, match=message):
            call(broken)
    with pytest.raises(ValueError, match=message):
        make(name).fit(broken, y)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(broken, y)
    with pytest.raises(ValueError, match=message):
        make(name).fit(X, y, X_val=broken, y_val=y)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_entries_beyond_single_precision_are_refused(container):
    X, y = draw(dtype=np.float32)
    model = make("FeedForwardClassifier").fit(X, y)
    large = X.astype(np.float64)
    large.data[3] = -1e300
    large = container(large.toarray())
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\)"):
        model.predict(large)
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\)"):
        model.partial_fit(large, y)
