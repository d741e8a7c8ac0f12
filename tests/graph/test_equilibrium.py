"""The solve of a whole graph: one solution, whatever its structure."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import Prepared, solve
from sknm.graph.plan import Plan
from sknm.graph.solvers import SolverOptions
from sknm.graph.topology import Topology

PROXIMAL = [name for name, sigma in ACTIVATIONS.items() if sigma.proximal]
EXACT = SolverOptions("auto", 1e-12, 1e-12, max_iter=2000)


def whole_numbers(shape, seed=0):
    """Small integers as floats: sums and products of them are exact in any order."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, shape, generator=generator).double()


def node_by_node(a, W, order, activation):
    """Literal substitution: each node when all that enters it is known."""
    z = {}
    for j in order:
        incoming = a[:, j]
        for i in z:
            incoming = incoming + z[i] * W[i, j]
        z[j] = activation(incoming)
    return torch.stack([z[j] for j in range(len(W))], 1)


def renumber(order, a, W, topology):
    """The same graph with nodes in another order."""
    mask = topology.to_dense()[np.ix_(order, order)]
    return a[:, order], W[order][:, order], Topology(mask)


def disjoint(*parts):
    """One graph of several that have nothing to do with each other."""
    return Topology(torch.block_diag(*(torch.tensor(p.to_dense()) for p in parts)))


# One solution


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_solution_fulfils_the_equation(topology, activation, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    solution = solve(a, W, topology, activation, EXACT)
    expected = ACTIVATIONS[activation].value(solution.value @ W + a)
    assert solution.converged.all()
    assert solution.residual <= 1e-11
    torch.testing.assert_close(solution.value, expected, rtol=0, atol=1e-10)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("activation", PROXIMAL)
def test_random_starts_lead_to_the_same_solution(
    cyclic, activation, make_weights, make_inputs
):
    W, a = make_weights(cyclic, margin=0.3), make_inputs(cyclic.n_nodes, 1)
    # A damped iteration of many starts at once, which shares nothing with the solvers.
    z = 10 * make_inputs(cyclic.n_nodes, 20, seed=3)
    for _ in range(1500):
        z = 0.95 * z + 0.05 * ACTIVATIONS[activation].value(z @ W + a)
    found = solve(a, W, cyclic, activation, EXACT).value
    torch.testing.assert_close(z, found.expand_as(z), rtol=0, atol=1e-6)


def test_samples_do_not_influence_each_other(topology, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes, 5)
    together = solve(a, W, topology, "tanh", EXACT).value
    alone = [solve(row[None], W, topology, "tanh", EXACT).value for row in a]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-11)


def test_numbers_of_the_nodes_do_not_matter(topology, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    order = np.random.default_rng(0).permutation(len(W))
    found = solve(*renumber(order, a, W, topology), "tanh", EXACT).value
    expected = solve(a, W, topology, "tanh", EXACT).value[:, order]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_weights_of_missing_edges_do_not_matter(topology, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    missing = torch.from_numpy(~topology.to_dense())
    other = torch.where(missing, 100.0, W)
    assert torch.equal(
        solve(a, other, topology).value,
        solve(a, W, topology).value,
    )


def test_plan_and_topology_are_solved_alike(topology, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    from_plan = solve(a, W, Plan(topology, W)).value
    assert torch.equal(from_plan, solve(a, W, topology).value)


def test_weights_prepared_by_one_solve_serve_the_next(
    topology, make_weights, make_inputs
):
    W = make_weights(topology)
    plan, prepared = Plan(topology, W), Prepared()
    for seed in range(3):
        a = make_inputs(topology.n_nodes, seed=seed)
        found = solve(a, W, plan, prepared=prepared).value
        assert torch.equal(found, solve(a, W, plan).value)
    assert set(prepared.blocks) == {batch.key for batch in plan.batches}


def test_arguments_are_not_changed(topology, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    before = W.clone(), a.clone()
    solve(a, W, topology)
    assert torch.equal(W, before[0])
    assert torch.equal(a, before[1])


def test_single_precision_is_kept(topology, make_weights, make_inputs):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    found = solve(a.float(), W.float(), topology, "tanh").value
    exact = solve(a, W, topology, "tanh", EXACT).value
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-4)


# Structure


@pytest.mark.parametrize("activation", ["relu", "squared_relu"])
def test_triangular_graph_is_substituted_bit_for_bit(activation):
    topology = Topology.triangular(6)
    W, a = whole_numbers((6, 6)), whole_numbers((50, 6), seed=1)
    found = solve(a, W, topology, activation)
    expected = node_by_node(a, W, range(6), ACTIVATIONS[activation].value)
    assert torch.equal(found.value, expected)
    assert (expected > 0).any(0).all()
    assert (found.n_iter, found.residual) == (0, 0)


def test_acyclic_graph_is_substituted_bit_for_bit(acyclic):
    mask = torch.from_numpy(acyclic.to_dense())
    n_nodes = len(mask)
    W, a = whole_numbers((n_nodes, n_nodes)), whole_numbers((50, n_nodes), seed=1)
    order = acyclic.strong_labels.argsort().tolist()
    expected = node_by_node(a, W * mask, order, torch.relu)
    assert torch.equal(solve(a, W, acyclic).value, expected)


def test_adjoint_of_a_triangular_graph_is_substituted_bit_for_bit():
    W, a = whole_numbers((6, 6)), whole_numbers((5, 6), seed=1)
    g = whole_numbers((5, 6), seed=2)
    W.requires_grad_()
    a.requires_grad_()
    z = node_by_node(a, W, range(6), torch.relu)
    expected = torch.autograd.grad(z, (a, W), g)
    found = solve(a, W, Topology.triangular(6)).value
    for ours, theirs in zip(
        torch.autograd.grad(found, (a, W), g), expected, strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_layered_graph_is_a_plain_mlp(activation, make_inputs):
    sizes, sigma = [3, 4, 2], ACTIVATIONS[activation].value
    W, a = make_inputs(9, 9).requires_grad_(), make_inputs(9, 5, seed=2)
    found = solve(a, W, Topology.layered(sizes), activation).value

    inputs, hidden, outputs = a.split(sizes, 1)
    first = sigma(inputs)
    second = sigma(F.linear(first, W[:3, 3:7].t()) + hidden)
    third = sigma(F.linear(second, W[3:7, 7:].t()) + outputs)
    expected = torch.cat([first, second, third], 1)

    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), W), torch.autograd.grad(expected.sum(), W)
    )


def test_layers_dags_and_cycles_side_by_side_are_each_solved_as_alone(
    make_weights, make_inputs
):
    parts = [
        Topology.layered([2, 3, 2]),
        Topology.complete(5),
        Topology.triangular(4),
        Topology.complete(3),
    ]
    sizes = [part.n_nodes for part in parts]
    weights = [make_weights(part) for part in parts]
    a = make_inputs(sum(sizes))
    found = solve(a, torch.block_diag(*weights), disjoint(*parts), "tanh", EXACT).value
    for part, W, entering, z in zip(
        parts, weights, a.split(sizes, 1), found.split(sizes, 1), strict=True
    ):
        alone = solve(entering, W, part, "tanh", EXACT).value
        torch.testing.assert_close(z, alone, rtol=0, atol=1e-11)


def test_cycle_that_feeds_a_layer_that_feeds_a_cycle_is_three_solves(
    make_weights, make_inputs
):
    loop, layer = Topology.complete(3), Topology.layered([4])
    topology = disjoint(loop, layer, loop).to_dense()
    topology[:3, 3:7] = topology[3:7, 7:] = True
    topology = Topology(topology)
    W, a = make_weights(topology), make_inputs(10)
    first = solve(a[:, :3], W[:3, :3], loop, "relu", EXACT).value
    second = torch.relu(first @ W[:3, 3:7] + a[:, 3:7])
    third = solve(second @ W[3:7, 7:] + a[:, 7:], W[7:, 7:], loop, "relu", EXACT).value
    torch.testing.assert_close(
        solve(a, W, topology, "relu", EXACT).value,
        torch.cat([first, second, third], 1),
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_components_of_different_size_in_one_batch_are_solved_as_alone(
    seed, make_weights, make_inputs
):
    sizes = [4, 5, 5]
    order = np.arange(14)
    if seed is not None:
        order = np.random.default_rng(seed).permutation(14)
    modules = Topology.modular(sizes)
    W, a = make_weights(modules), make_inputs(14)
    shuffled = renumber(order, a, W, modules)
    assert [b.shape for b in Plan(shuffled[2], W).batches] == [(3, 5)]
    found = solve(*shuffled, "elu", EXACT).value[:, order.argsort()]
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        alone = solve(a[:, part], W[part, part], Topology.complete(size), "elu", EXACT)
        torch.testing.assert_close(found[:, part], alone.value, rtol=0, atol=1e-11)
        start += size


# Honesty


@pytest.mark.parametrize("growing", [[0, 1], [2, 3, 4, 5], [6, 7, 8]])
def test_solution_of_a_graph_reports_the_worst_of_its_blocks(growing):
    # Values of the growing module at least double in each iteration, but of sample 1.
    W = 0.1 * torch.from_numpy(Topology.modular([2, 4, 3]).to_dense()).double()
    W[1, 6] = 0.1
    W[np.ix_(growing, growing)] *= 20
    a = torch.ones(2, 9, dtype=torch.float64)
    a[1, growing] = -10
    topology = Topology.from_weights(W.numpy())
    assert len(Plan(topology, W).batches) == 3
    solution = solve(a, W, topology, "relu", SolverOptions("picard", max_iter=14))
    error = (solution.value - F.relu(solution.value @ W + a)).abs().max().item()
    assert solution.converged.tolist() == [False, True]
    assert solution.residual == pytest.approx(error)
    assert solution.n_iter == 14


@pytest.mark.parametrize("n_loners", [0, 1])
def test_overflow_is_not_reported_as_a_residual_of_zero(n_loners):
    W = torch.zeros(2 + n_loners, 2 + n_loners)
    W[0, 1] = W[1, 0] = 50
    solution = solve(
        torch.ones(2, len(W)),
        W,
        Topology.from_weights(W.numpy()),
        "relu",
        SolverOptions("picard"),
    )
    assert not solution.converged.any()
    assert not solution.residual <= 1


@pytest.mark.parametrize("name", ["auto", "picard", "anderson", "newton"])
def test_no_samples_have_no_values(name):
    found = solve(
        torch.ones(0, 4),
        torch.zeros(4, 4),
        Topology.complete(4),
        "relu",
        SolverOptions(name),
    )
    assert found.value.shape == (0, 4)
    assert found.converged.shape == (0,)
