"""The encoder of tables, in all."""

import copy
import pickle
import pickletools

import numpy as np
import pytest
import skops.io
import torch
from scipy import sparse

from sknm.compute.rows import Rows, SparseBatch
from sknm.encoding.categories import MOST_ONE_HOT
from sknm.encoding.columns import UNSEEN, Column
from sknm.encoding.embeddings import EMBEDDINGS
from sknm.encoding.encoding import Encoding
from sknm.encoding.table import TableEncoder

EVERY = pytest.mark.parametrize("embedding", [None, *EMBEDDINGS])
N_ROWS, MANY = 400, MOST_ONE_HOT + 5
COLUMNS = [
    Column("job", "category", tuple("abcd")),
    Column("age", "number"),
    Column("town", "category", tuple(f"town{k}" for k in range(MANY))),
    Column("size", "ordered", ("s", "m", "l")),
    Column("member", "category", (False, True)),
    Column("income", "number"),
    Column("zip", "category"),
]


def table(dtype=np.float64):
    rng = np.random.default_rng(0)
    X = np.stack(
        [
            rng.integers(0, 4, N_ROWS),
            rng.normal(40, 10, N_ROWS),
            rng.permutation(np.arange(N_ROWS) % MANY),
            rng.integers(0, 3, N_ROWS),
            rng.integers(0, 2, N_ROWS),
            np.exp(rng.normal(8, 2, N_ROWS)),
            rng.choice([94043, 10115, 75001], N_ROWS),
        ],
        1,
    ).astype(dtype)
    for k in (0, 1, 3):
        X[rng.random(N_ROWS) < 0.1, k] = np.nan
    return X


def fitted(X, columns=COLUMNS, scale="robust", embedding=None, weights=None):
    encoder = TableEncoder(columns, scale, embedding)
    generator = torch.Generator().manual_seed(0)
    rows, y = Rows(X), np.arange(X.shape[0]) % 3
    encoder.fit(rows, y, weights, generator)
    for p in encoder.parameters():  # so that functions do something
        drawn = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        p.data = drawn.to(p.dtype)
    return encoder


def encode(encoder, X):
    encoded = encoder(torch.as_tensor(X))
    assert encoded.shape == (len(X), encoder.n_outputs)
    assert encoded.isfinite().all()
    return encoded.detach()


@EVERY
@pytest.mark.parametrize("scale", ["robust", None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_output_has_a_name_of_its_own(embedding, scale, dtype):
    X = table(dtype)
    encoder = fitted(X, COLUMNS, scale, embedding)
    encoded = encode(encoder, X)
    assert encoded.dtype == torch.as_tensor(X).dtype
    assert all(tensor.isfinite().all() for tensor in encoder.state_dict().values())
    encoding = Encoding(COLUMNS)
    encoding.describe(encoder.labels(), encoder.forms())
    names = encoding.get_feature_names_out()
    assert len(set(names)) == len(names) == encoder.n_outputs
    assert set(encoding.get_feature_indices()) == set(range(len(COLUMNS)))
    inputs = dict(zip(names, encoded.T, strict=True))
    assert torch.equal(inputs["job_c"] > 0, torch.as_tensor(X[:, 0] == 2))
    assert torch.equal(inputs["zip_10115"] > 0, torch.as_tensor(X[:, 6] == 10115))
    assert torch.equal(inputs["age_missing"] > 0, torch.as_tensor(np.isnan(X[:, 1])))
    assert len(np.unique(inputs["size"])) == 3 + (scale == "robust")
    assert torch.equal(inputs["size_m"] > 0, torch.as_tensor(X[:, 3] == 1))


@EVERY
def test_outputs_depend_on_their_own_column_only(embedding):
    X = table()
    encoder = fitted(X, embedding=embedding)
    before, owners = encode(encoder, X), np.array([k for k, _ in encoder.labels()])
    for k in range(len(COLUMNS)):
        other = X.copy()
        other[:, k] = np.roll(X[:, k], 1)
        changed = (encode(encoder, other) != before).any(0).numpy()
        np.testing.assert_array_equal(changed, owners == k)


@EVERY
def test_copies_are_the_same_to_the_bit(embedding):
    X = table()
    encoder = fitted(X, embedding=embedding)
    written = pickle.dumps(encoder)
    strings = {arg for _, arg, _ in pickletools.genops(written) if isinstance(arg, str)}
    assert not [text for text in strings if text.startswith("torch")]
    data = skops.io.dumps(encoder)
    trusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("sknm.encoding.") for name in trusted)
    copies = [
        pickle.loads(written), copy.deepcopy(encoder),
        skops.io.loads(data, trusted=trusted),
    ]  # fmt: skip
    X[::5] += 0.3
    for other in copies:
        assert torch.equal(encode(other, X), encode(encoder, X))
        assert other.labels() == encoder.labels()
        assert other.fan_in == encoder.fan_in
        for name, tensor in encoder.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor)
        sizes = [[len(group.params) for group in e.groups()] for e in (other, encoder)]
        assert sizes[0] == sizes[1]


@EVERY
def test_groups_are_all_parameters_each_once(embedding):
    encoder = fitted(table(), embedding=embedding)
    grouped = [id(p) for group in encoder.groups() for p in group.params]
    assert sorted(grouped) == sorted(id(p) for p in encoder.parameters())
    assert len(grouped) > 0


@pytest.mark.parametrize("scale", ["robust", None])
def test_unseen_values_and_gaps_are_the_mean(scale):
    X = table()
    encoder = fitted(X, COLUMNS, scale)
    rows = X[~np.isnan(X).any(1)][:3]
    owners = np.array([k for k, _ in encoder.labels()])
    for k in (0, 2, 4, 6):
        row = rows.copy()
        row[:, k] = UNSEEN
        assert not encode(encoder, row)[:, owners == k].any()
    for k in (2, 4, 6):  # which had no gaps
        row = rows.copy()
        row[:, k] = np.nan
        assert not encode(encoder, row)[:, owners == k].any()


def test_unseen_level_is_not_below_the_lowest():
    X = table()
    encoder = fitted(X)
    rank = encoder.labels().index((3, ""))
    rows = X[:4].copy()
    rows[:, 3] = [UNSEEN, 0, 1, 2]
    unseen, *ranks = encode(encoder, rows)[:, rank].tolist()
    assert ranks == sorted(ranks)
    assert ranks[0] < unseen < ranks[2]


def test_each_thing_is_told_once():
    X = table()
    correlation = np.corrcoef(encode(fitted(X), X).T.numpy())
    assert np.abs(np.triu(correlation, 1)).max() < 0.999


@pytest.mark.parametrize("kind", ["number", "category", "ordered"])
@EVERY
def test_tables_may_hold_one_kind_only(kind, embedding):
    levels = None if kind == "number" else tuple("abcdefg")
    columns = [Column(f"x{k}", kind, levels) for k in range(3)]
    X = np.random.default_rng(0).integers(0, 7, (N_ROWS, 3)).astype(float)
    encoder = fitted(X, columns, "robust", embedding)
    encode(encoder, X)
    assert len(encoder.labels()) == encoder.n_outputs
    assert (encoder.numbers is None) == (kind == "category")
    assert (encoder.categories is None) == (kind == "number")


@pytest.mark.parametrize("scale", ["robust", None])
@EVERY
def test_sparse_rows_are_encoded_like_dense_ones(scale, embedding):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 5)) * (rng.random((N_ROWS, 5)) < 0.05)
    columns, rows = [Column(f"x{k}", "number") for k in range(5)], sparse.csr_array(X)
    dense = fitted(X, columns, scale, embedding)
    encoder = fitted(rows, columns, scale, embedding)
    batch = SparseBatch.of(rows)
    found = encoder(batch)
    assert (found is batch) == (scale is None and embedding is None)
    torch.testing.assert_close(found.to_dense().detach(), encode(dense, X))
