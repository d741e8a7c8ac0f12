"""Early stopping: held-out rows count by their weights."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score

import sknm
from sknm.checks import Samples


def make(estimator, **parameters):
    defaults = {"n_nodes": 10, "max_iter": 3, "random_state": 0}
    return estimator(**defaults | {"early_stopping": True} | parameters)


@pytest.fixture
def held_out(monkeypatch):
    """What each fit sets aside."""
    found, set_aside = [], Samples.set_aside

    def spy(self, *arguments):
        kept, held = set_aside(self, *arguments)
        found.append(held)
        return kept, held

    monkeypatch.setattr(Samples, "set_aside", spy)
    return found


@pytest.mark.parametrize("by_class", [False, True])
def test_accuracy_is_weighted(overlapping, every_classifier, held_out, by_class):
    X, y = overlapping
    weights = np.random.default_rng(0).uniform(0.01, 2, len(X))
    model = make(every_classifier, validation_fraction=0.4)
    if by_class:
        model.set_params(class_weight={0: 10.0})
        model.fit(X, y)
    else:
        model.fit(X, y, sample_weight=weights)
    (held,) = held_out
    rows = held.X.take(slice(None), held.X.device).numpy()
    known = {row.tobytes(): k for k, row in enumerate(X)}
    numbers = [known[row.tobytes()] for row in rows]
    expected = np.where(y == 0, 10, 1)[numbers] if by_class else weights[numbers]
    np.testing.assert_allclose(held.weights / held.weights[0], expected / expected[0])
    score = accuracy_score(y[numbers], model.predict(rows), sample_weight=expected)
    assert max(model.validation_scores_) == pytest.approx(score)


def test_r2_is_weighted(overlapping, every_regressor, held_out):
    X, _ = overlapping
    weights = np.random.default_rng(0).uniform(0.01, 2, len(X))
    model = make(every_regressor).fit(X, X[:, 0] + X[:, 1] ** 2, sample_weight=weights)
    (held,) = held_out
    rows = held.X.take(slice(None), held.X.device).numpy()
    y = rows[:, 0] + rows[:, 1] ** 2
    score = r2_score(y, model.predict(rows), sample_weight=held.weights)
    assert max(model.validation_scores_) == pytest.approx(score, abs=1e-6)
    assert held.weights.max() > 10 * held.weights.min()


def test_rubbish_of_no_weight_does_not_stop_early(every_regressor):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = 2 * X[:, 0]
    is_wrong = rng.random(400) < 0.5
    rubbish = np.where(is_wrong, -20 * X[:, 0], y)
    model = make(every_regressor, max_iter=20, learning_rate_init=0.05)
    model.fit(X, rubbish, sample_weight=np.where(is_wrong, 1e-6, 1))
    assert r2_score(y, model.predict(X)) > 0.9


@pytest.mark.parametrize("size", [1e3, 1e9])
def test_weight_that_is_set_aside_is_not_missed(held_out, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    model = make(sknm.FeedForwardRegressor, max_iter=60, n_iter_no_change=60)
    model.set_params(optimizer="sgd")
    model.fit(X, X[:, 0])
    rows = held_out[0].X.take(slice(None), held_out[0].X.device).numpy()
    is_held = (X[:, None] == rows).all(2).any(1)
    model.fit(X, X[:, 0], sample_weight=np.where(is_held, size, 1))
    assert r2_score(X[:, 0], model.predict(X)) > 0.9


def test_own_validation_data_are_weighted_by_class(overlapping, every_classifier):
    X, y = overlapping
    few = np.flatnonzero((y == 0) | (np.arange(len(y)) % 5 == 0))
    model = make(every_classifier, class_weight="balanced", max_iter=1)
    model.fit(X, y, X_val=X[few], y_val=y[few])
    expected = balanced_accuracy_score(y[few], model.predict(X[few]))
    assert model.validation_scores_ == [pytest.approx(expected)]


@pytest.mark.parametrize("given", [False, True])
def test_r2_of_one_row_is_refused(overlapping, every_regressor, given):
    X, y = overlapping
    model = make(every_regressor, validation_fraction=0.01)
    own = {"X_val": X[:1], "y_val": y[:1]} if given else {}
    with pytest.raises(ValueError, match=r"at least 2|At least 2"):
        model.fit(X[:60], y[:60], **own)


def test_classes_are_scored_on_one_row(overlapping):
    X, y = overlapping
    model = make(sknm.FeedForwardClassifier)
    model.fit(X, y, X_val=X[:1], y_val=y[:1])
    assert set(model.validation_scores_) <= {0.0, 1.0}
