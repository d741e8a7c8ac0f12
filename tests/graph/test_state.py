"""The one owner of a graph: what rules, training, users and pickles ask of it."""

import copy
import pickle

import numpy as np
import pytest
import torch

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.blocks import ModuleWeights
from sknm.graph.equilibrium import solve
from sknm.graph.plan import Plan
from sknm.graph.problem import SolverOptions
from sknm.graph.state import EquationState, GraphState
from sknm.graph.topology import Topology

TIGHT = SolverOptions("auto", 1e-12, 1e-12, max_iter=500)
RELU = ACTIVATIONS["relu"]
COPIED = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))],
    ids=["deepcopy", "pickle"],
)


def draw(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=dtype)


def weights_of(n, dtype=torch.float64):
    return (0.5 * draw(n, n, dtype=dtype) / n**0.5).fill_diagonal_(0)


def make(topology, dtype=torch.float64):
    """A graph whose absent edges have weights, too."""
    n = topology.n_nodes
    graph = EquationState(weights_of(n, dtype), draw(n, dtype=dtype), topology)
    graph.log.append({"pruned": 3})
    graph.positions = draw(n, 2, dtype=torch.float32)
    return graph


def is_same(found, expected):
    """Whether two graphs have the same tensors, log and positions, bit for bit."""
    tensors = dict(found.named_parameters())
    return (
        all(torch.equal(tensors[k], p) for k, p in expected.named_parameters())
        and found.log == expected.log
        and torch.equal(found.positions, expected.positions)
    )


def values(graph):
    a = draw(3, graph.n_nodes)
    with torch.no_grad():
        return solve(a, graph.weights, graph.plan, RELU, TIGHT).value


# What rules do


def test_graph_may_start_without_edges():
    graph = EquationState(weights_of(4), draw(4))
    assert graph.plan is None
    graph.rewire(Topology.triangular(4))
    assert graph.topology == Topology.triangular(4)


def test_rewired_graph_computes_with_other_edges(topology):
    graph = make(topology)
    n = topology.n_nodes
    W = weights_of(n)
    nothing = Topology(np.zeros((n, n), bool))
    graph.rewire(nothing)
    assert graph.topology is nothing
    torch.testing.assert_close(values(graph), draw(3, n).relu())
    graph.rewire(topology, is_sparse=True)
    assert graph.plan.is_sparse
    z = values(graph)
    W_edges = W * torch.from_numpy(topology.to_dense())
    torch.testing.assert_close(z, (z @ W_edges + draw(3, n)).relu())
    assert torch.equal(graph.weights, W)  # nor are weights changed


def test_adopted_plan_is_that_one():
    graph = make(Topology.triangular(5))
    plan = Plan(Topology.layered([2, 3]), graph.weights)
    graph.adopt(plan)
    assert graph.plan is plan
    assert graph.topology is plan.topology
    assert graph.is_whole


def test_group_of_the_weights_is_that_of_the_rule():
    graph = make(Topology.triangular(3))
    held = torch.eye(3, dtype=torch.bool)
    graph.train_on("edges", 0.25, held)
    weights, biases = graph.groups()
    assert weights is graph.group
    assert weights.params == [graph.weights]
    assert (weights.step_scale, weights.held) == (0.25, held)
    assert weights.is_variable
    assert biases.params == [graph.biases]
    assert (biases.step_scale, biases.ridge) == (1, 0)
    graph.train_on("all", 1.0)
    assert weights.held is None
    assert graph.trained == "all"


# What training does


def test_graph_comes_back_bit_for_bit(topology):
    graph = make(topology)
    expected, plan = copy.deepcopy(graph), graph.plan
    snapshot = graph.snapshot()
    for _ in range(2):  # a snapshot can be used again
        for p in graph.parameters():
            p.data += 1
        graph.rewire(Topology.triangular(topology.n_nodes))
        graph.log.append({})
        graph.positions += 1
        assert graph.restore(snapshot)
        assert is_same(graph, expected)
        assert graph.plan is plan


def test_graph_that_was_nowhere_is_nowhere_again():
    graph = make(Topology.triangular(3))
    graph.positions = None
    snapshot = graph.snapshot()
    graph.positions = draw(3, 2)
    graph.restore(snapshot)
    assert graph.positions is None


def test_log_keeps_its_place():
    # Others may hold on to the list.
    graph = make(Topology.triangular(3))
    log, snapshot = graph.log, graph.snapshot()
    log.append({"pruned": 4})
    graph.restore(snapshot)
    assert graph.log is log
    assert log == [{"pruned": 3}]


def test_weights_of_another_size_come_back_without_a_gradient():
    graph = make(Topology.triangular(4))
    snapshot, before = graph.snapshot(), copy.deepcopy(graph)
    graph.weights.grad = torch.ones_like(graph.weights)
    weights = graph.weights
    for p in graph.parameters():
        p.data = p.data[:3].clone()
    assert not graph.restore(snapshot)
    assert is_same(graph, before)
    assert graph.weights is weights
    assert graph.weights.grad is None
    assert graph.restore(snapshot)


def test_weights_inside_modules_come_back_too():
    graph = make(Topology.modular([3, 3]))
    modules = ModuleWeights(graph.topology.weak_labels, graph.weights.detach())
    graph.train_on(modules, 1.0)
    snapshot, before = graph.snapshot(), [v.clone() for v in modules.values]
    graph.weights.data += 1
    for value in modules.values:
        value += 2
    graph.restore(snapshot)
    for value, expected in zip(modules.values, before, strict=True):
        assert torch.equal(value, expected)


def test_moved_graph_trains_all_weights_and_has_a_plan_of_its_own():
    graph = make(Topology.triangular(4))
    graph.train_on("edges", 0.5)
    plan, expected = graph.plan, values(graph)
    graph.move("cpu:0")
    assert graph.trained == "all"
    assert graph.group.step_scale == 0.5
    assert graph.plan is not plan
    assert graph.topology is plan.topology
    assert torch.equal(values(graph), expected)


def test_graph_without_edges_can_be_moved():
    graph = EquationState(weights_of(3), draw(3))
    graph.move("cpu:0")
    assert graph.plan is None


def test_sparsified_graph_computes_the_same(topology):
    graph = make(topology)
    before = values(graph)
    graph.sparsify(RELU)
    torch.testing.assert_close(values(graph), before)
    absent = ~topology.to_dense()
    assert not graph.weights.detach().numpy()[absent].any()
    assert graph.plan.is_sparse
    assert graph.topology == topology


# What users see


def test_weights_are_shown_where_edges_are(topology):
    graph = make(topology)
    shown, mask = graph.show(), topology.to_dense()
    np.testing.assert_array_equal(shown, np.where(mask, graph.weights.detach(), 0))
    assert shown.dtype == np.float64
    shown[:] = 7
    assert not (graph.weights.detach() == 7).any()


def test_biases_are_shown_as_a_copy():
    graph = make(Topology.triangular(3))
    graph.show_biases()[:] = 7
    np.testing.assert_array_equal(graph.show_biases(), draw(3))


# What pickles hold


@COPIED
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("is_masked", [False, True])
def test_copies_are_the_same(topology, copied, dtype, is_masked):
    graph = make(topology, dtype)
    if is_masked:
        graph.weights.data *= graph.plan.mask
    other = copied(graph)
    assert is_same(other, graph)
    assert other.topology == topology
    assert other.plan.is_sparse == graph.plan.is_sparse
    assert other.weights.dtype == dtype
    assert other.weights.requires_grad
    assert other.group.params == [other.weights]


@COPIED
def test_copies_of_sparsified_graphs_are_the_same(topology, copied):
    graph = make(topology)
    graph.sparsify(RELU)
    other = copied(graph)
    assert is_same(other, graph)
    assert other.plan.is_sparse
    assert torch.equal(values(other), values(graph))


@COPIED
def test_copies_share_nothing(copied):
    graph = make(Topology.triangular(4))
    expected, other = make(Topology.triangular(4)), copied(graph)
    for p in other.parameters():
        p.data += 1
    other.positions += 1
    other.log[0]["pruned"] = 99
    other.train_on("edges", 0.1)
    assert is_same(graph, expected)
    assert graph.group.step_scale == 1
    assert other.plan is not graph.plan


@COPIED
def test_graph_that_a_rule_has_yet_to_find_can_be_copied(copied):
    graph = GraphState(weights_of(3), draw(3))
    other = copied(graph)
    assert torch.equal(other.weights, graph.weights)
    assert other.positions is None
    assert other.plan is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dense_graph_takes_hardly_more_than_its_weights(dtype):
    n = 200
    graph = make(Topology(~np.eye(n, dtype=bool)), dtype)
    dense = n * n * graph.weights.element_size()
    assert len(pickle.dumps(graph)) <= 1.1 * dense
    graph.sparsify(RELU)
    assert len(pickle.dumps(graph)) <= 1.1 * dense


def test_weights_of_absent_edges_are_kept_as_long_as_they_are_there():
    n = 200
    graph = make(Topology.layered([n // 2, n // 2]), torch.float32)
    assert len(pickle.dumps(graph)) > 4 * n * n
    assert is_same(pickle.loads(pickle.dumps(graph)), graph)


@pytest.mark.parametrize("n_edges", [1_000, 20_000])
def test_sparsified_graph_takes_a_few_bytes_an_edge(n_edges):
    n, rng = 600, np.random.default_rng(0)
    mask = np.zeros(n * n, bool)
    mask[rng.choice(n * n, n_edges, replace=False)] = True
    topology = Topology(np.triu(mask.reshape(n, n), 1))
    graph = make(topology, torch.float32)
    graph.sparsify(RELU)
    # Beside the edges, there are biases, positions and where rows end.
    small = 1500 + n * (4 + 8 + 4)
    assert len(pickle.dumps(graph)) <= 12 * topology.n_edges + small
