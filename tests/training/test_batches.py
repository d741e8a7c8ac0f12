"""Every row comes once per epoch, in batches of nearly equal size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sknm.compute.rows import Rows, SparseBatch
from sknm.training.batches import Batches, Table


def table(n_rows, *, weights=None, kind=np.asarray):
    """Rows whose inputs, targets and weights tell their number."""
    numbers = np.arange(n_rows, dtype=float)
    X = kind(np.column_stack([numbers, -numbers]))
    return Table(Rows(X), torch.arange(n_rows), weights)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows_of(batches):
    return torch.cat([batch.y for batch in batches])


@given(n_rows=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 9))
def test_every_row_comes_once_per_epoch(n_rows, batch_size, seed):
    batches = Batches(table(n_rows), batch_size, seeded(seed))
    for _ in range(2):
        assert rows_of(batches).sort().values.tolist() == list(range(n_rows))


@given(n_rows=st.integers(1, 60), batch_size=st.integers(1, 70))
def test_batches_are_of_nearly_equal_size(n_rows, batch_size):
    batches = Batches(table(n_rows), batch_size, seeded())
    sizes = [len(batch) for batch in batches]
    assert len(sizes) == len(batches)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-n_rows // batch_size)  # no more than it takes


def test_order_is_the_generators():
    n_rows = 20
    order = torch.randperm(n_rows, generator=seeded(3))
    generator = seeded(3)
    first = rows_of(Batches(table(n_rows), 6, generator))
    assert torch.equal(first, order)
    assert not torch.equal(rows_of(Batches(table(n_rows), 6, generator)), first)


def test_only_batch_has_all_rows_in_their_order_and_draws_nothing():
    generator = seeded()
    before = generator.get_state()
    (batch,) = Batches(table(5), 5, generator)
    assert batch.y.tolist() == list(range(5))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"]
)
@pytest.mark.parametrize("batch_size", [4, 20])
def test_inputs_targets_and_weights_of_a_row_come_together(kind, batch_size):
    weights = torch.linspace(0, 1, 11)
    given = table(11, weights=weights, kind=kind)
    for batch in Batches(given, batch_size, seeded()):
        X = batch.X.to_dense()
        assert torch.equal(X, torch.stack([batch.y, -batch.y], 1).double())
        assert torch.equal(batch.weights, weights[batch.y])


def test_batches_have_no_weights_where_rows_have_none():
    assert all(batch.weights is None for batch in Batches(table(9), 4, seeded()))


def test_scarce_rows_stay_sparse():
    X = sparse.random_array((50, 30), density=0.02, format="csr", rng=0)
    given = Table(Rows(X), torch.arange(50))
    for batch in Batches(given, 8, seeded()):
        assert isinstance(batch.X, SparseBatch)
        np.testing.assert_array_equal(batch.X.to_dense(), X.toarray()[batch.y])


def test_one_row_is_taken_by_its_number():
    batch = table(7).take(torch.tensor([5]))
    assert len(batch) == 1
    assert batch.X.tolist() == [[5, -5]]


def test_table_is_as_long_as_its_targets():
    assert len(table(7)) == 7
