"""How fit goes about it: weights of rows, stopping, going on, seeds, accidents."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from sknm import NeuralModuleClassifier, NeuralModuleRegressor
from sknm.training.net import TrainingNet

BOTH = pytest.mark.parametrize(
    "estimator", [NeuralModuleClassifier, NeuralModuleRegressor]
)


@pytest.fixture(scope="module")
def data():
    """Two overlapping classes, 120 rows, in double precision."""
    X, y = make_classification(
        120, 5, n_informative=4, n_redundant=0, flip_y=0.2, random_state=1
    )
    return StandardScaler().fit_transform(X), y


def make(estimator=NeuralModuleClassifier, **parameters):
    defaults = {"n_nodes": 12, "module_size": 6, "max_iter": 6, "random_state": 0}
    return estimator(**defaults | parameters)


def answers(model, X):
    """What a model says, as numbers."""
    has_classes = hasattr(model, "predict_proba")
    return model.predict_proba(X) if has_classes else model.predict(X)


def parameters_of(model):
    return {
        name: getattr(model, name)
        for name in dir(model)
        if name.endswith(("weights_", "biases_"))
    }


def assert_same_model(a, b):
    found, expected = parameters_of(a), parameters_of(b)
    assert found.keys() == expected.keys()
    assert len(found) == 5
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


# Weights of rows and classes.


@BOTH
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_weight_of_a_row_is_its_repetition(data, estimator, optimizer):
    X, y = data
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    model = make(
        estimator, optimizer=optimizer, batch_size=1000, learning_rate_init=0.01
    )
    repeated = clone(model).fit(X.repeat(weights, 0), y.repeat(weights))
    weighted = clone(model).fit(X, y, sample_weight=weights)
    plain = clone(model).fit(X, y)
    expected = answers(repeated, X)
    np.testing.assert_allclose(answers(weighted, X), expected, rtol=1e-6, atol=1e-8)
    assert abs(answers(plain, X) - expected).max() > 1e-3


@BOTH
def test_weights_of_a_constant_change_nothing(data, estimator):
    X, y = data
    plain = make(estimator).fit(X, y)
    weighted = make(estimator).fit(X, y, sample_weight=np.full(len(X), 2.5))
    np.testing.assert_allclose(answers(weighted, X), answers(plain, X), rtol=1e-6)


@pytest.mark.parametrize("by_class", [False, True])
def test_class_whose_rows_have_no_weight_is_improbable(data, by_class):
    X, y = data
    y = np.where(X[:, 0] > 1, 2, y)
    if by_class:
        model = make(max_iter=30, class_weight={2: 0}).fit(X, y)
    else:
        model = make(max_iter=30).fit(X, y, sample_weight=y < 2)
    assert model.classes_.tolist() == [0, 1, 2]
    assert 0 < model.predict_proba(X)[:, 2].mean() < 0.25
    assert set(model.predict(X)) <= {0, 1}


@pytest.mark.parametrize("weight", [{0: 1.0, 1: 5.0}, {0: 3}])
def test_class_weight_is_the_weight_of_its_rows(data, weight):
    X, y = data
    by_class = make(class_weight=weight).fit(X, y)
    of_rows = np.array([weight.get(label, 1.0) for label in y])
    by_row = make().fit(X, y, sample_weight=of_rows)
    assert_same_model(by_class, by_row)


def test_class_weight_multiplies_sample_weight(data):
    X, y = data
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    both = make(class_weight={0: 1, 1: 5}).fit(X, y, sample_weight=weights)
    product = make().fit(X, y, sample_weight=weights * np.array([1, 5])[y])
    assert_same_model(both, product)


def test_balanced_classes_are_predicted_more_evenly():
    X, y = make_classification(
        300, 5, weights=[0.8], class_sep=0.3, flip_y=0.2, random_state=0
    )
    parameters = {"max_iter": 20, "label_smoothing": 0, "dropout": 0.1}
    shares = [
        make(class_weight=weight, **parameters).fit(X, y).predict(X).mean()
        for weight in (None, "balanced")
    ]
    assert shares[0] + 0.1 < shares[1] < 0.6


# Validation and early stopping.


def noise(n_samples, seed=0, dtype=np.float64):
    """Features without any relation to the target: only overfitting can happen."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, 8)).astype(dtype), rng.integers(0, 2, n_samples)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("init", ["modular", "dense"])
def test_early_stopping_returns_to_the_best_weights(estimator, dtype, init):
    X, y = noise(100, dtype=dtype)
    X_val, y_val = noise(60, seed=2, dtype=dtype)
    model = make(
        estimator,
        init=init,
        early_stopping=True,
        n_iter_no_change=8,
        max_iter=60,
        learning_rate_init=0.1,
    ).fit(X, y, X_val=X_val, y_val=y_val)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ < 60
    assert scores[-1] < max(scores)
    assert model.score(X_val, y_val) == pytest.approx(max(scores), rel=1e-6, abs=1e-6)


def test_early_stopping_waits_as_long_as_it_is_told():
    X, y = noise(100)
    model = make(early_stopping=True, n_iter_no_change=4, tol=2.0, max_iter=60)
    # No score grows by 2: only the first counts as an improvement.
    assert model.fit(X, y, X_val=X, y_val=y).n_iter_ == 1 + 4


def test_early_stopping_sets_rows_aside(data):
    X, y = data
    model = make(early_stopping=True, validation_fraction=0.25).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    # 30 rows are held out, so that scores are multiples of 1/30.
    counts = np.array(model.validation_scores_) * 30
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    assert_same_model(clone(model).fit(X, y), model)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_validation_data_are_watched_without_being_used(data, estimator, dtype):
    X, y = data
    X = X.astype(np.float32)
    X_val, y_val = (3 * X[:40]).astype(dtype), y[:40]
    watched = make(estimator, max_iter=12).fit(X, y, X_val=X_val, y_val=y_val)
    assert_same_model(watched, make(estimator, max_iter=12).fit(X, y))
    assert len(watched.validation_scores_) == 12
    score = watched.score(X_val, y_val)
    assert watched.validation_scores_[-1] == pytest.approx(score, rel=1e-6, abs=1e-6)


def test_no_validation_data_no_scores(data):
    assert make().fit(*data).validation_scores_ is None


def test_validation_labels_may_be_strings(data):
    X, y = data
    names = np.array(["no", "yes"])[y]
    model = make().fit(X, names, X_val=X, y_val=names)
    assert model.validation_scores_[-1] == model.score(X, names)


# Going on.


@BOTH
def test_warm_start_goes_on(data, estimator):
    X, y = data
    model = make(estimator, warm_start=True, dropout=0, max_iter=10).fit(X, y)
    first, losses = model.n_iter_, list(model.loss_curve_)
    weights = model.input_weights_.copy()
    model.fit(X, y)
    assert (first, model.n_iter_) == (10, 20)
    assert model.loss_curve_[:10] == losses
    assert model.loss_curve_[10] < losses[0]
    assert model.loss_curve_[-1] < losses[-1]
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert len(model.module_history_) == 20
    assert abs(model.input_weights_ - weights).max() > 1e-4


def test_without_warm_start_fit_begins_anew(data):
    X, y = data
    model = make().fit(X, y)
    weights = parameters_of(model)
    model.fit(X, y)
    assert model.n_iter_ == 6
    for name, value in weights.items():
        np.testing.assert_array_equal(getattr(model, name), value, err_msg=name)


def test_warm_start_collects_validation_scores(data):
    X, y = data
    model = make(warm_start=True)
    model.fit(X, y, X_val=X, y_val=y).fit(X, y, X_val=X, y_val=y)
    assert len(model.validation_scores_) == model.n_iter_ == 12


def test_warm_start_keeps_the_precision_of_the_first_fit(data):
    X, y = data
    model = make(warm_start=True).fit(X.astype(np.float32), y).fit(X, y)
    assert model.node_weights_.dtype == np.float32
    assert model.predict_proba(X).dtype == np.float32


@BOTH
def test_partial_fit_is_one_epoch_at_a_time(data, estimator):
    X, y = data
    model = make(estimator, dropout=0)
    first = {"classes": [0, 1]} if estimator is NeuralModuleClassifier else {}
    model.partial_fit(X, y, **first)
    assert model.n_iter_ == 1
    for _ in range(29):
        model.partial_fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 30
    assert model.loss_ < 0.95 * model.loss_curve_[0]
    assert model.validation_scores_ is None


def test_partial_fit_knows_classes_that_are_yet_to_come(data):
    X, y = data
    model = make().partial_fit(X[y == 1], y[y == 1], classes=[2, 0, 1])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.partial_fit(X, y, classes=[0, 1, 2]).predict_proba(X).shape == (120, 3)


def test_partial_fit_learns_from_weighted_rows(data):
    X, y = data
    model, plain = (make(learning_rate_init=0.01, batch_size=1000) for _ in range(2))
    weights = np.where(y == 1, 50, 1)
    for _ in range(20):
        model.partial_fit(X, y, classes=[0, 1], sample_weight=weights)
        plain.partial_fit(X, y, classes=[0, 1])
    assert model.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()


def test_partial_fit_goes_on_from_fit(data):
    X, y = data
    model = make().fit(X, y).partial_fit(X, y)
    assert model.n_iter_ == 7


# Optimisers and regularisation.


@BOTH
@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adamw", 0.02), ("sgd", 0.1), ("lbfgs", 0.02)]
)
def test_every_optimizer_learns(data, estimator, optimizer, rate):
    X, y = data
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = make(
        estimator, optimizer=optimizer, learning_rate_init=rate, max_iter=60, dropout=0
    )
    model.fit(X, y)
    assert model.loss_ < 0.75 * model.loss_curve_[0]
    assert model.score(X, y) > (0.9 if hasattr(model, "classes_") else 0.5)


def test_lbfgs_takes_all_rows_at_once():
    X, y = noise(400)
    model = make(optimizer="lbfgs", batch_size=10, label_smoothing=0, alpha=0)
    model.set_params(max_iter=2).fit(X, y)
    # The loss of an epoch is that of all rows before its steps, which lower it.
    assert model.loss_curve_[1] < model.loss_curve_[0]
    assert log_loss(y, model.predict_proba(X)) < model.loss_curve_[1]


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_weight_decay_shrinks_weights(data, optimizer):
    X, y = data

    def size(alpha):
        model = make(optimizer=optimizer, alpha=alpha, learning_rate_init=0.02)
        model.set_params(max_iter=30, batch_size=30).fit(X, y)
        return sum((w**2).sum() for w in parameters_of(model).values())

    assert size(1.0) < 0.7 * size(0.0)


def test_label_smoothing_makes_probabilities_less_extreme():
    X = np.repeat([[-1.0], [1.0]], 30, axis=0)
    y = np.repeat([0, 1], 30)
    extremes = [
        make(label_smoothing=smoothing, dropout=0, alpha=0, max_iter=150)
        .fit(X, y)
        .predict_proba(X)
        .max()
        for smoothing in (0.0, 0.2)
    ]
    assert extremes[0] > 0.98
    # The smoothed targets are .9 and .1.
    assert extremes[1] == pytest.approx(0.9, abs=0.01)


def test_dropout_changes_training_but_not_prediction(data):
    X, y = data
    model, plain = make(dropout=0.5).fit(X, y), make(dropout=0.0).fit(X, y)
    assert abs(model.predict_proba(X) - plain.predict_proba(X)).max() > 1e-3
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("batch_size", [1, 7, 120, 10_000])
def test_any_batch_size_will_do(data, batch_size):
    X, y = data
    model = make(batch_size=batch_size, max_iter=2).fit(X, y)
    assert np.isfinite(model.loss_curve_).all()


def test_max_iter_chooses_itself():
    X, y = noise(300)
    model = make(max_iter=None).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) > 10


# Random numbers.


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_seed_gives_the_same_model_bit_for_bit(data, estimator, dtype):
    X, y = data[0].astype(dtype), data[1]
    model = make(estimator, batch_size=32, dropout=0.2)
    a, b = clone(model).fit(X, y), clone(model).fit(X, y)
    assert_same_model(a, b)
    assert a.loss_curve_ == b.loss_curve_
    np.testing.assert_array_equal(answers(a, X), answers(b, X))
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert abs(answers(other, X) - answers(a, X)).max() > 1e-3


def test_random_state_may_be_an_instance(data):
    X, y = data
    a, b = (make(random_state=np.random.RandomState(3)).fit(X, y) for _ in range(2))
    assert_same_model(a, b)
    # As in scikit-learn, an instance moves on from fit to fit.
    weights = a.input_weights_
    assert abs(a.fit(X, y).input_weights_ - weights).max() > 1e-3


def test_without_a_seed_each_fit_is_another(data):
    X, y = data
    a, b = (make(random_state=None).fit(X, y) for _ in range(2))
    assert abs(a.input_weights_ - b.input_weights_).max() > 1e-3


@BOTH
def test_without_a_seed_numpy_is_asked_for_one(data, estimator):
    X, y = data
    model = make(estimator, random_state=None, early_stopping=True, dropout=0.5)
    models = []
    for _ in range(2):
        np.random.seed(7)  # noqa: NPY002
        models.append(clone(model).fit(X, y))
    assert_same_model(*models)


@BOTH
def test_random_numbers_of_the_caller_are_untouched(data, estimator):
    X, y = data
    np_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    model = make(estimator, random_state=0, early_stopping=True, dropout=0.5)
    model.fit(X, y).predict(X)
    for before, after in zip(np_state, np.random.get_state(), strict=True):  # noqa: NPY002
        assert np.array_equal(before, after)
    assert torch.equal(torch_state, torch.get_rng_state())


def test_number_of_threads_is_untouched(data):
    X, y = data
    former = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        make(n_jobs=2).fit(X, y).predict(X)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(former)


@BOTH
def test_n_jobs_changes_nothing_beyond_rounding(data, estimator):
    X, y = data
    one, two = (make(estimator, n_jobs=n).fit(X, y) for n in (1, 2))
    np.testing.assert_allclose(answers(two, X), answers(one, X), rtol=1e-6)


# Precision.


@BOTH
@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.float16, np.float64),
        (np.int64, np.float64),
    ],
)
def test_precision_follows_the_data(data, estimator, given, computed):
    X, y = (3 * data[0]).astype(given), data[1]
    model = make(estimator, max_iter=2).fit(X, y, sample_weight=np.ones(len(y)))
    for name, value in parameters_of(model).items():
        assert value.dtype == computed, name
    assert model.node_values(X).dtype == computed
    if hasattr(model, "classes_"):
        assert model.predict_proba(X).dtype == computed
        assert model.predict_log_proba(X).dtype == computed


def test_both_precisions_learn_the_same(data):
    X, y = data
    single, double = make().fit(X.astype(np.float32), y), make().fit(X, y)
    np.testing.assert_allclose(
        single.predict_proba(X), double.predict_proba(X), atol=5e-3
    )


# What fit reports.


@BOTH
def test_reports_are_plain_numbers(data, estimator):
    model = make(estimator).fit(*data)
    assert model.n_features_in_ == 5
    assert isinstance(model.n_iter_, int)
    assert model.device_ == "cpu"
    assert len(model.loss_curve_) == 6
    assert {type(loss) for loss in model.loss_curve_} == {float}
    assert model.solver_stats_.keys() == {"iterations", "residual", "unconverged"}
    assert model.solver_stats_["unconverged"] == 0
    assert 0 <= model.solver_stats_["residual"] < 1e-6


def test_loss_of_an_epoch_is_the_mean_over_its_rows(data):
    X, y = data
    still = {"dropout": 0, "label_smoothing": 0, "learning_rate_init": 1e-30}
    model = make(**still, batch_size=50, calibration_fraction=None).fit(X, y)
    # Nothing moves at this rate; 120 rows make three batches.
    expected = log_loss(y, model.predict_proba(X))
    np.testing.assert_allclose(model.loss_curve_, expected, rtol=1e-2)


# Accidents.


@pytest.fixture
def interrupt(monkeypatch):
    """Have the user press Ctrl-C before a training step, counted from 1."""

    def at(step):
        steps = iter(range(1, 10**6))
        original = TrainingNet.train_step

        def train_step(self, *args, **kwargs):
            if next(steps) == step:
                raise KeyboardInterrupt
            return original(self, *args, **kwargs)

        monkeypatch.setattr(TrainingNet, "train_step", train_step)

    return at


@BOTH
@pytest.mark.parametrize(("step", "epochs"), [(1, 0), (2, 0), (6, 1), (10, 2)])
def test_ctrl_c_leaves_a_fitted_estimator(data, interrupt, estimator, step, epochs):
    X, y = data
    interrupt(step)
    model = make(estimator, batch_size=30)  # 4 steps an epoch
    with pytest.warns(UserWarning, match=f"interrupted after {epochs} epochs"):
        assert model.fit(X, y) is model
    assert model.n_iter_ == len(model.loss_curve_) == epochs
    assert len(model.module_history_) == epochs
    assert np.isfinite(answers(model, X)).all()
    assert model.solver_stats_["unconverged"] == 0
    W = model.node_weights_
    assert np.array_equal(W != 0, model.topology_.to_dense())
    assert (abs(W[W != 0]) > model.tau).all()


def test_after_ctrl_c_a_warm_start_goes_on(data, interrupt):
    X, y = data
    interrupt(10)
    model = make(batch_size=30, warm_start=True)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert model.fit(X, y).n_iter_ == 2 + 6


def test_ctrl_c_returns_to_the_best_weights_too(interrupt):
    X, y = noise(100)
    X_val, y_val = noise(60, seed=1)
    interrupt(30)
    model = make(early_stopping=True, n_iter_no_change=100, learning_rate_init=0.1)
    with pytest.warns(UserWarning, match="interrupted"):
        model.set_params(max_iter=60).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.validation_scores_[-1] < max(model.validation_scores_)
    assert model.score(X_val, y_val) == max(model.validation_scores_)


def diverging(case, data):
    """An estimator and data whose loss becomes infinite, in a known way."""
    X, y = data
    return {
        "rate": (make(learning_rate_init=1e20, max_iter=30), X, y),
        "rate of sgd": (make(optimizer="sgd", learning_rate_init=1e20), X, y),
        "rate, one step": (make(learning_rate_init=1e200, max_iter=1), X, y),
        "rate of a regressor": (
            make(NeuralModuleRegressor, learning_rate_init=1e20, max_iter=30),
            X.astype(np.float32),
            y,
        ),
        "scale": (
            make(NeuralModuleRegressor, scale=None),
            (1e30 * X).astype(np.float32),
            y,
        ),
        "scale and validation": (
            make(NeuralModuleRegressor, scale=None, early_stopping=True),
            (1e30 * X).astype(np.float32),
            y,
        ),
    }[case]


CASES = [
    "rate",
    "rate of sgd",
    "rate, one step",
    "rate of a regressor",
    "scale",
    "scale and validation",
]


@pytest.mark.parametrize("case", CASES)
def test_non_finite_loss_stops_fit_and_names_the_cause(data, case):
    model, X, y = diverging(case, data)
    remedy = ".*scale='robust'" if model.scale is None else ""
    message = (
        rf"no longer finite.*learning_rate_init={model.learning_rate_init}"
        f"{remedy}.*last finite state"
    ).replace("+", r"\+")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
        assert np.isfinite(answers(model, X)).all()
    for name, value in parameters_of(model).items():
        assert np.isfinite(value).all(), name


def test_after_a_non_finite_loss_a_warm_start_goes_on(data):
    X, y = data
    model = make(warm_start=True, learning_rate_init=1e20, feature_fdr=None)
    with pytest.raises(ValueError, match="no longer finite"):
        model.fit(X, y)
    model.set_params(learning_rate_init=0.01, max_iter=40).fit(X, y)
    assert model.score(X, y) > 0.75


def test_huge_features_of_one_kind_are_survived_or_refused(data):
    X, y = data
    X = X * [1e12, 1, 1, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
