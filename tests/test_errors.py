"""Bad input gets an error, before any work, that names the parameter and the remedy."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from sknm import NeuralModuleClassifier, NeuralModuleRegressor

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2

BOTH = pytest.mark.parametrize(
    "estimator", [NeuralModuleClassifier, NeuralModuleRegressor]
)
METHODS = pytest.mark.parametrize("method", ["fit", "partial_fit"])


def make(estimator=NeuralModuleClassifier, **parameters):
    defaults = {"n_nodes": 8, "module_size": 4, "max_iter": 2, "random_state": 0}
    return estimator(**defaults | parameters)


def refuses(model, message, *args, error=ValueError, method="fit", **kwargs):
    """Assert that `model` raises `error` before it builds anything."""
    if method == "partial_fit" and isinstance(model, NeuralModuleClassifier):
        kwargs = {"classes": [0, 1]} | kwargs
    with pytest.raises(error, match=message):
        getattr(model, method)(*args, **kwargs)
    assert not hasattr(model, "net_")


def with_value(value, column=1):
    broken = X.copy()
    broken[3, column] = value
    return broken


# The data.


@BOTH
@METHODS
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_features_are_refused(estimator, method, value):
    message = r"Input X contains inf"
    refuses(make(estimator), message, with_value(value), Y, method=method)
    model = make(estimator).fit(X, Y)
    for predict in (model.predict, model.node_values):
        with pytest.raises(ValueError, match=message):
            predict(with_value(value))


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_targets_are_refused(estimator, value):
    y = Y.astype(float)
    y[5] = value
    refuses(make(estimator), r"Input y contains (NaN|infinity)", X, y)


@BOTH
@METHODS
@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (X[:, 0], Y, r"(?s)Expected 2D array, got 1D array.*Reshape your data"),
        (X[:, :, None], Y, r"Found array with dim 3"),
        (X[:0], Y[:0], r"Found array with 0 sample\(s\)"),
        (X[:, :0], Y, r"0 feature\(s\).*minimum of 1"),
        (X, Y[:-1], r"inconsistent numbers of samples: \[40, 39\]"),
        (X, None, r"requires y to be passed, but the target y is None"),
        (1j * X, Y, r"Complex data not supported"),
        (X.astype(object) + 1j, Y, r"Complex data not supported: column 'x0'"),
    ],
)
def test_wrong_shapes_and_types_are_refused(
    estimator, method, features, targets, message
):
    refuses(make(estimator), message, features, targets, method=method)


def test_a_classifier_takes_one_column_of_labels():
    refuses(make(), r"y has several columns, but is no indicator matrix", X, X)
    refuses(make(), r"Unknown label type: continuous.*expects discrete", X, X[:, 0])


def test_one_class_is_named_with_the_remedy():
    message = r"y has one class only, 3; .* at least two classes"
    refuses(make(), message, X, np.full(40, 3))
    refuses(make(), r"y has one class only", X, Y, sample_weight=Y)
    refuses(make(), r"y has one class only", X, Y, classes=[1], method="partial_fit")


@BOTH
def test_other_number_of_features_is_refused_afterwards(estimator):
    model = make(estimator, warm_start=True).fit(X, Y)
    message = rf"X has 2 features, but {estimator.__name__} is expecting 3 features"
    for method in (model.predict, model.node_values):
        with pytest.raises(ValueError, match=message):
            method(X[:, :2])
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            method(X[:, :2], Y)
    assert model.n_features_in_ == 3


def test_other_number_of_targets_is_refused_afterwards():
    model = make(NeuralModuleRegressor, warm_start=True).fit(X, X[:, :2])
    with pytest.raises(ValueError, match="y has 3 columns, but the fit knew 2"):
        model.fit(X, X)


@BOTH
@pytest.mark.parametrize("method", ["predict", "node_values"])
def test_nothing_is_predicted_before_fit(estimator, method):
    with pytest.raises(NotFittedError, match=r"not fitted yet. Call 'fit'"):
        getattr(make(estimator), method)(X)


# Validation data.


@BOTH
@pytest.mark.parametrize("given", ["X_val", "y_val"])
def test_validation_data_come_in_pairs(estimator, given):
    data = {"X_val": X, "y_val": Y}
    message = "X_val and y_val belong together: give both, or neither"
    refuses(make(estimator), message, X, Y, **{given: data[given]})


@BOTH
@pytest.mark.parametrize(
    ("X_val", "y_val", "message"),
    [
        (with_value(np.inf), Y, r"X_val and y_val can't .* contains infinity"),
        (X[:, :2], Y, r"X_val and y_val can't .* has 2 features.*expecting 3"),
        (X, Y[:-1], r"X_val and y_val can't .* inconsistent numbers of samples"),
        (X[0], Y[:1], r"X_val and y_val can't .* Expected 2D array"),
    ],
)
def test_broken_validation_data_are_called_so(estimator, X_val, y_val, message):
    refuses(make(estimator), f"(?s){message}", X, Y, X_val=X_val, y_val=y_val)


@BOTH
def test_early_stopping_with_too_few_rows_names_the_remedies(estimator):
    message = (
        r"early_stopping can't set aside validation_fraction=0.1 of 1 rows.*"
        r"Give X_val and y_val, change validation_fraction, or set early_stopping=False"
    )
    model = make(estimator, early_stopping=True)
    if estimator is NeuralModuleClassifier:
        refuses(model, message.replace("of 1 rows", "of 4 rows"), X[:4], Y[:4])
    else:
        refuses(model, message, X[:1], Y[:1])


def test_early_stopping_with_a_class_of_one_row_names_the_remedies():
    y = Y.copy()
    y[0] = 2
    message = r"early_stopping can't set aside.*least populated class.*Give X_val"
    refuses(make(early_stopping=True), message, X, y)


# Weights.


@BOTH
@METHODS
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            np.zeros(40),
            "Sample weights must contain at least one non-zero number",
        ),
        (np.where(Y, -1.0, 1.0), r"Negative values .*sample_weight"),
        (np.ones(39), r"sample_weight.shape == \(39,\), expected \(40,\)"),
        (np.full(40, np.nan), r"Input sample_weight contains NaN"),
        (np.full(40, np.inf), r"Input sample_weight contains infinity"),
        (np.ones((40, 1)), r"Sample weights must be 1D"),
    ],
)
def test_weights_that_mean_nothing_are_refused(estimator, method, weights, message):
    refuses(make(estimator), message, X, Y, sample_weight=weights, method=method)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        (
            {0: -1.0, 1: 1.0},
            r"class_weight=.* has a weight that is negative.*at least 0",
        ),
        ({0: np.nan, 1: 1.0}, r"class_weight=.* is negative or no number"),
        ({0: 0.0, 1: 0.0}, r"at least one non-zero number.*positive class_weight"),
        ({0: 0.0, 1: 1.0}, r"y has one class only"),
        ({"ant": 1.0, "bee": 2.0}, r"classes.*not in class_weight|not in class_weight"),
        ("fair", r"The 'class_weight' parameter of .*'balanced'"),
    ],
)
def test_class_weights_that_mean_nothing_are_refused(class_weight, message):
    refuses(make(class_weight=class_weight), message, X, Y)


# Parameters.


@BOTH
@METHODS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_nodes", 0),
        ("n_nodes", 2.5),
        ("init", "random"),
        ("module_size", 0),
        ("tau", -0.1),
        ("tau", "small"),
        ("lambda_NM", -1.0),
        ("penalty", "l3"),
        ("norm", "l0"),
        ("measure", "nodes"),
        ("connection", "loose"),
        ("stability", "hope"),
        ("margin", 0.0),
        ("margin", 1.0),
        ("solver", "broyden"),
        ("activation", "swish"),
        ("optimizer", "adam"),
        ("learning_rate_init", 0.0),
        ("alpha", -1.0),
        ("batch_size", 0),
        ("batch_size", "all"),
        ("max_iter", 0),
        ("dropout", 1.0),
        ("early_stopping", "yes"),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("tol", -1.0),
        ("warm_start", "yes"),
        ("random_state", "luck"),
        ("device", 0),
        ("n_jobs", 1.5),
        ("n_jobs", 0),
        ("verbose", -1),
    ],
)
def test_unknown_option_is_named_with_what_is_allowed(estimator, method, name, value):
    model = make(estimator, **{name: value})
    message = f"The '{name}' parameter of .* must be .* Got {value!r} instead"
    refuses(model, message, X, Y, method=method)


@pytest.mark.parametrize("value", [-0.1, 1.0, None])
def test_label_smoothing_is_a_share(value):
    message = r"The 'label_smoothing' parameter of .* must be a float in"
    refuses(make(label_smoothing=value), message, X, Y)


@BOTH
def test_parameters_are_given_by_name(estimator):
    with pytest.raises(TypeError, match="positional argument"):
        estimator(100, "relu")
    with pytest.raises(TypeError, match="unexpected keyword argument 'hidden'"):
        estimator(hidden=3)


@BOTH
@METHODS
@pytest.mark.parametrize("stability", ["monotone", "contraction"])
def test_activation_without_guarantee_is_refused(estimator, method, stability):
    model = make(estimator, activation="squared_relu", stability=stability)
    message = (
        rf"activation='squared_relu' can't be guaranteed by stability='{stability}'.*"
        r"Use another activation, such as 'relu', or stability=None"
    )
    refuses(model, message, X, Y, method=method)


@BOTH
@METHODS
@pytest.mark.parametrize(
    ("device", "message"),
    [
        pytest.param(
            "cuda",
            r"device='cuda' is not available on this machine; use device='cpu'",
            marks=pytest.mark.skipif(
                torch.cuda.is_available(), reason="there is a CUDA device"
            ),
        ),
        ("gpu", r"device='gpu' is not the name of a device; use 'cpu', 'cuda'"),
    ],
)
def test_device_is_refused_not_replaced(estimator, method, device, message):
    refuses(make(estimator, device=device), message, X, Y, method=method)


# Going on.


def test_partial_fit_asks_for_the_classes_first():
    model = make()
    message = "classes must be given in the first call of partial_fit: all labels"
    refuses(model, message, X, Y, method="partial_fit", classes=None)
    assert model.partial_fit(X, Y, classes=[0, 1]).n_iter_ == 1


@pytest.mark.parametrize("classes", [[0, 1, 2], [0], [1, 2]])
def test_partial_fit_keeps_the_classes_of_the_first_call(classes):
    model = make().partial_fit(X, Y, classes=[0, 1])
    message = r"classes=.* are not those of the first call .*\[0 1\]; leave classes out"
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, Y, classes=classes)
    assert model.n_iter_ == 1


def test_partial_fit_names_labels_it_was_not_told_of():
    message = r"y has labels \[5\] that the fit did not know; it knows \[0 1\]"
    refuses(make(), message, X, np.where(Y, 5, 0), method="partial_fit")
    model = make().partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, np.where(Y, 5, 0))


@BOTH
@METHODS
def test_going_on_with_another_size_names_the_remedy(estimator, method):
    model = make(estimator, warm_start=True).fit(X, Y)
    expected = model.predict(X)
    message = (
        r"n_nodes=9, but the fitted network has 8 nodes and is to go on; "
        r"set n_nodes=8, or set warm_start=False and call fit to start anew"
    )
    with pytest.raises(ValueError, match=message):
        getattr(model.set_params(n_nodes=9), method)(X, Y)
    # The model is as it was.
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.n_iter_ == 2


def test_going_on_with_new_labels_names_them():
    model = make(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"y has labels \[2\] that the fit did not"):
        model.fit(X, np.where(Y, 2, 0))
