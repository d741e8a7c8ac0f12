"""Numbers in all: themselves, functions of them, and where they are missing."""

import numpy as np
import pytest
import torch

from sknm.compute.rows import Rows
from sknm.encoding.embeddings import EMBEDDINGS
from sknm.encoding.numbers import Numbers
from sknm.encoding.sample import Sample, shares_of_gaps

EVERY = pytest.mark.parametrize("embedding", [None, *EMBEDDINGS])
N_ROWS = 400


def table(share=0.2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 4)) * [1, 10, 0.1, 5]
    X[rng.random(N_ROWS) < share, 1] = np.nan
    X[rng.random(N_ROWS) < share, 3] = np.nan
    return torch.as_tensor(X)


def fitted(X, embedding=None, scale="robust", weights=None):
    numbers, generator = Numbers(scale, embedding), torch.Generator().manual_seed(0)
    y = X.nan_to_num().numpy()[:, 0].astype(float)
    gaps = shares_of_gaps(Rows(X.numpy()), weights)
    numbers.fit(Sample(X.numpy(), y, weights), gaps, generator, X.dtype)
    if numbers.embedding is not None:
        maps = numbers.embedding.coefficients
        drawn = torch.randn(maps.shape, generator=generator, dtype=torch.float64)
        maps.data = drawn.to(X.dtype)
    for buffer in numbers.buffers():
        assert buffer.isfinite().all()
    return numbers


def encode(numbers, X):
    encoded = numbers(X)
    assert encoded.shape == (len(X), numbers.n_outputs)
    assert encoded.dtype == X.dtype
    assert len(numbers.labels()) == numbers.n_outputs
    return encoded.detach()


@pytest.mark.parametrize("weighted", [False, True])
def test_gaps_are_told_in_inputs_of_mean_0_and_variance_1(weighted):
    X, weights = table(), None
    if weighted:
        weights = np.random.default_rng(1).uniform(0.5, 1.5, N_ROWS)
    told = encode(fitted(X, weights=weights), X)[:, 4:].numpy()
    missing = X[:, [1, 3]].isnan().numpy()
    means = np.average(told, 0, weights)
    np.testing.assert_allclose(means, 0, atol=1e-12)
    np.testing.assert_allclose(np.average(told**2, 0, weights), 1, atol=1e-12)
    for t, gaps in zip(told.T, missing.T, strict=True):
        assert len(np.unique(t)) == 2
        assert t[gaps].min() > t[~gaps].max()


@EVERY
def test_gaps_that_were_never_seen_are_the_mean(embedding):
    X = table(share=0)
    numbers = fitted(X, embedding)
    gaps = torch.full((1, 4), torch.nan, dtype=X.dtype)
    encoded = encode(numbers, gaps)
    assert not encoded[:, :4].any()
    assert encoded.isfinite().all()
    assert "missing" not in dict(numbers.labels()).values()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", ["robust", None])
def test_column_without_values_tells_nothing(seed, scale):
    # Sums of weights are rounded.
    weights = np.random.default_rng(seed).uniform(0.5, 2, N_ROWS)
    X = torch.full((N_ROWS, 1), torch.nan, dtype=torch.float64)
    numbers = fitted(X, "piecewise", scale, weights / weights.mean())
    assert numbers.labels() == [(0, "")]
    assert not encode(numbers, X).any()


def test_embedding_that_has_no_columns_is_left_out():
    X = (table(share=0) > 0).double()
    for embedding in ("piecewise", "piecewise_tree"):
        numbers = fitted(X, embedding)
        assert numbers.embedding is None
        assert numbers.groups() == []
        assert encode(numbers, X).shape == (N_ROWS, 4)


@EVERY
def test_units_do_not_matter(embedding):
    X = table()
    units = torch.tensor([1e-6, 1e6, 1000, 0.3048], dtype=X.dtype)
    found, expected = (encode(fitted(x, embedding), x) for x in (X * units, X))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@EVERY
@pytest.mark.parametrize("scale", ["robust", None])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float32, 3e38),
        (torch.float32, 1e-44),
        (torch.float64, 1e300),
        (torch.float64, 1e-300),
        (torch.float64, 5e-324),
    ],
    ids=str,
)
def test_numbers_of_any_size_stay_finite(embedding, scale, dtype, size):
    # Of about that size, of all sizes up to it, and some of it among usual ones.
    X = table() * size
    X[:, 0] *= torch.logspace(-320, 0, N_ROWS, dtype=torch.float64)
    X[::2, 2] = table()[::2, 2]
    most = torch.finfo(dtype).max
    X = X.clamp(-most, most).to(dtype)
    assert encode(fitted(X, embedding, scale), X).isfinite().all()
    usual = fitted(table().to(dtype), embedding, scale)
    assert encode(usual, X).isfinite().all()
