"""Labels of classes: what is taken for one, their codes, and their weights."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression

from sknm import FeedForwardClassifier
from sknm.checks import of_usual_size
from sknm.targets.labels import class_weights, distinct, encode_labels


def make(estimator=FeedForwardClassifier, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 3, "random_state": 0}
    return estimator(**defaults | parameters)


@pytest.fixture(scope="module")
def three():
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, np.arange(60) % 3


# Which labels there are.


@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 2],
        ["c", "a", "b"],
        [2.0, 0.0, 1.0],
        np.array(["c", "a", "b"], dtype=object),
        pd.Series(["c", "a", "b"], dtype="category"),
        pd.Series([3, 1, 2], dtype="Int64"),
    ],
)
def test_labels_are_predicted_as_they_were_given(three, labels):
    X, codes = three
    y = np.asarray(labels)[codes]
    model = make(max_iter=60).fit(X, y)
    assert model.classes_.tolist() == sorted(labels)
    assert set(model.predict(X)) <= set(y.tolist())
    np.testing.assert_array_equal(model.classes_, np.unique(y))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", 1], "mixes labels of different types"),
        (["a", None], "missing value|NaN|mix"),
        (["a", np.nan], "missing value|NaN|mix"),
        (["a", pd.NA], "missing value|NaN|NA"),
    ],
)
def test_labels_without_an_order_or_missing_are_refused(three, y, message):
    X, codes = three
    y = np.array(y, dtype=object)[codes % 2]
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(X, y)


def test_large_whole_numbers_of_pandas_are_told_apart(three):
    X, codes = three
    y = pd.Series(np.array([2**53, 2**53 + 1, 5])[codes], dtype="Int64")
    assert make().fit(X, y).classes_.tolist() == [5, 2**53, 2**53 + 1]
    y = pd.Series(codes > 0, dtype="boolean")
    assert make().fit(X, y).predict(X).dtype == bool


def test_sparse_labels_are_refused(three):
    X, y = three
    with pytest.raises((ValueError, TypeError), match=r"[Ss]parse"):
        make().fit(X, sparse.csr_array(y[:, None]))


@pytest.mark.parametrize(
    "classes",
    [{0, 1, 2}, frozenset([2, 1, 0]), {0: "", 1: "", 2: ""}.keys(), (2, 0, 1)],
)
def test_classes_may_come_in_any_collection(three, every_classifier, classes):
    X, y = three
    model = make(every_classifier).partial_fit(X, y, classes=classes)
    assert model.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([0, 1, np.nan], "classes contains a missing value"),
        ([0, "a"], "y has labels .* did not know|mixes"),
        (np.array([0, "a"], dtype=object), "classes mixes labels of different types"),
        ([[0, 1, 2]], r"must be a list of labels"),
        (3, r"must be a list of labels"),
        ([], "classes is empty"),
        (["0", "1", "2"], "y has labels .* that the fit did not know"),
    ],
)
def test_classes_that_are_none_are_refused(three, every_classifier, classes, message):
    X, y = three
    model = make(every_classifier)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y, classes=classes)
    assert not hasattr(model, "classes_")
    assert model.partial_fit(X, y, classes=[0, 1, 2]).n_iter_ == 1


def test_a_class_of_one_row_is_called_by_its_label():
    X = np.random.default_rng(0).normal(size=(41, 3))
    y = np.append(np.repeat(["ant", "bee"], 20), "cow")
    with pytest.raises(ValueError, match=r"least populated class.*(cow|1 member)") as e:
        make(early_stopping=True).fit(X, y)
    assert not re.search(r"\[2\]", str(e.value))


def test_codes_are_places_among_the_classes():
    classes = np.array(["a", "b", "c"])
    codes = encode_labels(np.array(["c", "a", "c"], dtype=object), classes)
    assert codes.tolist() == [2, 0, 2]
    assert encode_labels(np.array([True, False]), np.array([0, 1])).tolist() == [1, 0]
    assert distinct(np.array([2, 1, 2]), "y").tolist() == [1, 2]


# Classes without weight.


def test_every_class_keeps_its_place(three, every_classifier):
    X, y = three
    weights = (y < 2) * 1.0
    for model in (
        make(every_classifier).fit(X, y, sample_weight=weights),
        make(every_classifier, class_weight={2: 0}).fit(X, y),
        make(every_classifier, early_stopping=True).fit(X, y, sample_weight=weights),
    ):
        assert model.classes_.tolist() == [0, 1, 2]
        assert model.predict_proba(X).shape == (60, 3)
    vote = VotingClassifier(
        [("ours", make(every_classifier)), ("theirs", LogisticRegression())],
        voting="soft",
    )
    vote.fit(X, y, sample_weight=weights).predict(X)
    p = CalibratedClassifierCV(make(every_classifier), cv=2)
    assert p.fit(X, y, sample_weight=weights).predict_proba(X).max() < 1


# Weights of classes.


def test_weights_of_classes_that_are_not_named_are_one(three, every_classifier):
    X, y = three
    few = y < 2
    model = make(every_classifier, class_weight={2: 5.0})
    model.partial_fit(X[few], y[few], classes=[0, 1, 2])
    plain = make(every_classifier).partial_fit(X[few], y[few], classes=[0, 1, 2])
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    model.set_params(warm_start=True).fit(X[few], y[few])


def test_weights_of_classes_are_those_of_the_dictionary_or_balanced():
    classes, y = np.array(["a", "b", "c"]), np.array([0, 0, 0, 1])
    named = class_weights({"b": 4.0}, classes, y)
    np.testing.assert_array_equal(named / named[0], [1, 4, 1])
    balanced = class_weights("balanced", classes, y)
    np.testing.assert_allclose(balanced[:2], [4 / 6, 2])


@pytest.mark.parametrize(
    "weight", [np.inf, -np.inf, np.nan, -1.0, "much", None, 10**400]
)
def test_weights_that_are_none_are_named(three, every_classifier, weight):
    X, y = three
    with pytest.raises(ValueError, match=r"class_weight=.*'?ant'?"):
        make(every_classifier, class_weight={"ant": weight}).fit(
            X, np.array(["ant", "bee", "cow"])[y]
        )


def test_weights_by_code_instead_of_label_are_refused(three):
    X, y = three
    labels = np.array(["ant", "bee", "cow"])[y]
    with pytest.raises(ValueError, match=r"ant.*has weights of \[0\].*by label"):
        make(class_weight={0: 2.0}).fit(X, labels)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("size", [1e308, 1e-308, 1e-320])
def test_weights_of_any_size_are_weights(three, answers, every_estimator, size):
    X, y = three
    weights = np.where(y == 0, 1.0, 0.5)
    expected = answers(make(every_estimator).fit(X, y, sample_weight=weights), X)
    found = answers(make(every_estimator).fit(X, y, sample_weight=size * weights), X)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_usual_size_is_an_exact_power_of_two_away():
    weights = np.array([3.0, 1.0, 0.1]) * 1e300
    small = of_usual_size(weights)
    assert small.max() <= 1
    np.testing.assert_array_equal(small[0] / small, weights[0] / weights)
