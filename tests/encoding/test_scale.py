"""The scale of numbers: what it promises, whichever way it clips."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sknm.encoding.sample import Sample
from sknm.encoding.scale import LIMIT, MOST_GAIN, Robust, Unscaled

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
BOTH = pytest.mark.parametrize("kind", [Robust, Unscaled])


def as_column(x, dtype=torch.float64):
    return torch.as_tensor(np.asarray(x, dtype=float)).to(dtype).reshape(-1, 1)


def fitted(X, weights=None, kind=Robust):
    scale = kind()
    X = torch.as_tensor(X)
    scale.fit(Sample(X.numpy(), np.zeros(len(X)), weights), X.dtype)
    for buffer in scale.buffers():
        assert buffer.dtype == X.dtype
        assert buffer.isfinite().all()
    return scale


def encode(x, others=None, dtype=torch.float64):
    """Values of one column, as encoded by what is learned from it, or from others."""
    scale = fitted(as_column(x if others is None else others, dtype))
    encoded = scale(as_column(x, dtype))
    assert encoded.dtype == dtype
    return encoded.double().numpy().ravel()


def columns(n=501):
    rng = np.random.default_rng(0)
    normal, wide = rng.normal(5, 3, n), np.exp(3 * rng.normal(size=n))
    few, tailed = rng.integers(0, 9, n), rng.standard_t(2, n)
    return np.stack([normal, wide, few, tailed, rng.uniform(-1, 1, n)], 1)


@DTYPES
@pytest.mark.parametrize("gaps", [0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_outputs_have_mean_0_and_variance_1(dtype, gaps, weighted):
    rng, X = np.random.default_rng(1), columns()
    missing = rng.random(X.shape) < gaps
    X[missing] = np.nan
    weights = rng.integers(1, 5, len(X)) / 2.5 if weighted else None
    X = torch.as_tensor(X).to(dtype)
    encoded = fitted(X, weights)(X).double().numpy()
    assert (encoded[missing] == 0).all()
    for k, known in enumerate(~missing.T):
        own = None if weights is None else weights[known]
        mean = np.average(encoded[known, k], weights=own)
        assert mean == pytest.approx(0, abs=1e-5)
        variance = np.average((encoded[known, k] - mean) ** 2, weights=own)
        assert variance == pytest.approx(1, abs=1e-5)


def test_weights_are_repetitions():
    X = columns()
    repeats = np.random.default_rng(1).integers(1, 4, len(X))
    found = fitted(X, repeats / repeats.mean())
    expected = fitted(np.repeat(X, repeats, 0))
    X = torch.as_tensor(X)
    torch.testing.assert_close(found(X), expected(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", range(columns(2).shape[1]))
def test_scale_is_monotone_and_bounded_and_odd_around_the_median(k):
    x = columns()[:, k]
    distance = np.ptp(x) * np.logspace(-6, 8, 200)
    ahead = encode(np.median(x) + distance, x)
    behind = encode(np.median(x) - distance, x)
    centre = encode([np.median(x)], x)[0]
    assert (np.diff(ahead) >= 0).all()
    assert (np.diff(ahead)[distance[1:] < np.ptp(x)] > 0).all()
    np.testing.assert_allclose(ahead - centre, centre - behind, atol=1e-9)
    # The variance of these columns is not from few rows, and a range is no less.
    assert np.abs(ahead).max() < 5 * LIMIT


@settings(deadline=None, max_examples=50)
@given(power=st.floats(-6, 6), is_single=st.booleans())
def test_units_do_not_matter(power, is_single):
    X = torch.as_tensor(columns(), dtype=torch.float32 if is_single else torch.float64)
    other, atol = X * 10**power, 1e-4 if is_single else 1e-10
    torch.testing.assert_close(fitted(other)(other), fitted(X)(X), rtol=0, atol=atol)


@DTYPES
def test_constants_and_columns_without_values_become_0(dtype):
    for x in ([7, 7, 7], [0.1] * 9, [7, np.nan, 7], [np.nan] * 3, [1e30] * 3, [3]):
        seen_later = [*x, np.nan, 0, 1, -1e30]
        assert (encode(seen_later, x, dtype) == 0).all()


def test_numbers_that_seldom_differ_are_told_apart():
    for few in (400, 40, 4):
        x = np.full(2000, 5.0)
        x[:few] = 6 + np.arange(few) % 4
        encoded = encode(x)
        assert (np.diff([encoded[x == v][0] for v in (5, 6, 7, 8, 9)]) > 0.1).all()
        assert encoded.std() < 1 + 1e-5
        # Not as far apart as unit variance would have them.
        assert np.ptp(encoded) <= 2 * LIMIT * MOST_GAIN


@BOTH
@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float32, 3e38),
        (torch.float32, 1e-38),
        (torch.float32, 1e-44),
        (torch.float64, 1e300),
        (torch.float64, 1.7e308),
        (torch.float64, 1e-300),
        (torch.float64, 5e-324),
    ],
    ids=str,
)
def test_any_size_stays_finite(kind, dtype, size):
    x = np.array([0, 1, -1, 0.5, -0.7, np.nan, 0.1, 1])
    for values in (x * size, np.abs(x) * size, np.r_[x * size, np.arange(9)]):
        X = as_column(values, dtype)
        assert fitted(X, None, kind)(X).isfinite().all()
        # What was learned from usual numbers bears the same.
        for usual in (np.arange(9.0), np.ones(9), [np.nan]):
            assert fitted(as_column(usual, dtype), None, kind)(X).isfinite().all()


def test_unscaled_numbers_stay_as_they_are_and_gaps_become_the_median():
    X = as_column([1, np.nan, 2, 1e9, 7])
    for weights, median in (None, 4.5), (np.array([0.5, 1, 0.5, 2, 0.5]), 1e9):
        found = fitted(X, weights, Unscaled)(X)
        assert found.ravel().tolist() == [1, median, 2, 1e9, 7]
    nothing = as_column([np.nan, np.nan])
    assert fitted(nothing, None, Unscaled)(nothing).tolist() == [[0], [0]]
