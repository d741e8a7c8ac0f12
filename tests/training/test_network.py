"""The training pass of a graph is one operation: its gradients, against autograd's."""

import pytest
import torch

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.blocks import ModuleWeights
from sknm.graph.plan import Plan
from sknm.graph.problem import SolverOptions
from sknm.graph.topology import Topology
from sknm.training.network import GraphNetwork, Weights

N_FEATURES, N_OUTPUTS, N_ROWS = 3, 2, 7
TIGHT = SolverOptions("auto", 1e-12, 1e-12, max_iter=500)


def modular():
    blocks = [torch.ones(4, 4), torch.ones(3, 3), torch.ones(1, 1)]
    return Topology(torch.block_diag(*blocks).bool().fill_diagonal_(False).numpy())


def cyclic():
    complete = ~torch.eye(6, dtype=torch.bool)
    return Topology(complete.numpy())


def mixed():
    """Two cycles, a path between them, and nodes on none."""
    mask = torch.zeros(7, 7, dtype=torch.bool)
    for i, j in [(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 3), (4, 5), (0, 6)]:
        mask[i, j] = True
    return Topology(mask.numpy())


GRAPHS = {
    "modules": (modular(), None, None),
    "complete": (cyclic(), None, None),
    "mixed": (mixed(), None, None),
    "layers": (Topology.layered([4, 3]), 4, 3),
    "acyclic": (Topology.triangular(6), None, None),
}


def make(name, dropout=0.0, activation="tanh"):
    topology, n_inlets, n_outlets = GRAPHS[name]
    n = topology.n_nodes
    generator = torch.Generator().manual_seed(0)

    def draw_node_weights(generator):
        return 0.6 * torch.randn(n, n, generator=generator) / n**0.5

    weights = Weights.draw(
        draw_node_weights,
        (N_FEATURES, n_inlets or n),
        (n_outlets or n, N_OUTPUTS),
        0.5,
        generator,
    )
    network = GraphNetwork(weights.to(torch.float64), generator)
    network.sigma, network.dropout = ACTIVATIONS[activation], dropout
    network.training_options = network.options = TIGHT
    network.plan = Plan(topology, network.node_weights.data)
    return network


def batch():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=torch.float64)
    return X, torch.randn(N_ROWS, N_OUTPUTS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradients_are_those_of_autograd(name, activation):
    network = make(name, activation=activation)
    network.gradient = "edges"
    X, weights = batch()
    expected = network.eval()(X)
    (expected * weights).sum().backward()
    gradients = {k: p.grad.clone() for k, p in network.named_parameters()}
    network.zero_grad()
    found = network.train()(X)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    for k, p in network.named_parameters():
        torch.testing.assert_close(p.grad, gradients[k], atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_those_of_finite_differences_with_dropout(name):
    network = make(name, dropout=0.4).train()
    network.gradient = "edges"
    X, weights = batch()

    def loss():
        network.generator.manual_seed(5)
        return (network(X) * weights).sum()

    loss().backward()
    kept = network.output_weights.grad.abs().sum(1) > 0
    assert 0 < kept.sum() < len(kept)
    for k, p in network.named_parameters():
        flat, size = p.data.view(-1), 1e-6
        for i in range(len(flat)):
            value, ends = flat[i].item(), []
            for flat[i] in (value + size, value - size):
                ends.append(loss().item())
            flat[i] = value
            slope = (ends[0] - ends[1]) / (2 * size)
            assert p.grad.view(-1)[i].item() == pytest.approx(slope, abs=1e-6), k


@pytest.mark.parametrize("name", GRAPHS)
def test_gradient_of_module_weights_is_that_of_all_pairs_inside(name):
    network = make(name).train()
    topology = GRAPHS[name][0]
    X, weights = batch()
    (network(X) * weights).sum().backward()
    all_pairs = network.node_weights.grad.clone()
    network.zero_grad()
    modules = network.gradient = ModuleWeights(
        topology.weak_labels, network.node_weights.data
    )
    (network(X) * weights).sum().backward()
    assert network.node_weights.grad is None
    found = torch.zeros_like(all_pairs)
    for value in modules.values:
        value.copy_(value.grad)
    modules.write(found)
    apart = torch.from_numpy(topology.weak_labels[:, None] != topology.weak_labels)
    torch.testing.assert_close(found, all_pairs.masked_fill(apart, 0))
    flow = network.memory.flow
    torch.testing.assert_close(flow.gradient(slice(1, 3))[:, 3:], all_pairs[1:3, 3:])
