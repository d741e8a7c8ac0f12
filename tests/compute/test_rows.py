"""Rows that batches are made from, wherever they are; products of sparse batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sknm.compute.arrays import to_tensor
from sknm.compute.rows import Rows, SparseBatch, is_memory_mapped

CPU = torch.device("cpu")


def draw(n_rows, n_features, density, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    return X * (rng.uniform(size=X.shape) < density)


@pytest.fixture(params=["dense", "scarce", "frequent", "memory-mapped"])
def rows_and_array(request, tmp_path):
    array = draw(20, 30, 0.05 if request.param == "scarce" else 0.5)
    if request.param == "memory-mapped":
        array.tofile(tmp_path / "X")
        mapped = np.memmap(tmp_path / "X", array.dtype, "r", shape=array.shape)
        return Rows(mapped), array
    return Rows(array if request.param == "dense" else sparse.csr_array(array)), array


def dense(batch):
    return batch.to_dense().numpy()


@settings(deadline=None)
@given(
    shape=st.tuples(*3 * [st.integers(1, 9)]),
    density=st.sampled_from([0, 0.1, 0.5, 1]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_products_of_a_sparse_batch_are_those_of_the_dense_one(shape, density, dtype):
    n_rows, n_features, n_nodes = shape
    X = draw(n_rows, n_features, density)
    batch = SparseBatch.of(sparse.csr_array(X)).to(CPU, dtype)
    X = torch.from_numpy(X).to(dtype)
    U, delta = torch.randn(n_features, n_nodes), torch.randn(n_nodes, n_rows).t()
    U, delta = U.to(dtype), delta.to(dtype)
    assert len(batch) == n_rows
    torch.testing.assert_close(batch.to_dense(), X)
    torch.testing.assert_close(batch.times(U), X @ U)
    torch.testing.assert_close(batch.transposed_times(delta), X.t() @ delta)


def test_product_of_a_sparse_batch_has_a_gradient():
    X = draw(6, 5, 0.4)
    batch = SparseBatch.of(sparse.csr_array(X))
    U = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(batch.times, U)


def test_batches_are_the_rows_in_their_order(rows_and_array):
    rows, array = rows_and_array
    parts = [dense(part) for part in rows.split(7, CPU)]
    assert [len(part) for part in parts] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate(parts), array)


def test_batches_are_the_rows_asked_for(rows_and_array):
    rows, array = rows_and_array
    numbers = torch.tensor([5, 0, 19, 5])
    np.testing.assert_array_equal(dense(rows.take(numbers, CPU)), array[numbers])


def test_rows_that_are_kept_can_be_chosen_from_again(rows_and_array):
    rows, array = rows_and_array
    numbers = np.array([3, 3, 18, 0, 7])
    kept = rows.keep(numbers)
    assert len(kept) == 5
    np.testing.assert_array_equal(dense(kept.take(slice(None), CPU)), array[numbers])
    again = kept.keep(np.array([4, 1]))
    np.testing.assert_array_equal(dense(again.take(slice(1), CPU)), array[[7]])


def test_batches_have_the_precision_asked_for(rows_and_array):
    rows, array = rows_and_array
    single = Rows(rows._X if rows.is_sparse else array, np.float32)
    assert single.dtype == np.float32
    assert single.torch_dtype == torch.float32
    batch = dense(single.take(slice(None), CPU))
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, array.astype(np.float32))


def test_only_dense_rows_in_memory_move_to_a_device(rows_and_array, request):
    rows, _ = rows_and_array
    in_memory = "[dense]" in request.node.name
    assert rows.move("meta").device.type == ("meta" if in_memory else "cpu")
    assert rows.move("cpu") is rows


def test_only_the_rows_that_are_kept_move_to_a_device():
    moved = Rows(np.ones((20, 3))).keep(np.arange(4)).move("meta")
    assert moved._X.shape == (4, 3)
    assert len(moved) == 4


def test_frequent_non_zeros_are_multiplied_as_dense():
    shares = {0.05: SparseBatch, 0.5: torch.Tensor}
    for share, kind in shares.items():
        rows = Rows(sparse.csr_array(draw(200, 50, share)))
        assert isinstance(rows.take(slice(5), CPU), kind)


def test_read_only_array_becomes_a_tensor_without_a_copy():
    array = np.arange(5.0)
    array.flags.writeable = False
    assert to_tensor(array).data_ptr() == array.ctypes.data


def test_view_of_a_mapped_file_is_found(tmp_path):
    mapped = np.memmap(tmp_path / "X", mode="w+", shape=(4, 3))
    assert is_memory_mapped(mapped)
    assert is_memory_mapped(np.asarray(mapped)[1:, :2])
    assert not is_memory_mapped(mapped[[0, 2]].copy())
    assert not is_memory_mapped(np.array(mapped))
    assert not is_memory_mapped(np.ones(3)[:2])
