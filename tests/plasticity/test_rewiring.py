"""Graphs that become sparse by weights, and are rewired by gradients."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from sknm.graph.draw import random_part
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.graph.trace import Flow
from sknm.plasticity.rewiring import RewiringRule, count_edges, largest
from sknm.plasticity.rule import Epoch, Step

N_NODES = 12
N_POSSIBLE = math.comb(N_NODES, 2)
TRIANGLE = Topology.triangular(N_NODES)


def rewiring(**parameters):
    defaults = {"density": 0.3, "epsilon": 0.5, "interval": 1, "max_evolutions": 10}
    return RewiringRule(**defaults | parameters)


def graph_of(topology=TRIANGLE, seed=0):
    W = torch.randn(N_NODES, N_NODES, generator=torch.Generator().manual_seed(seed))
    return EquationState(W, torch.zeros(N_NODES), topology)


def step(seed=0, n_rows=20):
    """A step of which values and adjoints are known."""
    generator = torch.Generator().manual_seed(seed)
    z, delta = torch.randn(2, N_NODES, n_rows, generator=generator)
    return Step(0.1, flow=Flow(z, delta))


def run(rule, graph, n_epochs, n_known=None, first=1):
    """Run epochs of one step each; return those that end with an evolution."""
    rule.start(graph)
    found, n_before = [], len(graph.log)
    for k in range(first, first + n_epochs):
        rule.step(graph, step(k))
        rule.epoch(graph, Epoch(k, k == n_known, None, k, n_known))
        if len(graph.log) > n_before:
            found.append(k)
        n_before = len(graph.log)
    return found


# One evolution


def test_smallest_weights_are_pruned_and_largest_gradients_added():
    rng = np.random.default_rng(0)
    present = np.triu(rng.random((N_NODES, N_NODES)) < 0.5, 1)
    graph, rule = graph_of(Topology(present)), rewiring(density=0.25)
    before = graph.weights.detach().numpy().copy()
    rule.start(graph)
    steps = [step(1), step(2)]
    for each in steps:
        rule.step(graph, each)
    rule.epoch(graph, Epoch(1, False, None, 1, 2))  # the only one
    n_left = count_edges(N_NODES, 0.25)
    n_added = round(0.5 * n_left)
    gradient = sum(s.flow.z.numpy() @ s.flow.delta.numpy().T for s in steps)
    sizes = np.where(present, abs(before), -1).ravel()
    asked = np.where(np.triu(~present, 1), abs(gradient), -1).ravel()
    expected = np.zeros(N_NODES**2, bool)
    expected[np.argsort(-sizes)[: n_left - n_added]] = True
    weights = np.where(expected, before.ravel(), 0).reshape(before.shape)
    expected[np.argsort(-asked)[:n_added]] = True
    edges = graph.topology.to_dense()
    assert np.array_equal(edges, expected.reshape(edges.shape))
    # What is new starts from zero.
    np.testing.assert_array_equal(graph.weights.detach().numpy(), weights)
    n_pruned = int(present.sum()) - (n_left - n_added)
    assert graph.log == [{"pruned": n_pruned, "added": n_added, "left": n_left}]


def test_pruned_edges_do_not_come_back_at_once():
    graph, rule = graph_of(), rewiring(epsilon=0.9)
    run(rule, graph, 1, 8)
    assert graph.log[0]["added"] == 0  # of a complete graph all are there
    assert graph.log[0]["pruned"] > 0


def test_weights_that_were_pruned_are_zero_in_the_end():
    graph, rule = graph_of(), rewiring()
    run(rule, graph, 4, 8)
    with torch.no_grad():
        graph.weights.add_(1.0)  # as momentum would
    rule.end(graph)
    assert np.array_equal(graph.weights.detach() != 0, graph.topology.to_dense())


def test_largest_chooses_among_those_that_may_be():
    scores = torch.tensor([[9.0, 1.0, 2.0], [9.0, 9.0, 3.0], [9.0, 9.0, 9.0]])
    among = torch.ones(3, 3, dtype=torch.bool).triu(1)
    chosen = largest(scores, among, 2)
    assert [*map(tuple, np.argwhere(chosen.numpy()))] == [(0, 2), (1, 2)]
    assert not largest(scores, among, 0).any()


# When, and how much


@pytest.mark.parametrize(
    ("interval", "most", "n_epochs", "expected"),
    [
        (4, 10, 28, [5, 9, 13, 17, 21]),
        (4, 2, 28, [11, 21]),
        (1, 10, 40, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]),
        (4, 10, 4, [1, 2, 3]),
        (4, 10, 2, [1]),
        (4, 10, 1, []),
        (9, 10, 16, [3, 6, 9, 12]),
        (4, 0, 28, []),
    ],
)
def test_evolutions_are_over_when_a_quarter_is_left(interval, most, n_epochs, expected):
    rule = rewiring(interval=interval, max_evolutions=most)
    assert run(rule, graph_of(), n_epochs, n_epochs) == expected


@pytest.mark.parametrize("n_epochs", [2, 4, 8, 28, 60])
@pytest.mark.parametrize("density", [0.1, 0.3, 1.0])
def test_graph_becomes_as_sparse_as_it_is_to_be(n_epochs, density):
    graph = graph_of()
    run(rewiring(density=density), graph, n_epochs, n_epochs)
    lefts = [entry["left"] for entry in graph.log]
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[-1] == graph.topology.n_edges == count_edges(N_NODES, density)
    edges = graph.topology.to_dense()
    assert np.array_equal(edges, np.triu(edges, 1))


def test_less_and_less_is_replaced():
    part = np.triu(np.ones((N_NODES, N_NODES), bool), 7)
    graph = graph_of(Topology(part))
    run(rewiring(density=part.sum() / N_POSSIBLE), graph, 28, 28)
    added = [entry["added"] for entry in graph.log]
    assert added == [entry["pruned"] for entry in graph.log]
    assert added == sorted(added, reverse=True)
    assert added[0] == round(0.5 * part.sum())
    assert added[-1] == 0


def test_sparse_graphs_become_denser_if_they_are_to_be():
    part = np.zeros((N_NODES, N_NODES), bool)
    part[0, 1:4] = True
    graph = graph_of(Topology(part))
    run(rewiring(density=0.6, epsilon=0.99), graph, 28, 28)
    assert graph.topology.n_edges == count_edges(N_NODES, 0.6)


def test_rounds_end_after_the_last_evolution():
    graph, rule = graph_of(), rewiring(interval=None, max_evolutions=3)
    rule.start(graph)
    goes_on = []
    for k in range(1, 5):
        for e in (1, 2):
            rule.step(graph, step(k))
            change = rule.epoch(graph, Epoch(2 * k + e, e == 2, None, e, 2))
        goes_on.append(change.goes_on)
    assert goes_on == [True, True, True, False]
    assert len(graph.log) == 3
    assert graph.topology.n_edges == count_edges(N_NODES, 0.3)


# Trainings whose end nobody knows


def test_without_an_end_evolutions_come_at_intervals_up_to_the_most():
    graph, rule = graph_of(), rewiring(interval=2, max_evolutions=3)
    found = []
    for k in range(1, 12):  # a start for each, as partial_fit has it
        found += run(rule, graph, 1, first=k)
    assert found == [2, 4, 6]
    assert graph.topology.n_edges == count_edges(N_NODES, 0.3)


@pytest.mark.parametrize("copied", [copy.copy, lambda r: pickle.loads(pickle.dumps(r))])
def test_pickles_and_copies_go_on(copied):
    graph, rule = graph_of(), rewiring(interval=1, max_evolutions=2)
    run(rule, graph, 1)
    assert len(run(copied(rule), graph, 5, first=2)) == 1


@pytest.mark.parametrize("density", [0.07, 0.14, 0.28, 0.55])
def test_as_many_edges_are_counted_as_are_drawn(density):
    triangle, generator = Topology.triangular(25), torch.Generator().manual_seed(0)
    drawn = random_part(triangle, density, generator)
    assert count_edges(25, density) == drawn.n_edges


def test_whole_training_begins_anew_after_parts():
    graph, rule = graph_of(), rewiring(interval=1, max_evolutions=4)
    assert len(run(rule, graph, 6)) == 4
    assert len(run(rule, graph, 16, 16)) == 4
