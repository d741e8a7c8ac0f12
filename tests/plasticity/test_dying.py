"""URN: what dies was of no use, and the rest goes on as before."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknm.encoding.encoder import Identity
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.recursion import Recursion
from sknm.graph.recursion_state import RecursionState
from sknm.graph.trace import Trace
from sknm.plasticity.dying import LEAST_STEPS, DyingRule
from sknm.plasticity.rule import Epoch, Step
from sknm.training.recursive import RecursiveNetwork

N, N_INPUTS, N_OUTPUTS = 9, 2, 2

masks = arrays(bool, (N, N))


def make(mask, n_steps=3, seed=0, activation="relu", **prices):
    """A network over some edges, its rule, and inputs."""
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(N, N, generator=generator, dtype=torch.float64)
    b = torch.randn(N, generator=generator, dtype=torch.float64)
    X = torch.randn(8, N_INPUTS, generator=generator, dtype=torch.float64)
    plan = Recursion.whole(N, N_INPUTS, N_OUTPUTS, n_steps)
    graph = RecursionState(W * torch.as_tensor(mask), b, plan)
    network = RecursiveNetwork(Identity(N_INPUTS), graph, generator)
    network.sigma, network.dropout = ACTIVATIONS[activation], 0.0
    network.alpha_activity = 0.0
    rule = DyingRule(activation=activation, **prices)
    rule.start(graph)
    return network, rule, X


def take_step(network, rule, X):
    """A step that changes nothing but what rules change."""
    trace = Trace()
    network.train()(X, trace)
    step = Step(0.1, activity=trace.activity, n_passes=trace.n_passes)
    rule.step(network.graph, step)


def live_an_epoch(network, rule, X, n_steps=LEAST_STEPS):
    """Some steps, and what comes after the epoch."""
    for _ in range(n_steps):
        take_step(network, rule, X)
    return rule.epoch(network.graph, Epoch(1))


def outputs(network, X):
    with torch.no_grad():
        return network.eval()(X), network.train()(X)


@settings(deadline=None)
@given(mask=masks, n_steps=st.integers(1, 4), seed=st.integers(0, 100))
def test_the_dead_are_not_missed(mask, n_steps, seed):
    network, rule, X = make(mask, n_steps, seed)
    before, _ = outputs(network, X)
    live_an_epoch(network, rule, X)
    for after in outputs(network, X):
        torch.testing.assert_close(after, before)
    rule.end(network.graph)
    torch.testing.assert_close(outputs(network, X)[0], before)
    assert len(network.graph.plan.neurons) == network.graph.n_nodes
    assert {0, 1, N - 2, N - 1} <= {*network.graph.plan.neurons.tolist()}


def test_silent_neurons_die():
    network, rule, X = make(np.ones((N, N), bool))
    network.graph.weights.data[:, 4] = 0
    network.graph.biases.data[4] = -1
    live_an_epoch(network, rule, X)
    assert 4 not in network.graph.plan.neurons


def test_neurons_that_nobody_hears_die():
    mask = np.ones((N, N), bool)
    mask[5] = False
    network, rule, X = make(mask, activation="sigmoid")
    live_an_epoch(network, rule, X)
    assert network.graph.plan.neurons.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]


def test_neurons_that_were_active_once_in_an_epoch_live():
    network, rule, X = make(np.ones((N, N), bool))
    network.graph.weights.data[:, 4] = 0
    network.graph.biases.data[4] = 1
    take_step(network, rule, X)
    network.graph.biases.data[4] = -1
    live_an_epoch(network, rule, X)
    assert 4 in network.graph.plan.neurons


def test_nobody_dies_within_a_few_steps():
    network, rule, X = make(np.zeros((N, N), bool))
    live_an_epoch(network, rule, X, LEAST_STEPS - 1)
    assert network.graph.n_nodes == N
    live_an_epoch(network, rule, X, 1)
    assert network.graph.n_nodes == N_INPUTS + N_OUTPUTS


def test_without_use_between_first_step_and_last_inputs_and_outputs_are_left_out():
    mask = np.ones((N, N), bool)
    mask[:, :N_INPUTS] = False  # nothing enters them, and their biases are negative
    mask[-N_OUTPUTS:] = False
    network, rule, X = make(mask)
    network.graph.biases.data[:N_INPUTS] = -1
    live_an_epoch(network, rule, X)
    hidden = network.graph.plan.hidden
    assert (hidden.start, hidden.stop) == (N_INPUTS, network.graph.n_nodes - N_OUTPUTS)


def test_record_counts_the_active():
    network, rule, X = make(np.ones((N, N), bool))
    first = live_an_epoch(network, rule, X)
    network.graph.weights.data[:, -N_OUTPUTS:] = 0
    network.graph.biases.data[:] = 0
    last = live_an_epoch(network, rule, X)
    assert first.record > last.record == 0
    assert last.summary == "0 active neurons"


def live_with_gradients(network, rule, X, progress, is_last=False):
    """An epoch of some steps, each with gradients, up to a share of the training."""
    for _ in range(LEAST_STEPS):
        trace = Trace()
        network.zero_grad()
        network.train()(X, trace).square().sum().backward()
        step = Step(0.1, activity=trace.activity, n_passes=1, progress=progress)
        rule.step(network.graph, step)
    return rule.epoch(network.graph, Epoch(1, is_last=is_last))


def of_free_neurons(network, X):
    """What the loss changes by as the values of each free neuron are scaled."""
    network.zero_grad()
    network.train()(X, Trace()).square().sum().backward()
    W = network.graph.weights
    return (W * W.grad).sum(1).abs().detach().numpy()[N_INPUTS:-N_OUTPUTS]


@settings(deadline=None)
@given(price=st.floats(0.01, 3), seed=st.integers(0, 100))
def test_those_die_that_matter_least(price, seed):
    network, rule, X = make(np.ones((N, N), bool), 3, seed, "sigmoid")
    rule.alpha_neuron = price
    worth = of_free_neurons(network, X)
    live_with_gradients(network, rule, X, progress=1.0)
    neurons = network.graph.plan.neurons[N_INPUTS:-N_OUTPUTS] - N_INPUTS
    dead = np.setdiff1d(np.arange(len(worth)), neurons)
    share = 1 - np.exp(-price)
    assert len(neurons) > 0
    assert worth[dead].sum() <= share * worth.sum() * (1 + 1e-6)
    assert worth[dead].max(initial=0) <= worth[neurons].min()
    # One more would be too many.
    more = worth[dead].sum() + worth[neurons].min()
    assert more >= share * worth.sum() * (1 - 1e-6)


@pytest.mark.parametrize(
    ("progress", "is_last"), [(None, False), (0.05, False), (1.0, True)]
)
def test_nobody_dies_of_a_price_early_or_at_the_end(progress, is_last):
    network, rule, X = make(np.ones((N, N), bool), activation="sigmoid")
    rule.alpha_neuron = 3.0
    live_with_gradients(network, rule, X, progress, is_last)
    assert network.graph.n_nodes == N


def test_a_price_is_paid_once():
    network, rule, X = make(np.ones((N, N), bool), activation="sigmoid")
    rule.alpha_neuron = 1.0
    live_with_gradients(network, rule, X, 0.65)
    n = network.graph.n_nodes
    assert n < N
    for progress in 0.7, 0.8, 1.0:
        live_with_gradients(network, rule, X, progress)
    assert network.graph.n_nodes == n


def test_survivors_are_those_that_are_left():
    network, rule, X = make(np.ones((N, N), bool))
    network.graph.weights.data[:, 4] = 0
    network.graph.biases.data[4] = -1
    change = live_an_epoch(network, rule, X)
    assert change.survivors.tolist() == network.graph.plan.neurons.tolist()
    assert live_an_epoch(network, rule, X).survivors is None


def test_weights_shrink_by_their_price():
    network, rule, _ = make(np.ones((N, N), bool), alpha_weight=2.0)
    before = network.graph.weights.data.clone()
    rule.step(network.graph, Step(0.1))
    shrunk = before.abs() - network.graph.weights.data.abs()
    torch.testing.assert_close(shrunk, before.abs().clamp_max(0.2))


def test_step_sizes_do_not_follow_the_number_of_the_living():
    network, rule, X = make(np.zeros((N, N), bool))
    before = network.graph.group.step_scale
    live_an_epoch(network, rule, X)
    rule.start(network.graph)
    assert network.graph.group.step_scale == before == 1
    n = 400
    large = RecursionState(
        torch.zeros(n, n), torch.zeros(n), Recursion.whole(n, 2, 2, 3)
    )
    DyingRule().start(large)
    assert large.group.step_scale == pytest.approx(0.5)


def test_going_back_brings_the_dead_back():
    network, rule, X = make(np.zeros((N, N), bool))
    before = network.snapshot()
    live_an_epoch(network, rule, X)
    assert network.graph.n_nodes < N
    assert not network.restore(before)
    assert network.graph.plan is before.graph.plan
    assert network.graph.n_nodes == N
    assert network.graph.is_whole
    assert network.restore(before)


def test_nobody_dies_of_what_was_seen_of_another_graph():
    # As after early stopping: the graph is back, what was observed is of a later one.
    network, rule, X = make(np.zeros((N, N), bool))
    live_an_epoch(network, rule, X, LEAST_STEPS - 1)
    best = network.graph.snapshot()
    rule.end(network.graph)
    settled = network.graph.snapshot()
    network.graph.restore(best)
    take_step(network, rule, X)
    network.graph.restore(settled)
    assert rule.epoch(network.graph, Epoch(2, is_last=True)).survivors is None
    assert network.graph.n_nodes == N
