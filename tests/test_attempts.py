"""A fit is all or nothing: errors, interrupts and want of memory at any point."""

import copy
import os
import pickle
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from skorch.callbacks import Callback

import sknm
from sknm import FeedForwardClassifier, NeuralModuleClassifier
from sknm.graph.recursion_state import RecursionState
from sknm.prediction import SolveStats
from sknm.training.net import TrainingNet
from sknm.training.tensor_net import NonFiniteLoss

SHARES = [0.03, 0.2, 0.5, 0.8, 0.95, 0.99]
ERRORS = pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])


def make(estimator, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 2, "random_state": 0, "warm_start": True}
    return estimator(**defaults | parameters)


class Stop:
    """Raises an error when functions of the package have been called so many times."""

    folder = os.path.dirname(sknm.__file__)

    def __init__(self, n_calls, error=None):
        self.left, self.error, self.n_calls = n_calls, error, 0

    def __call__(self, frame, event, arg):
        if event != "call" or frame.f_code.co_name == "<genexpr>":
            return  # that one is closed where nobody hears of an error
        if frame.f_code.co_filename.startswith(self.folder):
            self.n_calls += 1
            if self.n_calls == self.left:
                sys.setprofile(None)
                raise self.error

    def during(self, action):
        sys.setprofile(self)
        try:
            action()
        finally:
            sys.setprofile(None)
        return self.n_calls


def stop_at(share, action, error):
    """Do something on a copy to count its calls; then stop it after a share of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        total = Stop(-1).during(lambda: action(is_trial=True))
        try:
            Stop(max(1, int(share * total)), error()).during(action)
        except error:
            pass


def assert_consistent(model):
    """The fitted attributes are those of the network."""
    twin = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(model, sknm.freenet.FreeNet):  # reads the rows, too
            twin.evolution_ = list(twin.net_.module_.graph.log)
        else:
            twin._read(twin.net_.module_, None)
    for name in ("input", "node", "output"):
        weights = f"{name}_weights_"
        np.testing.assert_array_equal(getattr(model, weights), getattr(twin, weights))
    for name, value in vars(model).items():
        if name.endswith("_") and not name.startswith("_") and name != "net_":
            np.testing.assert_equal(getattr(twin, name), value, err_msg=name)


@ERRORS
@pytest.mark.sweep(4)
@pytest.mark.parametrize("share", SHARES)
def test_first_fit_that_is_stopped_leaves_something_usable(
    overlapping, every_estimator, share, error
):
    X, y = overlapping
    model = make(every_estimator)
    stop_at(
        share,
        lambda is_trial=False: (make(every_estimator) if is_trial else model).fit(X, y),
        error,
    )
    try:
        model.predict(X)
    except NotFittedError:
        assert not hasattr(model, "net_")
    else:
        assert_consistent(model)
    assert np.isfinite(model.fit(X, y).node_values(X)).all()


@ERRORS
@pytest.mark.sweep(6)
@pytest.mark.parametrize("method", ["fit", "fit anew", "partial_fit", "sparsify"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_what_was_fitted_is_as_before_or_consistently_new(
    overlapping, answers, every_estimator, method, share, error
):
    X, y = overlapping
    model = make(every_estimator, warm_start=method == "fit").fit(X, y)
    before, trial = answers(model, X), copy.deepcopy(model)
    calls = {
        "fit": lambda m: m.set_params(activation="relu").fit(X[::-1], y[::-1]),
        "fit anew": lambda m: m.fit(X[::-1], y[::-1]),
        "partial_fit": lambda m: m.partial_fit(X, y),
        "sparsify": lambda m: m.sparsify(),
    }
    stop_at(
        share,
        lambda is_trial=False: calls[method](trial if is_trial else model),
        error,
    )
    assert_consistent(model)
    if model.n_iter_ == 2 and error is MemoryError:
        np.testing.assert_array_equal(answers(model, X), before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls[method](model)
    assert np.isfinite(answers(model, X)).all()


@pytest.mark.sweep(2)
@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
@pytest.mark.parametrize("share", np.linspace(0.1, 0.9, 9).round(2))
def test_training_goes_on_after_an_interrupt(overlapping, optimizer, share):
    X, y = overlapping
    model = make(FeedForwardClassifier, optimizer=optimizer, max_iter=5)
    trial = copy.deepcopy(model)
    stop_at(
        share,
        lambda is_trial=False: (trial if is_trial else model).fit(X, y),
        KeyboardInterrupt,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert np.isfinite(model.loss_curve_).all()


REFUSED = {
    "features of the validation data": lambda m, X, y: m.fit(
        X, y, X_val=X[:, :2], y_val=y
    ),
    "infinite": lambda m, X, y: m.fit(np.where(X > 1, np.inf, X), y),
    "rows": lambda m, X, y: m.set_params(early_stopping=True).fit(X[:2], y[:2]),
    "weights": lambda m, X, y: m.fit(X, y, sample_weight=np.zeros(len(X))),
    "features": lambda m, X, y: m.partial_fit(X[:, :2], y),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_are_refused_change_nothing(
    overlapping, answers, every_estimator, case
):
    X, y = overlapping
    model = make(every_estimator, warm_start=False).fit(X, y)
    before, attributes = answers(model, X), dict(vars(model))
    with pytest.raises(ValueError, match=r"\w"):
        REFUSED[case](model, X, np.where(y, "new", "labels") if case == "rows" else y)
    changed = {k for k, v in vars(model).items() if attributes.get(k) is not v}
    assert changed <= {"early_stopping"}
    np.testing.assert_array_equal(answers(model, X), before)


def test_targets_of_a_refused_fit_leave_no_scale(overlapping, every_regressor):
    X, _ = overlapping
    model = make(every_regressor, warm_start=False).fit(X, X[:, 0])
    before = model.predict(X)
    with pytest.raises(ValueError, match="X_val"):
        model.fit(X, 1000 * X[:, 0], X_val=X[:, :1], y_val=X[:, 0])
    np.testing.assert_array_equal(model.predict(X), before)


def test_a_fit_anew_leaves_nothing_of_the_last_one(overlapping):
    X, y = overlapping
    model = sknm.URNClassifier(
        8, feature_positions=np.arange(5.0)[:, None], max_iter=2, random_state=0
    )
    model.fit(X, y, X_val=X, y_val=y)
    assert hasattr(model, "node_positions_")
    model.set_params(feature_positions=None).fit(X, y)
    assert not hasattr(model, "node_positions_")
    assert model.validation_scores_ is None


def test_warnings_that_are_errors_cost_no_fit(overlapping, monkeypatch):
    X, y = overlapping
    monkeypatch.setattr(SolveStats, "n_open", 5, raising=False)
    model = make(NeuralModuleClassifier)

    def add(self, solution, values):
        self.n_open, self.n_rows = 1, len(values)

    monkeypatch.setattr(SolveStats, "add", add)
    with pytest.raises(ConvergenceWarning, match="have not converged"):
        model.fit(X, y)
    assert model.n_iter_ == 2
    assert model.solver_stats_["unconverged"] > 0


def test_ctrl_c_ends_a_loop_over_chunks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 50))
    y = X[:, 0] > 0
    model = FeedForwardClassifier(300, batch_size=64, random_state=0)
    model.partial_fit(X[:100], y[:100], classes=[False, True])
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()

    def loop():
        for _ in range(100):
            model.partial_fit(X, y)

    # Where tests run in the background, interrupts may be ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert_consistent(model)
    assert model.partial_fit(X[:100], y[:100]).n_iter_ >= 2


def test_interrupt_while_neurons_are_taken_out(overlapping, monkeypatch):
    X, y = overlapping
    keep, left = RecursionState.keep, iter([KeyboardInterrupt])

    def interrupted(self, nodes, hidden):
        if len(nodes) < self.n_nodes:
            for error in left:
                raise error
        return keep(self, nodes, hidden)

    monkeypatch.setattr(RecursionState, "keep", interrupted)
    model = sknm.URNClassifier(30, alpha_weight=3.0, max_iter=60, random_state=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert "interrupted" in str([warning.message for warning in told])
    assert not list(left)
    assert_consistent(model)
    n_before = model.n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hardly anything is left
        model.set_params(warm_start=True, max_iter=10).fit(X, y)
    assert model.n_iter_ == n_before + 10
    assert len(model.active_nodes_) < 30


def test_a_call_that_is_refused_costs_no_momentum(overlapping, every_estimator):
    X, y = overlapping
    told = {"classes": [0, 1]} if hasattr(every_estimator, "predict_proba") else {}
    undisturbed, disturbed = make(every_estimator), make(every_estimator)
    for _ in range(2):
        for model in (undisturbed, disturbed):
            model.partial_fit(X, y, **told)
        with pytest.raises(ValueError, match="infinity"):
            disturbed.partial_fit(np.where(X > 1, np.inf, X), y)
    np.testing.assert_array_equal(disturbed.predict(X), undisturbed.predict(X))
    np.testing.assert_array_equal(disturbed.loss_curve_, undisturbed.loss_curve_)


def test_a_network_goes_on_while_an_error_of_its_training_is_held(
    overlapping, every_estimator, monkeypatch
):
    X, y = overlapping
    model = make(every_estimator, batch_size=20, max_iter=6).fit(X, y)
    if isinstance(model, sknm.urn.URN):
        model.set_params(alpha_weight=0.5, learning_rate_init=0.05)
    rule = type(model._make_rule())
    follow, left = rule.step, iter([*[None] * 20, MemoryError()])

    def step(self, graph, step):
        error = next(left, None)
        if error is not None:
            raise error
        follow(self, graph, step)

    monkeypatch.setattr(rule, "step", step)
    with pytest.raises(MemoryError) as held:
        model.fit(X, y)
    assert np.isfinite(model.fit(X, y).node_values(X)).all()
    assert held.value is not None


class Centred(FeedForwardClassifier):
    """Sets attributes of its own before and after the fit."""

    def fit(self, X, y):
        self.centre_ = X.mean(axis=0)
        super().fit(X - self.centre_, y)
        self.n_rows_ = len(X)
        return self


def test_attributes_of_others_stay(overlapping):
    X, y = overlapping
    model = Centred(8, max_iter=2, random_state=0)
    model.own_ = 5
    model.fit(X, y).fit(X[:50], y[:50])
    np.testing.assert_array_equal(model.centre_, X[:50].mean(axis=0))
    assert (model.own_, model.n_rows_) == (5, 50)


def test_positions_are_those_of_the_last_fit_that_held(overlapping, monkeypatch):
    X, y = overlapping
    model = sknm.URNClassifier(
        8,
        feature_positions=np.arange(5.0)[:, None],
        alpha_locality=1.0,
        warm_start=True,
        random_state=0,
    )
    model.set_params(max_iter=5).fit(X, y)
    before = model.node_positions_.copy()

    def fail(self, network, samples):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sknm.URNClassifier, "_read", fail)
        with pytest.raises(MemoryError):
            model.fit(X, y)
    np.testing.assert_array_equal(model.sparsify().node_positions_, before)


def test_undone_evolutions_are_not_listed(overlapping, monkeypatch):
    X, y = overlapping
    model = sknm.FreeNetClassifier(
        20, evolve_interval=1, max_iter=8, batch_size=30, random_state=0
    )
    step, left = TrainingNet.train_step, iter(range(23))

    def diverging(self, batch):
        if next(left, None) is None:
            raise NonFiniteLoss
        return step(self, batch)

    monkeypatch.setattr(TrainingNet, "train_step", diverging)
    with pytest.raises(ValueError, match="no longer finite"):
        model.fit(X, y)
    assert model.evolution_[-1]["left"] == model.topology_.n_edges


def test_a_shallow_copy_has_a_network_of_its_own(overlapping, answers, every_estimator):
    X, y = overlapping
    model = make(every_estimator).fit(X, y)
    before = answers(model, X)
    copy.copy(model).fit(X[::-1], y)
    np.testing.assert_array_equal(answers(model, X), before)


class Failing(Callback):
    """Ends a training by an error after its first epoch."""

    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("an error of a callback")


@pytest.mark.parametrize("module_size", [1, 5, 10, 23])
@pytest.mark.parametrize(
    ("first", "other"), [("l1", "bridge"), ("bridge", "nm"), (None, "bridge")]
)
def test_a_failed_change_of_what_is_trained_is_undone(
    overlapping, answers, first, other, module_size
):
    X, y = overlapping
    model = sknm.NeuralModuleClassifier(
        23, penalty=first, module_size=module_size, lambda_NM=0.1, max_iter=2
    )
    model.set_params(warm_start=True, random_state=0).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    model.set_params(penalty=other, callbacks=[Failing()])
    with pytest.raises(RuntimeError, match="of a callback"):
        model.fit(X, y)
    model.set_params(penalty=first, callbacks=None)
    np.testing.assert_array_equal(answers(model, X), answers(twin, X))
    for each in (model, twin):
        each.fit(X, y)
    np.testing.assert_array_equal(answers(model, X), answers(twin, X))


def test_a_failure_leaves_the_bridges_steps_uncounted(overlapping):
    X, y = overlapping
    model = sknm.NeuralModuleClassifier(
        40, module_size=10, penalty="bridge", max_iter=8, random_state=0
    )
    model.fit(X, y).partial_fit(X, y)

    def count():
        bridges = model.net_.rule.inner._bridges
        return bridges._optimizer.memory()[0]["steps"]

    before = count()
    model.set_params(callbacks=[Failing()])
    with pytest.raises(RuntimeError, match="of a callback"):
        model.partial_fit(X, y)
    assert count() == before
