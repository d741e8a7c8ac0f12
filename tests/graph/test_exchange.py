"""Topologies for other programs, and back."""

import gc
import sys
import weakref

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import sknm
from sknm.graph.topology import Topology

N_NODES = 30


@pytest.fixture(scope="module")
def flowers():
    return load_iris(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def models(flowers):
    X, y = flowers
    kinds = {
        "modules": sknm.NeuralModuleClassifier,
        "freenet": sknm.FreeNetClassifier,
        "layers": sknm.FeedForwardClassifier,
        "numbers": sknm.NeuralModuleRegressor,
    }
    return {
        name: kind(N_NODES, max_iter=2, random_state=0).fit(X, y)
        for name, kind in kinds.items()
    }


@pytest.fixture(scope="module")
def urn(flowers):
    return sknm.URNClassifier(N_NODES, max_iter=30, random_state=0).fit(*flowers)


@pytest.mark.parametrize("loops", [False, True])
def test_a_topology_survives_networkx_and_graphml(tmp_path, loops):
    rng = np.random.default_rng(0)
    mask = rng.random((12, 12)) < 0.2
    np.fill_diagonal(mask, loops)
    topology = Topology(mask, loops=loops)
    assert Topology.from_networkx(topology.to_networkx()) == topology
    topology.to_graphml(tmp_path / "graph.graphml")
    assert Topology.from_graphml(tmp_path / "graph.graphml") == topology


def test_nodes_of_any_name_are_numbered_as_they_come():
    graph = nx.DiGraph([("b", "a"), ("a", "c")])
    mask = Topology.from_networkx(graph).to_dense()
    assert np.argwhere(mask).tolist() == [[0, 1], [1, 2]]


def test_a_graph_without_edges_is_one_as_well():
    graph = nx.DiGraph()
    graph.add_nodes_from(range(3))
    topology = Topology.from_networkx(graph)
    assert (topology.n_nodes, topology.n_edges) == (3, 0)


def test_edges_need_a_direction():
    with pytest.raises(ValueError, match="without direction"):
        Topology.from_networkx(nx.path_graph(3))


def test_without_a_network_edges_have_no_weights():
    topology = Topology.modular([2, 1])
    graph = topology.to_networkx()
    assert list(graph.edges(data=True)) == [(0, 1, {}), (1, 0, {})]
    assert [graph.nodes[k]["module"] for k in graph] == [0, 0, 1]
    assert (topology.to_scipy() != topology.edges).nnz == 0


@pytest.mark.parametrize("name", ["modules", "freenet", "layers", "numbers"])
def test_a_graph_computes_what_the_network_does(models, flowers, name):
    """All of the equation is in it: weights, biases, and which node is which end."""
    model = models[name]
    graph = model.topology_.to_networkx()
    W = nx.to_numpy_array(graph, nodelist=range(N_NODES))
    inputs = [f"input {name}" for name in model.encoding_.get_feature_names_out()]
    outputs = [v for v, kind in graph.nodes(data="kind") if kind == "output"]
    U, V = np.zeros((len(inputs), N_NODES)), np.zeros((N_NODES, len(outputs)))
    for a, b, weight in graph.edges(data="weight"):
        if a in inputs:
            U[inputs.index(a), b] = weight
        elif b in outputs:
            V[a, outputs.index(b)] = weight
    b = np.array([graph.nodes[k]["bias"] for k in range(N_NODES)])
    x, z = model.encode(flowers[0]), model.node_values(flowers[0])
    np.testing.assert_allclose(np.maximum(z @ W + x @ U + b, 0), z, atol=1e-3)
    np.testing.assert_array_equal(V, model.output_weights_)
    np.testing.assert_array_equal(model.topology_.to_scipy().toarray(), W)


def test_modules_features_and_classes_have_their_names(models):
    model = models["modules"]
    graph = model.topology_.to_networkx()
    modules = [graph.nodes[k]["module"] for k in range(N_NODES)]
    assert modules == model.module_labels_.tolist()
    assert graph.nodes["output 1"] == {"kind": "output", "name": "1"}
    features = {f for _, f in graph.nodes(data="feature") if f is not None}
    assert features == set(load_iris(as_frame=True).data.columns)
    assert "output y" in models["numbers"].topology_.to_networkx()
    assert set(model.topology_.to_networkx(ends=False)) == set(range(N_NODES))


def test_graphml_keeps_weights_and_names(models, tmp_path):
    graph = models["modules"].topology_.to_networkx()
    models["modules"].topology_.to_graphml(tmp_path / "graph.graphml")
    read = nx.read_graphml(tmp_path / "graph.graphml", node_type=str)
    assert {str(v): d for v, d in graph.nodes(data=True)} == dict(read.nodes(data=True))
    edges = {(str(a), str(b)): w for a, b, w in graph.edges(data="weight")}
    assert edges == {(a, b): w for a, b, w in read.edges(data="weight")}
    topology = Topology.from_graphml(tmp_path / "graph.graphml")
    assert topology == models["modules"].topology_


def test_neurons_of_a_urn_are_its_inputs_and_outputs(urn):
    graph = urn.topology_.to_networkx()
    W = nx.to_numpy_array(graph, nodelist=range(len(urn.node_biases_)))
    np.testing.assert_array_equal(W, urn.node_weights_)
    kinds = pd.Series(dict(graph.nodes(data="kind"))).value_counts()
    n_inputs = len(urn.encoding_.inputs)
    assert dict(kinds) == {"node": N_NODES, "input": n_inputs, "output": 3}
    assert graph.nodes[len(graph) - 1]["name"] == "2"
    assert Topology.from_networkx(graph) == urn.topology_


def test_an_ensemble_shows_its_first_member(flowers):
    model = sknm.NeuralModuleClassifier(
        N_NODES, n_members=2, max_iter=1, random_state=0
    ).fit(*flowers)
    graph = model.topology_.to_networkx()
    weights = [graph.edges[k, "output 0"]["weight"] for k in range(N_NODES)]
    np.testing.assert_array_equal(weights, model.output_weights_[0, :, 0])


def test_a_topology_from_before_further_training_tells_no_wrong_weights(flowers):
    model = sknm.NeuralModuleClassifier(N_NODES, max_iter=1, random_state=0)
    former = model.fit(*flowers).topology_
    model.set_params(module_size=5).fit(*flowers)
    assert former != model.topology_
    with pytest.raises(ValueError, match="read topology_ again"):
        former.to_networkx()


def test_what_a_topology_knows_of_its_estimator_keeps_no_estimator_alive(flowers):
    model = sknm.NeuralModuleClassifier(N_NODES, max_iter=1, random_state=0)
    topology = model.fit(*flowers).topology_
    assert topology is model.net_.module_.graph.topology
    assert topology.to_scipy().nnz == topology.n_edges
    gc.collect()
    alive = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert alive() is None
    finally:
        gc.enable()
    with pytest.raises(ValueError, match="keep the fitted estimator in a variable"):
        topology.to_networkx()


def test_without_networkx_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match=r"to_networkx needs networkx.*sknm\[plot\]"):
        Topology.complete(3).to_networkx()
