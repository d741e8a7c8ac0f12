"""Weights inside modules: taken out, put back, and brought to other modules."""

import numpy as np
import pytest
import torch

from sknm.graph import blocks
from sknm.graph.blocks import ModuleWeights, pairs_above
from sknm.graph.topology import Topology

LABELS = {
    "equal": [0, 0, 0, 1, 1, 1],
    "one": [0, 0, 0, 0, 0, 0],
    "unequal": [0, 0, 0, 1, 1, 1, 1, 2, 2],
    "mixed": [2, 0, 1, 1, 2, 0, 2, 3, 1],
    "single nodes": [0, 1, 2, 3],
}


@pytest.fixture(params=LABELS, ids=str)
def labels(request):
    return np.array(LABELS[request.param])


def weights(n):
    W = torch.arange(1.0, n * n + 1).reshape(n, n)
    return W.fill_diagonal_(0)


def inside(labels):
    return torch.from_numpy(labels[:, None] == labels)


def test_values_are_those_inside_modules(labels):
    W = weights(len(labels))
    found = torch.zeros_like(W)
    ModuleWeights(labels, W).write(found)
    assert torch.equal(found, W * inside(labels))


def test_only_values_inside_modules_are_written(labels):
    W = weights(len(labels))
    modules = ModuleWeights(labels, W)
    for value in modules.values:
        value.fill_(-1)
    modules.write(W)
    alone = torch.from_numpy(np.bincount(labels)[labels] == 1)
    expected = torch.where(inside(labels) & ~alone, -1.0, weights(len(labels)))
    assert torch.equal(W, expected)
    modules.read(weights(len(labels)))
    modules.write(W)
    assert torch.equal(W, weights(len(labels)))


def test_mean_size_is_that_of_the_module_of_a_node():
    assert ModuleWeights(np.array(LABELS["equal"]), weights(6)).mean_size == 3


@pytest.mark.parametrize("former", LABELS)
def test_what_belongs_to_a_pair_stays_with_it(former, labels):
    former = np.resize(LABELS[former], len(labels))
    W = weights(len(labels))
    theirs, ours = ModuleWeights(former, W), ModuleWeights(labels, torch.zeros_like(W))
    for value, new in zip(
        ours.values, ours.rearrange(theirs, theirs.values), strict=True
    ):
        value.copy_(new)
    found = torch.zeros_like(W)
    ours.write(found)
    assert torch.equal(found, W * inside(labels) * inside(former))


@pytest.mark.parametrize("panel", [1, 10, 10**6])
def test_pairs_above_are_the_edges_of_the_graph(panel, labels, monkeypatch):
    monkeypatch.setattr(blocks, "PANEL_ELEMENTS", panel)
    n = len(labels)
    W = torch.randn(n, n, generator=torch.Generator().manual_seed(0))
    W.fill_diagonal_(0)
    pairs = pairs_above(W, 0.5)
    graph = Topology.from_weights(W.numpy(), 0.5)
    assert Topology.from_pairs(pairs, n) == graph
    found = np.sort(ModuleWeights(labels, W).pairs_above(0.5))
    source, target = np.divmod(pairs, n)
    assert np.array_equal(found, pairs[labels[source] == labels[target]])
