"""The sample that encoders learn from: which rows, and statistics with weights."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sknm.compute.rows import Rows
from sknm.encoding import sample as module
from sknm.encoding.sample import Sample, mean_and_deviation, quantiles

VALUES = st.lists(st.integers(-5, 5), min_size=1, max_size=40)
N_SHARES = 24


def exact_quantile(x, share):
    """Mean of the least value that so many don't exceed, and the least that more don't.

    In whole numbers, to which rounding does nothing.
    """
    x, wanted = np.sort(x), share * len(x)
    last = len(x) - 1
    lower = min(max(-(-wanted.numerator // wanted.denominator) - 1, 0), last)
    upper = min(wanted.numerator // wanted.denominator, last)
    return (x[lower] + x[upper]) / 2


@pytest.mark.parametrize("weights", [None, "ones"])
def test_quantiles_are_those_of_numpy(weights):
    rng, shares = np.random.default_rng(0), np.linspace(0, 1, 17)
    for n in (1, 2, 3, 16, 17, 400):
        x = rng.normal(size=n).round(1)
        w = None if weights is None else np.ones(n)
        for size in (1, 1e-300, 1e307):
            found = quantiles(x * size, shares, w) / size
            expected = np.quantile(x, shares, method="averaged_inverted_cdf")
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@settings(deadline=None)
@given(x=VALUES, data=st.data())
def test_weights_are_repetitions(x, data):
    whole = st.lists(st.integers(1, 9), min_size=len(x), max_size=len(x))
    x, repeats = np.array(x, dtype=float), np.array(data.draw(whole))
    shares = [Fraction(k, N_SHARES) for k in range(N_SHARES + 1)]
    expected = [exact_quantile(np.repeat(x, repeats), share) for share in shares]
    # Weights come with mean 1, and are rounded.
    found = quantiles(x, np.linspace(0, 1, N_SHARES + 1), repeats / repeats.mean())
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_and_deviation_are_those_of_repetitions(weighted):
    rng = np.random.default_rng(0)
    repeats = rng.integers(1, 4, 50) if weighted else np.ones(50, dtype=int)
    weights = repeats / repeats.mean() if weighted else None
    for x in (rng.normal(3, 2, 50), rng.random(50) < 0.3, np.full(50, 0.1)):
        repeated = np.repeat(x, repeats)
        expected = repeated.mean(), repeated.std()
        np.testing.assert_allclose(mean_and_deviation(x, weights), expected, atol=1e-12)
    assert mean_and_deviation(np.empty(0), np.empty(0)) == (0, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make_rows", [np.asarray, sparse.csr_array])
def test_few_rows_are_all_taken(make_rows, dtype):
    X, y, weights = np.eye(7, 3, dtype=dtype), np.arange(7), np.linspace(0.5, 1.5, 7)
    sample = Sample.of(Rows(make_rows(X)), y, weights)
    assert sample.X.dtype == dtype
    np.testing.assert_array_equal(sample.X, X)
    np.testing.assert_array_equal(sample.y, y)
    np.testing.assert_array_equal(sample.weights, weights)
    assert Sample.of(Rows(X), y, None).weights is None


@pytest.mark.parametrize(("n_features", "n_rows"), [(1, 50), (10, 20), (100, 10)])
def test_rows_of_large_tables_are_drawn(monkeypatch, n_features, n_rows):
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    monkeypatch.setattr(module, "LEAST_ROWS", 10)
    monkeypatch.setattr(module, "MOST_VALUES", 200)
    y = np.arange(1000)
    X = np.repeat(y[:, None], n_features, 1).astype(float)
    sample = Sample.of(Rows(X), y, y / y.mean())
    assert sample.X.shape == (n_rows, n_features)
    assert (np.diff(sample.y) > 0).all()
    assert len(set(np.diff(sample.y))) > 1  # or tables that alternate are cut in two
    same = Sample.of(Rows(X), y, None)
    np.testing.assert_array_equal(same.y, sample.y)
    np.testing.assert_array_equal(sample.X[:, 0], sample.y)
    np.testing.assert_array_equal(sample.weights, sample.y / y.mean())


def test_column_is_where_there_are_values():
    X = np.array([[1, np.nan], [2, 5], [3, 6]], dtype=np.float32)
    sample = Sample(X, np.zeros(3), np.array([0.5, 1, 1.5]))
    for k, rows in enumerate([[0, 1, 2], [1, 2]]):
        x, weights, known = sample.column(k)
        assert x.dtype == np.float64
        np.testing.assert_array_equal(x, X[rows, k])
        np.testing.assert_array_equal(weights, sample.weights[rows])
        np.testing.assert_array_equal(np.flatnonzero(known), rows)
    part = sample.take(np.array([1]))
    np.testing.assert_array_equal(part.X, X[:, 1:])
    assert part.weights is sample.weights
    assert sample.take(np.arange(2)) is sample


@pytest.mark.parametrize("weighted", [False, True])
def test_gaps_are_counted_in_all_rows(monkeypatch, weighted):
    monkeypatch.setattr(module, "CHUNK_ROWS", 128)
    X = np.random.default_rng(0).normal(size=(1000, 4))
    X[::7, 1], X[999, 2], X[:, 3] = np.nan, np.nan, np.nan
    weights = np.random.default_rng(1).uniform(0.5, 2, 1000) if weighted else None
    expected = np.average(np.isnan(X), 0, weights)
    found = module.shares_of_gaps(Rows(X), weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found[[0, 3]].tolist() == [0, 1]
    full = Sample.of_columns(Rows(X), np.arange(1000), weights, np.array([2, 0]))
    np.testing.assert_array_equal(full.X, X[:, [2, 0]])
