"""What all estimators share they have by construction: the same tests hold for all."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sknm import (
    DAGClassifier,
    DAGRegressor,
    DEQClassifier,
    DEQRegressor,
    FeedForwardClassifier,
    FeedForwardRegressor,
    FreeNetClassifier,
    FreeNetRegressor,
    OptNetClassifier,
    OptNetRegressor,
)

CLASSIFIERS = [
    DAGClassifier,
    DEQClassifier,
    FeedForwardClassifier,
    FreeNetClassifier,
    OptNetClassifier,
]
REGRESSORS = [
    DAGRegressor,
    DEQRegressor,
    FeedForwardRegressor,
    FreeNetRegressor,
    OptNetRegressor,
]
ALL = pytest.mark.parametrize("estimator", CLASSIFIERS + REGRESSORS)
ALWAYS_DOUBLE = [OptNetClassifier, OptNetRegressor]


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 6, "random_state": 0}
    return estimator(**defaults | parameters)


def test_class_weight_is_the_weight_of_its_rows(overlapping, every_classifier):
    X, y = overlapping
    by_class = make(every_classifier, class_weight={1: 5.0}).fit(X, y)
    by_row = make(every_classifier).fit(X, y, sample_weight=np.where(y, 5.0, 1.0))
    plain = make(every_classifier).fit(X, y)
    expected = by_row.predict_proba(X)
    np.testing.assert_array_equal(by_class.predict_proba(X), expected)
    assert expected[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.02


def test_squares_of_gradients_are_remembered_for_long_by_urns_only(
    overlapping, every_estimator
):
    net = make(every_estimator).fit(*overlapping).net_
    expected = 0.999 if every_estimator.__name__.startswith("URN") else 0.95
    groups = net.optimizer_.param_groups
    assert {group["betas"] for group in groups} == {(0.9, expected)}
    again = pickle.loads(pickle.dumps(net)).optimizer_.param_groups
    assert [group["betas"] for group in again] == [group["betas"] for group in groups]


@ALL
@pytest.mark.sweep(2)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_early_stopping_returns_to_the_best_weights(estimator, dtype):
    rng = np.random.default_rng(1)
    # Features without any relation to the target: only overfitting can happen.
    X, y = rng.normal(size=(160, 8)).astype(dtype), rng.integers(0, 2, 160)
    model = make(estimator, early_stopping=True, n_iter_no_change=8, max_iter=60)
    model.set_params(learning_rate_init=0.1, alpha=0.01)
    model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ < 60
    assert scores[-1] < max(scores)
    score = model.score(X[100:], y[100:])
    assert score == pytest.approx(max(scores), rel=1e-5, abs=1e-5)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_follows_the_data(overlapping, answers, estimator, dtype):
    X, y = overlapping[0].astype(dtype), overlapping[1]
    model = make(estimator, warm_start=True).fit(X, y)
    model.fit(overlapping[0], y)
    expected = np.float64 if estimator in ALWAYS_DOUBLE else dtype
    for name in ("input_weights_", "node_weights_", "node_biases_", "output_weights_"):
        assert getattr(model, name).dtype == expected, name
    assert model.node_values(X).dtype == expected
    if estimator in CLASSIFIERS:
        assert answers(model, X).dtype == expected


@ALL
def test_weight_of_a_row_is_its_repetition(overlapping, answers, estimator):
    X, y = overlapping
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    model = make(estimator, batch_size=1000)
    repeated = clone(model).fit(X.repeat(weights, 0), y.repeat(weights))
    weighted = clone(model).fit(X, y, sample_weight=weights)
    expected = answers(repeated, X)
    np.testing.assert_allclose(answers(weighted, X), expected, rtol=1e-6, atol=1e-8)
    assert abs(answers(clone(model).fit(X, y), X) - expected).max() > 1e-3


@ALL
def test_same_seed_gives_the_same_model_bit_for_bit(overlapping, answers, estimator):
    X, y = overlapping
    model = make(estimator, batch_size=32)
    a, b = (clone(model).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(a.node_weights_, b.node_weights_)
    np.testing.assert_array_equal(answers(a, X), answers(b, X))
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert abs(answers(other, X) - answers(a, X)).max() > 1e-3


@ALL
@pytest.mark.sweep(3)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_sparsify_keeps_the_predictions(overlapping, answers, estimator, optimizer):
    X, y = overlapping
    model = make(estimator, optimizer=optimizer, warm_start=True).fit(X, y)
    expected, W = answers(model, X), model.node_weights_.copy()
    assert model.sparsify() is model
    np.testing.assert_allclose(answers(model, X), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(model.node_weights_, W)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))
    assert model.fit(X, y).n_iter_ == 12


@ALL
@pytest.mark.sweep(3)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_copy_predicts_the_same_and_can_be_trained(
    overlapping, answers, estimator, optimizer
):
    X, y = overlapping
    model = make(estimator, optimizer=optimizer, warm_start=True, dropout=0).fit(X, y)
    expected = answers(model, X)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answers(twin, X), expected)
    np.testing.assert_array_equal(twin.node_weights_, model.node_weights_)
    assert twin.fit(X, y).n_iter_ == 12
    assert twin.loss_curve_[-1] < twin.loss_curve_[0]
    # The original knows nothing of it.
    np.testing.assert_array_equal(answers(model, X), expected)


@ALL
def test_partial_fit_is_one_epoch_at_a_time(overlapping, estimator):
    X, y = overlapping
    model = make(estimator, dropout=0)
    first = {"classes": [0, 1]} if estimator in CLASSIFIERS else {}
    for _ in range(20):
        model.partial_fit(X, y, **first)
    assert model.n_iter_ == len(model.loss_curve_) == 20
    assert model.loss_ < 0.95 * model.loss_curve_[0]
