"""How graphs start: their edges and their weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sknm.graph.draw import draw_edges, draw_weights, module_sizes, random_part
from sknm.graph.topology import Topology

GRAPHS = pytest.mark.parametrize(
    "topology",
    [
        Topology.triangular(12),
        Topology.layered([2, 9, 3]),
        Topology(np.eye(5, k=1, dtype=bool)),
        Topology(np.zeros((3, 3), dtype=bool)),
    ],
    ids=["triangular", "layered", "chain", "empty"],
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Acyclic graphs


def bound(topology, source, target):
    """Largest weight of an edge, counted edge by edge (Glorot & Bengio 2010)."""
    edges = np.argwhere(topology.to_dense())
    n_into_target = sum(j == target for _, j in edges)
    n_out_of_source = sum(i == source for i, _ in edges)
    return (6 / (n_into_target + n_out_of_source)) ** 0.5


@GRAPHS
def test_weights_are_drawn_within_the_bounds_of_their_edges(topology):
    W = draw_edges(topology, seeded()).numpy()
    edges = topology.to_dense()
    assert np.array_equal(W != 0, edges)
    bounds = np.array([bound(topology, *ends) for ends in np.argwhere(edges)])
    assert (abs(W[edges]) <= bounds * (1 + 1e-6)).all()


@GRAPHS
def test_weights_fill_their_bounds_evenly(topology):
    edges = topology.to_dense()
    drawn = np.array([draw_edges(topology, seeded(k)).numpy() for k in range(300)])
    for source, target in np.argwhere(edges):
        shares = drawn[:, source, target] / bound(topology, source, target)
        assert abs(shares).max() > 0.95
        assert abs(shares.mean()) < 0.2
        assert shares.std() == pytest.approx(3**-0.5, abs=0.1)


def test_generator_decides_what_is_drawn():
    topology = Topology.triangular(5)
    assert torch.equal(draw_edges(topology, seeded()), draw_edges(topology, seeded()))
    assert not torch.equal(
        draw_edges(topology, seeded()), draw_edges(topology, seeded(1))
    )


# Random parts


@GRAPHS
@pytest.mark.parametrize("density", [0, 0.01, 1 / 3, 0.5, 0.9, 1])
def test_random_part_has_as_many_edges_as_its_share(topology, density):
    part = random_part(topology, density, seeded())
    assert part.n_edges == round(density * topology.n_edges)
    assert not (part.to_dense() & ~topology.to_dense()).any()


def test_every_edge_is_kept_as_often():
    topology = Topology.triangular(5)
    parts = [random_part(topology, 0.3, seeded(k)).to_dense() for k in range(400)]
    shares = np.mean(parts, axis=0)[topology.to_dense()]
    np.testing.assert_allclose(shares, 0.3, atol=0.1)


# Modules


@settings(deadline=None)
@given(n_nodes=st.integers(1, 500), module_size=st.integers(1, 100))
def test_modules_start_as_even_as_they_can_be(n_nodes, module_size):
    sizes = module_sizes(n_nodes, module_size)
    assert sum(sizes) == n_nodes
    assert len(sizes) == max(1, round(n_nodes / module_size))
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_bridges_start_within_half_of_tau(seed):
    sizes, tau = [4, 6, 5], 0.1
    W = draw_weights(sizes, tau, 1.0, torch.Generator().manual_seed(seed))
    inside = torch.from_numpy(Topology.modular(sizes).to_dense())
    bridges = W[~inside & ~torch.eye(15, dtype=torch.bool)]
    assert bridges.abs().max() <= tau / 2
    assert bridges.abs().max() > 0.4 * tau
    assert bridges.abs().min() > 0
    assert torch.equal(W.diagonal(), torch.zeros(15))


def test_inner_edges_start_within_the_gain_over_the_root_of_the_size():
    W = draw_weights([4, 100], 0.01, 0.6, torch.Generator().manual_seed(0))
    for block, size in ((W[:4, :4], 4), (W[4:, 4:], 100)):
        assert block.abs().max() <= 0.6 / size**0.5
        assert block.abs().max() > 0.5 * 0.6 / size**0.5


@pytest.mark.parametrize("seed", range(5))
def test_modular_start_has_the_modules_it_was_given(seed):
    sizes = [10, 11, 9]
    W = draw_weights(sizes, 0.05, 1.0, torch.Generator().manual_seed(seed))
    topology = Topology.from_weights(W.numpy(), 0.05)
    expected = np.repeat([0, 1, 2], sizes)
    np.testing.assert_array_equal(topology.weak_labels, expected)
    assert sorted(topology.sizes("strong")) == sorted(sizes)


def test_same_seed_gives_the_same_weights_and_leaves_global_randomness_alone():
    state = torch.get_rng_state()
    first, second = (
        draw_weights([3, 3], 0.1, 1.0, torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
