"""FreeNets whose edges are pruned by weight and grown by gradient: the default."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sknm import FreeNetClassifier, FreeNetRegressor
from sknm.graph.topology import Topology
from sknm.plasticity.coactivation import count_pairs
from sknm.plasticity.rewiring import count_edges

N_NODES = 20
N_POSSIBLE = N_NODES * (N_NODES - 1) // 2

BOTH = pytest.mark.parametrize("estimator", [FreeNetClassifier, FreeNetRegressor])


def make(estimator=FreeNetClassifier, **parameters):
    return estimator(**{"n_nodes": N_NODES, "random_state": 0} | parameters)


def total(model, name):
    return sum(entry[name] for entry in model.evolution_)


@BOTH
def test_default_is_rewired_and_keeps_at_most_half_of_the_edges(
    overlapping, substitute, estimator
):
    X, y = overlapping
    model = make(estimator, numerical_embedding=None, feature_fdr=None).fit(X, y)
    assert model.topology_.n_edges == count_edges(N_NODES, model.target_density)
    assert model.topology_.n_edges <= N_POSSIBLE / 2
    assert total(model, "pruned") > 0
    assert total(model, "added") > 0
    assert model.evolution_[-1]["left"] == model.topology_.n_edges
    assert model.converged_
    edges = model.topology_.to_dense()
    assert np.array_equal(model.node_weights_ != 0, edges)
    assert np.array_equal(edges, np.triu(edges, 1))
    np.testing.assert_allclose(
        model.node_values(X), substitute(model, X), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize(
    ("max_iter", "density"), [(2, 0.6), (3, 0.6), (4, 1.0), (7, 1.0), (20, 1.0)]
)
def test_epsilon_matters_however_short_the_training(overlapping, max_iter, density):
    few, many = (
        make(max_iter=max_iter, epsilon=epsilon, density=density).fit(*overlapping)
        for epsilon in (0.05, 0.6)
    )
    for model in (few, many):
        assert model.topology_.n_edges == count_edges(N_NODES, model.target_density)
    assert total(many, "added") > total(few, "added")
    assert not np.array_equal(few.node_weights_, many.node_weights_)


@pytest.mark.parametrize("max_iter", [4, 5, 16])
def test_short_trainings_come_to_rest(overlapping, max_iter):
    assert make(max_iter=max_iter).fit(*overlapping).converged_


def test_evolution_that_may_not_come_to_rest_is_told(overlapping):
    model = make(max_evolutions=1, density=0.6)
    with pytest.warns(ConvergenceWarning, match="still changes after max_evolutions=1"):
        model.fit(*overlapping)
    assert not model.converged_


def test_cap_of_coactivation_is_told(overlapping):
    model = make(rule="coactivation", epsilon=0.45, evolve_interval=1, max_evolutions=1)
    with pytest.warns(ConvergenceWarning, match="still changes after max_evolutions=1"):
        model.fit(*overlapping)
    assert not model.converged_


@BOTH
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_no_evolution_keeps_the_graph_as_it_starts(overlapping, estimator, density):
    model = make(estimator, max_evolutions=0, density=density).fit(*overlapping)
    assert model.topology_.n_edges == round(density * N_POSSIBLE)
    assert model.evolution_ == []
    assert model.converged_


def test_weights_of_sparse_starts_are_as_large_as_their_degrees_bear(overlapping):
    X, y = overlapping
    sparse, dense = (
        make(max_evolutions=0, density=d, learning_rate_init=1e-9).fit(X, y)
        for d in (0.1, 1.0)
    )
    edges = sparse.topology_.to_dense()
    degrees = edges.sum(0) + edges.sum(1)[:, None]
    among_all = np.arange(N_NODES) + np.arange(N_NODES)[::-1][:, None]
    factors = np.sqrt(among_all / np.maximum(1, degrees))[edges]
    ratios = sparse.node_weights_[edges] / dense.node_weights_[edges]
    np.testing.assert_allclose(ratios, factors, rtol=1e-4)


def test_training_to_convergence_sparsifies_from_round_to_round(overlapping):
    model = make(evolve_interval="convergence", max_evolutions=3, max_iter=3)
    model.fit(*overlapping)
    assert len(model.evolution_) == 3
    assert model.n_iter_ == 3 * 4
    assert model.converged_
    assert model.topology_.n_edges == count_edges(N_NODES, model.target_density)


def test_weight_of_a_row_is_its_repetition(overlapping, answers):
    X, y = overlapping
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    model = make(batch_size=1000, learning_rate_init=0.01, feature_fdr=None)
    model.set_params(numerical_embedding=None, max_iter=8)
    repeated = clone(model).fit(X.repeat(weights, 0), y.repeat(weights))
    weighted = clone(model).fit(X, y, sample_weight=weights)
    assert weighted.topology_ == repeated.topology_
    expected = answers(repeated, X)
    np.testing.assert_allclose(answers(weighted, X), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rule", ["gradient", "coactivation"])
def test_coactivation_before_the_first_evolution_is_remembered(overlapping, rule):
    X, y = overlapping
    model = make(rule=rule, max_iter=8, warm_start=True).fit(X, y)
    before = make(rule=rule, max_iter=8, warm_start=True, max_evolutions=0)
    assert before.fit(X, y).coactivation_start_ is None
    start = model.coactivation_start_
    assert start.shape == (2, 50)
    assert (start.sum(axis=1) == N_POSSIBLE).all()
    assert not np.array_equal(start[0], count_pairs(model.coactivation_))
    assert np.array_equal(model.fit(X, y).coactivation_start_, start)


@BOTH
def test_same_seed_gives_the_same_model_bit_for_bit(overlapping, estimator):
    a, b = (make(estimator, batch_size=32).fit(*overlapping) for _ in range(2))
    assert a.evolution_ == b.evolution_
    np.testing.assert_array_equal(a.node_weights_, b.node_weights_)


# Going on.


def test_warm_start_rewires_the_graph_that_there_is(overlapping):
    model = make(warm_start=True).fit(*overlapping)
    topology, before = model.topology_, list(model.evolution_)
    model.fit(*overlapping)
    assert model.evolution_[: len(before)] == before
    again = model.evolution_[len(before) :]
    assert again[0]["added"] == again[0]["pruned"] > 0
    assert model.topology_ != topology
    assert model.topology_.n_edges == topology.n_edges
    assert model.converged_


@BOTH
@pytest.mark.parametrize("is_pickled", [False, True])
def test_partial_fit_comes_to_an_end(overlapping, estimator, is_pickled):
    X, y = overlapping
    model = make(estimator, evolve_interval=2, max_evolutions=3)
    first = {"classes": [0, 1]} if estimator is FreeNetClassifier else {}
    numbers = []
    for _ in range(9):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.partial_fit(X, y, **first)
        numbers.append(len(model.evolution_))
        if is_pickled:
            model = pickle.loads(pickle.dumps(model))
    assert numbers == [0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert model.topology_.n_edges == count_edges(N_NODES, model.target_density)
    assert model.converged_


def test_early_stopping_leaves_the_best_graph_alone(overlapping, monkeypatch):
    X, y = overlapping
    model = make(early_stopping=True, n_iter_no_change=4, max_iter=16)
    scores = iter([0.1, 0.9, *[0.0] * 30])
    target = type(model._make_target())
    monkeypatch.setattr(target, "score", lambda self, y, outputs, w: next(scores))
    model.fit(X, y, X_val=X, y_val=y)
    # The second epoch was the best one, before the first evolution.
    assert model.topology_ == Topology.triangular(N_NODES)
    assert model.evolution_ == []
    assert not model.converged_
