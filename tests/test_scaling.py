"""Numeric targets: standardised in double precision, whatever they come in."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from sknm import FeedForwardRegressor
from sknm.targets.scaling import TargetScaling, as_numbers, mean_of

targets = arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 2)),
    elements=st.floats(-1e308, 1e308, allow_subnormal=False),
)


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(80, 3))
    return X, 300 * X[:, 0] + 500


def make(estimator=FeedForwardRegressor, **parameters):
    defaults = {"n_nodes": 10, "max_iter": 20, "random_state": 0}
    return estimator(**defaults | parameters)


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [(1, np.float16), (1e22, np.float32), (1e-27, np.float32), (1, np.int16)],
)
def test_precision_of_targets_makes_no_difference(data, every_regressor, factor, dtype):
    X, y = data
    y = (y * factor).astype(dtype)
    found = make(every_regressor, max_iter=5).fit(X, y).predict(X)
    expected = make(every_regressor, max_iter=5).fit(X, y.astype(float)).predict(X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.sweep(4)
@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 1e-300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_of_any_size_are_fitted(data, every_regressor, size, dtype):
    X, y = data
    X = X.astype(dtype)
    model = make(every_regressor).fit(X, y * size)
    expected = make(every_regressor).fit(X, y).predict(X)
    np.testing.assert_allclose(model.predict(X) / size, expected, rtol=1e-3, atol=1)
    assert np.isfinite(model.output_weights_).all()
    assert model.output_weights_.any()


def test_small_differences_of_large_targets_are_seen(data):
    X, y = data
    y = 1e12 + np.round(y)
    model = make(max_iter=60).fit(X, y)
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize("value", [0.1, 1e-300, -1e300, 0.0])
def test_constant_targets_have_no_scale(value):
    scaling = TargetScaling.of(np.full(7, value), np.arange(7.0))
    assert scaling.scale == 1
    assert scaling.mean == value


@given(targets)
@settings(deadline=None)
def test_standardised_targets_come_back(y):
    scaling = TargetScaling.of(y, None)
    assert np.isfinite(scaling.mean).all()
    assert (scaling.scale > 0).all()
    codes = scaling.encode(y)
    assert np.isfinite(codes).all()
    size = np.abs(y).max(axis=0)
    with np.errstate(over="ignore"):
        assert (np.abs(scaling.decode(codes) - y) <= 1e-9 * size).all()
    assert (np.abs(codes.mean(axis=0)) < 1e-6).all()


@given(targets.filter(lambda y: len(y) > 1), st.integers(0, 3))
@settings(deadline=None)
def test_weights_are_repetitions_and_zero_is_none(y, weight):
    weights = np.array([weight, *[1] * (len(y) - 1)], float)
    weighted = TargetScaling.of(y, weights)
    repeated = TargetScaling.of(y.repeat(weights.astype(int), axis=0), None)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-6)
    size = np.abs(y).max()
    np.testing.assert_allclose(
        weighted.mean, repeated.mean, rtol=1e-9, atol=1e-9 * size
    )


# Where outliers are not to count.


def test_robust_scale_of_normal_targets_is_their_deviation():
    y = 300 * np.random.default_rng(0).normal(size=(10_000, 1)) + 500
    plain, robust = TargetScaling.of(y, None), TargetScaling.robust(y, None)
    np.testing.assert_allclose(robust.scale, plain.scale, rtol=0.03)
    np.testing.assert_allclose(robust.mean, plain.mean, rtol=0.03)
    y[::10] = 1e12
    spoilt = TargetScaling.robust(y, None)
    np.testing.assert_allclose(spoilt.scale, robust.scale, rtol=0.3)


@given(targets, st.floats(0.01, 0.99))
@settings(deadline=None)
def test_robustly_scaled_targets_come_back(y, share):
    scaling = TargetScaling.robust(y, None, share)
    assert np.isfinite(scaling.mean).all()
    assert (scaling.scale > 0).all()
    codes = scaling.encode(y)
    size, is_far = np.abs(y).max(axis=0), np.abs(codes) >= 1e30
    assert (codes[is_far] == np.copysign(1e30, y - scaling.mean)[is_far]).all()
    with np.errstate(over="ignore"):
        error = np.abs(scaling.decode(codes) - y)
    assert ((error <= 1e-9 * size) | is_far).all()


@given(targets, st.integers(0, 3), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_weights_are_repetitions_for_quantiles_too(y, weight, share):
    weights = np.array([weight, *[1] * (len(y) - 1)], float)
    if not weights.any():
        return
    weighted = TargetScaling.robust(y, weights, share)
    repeated = TargetScaling.robust(y.repeat(weights.astype(int), axis=0), None, share)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-9)
    np.testing.assert_array_equal(weighted.mean, repeated.mean)


def test_where_quartiles_are_equal_the_others_tell_the_scale():
    y = np.where(np.arange(100) < 80, 7.0, 7.0 + np.arange(100))
    scaling = TargetScaling.robust(y, None)
    assert scaling.mean == 7
    assert scaling.scale == pytest.approx(2 * 89.5 / 1.349)
    assert TargetScaling.robust(np.full(5, 0.1), None).scale == 1


def test_quantiles_are_the_centre():
    scaling = TargetScaling.robust(np.arange(101.0), None, 0.9)
    assert scaling.mean == 90


@given(targets)
@settings(deadline=None)
def test_means_of_numbers_of_any_size(y):
    y = np.abs(y)
    size = y.max()
    expected = (y / max(size, 1e-300)).mean(axis=0)
    np.testing.assert_allclose(mean_of(y, None) / max(size, 1e-300), expected)
    assert (mean_of(y, np.zeros(len(y))) == 1).all()


# What weighs little.


def test_rows_of_next_to_no_weight_do_not_overflow(data, every_regressor):
    X, y = data
    y = y.copy()
    y[0] = 1e150
    weights = np.where(np.arange(len(y)) == 0, 1e-300, 1.0)
    predicted = make(every_regressor).fit(X, y, sample_weight=weights).predict(X)
    assert np.isfinite(predicted).all()


# What is no number.


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b"], "y must be numbers for a regressor.*use a classifier"),
        (np.array(["1", "2"], dtype=object), "y must be numbers for a regressor"),
        (np.array(["a", "b"], dtype=object), "y must be numbers for a regressor"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), "y holds dates or times"),
        (pd.to_timedelta([1, 2], "D"), "y holds dates or times"),
        (np.array([1j, 2]), "[Cc]omplex"),
        (np.array([None, 1.0], dtype=object), "NaN|must be numbers"),
        (np.array([Decimal(1), Decimal("Infinity")]), "infinity|must be numbers"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(data, every_regressor, y, message):
    X, _ = data
    y = np.asarray(y)[np.arange(len(X)) % 2]
    with pytest.raises(ValueError, match=message):
        make(every_regressor).fit(X, y)


def test_dates_beside_numbers_are_refused(data, every_regressor):
    X, y = data
    days = pd.to_datetime(["2026-01-01"] * len(y))
    with pytest.raises(ValueError, match="y holds dates or times"):
        make(every_regressor).fit(X, pd.DataFrame({"a": y, "b": days}))


def test_sparse_targets_are_refused(data, every_regressor):
    X, y = data
    with pytest.raises(TypeError, match=r"y is sparse.*toarray"):
        make(every_regressor).fit(X, sparse.csr_array(y[:, None]))


@pytest.mark.parametrize(
    "y", [np.array([Decimal(1), Decimal(2)]), np.array([True, False]), [1, 2**70]]
)
def test_numbers_of_other_kinds_are_taken(y):
    found = as_numbers(np.asarray(y))
    assert found.dtype == np.float64
    assert found.tolist() == [float(value) for value in y]


# Arrays that torch does not take.


@pytest.mark.sweep(2)
@pytest.mark.parametrize("kind", ["backwards", "big-endian", "read-only", "Fortran"])
def test_arrays_may_lie_in_memory_in_any_way(data, answers, every_estimator, kind):
    X, y = data
    weights, positions = np.linspace(1, 2, len(y)), np.arange(6.0).reshape(3, 2)
    y = y > 500 if hasattr(every_estimator, "predict_proba") else y

    def arranged(a):
        if kind == "backwards":
            return a[::-1].copy()[::-1]
        if kind == "big-endian" and a.dtype.kind == "f":
            return a.astype(a.dtype.newbyteorder(">"))
        if kind == "Fortran":
            return np.asfortranarray(a)
        a = a.copy()
        a.flags.writeable = False
        return a

    model = make(every_estimator, max_iter=2)
    other = make(every_estimator, max_iter=2)
    if "feature_positions" in model.get_params():
        model.set_params(feature_positions=positions)
        other.set_params(feature_positions=arranged(positions))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, weights, X_val=X, y_val=y)
        other.fit(*map(arranged, (X, y, weights)), X_val=arranged(X), y_val=arranged(y))
    np.testing.assert_allclose(
        answers(other, arranged(X)), answers(model, X), rtol=1e-6, atol=1e-6
    )
