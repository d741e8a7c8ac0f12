"""How much the outputs change with each feature, and scikit-learn's own inspection."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.datasets import make_friedman1
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import PartialDependenceDisplay, permutation_importance

import sknm
from sknm.solved import SolvedGraph

PUBLIC = [getattr(sknm, name) for name in sknm.__all__]
SOLVED = [e for e in PUBLIC if isinstance(e, type) and issubclass(e, SolvedGraph)]
SMALL = {"n_nodes": 24, "max_iter": 3, "random_state": 0}


def by_name(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=lambda e: e.__name__)


@pytest.fixture(scope="module")
def friedman():
    """Five features that count, and ten that don't."""
    return make_friedman1(400, 15, noise=0.5, random_state=0)


@pytest.fixture(scope="module")
def model(friedman):
    regressor = sknm.NeuralModuleRegressor(60, max_iter=12, random_state=0)
    return regressor.fit(*friedman)


@by_name(SOLVED)
def test_they_are_shares(estimator, friedman):
    X, y = friedman
    target = y if estimator.__name__.endswith("Regressor") else y > 14
    found = estimator(**SMALL).fit(X, target).feature_importances_
    assert found.shape == (15,)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)


def test_what_enters_nowhere_has_none(model):
    enters = model.feature_modules_.any(axis=1)
    assert 0 < enters.sum() < 15
    assert (model.feature_importances_[~enters] == 0).all()
    assert (model.feature_importances_[enters] > 0).all()


def test_they_rank_as_permutations_do(model, friedman):
    X, y = friedman
    permuted = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    found = model.feature_importances_
    assert spearmanr(found, permuted.importances_mean).statistic > 0.8
    assert set(np.argsort(found)[-5:]) == {0, 1, 2, 3, 4}


def test_of_a_linear_model_they_are_its_coefficients():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1, 10, 0.1]
    model = sknm.FeedForwardRegressor(
        8, activation="identity", numerical_embedding=None, scale=None, max_iter=3
    ).fit(X, X @ [1, 0.2, 5])
    w = (model.input_weights_ @ model.output_weights_)[:, 0]
    expected = abs(w) * X.std(axis=0)
    np.testing.assert_allclose(
        model.feature_importances_, expected / expected.sum(), rtol=1e-9
    )


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("kind", ["modules", "layers"])
def test_gradients_are_those_of_finite_differences(kind, n_members):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    options = {"activation": "tanh", "n_members": n_members, **SMALL}
    if kind == "layers":
        model = sknm.FeedForwardClassifier(hidden_layer_sizes=(8, 6), **options)
    else:
        model = sknm.NeuralModuleClassifier(module_size=6, **options)
    model.fit(X, y)
    x, steps = model.encode(X[:3]), 1e-5 * np.eye(model.input_weights_.shape[-2])
    expected = [outputs(model, r + steps) - outputs(model, r - steps) for r in x]
    sums = torch.eye(3, dtype=torch.float64)
    found = model.net_.module_.gradients(torch.from_numpy(x), sums)
    expected = np.moveaxis(np.array(expected) / 2e-5, 2, 0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def outputs(model, x):
    """Outputs of encoded rows, by repeated substitution, members averaged."""
    ends = model.input_weights_, model.node_biases_, model.output_weights_
    U, b, V = (end if model.n_members > 1 else end[None] for end in ends)
    a = x @ U + b[:, None]
    z = np.zeros_like(a)
    for _ in range(150):
        z = 0.6 * z + 0.4 * np.tanh(z @ model.node_weights_ + a)
    return (z @ V).mean(axis=0)


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_many_classes_members_and_sparse_rows_have_them(kind, n_members, friedman):
    X, y = friedman
    X = sparse.csr_matrix(X) if kind == "sparse" else X
    classes = np.digitize(y, np.arange(5, 24, 2))
    model = sknm.NeuralModuleClassifier(n_members=n_members, **SMALL)
    found = model.fit(X, classes).feature_importances_
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()


def test_features_are_selected_by_them(model, friedman):
    X, y = friedman
    selection = SelectFromModel(model, threshold="mean", prefit=True).fit(X, y)
    chosen = np.flatnonzero(selection.get_support())
    assert {3, 0, 1} <= set(chosen) <= {0, 1, 2, 3, 4}


def test_they_are_of_a_whole_fit(friedman):
    X, y = friedman
    model = sknm.DEQRegressor(**SMALL)
    assert not hasattr(model, "feature_importances_")
    assert hasattr(model.fit(X, y), "feature_importances_")
    model.partial_fit(X, y)
    with pytest.raises(AttributeError, match="permutation_importance"):
        model.feature_importances_  # noqa: B018
    layer = sknm.FeedForwardRegressor(**SMALL).fit(X, y)
    assert not hasattr(layer.drop_modules([0]), "feature_importances_")


@by_name([e for e in PUBLIC if isinstance(e, type) and e not in SOLVED])
def test_where_nodes_solve_no_equation_there_are_none(estimator):
    assert not hasattr(estimator, "feature_importances_")


def test_partial_dependence_is_drawn(model, friedman):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    X, _ = friedman
    display = PartialDependenceDisplay.from_estimator(
        model, X[:20], [3], grid_resolution=5
    )
    line = display.pd_results[0]["average"][0]
    assert line[-1] > line[0]
    pyplot.close("all")


def test_shapley_values_add_up(model, friedman):
    shap = pytest.importorskip("shap")
    X, _ = friedman
    explainer = shap.Explainer(model.predict, X[:20], seed=0)
    values = explainer(X[:2])
    total = values.base_values + values.values.sum(axis=1)
    np.testing.assert_allclose(total, model.predict(X[:2]), rtol=1e-5)
