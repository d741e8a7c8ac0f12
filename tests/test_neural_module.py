"""Neural Modules: what they learn, and that their public attributes tell the truth."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, softmax
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    make_classification,
    make_friedman1,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknm import NeuralModuleClassifier, NeuralModuleRegressor

ACTIVATIONS = {
    "relu": lambda u: np.maximum(u, 0),
    "leaky_relu": lambda u: np.where(u > 0, u, 0.01 * u),
    "tanh": np.tanh,
    "sigmoid": expit,
    "softplus": lambda u: np.logaddexp(0, u),
    "elu": lambda u: np.where(u > 0, u, np.expm1(np.minimum(u, 0))),
    "identity": lambda u: u,
}

SMALL = {"n_nodes": 20, "module_size": 5, "max_iter": 5, "random_state": 0}


def split(X, y, dtype=np.float32):
    """Training and test data, standardised."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    scaled = (scaler.transform(part).astype(dtype) for part in (X_train, X_test))
    return *scaled, y_train, y_test


@pytest.fixture(scope="module")
def data():
    """Three classes, 150 rows, in double precision."""
    X, y = make_classification(
        150, 6, n_informative=4, n_classes=3, class_sep=2, random_state=0
    )
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def digits():
    X_train, X_test, y_train, y_test = split(*load_digits(return_X_y=True))
    model = NeuralModuleClassifier(100, module_size=20, max_iter=15, random_state=0)
    return model.fit(X_train, y_train), X_test, y_test


def solution(model, X):
    """Right-hand side of ``z = σ(zW + xU + b)``, from public attributes only."""
    z = model.node_values(X)
    u = (
        z @ model.node_weights_
        + model.encode(X) @ model.input_weights_
        + model.node_biases_
    )
    return z, ACTIVATIONS[model.activation](u)


def outputs(model, X):
    return model.node_values(X) @ model.output_weights_ + model.output_biases_


def assert_tells_the_truth(model, X):
    """Topology, modules, node values and predictions agree with the weights."""
    W = model.node_weights_
    topology = model.topology_
    assert np.array_equal(topology.to_dense(), abs(W) > model.tau)
    assert not W[~topology.to_dense()].any()

    n_modules, labels = connected_components(W != 0, connection=model.connection)
    assert model.n_modules_ == n_modules == len(model.module_sizes_)
    # The same partition, whatever the numbers of its parts.
    assert len({*zip(labels, model.module_labels_, strict=True)}) == n_modules
    assert np.array_equal(model.module_sizes_, np.bincount(model.module_labels_))
    assert model.module_sizes_.sum() == model.n_nodes

    z, right = solution(model, X)
    assert z.shape == (len(X), model.n_nodes)
    scale = 1 + abs(z).max()
    np.testing.assert_allclose(z, right, atol=1e-7 * scale)


def blocks(model):
    """Weights of each cyclic block."""
    for nodes in model.topology_.cyclic_components:
        yield model.node_weights_[np.ix_(nodes, nodes)].astype(np.float64)


# What they learn.


def test_classifier_learns_digits_with_several_modules(digits):
    model, X_test, y_test = digits
    assert model.score(X_test, y_test) > 0.96
    assert model.n_modules_ >= 3
    assert model.module_sizes_.max() <= 50


def test_solves_of_a_trained_model_converge(digits):
    model, X_test, _ = digits
    stats = model.node_values(X_test, return_stats=True)[1]
    for found in (stats, model.solver_stats_):
        assert found["unconverged"] == 0
        assert 0 < found["iterations"] < 500
        assert found["residual"] < 1e-4


def test_probabilities_are_those_of_the_weights(digits):
    model, X_test, y_test = digits
    p = model.predict_proba(X_test)
    logits = outputs(model, X_test) / model.temperature_
    np.testing.assert_allclose(softmax(logits, axis=1), p, atol=1e-4)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X_test)), p, rtol=1e-4)
    assert np.array_equal(model.predict(X_test), model.classes_[p.argmax(1)])
    assert model.score(X_test, y_test) == (model.predict(X_test) == y_test).mean()


def test_defaults_learn_breast_cancer():
    X_train, X_test, y_train, y_test = split(*load_breast_cancer(return_X_y=True))
    model = NeuralModuleClassifier(n_nodes=100, max_iter=30, random_state=0)
    assert model.fit(X_train, y_train).score(X_test, y_test) > 0.95


def test_regressor_learns_friedman():
    X_train, X_test, y_train, y_test = split(
        *make_friedman1(400, noise=0.1, random_state=0), dtype=np.float64
    )
    model = NeuralModuleRegressor(50, module_size=25, max_iter=100, random_state=0)
    model.fit(X_train, y_train)
    assert model.score(X_test, y_test) > 0.9
    np.testing.assert_allclose(outputs(model, X_test)[:, 0], model.predict(X_test))


def test_regressor_fits_several_targets_of_any_scale():
    X, y = make_friedman1(300, noise=0.1, random_state=0)
    X = StandardScaler().fit_transform(X)
    Y = np.column_stack([y, 1e6 * y - 1e7, -1e-6 * y, np.full(300, 0.1)])
    model = NeuralModuleRegressor(50, module_size=25, max_iter=60, random_state=0)
    predicted = model.fit(X, Y).predict(X)
    assert predicted.shape == Y.shape
    errors = ((predicted - Y) ** 2).mean(0)
    assert (errors[:3] < 0.15 * Y.var(0)[:3]).all()
    np.testing.assert_allclose(predicted[:, 3], 0.1, atol=0.2)
    assert model.output_weights_.shape == (50, 4)
    np.testing.assert_allclose(outputs(model, X), predicted, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)])
def test_predictions_have_the_shape_of_the_targets(shape):
    y = np.linspace(0, 1, 40).reshape(shape)
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    assert NeuralModuleRegressor(**SMALL).fit(X, y).predict(X).shape == y.shape


def test_shifting_and_scaling_targets_shifts_and_scales_predictions(data):
    X = data[0]
    y = X[:, 0] * X[:, 1]
    plain = NeuralModuleRegressor(**SMALL).fit(X, y).predict(X)
    moved = NeuralModuleRegressor(**SMALL).fit(X, 1000 * y + 7).predict(X)
    np.testing.assert_allclose(moved, 1000 * plain + 7, rtol=1e-6, atol=1e-3)


def test_labels_may_be_strings(data):
    X, y = data
    names = np.array(["ant", "bee", "cat"], dtype=object)
    by_name = NeuralModuleClassifier(**SMALL).fit(X, names[y])
    by_code = NeuralModuleClassifier(**SMALL).fit(X, y)
    assert by_name.classes_.tolist() == ["ant", "bee", "cat"]
    assert np.array_equal(by_name.predict(X), names[by_code.predict(X)])


# What the parameters do.


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
@pytest.mark.parametrize("init", ["modular", "dense"])
@pytest.mark.parametrize("penalty", ["evidence", "bridge", "nm", "l1", "l2", None])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_every_penalty_runs_from_every_start(data, init, penalty, norm):
    X, y = data
    model = NeuralModuleClassifier(init=init, penalty=penalty, norm=norm, **SMALL)
    assert_tells_the_truth(model.fit(X, y), X)


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
@pytest.mark.parametrize("measure", ["share", "edges"])
@pytest.mark.parametrize("connection", ["weak", "strong"])
def test_every_kind_of_module_runs(data, measure, connection):
    X, y = data
    model = NeuralModuleClassifier(
        measure=measure, connection=connection, penalty="nm", **SMALL
    )
    assert_tells_the_truth(model.fit(X, y), X)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("stability", ["monotone", "contraction"])
def test_every_activation_is_solved(data, activation, stability):
    X, y = data
    model = NeuralModuleClassifier(activation=activation, stability=stability, **SMALL)
    assert_tells_the_truth(model.fit(X, y), X)
    assert model.solver_stats_["unconverged"] == 0
    expected = softmax(outputs(model, X) / model.temperature_, axis=1)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_learns(data, activation):
    X, y = data
    model = NeuralModuleClassifier(
        20, module_size=10, activation=activation, max_iter=40, random_state=0
    )
    losses = model.fit(X, y).loss_curve_
    assert losses[-1] < 0.8 * losses[0]
    assert model.score(X, y) > 0.75


@pytest.mark.parametrize(
    "solver", ["peaceman_rachford", "picard", "anderson", "newton"]
)
def test_every_solver_finds_what_auto_finds(data, solver):
    X, y = data
    # With all rows in a batch, gradients are exact, and so are the solves.
    options = {"stability": "contraction", "margin": 0.3, "batch_size": 150, **SMALL}
    auto = NeuralModuleClassifier(**options).fit(X, y)
    other = NeuralModuleClassifier(solver=solver, **options).fit(X, y)
    assert_tells_the_truth(other, X)
    assert other.solver_stats_["unconverged"] == 0
    expected = auto.predict_proba(X)
    np.testing.assert_allclose(other.predict_proba(X), expected, rtol=1e-6)


@pytest.mark.parametrize("margin", [0.05, 0.5])
@pytest.mark.parametrize("init", ["modular", "dense"])
def test_symmetric_part_of_each_block_stays_below_one(data, init, margin):
    X, y = data
    model = NeuralModuleClassifier(
        20, module_size=10, init=init, margin=margin, max_iter=40, random_state=0
    ).fit(X, y)
    tops = [np.linalg.eigvalsh((W + W.T) / 2)[-1] for W in blocks(model)]
    assert tops
    assert max(tops) <= 1 - margin + 1e-6


def test_contraction_keeps_the_spectral_norm_below_one(data):
    X, y = data
    model = NeuralModuleClassifier(
        20, module_size=10, stability="contraction", max_iter=40, random_state=0
    ).fit(X, y)
    norms = [np.linalg.norm(W, 2) for W in blocks(model)]
    assert norms
    assert max(norms) <= 0.95 + 1e-6


def test_modules_of_one_node_make_a_single_layer(data):
    X, y = data
    model = NeuralModuleClassifier(
        10, module_size=1, tau=1.0, max_iter=5, random_state=0
    ).fit(X, y)
    assert model.n_modules_ == 10
    assert model.topology_.n_edges == 0
    assert not model.node_weights_.any()
    assert_tells_the_truth(model, X)


def test_one_node_is_a_graph(data):
    X, y = data
    model = NeuralModuleClassifier(1, max_iter=5, random_state=0).fit(X, y)
    assert model.module_sizes_.tolist() == [1]
    assert_tells_the_truth(model, X)


def test_a_stronger_bridge_penalty_keeps_more_modules(data):
    X, y = data
    counts = [
        NeuralModuleClassifier(
            40,
            module_size=5,
            lambda_NM=strength,
            penalty="bridge",
            max_iter=60,
            random_state=0,
        )
        .fit(X, y)
        .n_modules_
        for strength in (0.0, 8.0)
    ]
    assert counts[0] < counts[1]


def test_epochs_share_the_labels_that_stay_the_same(data):
    X, y = data
    model = NeuralModuleClassifier(**SMALL, lambda_NM=1e6).fit(X, y)
    for _ in range(2):
        model.partial_fit(X, y)
    history = model.module_history_
    assert len(history) == 7
    assert len({id(entry["labels"]) for entry in history[:5]}) == 1
    assert len({id(entry["labels"]) for entry in history[5:]}) == 1
    twin = pickle.loads(pickle.dumps(model))
    assert twin.module_history_ == history
    assert len({id(entry["labels"]) for entry in twin.module_history_}) <= 2


# Modules that follow from the data.


@pytest.fixture(scope="module")
def standard_digits():
    return split(*load_digits(return_X_y=True), np.float64)


def test_defaults_change_the_modules(standard_digits):
    X_train, X_test, y_train, y_test = standard_digits
    model = NeuralModuleClassifier(random_state=0).fit(X_train, y_train)
    history = model.module_history_
    assert history[0]["sizes"] == [20] * 20
    assert sorted(model.module_sizes_, reverse=True) == history[-1]["sizes"]
    assert 1 < model.n_modules_ < 20
    assert model.module_sizes_.max() <= 0.4 * 400
    assert model.score(X_test, y_test) > 0.97
    assert_tells_the_truth(model, X_test)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("seed", range(3))
def test_modules_stay_apart_where_there_is_nothing_to_learn(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(1000, 8)), rng.integers(0, 2, 1000)
    model = NeuralModuleClassifier(random_state=seed).fit(X, y)
    assert model.n_modules_ >= 17


@pytest.mark.slow
def test_strength_matters_over_an_order_of_magnitude(standard_digits):
    X, _, y, _ = standard_digits
    counts = [
        NeuralModuleClassifier(100, lambda_NM=strength, random_state=0)
        .fit(X, y)
        .n_modules_
        for strength in (1, 4, 200)
    ]
    assert counts[0] < counts[1] < counts[2] == 5


def test_without_merges_the_graph_is_that_of_the_first_version(data):
    X, y = data
    options = {"n_nodes": 40, "module_size": 10, "max_iter": 20, "random_state": 0}
    first = NeuralModuleClassifier(penalty="bridge", lambda_NM=10, **options).fit(X, y)
    other = NeuralModuleClassifier(lambda_NM=1e6, **options).fit(X, y)
    assert first.n_modules_ == other.n_modules_ == 4
    np.testing.assert_array_equal(first.node_weights_, other.node_weights_)
    np.testing.assert_array_equal(first.predict_proba(X), other.predict_proba(X))


def test_modules_go_on_merging_from_call_to_call(standard_digits):
    X, _, y, _ = standard_digits
    model = NeuralModuleClassifier(100, lambda_NM=4, random_state=0)
    counts = [
        model.partial_fit(X[k::3], y[k::3], range(10)).n_modules_ for k in [0, 1, 2] * 5
    ]
    assert counts[0] == 5
    assert counts[-1] < 5
    assert model.score(X, y) > 0.95


def test_a_complete_graph_is_cut_into_dense_modules(standard_digits):
    X_train, X_test, y_train, y_test = standard_digits
    model = NeuralModuleClassifier(
        100, init="dense", module_size=20, lambda_NM=1e6, random_state=0
    ).fit(X_train, y_train)
    labels, sizes = model.module_labels_, model.module_sizes_
    assert sizes.tolist() == [20] * 5
    assert (np.diff(labels) < 0).any()  # not as they lie side by side
    edges = model.topology_.to_dense()
    same = labels[:, None] == labels
    assert edges[same].sum() >= 0.3 * (sizes * (sizes - 1)).sum()
    assert not edges[~same].any()
    assert model.score(X_test, y_test) > 0.95
    # A training that goes on does not cut again.
    model.set_params(warm_start=True, max_iter=3).fit(X_train, y_train)
    assert (model.module_labels_ == labels).all()


def test_a_complete_graph_is_cut_in_parts_of_a_training_too(standard_digits):
    X, _, y, _ = standard_digits
    model = NeuralModuleClassifier(
        60, init="dense", tau=0.01, lambda_NM=1e6, random_state=0
    )
    counts = [
        model.partial_fit(X[k::9], y[k::9], range(10)).n_modules_ for k in [0] * 30
    ]
    assert counts[0] == 1
    assert counts[-1] == 3


def test_a_fitted_graph_is_not_cut(data):
    model = NeuralModuleClassifier(60, max_iter=30, warm_start=True, random_state=0)
    before = model.fit(*data).predict_proba(data[0])
    model.set_params(init="dense", learning_rate_init=1e-9).fit(*data)
    np.testing.assert_allclose(model.predict_proba(data[0]), before, atol=1e-3)


@pytest.mark.parametrize(("module_size", "tau"), [(2, 0.05), (5, 0.2), (20, 0.3)])
def test_edges_between_strong_modules_are_never_left_out(module_size, tau):
    X, y = make_classification(600, 12, n_informative=8, n_classes=3, random_state=0)
    model = NeuralModuleClassifier(
        60, module_size=module_size, tau=tau, connection="strong", random_state=1
    )  # a seed with which no edge rises above tau after the last look
    model.fit(X, y)
    last = round(model.module_history_[-1]["density"] * 60 * 59)
    assert model.topology_.n_edges <= last  # the end brings none back
    assert_tells_the_truth(model, X)


@pytest.mark.parametrize("tau", [0.7, 2.0, 100.0])
def test_large_thresholds_do_no_harm(data, tau):
    X, y = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few edges are left
        model = NeuralModuleClassifier(60, tau=tau, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9


def test_a_lower_threshold_leaves_modules_apart(data):
    model = NeuralModuleClassifier(60, lambda_NM=1e6, max_iter=10, random_state=0)
    model.fit(*data)
    model.set_params(tau=0.01, warm_start=True).fit(*data)
    assert model.module_sizes_.tolist() == [20, 20, 20]


@pytest.mark.parametrize("rate", [1e-3, 0.05])
def test_modules_merge_at_any_learning_rate(standard_digits, rate):
    X, _, y, _ = standard_digits
    model = NeuralModuleClassifier(100, lambda_NM=2, learning_rate_init=rate)
    assert model.set_params(random_state=0).fit(X, y).n_modules_ < 5


def test_the_papers_rule_leaves_modules_at_its_default_strength(standard_digits):
    X_train, X_test, y_train, y_test = standard_digits
    model = NeuralModuleClassifier(100, init="dense", penalty="nm", random_state=0)
    model.fit(X_train, y_train)
    assert (model.module_sizes_ > 1).sum() >= 2
    assert (model.module_sizes_ == 1).sum() < 50
    assert model.score(X_test, y_test) > 0.95


def test_one_is_told_if_most_nodes_are_left_alone(standard_digits):
    X, _, y, _ = standard_digits
    model = NeuralModuleClassifier(
        100, init="dense", penalty="nm", lambda_NM=10, max_iter=12, random_state=0
    )
    with pytest.warns(UserWarning, match="of 100 nodes are left .* Lower .*lambda_NM"):
        model.fit(X, y)
    assert 0 < model.topology_.n_edges < 100


def test_module_history_has_an_entry_per_epoch(data):
    X, y = data
    model = NeuralModuleClassifier(**SMALL).fit(X, y)
    assert len(model.module_history_) == model.n_iter_ == 5
    for entry in model.module_history_:
        assert entry.keys() == {
            "n_modules",
            "largest_share",
            "sizes",
            "density",
            "links",
            "labels",
        }
        sizes = sorted(np.bincount(entry["labels"]).tolist(), reverse=True)
        assert sizes == entry["sizes"]
        assert sum(entry["sizes"]) == 20
        assert max(entry["sizes"]) == round(20 * entry["largest_share"])
        assert 1 <= entry["n_modules"] <= 20
        assert 0 < entry["largest_share"] <= 1
        assert 0 <= entry["density"] <= 1


# What can't be guaranteed.


@pytest.mark.parametrize("stability", ["monotone", "contraction"])
@pytest.mark.parametrize("estimator", [NeuralModuleClassifier, NeuralModuleRegressor])
def test_squared_relu_is_refused_where_nothing_can_be_guaranteed(
    data, estimator, stability
):
    model = estimator(activation="squared_relu", stability=stability)
    message = rf"activation='squared_relu' can't be .* stability='{stability}'.*relu"
    with pytest.raises(ValueError, match=message):
        model.fit(*data)


def warned(call):
    """Result of a call, and its convergence warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert {w.category for w in caught} <= {ConvergenceWarning}
    return result, [str(w.message) for w in caught]


def test_a_graph_without_solution_stops_the_fit(data):
    model = NeuralModuleClassifier(
        activation="squared_relu", solver="picard", init="dense", stability=None
    )
    model.set_params(n_nodes=20, max_iter=5, random_state=0)
    with pytest.raises(ValueError, match="no longer finite"):
        warned(lambda: model.fit(*data))


@pytest.mark.parametrize(
    ("activation", "solver"),
    [("relu", "auto"), ("relu", "picard"), ("squared_relu", "auto")],
)
def test_what_has_not_converged_is_told_once(data, activation, solver):
    X, y = data
    model = NeuralModuleClassifier(
        20,
        init="dense",
        activation=activation,
        stability=None,
        solver=solver,
        scale=None,
        max_iter=3,
        random_state=0,
    )
    _, messages = warned(lambda: model.fit(X, y))
    assert len(messages) == (model.solver_stats_["unconverged"] > 0)

    (z, stats), messages = warned(lambda: model.node_values(X, return_stats=True))
    assert len(messages) == (stats["unconverged"] > 0)
    W, U, b = model.node_weights_, model.input_weights_, model.node_biases_
    degree = 2 if activation == "squared_relu" else 1
    right = np.maximum(z @ W + model.encode(X) @ U + b, 0) ** degree
    with np.errstate(invalid="ignore", over="ignore"):
        wrong = ~(abs(z - right).max(1) <= 1e-7 * (1 + abs(z).max(1)))
    assert wrong.mean() <= stats["unconverged"]


def test_warning_names_residual_and_remedy(data):
    X, y = data
    model = NeuralModuleClassifier(
        20, init="dense", penalty=None, stability=None, solver="picard", tau=0.0
    )
    model.set_params(max_iter=40, learning_rate_init=0.1, random_state=0)
    model.set_params(alpha=0.01)
    _, messages = warned(lambda: model.fit(X, y))
    assert model.solver_stats_["unconverged"] > 0
    (message,) = messages
    for part in ("not converged", "residual", "stability='monotone'", "solver='auto'"):
        assert part in message
    _, messages = warned(lambda: model.predict(X))
    assert len(messages) == 1
    assert "of 150 rows" in messages[0]
