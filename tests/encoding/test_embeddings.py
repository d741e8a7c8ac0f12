"""Functions of numbers that are learned, against plain loops."""

import numpy as np
import pytest
import torch

from sknm.encoding.embeddings import (
    ALL_BINS,
    EMBEDDINGS,
    MOST_BINS,
    ROWS_PER_BIN,
)
from sknm.encoding.sample import Sample

EVERY = pytest.mark.parametrize("name", EMBEDDINGS)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
N_ROWS = 997  # prime: no share falls between two values


def columns(n=N_ROWS, d=3):
    return np.random.default_rng(0).normal(size=(n, d))


def fitted(name, X, y=None, weights=None, seed=0):
    """Embedding that has learned from rows, but whose coefficients are drawn."""
    X = torch.as_tensor(X)
    embedding, generator = EMBEDDINGS[name](), torch.Generator().manual_seed(seed)
    y = X.nan_to_num().double().numpy()[:, 0] if y is None else y
    embedding.fit(Sample(X.numpy(), y, weights), generator, X.dtype)
    assert not embedding(X.nan_to_num()).any()  # nothing enters at the start
    for tensor in [*embedding.buffers(), *embedding.parameters()]:
        assert tensor.isfinite().all()
    shape = embedding.coefficients.shape
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
    embedding.coefficients.data = drawn.to(X.dtype)
    return embedding


def ends_of(piecewise):
    """Where the bins of each column that has some begin and end."""
    pairs = zip(piecewise.offsets.numpy(), piecewise.slopes.numpy(), strict=True)
    for offsets, slopes in pairs:
        o, s = offsets[slopes != 0], slopes[slopes != 0]
        yield np.append(-o / s, (1 - o[-1]) / s[-1])


def assert_proportional(found, expected):
    """How much functions weigh is a matter of tuning, but all weigh the same."""
    found, expected = found.detach().double().numpy(), np.asarray(expected)
    factor = (found * expected).sum() / (expected**2).sum()
    assert 0 < factor <= 2
    np.testing.assert_allclose(found, factor * expected, atol=1e-5 * expected.std())


def loop(X, ends, coefficients, weights=None):
    """``Σ_t φ_t c_t`` with standardised φ, one bin after the other."""
    parts = []
    for x, b, c in zip(X.T, ends, coefficients, strict=True):
        e = np.zeros(len(x))
        for t in range(len(b) - 1):
            phi = np.clip((x - b[t]) / (b[t + 1] - b[t]), 0, 1)
            mean = np.average(phi, weights=weights)
            deviation = np.average((phi - mean) ** 2, weights=weights) ** 0.5
            e += (phi - mean) / deviation * c[t]
        parts.append(e)
    return np.stack(parts, 1)


@DTYPES
@pytest.mark.parametrize("weighted", [False, True])
def test_piecewise_functions_are_those_of_a_loop_over_quantiles(dtype, weighted):
    X = columns().astype(str(dtype).removeprefix("torch."))
    repeats = np.random.default_rng(1).integers(1, 3, N_ROWS)
    weights = repeats / repeats.mean() if weighted else None
    embedding = fitted("piecewise", X, None, weights)
    rows = np.repeat(X, repeats, 0) if weighted else X
    n_bins = min(MOST_BINS, ALL_BINS // X.shape[1], N_ROWS // ROWS_PER_BIN)
    ends = np.quantile(
        rows.astype(float), np.linspace(0, 1, n_bins + 1), axis=0,
        method="averaged_inverted_cdf",
    ).T  # fmt: skip
    coefficients = embedding.coefficients.detach().double().numpy()
    expected = loop(X.astype(float), ends, coefficients, weights)
    assert_proportional(embedding(torch.as_tensor(X)), expected)


@EVERY
def test_gradient_is_that_of_finite_differences(name):
    X = columns(400, 2)
    embedding, u = fitted(name, X), torch.as_tensor(X[:5])
    names, values = zip(*embedding.named_parameters(), strict=True)

    def embed(*values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(embedding, given, (u,))

    assert torch.autograd.gradcheck(embed, values)
    assert torch.autograd.gradcheck(embedding, u.clone().requires_grad_())


STEP = 0.37


@pytest.mark.parametrize(
    "y_of",
    [
        lambda x: (x > STEP).astype(np.int64),
        lambda x: 5.0 * (x > STEP),
        lambda x: np.stack([np.zeros(len(x)), 1.0 * (x > STEP)], 1),
    ],
    ids=["classes", "numbers", "several outputs"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_bins_by_target_end_where_targets_change(y_of, weighted):
    X = columns(N_ROWS, 1)
    X[::9] = np.nan
    x = X[:, 0]
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(X)) if weighted else None
    (ends,) = ends_of(fitted("piecewise_tree", X, y_of(x), weights))
    known = x[~np.isnan(x)]
    assert (
        (ends > known[known < STEP].max()) & (ends < known[known > STEP].min())
    ).any()
    assert len(ends) - 1 <= MOST_BINS
    np.testing.assert_allclose(ends[[0, -1]], [known.min(), known.max()])


@pytest.mark.parametrize("name", ["piecewise", "piecewise_tree"])
def test_columns_of_two_values_or_fewer_have_no_functions(name):
    X = columns(N_ROWS, 6)
    X[:, 0] = 3
    X[:, 2] = np.arange(N_ROWS) % 2
    X[:, 3] = np.nan
    X[:, 5] = np.where(np.arange(N_ROWS) % 3, np.nan, 1)
    embedding = fitted(name, X, X[:, [1, 4]])
    assert embedding.columns() == [1, 4]
    assert embedding.n_outputs == 2
    rows = torch.as_tensor(X).nan_to_num()
    e = embedding(rows)
    assert e.shape == (N_ROWS, 2)
    rows[:, [0, 2, 3, 5]] = 9
    assert torch.equal(embedding(rows), e)
    assert fitted(name, X[:, [0, 2]]).n_outputs == 0


@pytest.mark.parametrize(
    ("n", "d", "most"),
    [
        (2 * ROWS_PER_BIN - 1, 1, 0),
        (5 * ROWS_PER_BIN, 2, 5),
        (MOST_BINS * ROWS_PER_BIN + 100, ALL_BINS // 5, 5),
        (2 * ROWS_PER_BIN, ALL_BINS, 0),
    ],
)
@pytest.mark.parametrize("name", ["piecewise", "piecewise_tree"])
def test_bins_are_no_more_than_rows_and_columns_bear(name, n, d, most):
    embedding = fitted(name, columns(n, d))
    counts = (embedding.slopes != 0).sum(1).tolist()
    assert all(1 < count <= most for count in counts)
    if name == "piecewise":
        assert len(counts) == (d if most else 0)
        assert not counts or max(counts) == most


def test_periodic_functions_are_sums_of_cosines():
    X = columns()
    embedding = fitted("periodic", X)
    values = (embedding.frequencies, embedding.phases, embedding.coefficients)
    omega, phi, c = (p.detach().numpy() for p in values)
    parts = [
        np.cos(X[:, k : k + 1] * omega[k] + phi[k]) @ c[k] for k in range(X.shape[1])
    ]
    assert_proportional(embedding(torch.as_tensor(X)), np.stack(parts, 1))
    assert (np.abs(phi) <= np.pi).all()
