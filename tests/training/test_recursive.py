"""Networks that apply one matrix several times: values, outputs, prices, gradients."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sknm.compute.rows import SparseBatch
from sknm.graph.trace import Trace

N_FEATURES, N_OUTPUTS, N_ROWS = 3, 2, 7
DEPTHS = pytest.mark.parametrize("n_steps", [1, 2, 4])
ENDS = ["input_weights", "node_weights", "node_biases"]
ENDS += ["output_weights", "output_biases"]


def batch(n_columns=N_FEATURES, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_ROWS, n_columns, generator=generator, dtype=torch.float64)


def without_one(network):
    """The network without its sixth neuron."""
    kept = np.delete(np.arange(network.graph.n_nodes), 5)
    network.graph.keep(kept, slice(0, len(kept)))
    return network


@DEPTHS
@pytest.mark.parametrize("is_part", [False, True])
def test_values_are_those_of_the_recursion(make_recursive, n_steps, is_part):
    network = make_recursive(n_steps=n_steps).eval()
    if is_part:
        without_one(network)
    U, W, b, V, c = (torch.from_numpy(network.show(name)) for name in ENDS)
    N = batch() @ U
    found = network.values(batch())
    assert found.value.shape == (N_ROWS, n_steps + 1, len(W))
    assert found.converged.all()
    assert found.n_iter == n_steps
    for t in range(n_steps):
        torch.testing.assert_close(found.value[:, t].detach(), N)
        u = N @ W + b
        N = torch.tanh(u)
    torch.testing.assert_close(found.value[:, -1].detach(), N)
    outputs = network.outputs(batch()).value
    torch.testing.assert_close(outputs, u @ V + c)


def test_ends_say_which_neurons_are_inputs_and_outputs(make_recursive):
    network = make_recursive(n_nodes=4)
    U, V = network.show("input_weights"), network.show("output_weights")
    assert U.shape == (N_FEATURES, 9)
    assert V.shape == (9, N_OUTPUTS)
    assert (U[:, :N_FEATURES] == np.eye(N_FEATURES)).all()
    assert (V[-N_OUTPUTS:] == np.eye(N_OUTPUTS)).all()
    assert U.sum() + V.sum() == N_FEATURES + N_OUTPUTS
    assert not network.show("output_biases").any()
    assert {network.show(name).dtype for name in ENDS} == {np.dtype(float)}


def test_dead_neurons_are_shown_as_zeros(make_recursive):
    network = without_one(make_recursive())
    W = network.show("node_weights")
    assert W.shape == (9, 9)
    assert not W[5].any()
    assert not W[:, 5].any()
    assert network.show("node_biases")[5] == 0
    assert not network.values(batch()).value[:, 1:, 5].any()


@DEPTHS
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_training_computes_what_predictions_do(make_recursive, n_steps, activation):
    network = make_recursive(n_steps=n_steps, activation=activation)
    expected = network.eval()(batch())
    torch.testing.assert_close(network.train()(batch()), expected)
    torch.testing.assert_close(
        network.outputs(batch(), network.prepare()).value, expected
    )


@DEPTHS
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_of_finite_differences(
    make_recursive, slopes, n_steps, dropout
):
    network = make_recursive(n_steps=n_steps, dropout=dropout, price=0.3).train()
    X, weights = batch().requires_grad_(), batch(N_OUTPUTS, seed=2)

    def loss():
        network.generator.manual_seed(5)
        trace = Trace()
        outputs = network(X, trace)
        return (outputs * weights).sum() + network.penalty(trace, None)

    loss().backward()
    graph = network.graph
    for p in (graph.weights, graph.biases, X):
        torch.testing.assert_close(p.grad, slopes(loss, p), atol=1e-6, rtol=0)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_activity_has_its_price(make_recursive, is_weighted):
    network, trace = make_recursive(price=0.5), Trace()
    row_weights = torch.linspace(0, 2, N_ROWS).double() if is_weighted else None
    network.train()(batch(), trace)
    rows = network.values(batch()).value[:, 1:-1].abs().sum((1, 2))
    expected = rows.mean() if row_weights is None else (rows * row_weights).mean()
    torch.testing.assert_close(network.penalty(trace, row_weights), 0.5 * expected)


def test_activity_costs_nothing_without_a_price_or_a_step(make_recursive):
    trace = Trace()
    network = make_recursive(price=0.0)
    network.train()(batch(), trace)
    assert network.penalty(trace, None) is None
    assert make_recursive(price=1.0).penalty(Trace(), None) is None


def test_activity_of_neurons_is_summed_over_passes(make_recursive):
    network, trace = make_recursive(), Trace()
    network.train()
    for _ in range(2):
        network(batch(), trace)
    activity = network.values(batch()).value[:, 1:-1].abs().sum((0, 1))
    torch.testing.assert_close(trace.activity, 2 * activity.detach())
    assert trace.n_passes == 2


def test_dropout_leaves_out_neurons_that_are_read(make_recursive):
    network = make_recursive(n_nodes=20, dropout=0.5).train()
    network(batch()).sum().backward()
    n, read = network.graph.n_nodes, network.graph.weights.grad[:, -N_OUTPUTS:]
    assert 0 < (read[: n - N_OUTPUTS] == 0).all(1).sum() < n - N_OUTPUTS


def test_sparse_rows_are_those_of_dense_ones(make_recursive):
    network = make_recursive()
    X = batch()
    X[X.abs() < 0.5] = 0
    rows = SparseBatch.of(sparse.csr_array(X.numpy()))
    for is_training in (True, False):
        network.train(is_training)
        assert torch.equal(network(rows), network(X))
    assert torch.equal(network.values(rows).value, network.values(X).value)
