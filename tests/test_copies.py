"""Copies of every estimator, with every activation, by every way there is."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

import sknm
from sknm.graph.activations import ACTIVATIONS

skops_io = pytest.importorskip("skops.io")


def make(estimator, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 2, "random_state": 0}
    return estimator(**defaults | parameters)


def through_skops(model):
    data = skops_io.dumps(model)
    return skops_io.loads(data, trusted=skops_io.get_untrusted_types(data=data))


WAYS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "skops": through_skops,
}
BY_EACH_WAY = pytest.mark.parametrize("way", WAYS)


@BY_EACH_WAY
@pytest.mark.sweep(3)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_copy_predicts_the_same(overlapping, answers, every_estimator, activation, way):
    X, y = overlapping
    try:
        model = make(every_estimator, activation=activation).fit(X, y)
    except ValueError:
        pytest.skip(f"{activation} is not for this estimator")
    twin = WAYS[way](model)
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))
    np.testing.assert_array_equal(twin.node_values(X), model.node_values(X))


@BY_EACH_WAY
@pytest.mark.sweep(6)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_copy_is_trained_on_like_the_original(
    overlapping, answers, every_estimator, optimizer, way
):
    X, y = overlapping
    rate = {"adamw": 0.02, "sgd": 0.1, "lbfgs": 1.0}[optimizer]
    model = make(
        every_estimator,
        optimizer=optimizer,
        learning_rate_init=rate,
        warm_start=True,
        batch_size=40,
    )
    model.fit(X, y)
    twin = WAYS[way](model)
    model.fit(X, y), twin.fit(X, y)
    assert twin.loss_curve_ == model.loss_curve_
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))


@pytest.mark.sweep(3)
@BY_EACH_WAY
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_copy_made_between_parts_has_the_momentum(
    overlapping, answers, every_estimator, optimizer, way
):
    X, y = overlapping
    told = {"classes": [0, 1]} if hasattr(every_estimator, "predict_proba") else {}
    model = make(every_estimator, optimizer=optimizer, batch_size=40)
    for _ in range(2):
        model.partial_fit(X, y, **told)
    twin = WAYS[way](model)
    for _ in range(2):
        model.partial_fit(X, y), twin.partial_fit(X, y)
    assert twin.loss_curve_ == model.loss_curve_
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))


@BY_EACH_WAY
def test_copy_of_a_network_that_has_modules_goes_on(overlapping, answers, way):
    X, y = overlapping
    model = make(sknm.NeuralModuleClassifier, n_nodes=24, module_size=6)
    model.set_params(warm_start=True, batch_size=40, max_iter=6).fit(X, y)
    assert model.n_modules_ > 1
    twin = WAYS[way](model)
    assert twin.topology_ is twin.net_.module_.graph.topology
    model.fit(X, y), twin.fit(X, y)
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))


@pytest.mark.sweep(3)
@BY_EACH_WAY
def test_copy_made_where_nothing_is_trained_can_be_trained(
    overlapping, every_estimator, way
):
    X, y = overlapping
    model = make(every_estimator, warm_start=True).fit(X, y)
    with torch.inference_mode():
        twin = WAYS[way](model)
    assert twin.fit(X, y).loss_curve_ == model.fit(X, y).loss_curve_


def bytes_beside_node_weights(model):
    """What the other parameters of the network take: those at its ends, and biases."""
    parameters = model.net_.module_.named_parameters()
    return sum(p.nbytes for name, p in parameters if name != "graph.weights")


@pytest.mark.filterwarnings("ignore:No edge")
def test_pickles_hold_weights_once_and_little_else(overlapping, every_estimator):
    X, y = overlapping
    model = every_estimator(max_iter=2, random_state=0).fit(X, y)
    needed = bytes_beside_node_weights(model) + model.node_weights_.nbytes
    assert len(pickle.dumps(model)) <= 1.2 * needed


@pytest.mark.filterwarnings("ignore:No edge")
def test_pickles_of_sparse_models_hold_edges_and_little_else(
    overlapping, every_estimator
):
    X, y = overlapping
    model = every_estimator(max_iter=2, random_state=0).fit(X, y).sparsify()
    needed = bytes_beside_node_weights(model) + model.node_weights_.nbytes
    if hasattr(model, "topology_"):
        n_edges, n_nodes = model.topology_.n_edges, model.topology_.n_nodes
        of_edges = n_edges * (model.node_weights_.itemsize + 4) + 4 * (n_nodes + 1)
        needed = bytes_beside_node_weights(model) + of_edges
    assert len(pickle.dumps(model)) <= 1.2 * needed


@BY_EACH_WAY
def test_copy_of_a_urn_has_seen_who_was_silent(overlapping, answers, way):
    X, y = overlapping[0][:20], overlapping[1][:20]
    model = sknm.URNClassifier(30, init="random", alpha_weight=3.0, random_state=0)
    for _ in range(7):
        model.partial_fit(X, y, classes=np.unique(overlapping[1]))
    n_before = model.net_.module_.graph.n_nodes
    twin = WAYS[way](model)
    for _ in range(4):
        model.partial_fit(X, y), twin.partial_fit(X, y)
    assert model.net_.module_.graph.n_nodes < n_before
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))


@BY_EACH_WAY
@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", "gamma"])
def test_copies_with_other_losses_go_on_alike(overlapping, way, loss):
    X, _ = overlapping
    y = np.exp(X[:, 0])
    model = sknm.FeedForwardRegressor(10, loss=loss, max_iter=3, random_state=0)
    model.fit(X, y)
    twin = WAYS[way](model)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    for each in (model, twin):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))


@BY_EACH_WAY
@pytest.mark.parametrize("is_sparse", [False, True])
def test_copies_with_several_labels_go_on_alike(overlapping, way, is_sparse):
    X, _ = overlapping
    Y = (X[:, :3] > 0).astype(int)
    Y = sparse.csr_array(Y) if is_sparse else Y
    model = sknm.FeedForwardClassifier(10, max_iter=3, random_state=0).fit(X, Y)
    twin = WAYS[way](model)
    assert sparse.issparse(twin.predict(X)) == is_sparse
    for each in (model, twin):
        each.partial_fit(X, Y)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
