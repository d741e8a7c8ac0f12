"""Locality: neurons go to where their edges are short."""

from itertools import pairwise

import numpy as np
import torch

from sknm.plasticity.locality import move_neurons, place_neurons

FEATURES = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)


def place(n_others=3, seed=0):
    return place_neurons(FEATURES, n_others, torch.Generator().manual_seed(seed))


def move(positions, W, neurons=None):
    neurons = np.arange(len(positions)) if neurons is None else neurons
    return move_neurons(positions, W, neurons, len(FEATURES))


def weights(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n, generator=generator, dtype=torch.float64)


def total_length(W, lengths):
    return (W.abs() * lengths).sum()


def test_neurons_start_among_the_features():
    others = place(100)[3:]
    assert (others >= 0).all()
    assert (others <= 4).all()
    assert others.std(0).min() > 0.5


def test_features_stay_where_they_are():
    positions = place()
    for _ in range(10):
        move(positions, weights(6))
    torch.testing.assert_close(positions[:3], FEATURES)


def test_each_move_makes_the_edges_shorter():
    for seed in range(10):
        positions, W = place(seed=seed), weights(6, seed)
        totals = [total_length(W, move(positions, W)) for _ in range(100)]
        assert all(after <= before for before, after in pairwise(totals))
        assert totals[-1] < totals[0]


def test_a_neuron_with_one_edge_goes_to_its_other_end():
    positions, W = place(1), torch.zeros(4, 4, dtype=torch.float64)
    W[1, 3] = -0.5
    for _ in range(2000):
        move(positions, W)
    torch.testing.assert_close(positions[3], FEATURES[1])


def test_neurons_without_edges_stay():
    positions = place()
    before = positions.clone()
    move(positions, torch.zeros(6, 6, dtype=torch.float64))
    torch.testing.assert_close(positions, before)


def test_only_the_living_move():
    positions = place()
    before = positions.clone()
    living = np.array([0, 1, 2, 3, 5])
    lengths = move(positions, weights(5), living)
    expected = torch.cdist(before, before)[living][:, living]
    torch.testing.assert_close(lengths, expected)
    assert (positions[4] == before[4]).all()
    assert (positions[[3, 5]] != before[[3, 5]]).any(1).all()
