"""Copies of every estimator, with every activation, by every way there is."""

import copy
import pickle

import numpy as np
import pytest
import torch

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


@BY_EACH_WAY
def test_copy_of_a_network_that_has_modules_goes_on(overlapping, answers, way):
    X, y = overlapping
    model = make(sknm.NeuralModuleClassifier, n_nodes=24, module_size=6)
    model.set_params(warm_start=True, batch_size=40, max_iter=6).fit(X, y)
    assert model.n_modules_ > 1
    twin = WAYS[way](model)
    assert twin.topology_ is twin.net_.module_.plan.topology
    model.fit(X, y), twin.fit(X, y)
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))


@BY_EACH_WAY
def test_copy_made_where_nothing_is_trained_can_be_trained(
    overlapping, every_estimator, way
):
    X, y = overlapping
    model = make(every_estimator, warm_start=True).fit(X, y)
    with torch.inference_mode():
        twin = WAYS[way](model)
    assert twin.fit(X, y).loss_curve_ == model.fit(X, y).loss_curve_


def test_pickles_hold_weights_a_few_times(overlapping, every_estimator):
    X, y = overlapping
    model = make(every_estimator, n_nodes=100, max_iter=1).fit(X, y)
    assert len(pickle.dumps(model)) < 9 * model.node_weights_.nbytes
