"""Copies without some modules, whose nodes are taken out."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone

import sknm
from sknm.datasets import make_planted_modules
from sknm.inspection import topology_report

SMALL = {"n_nodes": 30, "max_iter": 2, "random_state": 0}


@pytest.fixture(scope="module")
def planted():
    X, y, _ = make_planted_modules(150, n_classes=3, random_state=0)
    return X, y


@pytest.fixture(scope="module")
def model(planted):
    """A classifier of six modules or so, with learned links."""
    return sknm.NeuralModuleClassifier(module_size=5, **SMALL).fit(*planted)


@pytest.fixture(scope="module")
def layered(planted):
    """A layer, each of whose nodes is a module."""
    return sknm.FeedForwardClassifier(**SMALL).fit(*planted)


@pytest.fixture(scope="module")
def ensemble(planted):
    X, y = planted
    return sknm.NeuralModuleRegressor(module_size=5, n_members=2, **SMALL).fit(X, y)


@pytest.fixture(scope="module")
def sparse_free_net(planted):
    """A FreeNet that has fallen into pieces."""
    free = sknm.FreeNetClassifier(target_density=0.02, evolve_interval=1, **SMALL)
    return free.fit(*planted)


def without_shares(model, X):
    """Terms of modules without the biases that they carry."""
    z, labels = model.node_values(X), model._module_labels()
    z, V = z.reshape(len(X), -1, len(labels)), np.atleast_3d(model.output_weights_.T).T
    parts = [
        np.einsum("rkn,kno->rko", z[:, :, own], V[:, own]) for own in masks(labels)
    ]
    return np.array(parts)


def masks(labels):
    return labels == np.arange(labels.max() + 1)[:, None]


@pytest.mark.parametrize("name", ["model", "layered", "ensemble", "sparse_free_net"])
@pytest.mark.sweep(2)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_what_is_left_computes_what_it_did(name, is_sparse, planted, request):
    X, _ = planted
    model = copy.copy(request.getfixturevalue(name))
    if is_sparse:
        model.sparsify()
    n_modules = model.feature_modules_.shape[1]
    dropped, kept = [1, 0], np.arange(2, n_modules)
    copied = model.drop_modules(dropped)
    terms = without_shares(model, X)
    np.testing.assert_allclose(without_shares(copied, X), terms[kept], atol=1e-6)
    np.testing.assert_array_equal(copied.output_biases_, model.output_biases_)
    assert copied.feature_modules_.shape[1] == n_modules - 2
    np.testing.assert_array_equal(
        copied.feature_modules_, model.feature_modules_[:, kept]
    )
    found = model.module_contributions(X) if name != "ensemble" else None
    if found is not None:
        n_before, n_after = len(model.node_biases_), len(copied.node_biases_)
        constant = model._constant() * (1 - n_after / n_before)
        expected = found[:, kept].sum(axis=1) + constant
        np.testing.assert_allclose(copied.decision_function(X), expected, atol=1e-6)
    with pytest.raises(ValueError, match="are all"):
        copied.drop_modules(np.arange(n_modules - 2))


def test_the_model_itself_stays_as_it_is(model):
    before = pickle.dumps(model)
    model.drop_modules([0]).sparsify()
    assert pickle.dumps(model) == before


def test_nodes_are_really_taken_out(model):
    copied = model.drop_modules([2])
    kept = model.module_labels_ != 2
    np.testing.assert_array_equal(
        copied.node_weights_, model.node_weights_[np.ix_(kept, kept)]
    )
    np.testing.assert_array_equal(copied.node_biases_, model.node_biases_[kept])
    np.testing.assert_array_equal(copied.input_weights_, model.input_weights_[:, kept])
    np.testing.assert_array_equal(copied.output_weights_, model.output_weights_[kept])
    assert copied.n_modules_ == model.n_modules_ - 1
    np.testing.assert_array_equal(
        copied.module_sizes_, np.delete(model.module_sizes_, 2)
    )
    report = topology_report(copied)
    assert report["n_nodes"] == kept.sum()
    assert report["n_modules"] == copied.n_modules_
    assert report["n_modules_start"] <= topology_report(model)["n_modules_start"]


def test_nothing_dropped_is_a_copy(model, planted):
    copied = model.drop_modules([])
    X, _ = planted
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("name", ["model", "ensemble", "sparse_free_net"])
def test_copies_pickle_clone_and_sparsify(name, planted, request, answers):
    X, _ = planted
    model = request.getfixturevalue(name)
    copied = model.drop_modules([0])
    expected = answers(copied, X)
    again = pickle.loads(pickle.dumps(copied))
    np.testing.assert_array_equal(answers(again, X), expected)
    np.testing.assert_allclose(answers(again.sparsify(), X), expected, atol=1e-6)
    assert clone(copied).get_params() == clone(model).get_params()
    assert not hasattr(clone(copied), "net_")


def test_coactivation_is_that_of_the_nodes_that_are_left(sparse_free_net):
    labels = sparse_free_net.topology_.weak_labels
    kept = np.flatnonzero(labels != 0)
    copied = sparse_free_net.drop_modules([0])
    np.testing.assert_array_equal(
        copied.coactivation_, sparse_free_net.coactivation_[np.ix_(kept, kept)]
    )


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", ["model", "layered", "ensemble", "sparse_free_net"])
def test_training_goes_on_with_the_size_that_is_left(name, planted, request):
    X, y = planted
    copied = request.getfixturevalue(name).drop_modules([0])
    n_left = len(copied.node_weights_)
    with pytest.raises(ValueError, match=r"is to go on"):
        copied.partial_fit(X, y)
    copied.set_params(n_nodes=n_left).partial_fit(X, y)
    assert len(copied.node_weights_) == n_left
    copied.set_params(warm_start=True).fit(X, y)
    assert len(copied.node_weights_) == n_left
    copied.set_params(n_nodes=30, warm_start=False).fit(X, y)
    assert len(copied.node_weights_) == 30


def test_modules_that_others_depend_on_are_named(planted):
    X, y = planted
    model = sknm.NeuralModuleClassifier(
        module_size=10, connection="strong", tau=0.25, **SMALL
    ).fit(X, y)
    source, target = model.topology_.edges.nonzero()
    labels = model.module_labels_
    between = labels[source] != labels[target]
    first, second = labels[source[between]][0], labels[target[between]][0]
    with pytest.raises(ValueError, match=rf"Modules \[.*\b{second}\b.*\] depend on"):
        model.drop_modules([first])
    last = model.n_modules_ - 1  # in topological order
    copied = model.drop_modules([last])
    kept = labels != last
    z = copied.node_values(X)
    np.testing.assert_allclose(z, model.node_values(X)[:, kept], atol=1e-7)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([99], r"has \[99\], but the modules are numbered from 0"),
        ([-1], r"has \[-1\]"),
        ([1, 1], "twice"),
        ([0.5], "must be numbers of modules"),
        ([True, False], "must be numbers of modules"),
        ("all", "must be numbers of modules"),
    ],
)
def test_what_are_no_modules_is_refused(modules, message, model):
    with pytest.raises(ValueError, match=message):
        model.drop_modules(modules)
