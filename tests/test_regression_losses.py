"""Losses of regressors: what each of them predicts, and what it asks of the targets."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import (
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    r2_score,
)
from sklearn.model_selection import cross_val_score

import sknm
from sknm.targets import MEAN_LOSSES, NUMERIC_LOSSES

LOSSES = [*NUMERIC_LOSSES, *MEAN_LOSSES]
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES)


def make(estimator=sknm.FeedForwardRegressor, **parameters):
    defaults = {"n_nodes": 20, "max_iter": 30, "random_state": 0}
    return estimator(**defaults | parameters)


@pytest.fixture(scope="module")
def spread():
    """Targets whose spread depends on a feature, and whose medians on another."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    return X, X[:, 1] + np.exp(0.7 * X[:, 0]) * rng.normal(size=4000)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 3))
    mean = np.exp(1.2 * X[:, 0] + 0.5 * X[:, 1] * X[:, 2] - 0.5)
    return X, rng.poisson(mean), mean


@pytest.fixture(scope="module")
def positive():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    return X, rng.gamma(4, np.exp(X[:, 0]) / 4) + 1e-6


def test_names_are_those_of_scikit_learn():
    assert set(LOSSES) == {
        "squared_error",
        "absolute_error",
        "huber",
        "quantile",
        "poisson",
        "gamma",
    }
    assert sknm.NeuralModuleRegressor().loss == "squared_error"


# What is predicted.


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantiles_are_covered_wherever_the_spread_is(spread, quantile):
    X, y = spread
    model = make(loss="quantile", quantile=quantile, n_nodes=50).fit(X[:2000], y[:2000])
    is_below = y[2000:] <= model.predict(X[2000:])
    for part in (X[2000:, 0] < -0.5, X[2000:, 0] > 0.5):
        assert is_below[part].mean() == pytest.approx(quantile, abs=0.08)
    assert is_below.mean() == pytest.approx(quantile, abs=0.04)
    constant = np.full(2000, np.quantile(y[:2000], quantile))
    loss = mean_pinball_loss(y[2000:], model.predict(X[2000:]), alpha=quantile)
    assert loss < 0.9 * mean_pinball_loss(y[2000:], constant, alpha=quantile)


def test_absolute_error_is_the_median(spread):
    X, y = spread
    X, y = X[:500], y[:500]
    model = make(loss="absolute_error", max_iter=5).fit(X, y)
    median = make(loss="quantile", quantile=0.5, max_iter=5).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), median.predict(X))


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_outliers_do_no_harm(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4))
    f = np.sin(2 * X[:, 0]) + X[:, 1]
    y = f + 0.2 * rng.normal(size=1500)
    y[:1000:40] += 1000
    robust = make(loss=loss).fit(X[:1000], y[:1000]).predict(X[1000:])
    mean = make().fit(X[:1000], y[:1000]).predict(X[1000:])
    assert r2_score(f[1000:], robust) > 0.9
    assert r2_score(f[1000:], mean) < 0


def test_means_of_counts_are_better_by_their_own_loss(counts):
    X, y, mean = counts
    model = make(loss="poisson", n_nodes=50).fit(X[:1500], y[:1500])
    found = model.predict(X[1500:])
    squared = make(n_nodes=50).fit(X[:1500], y[:1500]).predict(X[1500:])
    assert (found > 0).all()
    deviance = mean_poisson_deviance(y[1500:], found)
    assert deviance < mean_poisson_deviance(y[1500:], np.maximum(squared, 1e-2))
    assert deviance < 1.2 * mean_poisson_deviance(y[1500:], mean[1500:])
    assert found.mean() == pytest.approx(y[1500:].mean(), rel=0.15)
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)))


def test_means_of_amounts_are_better_by_their_own_loss(counts):
    X, _, mean = counts
    y = np.random.default_rng(1).gamma(2, mean / 2) + 1e-9
    found = make(loss="gamma", n_nodes=50).fit(X[:1500], y[:1500]).predict(X[1500:])
    squared = make(n_nodes=50).fit(X[:1500], y[:1500]).predict(X[1500:])
    deviance = mean_gamma_deviance(y[1500:], found)
    assert deviance < mean_gamma_deviance(y[1500:], np.maximum(squared, 1e-2))
    assert deviance < 1.2 * mean_gamma_deviance(y[1500:], mean[1500:])


@pytest.mark.sweep(3)
@EVERY_LOSS
def test_every_loss_is_one_of_every_regressor(positive, every_regressor, loss):
    X, y = positive
    model = make(every_regressor, loss=loss, quantile=0.7, max_iter=20).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.loss_ < model.loss_curve_[0]
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)))


@EVERY_LOSS
@pytest.mark.parametrize("size", [1e-200, 1e-9, 1e9, 1e200])
def test_units_make_no_difference(positive, loss, size):
    X, y = positive
    expected = make(loss=loss, quantile=0.7, max_iter=5).fit(X, y).predict(X)
    found = make(loss=loss, quantile=0.7, max_iter=5).fit(X, size * y).predict(X)
    np.testing.assert_allclose(found / size, expected, rtol=1e-6)


@EVERY_LOSS
def test_several_targets_are_fitted_at_once(positive, loss):
    X, y = positive
    pair = np.c_[y, 1000 * np.exp(X[:, 1])]
    found = make(loss=loss).fit(X, pair).predict(X)
    assert found.shape == pair.shape
    for one, target in zip(found.T, pair.T, strict=True):
        assert np.corrcoef(one, target)[0, 1] > 0.7
        assert 0.5 < one.mean() / target.mean() < 2  # each has a scale of its own


# Weights, and the life of a model.


@EVERY_LOSS
def test_weight_of_a_row_is_its_repetition(positive, loss):
    X, y = positive
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    model = make(loss=loss, quantile=0.3, batch_size=1000, max_iter=6)
    repeated = clone(model).fit(X.repeat(weights, 0), y.repeat(weights))
    weighted = clone(model).fit(X, y, sample_weight=weights)
    expected = repeated.predict(X)
    np.testing.assert_allclose(weighted.predict(X), expected, rtol=1e-6, atol=1e-8)
    assert abs(clone(model).fit(X, y).predict(X) - expected).max() > 1e-3


@EVERY_LOSS
def test_models_are_pickled_and_go_on(positive, loss):
    X, y = positive
    model = make(loss=loss, max_iter=5, warm_start=True).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.fit(X, y).n_iter_ == 10
    assert twin.partial_fit(X[:50], y[:50]).n_iter_ == 11
    stream = make(loss=loss)
    for _ in range(10):
        stream.partial_fit(X, y)
    assert stream.loss_ < stream.loss_curve_[0]


@EVERY_LOSS
def test_users_see_weights_that_give_what_is_predicted(positive, loss, substitute):
    X, y = positive
    model = make(sknm.FreeNetRegressor, loss=loss, max_iter=5).fit(X, 1000 * y)
    found = substitute(model, X) @ model.output_weights_ + model.output_biases_
    found = np.exp(found[:, 0]) if loss in MEAN_LOSSES else found[:, 0]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-6)


def test_another_loss_is_heeded_by_a_warm_start(positive):
    X, y = positive
    model = make(loss="quantile", quantile=0.1, warm_start=True).fit(X, y)
    low = np.mean(y < model.predict(X))
    high = np.mean(y < model.set_params(quantile=0.9).fit(X, y).predict(X))
    assert low < 0.25
    assert high > 0.75
    model.set_params(loss="huber").fit(X, y)
    assert np.mean(y < model.predict(X)) == pytest.approx(0.5, abs=0.2)
    assert model.net_.criterion.delta == 1.35


@pytest.mark.parametrize(("first", "then"), [("huber", "gamma"), ("poisson", "huber")])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_logarithm_can_not_go_on_as_a_number(positive, first, then, method):
    X, y = positive
    model = make(loss=first, warm_start=True, max_iter=2).fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match=r"has learned .*set warm_start=False"):
        getattr(model.set_params(loss=then), method)(X, y)
    np.testing.assert_array_equal(model.predict(X), before)
    model.set_params(warm_start=False).fit(X, y)


def test_losses_can_be_searched_over(positive):
    X, y = positive
    scores = cross_val_score(
        make(loss="gamma"), X, y, scoring="neg_mean_gamma_deviance", cv=3
    )
    assert (scores > -1).all()


# What targets have to be.


@pytest.mark.parametrize(
    ("loss", "value", "message"),
    [
        ("poisson", -1.0, r"loss='poisson' needs targets that are 0 or more.*-1"),
        ("gamma", -1.0, r"loss='gamma' needs targets that are positive.*-1"),
        ("gamma", 0.0, r"loss='gamma' needs targets that are positive.* 0\."),
    ],
)
def test_signs_of_targets_are_checked(positive, loss, value, message):
    X, y = positive
    wrong = np.where(np.arange(len(y)) == 7, value, y)
    model = make(loss=loss, max_iter=2)
    with pytest.raises(ValueError, match=message):
        model.fit(X, wrong)
    assert not hasattr(model, "net_")
    with pytest.raises(ValueError, match=rf"(?s)X_val and y_val can't.*{message}"):
        model.fit(X, y, X_val=X, y_val=wrong)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, wrong)


def test_counts_that_are_all_zero_are_refused(positive):
    X, y = positive
    model = make(loss="poisson", max_iter=2)
    with pytest.raises(ValueError, match="y is 0 in all rows"):
        model.fit(X, 0 * y)
    with pytest.raises(ValueError, match="y is 0 in all rows"):
        model.fit(X, np.c_[y, 0 * y])
    with pytest.raises(ValueError, match="y is 0 in all rows"):
        model.fit(X, np.where(X[:, 0] > 0, y, 0), sample_weight=X[:, 0] <= 0)
    model.fit(X, np.where(X[:, 0] > 0, y, 0))


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outliers_do_no_harm_however_far_they_are(positive, loss, dtype):
    X, y = positive
    X, y = X.astype(dtype), np.where(np.arange(len(y)) == 0, -1e300, y)
    model = make(loss=loss, early_stopping=True).fit(X, y)
    assert r2_score(y[1:], model.predict(X)[1:]) > 0.3
    assert np.isfinite(model.loss_curve_).all()


@EVERY_LOSS
def test_rows_of_next_to_no_weight_do_not_overflow(positive, loss):
    X, y = positive
    y = np.where(np.arange(len(y)) == 0, 1e150, y)
    weights = np.where(np.arange(len(y)) == 0, 1e-300, 1.0)
    model = make(loss=loss)
    model.fit(X.astype(np.float32), y, sample_weight=weights)
    assert np.isfinite(model.predict(X)).all()
    if loss != "squared_error":  # whose scale is that of the row
        assert r2_score(y[1:], model.predict(X)[1:]) > 0.3


def test_unknown_losses_and_quantiles_are_refused(positive):
    for parameters in ({"loss": "l1"}, {"quantile": 0.0}, {"quantile": 1}):
        with pytest.raises(ValueError, match=rf"'{next(iter(parameters))}' parameter"):
            make(**parameters).fit(*positive)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile"])
@pytest.mark.parametrize(
    "y",
    [
        np.full(200, 7.0),
        np.where(np.arange(200) == 3, 1e6, 7.0),
        np.where(np.arange(200) % 4, 0.0, np.arange(200.0)),
        7 + 1e-13 * np.arange(200) % 3,
    ],
    ids=["constant", "one differs", "mostly zero", "nearly constant"],
)
def test_targets_that_hardly_vary_are_fitted(positive, loss, y):
    X, _ = positive
    model = make(loss=loss, max_iter=10).fit(X, y)
    found = model.predict(X)
    assert np.isfinite(found).all()
    if np.ptp(y) < 1e-6:
        np.testing.assert_allclose(found, 7.0, atol=1)


def test_tags_say_that_means_are_positive():
    for loss in LOSSES:
        tags = make(loss=loss).__sklearn_tags__()
        assert tags.target_tags.positive_only == (loss in MEAN_LOSSES)
        assert tags.target_tags.multi_output


def test_counts_of_pandas_are_taken(counts):
    X, y, _ = counts
    expected = make(loss="poisson", max_iter=2).fit(X, y).predict(X)
    series = pd.Series(y, dtype="Int64")
    found = make(loss="poisson", max_iter=2).fit(X, series).predict(X)
    np.testing.assert_array_equal(found, expected)
