"""What is told of each module."""

import builtins

import numpy as np
import pandas as pd
import pytest

import sknm
from sknm.datasets import make_planted_modules

SMALL = {"n_nodes": 24, "max_iter": 2, "random_state": 0}


@pytest.fixture(scope="module")
def planted():
    X, y, _ = make_planted_modules(150, n_classes=3, random_state=0)
    return X, np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def model(planted):
    X, y = planted
    frame = pd.DataFrame(X).add_prefix("f")
    return sknm.NeuralModuleClassifier(module_size=5, **SMALL).fit(frame, y)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).integers(0, 3, 150).astype(float)


@pytest.fixture(scope="module")
def summary(model, planted, weights):
    X, y = planted
    return model.module_summary(pd.DataFrame(X).add_prefix("f"), y, weights)


def check_scores(model, X, y, weights):
    found = model.module_summary(X, y, weights)["score_without"]
    n_modules = model.feature_modules_.shape[1]
    expected = [model.drop_modules([m]).score(X, y, weights) for m in range(n_modules)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert n_modules > 1


def test_it_names_sizes_and_features(model, summary):
    assert isinstance(summary, pd.DataFrame)
    np.testing.assert_array_equal(summary["n_nodes"], model.module_sizes_)
    for features, column in zip(
        summary["features"], model.feature_modules_.T, strict=True
    ):
        assert features == [f"f{j}" for j in np.flatnonzero(column)]


def test_shares_of_the_variance_add_up(summary, model, planted, weights):
    X = pd.DataFrame(planted[0]).add_prefix("f")
    assert summary["variance_share"].sum() == pytest.approx(1)
    terms = model.module_contributions(X)
    terms -= terms.mean(axis=2, keepdims=True)
    found = 0
    for k in range(3):
        cov = np.cov(terms[:, 1, k], terms[:, :, k].sum(axis=1), fweights=weights)
        found += cov[0, 1]
    totals = np.cov(terms.sum(axis=1).T, fweights=weights.astype(int)).trace()
    assert summary["variance_share"][1] == pytest.approx(found / totals)


def test_scores_are_those_of_copies_without_the_module(model, planted, weights):
    X, y = planted
    check_scores(model, pd.DataFrame(X).add_prefix("f"), y, weights)


@pytest.mark.parametrize(
    "parameters", [{}, {"loss": "poisson"}, {"n_members": 2}, {"loss": "huber"}]
)
def test_scores_of_regressors_are_r2_without_the_module(parameters, weights):
    X, y, _ = make_planted_modules(150, random_state=0)
    y = np.exp(y + X[:, 0])
    y = np.column_stack([y, 100 * y[::-1]])
    model = sknm.NeuralModuleRegressor(module_size=8, **SMALL, **parameters)
    check_scores(model.fit(X, y), X, y, weights)
    summary = model.module_summary(X)
    assert summary["variance_share"].sum() == pytest.approx(1)
    assert [*summary] == ["module", "n_nodes", "features", "variance_share"]


@pytest.mark.parametrize("kind", ["two", "labels", "three"])
def test_modules_vote_for_what_they_speak_for(kind, planted):
    # A layer whose nodes each raise one class, on rows of their own.
    X, y = planted
    codes = np.searchsorted(["a", "b", "c"], y)
    targets = {"two": codes > 0, "labels": np.eye(3, dtype=int)[codes], "three": y}
    layer = sknm.FeedForwardClassifier(**{**SMALL, "n_nodes": 3}).fit(X, targets[kind])
    V = layer.net_.module_.output_weights
    n_outputs = V.shape[1]
    own = np.arange(3) % n_outputs
    V.data.zero_()
    V.data[np.arange(3), own] = 5.0
    layer.net_.module_.output_biases.data.zero_()
    expected = [[layer.classes_.tolist()[k]] for k in own]
    assert list(layer.module_summary(X)["votes_for"]) == expected
    V.data.zero_()
    assert list(layer.module_summary(X)["votes_for"]) == [[]] * 3
    assert np.isnan(layer.module_summary(X)["variance_share"]).all()


def test_strong_modules_that_others_depend_on_have_no_score(planted):
    X, y = planted
    model = sknm.NeuralModuleClassifier(
        30, module_size=10, connection="strong", tau=0.25, max_iter=2, random_state=0
    )
    scores = model.fit(X, y).module_summary(X, y)["score_without"]
    source, target = (model.module_labels_[e] for e in model.topology_.edges.nonzero())
    feeding = np.unique(source[source != target])
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(scores)), feeding)
    assert 0 < len(feeding) < model.n_modules_


def test_without_pandas_it_is_a_dict(planted, monkeypatch):
    X, y = planted
    model = sknm.FeedForwardClassifier(3, max_iter=2, random_state=0).fit(X, y)
    expected = model.module_summary(X, y)
    there = builtins.__import__

    def missing(name, *args):
        if name == "pandas":
            raise ImportError
        return there(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    found = model.module_summary(X, y)
    assert isinstance(found, dict)
    assert found == {name: column.tolist() for name, column in expected.items()}


def test_what_can_not_be_told_is_refused(model, planted):
    X, y = planted
    frame = pd.DataFrame(X).add_prefix("f")
    with pytest.raises(ValueError, match="zero"):
        model.module_summary(frame, y, np.zeros(len(y)))
    ensemble = sknm.DEQClassifier(n_members=2, **SMALL).fit(X, y)
    with pytest.raises(ValueError, match="n_members=1"):
        ensemble.module_summary(X)
