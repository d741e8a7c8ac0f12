"""FreeNets: their public attributes tell the truth, and their graph evolves."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.base import clone, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from sknm import FreeNetClassifier, FreeNetRegressor
from sknm.graph.topology import Topology
from sknm.plasticity.coactivation import free_evolve
from sknm.training.net import TrainingNet

N_NODES = 12
N_POSSIBLE = N_NODES * (N_NODES - 1) // 2

UNFINISHED = pytest.mark.filterwarnings("ignore:The graph still changes")
BOTH = pytest.mark.parametrize("estimator", [FreeNetClassifier, FreeNetRegressor])
EPSILONS = pytest.mark.parametrize("epsilon", [0.3, 0.5, 0.8])


def make(estimator=FreeNetClassifier, **parameters):
    """An estimator whose graph changes a few times."""
    defaults = {
        "n_nodes": N_NODES,
        "rule": "coactivation",
        "max_iter": 8,
        "epsilon": 0.8,
        "evolve_interval": 2,
        "random_state": 0,
        "numerical_embedding": None,
        "feature_fdr": None,
    }
    return estimator(**defaults | parameters)


def shares(z, weights=None):
    """NCAM and NCIM of node values."""
    S = (z > 0).astype(float)
    w = np.ones((len(z), 1)) if weights is None else weights[:, None]
    return S.T @ (w * S) / w.sum(), (1 - S).T @ (w * (1 - S)) / w.sum()


def evolved(model):
    """The graph after one more evolution, from public attributes only."""
    return free_evolve(
        model.topology_.to_dense(),
        model.coactivation_,
        model.coinactivation_,
        model.epsilon,
    )


def n_changed(model):
    return sum(bool(e["pruned"] or e["added"]) for e in model.evolution_)


def assert_adds_up(model, n_first=N_POSSIBLE):
    lefts = [n_first, *(entry["left"] for entry in model.evolution_)]
    for (before, after), entry in zip(pairwise(lefts), model.evolution_, strict=True):
        assert after == before - entry["pruned"] + entry["added"]
    assert lefts[-1] == model.topology_.n_edges


# What is computed.


@BOTH
@EPSILONS
@pytest.mark.parametrize("activation", ["relu", "squared_relu"])
def test_node_values_are_those_of_substitution(
    overlapping, substitute, estimator, epsilon, activation
):
    X, y = overlapping
    model = make(estimator, epsilon=epsilon, activation=activation).fit(X, y)
    z, stats = model.node_values(X, return_stats=True)
    np.testing.assert_allclose(z, substitute(model, X), rtol=1e-9, atol=1e-9)
    assert stats["unconverged"] == model.solver_stats_["unconverged"] == 0


@BOTH
def test_many_nodes_are_substituted_in_stages(overlapping, substitute, estimator):
    X, y = overlapping
    model = make(estimator, n_nodes=90, density=0.3, max_iter=4).fit(X, y)
    np.testing.assert_allclose(
        model.node_values(X), substitute(model, X), rtol=1e-9, atol=1e-9
    )


def test_classes_are_read_from_all_nodes(overlapping, substitute):
    X, y = overlapping
    model = make().fit(X, y)
    logits = substitute(model, X) @ model.output_weights_ + model.output_biases_
    expected = softmax(logits, axis=1)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-8)
    assert np.array_equal(model.predict(X), expected.argmax(1))
    assert model.output_weights_.all()


@pytest.mark.parametrize("n_targets", [1, 2])
def test_targets_are_read_from_all_nodes(overlapping, substitute, n_targets):
    X, _ = overlapping
    y = 100 + 7 * X[:, :n_targets] ** 2
    y = y[:, 0] if n_targets == 1 else y
    model = make(FreeNetRegressor).fit(X, y)
    read = substitute(model, X) @ model.output_weights_ + model.output_biases_
    np.testing.assert_allclose(model.predict(X), read.reshape(y.shape), rtol=1e-9)
    assert model.output_weights_.all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@BOTH
def test_attributes_have_their_shapes_and_types(overlapping, estimator, dtype):
    X, y = overlapping[0].astype(dtype), overlapping[1]
    model = make(estimator).fit(X, y)
    n_outputs = 2 if estimator is FreeNetClassifier else 1
    for name, shape in {
        "input_weights_": (5, N_NODES),
        "node_weights_": (N_NODES, N_NODES),
        "node_biases_": (N_NODES,),
        "output_weights_": (N_NODES, n_outputs),
        "output_biases_": (n_outputs,),
    }.items():
        assert getattr(model, name).shape == shape, name
        assert getattr(model, name).dtype == dtype, name
    for share in (model.coactivation_, model.coinactivation_):
        assert share.shape == (N_NODES, N_NODES)
        assert share.min() >= 0
        assert share.max() <= 1
    assert isinstance(model.topology_, Topology)
    assert isinstance(model.converged_, bool)
    assert {type(value) for e in model.evolution_ for value in e.values()} == {int}
    assert {tuple(e) for e in model.evolution_} == {("pruned", "added", "left")}


@BOTH
@EPSILONS
def test_edges_lead_to_later_nodes_only(overlapping, estimator, epsilon):
    model = make(estimator, epsilon=epsilon).fit(*overlapping)
    edges = model.topology_.to_dense()
    assert np.array_equal(edges, np.triu(edges, 1))
    assert np.array_equal(model.node_weights_ != 0, edges)


@UNFINISHED
def test_squared_relu_represents_a_polynomial():
    X = np.random.default_rng(0).uniform(-1, 1, (150, 2))
    y = X[:, 0] ** 2 * X[:, 1] ** 2
    model = make(FreeNetRegressor, activation="squared_relu", alpha=0, dropout=0)
    model.set_params(max_iter=150, epsilon=0.1, learning_rate_init=0.05).fit(X, y)
    assert model.score(X, y) > 0.95


# How the graph evolves.


@BOTH
@EPSILONS
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_evolution_adds_up(overlapping, estimator, epsilon, density):
    model = make(estimator, epsilon=epsilon, density=density).fit(*overlapping)
    assert len(model.evolution_) == 3
    assert_adds_up(model, round(density * N_POSSIBLE))


def test_graph_of_these_tests_does_evolve(overlapping):
    model = make().fit(*overlapping)
    assert sum(entry["pruned"] for entry in model.evolution_) > 3
    assert sum(entry["added"] for entry in model.evolution_) > 0
    assert n_changed(model) > 1


@BOTH
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_evolution_adds_up_after_early_stopping(
    overlapping, estimator, stop, monkeypatch
):
    X, y = overlapping
    model = make(estimator, early_stopping=True, n_iter_no_change=100)
    scores = iter([*range(stop), *[0] * 100])
    target = type(model._make_target())
    monkeypatch.setattr(target, "score", lambda self, y, outputs, w: next(scores))
    model.fit(X, y, X_val=X, y_val=y)
    assert np.argmax(model.validation_scores_) == stop - 1
    # An evolution after every second epoch: what the best one had not seen is undone.
    n_seen = (stop - 1) // 2
    assert len(model.evolution_) >= n_seen
    assert not any(e["pruned"] or e["added"] for e in model.evolution_[n_seen:])
    assert_adds_up(model)
    ncam, _ = shares(model.node_values(X))
    np.testing.assert_allclose(model.coactivation_, ncam, rtol=0, atol=1e-12)


@BOTH
def test_validation_data_are_watched_without_being_used(
    overlapping, answers, estimator
):
    X, y = overlapping
    # They tell the temperature of probabilities, but not the weights.
    raw = {} if is_regressor(estimator()) else {"calibration_fraction": None}
    watched = make(estimator, **raw).fit(X, y, X_val=X[:30], y_val=y[:30])
    plain = make(estimator, **raw).fit(X, y)
    assert watched.evolution_ == plain.evolution_
    np.testing.assert_array_equal(answers(watched, X), answers(plain, X))


@BOTH
@EPSILONS
def test_coactivations_are_those_of_the_node_values(overlapping, estimator, epsilon):
    X, y = overlapping
    model = make(estimator, epsilon=epsilon).fit(X, y)
    ncam, ncim = shares(model.node_values(X))
    np.testing.assert_allclose(model.coactivation_, ncam, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.coinactivation_, ncim, rtol=0, atol=1e-12)


def test_coactivations_are_weighted_as_the_rows_are(overlapping):
    X, y = overlapping
    weights = np.random.default_rng(0).uniform(0, 3, len(X))
    model = make().fit(X, y, sample_weight=weights)
    ncam, ncim = shares(model.node_values(X), weights)
    np.testing.assert_allclose(model.coactivation_, ncam, rtol=0, atol=1e-11)
    np.testing.assert_allclose(model.coinactivation_, ncim, rtol=0, atol=1e-11)


@pytest.mark.parametrize("epsilon", [0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_converged_is_whether_another_evolution_changes_nothing(
    overlapping, epsilon, seed
):
    model = make(epsilon=epsilon, density=0.5, random_state=seed).fit(*overlapping)
    edges = model.topology_.to_dense()
    assert model.converged_ == np.array_equal(evolved(model), edges)
    if model.converged_:
        # Theorem 2: Aug ∧ ¬Prune ⊆ G.
        augment, prune = (
            np.triu(share > 1 - epsilon, 1)
            for share in (model.coactivation_, model.coinactivation_)
        )
        assert not (augment & ~prune & ~edges).any()


def test_some_graphs_converge_and_some_do_not(overlapping):
    found = {make(epsilon=e).fit(*overlapping).converged_ for e in (0.2, 0.7, 0.9)}
    assert found == {True, False}


def test_no_evolution_keeps_the_graph_as_it_starts(overlapping):
    complete = make(max_evolutions=0).fit(*overlapping)
    assert complete.topology_ == Topology.triangular(N_NODES)
    assert complete.evolution_ == []
    part = make(max_evolutions=0, density=0.5).fit(*overlapping)
    assert part.topology_.n_edges == N_POSSIBLE // 2


@UNFINISHED
@pytest.mark.parametrize(("most", "expected"), [(1, 1), (2, 2), (10, 3)])
def test_there_are_no_more_evolutions_than_allowed(overlapping, most, expected):
    model = make(max_evolutions=most).fit(*overlapping)
    assert len(model.evolution_) == expected


def test_last_epoch_trains_the_edges_that_are_left(overlapping):
    # With an evolution after each epoch, all but the last have one.
    assert len(make(evolve_interval=1).fit(*overlapping).evolution_) == 7
    assert make(evolve_interval=8).fit(*overlapping).evolution_ == []


# Rounds.


@BOTH
@pytest.mark.parametrize("epsilon", [0.3, 0.45, 0.5])
def test_rounds_go_on_until_nothing_changes(overlapping, estimator, epsilon):
    model = make(estimator, evolve_interval="convergence", epsilon=epsilon)
    model.set_params(max_evolutions=30, max_iter=4).fit(*overlapping)
    assert len(model.evolution_) < 30
    assert model.converged_
    assert model.evolution_[-1]["pruned"] == model.evolution_[-1]["added"] == 0
    assert n_changed(model) == len(model.evolution_) - 1
    assert model.n_iter_ == 4 * len(model.evolution_)
    assert_adds_up(model)


def test_rounds_may_never_end_beyond_a_half(overlapping):
    # Pairs that are both active and inactive together are joined and parted by turns.
    model = make(evolve_interval="convergence", epsilon=0.8, max_iter=4)
    with pytest.warns(ConvergenceWarning, match="still changes after max_evolutions"):
        model.fit(*overlapping)
    assert not model.converged_
    assert all(entry["added"] for entry in model.evolution_[-2:])


@UNFINISHED
@pytest.mark.parametrize("most", [0, 1, 2])
def test_rounds_end_after_the_last_evolution_allowed(overlapping, most):
    model = make(evolve_interval="convergence", max_evolutions=most)
    model.fit(*overlapping)
    assert len(model.evolution_) == n_changed(model) == most
    assert model.n_iter_ == 8 * (most + 1)
    assert_adds_up(model)


@UNFINISHED
def test_rounds_start_from_the_weights_of_the_last(overlapping, substitute):
    X, y = overlapping
    model = make(dropout=0, label_smoothing=0, batch_size=120)
    once = clone(model).set_params(max_evolutions=0).fit(X, y)
    model.set_params(evolve_interval="convergence", max_evolutions=1).fit(X, y)
    before, after = once.topology_.to_dense(), evolved(once)
    n_pruned = int((before & ~after).sum())
    assert n_pruned > 0
    assert model.evolution_ == [
        {"pruned": n_pruned, "added": 0, "left": int(after.sum())}
    ]
    assert model.loss_curve_[:8] == once.loss_curve_
    # The loss of an epoch is that before its only step.
    once.net_.module_.graph.weights.data *= torch.as_tensor(after)
    logits = substitute(once, X) @ once.output_weights_ + once.output_biases_
    assert model.loss_curve_[8] == pytest.approx(
        log_loss(y, softmax(logits, axis=1)), rel=1e-5
    )


# Seeds, weights, going on.


@BOTH
@UNFINISHED
@pytest.mark.parametrize("evolve_interval", [2, "convergence"])
@pytest.mark.parametrize("density", [0.5, 1.0])
def test_same_seed_gives_the_same_model_bit_for_bit(
    overlapping, estimator, evolve_interval, density
):
    model = make(estimator, evolve_interval=evolve_interval, density=density)
    model.set_params(batch_size=32, max_evolutions=3)
    a, b = (clone(model).fit(*overlapping) for _ in range(2))
    for name in ("input_weights_", "node_weights_", "output_weights_", "node_biases_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.evolution_ == b.evolution_
    assert a.loss_curve_ == b.loss_curve_
    np.testing.assert_array_equal(a.coactivation_, b.coactivation_)
    other = clone(model).set_params(random_state=1).fit(*overlapping)
    assert abs(other.input_weights_ - a.input_weights_).max() > 1e-3


@BOTH
def test_weight_of_a_row_is_its_repetition(overlapping, answers, estimator):
    X, y = overlapping
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    model = make(estimator, batch_size=1000, learning_rate_init=0.01)
    repeated = clone(model).fit(X.repeat(weights, 0), y.repeat(weights))
    weighted = clone(model).fit(X, y, sample_weight=weights)
    plain = clone(model).fit(X, y)
    assert weighted.evolution_ == repeated.evolution_ != plain.evolution_
    expected = answers(repeated, X)
    np.testing.assert_allclose(answers(weighted, X), expected, rtol=1e-6, atol=1e-8)
    assert abs(answers(plain, X) - expected).max() > 1e-3


@BOTH
@UNFINISHED
def test_warm_start_goes_on_with_the_evolved_graph(overlapping, estimator):
    model = make(estimator, warm_start=True).fit(*overlapping)
    topology, before = model.topology_, list(model.evolution_)
    model.set_params(max_evolutions=0).fit(*overlapping)
    assert model.topology_ == topology != Topology.triangular(N_NODES)
    assert model.evolution_ == before
    assert model.n_iter_ == 16
    model.set_params(max_evolutions=2).fit(*overlapping)
    assert model.evolution_[:3] == before
    assert len(model.evolution_) == 5
    assert_adds_up(model)


def test_warm_start_heeds_a_new_rule(overlapping):
    model = make(warm_start=True, max_evolutions=0).fit(*overlapping)
    model.set_params(max_evolutions=10, evolve_interval=4, epsilon=0.999)
    with pytest.warns(UserWarning, match="of 12 nodes are left without an edge"):
        model.fit(*overlapping)
    # Nodes that are inactive together on a row are hardly joined any more.
    assert len(model.evolution_) == 1
    assert model.evolution_[0]["pruned"] > N_POSSIBLE / 2


@BOTH
def test_partial_fit_evolves_now_and_then(overlapping, estimator):
    X, y = overlapping
    model = make(estimator, evolve_interval=3)
    first = {"classes": [0, 1]} if estimator is FreeNetClassifier else {}
    numbers = []
    for _ in range(7):
        model.partial_fit(X, y, **first)
        numbers.append(len(model.evolution_))
        assert_adds_up(model)
    assert numbers == [0, 0, 1, 1, 1, 2, 2]
    assert model.topology_.n_edges < N_POSSIBLE


# Copies.


@BOTH
def test_sparsify_keeps_the_predictions(overlapping, answers, estimator):
    X, y = overlapping
    model = make(estimator).fit(X, y)
    expected, topology = answers(model, X), model.topology_
    model.sparsify()
    np.testing.assert_allclose(answers(model, X), expected, rtol=1e-12, atol=1e-12)
    W = model.net_.module_.graph.weights.detach().numpy()
    np.testing.assert_array_equal(W, model.node_weights_)
    assert model.topology_ == topology != Topology.triangular(N_NODES)


@BOTH
def test_sparsify_drops_what_only_study_needs(overlapping, estimator):
    model = make(estimator).fit(*overlapping)
    assert model.coactivation_.shape == model.coinactivation_.shape == (N_NODES,) * 2
    model.sparsify()
    for name in ("coactivation_", "coinactivation_"):
        with pytest.raises(AttributeError, match=f"{name}.*until sparsify drops it"):
            getattr(model, name)


@BOTH
def test_sparsify_drops_what_the_optimizer_remembers(overlapping, estimator):
    model = make(estimator, n_nodes=60, optimizer="sgd").fit(*overlapping)
    size = len(pickle.dumps(model))
    assert len(pickle.dumps(model.sparsify())) < size


@BOTH
@UNFINISHED
@pytest.mark.parametrize("evolve_interval", [2, "convergence"])
def test_copy_predicts_the_same_and_can_be_trained(
    overlapping, answers, estimator, evolve_interval
):
    X, y = overlapping
    model = make(estimator, evolve_interval=evolve_interval, warm_start=True)
    model.set_params(max_evolutions=2, max_iter=4).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))
    np.testing.assert_array_equal(twin.node_values(X), model.node_values(X))
    assert twin.topology_ == model.topology_
    before, n_before = list(model.evolution_), model.n_iter_
    assert twin.evolution_ == before
    twin.fit(X, y)
    assert twin.n_iter_ > n_before
    assert len(twin.evolution_) > len(before)
    assert_adds_up(twin)
    # The original knows nothing of it.
    assert (model.evolution_, model.n_iter_) == (before, n_before)


def test_copy_evolves_like_the_original(overlapping):
    X, y = overlapping
    model = make(warm_start=True, dropout=0).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    assert twin.fit(X, y).evolution_ == model.fit(X, y).evolution_
    np.testing.assert_allclose(twin.node_weights_, model.node_weights_, atol=1e-9)


def test_ctrl_c_ends_the_rounds_too(overlapping, monkeypatch):
    steps, original = iter(range(1, 10**6)), TrainingNet.train_step

    def train_step(self, *args, **kwargs):
        if next(steps) == 3:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(TrainingNet, "train_step", train_step)
    model = FreeNetClassifier(
        12, epsilon=0.8, evolve_interval="convergence", max_iter=8, random_state=0
    )
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        model.fit(*overlapping)
    assert model.n_iter_ == 2


def test_sparsify_drops_the_weights_of_absent_edges(overlapping):
    X, y = overlapping
    model = make(n_nodes=60)
    size = len(pickle.dumps(model.fit(X, y)))
    n_edges = model.topology_.n_edges
    assert 0 < n_edges < 60 * 59 / 4
    # Before, all pairs of earlier and later nodes had a weight; now edges have.
    n_dropped = 60 * 59 // 2 - n_edges
    assert len(pickle.dumps(model.sparsify())) < size - n_dropped * 8
    model.set_params(warm_start=True, max_iter=1).fit(X, y)
    assert model.topology_.n_edges == n_edges


def test_predictions_of_a_sparse_graph_are_silent(overlapping):
    X, y = overlapping
    model = FreeNetClassifier(90, density=0.1, max_evolutions=0, random_state=0)
    expected = model.set_params(max_iter=2).fit(X, y).predict_proba(X)
    found = model.sparsify().predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
