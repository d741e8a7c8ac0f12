"""Acyclic estimators name the parameter that is wrong, and the remedy."""

import re

import numpy as np
import pytest

from sknm import (
    DAGClassifier,
    DAGRegressor,
    FeedForwardClassifier,
    FeedForwardRegressor,
    FreeNetClassifier,
    FreeNetRegressor,
)
from sknm.graph.activations import ACTIVATIONS

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2

FREENETS = pytest.mark.parametrize("estimator", [FreeNetClassifier, FreeNetRegressor])
LAYERED = pytest.mark.parametrize(
    "estimator", [FeedForwardClassifier, FeedForwardRegressor]
)
SPARSE = pytest.mark.parametrize("estimator", [DAGClassifier, DAGRegressor])
METHODS = pytest.mark.parametrize("method", ["fit", "partial_fit"])


def make(estimator, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 2, "random_state": 0}
    return estimator(**defaults | parameters)


def refuses(model, message, method="fit"):
    """Assert that `model` raises before it builds anything."""
    has_classes = isinstance(
        model, FreeNetClassifier | FeedForwardClassifier | DAGClassifier
    )
    classes = {"classes": [0, 1]} if has_classes and method == "partial_fit" else {}
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, Y, **classes)
    assert not hasattr(model, "net_")


# FreeNets.


@FREENETS
@METHODS
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("epsilon", 0, r"a float in the range \(0(\.0)?, 1(\.0)?\)"),
        ("epsilon", 1, r"a float in the range \(0(\.0)?, 1(\.0)?\)"),
        ("epsilon", -0.1, r"a float in the range \(0(\.0)?, 1(\.0)?\)"),
        ("epsilon", 1.5, r"a float in the range \(0(\.0)?, 1(\.0)?\)"),
        ("epsilon", "small", r"a float in the range \(0(\.0)?, 1(\.0)?\)"),
        ("evolve_interval", 0, r".*\{'convergence'\}.*an int in the range \[1, inf\)"),
        ("evolve_interval", -2, r".*\{'convergence'\}.*an int in the range \[1, inf\)"),
        ("evolve_interval", 1.5, r".*\{'convergence'\}.*an int in the range"),
        ("evolve_interval", "end", r".*\{'convergence'\}.*an int in the range"),
        ("evolve_interval", None, r".*\{'convergence'\}.*an int in the range"),
        ("density", 0, r"a float in the range \(0(\.0)?, 1(\.0)?\]"),
        ("density", -0.5, r"a float in the range \(0(\.0)?, 1(\.0)?\]"),
        ("density", 1.01, r"a float in the range \(0(\.0)?, 1(\.0)?\]"),
        ("target_density", 0, r"a float in the range \(0(\.0)?, 1(\.0)?\]"),
        ("target_density", 1.01, r"a float in the range \(0(\.0)?, 1(\.0)?\]"),
        ("rule", "magnitude", r"a str among \{.*'coactivation'.*\}"),
        ("max_evolutions", -1, r"an int in the range \[0, inf\)"),
        ("max_evolutions", 2.5, r"an int in the range \[0, inf\)"),
        ("max_evolutions", None, r"an int in the range \[0, inf\)"),
    ],
)
def test_options_of_freenets_are_named_with_what_is_allowed(
    estimator, method, name, value, allowed
):
    message = rf"The '{name}' parameter of .* must be {allowed}.* Got {value!r} instead"
    refuses(make(estimator, **{name: value}), message, method)


@FREENETS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epsilon", 1e-9),
        ("epsilon", 1 - 1e-9),
        ("density", 1),
        ("density", 1e-9),
        ("target_density", 1),
        ("target_density", 1e-9),
        ("rule", "gradient"),
        ("rule", "coactivation"),
        ("evolve_interval", 1),
        ("max_evolutions", 0),
        ("activation", "relu"),
        ("activation", "squared_relu"),
    ],
)
def test_values_at_the_edge_are_accepted(estimator, name, value):
    assert make(estimator, **{name: value}).fit(X, Y).n_iter_ == 2


@FREENETS
@METHODS
@pytest.mark.parametrize(
    "activation", sorted(ACTIVATIONS.keys() - {"relu", "squared_relu"})
)
def test_activation_without_inactive_nodes_is_refused(estimator, method, activation):
    message = (
        rf"activation='{activation}' doesn't fit a FreeNet: its value is not zero "
        r"where a node is inactive.*Use one of 'relu', 'squared_relu'"
    )
    refuses(make(estimator, activation=activation), message, method)


@FREENETS
def test_unknown_activation_is_named_with_those_there_are(estimator):
    message = r"The 'activation' parameter of .* must be a str among .*'relu'.*'swish'"
    refuses(make(estimator, activation="swish"), message)


# Layers.


@LAYERED
@METHODS
@pytest.mark.parametrize(
    "sizes",
    [
        (),
        [],
        np.array([], dtype=int),
        (0,),
        (5, 0, 3),
        (-2, 4),
        (5.0, 3),
        np.array([5.0, 3.0]),
        (True, 3),
        np.array([True]),
        ("5",),
        (None,),
        [[5, 3]],
    ],
    ids=str,
)
def test_layers_that_can_not_be_are_refused(estimator, method, sizes):
    message = (
        r"hidden_layer_sizes=.* must be numbers of nodes of at least 1, one per "
        r"hidden layer, such as \(100, 50\); leave out layers without nodes"
    )
    refuses(make(estimator, hidden_layer_sizes=sizes), message, method)


def test_message_shows_the_layers_that_were_given():
    model = make(FeedForwardClassifier, hidden_layer_sizes=(5, 0))
    refuses(model, r"hidden_layer_sizes=\(5, 0\) must")


@LAYERED
@METHODS
@pytest.mark.parametrize("sizes", [5, 5.5, "55"])
def test_layer_sizes_have_to_be_a_sequence(estimator, method, sizes):
    message = r"The 'hidden_layer_sizes' parameter of .* must be an array-like or None"
    refuses(make(estimator, hidden_layer_sizes=sizes), message, method)


@LAYERED
@METHODS
@pytest.mark.parametrize("sizes", [(5, 3), [5]], ids=str)
def test_layer_sizes_in_the_place_of_a_number_of_nodes(estimator, method, sizes):
    message = re.escape(f"by name, hidden_layer_sizes={sizes}.")
    refuses(make(estimator, n_nodes=sizes), message, method)


# Sparse graphs.


@SPARSE
@METHODS
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("sparsity", "random", r"a str among \{.*'(adaptive|uniform)'.*\}"),
        ("sparsity", None, r"a str among \{.*'(adaptive|uniform)'.*\}"),
        ("alpha_sparsity", -0.1, r"a float in the range \[0(\.0)?, inf\)"),
        ("alpha_sparsity", "much", r"a float in the range \[0(\.0)?, inf\)"),
        ("alpha_sparsity", None, r"a float in the range \[0(\.0)?, inf\)"),
    ],
)
def test_options_of_sparse_graphs_are_named_with_what_is_allowed(
    estimator, method, name, value, allowed
):
    message = rf"The '{name}' parameter of .* must be {allowed}.* Got {value!r} instead"
    refuses(make(estimator, **{name: value}), message, method)


# Going on.


@pytest.mark.parametrize(
    "estimator", [FreeNetClassifier, FreeNetRegressor, DAGClassifier, DAGRegressor]
)
@METHODS
def test_going_on_with_another_size_names_the_remedy(estimator, method):
    model = make(estimator, warm_start=True).fit(X, Y)
    expected = model.predict(X)
    message = r"n_nodes=9, but the fitted network has 8 nodes .*set warm_start=False"
    with pytest.raises(ValueError, match=message):
        getattr(model.set_params(n_nodes=9), method)(X, Y)
    # The model is as it was.
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.n_iter_ == 2
