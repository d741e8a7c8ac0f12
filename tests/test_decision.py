"""What classifiers decide by, and how probabilities follow from it."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.datasets import load_iris
from sklearn.metrics import get_scorer

import sknm


@pytest.fixture(scope="module")
def targets(overlapping):
    """Two classes, three, and two labels a row, by name."""
    X, y = overlapping
    three = np.digitize(X[:, 0] + X[:, 1] ** 2, [0.3, 1.5])
    labels = np.column_stack([y, X[:, 0] > 0, X[:, 1] > 0.5]).astype(int)
    return {"two": y, "three": np.array(["a", "b", "c"])[three], "labels": labels}


def make(estimator, n_members=1):
    return estimator(n_nodes=12, max_iter=4, n_members=n_members, random_state=0)


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
def test_probabilities_follow_from_decisions(
    every_classifier, kind, n_members, overlapping, targets
):
    X, y = overlapping[0], targets[kind]
    model = make(every_classifier, n_members).fit(X, y)
    found, P = model.decision_function(X), model.predict_proba(X)
    if kind == "two":
        assert found.shape == (len(X),)
        np.testing.assert_allclose(expit(found), P[:, 1], rtol=1e-10)
        np.testing.assert_array_equal(model.predict(X), model.classes_[1 * (found > 0)])
        return
    assert found.shape == (len(X), 3)
    of_decisions = softmax(found, axis=1) if kind == "three" else expit(found)
    np.testing.assert_allclose(of_decisions, P, rtol=1e-10)


def test_decisions_are_outputs_by_the_temperature():
    X, y = load_iris(return_X_y=True)
    model = sknm.FeedForwardClassifier(30, max_iter=6, random_state=0).fit(X, y)
    assert model.temperature_ != 1
    outputs = model.node_values(X) @ model.output_weights_ + model.output_biases_
    expected = outputs / model.temperature_
    np.testing.assert_allclose(model.decision_function(X), expected, rtol=1e-10)


def test_scorers_rank_by_decisions_as_by_probabilities(overlapping):
    X, y = overlapping
    model = make(sknm.NeuralModuleClassifier).fit(X, y)
    scorer = get_scorer("roc_auc")
    of_decisions = scorer(model, X, y)
    ranks = model.predict_proba(X)[:, 1].argsort().argsort()
    n_second = int(y.sum())
    n_pairs = n_second * (len(y) - n_second)
    expected = (ranks[y == 1].sum() - n_second * (n_second - 1) / 2) / n_pairs
    assert of_decisions == pytest.approx(expected)


def test_regressors_have_none(every_regressor):
    assert not hasattr(every_regressor(), "decision_function")
