"""Co-activation: how it is counted, and how graphs evolve by it."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknm.compute.adam import AdamW
from sknm.encoding.encoder import Identity
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.draw import draw_edges, draw_inputs, draw_outputs
from sknm.graph.problem import SolverOptions
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.coactivation import (
    N_BINS,
    Coactivation,
    EvolvingRule,
    count_pairs,
    free_evolve,
    observe,
)
from sknm.plasticity.rule import Epoch, Step
from sknm.training.equation import EquationNetwork

N_NODES = 5
TRIANGLE = Topology.triangular(N_NODES)

# From 2**-53 on, 1 - epsilon is less than 1.
epsilons = st.floats(2**-53, 1, exclude_min=True, exclude_max=True)
small_epsilons = st.floats(2**-53, 0.5, exclude_min=True, exclude_max=True)


def evolving(epsilon, interval, max_evolutions):
    return EvolvingRule(
        epsilon=epsilon, interval=interval, max_evolutions=max_evolutions
    )


def graph_of(W, topology):
    """A graph whose weights are W itself."""
    return EquationState(W, torch.zeros(len(W), dtype=W.dtype), topology)


@st.composite
def activations(draw):
    """Whether each node is active on each row."""
    n_rows, n_nodes = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    return draw(arrays(bool, (n_rows, n_nodes)))


@st.composite
def situations(draw):
    """A graph and the activity of its nodes."""
    active = draw(activations())
    n_nodes = active.shape[1]
    return np.triu(draw(arrays(bool, (n_nodes, n_nodes))), 1), active


def values(active, seed=0):
    """Node values that are above zero where nodes are active, and zero elsewhere."""
    size = np.random.default_rng(seed).uniform(1e-9, 5, active.shape)
    return torch.from_numpy(np.where(active, size, 0))


def shares(active):
    """NCAM and NCIM: ``S Sᵀ / N``, and the same of those that are not active."""
    S = active.T.astype(float)
    return S @ S.T / len(active), (1 - S) @ (1 - S).T / len(active)


def counted(active, weights=None):
    found = Coactivation(active.shape[1])
    found.add(values(active), weights)
    return found


def assert_counts(found, expected, atol=1e-12):
    ncam, ncim = expected
    np.testing.assert_allclose(found.active, ncam, rtol=0, atol=atol)
    np.testing.assert_allclose(found.inactive, ncim, rtol=0, atol=atol)


# Counting


@settings(deadline=None)
@given(activations())
def test_shares_are_those_of_the_paper(active):
    assert_counts(counted(active), shares(active))


@settings(deadline=None)
@given(active=activations(), data=st.data())
def test_chunks_change_nothing(active, data):
    ends = st.lists(st.integers(0, len(active)), max_size=3)
    found = Coactivation(active.shape[1])
    for chunk in np.split(active, sorted(data.draw(ends))):
        found.add(values(chunk))
    whole = counted(active)
    np.testing.assert_array_equal(found.active, whole.active)
    np.testing.assert_array_equal(found.inactive, whole.inactive)


@settings(deadline=None)
@given(active=activations(), data=st.data(), factor=st.floats(0.01, 100))
def test_weight_of_a_row_is_its_repetition(active, data, factor):
    weights = data.draw(arrays(int, len(active), elements=st.integers(1, 4)))
    weighted = counted(active, torch.from_numpy(weights * factor))
    repeated = counted(active.repeat(weights, axis=0))
    assert_counts(weighted, (repeated.active, repeated.inactive))


@settings(deadline=None)
@given(activations())
def test_no_pair_is_active_and_inactive_on_the_same_row(active):
    found = counted(active)
    assert (found.active + found.inactive <= 1 + 1e-11).all()
    assert np.array_equal(found.active, found.active.T)
    assert np.array_equal(found.inactive, found.inactive.T)


def test_pairs_of_different_nodes_are_counted_once():
    shares = np.array([[1.0, 0.5, 0.0], [0.5, 0.5, 1.0], [0.0, 1.0, 1.0]])
    counts = count_pairs(shares)
    assert len(counts) == N_BINS
    assert {k: n for k, n in enumerate(counts.tolist()) if n} == {
        0: 1,
        N_BINS // 2: 1,
        N_BINS - 1: 1,
    }


def test_a_node_is_active_above_zero_only():
    found = Coactivation(4)
    found.add(torch.tensor([[0.0, -0.0, -1.0, 1e-30]]))
    assert np.array_equal(np.diag(found.active), [0, 0, 0, 1])
    assert np.array_equal(np.diag(found.inactive), [1, 1, 1, 0])


# FreeEvolve


def algorithm_2(graph, active, inactive, epsilon):
    """FreeEvolve pair by pair, from earlier to later nodes."""
    nodes = range(len(graph))
    pairs = {(i, j) for i in nodes for j in nodes if i < j}
    edges = {(i, j) for i, j in pairs if graph[i, j]}
    prune = {(i, j) for i, j in edges if inactive[i, j] > 1 - epsilon}
    augment = {(i, j) for i, j in pairs if active[i, j] > 1 - epsilon} - edges
    return (edges - prune) | (augment - prune)


@settings(deadline=None)
@given(situation=situations(), epsilon=epsilons)
def test_evolution_is_that_of_the_paper(situation, epsilon):
    graph, active = situation
    evolved = free_evolve(graph, *shares(active), epsilon)
    assert {*map(tuple, np.argwhere(evolved))} == algorithm_2(
        graph, *shares(active), epsilon
    )


@settings(deadline=None)
@given(situation=situations(), epsilon=epsilons)
def test_graphs_stay_strictly_triangular(situation, epsilon):
    graph, active = situation
    evolved = free_evolve(graph, *shares(active), epsilon)
    assert evolved.dtype == bool
    assert np.array_equal(evolved, np.triu(evolved, 1))


@settings(deadline=None)
@given(active=activations(), epsilon=small_epsilons)
def test_below_a_half_no_pair_is_pruned_and_added(active, epsilon):
    n_nodes = active.shape[1]
    complete = Topology.triangular(n_nodes).to_dense()
    added = free_evolve(np.zeros_like(complete), *shares(active), epsilon)
    pruned = complete & ~free_evolve(complete, *shares(active), epsilon)
    assert not (added & pruned).any()


@pytest.mark.parametrize(("epsilon", "turns"), [(0.5, False), (0.6, True)])
@pytest.mark.parametrize("exists", [True, False])
def test_pair_active_and_inactive_together_is_joined_and_parted(epsilon, turns, exists):
    # Each on half of the rows: from above 1/2 on, both are more than 1 - epsilon.
    active = np.array([[True, True], [False, False]])
    graph = np.array([[False, exists], [False, False]])
    evolved = free_evolve(graph, *shares(active), epsilon)
    assert evolved[0, 1] == (exists != turns)


def test_thresholds_themselves_do_not_count():
    # Nodes 0 and 1 are active together on 3 of 4 rows, 2 and 3 inactive.
    active = np.array([[1, 1, 0, 0]] * 3 + [[0, 1, 1, 0]], dtype=bool)
    graph = np.zeros((4, 4), dtype=bool)
    graph[2, 3] = True
    assert np.array_equal(free_evolve(graph, *shares(active), 0.25), graph)
    evolved = free_evolve(graph, *shares(active), 0.26)
    assert [*map(tuple, np.argwhere(evolved))] == [(0, 1)]


@settings(deadline=None)
@given(situation=situations(), epsilon=epsilons)
def test_fixed_points_have_all_edges_between_nodes_active_together(situation, epsilon):
    """Theorem 2: Aug ∧ ¬Prune ⊆ G."""
    graph, active = situation
    ncam, ncim = shares(active)
    fixed = free_evolve(graph, ncam, ncim, epsilon)
    turns = free_evolve(fixed, ncam, ncim, epsilon) != fixed
    in_both = np.triu((ncam > 1 - epsilon) & (ncim > 1 - epsilon), 1)
    assert np.array_equal(turns, in_both)
    assert epsilon >= 0.5 or not in_both.any()
    wanted = np.triu((ncam > 1 - epsilon) & ~(ncim > 1 - epsilon), 1)
    assert not (wanted & ~fixed).any()


# Weights of edges that go and come back


class Pairs:
    """A co-activation that is 1 for some pairs of nodes, and 0 for the others."""

    def __init__(self, added=(), pruned=(), n_nodes=N_NODES):
        self.active, self.inactive = np.zeros((2, n_nodes, n_nodes))
        for pairs, shares in ((added, self.active), (pruned, self.inactive)):
            for i, j in pairs:
                shares[i, j] = shares[j, i] = 1


class Training:
    """An evolving graph whose weights an optimiser with a memory moves."""

    def __init__(self, topology=TRIANGLE, max_evolutions=10):
        generator = torch.Generator().manual_seed(0)
        self.W = torch.randn(N_NODES, N_NODES, generator=generator)
        self.rule = evolving(0.4, None, max_evolutions)
        self.graph = graph_of(self.W, topology)
        self.rule.start(self.graph)
        self.optimizer = AdamW([self.W], lr=0.1, weight_decay=0.5)

    def run(self, n_steps=5):
        for _ in range(n_steps):
            self.W.grad = self.W.sign() * self.graph.plan.mask
            self.optimizer.step()
            self.rule.step(self.graph, Step(0.1))
        return self.W.clone()

    def evolve(self, added=(), pruned=()):
        return self.rule.evolve(self.graph, Pairs(added, pruned))

    def has(self, i, j):
        return bool(self.graph.topology.edges[i, j])


def test_weights_of_pruned_edges_are_kept_although_the_optimizer_moves_them():
    training = Training()
    first = training.W.clone()
    before = training.run()
    assert training.evolve(pruned=[(0, 1)])
    moved = training.run()
    assert not training.has(0, 1)
    assert abs(moved[0, 1] - before[0, 1]) > 1e-3
    training.rule.end(training.graph)
    assert training.W[0, 1] == before[0, 1] != first[0, 1]
    # All others have been trained.
    moved[0, 1] = before[0, 1]
    assert torch.equal(training.W, moved)


def test_edge_that_comes_back_has_its_weight_again():
    training = Training()
    before = training.run()
    training.evolve(pruned=[(0, 1), (2, 4)])
    training.run()
    training.evolve(pruned=[(1, 3)])
    training.run()
    assert training.evolve(added=[(0, 1)])
    assert training.has(0, 1)
    assert not training.has(2, 4)
    assert training.W[0, 1] == before[0, 1]
    assert training.run()[0, 1] != before[0, 1]


def test_edge_that_was_never_there_has_its_first_weight():
    training = Training(Topology(np.zeros((N_NODES, N_NODES), dtype=bool)))
    first = training.W.clone()
    training.run()
    assert training.evolve(added=[(1, 2)])
    assert training.graph.topology.n_edges == 1
    assert training.W[1, 2] == first[1, 2] != 0


@pytest.mark.parametrize("is_new", [True, False])
def test_weights_are_kept_over_a_new_start(is_new):
    training = Training()
    before = training.run()
    training.evolve(pruned=[(0, 1)])
    training.run()
    if is_new:  # another rule knows what the end of the last one left
        training.rule.end(training.graph)
        training.rule = evolving(0.4, None, 10)
    training.rule.start(training.graph)
    training.run()
    training.evolve(added=[(0, 1)])
    assert training.W[0, 1] == before[0, 1]


def test_start_cuts_edges_back_to_earlier_nodes():
    training = Training()
    assert torch.equal(training.W != 0, torch.from_numpy(TRIANGLE.to_dense()))


# Records, and going back


def test_log_counts_what_is_pruned_added_and_left():
    training = Training()
    assert training.evolve(pruned=[(0, 1), (2, 3)])
    assert training.evolve(added=[(0, 1)], pruned=[(1, 2)])
    assert not training.evolve(added=[(0, 1)], pruned=[(1, 2)])
    assert training.graph.log == [
        {"pruned": 2, "added": 0, "left": 8},
        {"pruned": 1, "added": 1, "left": 8},
        {"pruned": 0, "added": 0, "left": 8},
    ]


@pytest.mark.parametrize("n_kept", [0, 1, 2, 3])
def test_going_back_brings_an_earlier_graph_and_its_log(n_kept):
    training = Training()
    graph = training.graph
    snapshots = [graph.snapshot()]
    for pair in [(0, 1), (1, 2), (2, 3)]:
        training.evolve(pruned=[pair])
        snapshots.append(graph.snapshot())
    graph.restore(snapshots[n_kept])
    assert graph.plan is snapshots[n_kept].plan
    assert graph.topology.n_edges == TRIANGLE.n_edges - n_kept
    assert [entry["left"] for entry in graph.log] == [9, 8, 7][:n_kept]
    # It evolves on from there.
    training.evolve(pruned=[(0, 4)])
    assert graph.log[n_kept]["left"] == TRIANGLE.n_edges - n_kept - 1
    assert len(graph.log) == n_kept + 1


def test_evolutions_that_were_gone_back_on_may_be_made_again():
    training = Training(max_evolutions=1)
    before = training.graph.snapshot()
    training.evolve(pruned=[(0, 1)])
    assert training.rule.is_exhausted(training.graph)
    training.graph.restore(before)
    assert not training.rule.is_exhausted(training.graph)


def test_going_back_brings_kept_weights_too():
    W = torch.ones(4, 4)
    graph = graph_of(W, Topology(np.zeros((4, 4), bool)))
    rule = evolving(0.4, None, 10)
    rule.start(graph)
    before = graph.snapshot()
    rule.evolve(graph, Pairs(added=[(0, 1)], n_nodes=4))
    W[0, 1] = float("nan")
    rule.evolve(graph, Pairs(n_nodes=4))
    graph.restore(before)
    rule.end(graph)
    assert W[0, 1] == 1


# Observing a network

X = np.random.default_rng(0).normal(size=(20, 3))
ROW_WEIGHTS = torch.from_numpy(np.random.default_rng(1).uniform(0.1, 2, 20))


@pytest.fixture
def network():
    generator = torch.Generator().manual_seed(0)
    graph = graph_of(draw_edges(TRIANGLE, generator).double(), TRIANGLE)
    U = draw_inputs(3, N_NODES, 3, 1.0, generator).double()
    V = draw_outputs(N_NODES, 2, generator).double()
    network = EquationNetwork(Identity(3), graph, U, V, generator)
    network.sigma, network.dropout = ACTIVATIONS["relu"], 0.5
    network.training_options = network.options = SolverOptions()
    return network.eval()


def in_chunks(network, size, weights=ROW_WEIGHTS):
    """Node values of all rows, some at a time, as an epoch offers them."""

    def node_values():
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            with torch.no_grad():
                z = network.values(torch.from_numpy(X[rows])).value
            yield z, None if weights is None else weights[rows]

    return node_values


@pytest.mark.parametrize("size", [1, 7, 20, 1000])
@pytest.mark.parametrize("is_weighted", [True, False])
def test_observation_is_what_the_node_values_say(network, size, is_weighted):
    with torch.no_grad():
        S = (network.values(torch.from_numpy(X)).value.numpy() > 0).T.astype(float)
    weights = ROW_WEIGHTS if is_weighted else None
    w = ROW_WEIGHTS.numpy() if is_weighted else np.ones(20)
    expected = [(part * w) @ part.T / w.sum() for part in (S, 1 - S)]
    assert_counts(observe(N_NODES, in_chunks(network, size, weights)), expected)
    assert 0 < np.diag(expected[0]).min() < np.diag(expected[0]).max() < 1


@settings(deadline=None)
@given(active=activations(), is_weighted=st.booleans())
def test_pickled_counts_are_the_same(active, is_weighted):
    weights = torch.linspace(0.1, 2, len(active)).double() if is_weighted else None
    found = counted(active, weights)
    loaded = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(loaded.active, found.active)
    np.testing.assert_array_equal(loaded.inactive, found.inactive)
    loaded.add(values(active), weights)
    found.add(values(active), weights)
    np.testing.assert_array_equal(loaded.active, found.active)


def test_pickled_counts_of_few_rows_take_few_bytes():
    found = counted(np.random.default_rng(0).random((200, 300)) < 0.5)
    assert len(pickle.dumps(found)) < 300 * 301 / 2 + 1000


# When evolutions take place


def epochs_with_an_evolution(rule, network, n_epochs=12, n_known=12, n_before=0):
    graph = network.graph
    rule.start(graph)
    found, n_logged = [], len(graph.log)
    for k in range(1, n_epochs + 1):
        epoch = Epoch(n_before + k, k == n_known, in_chunks(network, 20))
        goes_on = rule.epoch(graph, epoch).goes_on
        assert not goes_on or k == n_known
        if len(graph.log) > n_logged + len(found):
            found.append(k)
    return found


@pytest.mark.parametrize(
    ("interval", "most", "expected"),
    [
        (1, 10, [*range(1, 11)]),
        (1, 20, [*range(1, 12)]),
        (4, 10, [4, 8]),
        (5, 10, [5, 10]),
        (5, 1, [5]),
        (1, 0, []),
        (None, 10, [12]),
        (None, 0, []),
    ],
)
def test_evolutions_come_at_intervals_up_to_the_most_or_last(
    network, interval, most, expected
):
    rule = evolving(0.4, interval, most)
    assert epochs_with_an_evolution(rule, network) == expected


def test_training_goes_on_after_an_evolution_until_nothing_changes(network):
    rule, graph = evolving(0.4, None, 10), network.graph
    rule.start(graph)
    rounds = 0
    while rule.epoch(graph, Epoch(1, True, in_chunks(network, 20))).goes_on:
        rounds += 1
    assert rounds > 0
    assert len(graph.log) == rounds + 1
    assert graph.log[-1]["pruned"] == graph.log[-1]["added"] == 0
    assert not rule.epoch(graph, Epoch(2, False, in_chunks(network, 20))).goes_on


def test_evolutions_are_counted_anew_at_each_start(network):
    rule = evolving(0.4, 4, 1)
    for n_evolutions in (1, 2, 3):
        assert epochs_with_an_evolution(rule, network) == [4]
        assert len(network.graph.log) == n_evolutions


def test_interval_goes_on_over_starts(network):
    rule = evolving(0.4, 3, 10)
    found = [
        epochs_with_an_evolution(rule, network, n_epochs=1, n_known=None, n_before=k)
        for k in range(7)
    ]
    assert found == [[], [], [1], [], [], [1], []]


def test_evolution_follows_what_the_network_does(network):
    # Nothing is active, so that all edges are pruned; then everything.
    rule, graph = evolving(0.4, 1, 10), network.graph
    rule.start(graph)
    weights = graph.weights.detach().clone()
    with torch.no_grad():
        graph.biases.fill_(-1e3)
        rule.epoch(graph, Epoch(1, False, in_chunks(network, 20)))
        assert graph.topology.n_edges == 0
        graph.biases.fill_(1e3)
        change = rule.epoch(graph, Epoch(2, False, in_chunks(network, 20)))
    assert graph.topology == TRIANGLE
    assert torch.equal(graph.weights, weights)
    assert change.summary == "10 edges"


def test_threshold_itself_does_not_count_for_large_epsilon():
    z = torch.zeros(10, 2)
    z[0] = 1
    found = Coactivation(2)
    found.add(z)
    empty = np.zeros((2, 2), bool)
    assert not free_evolve(empty, found.active, 0 * found.inactive, 0.9).any()
    assert free_evolve(empty, found.active, 0 * found.inactive, 0.91).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_are_repetition_in_both_precisions(dtype):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        w, active = rng.integers(1, 4, 30), rng.random((30, 4)) < 0.5
        z = torch.from_numpy(active.astype(dtype))
        weighted, repeated = Coactivation(4), Coactivation(4)
        weighted.add(z, torch.from_numpy((w / w.mean()).astype(dtype)))
        repeated.add(z.repeat_interleave(torch.from_numpy(w), 0))
        np.testing.assert_array_equal(
            weighted.active,
            repeated.active.round(6) if dtype == np.float32 else repeated.active,
        )
