"""Topology: components, their order, and the stages of evaluation."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sknm.graph import components as module
from sknm.graph.components import PADDING_WASTE
from sknm.graph.plan import block_masks
from sknm.graph.topology import Topology

given_graphs = settings(deadline=None)


@st.composite
def masks(draw, max_nodes=10):
    """Sparse random graphs: chains, loops and loners rather than one giant."""
    n_nodes = draw(st.integers(0, max_nodes))
    mask = np.zeros((n_nodes, n_nodes), dtype=bool)
    if n_nodes:
        node = st.integers(0, n_nodes - 1)
        for i, j in draw(st.lists(st.tuples(node, node), max_size=2 * n_nodes)):
            mask[i, j] = i != j
    return mask


@st.composite
def weights(draw):
    mask = draw(masks())
    n_edges = int(mask.sum())
    W = np.zeros(mask.shape)
    W[mask] = draw(st.lists(st.floats(-1, 1), min_size=n_edges, max_size=n_edges))
    return W


def as_sets(labels):
    """Components as a set of sets of nodes, whatever their numbers."""
    return {frozenset(np.flatnonzero(labels == label)) for label in set(labels)}


def digraph(mask):
    return nx.from_numpy_array(mask.astype(int), create_using=nx.DiGraph)


def nodes_of(stage):
    parts = [stage.acyclic, *(nodes[nodes >= 0] for nodes in stage.blocks)]
    return np.sort(np.concatenate(parts))


def stage_of_node(topology):
    found = np.full(topology.n_nodes, -1)
    for k, stage in enumerate(topology.stages):
        found[nodes_of(stage)] = k
    return found


# Components


@given_graphs
@given(masks())
def test_edges_never_lead_to_a_smaller_strong_label(mask):
    labels = Topology(mask).strong_labels
    source, target = np.nonzero(mask)
    assert (labels[source] <= labels[target]).all()


@given_graphs
@given(masks())
def test_strong_components_are_those_of_networkx(mask):
    expected = nx.strongly_connected_components(digraph(mask))
    topology = Topology(mask)
    assert as_sets(topology.strong_labels) == set(map(frozenset, expected))
    assert topology.n_strong == len(set(topology.strong_labels))


@given_graphs
@given(masks())
def test_weak_components_are_those_of_networkx(mask):
    expected = nx.weakly_connected_components(digraph(mask))
    topology = Topology(mask)
    assert as_sets(topology.weak_labels) == set(map(frozenset, expected))
    assert topology.n_weak == len(set(topology.weak_labels))


@given_graphs
@given(mask=masks(), seed=st.integers(0, 99))
def test_order_of_components_does_not_rely_on_that_of_scipy(mask, seed):
    def renumbered(edges, connection):
        n, labels = connected_components(edges, connection=connection)
        return n, np.random.default_rng(seed).permutation(n)[labels]

    connected_components = module.connected_components
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "connected_components", renumbered)
        labels = Topology(mask).strong_labels
    source, target = np.nonzero(mask)
    assert (labels[source] <= labels[target]).all()
    assert as_sets(labels) == as_sets(Topology(mask).strong_labels)


@given_graphs
@given(masks())
def test_acyclic_is_what_networkx_calls_so(mask):
    assert Topology(mask).is_acyclic == nx.is_directed_acyclic_graph(digraph(mask))


@given_graphs
@given(W=weights(), tau=st.floats(0, 0.9))
def test_modules_never_share_an_edge_above_tau(W, tau):
    labels = Topology.from_weights(W, tau).labels("weak")
    apart = labels[:, None] != labels
    assert (np.abs(W[apart]) <= tau).all()


@given_graphs
@given(W=weights(), tau=st.floats(0, 0.9))
def test_strong_modules_never_reach_each_other_both_ways(W, tau):
    labels = Topology.from_weights(W, tau).labels("strong")
    source, target = np.nonzero(np.abs(W) > tau)
    pairs = set(zip(labels[source], labels[target], strict=True))
    assert not any((b, a) in pairs for a, b in pairs if a != b)


def test_sizes_count_the_nodes_of_each_component():
    topology = Topology.modular([3, 1, 4])
    assert topology.sizes("weak").tolist() == [3, 1, 4]
    assert sorted(topology.sizes("strong")) == [1, 3, 4]
    assert topology.labels("weak").tolist() == [0, 0, 0, 1, 2, 2, 2, 2]


# Stages


@given_graphs
@given(masks())
def test_stages_hold_every_node_once(mask):
    stages = Topology(mask).stages
    nodes = np.concatenate([nodes_of(stage) for stage in stages] or [[]])
    assert sorted(nodes) == list(range(len(mask)))


@given_graphs
@given(masks())
def test_edges_lead_to_later_stages_or_stay_in_their_component(mask):
    topology = Topology(mask)
    stage, labels = stage_of_node(topology), topology.strong_labels
    source, target = np.nonzero(mask)
    inside = labels[source] == labels[target]
    assert (stage[source] == stage[target])[inside].all()
    assert (stage[source] < stage[target])[~inside].all()


@given_graphs
@given(masks())
def test_levels_are_longest_paths_between_components(mask):
    graph = digraph(mask)
    condensed = nx.condensation(graph)
    expected = np.zeros(len(mask), dtype=int)
    for level, components in enumerate(nx.topological_generations(condensed)):
        for component in components:
            expected[list(condensed.nodes[component]["members"])] = level
    topology = Topology(mask)
    np.testing.assert_array_equal(topology.node_levels, expected)
    np.testing.assert_array_equal(stage_of_node(topology), expected)


@given_graphs
@given(masks())
def test_rows_of_blocks_are_the_cyclic_components(mask):
    topology = Topology(mask)
    rows = [row for stage in topology.stages for b in stage.blocks for row in b]
    found = {frozenset(row[row >= 0]) for row in rows}
    components = nx.strongly_connected_components(digraph(mask))
    assert found == {frozenset(c) for c in components if len(c) > 1}
    assert len(found) == len(rows)
    assert found == set(map(frozenset, topology.cyclic_components))


@given_graphs
@given(st.lists(st.integers(2, 12), max_size=6))
def test_components_share_a_batch_as_long_as_padding_is_cheap(sizes):
    blocks = [b for stage in Topology.modular(sizes).stages for b in stage.blocks]
    for block in blocks:
        lengths = (block >= 0).sum(1)
        assert lengths.max() == block.shape[1]
        assert lengths.max() <= PADDING_WASTE * lengths.min()
    assert sorted(size for b in blocks for size in (b >= 0).sum(1)) == sorted(sizes)


@pytest.mark.parametrize("sizes", [[4, 5, 5], [5, 4, 5], [5, 5, 4]])
def test_components_of_4_5_and_5_nodes_share_one_batch(sizes):
    (stage,) = Topology.modular(sizes).stages
    (block,) = stage.blocks
    assert block.shape == (3, 5)
    assert (block < 0).sum() == 1


def test_components_of_3_and_5_nodes_do_not_share_a_batch():
    (stage,) = Topology.modular([3, 5]).stages
    assert sorted(block.shape for block in stage.blocks) == [(1, 3), (1, 5)]


# Edges and masks


@given_graphs
@given(W=weights(), tau=st.floats(0, 0.9))
def test_edges_are_the_weights_above_tau(W, tau):
    topology = Topology.from_weights(W, tau)
    np.testing.assert_array_equal(topology.to_dense(), np.abs(W) > tau)
    assert topology.n_edges == (np.abs(W) > tau).sum()
    assert Topology.from_weights(sparse.csr_array(W), tau) == topology


def test_weight_of_exactly_tau_is_no_edge():
    W = np.array([[0, 0.5, -0.5], [0, 0, 0.75], [-0.75, 0, 0]])
    edges = Topology.from_weights(W, 0.5).to_dense()
    np.testing.assert_array_equal(np.argwhere(edges), [[1, 2], [2, 0]])


@given_graphs
@given(masks())
def test_dense_and_sparse_masks_mean_the_same(mask):
    dense, from_sparse = Topology(mask), Topology(sparse.csr_array(mask))
    assert dense == from_sparse
    np.testing.assert_array_equal(dense.to_dense(), from_sparse.to_dense())
    np.testing.assert_array_equal(dense.strong_labels, from_sparse.strong_labels)


@given_graphs
@given(mask=masks(), as_sparse=st.booleans(), data=st.data())
def test_block_masks_hold_the_edges_inside_each_set(mask, as_sparse, data):
    topology = Topology(sparse.csr_array(mask) if as_sparse else mask)
    order = data.draw(st.permutations(range(len(mask))))
    width = data.draw(st.integers(1, 4))
    sets = [order[k : k + width] for k in range(0, len(order), width)]
    nodes = np.array([s + [-1] * (width - len(s)) for s in sets], dtype=int)
    found = block_masks(topology, nodes.reshape(-1, width))
    assert found.shape == (len(sets), width, width)
    for block, row in zip(found, nodes, strict=True):
        for p, i in enumerate(row):
            for q, j in enumerate(row):
                assert block[p, q] == (i >= 0 and j >= 0 and mask[i, j])


@pytest.mark.parametrize("make_mask", [np.asarray, sparse.csr_array])
def test_block_masks_have_no_edges_of_padding(make_mask):
    topology = Topology(make_mask(~np.eye(5, dtype=bool)))
    found = block_masks(topology, np.array([[0, 1, 2], [3, 4, -1]]))
    expected = np.array([~np.eye(3, dtype=bool)] * 2)
    expected[1, 2] = expected[1, :, 2] = False
    np.testing.assert_array_equal(found, expected)


def test_later_changes_of_the_given_mask_do_not_matter():
    mask = ~np.eye(3, dtype=bool)
    topology = Topology(mask)
    mask[:] = False
    assert topology.to_dense().sum() == topology.n_edges == 6
    assert block_masks(topology, np.array([[0, 1, 2]])).sum() == 6


def test_changes_of_the_dense_mask_do_not_matter():
    topology = Topology(~np.eye(3, dtype=bool))
    topology.to_dense()[:] = False
    assert topology.to_dense().sum() == 6


def test_stored_zeros_are_no_edges():
    mask = sparse.csr_array(([1, 0], ([0, 1], [1, 2])), shape=(3, 3))
    assert Topology(mask).n_edges == 1


# Ready-made graphs


def test_complete_graph_is_one_cyclic_component():
    topology = Topology.complete(5)
    assert (topology.n_edges, topology.density, topology.n_strong) == (20, 1, 1)


def test_modular_graph_has_complete_modules_and_no_edge_between():
    labels = np.array([0, 0, 1, 1, 1])
    mask = (labels[:, None] == labels) & ~np.eye(5, dtype=bool)
    np.testing.assert_array_equal(Topology.modular([2, 3]).to_dense(), mask)


def test_layered_graph_has_one_stage_per_layer():
    topology = Topology.layered([2, 3, 1])
    assert topology.is_acyclic
    assert [nodes_of(stage).tolist() for stage in topology.stages] == [
        [0, 1],
        [2, 3, 4],
        [5],
    ]
    assert topology.n_edges == 2 * 3 + 3 * 1


def test_triangular_graph_has_one_stage_per_node():
    topology = Topology.triangular(4)
    assert topology.n_edges == 6
    assert [nodes_of(stage).tolist() for stage in topology.stages] == [
        [0],
        [1],
        [2],
        [3],
    ]


def test_graph_without_nodes_is_a_graph():
    topology = Topology(np.zeros((0, 0), dtype=bool))
    assert (topology.n_weak, topology.n_strong, topology.density) == (0, 0, 0)
    assert topology.stages == []
    assert topology.is_acyclic


def test_graphs_are_equal_when_their_edges_are():
    assert Topology.modular([4]) == Topology.complete(4)
    assert Topology.complete(3) != Topology.complete(4)
    assert Topology.triangular(4) != Topology.complete(4)
    assert Topology.complete(3) != "complete"


def test_repr_tells_sizes_and_components():
    assert repr(Topology.modular([2, 3])) == (
        "Topology(n_nodes=5, n_edges=8, n_weak=2, n_strong=2)"
    )


def test_mask_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"must be square, got shape \(2, 3\)"):
        Topology(np.zeros((2, 3)))


def test_loop_of_a_node_is_refused():
    with pytest.raises(ValueError, match=r"set the diagonal to zero"):
        Topology(np.eye(3))


def test_loops_are_kept_where_they_are_allowed():
    mask = np.eye(3, dtype=bool)
    mask[0, 1] = True
    with pytest.raises(ValueError, match="diagonal"):
        Topology(mask)
    topology = Topology(mask, loops=True)
    assert topology.has_loops
    assert topology.n_edges == 4
    assert not topology.is_acyclic
    assert topology.n_strong == 3
    assert not Topology(np.triu(mask, 1), loops=True).has_loops
