"""Ensembles in one network: their members, what they share, and what they predict."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

import sknm
from sknm import NeuralModuleClassifier, NeuralModuleRegressor

N_MEMBERS = 3
SHARED = ["node_weights_", "feature_modules_"]
OF_EACH = ["input_weights_", "node_biases_", "output_weights_", "output_biases_"]


def make(estimator, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 6, "random_state": 0}
    return estimator(**defaults | {"n_members": N_MEMBERS} | parameters)


def read_out(model, X):
    """Outputs of the members, (n_samples, n_members, n_outputs), by the attributes."""
    if isinstance(model, sknm.urn.URN):
        N = model.node_values(X)[:, :, -2] @ model.node_weights_
        z = N + model.node_biases_
    else:
        z = model.node_values(X)
    found = np.einsum("rkn,kno->rko", z, model.output_weights_)
    return found + model.output_biases_


def test_probabilities_are_the_mean_of_those_of_the_members(
    overlapping, every_classifier
):
    X, y = overlapping
    model = make(every_classifier).fit(X, y)
    of_members = softmax(read_out(model, X), axis=2)
    found = model.predict_proba(X)
    np.testing.assert_allclose(found, of_members.mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(model.predict(X), model.classes_[found.argmax(1)])
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), found)
    assert of_members.std(axis=1).max() > 0.01


def test_predictions_are_the_mean_of_those_of_the_members(every_regressor):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y = 100 + 50 * np.column_stack([X[:, 0], np.abs(X[:, 1])])
    model = make(every_regressor).fit(X, y)
    outputs = np.moveaxis(read_out(model, X), 1, 0)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, np.mean(outputs, axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, np.std(outputs, axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(mean, model.predict(X))
    assert std.shape == y.shape
    assert std.min() > 0


def test_probabilities_of_labels_are_the_mean_of_those_of_the_members(overlapping):
    X, _ = overlapping
    Y = (X[:, :3] > 0).astype(int)
    model = make(NeuralModuleClassifier).fit(X, Y)
    of_members = expit(read_out(model, X))
    np.testing.assert_allclose(model.predict_proba(X), of_members.mean(1), atol=1e-7)
    found = of_members.mean(1) > 0.5
    np.testing.assert_array_equal(model.predict(X), found)
    assert of_members.std(axis=1).max() > 0.01


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_means_are_the_mean_of_those_of_the_members(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y = rng.poisson(np.exp(X[:, 0])) + 1
    model = make(NeuralModuleRegressor, loss=loss).fit(X, y)
    of_members = np.exp(read_out(model, X)[:, :, 0])
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, of_members.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(std, of_members.std(axis=1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "loss"])
def test_scorers_see_the_ensemble(overlapping, scoring):
    X, y = overlapping
    model = make(NeuralModuleClassifier, early_stopping=True, scoring=scoring)
    model.set_params(label_smoothing=0.0, calibration_fraction=None)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    found = -log_loss(y[80:], model.predict_proba(X[80:]))
    np.testing.assert_allclose(found, max(model.validation_scores_), rtol=1e-6)


def test_scorers_may_ask_for_deviations():
    def score(model, X, y):
        mean, std = model.predict(X, return_std=True)
        assert std.shape == y.shape
        return -np.mean(np.square(y - mean))

    X = np.random.default_rng(0).normal(size=(100, 3))
    y = X[:, 0] ** 2
    model = make(NeuralModuleRegressor, early_stopping=True, scoring=score)
    model.fit(X, y, X_val=X[:30], y_val=y[:30])
    best = max(model.validation_scores_)
    assert score(model, X[:30], y[:30]) == pytest.approx(best)


def test_deviations_have_the_shape_of_predictions():
    X, y = np.linspace(0, 1, 60)[:, None], np.linspace(1, 2, 60)
    model = make(NeuralModuleRegressor).fit(X, y)
    mean, std = model.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5,)


def test_one_member_is_a_network_without_members(overlapping, every_estimator):
    X, y = overlapping
    alone, several = (make(every_estimator, n_members=n).fit(X, y) for n in (1, 2))
    assert alone.net_.module_.members is None
    for name in OF_EACH:
        shape = getattr(alone, name).shape
        found = getattr(several, name).shape
        assert (found[0], len(found)) == (2, len(shape) + 1)
        if not isinstance(alone, sknm.urn.URN):  # which has neurons for all outputs
            assert found == (2, *shape)
    for name in SHARED:
        assert getattr(several, name).ndim == getattr(alone, name).ndim
    z, values = alone.node_values(X[:4]), several.node_values(X[:4])
    assert values.shape[:2] == (4, 2)
    assert values.ndim == z.ndim + 1


def test_node_values_solve_the_equation_of_each_member(overlapping):
    X, y = overlapping
    model = make(NeuralModuleClassifier, module_size=4).fit(X, y)
    z, x = model.node_values(X), model.encode(X)
    for k in range(N_MEMBERS):
        a = x @ model.input_weights_[k] + model.node_biases_[k]
        expected = np.maximum(z[:, k] @ model.node_weights_ + a, 0)
        np.testing.assert_allclose(z[:, k], expected, atol=1e-6)


def test_coactivation_is_that_of_all_members(overlapping):
    X, y = overlapping
    model = make(sknm.FreeNetClassifier).fit(X, y)
    active = (model.node_values(X) > 0).reshape(-1, 12).astype(float)
    found = active.T @ active / len(active)
    np.testing.assert_allclose(model.coactivation_, found, atol=1e-7)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, 1001])
def test_numbers_of_members_that_are_none_are_refused(overlapping, wrong):
    with pytest.raises(ValueError, match="n_members"):
        make(NeuralModuleClassifier, n_members=wrong).fit(*overlapping)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1), (2, 3)])
def test_networks_that_go_on_keep_their_members(overlapping, method, before, after):
    X, y = overlapping
    model = make(NeuralModuleClassifier, n_members=before, warm_start=True).fit(X, y)
    expected = model.predict_proba(X)
    model.set_params(n_members=after)
    with pytest.raises(ValueError, match=f"n_members={after}, but the fitted.*anew"):
        getattr(model, method)(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_one_member_has_no_deviation():
    X = np.arange(20.0)[:, None]
    model = make(NeuralModuleRegressor, n_members=1).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"return_std=True needs.*set n_members"):
        model.predict(X, return_std=True)


def test_ensembles_survive_copies_and_train_on_alike(
    overlapping, answers, every_estimator
):
    X, y = overlapping
    model = make(every_estimator, warm_start=True).fit(X, y)
    expected = answers(model, X)
    others = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for other in others:
        np.testing.assert_array_equal(answers(other, X), expected)
    expected = answers(model.fit(X, y), X)
    for other in others:
        np.testing.assert_array_equal(answers(other.fit(X, y), X), expected)


def test_ensembles_can_be_sparsified(overlapping, answers, every_estimator):
    X, y = overlapping
    model = make(every_estimator).fit(X, y)
    before = answers(model, X)
    np.testing.assert_allclose(answers(model.sparsify(), X), before, atol=1e-9)
    assert np.isfinite(answers(model.partial_fit(X, y), X)).all()


def test_ensembles_learn_in_parts(overlapping, every_classifier):
    X, y = overlapping
    model = make(every_classifier, learning_rate_init=0.05)
    for _ in range(30):
        model.partial_fit(X, y, classes=[0, 1])
    assert model.predict_proba(X).shape == (len(X), 2)
    assert model.score(X, y) > 0.7


def test_early_stopping_scores_the_ensemble(overlapping):
    X, y = overlapping
    model = make(NeuralModuleClassifier, early_stopping=True, max_iter=12)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert model.score(X[80:], y[80:]) == max(model.validation_scores_)


def test_precision_is_that_of_the_rows(overlapping):
    X, y = overlapping
    double = make(NeuralModuleClassifier).fit(X, y)
    single = make(NeuralModuleClassifier).fit(X.astype(np.float32), y)
    for name in [*OF_EACH, "node_weights_"]:
        assert getattr(double, name).dtype == np.float64
        assert getattr(single, name).dtype == np.float32
    assert single.predict_proba(X.astype(np.float32)).dtype == np.float32


def test_sparse_rows_are_as_good_as_dense_ones(overlapping, answers, every_estimator):
    X, y = overlapping
    X = np.where(X > 0.3, X, 0)
    plain = {"scale": None, "numerical_embedding": None, "feature_fdr": None}
    dense = make(every_estimator, **plain).fit(X, y)
    rows = sparse.csr_array(X)
    thin = make(every_estimator, **plain).fit(rows, y)
    np.testing.assert_allclose(answers(thin, rows), answers(dense, X), atol=1e-5)


@pytest.mark.usefixtures("always_share")
def test_threads_change_nothing(overlapping):
    X, y = overlapping
    options = {"n_nodes": 60, "module_size": 5}
    one = make(NeuralModuleClassifier, **options).fit(X, y).predict_proba(X)
    two = make(NeuralModuleClassifier, **options, n_jobs=2).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(two, one, atol=1e-9)


def test_useless_features_stay_asleep_in_ensembles():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 20)).astype(np.float32)
    y = (X[:, 0] + np.abs(X[:, 1]) > 0.8).astype(int)
    model = NeuralModuleClassifier(60, n_members=4, random_state=0).fit(X, y)
    used = model.feature_modules_.any(axis=1)
    assert used[:2].all()
    assert used[2:].sum() <= 2
    U = model.input_weights_
    columns = model.encoding_.get_feature_indices()
    assert not U[:, np.isin(columns, np.flatnonzero(~used))].any()


def test_deviations_are_larger_where_there_were_no_rows():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 2))
    y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    model = NeuralModuleRegressor(100, n_members=8, random_state=0).fit(X, y)
    _, inside = model.predict(X, return_std=True)
    _, outside = model.predict(4 * X + 4 * np.sign(X), return_std=True)
    assert np.median(outside) > 3 * np.median(inside)
