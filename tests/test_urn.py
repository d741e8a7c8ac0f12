"""URN: public attributes tell the truth, and a structure emerges."""

import pickle

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknm import URNClassifier, URNRegressor
from sknm.datasets import make_spherical_shells
from sknm.graph.depth import layered_share, main_depths, steps_that_matter

#: No price of neurons, and weights that are all drawn alike.
PLAIN = {"alpha_neuron": 0.0, "init": "random"}

BOTH = pytest.mark.parametrize("estimator", [URNClassifier, URNRegressor])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make(estimator=URNClassifier, **parameters):
    """An estimator many of whose neurons die within a moment."""
    defaults = {
        "n_nodes": 60,
        "alpha_weight": 0.2,
        "max_iter": 20,
        "learning_rate_init": 0.04,
        "batch_size": 50,
        "random_state": 0,
    }
    return estimator(**defaults | parameters)


@pytest.fixture(scope="module")
def shells():
    """Two shells in 5 dimensions, 600 rows."""
    return make_spherical_shells(600, 5, random_state=0)


def literal_states(model, X, W=None):
    """Run the recursion with public attributes only; (n, n_steps + 1, n_neurons)."""
    W = model.node_weights_ if W is None else W
    states = [model.encode(X) @ model.input_weights_]
    for _ in range(model.n_steps):
        u = states[-1] @ W + model.node_biases_
        states.append(np.maximum(u, 0))
    return np.stack(states, axis=1), u @ model.output_weights_ + model.output_biases_


def without_classes(model, X):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


# Public attributes


@DTYPES
@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_predictions_are_those_of_a_literal_loop(shells, dtype, n_steps):
    X, y = shells[0].astype(dtype), shells[1]
    atol = 1e-5 if dtype == np.float32 else 1e-10
    classifier = make(n_steps=n_steps).fit(X, y)
    states, logits = literal_states(classifier, X)
    np.testing.assert_allclose(
        classifier.predict_proba(X),
        softmax(logits / classifier.temperature_, axis=1),
        atol=atol,
    )
    np.testing.assert_allclose(classifier.node_values(X), states, atol=10 * atol)
    targets = np.column_stack([y, X[:, 0]])
    regressor = make(URNRegressor, n_steps=n_steps).fit(X, targets)
    _, outputs = literal_states(regressor, X)
    np.testing.assert_allclose(regressor.predict(X), outputs, atol=10 * atol)


@BOTH
def test_shapes(shells, estimator):
    X, y = shells
    model = make(estimator).fit(X, y)
    o = 2 if estimator is URNClassifier else 1
    n = 5 + 60 + o
    assert model.node_weights_.shape == (n, n) == model.topology_.edges.shape
    assert model.input_weights_.shape == (5, n)
    assert model.output_weights_.shape == (n, o)
    assert model.output_biases_.shape == (o,)
    assert model.node_values(X[:3]).shape == (3, 5, n)
    assert len(model.node_depth_) == n
    assert model.solver_stats_ == {"iterations": 4, "residual": 0, "unconverged": 0}


@BOTH
def test_depths_and_active_neurons_follow_from_the_weights(shells, estimator):
    X, y = shells
    model = make(estimator).fit(X, y)
    mask = model.node_weights_ != 0
    o = model.output_weights_.shape[1]
    steps = steps_that_matter(mask, 5, o, model.n_steps)
    assert model.node_depth_ == [tuple(np.flatnonzero(s)) for s in steps.T]
    matter = {i for i, depth in enumerate(model.node_depth_) if depth}
    assert matter
    assert matter <= {*model.active_nodes_.tolist()}
    assert model.topology_.n_edges == mask.sum()


def test_history_ends_with_the_active_neurons(shells):
    model = make().fit(*shells)
    assert len(model.active_history_) == model.n_iter_
    assert model.active_history_[0] > model.active_history_[-1]
    assert model.active_history_[-1] == len(model.active_nodes_)


def test_neurons_that_are_not_active_can_be_left_out(shells):
    X, y = shells
    model = make(alpha_weight=0.2).fit(X, y)
    dead = np.setdiff1d(np.arange(67), model.active_nodes_)
    _, expected = literal_states(model, X)
    W = model.node_weights_
    W[dead] = 0
    _, found = literal_states(model, X, W)
    np.testing.assert_allclose(found, expected)


def test_the_dead_no_longer_cost_anything(shells):
    model = make().fit(*shells)
    graph = model.net_.module_.graph
    assert graph.n_nodes < 50
    assert graph.weights.shape == (graph.n_nodes, graph.n_nodes)
    dead = np.setdiff1d(np.arange(67), graph.plan.neurons)
    assert not model.node_weights_[dead].any()
    assert not model.node_weights_[:, dead].any()
    assert not model.node_biases_[dead].any()


# Structure


def test_a_layered_network_emerges_from_shells():
    X, y = make_spherical_shells(3000, 10, random_state=0)
    model = make(
        n_nodes=150,
        alpha_weight=1.0,
        n_steps=3,
        max_iter=80,
        label_smoothing=0,
        **PLAIN,
    )
    model.set_params(batch_size="auto").fit(X[:2000], y[:2000])
    assert model.score(X[2000:], y[2000:]) > 0.98
    assert len(model.active_nodes_) < 0.4 * 162
    W = model.node_weights_
    assert layered_share(W, main_depths(W, 10, 2, 3)) > 0.75


@pytest.mark.parametrize(
    ("init", "name", "prices"),
    [
        ("random", "alpha_weight", [0, 0.1, 0.3]),
        ("random", "alpha_activity", [0, 0.03]),
        ("identity", "alpha_weight", [0, 0.1, 0.3]),
        ("identity", "alpha_activity", [0, 0.01]),
        ("identity", "alpha_neuron", [0, 0.1, 0.5]),
    ],
)
def test_more_neurons_die_of_higher_prices(shells, init, name, prices):
    model = make(init=init, alpha_neuron=0.0, alpha=0.01, calibration_fraction=None)
    counts = [
        len(clone(model).set_params(**{name: price}).fit(*shells).active_nodes_)
        for price in prices
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


@pytest.mark.sweep(2)
@pytest.mark.parametrize("data", ["digits", "shells"])
def test_by_default_less_than_half_of_the_neurons_do_what_all_would(data):
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        d, o, least = 64, 10, 0.97
    else:
        X, y = make_spherical_shells(3000, 10, random_state=0)
        d, o, least = 10, 2, 0.995
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = URNClassifier(random_state=0).fit(X_train, y_train)
    alive = model.active_nodes_
    n = len(model.node_weights_)
    assert n == d + 400 + o
    assert len(alive) <= n / 2
    assert 20 <= ((alive >= d) & (alive < n - o)).sum() <= 200
    assert model.score(X_test, y_test) >= least


def test_without_a_price_of_neurons_all_live():
    X, y = load_digits(n_class=4, return_X_y=True)
    for parameters in PLAIN, {"alpha_neuron": 0.0}:
        model = URNClassifier(100, max_iter=10, random_state=0, **parameters)
        assert (np.array(model.fit(X, y).active_history_) >= 164 - 20).all()


def test_neurons_start_by_handing_on_their_values(shells):
    model = make(learning_rate_init=1e-12, max_iter=1)
    inner = slice(5, 65)
    W = model.fit(*shells).node_weights_[inner, inner]
    random = model.set_params(init="random").fit(*shells).node_weights_[inner, inner]
    np.testing.assert_allclose(W, 0.3 * random + np.eye(60), atol=1e-6)


def test_partial_fit_knows_no_end_and_lets_none_die_of_their_price(shells):
    free, dear = make(alpha_neuron=0.0), make(alpha_neuron=3.0)
    for _ in range(5):
        for model in free, dear:
            model.partial_fit(*shells, classes=[0, 1])
    np.testing.assert_array_equal(free.node_weights_, dear.node_weights_)


def test_each_fit_of_a_warm_start_has_neurons_die(shells):
    model = make(alpha_weight=0.0, alpha_neuron=0.1, warm_start=True)
    counts = [len(model.fit(*shells).active_nodes_) for _ in range(3)]
    assert 67 > counts[0] > counts[1] > counts[2] > 7


def test_activity_has_a_price(shells):
    X, y = shells
    free, dear = (
        make(alpha_weight=0.0, alpha_activity=c).fit(X, y).node_values(X)[:, 1:4]
        for c in (0.0, 0.01)
    )
    assert dear.sum() < 0.5 * free.sum()


def test_a_rising_price_moves_the_structure_of_a_warm_start(shells):
    model = make(alpha_weight=0.05, warm_start=True, max_iter=20, **PLAIN)
    model.set_params(alpha=0.01)
    counts = []
    for price in 0.02, 0.1, 0.3:
        model.set_params(alpha_weight=price).fit(*shells)
        counts.append(model.topology_.n_edges)
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.2 * counts[0]
    assert model.n_iter_ == 60 == len(model.active_history_)


def test_same_seed_same_structure(shells):
    first, second, other = (make(random_state=seed).fit(*shells) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.node_weights_, second.node_weights_)
    assert first.active_history_ == second.active_history_
    assert first.node_depth_ == second.node_depth_
    assert (first.node_weights_ != other.node_weights_).any()


# Locality


def mean_length(model):
    gaps = model.node_positions_[:, None] - model.node_positions_
    lengths = np.linalg.norm(gaps, axis=2)
    size = np.abs(model.node_weights_)
    return (size * lengths).sum() / size.sum()


def test_edges_are_shorter_where_length_has_a_price():
    X, y = load_digits(n_class=4, return_X_y=True)
    X = X / 16
    pixels = np.stack(np.divmod(np.arange(64), 8), axis=1)
    model = make(
        feature_positions=pixels, alpha_weight=0.02, max_iter=20, random_state=1
    )
    free = clone(model).fit(X, y)
    local = clone(model).set_params(alpha_locality=0.1).fit(X, y)
    assert mean_length(local) < 0.8 * mean_length(free)
    assert local.score(X, y) > 0.95
    np.testing.assert_array_equal(local.node_positions_[:64], pixels)
    assert local.node_positions_.shape == (64 + 60 + 4, 2)


# Going on


@BOTH
@DTYPES
def test_sparsify_keeps_the_predictions(shells, estimator, dtype):
    X, y = shells[0].astype(dtype), shells[1]
    model = make(estimator, alpha_weight=0.2, warm_start=True).fit(X, y)
    before, active = without_classes(model, X), model.active_nodes_
    n_edges, n_nodes = model.topology_.n_edges, model.net_.module_.graph.n_nodes
    assert model.sparsify() is model
    np.testing.assert_allclose(without_classes(model, X), before, atol=1e-6)
    np.testing.assert_array_equal(model.active_nodes_, active)
    assert model.topology_.n_edges <= n_edges
    assert model.net_.module_.graph.n_nodes <= n_nodes
    model.fit(X, y)
    assert model.n_iter_ == 40


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_every_optimizer_goes_on_with_the_living(shells, optimizer):
    X, y = shells
    model = make(optimizer=optimizer, warm_start=True, alpha_weight=0.0)
    model.set_params(**PLAIN).fit(X, y)
    graph = model.net_.module_.graph
    n = graph.n_nodes
    graph.weights.data[:, 30:50] = 0
    graph.biases.data[30:50] = -1
    before = model.loss_
    model.fit(X, y)
    assert graph.n_nodes <= n - 20
    assert model.loss_ < before


@BOTH
def test_early_stopping_returns_to_the_best_weights(shells, estimator):
    X, y = shells
    model = make(estimator, early_stopping=True, n_iter_no_change=40, warm_start=True)
    model.fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    scores = model.validation_scores_
    assert model.score(X[400:], y[400:]) == pytest.approx(max(scores), abs=1e-6)
    # The last record is that of the state that is returned.
    assert model.active_history_[-1] == len(model.active_nodes_)
    # Most probably more neurons were alive then: what follows goes on from there.
    model.fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    assert model.score(X[400:], y[400:]) == pytest.approx(
        max(model.validation_scores_[len(scores) :]), abs=1e-6
    )


@BOTH
def test_pickles_predict_the_same_and_go_on_the_same(shells, estimator):
    X, y = shells
    model = make(estimator, warm_start=True).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    np.testing.assert_array_equal(
        copy.fit(X, y).node_weights_, model.fit(X, y).node_weights_
    )


def test_partial_fit_lets_neurons_die(shells):
    X, y = shells
    model = make(alpha_weight=0.3, learning_rate_init=0.01, batch_size=100)
    for _ in range(120):  # of six steps each: a neuron has to be silent in two of them
        model.partial_fit(X, y, classes=[0, 1])
    assert len(model.active_history_) == 120
    assert model.net_.module_.graph.n_nodes < 67
    assert model.score(X, y) > 0.9


# Bad input


@pytest.mark.parametrize(
    "prices", [{"alpha_weight": 5.0}, {"alpha_activity": 3.0, "alpha_weight": 0.9}]
)
@BOTH
def test_too_high_prices_are_told(shells, estimator, prices):
    model = make(estimator, **prices)
    with pytest.warns(UserWarning, match=r"No path is left.*Lower alpha_weight="):
        model.fit(*shells)
    assert not any(model.node_depth_)
    assert len(np.unique(without_classes(model, shells[0]), axis=0)) == 1


@pytest.mark.parametrize("n_steps", [0, -1, 2.5])
def test_n_steps_is_a_positive_number(shells, n_steps):
    with pytest.raises(ValueError, match="'n_steps' parameter"):
        make(n_steps=n_steps).fit(*shells)


@pytest.mark.parametrize("shape", [(4, 2), (6, 2), (5,)])
def test_each_feature_needs_a_position(shells, shape):
    with pytest.raises(ValueError, match=r"feature_positions has shape.*5 features"):
        make(feature_positions=np.zeros(shape)).fit(*shells)


def test_positions_are_known(shells):
    with pytest.raises(ValueError, match="feature_positions contains NaN"):
        make(feature_positions=np.full((5, 2), np.nan)).fit(*shells)


def test_locality_needs_positions(shells):
    with pytest.raises(ValueError, match=r"alpha_locality=0.1 needs feature_positions"):
        make(alpha_locality=0.1).fit(*shells)


@pytest.mark.parametrize("change", [{"n_nodes": 61}, {"n_steps": 3}])
def test_a_warm_start_keeps_size_and_steps(shells, change):
    model = make(warm_start=True, max_iter=5).fit(*shells)
    before = model.predict_proba(shells[0])
    with pytest.raises(ValueError, match=r"has n_nodes=60 and n_steps=4"):
        model.set_params(**change).fit(*shells)
    np.testing.assert_array_equal(model.predict_proba(shells[0]), before)


def test_positions_that_come_too_late_are_refused(shells):
    model = make(warm_start=True, max_iter=5).fit(*shells)
    model.set_params(alpha_locality=0.1, feature_positions=np.eye(5))
    with pytest.raises(ValueError, match="feature_positions were not given"):
        model.fit(*shells)


def test_a_loss_that_is_not_finite_leaves_the_last_state(shells):
    X, y = shells
    model = make(warm_start=True, scale=None).fit(X, y)
    with pytest.raises(ValueError, match="no longer finite"):
        model.set_params(max_iter=5).fit(1e200 * X, y)
    assert model.score(X, y) > 0.9
