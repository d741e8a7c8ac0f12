"""The training pass of a graph is one operation: its gradients, against autograd's."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sknm.compute.rows import SparseBatch
from sknm.graph.blocks import ModuleWeights
from sknm.graph.trace import Trace
from sknm.training.equation import SPARSE_CHUNK_ELEMENTS
from sknm.training.network import CHUNK_ELEMENTS

N_FEATURES, N_OUTPUTS, N_ROWS = 3, 2, 7


GRAPHS = ["modules", "complete", "mixed", "layers", "acyclic"]


@pytest.fixture
def make(make_on):
    return make_on


def batch():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=torch.float64)
    return X, torch.randn(N_ROWS, N_OUTPUTS, generator=generator, dtype=torch.float64)


def gradients(network):
    return {k: p.grad.clone() for k, p in network.named_parameters()}


@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_solve_the_equation(make, name):
    network = make(name).eval()
    X, _ = batch()
    show = {k: torch.from_numpy(network.show(k)) for k in SHOWN}
    with torch.no_grad():
        z = network.values(X).value.t()
        outputs = network(X)
    a = X @ show["input_weights"] + show["node_biases"]
    torch.testing.assert_close(z.t(), torch.tanh(z.t() @ show["node_weights"] + a))
    read = z.t() @ show["output_weights"] + show["output_biases"]
    torch.testing.assert_close(outputs, read)


SHOWN = [
    "input_weights",
    "node_weights",
    "node_biases",
    "output_weights",
    "output_biases",
]


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradients_are_those_of_autograd(make, name, activation):
    network = make(name, activation=activation)
    X, weights = batch()
    expected = network.eval()(X)
    (expected * weights).sum().backward()
    of_autograd = gradients(network)
    network.zero_grad()
    found = network.train()(X)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    for k, p in network.named_parameters():
        torch.testing.assert_close(p.grad, of_autograd[k], atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_those_of_finite_differences_with_dropout(make, slopes, name):
    network = make(name, dropout=0.4).train()
    X, weights = batch()

    def loss():
        network.generator.manual_seed(5)
        return (network(X) * weights).sum()

    loss().backward()
    kept = network.output_weights.grad.abs().sum(1) > 0
    assert 0 < kept.sum() < len(kept)
    for p in network.parameters():
        torch.testing.assert_close(p.grad, slopes(loss, p), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradient_of_inputs_is_that_of_finite_differences(make, slopes, name):
    network = make(name).train()
    X, weights = batch()
    X.requires_grad_()

    def loss():
        return (network(X) * weights).sum()

    loss().backward()
    torch.testing.assert_close(X.grad, slopes(loss, X), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradient_of_module_weights_is_that_of_all_pairs_inside(make, name):
    network = make(name).train()
    graph, topology = network.graph, network.graph.topology
    graph.train_on("all", 1.0)
    X, weights = batch()
    (network(X) * weights).sum().backward()
    all_pairs = graph.weights.grad.clone()
    network.zero_grad()
    modules = ModuleWeights(topology.weak_labels, graph.weights.data)
    graph.train_on(modules, 1.0)
    trace = Trace()
    (network(X, trace) * weights).sum().backward()
    assert graph.weights.grad is None
    found = torch.zeros_like(all_pairs)
    for value in modules.values:
        value.copy_(value.grad)
    modules.write(found)
    apart = torch.from_numpy(topology.weak_labels[:, None] != topology.weak_labels)
    torch.testing.assert_close(found, all_pairs.masked_fill(apart, 0))
    flow = trace.flow
    torch.testing.assert_close(flow.gradient(slice(1, 3))[:, 3:], all_pairs[1:3, 3:])


def test_only_weights_of_edges_have_a_gradient_where_they_alone_are_trained(make):
    network = make("mixed").train()
    X, weights = batch()
    (network(X) * weights).sum().backward()
    absent = ~torch.from_numpy(network.graph.topology.to_dense())
    assert not network.graph.weights.grad[absent].any()
    assert network.graph.weights.grad[~absent].all()


@pytest.mark.parametrize("name", ["layers", "modules"])
def test_sparse_rows_are_those_of_dense_ones(make, name):
    network = make(name)
    X, weights = batch()
    X[X.abs() < 0.5] = 0
    (network.train()(X) * weights).sum().backward()
    expected = gradients(network)
    network.zero_grad()
    rows = SparseBatch.of(sparse.csr_array(X.numpy()))
    outputs = network(rows)
    (outputs * weights).sum().backward()
    torch.testing.assert_close(outputs, network(X))
    torch.testing.assert_close(network.eval()(rows), outputs)
    for k, p in network.named_parameters():
        torch.testing.assert_close(p.grad, expected[k])


def test_solves_that_come_to_their_limit_are_told_of(make):
    network = make("complete").train()
    X, _ = batch()
    easy, strained = Trace(), Trace()
    network(X, easy).sum().backward()
    network.training_options = network.training_options.__class__(
        "picard", 1e-12, 1e-12, max_iter=2
    )
    network.memory.iterations.clear()
    network(X, strained).sum().backward()
    assert not easy.is_strained
    assert strained.is_strained


def test_prepared_solves_are_those_of_each_call(make):
    network = make("mixed").eval()
    X, _ = batch()
    with torch.no_grad():
        prepared = network.prepare()
        for part in (X[:3], X[3:]):
            found = network.outputs(part, prepared).value
            np.testing.assert_array_equal(found, network.outputs(part).value)


def test_more_rows_are_predicted_at_a_time_with_sparse_edges(make):
    network = make("acyclic")
    n_nodes = network.graph.n_nodes
    assert network.chunk_rows == CHUNK_ELEMENTS // n_nodes // 64 * 64
    network.sparsify()
    assert network.chunk_rows == SPARSE_CHUNK_ELEMENTS // n_nodes // 64 * 64
