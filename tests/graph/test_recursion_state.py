"""URN's graph: neurons that are taken out, and what is left of it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknm.compute.parallel import Workers
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.recursion import Recursion
from sknm.graph.recursion_state import RecursionState, at_nodes

N, N_INPUTS, N_OUTPUTS = 9, 2, 2
COPIED = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))],
    ids=["deepcopy", "pickle"],
)
masks = arrays(bool, (N, N))


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def make(mask=None, n_steps=3, n=N):
    W = draw(n, n)
    if mask is not None:
        W = W * torch.as_tensor(mask)
    plan = Recursion.whole(n, N_INPUTS, N_OUTPUTS, n_steps)
    return RecursionState(W, draw(n, seed=1), plan)


def sparse_graph(n=300, n_edges=800):
    mask = np.zeros(n * n, bool)
    mask[np.random.default_rng(0).choice(n * n, n_edges, replace=False)] = True
    return make(mask.reshape(n, n), n=n)


def outputs(graph, activation="relu"):
    plan, sigma = graph.plan, ACTIVATIONS[activation]
    with torch.no_grad():
        steps = plan.steps(graph.weights, graph.biases)
        return plan.run(draw(5, N_INPUTS, seed=2), steps, sigma, Workers())


def is_same(found, expected):
    tensors = dict(found.named_parameters())
    named = expected.named_parameters()
    return all(torch.equal(tensors[k], p) for k, p in named)


# Neurons that are taken out


def test_kept_neurons_keep_what_joins_them():
    graph = make()
    kept = np.array([0, 1, 3, 6, 7, 8])
    W, b = draw(N, N), draw(N, seed=1)
    index = graph.keep(kept, slice(0, 6))
    assert index.tolist() == kept.tolist()
    assert torch.equal(graph.weights, W[kept][:, kept])
    assert torch.equal(graph.biases, b[kept])
    assert graph.n_nodes == 6
    assert graph.plan.neurons.tolist() == kept.tolist()
    assert graph.is_whole
    # Numbers are always those of the neurons that are left.
    graph.keep(np.array([0, 1, 3, 4, 5]), slice(0, 5))
    assert graph.plan.neurons.tolist() == [0, 1, 6, 7, 8]


def test_gradients_go_with_the_neurons():
    graph = make()
    for p in graph.parameters():
        p.grad = torch.ones_like(p)
    graph.keep(np.arange(1, N), slice(0, N - 1))
    assert all(p.grad is None for p in graph.parameters())


def test_graph_that_was_interrupted_while_neurons_go_is_not_whole(monkeypatch):
    kept = np.delete(np.arange(N), 4)

    def interrupted(graph, n_calls):
        """Take a neuron out, and stop after so many of the changes that this takes."""
        left = [n_calls]

        def one_by_one(index, values):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return at_nodes(index, values)

        with monkeypatch.context() as patch:
            patch.setattr("sknm.graph.recursion_state.at_nodes", one_by_one)
            patch.setattr(graph, "adopt", lambda plan: interrupt())
            with pytest.raises(KeyboardInterrupt):
                graph.keep(kept, slice(0, N - 1))

    def interrupt():
        raise KeyboardInterrupt

    for n_calls in (1, 2):
        graph = make()
        snapshot = graph.snapshot()
        interrupted(graph, n_calls)
        assert not graph.is_whole
        graph.restore(snapshot)
        assert graph.is_whole
        assert is_same(graph, make())
    untouched = make()
    interrupted(untouched, 0)
    assert untouched.is_whole


@pytest.mark.parametrize("shape", [(5,), (5, 5)])
def test_values_are_those_at_some_nodes(shape):
    values = draw(*shape)
    nodes = torch.tensor([3, 0])
    found = at_nodes(nodes, values)
    expected = values.numpy()[np.ix_(*[[3, 0]] * len(shape))]
    np.testing.assert_array_equal(found, expected)


def test_dead_neurons_come_back_bit_for_bit():
    graph = make()
    graph.log.append({"k": 1})
    graph.positions = draw(N, 2)
    snapshot, plan = graph.snapshot(), graph.plan
    graph.keep(np.delete(np.arange(N), [3, 4]), slice(0, N - 2))
    graph.positions += 1
    graph.log.clear()
    assert not graph.restore(snapshot)
    assert is_same(graph, make())
    assert graph.plan is plan
    assert graph.log == [{"k": 1}]
    assert torch.equal(graph.positions, draw(N, 2))
    assert graph.restore(snapshot)


# What is computed


@settings(deadline=None)
@given(mask=masks, n_steps=st.integers(1, 4))
def test_settled_graph_computes_the_same(mask, n_steps):
    graph = make(mask, n_steps)
    before = outputs(graph)
    graph.settle()
    torch.testing.assert_close(outputs(graph), before)
    graph.settle()
    torch.testing.assert_close(outputs(graph), before)


@settings(deadline=None)
@given(
    mask=masks,
    n_steps=st.integers(1, 4),
    activation=st.sampled_from(["relu", "tanh", "sigmoid"]),
)
def test_sparsified_graph_computes_the_same(mask, n_steps, activation):
    graph = make(mask, n_steps)
    graph.settle()
    before, n_edges = outputs(graph, activation), graph.topology.n_edges
    graph.sparsify(ACTIVATIONS[activation])
    torch.testing.assert_close(outputs(graph, activation), before)
    assert graph.topology.n_edges <= n_edges
    assert graph.is_whole
    assert {0, 1, N - 2, N - 1} <= {*graph.plan.neurons.tolist()}


def test_neurons_are_active_where_they_act_on_outputs():
    # A chain from an input to an output, a neuron that nobody hears, and a loner.
    mask = np.zeros((N, N), bool)
    mask[0, 2] = mask[2, 3] = mask[3, N - 1] = mask[0, 4] = True
    graph = make(mask, n_steps=3)
    graph.biases.data.zero_()
    active = graph.active(ACTIVATIONS["relu"])
    assert np.flatnonzero(active).tolist() == [0, 2, 3, N - 1]
    assert np.array_equal(graph.mask, mask)
    reaching = graph.reaching(mask)
    assert np.flatnonzero(reaching[0]).tolist() == [0]


def test_moved_graph_computes_the_same():
    graph = make(draw(N, N).numpy() > 0)
    graph.settle()
    before = outputs(graph)
    graph.move("cpu:0")
    torch.testing.assert_close(outputs(graph), before)
    assert graph.trained == "all"


# What users see


def test_dead_neurons_are_shown_as_zeros():
    graph = make()
    kept = np.delete(np.arange(N), 4)
    graph.keep(kept, slice(0, N - 1))
    W, b = graph.show(), graph.show_biases()
    assert W.shape == (N, N)
    assert not any([W[4].any(), W[:, 4].any(), b[4]])
    np.testing.assert_array_equal(W[np.ix_(kept, kept)], graph.weights.detach())
    np.testing.assert_array_equal(b[kept], graph.biases.detach())
    assert graph.topology.n_nodes == N
    assert graph.topology.n_edges == (N - 1) ** 2
    assert graph.topology.has_loops


# What pickles hold


@COPIED
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("is_part", [False, True])
def test_copies_are_the_same(copied, density, is_part):
    graph = make(np.random.default_rng(0).random((N, N)) < density)
    graph.positions, graph.log = draw(N, 2), [{"k": 1}]
    if is_part:
        graph.keep(np.delete(np.arange(N), 4), slice(0, N - 1))
    graph.settle()
    other = copied(graph)
    assert is_same(other, graph)
    assert other.log == graph.log
    assert torch.equal(other.positions, graph.positions)
    assert other.plan.neurons.tolist() == graph.plan.neurons.tolist()
    assert other.plan.hidden == graph.plan.hidden
    assert torch.equal(outputs(other), outputs(graph))
    assert other.weights.requires_grad
    assert other.is_whole


@COPIED
def test_copies_share_nothing(copied):
    graph = make()
    other = copied(graph)
    other.keep(np.arange(1, N), slice(0, N - 1))
    other.weights.data += 1
    assert is_same(graph, make())
    assert len(graph.plan.neurons) == N


def test_dense_graph_takes_hardly_more_than_its_weights():
    graph = make(n=200)
    assert len(pickle.dumps(graph)) <= 1.1 * graph.weights.numel() * 8


def test_graph_with_few_edges_takes_a_few_bytes_an_edge():
    graph = sparse_graph()
    n_edges, n = graph.topology.n_edges, graph.n_nodes
    # Beside the edges, there are biases, and who is alive.
    small = 2000 + n * (8 + 8)
    assert len(pickle.dumps(graph)) <= 12 * n_edges + small
    assert is_same(pickle.loads(pickle.dumps(graph)), graph)


def test_sparsified_graph_takes_less():
    graph = sparse_graph()
    size = len(pickle.dumps(graph))
    graph.sparsify(ACTIVATIONS["tanh"])
    assert len(pickle.dumps(graph)) < size
