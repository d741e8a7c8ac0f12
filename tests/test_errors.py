"""Bad input gets a clear error that names the parameter and the remedy."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sknm import NeuralModuleClassifier, NeuralModuleRegressor

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def make(**parameters):
    defaults = {"n_nodes": 8, "module_size": 4, "max_iter": 2, "random_state": 0}
    return NeuralModuleClassifier(**defaults | parameters)


def with_value(value):
    broken = X.copy()
    broken[3, 1] = value
    return broken


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("estimator", [NeuralModuleClassifier, NeuralModuleRegressor])
def test_missing_and_infinite_values_are_refused(estimator, value):
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        estimator(n_nodes=8).fit(with_value(value), Y)
    model = make().fit(X, Y)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.predict(with_value(value))


def test_sparse_features_are_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"Sparse data was passed.*dense data is requ"):
        make().fit(sparse.csr_array(X), Y)


@pytest.mark.parametrize(
    ("rows", "targets", "message"),
    [
        (X[:, 0], Y, "Expected 2D array"),
        (X, Y[:-1], "inconsistent numbers of samples"),
        (X, X, "Unknown label type|y should be a 1d array"),
        (X, np.zeros(40), "y has one class only"),
    ],
)
def test_wrong_shapes_and_single_classes_are_refused(rows, targets, message):
    with pytest.raises(ValueError, match=message):
        make().fit(rows, targets)


def test_other_number_of_features_is_refused_in_predict():
    with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"):
        make().fit(X, Y).predict(X[:, :2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_nodes", 0),
        ("init", "random"),
        ("module_size", 0),
        ("tau", -0.1),
        ("lambda_NM", -1.0),
        ("penalty", "l3"),
        ("norm", "l0"),
        ("measure", "nodes"),
        ("connection", "loose"),
        ("stability", "hope"),
        ("margin", 1.0),
        ("solver", "broyden"),
        ("activation", "swish"),
        ("optimizer", "adam"),
        ("learning_rate_init", 0.0),
        ("alpha", -1.0),
        ("batch_size", 0),
        ("max_iter", 0),
        ("label_smoothing", 1.0),
        ("dropout", 1.0),
        ("validation_fraction", 0.0),
        ("n_iter_no_change", 0),
        ("class_weight", "fair"),
    ],
)
def test_unknown_option_is_named_with_what_is_allowed(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of .* must be"):
        make(**{name: value}).fit(X, Y)


def test_activation_without_guarantee_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"activation='squared_relu'.*stability=None"):
        make(activation="squared_relu").fit(X, Y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_missing_device_is_refused_not_replaced():
    with pytest.raises(ValueError, match=r"device='cuda' is not available.*'cpu'"):
        make(device="cuda").fit(X, Y)


def test_nonsense_for_a_device_is_refused():
    with pytest.raises(ValueError, match="device='gpu' is not the name of a device"):
        make(device="gpu").fit(X, Y)


def test_validation_data_come_in_pairs():
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        make().fit(X, Y, X_val=X)


def test_unknown_labels_among_validation_data_are_named():
    with pytest.raises(ValueError, match=r"y has labels \[7\] that the fit did not"):
        make().fit(X, Y, X_val=X[:2], y_val=[0, 7])


def test_early_stopping_with_too_few_rows_names_the_remedies():
    message = r"validation_fraction=0.1 .*Give X_val and y_val"
    with pytest.raises(ValueError, match=message):
        make(early_stopping=True).fit(X[:4], Y[:4])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(40), "at least one non-zero number"),
        (-np.ones(40), "Negative values"),
        (np.ones(39), r"sample_weight.shape == \(39,\)"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, Y, sample_weight=weights)


def test_partial_fit_asks_for_the_classes_first():
    model = make()
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, Y)
    model.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="are not those of the first call"):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"y has labels \[5\]"):
        model.partial_fit(X, np.where(Y, 5, 0))


def test_warm_start_with_another_size_names_the_remedy():
    model = make(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"n_nodes=9, .*warm_start=False"):
        model.set_params(n_nodes=9).fit(X, Y)
    assert model.predict(X).shape == (40,)
