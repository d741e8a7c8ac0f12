"""Categories: an input for each value, or learned vectors."""

import numpy as np
import pandas as pd
import pytest
import torch

from sknm.encoding.categories import (
    LEAST_ROWS,
    MISSING,
    MOST_ONE_HOT,
    N_DIMS,
    OTHER,
    Categories,
)
from sknm.encoding.sample import Sample

MANY = MOST_ONE_HOT + 10
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def as_columns(*columns, dtype=torch.float64):
    return torch.as_tensor(np.stack(columns, 1).astype(float)).to(dtype)


def fitted(X, weights=None, seed=0):
    categories, generator = Categories(), torch.Generator().manual_seed(seed)
    y = np.zeros(len(X))
    categories.fit(Sample(X.numpy(), y, weights), generator, X.dtype)
    for tensor in [*categories.buffers(), *categories.parameters()]:
        assert tensor.isfinite().all()
    return categories


def encode(categories, X):
    encoded = categories(X)
    assert encoded.shape == (len(X), categories.n_outputs)
    assert encoded.dtype == X.dtype
    assert encoded.isfinite().all()
    assert len(categories.labels()) == categories.n_outputs
    return encoded.detach()


def codes(n_levels, gaps=0.0, n=600):
    """Codes of unequal shares, each of which is there often enough."""
    rng = np.random.default_rng(n_levels)
    x = np.zeros(n)
    often = np.arange(n_levels).repeat(2 * LEAST_ROWS)
    x[: len(often)] = often
    rng.shuffle(x)
    x[rng.random(n) < gaps] = np.nan
    return x


def dummies(x, weights=None):
    """Centred indicators of each value, and of gaps; the second only of two."""
    hot = pd.get_dummies(x, dummy_na=np.isnan(x).any()).to_numpy(float)
    hot = hot[:, 1:] if hot.shape[1] == 2 else hot
    return hot - np.average(hot, 0, weights)


@DTYPES
@pytest.mark.parametrize("gaps", [0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_values_have_an_input_each(dtype, gaps, weighted):
    # With gaps, two values are three, and one is two.
    columns = [2.5 * codes(n, gaps) - 3 for n in (3, 2, 7)]
    weights = np.random.default_rng(1).uniform(0.5, 2, 600) if weighted else None
    X = as_columns(*columns, dtype=dtype)
    expected = np.concatenate([dummies(x, weights) for x in columns], 1)
    found = encode(fitted(X, weights), X).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("n_levels", [4, MANY])
def test_unseen_values_are_the_mean(n_levels):
    x = codes(n_levels)
    categories = fitted(as_columns(x, codes(3)))
    unseen = torch.tensor([-1, 0.5, n_levels, 1e9, -1e30, torch.inf, torch.nan])
    rows = as_columns(unseen, np.ones(len(unseen)))
    encoded = encode(categories, rows)
    own = [k == 0 for k, _ in categories.labels()]
    assert not encoded[:, own].any()
    assert encoded[:, ~np.array(own)].all()  # of a value that is known


@pytest.mark.parametrize("n_levels", [4, MANY])
def test_unseen_values_are_what_rare_ones_are(n_levels):
    x = np.r_[codes(n_levels), 1000, 1001, 1001]
    categories = fitted(as_columns(x))
    assert categories.names[0] == [*range(n_levels), OTHER]
    encoded = encode(categories, as_columns([1000, 1001, 77.7, -5, torch.nan]))
    assert encoded[0].all()
    assert (encoded[:4] == encoded[0]).all()
    assert not encoded[4].any()  # no gap was seen
    with_known = encode(categories, as_columns([1000, 0, 1]))
    assert len(with_known.unique(dim=0)) == 3


@DTYPES
@pytest.mark.parametrize("weighted", [False, True])
def test_vectors_have_mean_0_and_differ(dtype, weighted):
    X = as_columns(codes(MANY, 0.1), codes(MANY + 3), dtype=dtype)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X)) if weighted else None
    categories = fitted(X, weights)
    # Also after they have been trained.
    for _ in range(2):
        vectors = encode(categories, X)
        means = np.average(vectors.numpy(), 0, weights)
        np.testing.assert_allclose(means, 0, atol=1e-5)
        assert len(vectors[:, :N_DIMS].unique(dim=0)) == MANY + 1
        assert len(vectors[:, N_DIMS:].unique(dim=0)) == MANY + 3
        categories.vectors.data = categories.vectors.data * 3 + 1
    assert (fitted(X, seed=0)(X) != fitted(X, seed=1)(X)).any()


def test_gradient_of_vectors_is_that_of_finite_differences():
    categories = fitted(as_columns(np.r_[codes(MANY, 0.1), 5000], codes(MANY, n=601)))
    rows = as_columns([0, 1, 5000, torch.nan, 7], [3, 2, 1, 77, 0])

    def embed(vectors):
        return torch.func.functional_call(categories, {"vectors": vectors}, (rows,))

    (group,) = categories.groups()
    assert [id(p) for p in group.params] == [id(p) for p in categories.parameters()]
    assert torch.autograd.gradcheck(embed, categories.vectors, fast_mode=True)


@pytest.mark.parametrize(
    ("x", "names"),
    [
        (np.full(9, 5.0), [5.0]),
        (np.full(9, np.nan), [MISSING]),
        (np.arange(99.0), [OTHER]),
        (np.array([1.0]), [OTHER]),
        (np.r_[np.arange(9.0), np.nan], [OTHER, MISSING]),
    ],
    ids=["constant", "gaps", "rare", "single", "rare and gaps"],
)
def test_columns_of_next_to_nothing(x, names):
    categories = fitted(as_columns(x))
    assert categories.names == [names]
    encoded = encode(categories, as_columns(x))
    assert encoded.shape == (len(x), 1)
    assert encoded.any() == (len(names) > 1)
    later = encode(categories, as_columns([5, -3, torch.nan]))
    assert later.any() == (len(names) > 1)


@DTYPES
def test_codes_of_any_size_are_known_again(dtype):
    most = torch.finfo(dtype).max
    sizes = [-most, -1e30, 0, torch.finfo(dtype).tiny, 1e30, most]
    x = np.repeat(sizes, LEAST_ROWS)
    longer = np.arange(len(x)) // 2  # so that there is room after the codes of x
    X = as_columns(x, longer, dtype=dtype)
    encoded = encode(fitted(X), X)[:, : len(sizes)]
    assert torch.equal(encoded.argmax(1), torch.arange(len(sizes)).repeat_interleave(3))
