"""A zoo of small graphs, and weights for them that have one solution."""

import numpy as np
import pytest
import torch

from sknm.graph.stability import settle
from sknm.graph.topology import Topology


def chain(n_nodes):
    return np.eye(n_nodes, k=1, dtype=bool)


def ring(n_nodes):
    return np.roll(np.eye(n_nodes, dtype=bool), 1, axis=1)


def at_random(n_nodes, density, seed=0):
    mask = np.random.default_rng(seed).random((n_nodes, n_nodes)) < density
    return mask & ~np.eye(n_nodes, dtype=bool)


def shuffled(mask, seed=0):
    """The same graph, its nodes numbered otherwise."""
    order = np.random.default_rng(seed).permutation(len(mask))
    return mask[np.ix_(order, order)]


def modules(*sizes):
    return Topology.modular(sizes).to_dense()


def loops_feeding_chains():
    """Two loops that feed a chain, which feeds a third loop and a last node."""
    mask = np.zeros((9, 9), dtype=bool)
    loops = [(0, 1), (1, 0), (2, 3), (3, 2), (6, 7), (7, 6)]
    chains = [(1, 4), (2, 4), (0, 5), (4, 5), (5, 6), (7, 8), (4, 8)]
    mask[tuple(np.transpose(loops + chains))] = True
    return shuffled(mask)


ACYCLIC = {
    "empty": np.zeros((4, 4), dtype=bool),
    "one_node": np.zeros((1, 1), dtype=bool),
    "chain": chain(6),
    "layered": Topology.layered([2, 3, 2]).to_dense(),
    "triangular": Topology.triangular(6).to_dense(),
    "shuffled_triangular": shuffled(Topology.triangular(6).to_dense()),
}

CYCLIC = {
    "ring": ring(5),
    "triangle": modules(3),
    "two_modules": modules(3, 4),
    "equal_modules": modules(3, 3),
    "shuffled_modules": shuffled(modules(3, 3)),
    "padded_modules": shuffled(modules(4, 5)),
    "module_and_loners": modules(1, 4, 1),
    "dense": modules(6),
    "random_sparse": at_random(8, 0.15),
    "random_half": at_random(7, 0.3),
    "random_dense": at_random(6, 0.6),
    "loops_feeding_chains": loops_feeding_chains(),
}

ZOO = ACYCLIC | CYCLIC


@pytest.fixture(params=list(ZOO))
def topology(request):
    """Each graph of the zoo."""
    return Topology(ZOO[request.param])


@pytest.fixture(params=list(ACYCLIC))
def acyclic(request):
    """Each graph of the zoo without a cycle."""
    return Topology(ACYCLIC[request.param])


@pytest.fixture(params=list(CYCLIC))
def cyclic(request):
    """Each graph of the zoo with a cycle."""
    return Topology(CYCLIC[request.param])


@pytest.fixture(scope="session")
def make_weights():
    """Return a function that draws weights with one solution, zero where no edge is."""

    def make(topology, stability="monotone", *, margin=0.1, seed=0):
        mask = torch.from_numpy(topology.to_dense())
        generator = torch.Generator().manual_seed(seed)
        W = torch.empty(mask.shape, dtype=torch.float64)
        W.uniform_(0.3, 1.2, generator=generator)
        W *= torch.randint(0, 2, W.shape, generator=generator) * 2 - 1
        W *= mask
        settled, _ = settle(W, 0.0, stability, margin)
        assert settled == topology, "clipping removed an edge: take another seed"
        return W

    return make


@pytest.fixture(scope="session")
def make_inputs():
    """Return a function that draws what enters the nodes from outside."""

    def make(n_nodes, n_samples=3, *, seed=1):
        generator = torch.Generator().manual_seed(seed)
        shape = (n_samples, n_nodes)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return make
