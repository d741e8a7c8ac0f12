"""Edges of acyclic graphs that vanish when they are not worth their price."""

import math

import numpy as np
import pytest
import torch

from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.rule import Step
from sknm.plasticity.sparsity import DEGREE_INTERVAL, SparseRule, adaptive_prices

N_NODES = 7
STEP_SIZE = 0.02


@pytest.fixture
def W():
    drawn = torch.randn(N_NODES, N_NODES, generator=torch.Generator().manual_seed(0))
    return drawn.double().triu_(1)


def make(sparsity="uniform", alpha=2.0):
    return SparseRule(sparsity=sparsity, alpha=alpha)


def graph_of(W):
    """A graph whose weights are W itself."""
    return EquationState(W, torch.zeros(len(W)), Topology.triangular(len(W)))


def thin(W):
    """The same graph without a few edges, so that in-degrees are all different."""
    W[[0, 1, 2, 0, 1], [3, 4, 5, 5, 5]] = 0
    return W


def shrunk(W, amounts):
    """Soft threshold, weight by weight; `amounts` are those of the columns."""
    result = W.clone()
    for i in range(len(W)):
        for j in range(len(W)):
            size = max(0.0, abs(W[i, j].item()) - amounts[j])
            result[i, j] = math.copysign(size, W[i, j].item())
    return result


def literal_prices(W):
    """``log(1 + in-degree)`` of each node, over their mean."""
    n = len(W)
    logs = [math.log(1 + sum(W[i, j].item() != 0 for i in range(n))) for j in range(n)]
    return [log / (sum(logs) / n) for log in logs]


# Prices


def test_adaptive_prices_follow_the_logarithm_of_the_in_degree(W):
    prices = adaptive_prices(thin(W))
    np.testing.assert_allclose(prices, literal_prices(W), rtol=1e-12)
    assert prices.mean().item() == pytest.approx(1)


def test_nodes_with_more_edges_have_higher_prices(W):
    in_degrees, prices = (thin(W) != 0).sum(0), adaptive_prices(W)
    for a in range(N_NODES):
        for b in range(N_NODES):
            assert (prices[a] < prices[b]) == (in_degrees[a] < in_degrees[b])


def test_graph_without_edges_has_prices_that_are_numbers():
    assert torch.isfinite(adaptive_prices(torch.zeros(3, 3))).all()


# Steps


@pytest.mark.parametrize("sparsity", ["uniform", "adaptive"])
@pytest.mark.parametrize("alpha", [0.5, 5.0, 20.0])
def test_step_is_a_soft_threshold_by_step_size_times_alpha_times_price(
    W, sparsity, alpha
):
    rule = make(sparsity, alpha)
    graph = graph_of(thin(W))
    rule.start(graph)
    prices = [1.0] * N_NODES if sparsity == "uniform" else literal_prices(W)
    expected = shrunk(W, [STEP_SIZE * alpha * price for price in prices])
    rule.step(graph, Step(STEP_SIZE))
    np.testing.assert_allclose(W, expected, rtol=1e-12, atol=1e-15)
    # The zeros are exact: they are what makes edges vanish.
    assert torch.equal(W == 0, expected == 0)


def test_prices_are_looked_at_now_and_then():
    rule = make("adaptive", alpha=0.5)
    W = torch.full((N_NODES, N_NODES), 100.0).triu_(1)
    graph = graph_of(W)
    rule.start(graph)
    lost = []
    for _ in range(DEGREE_INTERVAL + 1):
        before = W[0, 1].item()
        rule.step(graph, Step(STEP_SIZE))
        lost.append(before - W[0, 1].item())
        # The others are gone: at the next look, this edge costs all there is.
        W[:, 2:] = 0
    np.testing.assert_allclose(lost[:-1], lost[0], rtol=1e-2)
    # Only one of the nodes has an edge, and prices are 1 on average.
    assert lost[-1] == pytest.approx(STEP_SIZE * 0.5 * N_NODES, rel=1e-2)


def test_new_start_looks_at_prices_anew(W):
    rule = make("adaptive")
    graph = graph_of(W)
    rule.start(graph)
    rule.step(graph, Step(STEP_SIZE))
    graph = graph_of(thin(W))
    rule.start(graph)
    prices = literal_prices(W)
    expected = shrunk(W, [STEP_SIZE * rule.alpha * price for price in prices])
    rule.step(graph, Step(STEP_SIZE))
    np.testing.assert_allclose(W, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("sparsity", ["uniform", "adaptive"])
def test_without_a_price_everything_stays(W, sparsity):
    rule = make(sparsity, alpha=0)
    before = W.clone()
    graph = graph_of(W)
    rule.start(graph)
    for _ in range(3):
        rule.step(graph, Step(STEP_SIZE))
    assert torch.equal(W, before)
    rule.end(graph)
    assert graph.topology == Topology.triangular(N_NODES)


# Edges that vanish


def test_vanished_edges_are_absent_when_training_ends(W):
    rule = make(alpha=20)
    graph = graph_of(W)
    rule.start(graph)
    expected = (abs(W) > 20 * STEP_SIZE).numpy()
    rule.step(graph, Step(STEP_SIZE))
    rule.end(graph)
    topology = graph.topology
    assert np.array_equal(topology.to_dense(), expected)
    assert 0 < topology.n_edges < N_NODES * (N_NODES - 1) / 2


def test_vanished_edges_are_trained_and_come_back(W):
    rule, graph = make(alpha=20), graph_of(W)
    rule.start(graph)
    W[0, 1] = 0.1
    rule.step(graph, Step(STEP_SIZE))
    assert W[0, 1] == 0
    # While it is trained, the edge is there and has a gradient.
    assert graph.topology == Topology.triangular(N_NODES)
    rule.end(graph)
    assert not graph.topology.edges[0, 1]
    rule.start(graph)
    assert graph.topology == Topology.triangular(N_NODES)
    W[0, 1] -= 1
    rule.step(graph, Step(STEP_SIZE))
    assert W[0, 1].item() == pytest.approx(-0.6)
    rule.end(graph)
    assert graph.topology.edges[0, 1]


def test_another_rule_has_all_edges_trained_too(W):
    rule, graph = make(alpha=20), graph_of(W)
    rule.start(graph)
    rule.step(graph, Step(STEP_SIZE))
    rule.end(graph)
    assert graph.topology != Topology.triangular(N_NODES)
    make(alpha=3).start(graph)
    assert graph.topology == Topology.triangular(N_NODES)


def test_an_end_changes_nothing_for_a_training_that_goes_on(W):
    rule, graph = make(alpha=20), graph_of(W)
    rule.start(graph)
    rule.step(graph, Step(STEP_SIZE))
    before = graph.snapshot()
    rule.end(graph)
    assert torch.equal(W, before.parameters["weights"])
    graph.restore(before)
    rule.step(graph, Step(STEP_SIZE))
    assert graph.plan is before.plan


def test_start_cuts_edges_back_to_earlier_nodes():
    W = torch.ones(N_NODES, N_NODES)
    make().start(graph_of(W))
    assert np.array_equal(W.numpy(), Topology.triangular(N_NODES).to_dense())
