"""Explanations that are exact: what modules add to the outputs."""

import numpy as np
import pytest

import sknm
from sknm.datasets import make_planted_modules
from sknm.solved import SolvedGraph

PUBLIC = [getattr(sknm, name) for name in sknm.__all__]
SOLVED = [e for e in PUBLIC if isinstance(e, type) and issubclass(e, SolvedGraph)]
CLASSIFIERS = [e for e in SOLVED if e.__name__.endswith("Classifier")]
REGRESSORS = [e for e in SOLVED if e.__name__.endswith("Regressor")]


def by_name(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=lambda e: e.__name__)


def make(estimator, **parameters):
    defaults = {"n_nodes": 24, "max_iter": 2, "random_state": 0, "feature_fdr": None}
    if issubclass(estimator, sknm.neural_module.NeuralModules):
        defaults["module_size"] = 6
    return estimator(**defaults | parameters)


@pytest.fixture(scope="module")
def planted():
    X, y, _ = make_planted_modules(120, n_classes=3, random_state=0)
    return X, y


@pytest.fixture(scope="module")
def amounts():
    """Targets far from zero, in large units: two columns."""
    X, y, _ = make_planted_modules(120, random_state=1)
    return X, 1e3 + 50 * np.column_stack([y + X[:, 0], np.exp(X[:, 1])])


def adds_up(terms, total, rtol):
    """Assert that terms add up, relative to their size."""
    size = abs(terms).sum(axis=1).max()
    np.testing.assert_allclose(terms.sum(axis=1), total, rtol=0, atol=rtol * size)


@pytest.mark.sweep(2)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("n_classes", [2, 3])
@by_name(CLASSIFIERS)
def test_contributions_add_up_to_decisions(estimator, n_classes, dtype, rtol, planted):
    X, y = planted[0].astype(dtype), planted[1] % n_classes
    model = make(estimator).fit(X, y)
    terms, found = model.module_contributions(X), model.decision_function(X)
    n_modules = model.feature_modules_.shape[1]
    assert terms.shape == (len(X), n_modules, 1 if n_classes == 2 else 3)
    adds_up(terms, found.reshape(len(X), -1), rtol)


@pytest.mark.sweep(2)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("n_members", [1, 3])
@by_name(REGRESSORS)
def test_contributions_add_up_to_predictions(
    estimator, n_members, dtype, rtol, amounts
):
    X, y = amounts[0].astype(dtype), amounts[1]
    model = make(estimator, n_members=n_members).fit(X, y)
    adds_up(model.module_contributions(X), model.predict(X), rtol)
    model.fit(X, y[:, 0])
    adds_up(model.module_contributions(X)[:, :, 0], model.predict(X), rtol)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile"])
def test_contributions_add_up_whatever_is_minimised(loss, amounts):
    X, y = amounts
    model = make(sknm.NeuralModuleRegressor, loss=loss).fit(X, y)
    adds_up(model.module_contributions(X), model.predict(X), 1e-12)


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_contributions_add_up_to_logarithms_of_means(loss, amounts):
    X, y = amounts
    model = make(sknm.NeuralModuleRegressor, loss=loss).fit(X, y)
    adds_up(model.module_contributions(X), np.log(model.predict(X)), 1e-12)


def test_contributions_add_up_for_several_labels(planted):
    X, y = planted
    labels = np.eye(3, dtype=int)[y]
    model = make(sknm.NeuralModuleClassifier).fit(X, labels)
    adds_up(model.module_contributions(X), model.decision_function(X), 1e-12)


def test_strong_modules_add_up_too(planted):
    X, y = planted
    model = make(sknm.NeuralModuleClassifier, connection="strong", tau=0.3).fit(X, y)
    assert model.n_modules_ > model.topology_.n_weak
    adds_up(model.module_contributions(X), model.decision_function(X), 1e-12)


def test_a_term_is_what_the_nodes_of_a_module_add(planted):
    X, y = planted
    model = make(sknm.NeuralModuleClassifier).fit(X, y)
    own, z = model.module_labels_ == 1, model.node_values(X)
    expected = z[:, own] @ model.output_weights_[own]
    expected += own.mean() * model.output_biases_  # each node carries its share
    found = model.module_contributions(X)[:, 1]
    np.testing.assert_allclose(found, expected / model.temperature_, rtol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        (sknm.NeuralModuleClassifier, {}),
        (sknm.FreeNetRegressor, {"loss": "poisson"}),
    ],
)
def test_ensembles_whose_output_is_no_mean_are_refused(estimator, parameters, planted):
    X, y = planted
    model = make(estimator, n_members=2, **parameters).fit(X, y)
    with pytest.raises(ValueError, match=r"needs n_members=1.*n_members=2"):
        model.module_contributions(X)


@by_name([e for e in PUBLIC if isinstance(e, type) and e not in SOLVED])
def test_where_nodes_solve_no_equation_there_is_nothing(estimator):
    assert not hasattr(estimator(), "module_contributions")
