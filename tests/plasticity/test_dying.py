"""URN: what dies was of no use, and the rest goes on as before."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.recursion import Recursion
from sknm.plasticity.dying import LEAST_STEPS, DyingNeurons
from sknm.training.recursive import RecursiveNetwork

N, N_INPUTS, N_OUTPUTS = 9, 2, 2

masks = arrays(bool, (N, N))


def make(mask, n_steps=3, seed=0, activation="relu", **prices):
    """A network over some edges, its organiser, and inputs."""
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(N, N, generator=generator, dtype=torch.float64)
    b = torch.randn(N, generator=generator, dtype=torch.float64)
    X = torch.randn(8, N_INPUTS, generator=generator, dtype=torch.float64)
    network = RecursiveNetwork(W * torch.as_tensor(mask), b, generator)
    network.sigma, network.dropout = ACTIVATIONS[activation], 0.0
    network.alpha_activity = 0.0
    plan = Recursion.whole(N, N_INPUTS, N_OUTPUTS, n_steps)
    organiser = DyingNeurons(plan)
    organiser.alpha_weight = prices.get("alpha_weight", 0.0)
    network.plan = organiser.start(network.node_weights.data)
    return network, organiser, X


def live_an_epoch(network, organiser, X, n_steps=LEAST_STEPS):
    """Some steps that change nothing, and what comes after the epoch."""
    network.train()
    for _ in range(n_steps):
        network(X)
        organiser.after_step(network.node_weights.data, 0.1, False)
    network.plan = organiser.after_epoch(network, None, False)
    if organiser.survivors() is not None:
        network.keep(organiser.survivors())


def outputs(network, X):
    with torch.no_grad():
        return network.eval()(X), network.train()(X)


@settings(deadline=None)
@given(mask=masks, n_steps=st.integers(1, 4), seed=st.integers(0, 100))
def test_the_dead_are_not_missed(mask, n_steps, seed):
    network, organiser, X = make(mask, n_steps, seed)
    before, _ = outputs(network, X)
    live_an_epoch(network, organiser, X)
    for after in outputs(network, X):
        torch.testing.assert_close(after, before)
    network.plan = organiser.finish(network.node_weights.data)
    torch.testing.assert_close(outputs(network, X)[0], before)
    assert len(network.plan.neurons) == network.n_nodes
    assert {0, 1, N - 2, N - 1} <= {*network.plan.neurons.tolist()}


def test_silent_neurons_die():
    network, organiser, X = make(np.ones((N, N), bool))
    network.node_weights.data[:, 4] = 0
    network.node_biases.data[4] = -1
    live_an_epoch(network, organiser, X)
    assert 4 not in network.plan.neurons


def test_neurons_that_nobody_hears_die():
    mask = np.ones((N, N), bool)
    mask[5] = False
    network, organiser, X = make(mask, activation="sigmoid")
    live_an_epoch(network, organiser, X)
    assert network.plan.neurons.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]


def test_neurons_that_were_active_once_in_an_epoch_live():
    network, organiser, X = make(np.ones((N, N), bool))
    network.node_weights.data[:, 4] = 0
    network.node_biases.data[4] = 1
    network(X)
    network.node_biases.data[4] = -1
    live_an_epoch(network, organiser, X)
    assert 4 in network.plan.neurons


def test_nobody_dies_within_a_few_steps():
    network, organiser, X = make(np.zeros((N, N), bool))
    live_an_epoch(network, organiser, X, LEAST_STEPS - 1)
    assert network.n_nodes == N
    live_an_epoch(network, organiser, X, 1)
    assert network.n_nodes == N_INPUTS + N_OUTPUTS


def test_without_use_between_first_step_and_last_inputs_and_outputs_are_left_out():
    mask = np.ones((N, N), bool)
    mask[:, :N_INPUTS] = False  # nothing enters them, and their biases are negative
    mask[-N_OUTPUTS:] = False
    network, organiser, X = make(mask)
    network.node_biases.data[:N_INPUTS] = -1
    live_an_epoch(network, organiser, X)
    hidden = network.plan.hidden
    assert (hidden.start, hidden.stop) == (N_INPUTS, network.n_nodes - N_OUTPUTS)


def test_history_counts_the_active():
    network, organiser, X = make(np.ones((N, N), bool))
    live_an_epoch(network, organiser, X)
    network.node_weights.data[:, -N_OUTPUTS:] = 0
    network.node_biases.data[:] = 0
    live_an_epoch(network, organiser, X)
    assert organiser.history[0] > organiser.history[1] == 0
    assert organiser.progress() == "0 active neurons"


def test_weights_shrink_by_their_price():
    network, organiser, _ = make(np.ones((N, N), bool), alpha_weight=2.0)
    before = network.node_weights.data.clone()
    organiser.after_step(network.node_weights.data, 0.1, False)
    shrunk = before.abs() - network.node_weights.data.abs()
    torch.testing.assert_close(shrunk, before.abs().clamp_max(0.2))


def test_step_sizes_do_not_follow_the_number_of_the_living():
    network, organiser, X = make(np.zeros((N, N), bool))
    before = organiser.step_scale()
    live_an_epoch(network, organiser, X)
    assert organiser.step_scale() == before == 1
    plan = Recursion.whole(400, 2, 2, 3)
    assert DyingNeurons(plan).step_scale() == pytest.approx(0.5)


def test_going_back_brings_the_dead_back():
    network, organiser, X = make(np.zeros((N, N), bool))
    plan = network.plan
    parameters = {k: v.clone() for k, v in network.state_dict().items()}
    live_an_epoch(network, organiser, X)
    assert not network.load(parameters)
    organiser.resume(plan)
    assert organiser.plan is plan
    assert network.n_nodes == N == len(network.activity)
    assert network.load(parameters)
