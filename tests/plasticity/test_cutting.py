"""Complete graphs that are cut into modules."""

import numpy as np
import pytest
import torch

from sknm.graph.draw import module_sizes
from sknm.plasticity.cutting import cut, cut_into_modules, exchanged, halved

TAU = 0.05


def planted(sizes, seed, strength=1.0):
    """Affinities of modules whose nodes are shuffled, and the module of each node."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    noise = rng.random((len(labels), len(labels)))
    affinity = noise + noise.T + strength * (labels[:, None] == labels)
    return affinity, labels


def same_partition(a, b):
    return ((a[:, None] == a) == (b[:, None] == b)).all()


def between(affinity, is_first):
    return affinity[is_first][:, ~is_first].sum()


@pytest.mark.parametrize("n_modules", [2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(3))
def test_modules_that_are_there_are_found(n_modules, seed):
    affinity, labels = planted([12] * n_modules, seed, strength=2.0)
    assert same_partition(cut_into_modules(affinity, 12), labels)


@pytest.mark.parametrize(("n", "size"), [(10, 3), (7, 10), (40, 9), (5, 1), (1, 4)])
def test_modules_have_the_sizes_of_a_modular_start(n, size):
    affinity, _ = planted([n], seed=0)
    sizes = np.bincount(cut_into_modules(affinity, size))
    assert sorted(sizes) == sorted(module_sizes(n, size))


@pytest.mark.parametrize("seed", range(5))
def test_changing_sides_cuts_less_and_keeps_the_sizes(seed):
    affinity, _ = planted([8, 8], seed, strength=0.5)
    before = np.random.default_rng(seed + 100).permutation(np.arange(16) < 7)
    after = exchanged(affinity, before)
    assert after.sum() == 7
    assert between(affinity, after) < between(affinity, before)
    # No exchange of one pair would lower it any further.
    for i in np.flatnonzero(after):
        for j in np.flatnonzero(~after):
            other = after.copy()
            other[i], other[j] = False, True
            assert between(affinity, other) >= between(affinity, after) - 1e-9


def test_the_second_eigenvector_parts_what_is_hardly_connected():
    affinity = np.kron(np.eye(2), np.ones((5, 5))) + 1e-3
    assert halved(affinity, 5)[:5].all() != halved(affinity, 5)[5:].all()


def test_a_graph_without_weights_is_cut_all_the_same():
    assert np.bincount(cut_into_modules(np.zeros((9, 9)), 3)).tolist() == [3, 3, 3]


def test_what_enters_a_node_keeps_its_size():
    W = torch.full((8, 8), 0.02).fill_diagonal_(0)
    assert cut(W, 4, TAU) == 2
    inside = W[W > 0.021]
    assert len(inside) == 2 * 4 * 3
    torch.testing.assert_close(inside, torch.full((24,), 0.02 * 2**0.5))


def test_edges_between_modules_are_asleep():
    W = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    before = W.clone()
    cut(W, 4, TAU)
    asleep = W.abs() <= TAU / 2
    assert asleep.sum() >= 12 * 8
    assert (W[~asleep].sign() == before[~asleep].sign()).all()
