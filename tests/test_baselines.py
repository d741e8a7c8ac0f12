"""Layered networks and sparse graphs."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.base import clone
from torch import nn

from sknm import (
    DAGClassifier,
    DAGRegressor,
    FeedForwardClassifier,
    FeedForwardRegressor,
)
from sknm.graph.topology import Topology
from sknm.training.recipe import OneCycle

SIZES = pytest.mark.parametrize("sizes", [(7,), (6, 4), (5, 3, 4)], ids=str)
LAYERED = pytest.mark.parametrize(
    "estimator", [FeedForwardClassifier, FeedForwardRegressor]
)
SPARSE = pytest.mark.parametrize("estimator", [DAGClassifier, DAGRegressor])


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 6, "random_state": 0}
    defaults |= {"numerical_embedding": None, "feature_fdr": None}
    return estimator(**defaults | parameters)


def layers(model, sizes):
    """Weights and biases of each layer and of the outputs, cut from the attributes."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    blocks = [slice(*ends) for ends in zip(starts, ends, strict=True)]
    weights = [
        model.input_weights_[:, blocks[0]],
        *(model.node_weights_[a, b] for a, b in pairwise(blocks)),
        model.output_weights_[blocks[-1]],
    ]
    biases = [*(model.node_biases_[b] for b in blocks), model.output_biases_]
    return list(zip(weights, biases, strict=True))


def forward(model, X, sizes):
    """Values of all nodes and outputs, layer after layer."""
    *hidden, (V, c) = layers(model, sizes)
    z, values = model.encode(X), []
    for W, b in hidden:
        z = np.maximum(z @ W + b, 0)
        values.append(z)
    return np.hstack(values), z @ V + c


# Layers.


@LAYERED
@SIZES
def test_layered_networks_are_multilayer_perceptrons(
    overlapping, answers, estimator, sizes
):
    X, y = overlapping
    model = make(estimator, hidden_layer_sizes=sizes).fit(X, y)
    z, outputs = forward(model, X, sizes)
    np.testing.assert_allclose(model.node_values(X), z, rtol=1e-9, atol=1e-12)
    is_classifier = estimator is FeedForwardClassifier
    expected = softmax(outputs, axis=1) if is_classifier else outputs[:, 0]
    np.testing.assert_allclose(answers(model, X), expected, rtol=1e-9, atol=1e-12)


def test_several_targets_are_read_from_the_last_layer(overlapping):
    X, _ = overlapping
    model = make(FeedForwardRegressor, hidden_layer_sizes=(6, 4)).fit(X, 3 * X[:, :3])
    _, outputs = forward(model, X, (6, 4))
    np.testing.assert_allclose(model.predict(X), outputs, rtol=1e-9, atol=1e-12)


@LAYERED
@SIZES
def test_weights_of_other_layers_are_zero(overlapping, estimator, sizes):
    model = make(estimator, hidden_layer_sizes=sizes).fit(*overlapping)
    n_nodes, n_outputs = sum(sizes), len(model.output_biases_)
    assert model.input_weights_.shape == (5, n_nodes)
    assert model.input_weights_[:, : sizes[0]].all()
    assert not model.input_weights_[:, sizes[0] :].any()
    assert model.output_weights_.shape == (n_nodes, n_outputs)
    assert model.output_weights_[-sizes[-1] :].all()
    assert not model.output_weights_[: -sizes[-1]].any()
    assert model.node_biases_.shape == (n_nodes,)
    edges = Topology.layered(sizes).to_dense()
    assert np.array_equal(model.node_weights_ != 0, edges)
    assert np.array_equal(model.topology_.to_dense(), edges)


@LAYERED
def test_layer_sizes_override_the_number_of_nodes(overlapping, answers, estimator):
    X, y = overlapping
    one = make(estimator, n_nodes=7).fit(X, y)
    other = make(estimator, n_nodes=99, hidden_layer_sizes=(7,)).fit(X, y)
    assert one.node_values(X).shape == (120, 7)
    assert one.topology_.n_edges == 0
    np.testing.assert_array_equal(answers(one, X), answers(other, X))


@LAYERED
@pytest.mark.parametrize("sizes", [[6, 4], np.array([6, 4]), (np.int32(6), 4)])
def test_layer_sizes_may_be_any_sequence(overlapping, answers, estimator, sizes):
    X, y = overlapping
    model = make(estimator, hidden_layer_sizes=sizes)
    expected = make(estimator, hidden_layer_sizes=(6, 4)).fit(X, y)
    np.testing.assert_array_equal(
        answers(clone(model).fit(X, y), X), answers(expected, X)
    )
    assert model.hidden_layer_sizes is sizes


def perceptron(model, sizes):
    """The same network, of torch's own modules."""
    modules = []
    for W, b in layers(model, sizes):
        linear = nn.Linear(*W.shape, dtype=torch.float64)
        linear.weight.data = torch.tensor(W.T.copy())
        linear.bias.data = torch.tensor(b.copy())
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@LAYERED
@SIZES
def test_step_is_that_of_a_perceptron(overlapping, estimator, sizes):
    X, y = overlapping
    if estimator is FeedForwardRegressor:
        # Targets that are standardised already: outputs are not scaled.
        y = np.where(y == y.max(), 1.0, -1.0) * (X[:, 0] > np.median(X[:, 0]))
        y = (y - y.mean()) / y.std()
    model = make(estimator, hidden_layer_sizes=sizes, optimizer="sgd", dropout=0)
    model.set_params(max_iter=1, batch_size=120, learning_rate_init=25.0, alpha=0.01)
    if estimator is FeedForwardClassifier:
        model.set_params(label_smoothing=0)
    start = clone(model).set_params(learning_rate_init=1e-30).fit(X, y)
    model.fit(X, y)

    expected = perceptron(start, sizes)
    rate = OneCycle(25.0, 1)(0)
    optimizer = torch.optim.SGD(
        expected.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=0.01
    )
    outputs, targets = expected(torch.from_numpy(start.encode(X))), torch.from_numpy(y)
    if estimator is FeedForwardClassifier:
        loss = nn.functional.cross_entropy(outputs, targets)
    else:
        loss = nn.functional.mse_loss(outputs[:, 0], targets) / 2
    loss.backward()
    optimizer.step()

    assert rate == 1
    assert model.loss_ == pytest.approx(loss.item(), rel=1e-6)
    assert abs(model.input_weights_ - start.input_weights_).max() > 1e-3
    for (W, b), linear in zip(layers(model, sizes), expected[::2], strict=True):
        np.testing.assert_allclose(W, linear.weight.detach().T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(b, linear.bias.detach(), rtol=1e-9, atol=1e-12)


@LAYERED
@pytest.mark.parametrize("other", [(6, 5), (6,), (6, 4, 2), (4, 6)], ids=str)
def test_going_on_with_other_layers_is_refused(overlapping, answers, estimator, other):
    X, y = overlapping
    model = make(estimator, hidden_layer_sizes=(6, 4), warm_start=True).fit(X, y)
    expected = answers(model, X)
    message = r"hidden_layer_sizes=.* not the layers .*; set warm_start=False"
    with pytest.raises(ValueError, match=message):
        model.set_params(hidden_layer_sizes=other).fit(X, y)
    np.testing.assert_array_equal(answers(model, X), expected)


@LAYERED
def test_layers_learn_what_no_single_node_can(overlapping, estimator):
    X, _ = overlapping
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = make(estimator, hidden_layer_sizes=(12, 8), max_iter=80, dropout=0)
    model.fit(X, y)
    assert model.score(X, y) > (0.95 if estimator is FeedForwardClassifier else 0.7)
    assert model.loss_ < 0.8 * model.loss_curve_[0]


# Sparse graphs.


@SPARSE
@pytest.mark.parametrize("sparsity", ["uniform", "adaptive"])
@pytest.mark.parametrize("activation", ["relu", "squared_relu", "tanh"])
def test_node_values_are_those_of_substitution(
    overlapping, substitute, estimator, sparsity, activation
):
    X, y = overlapping
    model = make(estimator, sparsity=sparsity, alpha_sparsity=2.0)
    model.set_params(activation=activation).fit(X, y)
    assert 0 < model.topology_.n_edges < 66
    np.testing.assert_allclose(
        model.node_values(X), substitute(model, X), rtol=1e-9, atol=1e-9
    )


@SPARSE
@pytest.mark.parametrize("sparsity", ["uniform", "adaptive"])
def test_topology_holds_the_weights_that_are_not_zero(overlapping, estimator, sparsity):
    model = make(estimator, sparsity=sparsity, alpha_sparsity=2.0).fit(*overlapping)
    edges = model.topology_.to_dense()
    assert np.array_equal(edges, model.node_weights_ != 0)
    assert np.array_equal(edges, np.triu(edges, 1))
    assert not np.array_equal(edges, Topology.triangular(12).to_dense())


@SPARSE
@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
@pytest.mark.parametrize("sparsity", ["uniform", "adaptive"])
def test_stronger_penalty_leaves_fewer_edges(overlapping, estimator, sparsity):
    numbers = [
        make(estimator, sparsity=sparsity, alpha_sparsity=alpha)
        .fit(*overlapping)
        .topology_.n_edges
        for alpha in (0, 1.0, 3.0, 100.0)
    ]
    assert numbers[0] == 66
    assert numbers[0] > numbers[1] > numbers[2] > numbers[3] == 0


def test_adaptive_prices_spare_nodes_with_few_edges(overlapping):
    uniform, adaptive = (
        make(DAGClassifier, n_nodes=20, sparsity=sparsity, alpha_sparsity=8.0)
        .fit(*overlapping)
        .topology_.in_degrees
        for sparsity in ("uniform", "adaptive")
    )
    # Fewer edges may lead to early nodes than to late ones.
    assert adaptive[:10].sum() > uniform[:10].sum()
    assert adaptive[10:].sum() < uniform[10:].sum()


@SPARSE
def test_warm_start_lets_edges_come_back(overlapping, estimator):
    X, y = overlapping
    model = make(estimator, n_nodes=20, alpha_sparsity=0.5, warm_start=True, dropout=0)
    model.set_params(max_iter=10, batch_size=20).fit(X, y)
    before = model.topology_.to_dense()
    other = (X[:, 0] * X[:, 1] > 0).astype(int)
    after = model.fit(X, other).topology_.to_dense()
    assert (after & ~before).sum() > 5
    assert (before & ~after).sum() > 5


def test_warm_start_lets_edges_come_back_after_early_stopping(overlapping):
    X, y = overlapping
    model = DAGClassifier(
        20,
        alpha_sparsity=0.5,
        warm_start=True,
        feature_fdr=None,
        dropout=0,
        early_stopping=True,
        max_iter=10,
        batch_size=20,
        random_state=0,
    )
    before = model.fit(X, y, X_val=X, y_val=y).topology_.to_dense()
    other = (X[:, 0] * X[:, 1] > 0).astype(int)
    after = model.fit(X, other, X_val=X, y_val=other).topology_.to_dense()
    assert (after & ~before).any()


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
def test_warm_start_heeds_a_new_penalty(overlapping):
    model = DAGClassifier(
        12, alpha_sparsity=0, max_iter=10, warm_start=True, random_state=0
    )
    assert model.fit(*overlapping).topology_.n_edges == 66
    model.set_params(alpha_sparsity=100.0).fit(*overlapping)
    assert model.topology_.n_edges == 0
