"""Several labels a row: what an indicator matrix means, and what is predicted."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier

import sknm
from sknm.targets import ClassTarget, IndicatorTarget


def make(estimator=sknm.FeedForwardClassifier, **parameters):
    defaults = {"n_nodes": 20, "max_iter": 30, "random_state": 0}
    return estimator(**defaults | parameters)


@pytest.fixture(scope="module")
def topics():
    """Three labels of overlapping rows, and rows without any."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    noise = 0.3 * rng.normal(size=(300, 3))
    margins = np.c_[X[:, 0] - 0.5, X[:, 1] + X[:, 2], X[:, 0] * X[:, 3]]
    return X, (margins + noise > 0).astype(int)


def test_labels_are_predicted_as_indicators(topics, every_classifier):
    X, Y = topics
    model = make(every_classifier).fit(X, Y)
    assert model.classes_.tolist() == [0, 1, 2]
    found, probabilities = model.predict(X), model.predict_proba(X)
    assert found.shape == probabilities.shape == Y.shape
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, probabilities > 0.5)
    logarithms = model.predict_log_proba(X)
    np.testing.assert_allclose(np.exp(logarithms), probabilities, rtol=1e-12)
    assert (found == Y).mean() > 0.7
    assert model.score(X, Y) == accuracy_score(Y, found)
    # Labels are independent: rows have none, and several.
    assert {0, 1, 2} <= set(found.sum(axis=1).tolist())


def test_it_is_no_worse_than_a_model_for_each_label():
    X, Y = make_multilabel_classification(
        1000, 10, n_classes=4, n_labels=2, random_state=0
    )
    model = make(n_nodes=50)
    together = clone(model).fit(X[:600], Y[:600])
    apart = MultiOutputClassifier(clone(model)).fit(X[:600], Y[:600])
    scores = [
        f1_score(Y[600:], each.predict(X[600:]), average="macro")
        for each in (together, apart)
    ]
    assert scores[0] > scores[1] - 0.03
    assert scores[0] > 0.75
    alone = np.column_stack([p[:, 1] for p in apart.predict_proba(X[600:])])
    assert np.abs(together.predict_proba(X[600:]) - alone).mean() < 0.12


def test_conventions_are_those_of_scikit_learn(topics):
    X, Y = topics
    ours = make(max_iter=3).fit(X, Y)
    theirs = MLPClassifier((5,), tol=0.1, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    for method in ("predict", "predict_proba"):
        found, expected = (getattr(m, method)(X) for m in (ours, theirs))
        assert type(found) is type(expected)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
    tags = ours.__sklearn_tags__()
    assert tags.classifier_tags.multi_label
    assert not tags.target_tags.multi_output


@pytest.mark.parametrize(
    "kind", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array]
)
def test_sparse_indicators_give_sparse_ones(topics, kind):
    X, Y = topics
    model = make(max_iter=5).fit(X, kind(Y))
    dense = make(max_iter=5).fit(X, Y)
    assert sparse.issparse(model.predict(X))
    np.testing.assert_array_equal(model.predict(X).toarray(), dense.predict(X))
    np.testing.assert_array_equal(model.predict_proba(X), dense.predict_proba(X))
    assert model.score(X, kind(Y).tocsr()) == dense.score(X, Y)


@pytest.mark.parametrize(
    "as_given",
    [
        np.ndarray.tolist,
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(float),
        pd.DataFrame,
    ],
    ids=["lists", "truth values", "floats", "frame"],
)
def test_indicators_come_in_all_forms(topics, as_given):
    X, Y = topics
    expected = make(max_iter=3).fit(X, Y)
    found = make(max_iter=3).fit(X, as_given(Y))
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))


def test_a_column_is_one_label_a_row(topics):
    X, Y = topics
    with pytest.warns(Warning, match="column-vector y was passed"):
        model = make(max_iter=3).fit(X, Y[:, :1])
    expected = make(max_iter=3).fit(X, Y[:, 0])
    assert model.predict_proba(X).shape == (300, 2)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    with pytest.raises(ValueError, match=r"y is sparse.*dense array of shape"):
        make().fit(X, sparse.csr_array(Y[:, :1]))


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_that_never_or_always_occurs_is_no_trouble(topics, value):
    X, Y = topics
    Y = Y.copy()
    Y[:, 1] = value
    model = make(early_stopping=True, max_iter=60).fit(X, Y)
    assert (model.predict(X)[:, 1] == value).all()
    assert abs(model.predict_proba(X)[:, 1] - value).max() < 0.3
    constant = np.full_like(Y, value)
    assert (make().fit(X, constant).predict(X) == value).all()


def test_weight_of_a_row_is_its_repetition(topics):
    X, Y = topics
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    model = make(batch_size=1000, max_iter=6)
    repeated = clone(model).fit(X.repeat(weights, 0), Y.repeat(weights, 0))
    weighted = clone(model).fit(X, Y, sample_weight=weights)
    expected = repeated.predict_proba(X)
    np.testing.assert_allclose(weighted.predict_proba(X), expected, rtol=1e-6)
    assert abs(clone(model).fit(X, Y).predict_proba(X) - expected).max() > 1e-3


def test_label_smoothing_makes_probabilities_less_extreme(topics):
    X, Y = topics
    plain = make(calibration_fraction=None)  # the temperature makes up for it
    spread = [
        np.ptp(plain.set_params(label_smoothing=s).fit(X, Y).predict_proba(X))
        for s in (0.0, 0.5)
    ]
    assert spread[0] > spread[1] + 0.1


def test_early_stopping_scores_whole_rows(topics):
    X, Y = topics
    model = make(early_stopping=True, max_iter=40, n_iter_no_change=5)
    model.fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    assert max(model.validation_scores_) == pytest.approx(model.score(X[200:], Y[200:]))
    assert len(model.validation_loss_curve_) == len(model.validation_scores_)


def test_models_are_pickled_and_go_on(topics):
    X, Y = topics
    model = make(max_iter=5, warm_start=True).fit(X, Y)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    assert twin.fit(X, Y).n_iter_ == 10
    with pytest.raises(ValueError, match="y has 2 columns, but the fit knew 3 labels"):
        model.fit(X, Y[:, :2])
    with pytest.raises(ValueError, match=r"one label a row, but .* several labels"):
        model.fit(X, Y[:, 0])
    with pytest.raises(ValueError, match=r"several labels .*, but .* one label a row"):
        make(max_iter=2, warm_start=True).fit(X, Y[:, 0]).fit(X, Y)
    model.set_params(warm_start=False).fit(X, Y[:, 0])
    assert model.predict_proba(X).shape == (300, 2)


def test_partial_fit_knows_labels_by_their_columns(topics):
    X, Y = topics
    model = make()
    with pytest.raises(ValueError, match="classes must be given"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"classes=\[1, 2, 3\].*range\(3\)"):
        model.partial_fit(X, Y, classes=[1, 2, 3])
    for start in range(0, 300, 100):
        rows = slice(start, start + 100)
        model.partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
    assert model.n_iter_ == 3
    assert model.predict(X).shape == Y.shape


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0}])
def test_weights_of_classes_are_refused(topics, class_weight):
    model = make(class_weight=class_weight)
    with pytest.raises(ValueError, match=r"class_weight=.*indicator matrix"):
        model.fit(*topics)


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_what_is_no_indicator_is_refused(topics, value):
    X, Y = topics
    Y = np.where(np.arange(300)[:, None] == 5, value, Y)
    with pytest.raises(ValueError, match=r"no indicator matrix of 0 and 1|NaN"):
        make().fit(X, Y)
    model = make(max_iter=2).fit(X, topics[1])
    with pytest.raises(ValueError, match=r"no indicator matrix of 0 and 1|NaN"):
        model.partial_fit(X, Y)


def test_text_in_several_columns_is_refused(topics):
    X, Y = topics
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        make().fit(X, np.where(Y, "yes", "no"))


def test_validation_data_need_the_same_labels(topics):
    X, Y = topics
    for y_val in (Y[:, :2], Y[:, 0]):
        with pytest.raises(ValueError, match="can't be used for validation"):
            make().fit(X, Y, X_val=X, y_val=y_val)


def test_they_are_cross_validated_with_scorers_of_several_labels(topics):
    X, Y = topics
    for name in ("f1_macro", "roc_auc", "accuracy"):
        scores = cross_val_score(make(), X, Y, scoring=name, cv=2, error_score="raise")
        assert np.isfinite(scores).all()


def test_tables_with_trees_on_the_targets_take_several_labels(topics):
    X, Y = topics
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make(numerical_embedding="piecewise_tree").fit(frame, Y)
    assert (model.predict(frame) == Y).mean() > 0.8


def test_probabilities_are_the_targets_matter():
    outputs = np.array([[0.0, 2.0], [-1000.0, 1000.0]])
    target = IndicatorTarget(classes_=np.arange(2))
    np.testing.assert_allclose(target.probabilities(outputs)[0], [0.5, 0.880797], 1e-6)
    np.testing.assert_array_equal(target.probabilities(outputs)[1], [0, 1])
    np.testing.assert_array_equal(target.log_probabilities(outputs)[1], [-1000, 0])
    target = ClassTarget(classes_=np.arange(2))
    np.testing.assert_allclose(target.probabilities(outputs).sum(axis=1), 1)
    np.testing.assert_array_equal(target.log_probabilities(outputs)[1], [-2000, 0])
