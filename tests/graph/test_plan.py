"""Plan: stages and blocks as tensors, and the way there and back."""

import numpy as np
import pytest
import torch

from sknm.graph.plan import Plan
from sknm.graph.topology import Topology


@pytest.fixture
def W(topology, make_inputs):
    """Weights for all pairs of nodes, whether or not there is an edge."""
    return make_inputs(topology.n_nodes, topology.n_nodes)


def test_blocks_hold_the_weights_of_their_edges(topology, W):
    seen = torch.zeros_like(W)
    for batch in Plan(topology, W).batches:
        batch.write_pairs(batch.weights(W), seen)
    labels = torch.from_numpy(topology.strong_labels)
    inside = labels[:, None] == labels
    assert torch.equal(seen, W * torch.from_numpy(topology.to_dense()) * inside)


def test_order_puts_each_node_in_one_stage(topology, W):
    plan = Plan(topology, W)
    nodes = np.concatenate([np.arange(0), *(stage.nodes for stage in plan.stages)])
    assert sorted(nodes) == list(range(topology.n_nodes))
    place = np.argsort(nodes)
    source, target = topology.edges.nonzero()
    between = topology.strong_labels[source] != topology.strong_labels[target]
    assert (place[source] < place[target])[between].all()


def test_order_can_be_undone(topology, W):
    plan = Plan(topology, W)
    assert torch.equal(plan.restore(plan.arrange(W)), W)
    assert torch.equal(plan.restore_pairs(plan.arrange_pairs(W)), W)


def test_scatter_undoes_gather(topology, W, make_inputs):
    plan = Plan(topology, W)
    x = make_inputs(5, topology.n_nodes)
    ordered, found = plan.arrange(x), torch.full_like(x, 7)
    for stage in plan.stages:
        for batch in stage.batches:
            blocks = batch.gather(ordered[stage.places])
            batch.scatter(blocks, found[stage.places])
    found = plan.restore(found)
    cyclic = np.concatenate([*topology.cyclic_components, []]).astype(int)
    expected = torch.full_like(x, 7)
    expected[cyclic] = x[cyclic]
    assert torch.equal(found, expected)


def test_update_changes_edges_inside_blocks_and_nothing_else(topology, W):
    before = W.clone()
    for batch in Plan(topology, W).batches:
        batch.update_edges(W, torch.full_like(batch.edges, 9.0))
    labels = torch.from_numpy(topology.strong_labels)
    inside = torch.from_numpy(topology.to_dense()) & (labels[:, None] == labels)
    assert torch.equal(W, torch.where(inside, 9.0, before))


def test_padding_enters_a_solve_as_zero(make_inputs):
    topology = Topology.modular([4, 5])
    x = make_inputs(3, 9)
    (batch,) = Plan(topology, x).batches
    padded = batch.gather(x)[0, 4:]
    assert torch.equal(padded, torch.zeros_like(padded))
    assert batch.edges[0, 4:].sum() == batch.edges[0, :, 4:].sum() == 0


def test_stages_span_what_enters_and_leaves_them(topology, W):
    plan = Plan(topology, W)
    nodes = np.concatenate([np.arange(0), *(stage.nodes for stage in plan.stages)])
    mask = topology.to_dense()[np.ix_(nodes, nodes)]
    for stage in plan.stages:
        start, stop = stage.places.start, stage.places.stop
        entering = np.flatnonzero(mask[:start, start:stop].any(1))
        leaving = np.flatnonzero(mask[start:stop, stop:].any(0)) + stop
        for places, found in (entering, stage.sources), (leaving, stage.targets):
            expected = (places[0], places[-1] + 1) if len(places) else (0, 0)
            assert (found.start, found.stop) == expected


@pytest.mark.parametrize(
    ("topology", "depths"),
    [
        (Topology.triangular(70), [32, 32, 6]),
        (Topology.layered([40, 40, 10]), [1, 1, 1]),
        (Topology.layered([20, 10, 20, 10]), [2, 2]),
        (Topology.modular([1] * 50), [1]),
    ],
)
def test_levels_without_cycles_are_joined_to_stages(topology, depths):
    stages = Plan(topology, torch.zeros(1)).stages
    assert [stage.depth for stage in stages] == depths


def test_plan_is_modular_when_no_edge_joins_components(topology, W):
    labels = topology.strong_labels
    source, target = topology.edges.nonzero()
    expected = bool((labels[source] == labels[target]).all())
    assert Plan(topology, W).is_modular == expected


@pytest.mark.parametrize("sizes", [[6], [3, 3], [2, 2, 2]])
def test_equal_modules_in_order_are_taken_apart_without_a_copy(sizes, make_inputs):
    x = make_inputs(4, sum(sizes))
    plan = Plan(Topology.modular(sizes), x)
    assert plan.whole is plan.batches[0]
    assert plan.whole.gather(x).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("sizes", [[4, 5], [3, 3, 1], [2, 6]])
def test_other_graphs_are_not_one_whole_batch(sizes, make_inputs):
    assert Plan(Topology.modular(sizes), make_inputs(3)).whole is None


def test_plan_has_the_floating_type_of_the_weights(topology, W):
    plan = Plan(topology, W.float())
    assert plan.mask.dtype == torch.float32
    assert all(batch.edges.dtype == torch.float32 for batch in plan.batches)
    assert torch.equal(plan.mask.bool(), torch.from_numpy(topology.to_dense()))
