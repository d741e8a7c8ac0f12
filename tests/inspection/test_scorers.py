"""Modules as scores of a search."""

import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.inspection import largest_share_scorer, n_modules_scorer

SCORING = {"n_modules": n_modules_scorer, "largest_share": largest_share_scorer}


def test_modules_of_each_split_are_scored():
    X, y = load_iris(return_X_y=True)
    model = sknm.NeuralModuleClassifier(12, module_size=4, max_iter=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    found = cross_validate(pipeline, X, y, scoring=SCORING, cv=2, return_estimator=True)
    modules = [fitted[-1] for fitted in found["estimator"]]
    assert found["test_n_modules"].tolist() == [m.n_modules_ for m in modules]
    shares = [m.module_sizes_.max() / 12 for m in modules]
    assert found["test_largest_share"].tolist() == shares


def test_modules_of_a_graph_are_its_components():
    X, y = load_iris(return_X_y=True)
    model = sknm.DEQClassifier(6, max_iter=1).fit(X, y)
    assert (n_modules_scorer(model), largest_share_scorer(model)) == (1, 1)


def test_what_has_no_modules_is_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="URNClassifier has no modules"):
        n_modules_scorer(sknm.URNClassifier(5, max_iter=1).fit(X, y))
    with pytest.raises(NotFittedError):
        largest_share_scorer(sknm.NeuralModuleClassifier())
