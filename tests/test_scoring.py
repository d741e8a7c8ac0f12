"""Scores of one's own while training: what scorers see, and what they decide."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import get_scorer, log_loss, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.prediction import compute
from sknm.targets import MEAN_LOSSES, NUMERIC_LOSSES


def make(estimator=sknm.FeedForwardClassifier, **parameters):
    defaults = {"n_nodes": 10, "max_iter": 4, "random_state": 0}
    return estimator(**defaults | parameters)


@pytest.fixture(scope="module")
def halves(overlapping):
    X, y = overlapping
    return {"X": X[:80], "y": y[:80], "X_val": X[80:], "y_val": y[80:]}


NAMES = ["neg_log_loss", "roc_auc", "balanced_accuracy"]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_score_is_that_of_the_fitted_model(halves, every_classifier, name):
    model = make(every_classifier, scoring=name).fit(**halves)
    assert len(model.validation_scores_) == model.n_iter_
    expected = get_scorer(name)(model, halves["X_val"], halves["y_val"])
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)


def test_scores_heed_the_temperature_also_where_training_goes_on(halves):
    model = make(scoring="neg_log_loss", warm_start=True).fit(**halves)
    model.fit(**halves)
    assert model.temperature_ != 1
    expected = get_scorer("neg_log_loss")(model, halves["X_val"], halves["y_val"])
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)


def test_scores_of_regressors_are_in_the_units_of_the_user(halves, every_regressor):
    X, y = halves["X"], 1000 * halves["X"][:, 0] + 500
    model = make(every_regressor, scoring="neg_mean_absolute_error", loss="huber")
    model.fit(X, y, X_val=X[:40], y_val=y[:40])
    expected = -mean_absolute_error(y[:40], model.predict(X[:40]))
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [*NUMERIC_LOSSES, *MEAN_LOSSES])
def test_what_is_minimised_tells_when_to_stop(halves, loss):
    X, y = halves["X"], np.exp(halves["X"][:, 0])
    model = make(sknm.FeedForwardRegressor, loss=loss, early_stopping=True)
    model.fit(X, y, X_val=X[:40], y_val=y[:40])
    scores = model.validation_scores_
    if loss == "squared_error":
        assert scores[-1] == pytest.approx(model.score(X[:40], y[:40]), rel=1e-5)
    else:
        np.testing.assert_array_equal(scores, np.negative(model.validation_loss_curve_))


def test_training_is_the_same_whoever_looks_on(halves, answers, every_estimator):
    plain = make(every_estimator).fit(**halves)
    own = make(every_estimator, scoring=_asks_for_other_rows).fit(**halves)
    assert own.loss_curve_ == plain.loss_curve_
    np.testing.assert_array_equal(
        answers(own, halves["X"]), answers(plain, halves["X"])
    )
    assert own.validation_loss_curve_ == plain.validation_loss_curve_


def _asks_for_other_rows(estimator, X, y):
    assert estimator.node_values(X[:5]).shape[0] == 5
    return -np.abs(estimator.predict(X[::-1])[::-1] - y).mean()


def _early_is_best(estimator, X, y):
    """Fall from call to call, whatever is learned."""
    _early_is_best.n_calls += 1
    return -float(_early_is_best.n_calls)


def test_training_stops_by_the_scorer(halves):
    _early_is_best.n_calls = 0
    model = make(early_stopping=True, n_iter_no_change=3, max_iter=30)
    model.set_params(scoring=_early_is_best, calibration_fraction=None).fit(**halves)
    assert model.validation_scores_ == [-1, -2, -3, -4]
    # The weights are those of the first epoch again.
    first = model.validation_loss_curve_[0]
    probabilities = model.predict_proba(halves["X_val"])
    smoothed = 0.9 * np.eye(2)[halves["y_val"]] + 0.05
    found = -(smoothed * np.log(probabilities)).sum(1).mean()
    assert found == pytest.approx(first, rel=1e-6)
    model.set_params(scoring=lambda *rows: -_early_is_best(*rows)).fit(**halves)
    assert model.n_iter_ == 30


def test_the_loss_can_be_the_score(halves, every_estimator):
    model = make(every_estimator, scoring="loss", early_stopping=True)
    model.fit(**halves)
    curve = model.validation_loss_curve_
    assert model.validation_scores_ == [-loss for loss in curve]
    assert len(curve) == model.n_iter_


def test_validation_loss_is_the_loss_of_the_rows(halves):
    model = make(label_smoothing=0.0, calibration_fraction=None).fit(**halves)
    expected = log_loss(halves["y_val"], model.predict_proba(halves["X_val"]))
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)
    model = make(sknm.NeuralModuleRegressor).fit(**halves)
    error = (halves["y_val"] - model.predict(halves["X_val"])) / halves["y"].std()
    expected = (error**2).mean() / 2
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-6)


def test_without_validation_data_there_are_no_curves(halves, every_estimator):
    X, y = halves["X"], halves["y"]
    model = make(every_estimator, max_iter=1, scoring="max_nothing")
    with pytest.raises(ValueError, match="'scoring' parameter"):
        model.fit(X, y)
    model.set_params(scoring="r2").fit(X, y)
    assert model.validation_scores_ is None
    assert model.validation_loss_curve_ is None


# What scorers see.


class Spy:
    """A scorer that keeps what it is given."""

    def __init__(self):
        self.seen = []

    def __call__(self, estimator, X, y, sample_weight=None):
        found = estimator.predict(X)
        self.seen.append((type(estimator), X, y, sample_weight, found))
        return float(np.mean(found == y))


FORMS = {
    "array": lambda X: X,
    "lists": lambda X: X.tolist(),
    "sparse": sparse.csr_array,
    "pandas": lambda X: pd.DataFrame(X, columns=list("abcde")).assign(t="u"),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_set_aside_look_as_they_were_given(overlapping, form):
    X, y = overlapping
    labels = np.array(["no", "yes"])[y]
    given, spy = FORMS[form](X), Spy()
    model = make(scoring=spy, early_stopping=True, validation_fraction=0.25)
    model.fit(given, labels)
    kind, rows, targets, weights, found = spy.seen[-1]
    assert kind is type(model)
    assert weights is None
    assert isinstance(rows, type(given)) or form == "lists"
    known = {row.tobytes(): label for row, label in zip(X, labels, strict=True)}
    numbers = rows.toarray() if form == "sparse" else np.asarray(rows)[:, :5]
    expected = [known[row.astype(float).tobytes()] for row in numbers]
    assert targets.tolist() == expected
    assert len(rows if form != "sparse" else targets) == 30
    assert model.validation_scores_[-1] == np.mean(found == targets)


def test_frames_of_polars_stay_such(overlapping):
    polars = pytest.importorskip("polars")
    X, y = overlapping
    spy = Spy()
    make(scoring=spy, early_stopping=True).fit(polars.DataFrame(X), y)
    assert isinstance(spy.seen[0][1], polars.DataFrame)


def test_rows_that_are_left_out_are_not_mixed_up(overlapping):
    X, y = overlapping
    weights = np.where(np.arange(len(X)) % 3, 1.0 + np.arange(len(X)), 0.0)
    spy = Spy()
    make(scoring=spy, early_stopping=True).fit(X, y, sample_weight=weights)
    _, rows, targets, seen, _ = spy.seen[0]
    numbers = [int(np.flatnonzero((X == row).all(1))[0]) for row in rows]
    np.testing.assert_array_equal(targets, y[numbers])
    np.testing.assert_allclose(seen / seen[0], weights[numbers] / weights[numbers[0]])
    assert (weights[numbers] > 0).all()


def test_outputs_are_computed_once_an_epoch(halves, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(len(arguments[1]))
        return compute(*arguments)

    monkeypatch.setattr("sknm.validation.compute", counted)
    monkeypatch.setattr("sknm.base.compute", counted)
    make(scoring="roc_auc", early_stopping=True).fit(**halves)
    assert calls == [40] * 4


def test_several_labels_are_scored(overlapping):
    X, _ = overlapping
    Y = (X[:, :3] > 0).astype(int)
    model = make(scoring="f1_macro", early_stopping=True).fit(X, Y)
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) > 0


# Weights.


def test_weights_of_validation_rows_count(halves):
    weights = np.random.default_rng(0).integers(0, 4, 40)
    repeated = {
        "X_val": halves["X_val"].repeat(weights, 0),
        "y_val": halves["y_val"].repeat(weights),
    }
    for scoring in (None, "loss", "neg_log_loss"):
        # By how far to trust them depends on the number of rows, too.
        model = make(scoring=scoring, calibration_fraction=None)
        weighted = clone(model).fit(**halves, sample_weight_val=weights)
        expected = clone(model).fit(**halves | repeated)
        for name in ("validation_scores_", "validation_loss_curve_"):
            np.testing.assert_allclose(
                getattr(weighted, name), getattr(expected, name), rtol=1e-9
            )


def test_weights_of_validation_rows_are_checked(halves):
    with pytest.raises(ValueError, match="sample_weight_val weighs the rows of X_val"):
        make().fit(halves["X"], halves["y"], sample_weight_val=np.ones(40))
    for weights in (np.ones(39), np.full(40, -1.0), np.zeros(40)):
        with pytest.raises(ValueError, match="validation with sample_weight_val"):
            make().fit(**halves, sample_weight_val=weights)


def test_weights_of_validation_rows_can_be_routed(halves, every_estimator):
    with sklearn.config_context(enable_metadata_routing=True):
        model = make(every_estimator).set_fit_request(
            X_val=True, y_val=True, sample_weight_val=True, sample_weight=True
        )
        pipe = make_pipeline(StandardScaler(), model)
        weights = np.arange(1.0, 41)
        pipe.fit(**halves, sample_weight_val=weights)
    scaled = pipe[0].transform(halves["X"])
    alone = make(every_estimator)
    alone.fit(**halves | {"X": scaled}, sample_weight_val=weights)
    assert pipe[1].validation_scores_ == alone.validation_scores_


def test_scorers_that_take_no_weights_are_told_of(halves):
    model = make(scoring=_asks_for_other_rows, class_weight="balanced")
    with pytest.raises(ValueError, match=r"scoring=.*parameter sample_weight"):
        model.fit(**halves)
    equal = np.full(40, 2.0)  # which is the same as none
    model.set_params(class_weight=None).fit(**halves, sample_weight_val=equal)


# Scorers that fail.


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (lambda e, X, y: np.nan, r"scoring=.* gave nan on the validation data"),
        (lambda e, X, y: -np.inf, r"gave -inf .*finite number"),
        (lambda e, X, y: {"a": 1}, r"has failed on the validation data: TypeError"),
        (lambda e, X, y: e.nothing, r"has failed .*AttributeError.*nothing"),
        (lambda e: 0.0, r"has failed .*TypeError.*estimator, X and y"),
        ("neg_mean_gamma_deviance", r"'neg_mean_gamma_deviance'.* has failed"),
    ],
)
def test_scorers_that_fail_are_told_of(halves, answers, scorer, message):
    model = make(sknm.FeedForwardRegressor, warm_start=True).fit(**halves)
    before = answers(model, halves["X"])
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.set_params(scoring=scorer).fit(**halves)
    np.testing.assert_array_equal(answers(model, halves["X"]), before)


def test_an_overflow_of_a_scorer_is_no_divergence(halves):
    def overflowing(estimator, X, y):
        raise RuntimeError("overflow")

    with pytest.raises(ValueError, match="has failed on the validation data"):
        make(scoring=overflowing).fit(**halves)


# The life of a model.


def test_curves_go_on_and_are_pickled(halves):
    model = make(scoring="roc_auc", warm_start=True).fit(**halves)
    model = pickle.loads(pickle.dumps(model)).fit(**halves)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 8
    model.fit(halves["X"], halves["y"])
    assert len(model.validation_loss_curve_) == 8


def test_scorers_can_be_searched_over(halves):
    own = make_scorer(
        log_loss, response_method="predict_proba", greater_is_better=False
    )
    search = GridSearchCV(
        make(early_stopping=True), {"scoring": [None, "loss", "f1", own]}, cv=2
    )
    search.fit(halves["X"], halves["y"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
