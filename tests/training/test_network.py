"""What all networks have in common: groups, snapshots, dropout, pickles, threads."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch

from sknm.encoding.encoder import Identity
from sknm.graph.topology import Topology
from sknm.training.network import CHUNK_ELEMENTS, at_work, rows_of

COPIED = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))]
)


def batch(n_rows=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_rows, 3, generator=generator, dtype=torch.float64)


@pytest.fixture(params=["equation", "recursion"])
def network(request, make_network, make_recursive):
    """A network of either kind."""
    return make_network() if request.param == "equation" else make_recursive()


# Groups


def test_every_parameter_is_in_one_group(network):
    grouped = [p for group in network.groups() for p in group.params]
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in network.parameters()}


def test_no_bias_has_a_ridge(network):
    ridges = {id(p): g.ridge for g in network.groups() for p in g.params}
    for name, p in network.named_parameters():
        assert ridges[id(p)] == (0 if name.endswith("biases") else 1), name


@pytest.mark.parametrize(("n_inputs", "scale"), [(3, 1), (16, 1), (64, 0.5)])
def test_steps_of_input_weights_shrink_with_the_inputs(make_network, n_inputs, scale):
    network = make_network(encoder=Identity(n_inputs))
    network.input_weights.data = torch.zeros(n_inputs, 4)
    scales = {id(p): g.step_scale for g in network.groups() for p in g.params}
    assert scales.pop(id(network.input_weights)) == scale
    assert set(scales.values()) == {1}


@pytest.mark.parametrize(("n_outlets", "scale"), [(3, 1), (400, 1), (1600, 0.5)])
def test_steps_of_output_weights_shrink_with_the_nodes(make_network, n_outlets, scale):
    network = make_network()
    network.output_weights.data = torch.zeros(n_outlets, 2)
    scales = {id(p): g.step_scale for g in network.groups() for p in g.params}
    assert scales[id(network.output_weights)] == scale


def test_steps_of_node_weights_are_for_the_rule_to_say(make_network):
    network = make_network()
    network.graph.train_on("all", 0.25)
    groups = {id(p): g for g in network.groups() for p in g.params}
    assert groups[id(network.graph.weights)].step_scale == 0.25
    assert groups[id(network.graph.weights)].is_variable
    assert groups[id(network.graph.biases)].step_scale == 1


# Snapshots


def test_snapshot_is_restored_bit_for_bit(network, state_of, assert_same):
    before, snapshot = state_of(network), network.snapshot()
    plan, parameters = network.graph.plan, list(network.parameters())
    for p in parameters:
        p.data += 1
    network.graph.adopt(None)
    assert network.restore(snapshot)
    assert_same(state_of(network), before)
    assert network.graph.plan is plan
    assert all(p is q for p, q in zip(parameters, network.parameters(), strict=True))


def test_snapshot_shares_no_memory(network, state_of, assert_same):
    before, snapshot = state_of(network), network.snapshot()
    for _ in range(2):  # nor does what was restored
        for p in network.parameters():
            p.data += 1
        network.restore(snapshot)
        assert_same(state_of(network), before)


def test_each_parameter_has_to_be_finite(network):
    assert network.snapshot().is_finite()
    for p in network.parameters():
        value = p.data.view(-1)[0].item()
        for spoilt in (torch.nan, torch.inf, -torch.inf):
            p.data.view(-1)[0] = spoilt
            assert not network.snapshot().is_finite()
        p.data.view(-1)[0] = value
    assert network.snapshot().is_finite()


def test_moved_network_computes_the_same(network):
    expected = network.eval()(batch())
    network.move("cpu:0")
    assert torch.equal(network(batch()), expected)


# Predictions, and training


def test_networks_predict_unless_they_train(network):
    X = batch()
    expected = network.outputs(X).value
    network.dropout = 0.5
    assert torch.equal(network.eval()(X), expected)
    assert not torch.equal(network.train()(X), expected)


def test_dropout_is_drawn_from_the_generator_for_each_step(network):
    network.dropout = 0.5
    network.train()
    state = network.generator.get_state()
    first, second = network(batch()), network(batch())
    network.generator.set_state(state)
    assert torch.equal(network(batch()), first)
    assert not torch.equal(first, second)


def test_repeated_rows_are_dropped_out_alike(network):
    network.dropout = 0.5
    network.train()
    outputs = network(batch()[[0, 1, 0]])
    torch.testing.assert_close(outputs[0], outputs[2])


def test_dropout_keeps_the_mean(make_network):
    network = make_network(dropout=0.25)
    factors = torch.stack([network._dropout_factors(40) for _ in range(200)])
    assert set(factors.unique().tolist()) == {0, 1 / 0.75}
    assert factors.mean().item() == pytest.approx(1, abs=0.02)
    assert factors.dtype == torch.float64


# What users see


def test_ends_are_zero_where_nothing_leads(make_network):
    network = make_network()
    U, V = network.show("input_weights"), network.show("output_weights")
    assert U.shape == (3, 7)
    assert V.shape == (7, 2)
    assert not U[:, 4:].any()
    assert not V[:4].any()
    np.testing.assert_array_equal(U[:, :4], network.input_weights.detach())
    np.testing.assert_array_equal(V[4:], network.output_weights.detach())


@pytest.mark.parametrize(
    "name", ["input_weights", "node_weights", "node_biases", "output_weights"]
)
def test_what_is_shown_is_a_copy(network, name):
    shown = network.show(name)
    shown[:] = 99
    assert not (network.show(name) == 99).any()


# Pickles


@COPIED
def test_copies_predict_the_same(network, copied):
    network.dropout = 0.5
    expected = network.eval()(batch())
    other = copied(network.train())
    assert not other.training
    assert torch.equal(other(batch()), expected)
    assert other.sigma is network.sigma
    assert other.dropout == 0.5
    assert other.numpy_dtype == network.numpy_dtype


@COPIED
def test_copies_share_nothing(network, copied, state_of, assert_same):
    other, before = copied(network), state_of(network)
    for p in other.parameters():
        p.data += 1
    other.graph.log.append({})
    assert_same(state_of(network), before)
    assert network.graph.log == []
    assert other.memory is not network.memory
    assert all(p.requires_grad for p in other.parameters())


def test_copies_are_on_the_cpu_whatever_the_caller_has_set(network):
    pickled = pickle.dumps(network)
    with torch.device("meta"), torch.inference_mode():
        other = pickle.loads(pickled)
    assert {p.device.type for p in other.parameters()} == {"cpu"}
    assert not any(p.is_inference() for p in other.parameters())


def test_precision_is_that_of_the_parameters(make_network):
    network = make_network()
    assert network.numpy_dtype == np.float64
    network.float()
    assert network.numpy_dtype == np.float32
    assert pickle.loads(pickle.dumps(network)).numpy_dtype == np.float32


# Work


@pytest.mark.parametrize(
    ("n_nodes", "n_rows"),
    [(0, CHUNK_ELEMENTS), (1, CHUNK_ELEMENTS), (100, 2560), (10**9, 128)],
)
def test_rows_at_a_time_are_fewer_with_more_nodes(n_nodes, n_rows):
    assert rows_of(CHUNK_ELEMENTS, n_nodes) == n_rows


def test_recursion_takes_as_many_rows_as_it_has_room_for(make_recursive):
    network = make_recursive(n_nodes=95)
    assert network.chunk_rows == 2560


def test_workers_are_those_of_the_thread_that_is_at_work(network):
    before, elsewhere = network.workers, []
    with at_work(2):
        workers = network.workers
        assert workers is network.workers
        with at_work(1):  # predictions within a fit
            assert network.workers is workers
        thread = threading.Thread(target=lambda: elsewhere.append(network.workers))
        thread.start()
        thread.join()
    assert workers not in (before, *elsewhere, network.workers)


def test_workers_go_home_after_an_error(network):
    with pytest.raises(ValueError, match="no"), at_work(2):
        raise ValueError("no")
    assert network.workers is not network.workers  # new ones each time


def test_sparsified_network_computes_the_same(make_network):
    network = make_network(Topology.triangular(6)).eval()
    with torch.no_grad():
        expected = network(batch())
        network.sparsify()
        torch.testing.assert_close(network(batch()), expected)
    assert not network.graph.weights.detach()[~Topology.triangular(6).to_dense()].any()
