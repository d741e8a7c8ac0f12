"""Locality: neurons go to where their edges are short."""

from itertools import pairwise

import numpy as np
import torch

from sknm.plasticity.locality import Locality

FEATURES = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)


def make(n_others=3, seed=0):
    return Locality(FEATURES, n_others, torch.Generator().manual_seed(seed))


def weights(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n, generator=generator, dtype=torch.float64)


def total_length(W, lengths):
    return (W.abs() * lengths).sum()


def test_neurons_start_among_the_features():
    others = make(100).positions[3:]
    assert (others >= 0).all()
    assert (others <= 4).all()
    assert others.std(0).min() > 0.5


def test_features_stay_where_they_are():
    locality = make()
    for _ in range(10):
        locality.move(weights(6), np.arange(6))
    torch.testing.assert_close(locality.positions[:3], FEATURES)


def test_each_move_makes_the_edges_shorter():
    for seed in range(10):
        locality, W = make(seed=seed), weights(6, seed)
        totals = [total_length(W, locality.move(W, np.arange(6))) for _ in range(100)]
        assert all(after <= before for before, after in pairwise(totals))
        assert totals[-1] < totals[0]


def test_a_neuron_with_one_edge_goes_to_its_other_end():
    locality, W = make(1), torch.zeros(4, 4, dtype=torch.float64)
    W[1, 3] = -0.5
    for _ in range(2000):
        locality.move(W, np.arange(4))
    torch.testing.assert_close(locality.positions[3], FEATURES[1])


def test_neurons_without_edges_stay():
    locality = make()
    before = locality.positions.clone()
    locality.move(torch.zeros(6, 6, dtype=torch.float64), np.arange(6))
    torch.testing.assert_close(locality.positions, before)


def test_only_the_living_move():
    locality = make()
    before = locality.positions.clone()
    living = np.array([0, 1, 2, 3, 5])
    lengths = locality.move(weights(5), living)
    expected = torch.cdist(before, before)[living][:, living]
    torch.testing.assert_close(lengths, expected)
    assert (locality.positions[4] == before[4]).all()
    assert (locality.positions[[3, 5]] != before[[3, 5]]).any(1).all()
