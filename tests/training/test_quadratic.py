"""Networks whose hidden layer is a quadratic programme."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sknm.compute.rows import SparseBatch
from sknm.encoding.encoder import Identity
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.programme import FULL_STEP_NODES, ProgrammeState
from sknm.graph.trace import Trace
from sknm.training.network import FULL_STEP_INPUTS, FULL_STEP_OUTLETS
from sknm.training.quadratic import QuadraticNetwork

N_FEATURES, N_NODES, N_CONSTRAINTS, N_OUTPUTS, N_ROWS = 3, 4, 5, 2, 6


def make(n_features=N_FEATURES, n_nodes=N_NODES, dropout=0.0, activation="tanh"):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64) / 2

    graph = ProgrammeState(
        draw(n_nodes, n_nodes), draw(n_nodes), draw(n_nodes, N_CONSTRAINTS)
    )
    network = QuadraticNetwork(
        Identity(n_features),
        graph,
        draw(n_features, n_nodes),
        draw(n_nodes, N_OUTPUTS),
        generator,
    )
    network.sigma, network.dropout = ACTIVATIONS[activation], dropout
    network.solver = "admm"
    return network


def batch(n_columns=N_FEATURES, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_ROWS, n_columns, generator=generator, dtype=torch.float64)


def test_values_are_the_minimum_within_the_constraints():
    network = make().eval()
    with torch.no_grad():
        found = network.values(batch())
        programme = network.prepare()
        U, b = network.input_weights, network.graph.biases
        a = torch.tanh(batch() @ U + b)
        K = network.graph.constraint_weights
        room = programme.h - found.value @ K
        slope = found.value @ programme.Q - a
    assert found.converged.all()
    assert (room > -1e-7).all()
    # The slope is that of constraints without room, with multipliers of at least 0.
    for r, s in zip(room, slope, strict=True):
        active = K[:, r < 1e-7]
        multipliers = torch.linalg.lstsq(active, -s[:, None]).solution[:, 0]
        torch.testing.assert_close(active @ multipliers, -s, atol=1e-6, rtol=0)
        assert (multipliers > -1e-6).all()
    assert (room < 1e-7).any()


def test_outputs_are_read_from_all_nodes():
    network = make().eval()
    with torch.no_grad():
        network.output_biases += 1
        z, outputs = network.values(batch()).value, network(batch())
    V, c = network.show("output_weights"), network.show("output_biases")
    np.testing.assert_allclose(outputs, z.numpy() @ V + c)


def test_training_computes_what_predictions_do():
    network = make()
    expected = network.eval()(batch())
    torch.testing.assert_close(network.train()(batch()), expected)
    found = network.outputs(batch(), network.prepare())
    torch.testing.assert_close(found.value, expected)
    assert network.penalty(Trace(), None) is None


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_are_those_of_finite_differences(slopes, dropout):
    network = make(dropout=dropout).train()
    X, weights = batch().requires_grad_(), batch(N_OUTPUTS, seed=2)

    def loss():
        network.generator.manual_seed(3)
        return (network(X) * weights).sum()

    loss().backward()
    for p in (*network.parameters(), X):
        torch.testing.assert_close(p.grad, slopes(loss, p), atol=1e-5, rtol=1e-5)


def test_dropout_leaves_out_nodes():
    network = make(n_nodes=12, dropout=0.5).train()
    network(batch()).sum().backward()
    left_out = (network.output_weights.grad == 0).all(1)
    assert 0 < left_out.sum() < 12


@pytest.mark.parametrize("is_training", [True, False])
def test_single_precision_is_made_double(is_training):
    network = make().train(is_training)
    X = batch().float()
    outputs = network(X)
    assert outputs.dtype == torch.float64
    assert torch.equal(outputs, network(X.double()))
    assert network.numpy_dtype == np.float64


@pytest.mark.parametrize("is_training", [True, False])
def test_sparse_rows_are_those_of_dense_ones(is_training):
    network = make().train(is_training)
    X = batch()
    X[X.abs() < 0.5] = 0
    rows = SparseBatch.of(sparse.csr_array(X.numpy()))
    torch.testing.assert_close(network(rows), network(X))


def test_steps_shrink_with_what_leads_to_the_same_place():
    network = make(n_features=64, n_nodes=1600)
    scales = {id(p): g.step_scale for g in network.groups() for p in g.params}
    graph = network.graph
    expected = {
        network.input_weights: (FULL_STEP_INPUTS / 64) ** 0.5,
        graph.constraint_weights: (FULL_STEP_NODES / 1600) ** 0.5,
        network.output_weights: (FULL_STEP_OUTLETS / 1600) ** 0.5,
        graph.weights: 1,
        graph.biases: 1,
        graph.feasible_point: 1,
        graph.constraint_slack: 1,
        network.output_biases: 1,
    }
    assert scales == {id(p): scale for p, scale in expected.items()}
