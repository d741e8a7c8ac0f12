"""The guarantee: what it keeps, and what it leaves alone."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sknm.graph.equilibrium import solve
from sknm.graph.plan import Plan
from sknm.graph.solvers import SolverOptions
from sknm.graph.stability import excess, guard, settle
from sknm.graph.topology import Topology

CONDITIONS = ["monotone", "contraction"]


def draw(n_nodes, *, seed=0, scale=2.0, density=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn((n_nodes, n_nodes), generator=generator, dtype=torch.float64)
    kept = torch.rand((n_nodes, n_nodes), generator=generator) < density
    return (scale * W * kept).fill_diagonal_(0).to(dtype)


def cyclic_blocks(W, tau):
    """Blocks of the graph above tau, found without the package."""
    kept = np.where(np.abs(W.double().numpy()) > tau, W.double().numpy(), 0)
    graph = nx.from_numpy_array((kept != 0).astype(int), create_using=nx.DiGraph)
    for nodes in map(list, nx.strongly_connected_components(graph)):
        if len(nodes) > 1:
            yield kept[np.ix_(nodes, nodes)]


def size_of(block, stability):
    if stability == "contraction":
        return np.linalg.norm(block, 2)
    return np.linalg.eigvalsh((block + block.T) / 2).max()


def largest(W, tau, stability):
    return max((size_of(b, stability) for b in cyclic_blocks(W, tau)), default=-np.inf)


# What settling promises


@pytest.mark.parametrize("stability", CONDITIONS)
@settings(deadline=None)
@given(
    n_nodes=st.integers(2, 10),
    seed=st.integers(0, 10**6),
    density=st.floats(0.1, 1),
    tau=st.floats(0, 1),
    margin=st.floats(0.01, 0.9),
)
def test_settled_blocks_keep_the_condition(
    stability, n_nodes, seed, density, tau, margin
):
    W = draw(n_nodes, seed=seed, density=density)
    topology, plan = settle(W, tau, stability, margin)
    assert plan.topology is topology
    assert topology == Topology.from_weights(W.numpy(), tau)
    assert largest(W, tau, stability) <= 1 - margin + 1e-5


@pytest.mark.parametrize("stability", CONDITIONS)
@pytest.mark.parametrize("seed", range(5))
def test_settled_blocks_keep_the_condition_in_single_precision(stability, seed):
    W = draw(30, seed=seed, density=0.5, dtype=torch.float32)
    topology, _ = settle(W, 0.1, stability, 0.05)
    assert topology == Topology.from_weights(W.numpy(), 0.1)
    assert largest(W, 0.1, stability) <= 0.95 + 2e-4


@pytest.mark.parametrize("stability", CONDITIONS)
def test_settling_twice_changes_nothing(stability):
    W = draw(8)
    first, _ = settle(W, 0.3, stability, 0.1)
    settled = W.clone()
    second, _ = settle(W, 0.3, stability, 0.1)
    assert first == second
    assert torch.equal(W, settled)


@pytest.mark.parametrize("stability", CONDITIONS)
def test_edges_that_clipping_pushes_below_tau_leave_the_topology(stability):
    # All weights shrink to at most a third: none of them stays above tau.
    W = torch.full((4, 4), 0.9, dtype=torch.float64).fill_diagonal_(0)
    topology, _ = settle(W, 0.5, stability, 0.1)
    assert topology.n_edges < 12
    assert topology == Topology.from_weights(W.numpy(), 0.5)
    assert largest(W, 0.5, stability) <= 0.9 + 1e-6


def test_without_a_condition_weights_stay():
    W = draw(6)
    before = W.clone()
    topology, _ = settle(W, 0.5, None, 0.1)
    assert torch.equal(W, before)
    assert topology == Topology.from_weights(W.numpy(), 0.5)


@pytest.mark.parametrize("stability", CONDITIONS)
def test_graph_with_two_solutions_gets_one(stability):
    # Two nodes that keep each other up, or down.
    W = torch.tensor([[0.0, 3], [3, 0]], dtype=torch.float64)
    starts = torch.tensor([[2.0, 2], [-2, -2]], dtype=torch.float64)

    def ends():
        z = starts
        for _ in range(500):
            z = torch.tanh(z @ W)
        return z

    assert (ends()[0] - ends()[1]).abs().max() > 1
    topology, _ = settle(W, 0.0, stability, 0.05)
    assert topology.n_edges == 2
    assert (ends()[0] - ends()[1]).abs().max() < 1e-8


@pytest.mark.parametrize("name", ["auto", "newton"])
@pytest.mark.parametrize("seed", range(3))
def test_settled_graph_is_solved_for_any_input(name, seed):
    W = draw(10, seed=seed)
    topology, _ = settle(W, 0.0, "monotone", 0.1)
    a = 10 * torch.randn(
        200, 10, generator=torch.Generator().manual_seed(0), dtype=W.dtype
    )
    found = solve(a, W, topology, "relu", SolverOptions(name, max_iter=1000))
    assert found.converged.all()


# What the guard touches


@pytest.mark.parametrize("stability", CONDITIONS)
def test_edges_between_components_are_free(stability, make_inputs):
    mask = Topology.modular([3, 3]).to_dense()
    mask[:3, 3:] = True
    topology = Topology(mask)
    W = 10 * make_inputs(6, 6).fill_diagonal_(0)
    before = W.clone()
    assert guard(W, Plan(topology, W), stability, 0.1)
    assert torch.equal(W[:3, 3:], before[:3, 3:])
    assert torch.equal(W[3:, :3], before[3:, :3])
    assert not torch.equal(W[:3, :3], before[:3, :3])
    assert not torch.equal(W[3:, 3:], before[3:, 3:])


@pytest.mark.parametrize("stability", CONDITIONS)
def test_acyclic_graphs_are_free(acyclic, stability, make_inputs):
    W = 10 * make_inputs(acyclic.n_nodes, acyclic.n_nodes)
    before = W.clone()
    assert not guard(W, Plan(acyclic, W), stability, 0.1)
    assert torch.equal(W, before)


@pytest.mark.parametrize("stability", CONDITIONS)
def test_weights_of_missing_edges_stay(cyclic, stability, make_inputs):
    W = 10 * make_inputs(cyclic.n_nodes, cyclic.n_nodes)
    before = W.clone()
    assert guard(W, Plan(cyclic, W), stability, 0.1)
    missing = torch.from_numpy(~cyclic.to_dense())
    assert torch.equal(W[missing], before[missing])


@pytest.mark.parametrize("stability", CONDITIONS)
def test_blocks_that_keep_the_condition_stay(stability):
    topology = Topology.modular([3, 3])
    W = draw(6, scale=0.01)
    W[3:, 3:] *= 1000
    before = W.clone()
    assert guard(W, Plan(topology, W), stability, 0.1)
    assert torch.equal(W[:3, :3], before[:3, :3])
    assert not torch.equal(W[3:, 3:], before[3:, 3:])


@pytest.mark.parametrize(
    ("stability", "expected"), [("monotone", 3 - 2.1 / 2), ("contraction", 0.9)]
)
def test_guard_clips_to_the_bound(stability, expected):
    # The symmetric part loses 2.1 times the projection on (1, 1), all of whose entries
    # are a half; those on the diagonal have no edge to act on.
    W = torch.tensor([[0.0, 3], [3, 0]], dtype=torch.float64)
    assert guard(W, Plan(Topology.complete(2), W), stability, 0.1)
    torch.testing.assert_close(
        W, torch.tensor([[0, expected], [expected, 0]], dtype=W.dtype)
    )


def test_guard_tells_when_there_was_nothing_to_do(cyclic, make_weights):
    W = make_weights(cyclic)
    before = W.clone()
    assert not guard(W, Plan(cyclic, W), "monotone", 0.1)
    assert torch.equal(W, before)


def test_rotations_are_monotone_but_no_contraction():
    W = torch.tensor([[0.0, 5], [-5, 0]], dtype=torch.float64)
    plan = Plan(Topology.complete(2), W)
    assert not guard(W, plan, "monotone", 0.1)
    assert guard(W, plan, "contraction", 0.1)


# What it measures


def test_excess_is_the_top_eigenvalue_or_singular_value():
    blocks = torch.tensor([[[0.0, 3], [3, 0]], [[0, 3], [-3, 0]], [[0, 3], [0, 0]]])
    assert excess(blocks, "monotone").tolist() == pytest.approx([3, 0, 1.5])
    assert excess(blocks, "contraction").tolist() == pytest.approx([3, 3, 3])


# When linear algebra fails


@pytest.mark.parametrize("stability", CONDITIONS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_that_are_not_finite_do_not_raise(stability, bad, dtype):
    W = draw(5, dtype=dtype)
    W[0, 1] = bad
    guard(W.clone(), Plan(Topology.complete(5), W), stability, 0.1)
    topology, _ = settle(W, 0.1, stability, 0.1)
    assert topology.n_nodes == 5


@pytest.mark.parametrize("stability", CONDITIONS)
@pytest.mark.parametrize("n_nodes", [3, 50, 200])
def test_very_sparse_blocks_are_settled(stability, n_nodes):
    # A ring: repeated eigenvalues, on which single precision fails.
    W = torch.zeros(n_nodes, n_nodes)
    ring = torch.arange(n_nodes)
    W[ring, ring.roll(-1)] = 3
    settle(W, 0.1, stability, 0.05)
    assert W[0, 1] > 0.5
    assert largest(W, 0.1, stability) <= 0.95 + 2e-4


@pytest.mark.parametrize("stability", CONDITIONS)
def test_failing_decompositions_are_replaced_by_a_bound(stability, monkeypatch):
    def fail(*args, **kwargs):
        raise torch.linalg.LinAlgError("did not converge")

    W = draw(6)
    with monkeypatch.context() as patch:
        for name in ("eigh", "eigvalsh", "svd", "matrix_norm"):
            patch.setattr(torch.linalg, name, fail)
        settle(W, 0.0, stability, 0.1)
    assert W.abs().max() > 0.01
    assert largest(W, 0.0, stability) <= 0.9 + 1e-6
