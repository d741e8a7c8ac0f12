"""Members of an ensemble in one network: each is a network of its own."""

import pytest
import torch
from scipy import sparse

from sknm.compute.rows import SparseBatch
from sknm.graph.trace import Trace
from sknm.training.batches import Batch
from sknm.training.losses import SquaredError
from sknm.training.members import ALIKE, Members, in_turn
from sknm.training.net import mean_loss

N_FEATURES, N_OUTPUTS, N_ROWS, N_MEMBERS = 3, 2, 7, 3
SHOWN = [
    "input_weights",
    "node_biases",
    "output_weights",
    "output_biases",
]


GRAPHS = ["modules", "mixed", "layers", "acyclic"]


@pytest.fixture
def make(make_on):
    def make(name, **options):
        network = make_on(name, n_members=N_MEMBERS, **options)
        with torch.no_grad():  # signs may be anything once they are trained
            network.members.scales.mul_(torch.linspace(0.5, 2, N_MEMBERS)[:, None])
        return network

    return make


def batch():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=torch.float64)
    size = N_ROWS, N_MEMBERS, N_OUTPUTS
    return X, torch.randn(size, generator=generator, dtype=torch.float64)


def test_members_share_the_signs_of_the_first_nodes_only():
    members = Members.draw(50, 40, 60, torch.Generator().manual_seed(0))
    assert members.scales.abs().eq(1).all()
    is_shared = members.scales.eq(1).all(0)
    n_shared = round(ALIKE * 40)
    assert is_shared[:n_shared].all()
    assert not is_shared[n_shared:].any()
    assert len(members) == 50
    assert members.biases.shape == (50, 60)


@pytest.mark.parametrize("name", GRAPHS)
def test_each_member_solves_its_own_equation(make, name):
    network = make(name).eval()
    X, _ = batch()
    W = torch.from_numpy(network.show("node_weights"))
    with torch.no_grad():
        found, outputs = network.values(X), network(X)
    assert found.converged.shape == (N_ROWS,)
    for k in range(N_MEMBERS):
        U, b, V, c = (torch.from_numpy(network.show(name)[k]) for name in SHOWN)
        z = found.value[:, k]
        torch.testing.assert_close(z, torch.tanh(z @ W + X @ U + b))
        torch.testing.assert_close(outputs[:, k], z @ V + c)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_of_finite_differences(make, slopes, name, dropout):
    network = make(name, dropout=dropout).train()
    X, weights = batch()
    X.requires_grad_()

    def loss():
        network.generator.manual_seed(5)
        return (network(X) * weights).sum()

    loss().backward()
    for p in [X, *network.parameters()]:
        torch.testing.assert_close(p.grad, slopes(loss, p), atol=1e-6, rtol=0)


def test_training_passes_take_sparse_rows(make):
    network = make("modules").train()
    X, weights = batch()
    X[X.abs() < 0.7] = 0
    network(X).backward(weights)
    expected = {k: p.grad.clone() for k, p in network.named_parameters()}
    network.zero_grad()
    network(SparseBatch.of(sparse.csr_array(X.numpy()))).backward(weights)
    for k, p in network.named_parameters():
        torch.testing.assert_close(p.grad, expected[k])


@pytest.mark.parametrize("name", GRAPHS)
def test_evidence_is_that_of_the_first_member_alone(make, name):
    network, trace = make(name).train(), Trace()
    X, weights = batch()
    network(X, trace).backward(weights)
    z, W = network.values(X).value[:, 0], torch.from_numpy(network.show("node_weights"))
    flow = trace.flow.first(len(trace.ends.errors))
    torch.testing.assert_close(flow.z, z.detach().t())
    torch.testing.assert_close(trace.ends.errors, weights[:, 0])
    # δ = σ'(u) ∘ (g + δWᵀ), with g what the readout of this member asks for.
    V = torch.from_numpy(network.show("output_weights")[0])
    asked = weights[:, 0] @ V.t() + flow.delta.t() @ W.t()
    torch.testing.assert_close(flow.delta.t(), (1 - z.detach() ** 2) * asked)


def test_loss_of_an_ensemble_is_the_mean_of_those_of_its_members():
    _, outputs = batch()
    y, weights = torch.randn(N_ROWS, N_OUTPUTS).double(), torch.rand(N_ROWS).double()
    whole = mean_loss(SquaredError(), outputs, Batch(outputs, y, weights))
    alone = [SquaredError()(outputs[:, k], y, weights) for k in range(N_MEMBERS)]
    torch.testing.assert_close(whole, torch.stack(alone).mean())


def test_members_in_turn_have_the_weights_of_their_rows():
    _, values = batch()
    found, weights = in_turn(values, torch.arange(N_ROWS))
    torch.testing.assert_close(found.view(values.shape), values)
    assert weights.view(N_ROWS, N_MEMBERS).eq(torch.arange(N_ROWS)[:, None]).all()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_recursions_are_those_of_finite_differences(
    make_recursive, slopes, dropout
):
    network = make_recursive(n_members=N_MEMBERS, price=0.1, dropout=dropout).train()
    X, weights = batch()
    of_rows = torch.arange(1.0, N_ROWS + 1).double()

    def loss():
        network.generator.manual_seed(5)
        trace = Trace()
        outputs = network(X, trace)
        return (outputs * weights).sum() + network.penalty(trace, of_rows)

    loss().backward()
    for p in network.parameters():
        torch.testing.assert_close(p.grad, slopes(loss, p), atol=1e-6, rtol=0)


def test_members_of_a_recursion_are_networks_with_other_inputs(make_recursive):
    network = make_recursive(n_members=N_MEMBERS).eval()
    X, _ = batch()
    W, b = network.graph.weights.detach(), network.graph.biases.detach()
    with torch.no_grad():
        values, outputs = network.values(X).value, network(X)
    for k in range(N_MEMBERS):
        U, _, V, _ = (torch.from_numpy(network.show(name)[k]) for name in SHOWN)
        N = X @ U
        for t in range(network.graph.plan.n_steps):
            torch.testing.assert_close(values[:, k, t], N)
            N, read = torch.tanh(N @ W + b), (N @ W + b) @ V
        torch.testing.assert_close(outputs[:, k], read)
