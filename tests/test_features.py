"""Features are part of the graph: useless ones stay out, others enter modules."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

import sknm
from sknm.datasets import make_planted_modules


def with_noise(load, n_useless=30):
    """Return training and test rows with columns of noise beside the features."""
    X, y = load(return_X_y=True)
    noise = np.random.default_rng(0).normal(size=(len(X), n_useless))
    return train_test_split(np.hstack([X, noise]), y, random_state=0, stratify=y)


@pytest.fixture(scope="module")
def planted():
    return make_planted_modules(2000, n_classes=3, random_state=1)


@pytest.fixture(scope="module")
def model(planted):
    X, y, _ = planted
    return sknm.NeuralModuleClassifier(random_state=0).fit(X[:1500], y[:1500])


@pytest.mark.parametrize(
    "load", [load_breast_cancer, pytest.param(load_digits, marks=pytest.mark.slow)]
)
def test_a_default_fit_survives_thirty_useless_columns(load):
    X, X_test, y, y_test = with_noise(load)
    model = sknm.NeuralModuleClassifier(random_state=1, max_iter=20).fit(X, y)
    plain = sknm.NeuralModuleClassifier(random_state=1, max_iter=20)
    plain.fit(X[:, :-30], y)
    expected = plain.score(X_test[:, :-30], y_test)
    assert model.score(X_test, y_test) > expected - 0.02
    enters = model.feature_modules_.any(axis=1)
    assert enters[-30:].mean() < 0.2
    assert enters[:-30].mean() > 0.75


def test_modules_take_the_features_of_one_group(planted, model):
    X, _, groups = planted
    useless = np.setdiff1d(np.arange(X.shape[1]), np.concatenate(groups))
    links = model.feature_modules_
    assert links.shape == (X.shape[1], model.n_modules_)
    assert links[useless].mean() < 0.1
    columns = model.encoding_.get_feature_indices()
    weights = np.zeros(links.shape)
    for module in range(model.n_modules_):
        own = abs(model.input_weights_[:, model.module_labels_ == module]).sum(axis=1)
        np.add.at(weights[:, module], columns, own)
    of_groups = np.array([weights[group].sum(axis=0) for group in groups])
    shares = of_groups.max(axis=0) / weights.sum(axis=0)
    assert shares.mean() > 0.5  # a quarter if they were drawn


def test_learned_links_pay(planted, model):
    X, y, _ = planted
    every = sknm.NeuralModuleClassifier(random_state=0, feature_fdr=None)
    every.fit(X[:1500], y[:1500])
    assert every.feature_modules_.all()
    learned, plain = (1 - m.score(X[1500:], y[1500:]) for m in (model, every))
    assert learned < 0.8 * plain


def test_links_wake_while_training(model):
    shares = [entry["links"] for entry in model.module_history_]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] < 1


@pytest.mark.sweep(3)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_absent_links_have_no_weight(every_estimator, optimizer):
    X, y, groups = make_planted_modules(300, 1, 2, n_useless=12, random_state=0)
    model = every_estimator(n_nodes=20, max_iter=4, random_state=0, feature_fdr=0.05)
    model.set_params(optimizer=optimizer)
    model.fit(X, y)
    enters = model.feature_modules_.any(axis=1)
    assert len(enters) == X.shape[1]
    assert enters[groups[0]].any()
    if isinstance(model, sknm.urn.URN):
        return  # whose features are neurons
    columns = model.encoding_.get_feature_indices()
    weights = abs(model.input_weights_).max(axis=1)
    assert not weights[~enters[columns]].any()
    assert enters.mean() < 0.7


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies_have_the_same_links_and_go_on(planted, model, copied):
    X, y, _ = planted
    one, other = copy.deepcopy(model), copied(model)
    for each in (one, other):
        each.partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(one.feature_modules_, other.feature_modules_)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert (one.feature_modules_ >= model.feature_modules_).all()


def test_nothing_found_means_that_all_enter():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)
    model = sknm.DAGClassifier(n_nodes=10, max_iter=2, random_state=0).fit(X, y)
    assert model.feature_modules_.all()


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, True, "none"])
def test_rates_that_are_none_are_refused(rate, planted):
    X, y, _ = planted
    with pytest.raises(ValueError, match="'feature_fdr' parameter"):
        sknm.FreeNetClassifier(feature_fdr=rate).fit(X, y)


def test_unequal_weights_are_less_evidence():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 15))
    weights = rng.lognormal(sigma=1.5, size=2000)
    model = sknm.FeedForwardRegressor(n_nodes=5, max_iter=1, random_state=0)
    model.fit(X, X[:, 0] + rng.normal(size=2000), sample_weight=weights)
    enters = model.feature_modules_.any(axis=1)
    assert enters[0]
    assert enters.sum() <= 4


@pytest.mark.parametrize("size", [1e-7, 1e12])
def test_units_make_no_difference(size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 6))
    y = X[:, 0] * X[:, 1] + X[:, 2]
    model = sknm.DAGRegressor(n_nodes=5, max_iter=1, random_state=0, scale=None)
    model.fit((X * size).astype(np.float32), y)
    enters = model.feature_modules_.any(axis=1)
    assert enters.tolist() == [True, True, True, False, False, False]


def test_small_first_chunks_and_wide_tables_leave_nothing_out():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1100)).astype(np.float32)
    model = sknm.FeedForwardRegressor(n_nodes=3, max_iter=1, random_state=0)
    assert model.fit(X, X[:, 0]).feature_modules_.all()
    few = model.__class__(n_nodes=3, random_state=0)
    assert few.partial_fit(X[:, :8], X[:, 0]).feature_modules_.all()


def test_sparse_rows_go_on_with_the_links_of_dense_ones(planted):
    X, y, _ = planted
    plain = {"scale": None, "numerical_embedding": None}
    model = sknm.FeedForwardClassifier(n_nodes=8, max_iter=2, random_state=0, **plain)
    links = model.fit(X, y).feature_modules_
    assert not links.all()
    model.partial_fit(sparse.csr_array(X), y)
    np.testing.assert_array_equal(model.feature_modules_, links)
