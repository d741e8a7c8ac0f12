"""Edges between modules: what they cost."""

import numpy as np
import pytest
import torch

from sknm.graph.topology import Topology
from sknm.graph.trace import Flow
from sknm.plasticity.bridges import Bridges
from sknm.plasticity.modules import ModulePenalty

TAU = 0.1


@pytest.fixture
def three_modules():
    """Nodes 0-2 in a chain, 3 and 4 in a loop, 5 alone."""
    mask = np.zeros((6, 6), dtype=bool)
    mask[0, 1] = mask[1, 2] = mask[3, 4] = mask[4, 3] = True
    return Topology(mask)


def loss_of(topology, connection, step_size=1e-3):
    """By how much each weight shrinks in a step without a gradient."""
    W = torch.ones(6, 6, dtype=torch.float64)
    penalty = ModulePenalty("bridge", 1.0)
    bridges = Bridges()
    bridges.start(W, TAU, penalty)
    bridges.set_sizes(penalty.sizes(topology, connection), W)
    nothing = torch.zeros(6, 1, dtype=torch.float64)
    bridges.step(W, Flow(nothing, nothing), step_size)
    return (1 - W) / step_size


def test_bridge_costs_the_share_of_nodes_in_the_module_it_would_make(three_modules):
    a, b, c = 5 / 6, 4 / 6, 3 / 6
    lost = loss_of(three_modules, "weak").numpy()
    np.testing.assert_allclose(lost[:3, 3:5], a)
    np.testing.assert_allclose(lost[3:5, :3], a)
    np.testing.assert_allclose(lost[:3, 5], b)
    np.testing.assert_allclose(lost[5, 3:5], c)


def test_strong_modules_have_bridges_of_their_own(three_modules):
    # Nodes 0, 1, 2 and 5 are on no cycle: each of them is a strong module.
    lost = loss_of(three_modules, "strong")
    assert lost[0, 1].item() == pytest.approx(2 / 6)
    assert lost[0, 3].item() == pytest.approx(3 / 6)


def test_equal_modules_have_one_price():
    lost = loss_of(Topology.modular([2, 2, 2]), "weak").numpy()
    np.testing.assert_allclose(lost, 4 / 6)


def test_those_above_the_threshold_are_known_after_a_step():
    W = torch.zeros(4, 4)
    W[0, 2], W[3, 1], W[1, 3] = 0.5, -0.3, 0.05
    bridges = Bridges()
    bridges.start(W, TAU, ModulePenalty("bridge", 0.0))
    bridges.set_sizes(np.full(4, 0.5), W)
    nothing = torch.zeros(4, 1)
    bridges.step(W, Flow(nothing, nothing), 1e-3)
    assert bridges.above.tolist() == [2, 13]
