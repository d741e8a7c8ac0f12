"""The estimators inside scikit-learn's own tools."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknm import NeuralModuleClassifier, NeuralModuleRegressor

GRID = {
    "neuralmoduleclassifier__tau": [0.0, 0.1],
    "neuralmoduleclassifier__lambda_NM": [0.0, 4.0],
    "neuralmoduleclassifier__n_nodes": [6, 12],
}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


def pipeline(**parameters):
    defaults = {"n_nodes": 12, "module_size": 6, "max_iter": 25, "random_state": 0}
    return make_pipeline(
        StandardScaler(), NeuralModuleClassifier(**defaults | parameters)
    )


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
def test_grid_search_over_the_parameters_of_the_method(iris):
    X, y = iris
    # The papers' configuration: there, each of the parameters matters at any size.
    model = pipeline(init="dense", penalty="nm")
    search = GridSearchCV(model, GRID, cv=2, error_score="raise").fit(X, y)
    results = search.cv_results_
    assert len(results["params"]) == 8
    assert np.isfinite(results["mean_test_score"]).all()
    # Each of the parameters reaches the network: no two candidates are the same.
    fitted = [clone(search.estimator).set_params(**p) for p in results["params"]]
    assert len({model.fit(X, y)[-1].loss_ for model in fitted}) == 8
    assert search.best_score_ > 0.85
    assert search.predict(X[:3]).dtype == y.dtype
    best = search.best_estimator_[-1]
    assert best.n_nodes == len(best.node_weights_)


@pytest.mark.slow
def test_processes_find_what_one_process_finds(iris):
    X, y = iris
    grid = {"neuralmoduleclassifier__tau": [0.0, 0.1]}
    one = GridSearchCV(pipeline(max_iter=5), grid, cv=2, error_score="raise")
    two = GridSearchCV(pipeline(max_iter=5), grid, cv=2, n_jobs=2, error_score="raise")
    one.fit(X, y)
    two.fit(X, y)
    np.testing.assert_array_equal(
        two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(two.predict_proba(X), one.predict_proba(X))


def test_cross_validation_of_a_classifier(iris):
    X, y = iris
    scores = cross_val_score(pipeline(max_iter=100), X, y, cv=3, error_score="raise")
    assert scores.min() >= 0.9
    probabilities = cross_val_predict(pipeline(), X, y, cv=3, method="predict_proba")
    assert probabilities.shape == (150, 3)


def test_cross_validation_of_a_regressor():
    X, y = make_regression(120, 4, noise=1.0, random_state=0)
    model = make_pipeline(
        StandardScaler(),
        NeuralModuleRegressor(20, module_size=10, max_iter=100, random_state=0),
    )
    scores = cross_val_score(model, X, y, cv=3, error_score="raise")
    assert scores.min() > 0.8


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "f1_macro"])
def test_scorers_of_scikit_learn(iris, scoring):
    X, y = iris
    scores = cross_val_score(
        pipeline(max_iter=5), X, y, cv=2, scoring=scoring, error_score="raise"
    )
    assert np.isfinite(scores).all()


def test_sample_weights_reach_the_estimator_of_a_pipeline(iris):
    X, y = iris
    weights = np.where(y == "setosa", 0.0, 1.0)
    model = pipeline(max_iter=30)
    model.fit(X, y, neuralmoduleclassifier__sample_weight=weights)
    assert set(model.predict(X)) == {"versicolor", "virginica"}


def test_ensembles_are_made_of_them(iris):
    X, y = iris
    forest = BaggingClassifier(pipeline(), n_estimators=3, random_state=0)
    assert forest.fit(X, y).score(X, y) > 0.85
    Y = np.column_stack([X[:, 0], X[:, 1]])
    each = MultiOutputRegressor(NeuralModuleRegressor(6, max_iter=2, random_state=0))
    assert each.fit(X, Y).predict(X).shape == Y.shape


def test_feature_names_of_a_table(iris):
    pd = pytest.importorskip("pandas")
    X, y = iris
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = NeuralModuleClassifier(6, max_iter=2, random_state=0)
    model.fit(table, y, X_val=table, y_val=y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["b", "a", "c", "d"]])
