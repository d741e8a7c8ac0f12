"""Callbacks of skorch and of scikit-learn: what they are told, and what they may do."""

import pickle
import warnings

import numpy as np
import pytest
import skorch
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, EpochTimer

from sknm import FeedForwardClassifier, FreeNetClassifier, NeuralModuleClassifier

try:
    from sklearn.callback import ProgressBar, ScoringMonitor
except ImportError:  # before scikit-learn 1.9
    HAS_SCIKIT_CALLBACKS = False
else:
    HAS_SCIKIT_CALLBACKS = True

WITH_SCIKIT_CALLBACKS = pytest.mark.skipif(
    not HAS_SCIKIT_CALLBACKS, reason="scikit-learn has no callbacks yet"
)


def make(estimator=FeedForwardClassifier, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 4, "batch_size": 40, "random_state": 0}
    return estimator(**defaults | parameters)


# Those of skorch.


class Told(Callback):
    """Notes what it is told, and what it finds in the net.

    Skorch takes attributes for parameters unless their names end in an underscore.
    """

    def initialize(self):
        self.calls_, self.n_known_, self.losses_ = [], [], []
        return self

    def on_train_begin(self, net, **kwargs):
        self.calls_.append("train begins")

    def on_train_end(self, net, **kwargs):
        self.calls_.append("train ends")

    def on_epoch_begin(self, net, **kwargs):
        self.calls_.append("epoch begins")

    def on_epoch_end(self, net, **kwargs):
        self.calls_.append("epoch ends")
        self.n_known_.append(len(net.history))
        self.losses_.append(net.history[-1, "train_loss"])


class ToldOfBatches(Told):
    """Notes batches, too."""

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        assert training
        self.calls_.append(("batch begins", len(batch)))

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        assert training
        assert np.isfinite(loss.item())
        self.calls_.append(("batch ends", len(batch)))


class StopsAfter(Callback):
    """Ends a training as those of skorch do."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


def test_they_are_told_of_training_and_epochs(overlapping, every_estimator):
    told = Told()
    model = make(every_estimator, callbacks=[told]).fit(*overlapping)
    assert told.calls_ == [
        "train begins",
        *["epoch begins", "epoch ends"] * 4,
        "train ends",
    ]
    assert told.n_known_ == [1, 2, 3, 4]
    assert told.losses_ == model.loss_curve_


def test_they_are_told_of_batches(overlapping):
    told = ToldOfBatches()
    make(callbacks=[told], max_iter=2).fit(*overlapping)
    sizes = [call[1] for call in told.calls_ if call[0] == "batch begins"]
    assert sizes == [40, 40, 40] * 2
    assert told.calls_[1:5] == [
        "epoch begins",
        ("batch begins", 40),
        ("batch ends", 40),
        ("batch begins", 40),
    ]


def test_they_are_told_of_each_round(overlapping):
    told = Told()
    model = make(
        FreeNetClassifier,
        callbacks=[told],
        n_nodes=12,
        rule="coactivation",
        epsilon=0.45,
        evolve_interval="convergence",
        max_evolutions=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the graph would change further
        model.fit(*overlapping)
    assert told.calls_.count("train begins") == told.calls_.count("train ends") == 2
    assert told.calls_.count("epoch ends") == model.n_iter_ == 8


def test_they_are_told_of_partial_fit(overlapping):
    told = Told()
    model = make(callbacks=[told])
    for _ in range(3):
        model.partial_fit(*overlapping, classes=[0, 1])
    assert told.calls_.count("epoch ends") == 3
    assert told.n_known_ == [1, 2, 3]


def test_they_change_nothing_by_listening(overlapping, answers, every_estimator):
    X, y = overlapping
    listened = make(every_estimator, callbacks=[ToldOfBatches()]).fit(X, y)
    alone = make(every_estimator).fit(X, y)
    assert listened.loss_curve_ == alone.loss_curve_
    np.testing.assert_array_equal(answers(listened, X), answers(alone, X))


def test_they_may_end_the_training(overlapping, every_estimator):
    X, y = overlapping
    model = make(every_estimator, callbacks=[StopsAfter(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert np.isfinite(model.node_values(X)).all()


def test_early_stopping_of_skorch_ends_the_training_in_silence(overlapping, capsys):
    # A loss of which half is left would be an improvement.
    stopping = EarlyStopping(monitor="train_loss", patience=3, threshold=0.5)
    model = make(callbacks=[stopping], max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(*overlapping)
    assert model.n_iter_ < 20
    assert capsys.readouterr().out == ""


def test_validation_scores_can_be_monitored(overlapping):
    X, y = overlapping
    stopping = EarlyStopping(
        "valid_score", patience=2, threshold=0.5, lower_is_better=False
    )
    model = make(callbacks=[stopping], max_iter=20).fit(X, y, X_val=X, y_val=y)
    assert model.n_iter_ == len(model.validation_scores_) < 20


def test_what_they_record_is_in_the_history(overlapping):
    model = make(callbacks=[EpochTimer()]).fit(*overlapping)
    assert len(model.net_.history) == 4
    assert all(seconds > 0 for seconds in model.net_.history[:, "dur"])
    twin = pickle.loads(pickle.dumps(model))
    assert twin.net_.history[:, "dur"] == model.net_.history[:, "dur"]


@pytest.mark.parametrize(
    "callbacks",
    [EpochTimer, ("timer", EpochTimer()), ("timer", EpochTimer)],
    ids=["class", "pair", "pair with class"],
)
def test_they_come_in_all_forms_that_skorch_takes(overlapping, callbacks):
    model = make(callbacks=(callbacks,)).fit(*overlapping)
    assert len(model.net_.history[:, "dur"]) == 4


def test_a_training_that_goes_on_has_the_same_ones(overlapping):
    told = Told()
    model = make(callbacks=[told], warm_start=True).fit(*overlapping)
    model.fit(*overlapping)
    # They have not been initialised anew, which would make them forget.
    assert told.n_known_ == [1, 2, 3, 4, 5, 6, 7, 8]
    model.set_params(callbacks=None).fit(*overlapping)
    assert len(told.n_known_) == 8
    assert model.n_iter_ == 12


def test_clones_have_callbacks_of_their_own(overlapping):
    told = Told()
    model = make(callbacks=[told]).fit(*overlapping)
    twin = clone(model).fit(*overlapping)
    assert twin.callbacks[0] is not told
    assert twin.callbacks[0].n_known_ == told.n_known_ == [1, 2, 3, 4]


def test_grid_search_can_choose_among_them(overlapping):
    X, y = overlapping
    search = GridSearchCV(
        make(), {"callbacks": [None, [StopsAfter(1)]]}, cv=2, refit=False
    )
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    search = GridSearchCV(make(callbacks=[Told()]), {"alpha": [0.0, 0.1]}, cv=2)
    assert search.fit(X, y).best_estimator_.callbacks[0].n_known_ == [1, 2, 3, 4]


class Failing(Callback):
    """Raises an error of its own."""

    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("of the user")


def test_an_error_of_theirs_is_the_users_and_undoes_the_fit(overlapping, answers):
    X, y = overlapping
    model = make(warm_start=True).fit(X, y)
    before = answers(model, X)
    with pytest.raises(RuntimeError, match="of the user"):
        model.set_params(callbacks=[Failing()]).fit(X[::-1], y)
    np.testing.assert_array_equal(answers(model, X), before)
    assert model.set_params(callbacks=None).fit(X, y).n_iter_ == 8


NO_CALLBACKS = {
    "number": 5,
    "name": "EpochTimer",
    "one": EpochTimer(),
    "dict": {"timer": EpochTimer()},
    "list of a number": [5],
    "list of a name": ["EpochTimer"],
    "list of None": [None],
    "list of a function": [print],
    "pair with a number": [("timer", 5)],
    "one too long": [EpochTimer(), ("a", "b", EpochTimer())],
}


@pytest.mark.parametrize("callbacks", NO_CALLBACKS.values(), ids=NO_CALLBACKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_is_no_callback_is_told(overlapping, every_classifier, callbacks, method):
    model = make(every_classifier, callbacks=callbacks)
    told = {"classes": [0, 1]} if method == "partial_fit" else {}
    with pytest.raises(ValueError, match="callbacks"):
        getattr(model, method)(*overlapping, **told)
    assert not hasattr(model, "net_")


def test_the_error_names_what_is_wrong_and_what_to_do(overlapping):
    message = r"callbacks=\[5\] has 5, which is no callback of skorch; give instances"
    with pytest.raises(ValueError, match=message):
        make(callbacks=[5]).fit(*overlapping)


# Those of scikit-learn.


class Follower:
    """Notes tasks; ends the training after some epochs."""

    def __init__(self, n_epochs=None):
        self.n_epochs, self.calls = n_epochs, []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context):
        self.calls.append(f"{context.task_name} ends")
        return self.calls.count("epoch ends") == self.n_epochs


class Watcher(Follower):
    """Keeps the estimators that it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        assert fitted_estimator is not estimator
        self.seen.append((context.task_name, fitted_estimator))


@WITH_SCIKIT_CALLBACKS
def test_tasks_are_the_fit_and_its_epochs(overlapping, every_estimator):
    follower = Follower()
    model = make(every_estimator).set_callbacks(follower).fit(*overlapping)
    assert follower.calls == [
        "setup",
        "fit begins",
        *["epoch begins", "epoch ends"] * 4,
        "fit ends",
        "teardown",
    ]
    left = {name for name in vars(model) if "callback" in name}
    assert left == {"callbacks", "_skl_callbacks"}


@WITH_SCIKIT_CALLBACKS
def test_scores_are_those_of_the_epochs_and_of_the_end(overlapping, every_estimator):
    X, y = overlapping
    is_classifier = hasattr(every_estimator, "predict_proba")
    name = "neg_log_loss" if is_classifier else "neg_mean_absolute_error"
    monitor = ScoringMonitor(scoring=name)
    model = make(every_estimator).set_callbacks(monitor).fit(X, y)
    records = monitor.get_logs().data
    scores = {"fit": [], "epoch": []}
    for record in records:
        scores[record["task_name"]].append(record[name])
    expected = get_scorer(name)(model, X, y)
    assert scores["fit"] == [expected]
    assert len(scores["epoch"]) == model.n_iter_ == 4
    assert scores["epoch"][-1] == expected
    assert len(set(scores["epoch"])) > 1


@WITH_SCIKIT_CALLBACKS
def test_fitted_estimators_on_the_way_know_their_curves(overlapping):
    X, y = overlapping
    watcher = Watcher()
    model = make(scoring="roc_auc", warm_start=True).set_callbacks(watcher)
    model.fit(X, y, X_val=X, y_val=y).fit(X, y, X_val=X, y_val=y)
    seen = [fitted for task, fitted in watcher.seen if task == "epoch"]
    for n, fitted in enumerate(seen, 1):
        assert fitted.n_iter_ == n
        assert fitted.loss_curve_ == model.loss_curve_[:n]
        assert fitted.validation_scores_ == model.validation_scores_[:n]
        assert fitted.validation_loss_curve_ == model.validation_loss_curve_[:n]


@WITH_SCIKIT_CALLBACKS
def test_scores_can_be_monitored_in_a_grid_search(overlapping):
    monitor = ScoringMonitor(scoring="accuracy")
    model = make(NeuralModuleClassifier).set_callbacks(monitor)
    search = GridSearchCV(model, {"alpha": [0.0, 0.1]}, cv=2).fit(*overlapping)
    records = monitor.get_logs().data
    n_of = {"fit": 0, "epoch": 0}
    for record in records:
        n_of[record["task_name"]] += "accuracy" in record
    assert n_of["epoch"] == 4 * n_of["fit"] == 4 * (2 * 2 + 1)
    best = search.best_estimator_
    assert best.score(*overlapping) in {record["accuracy"] for record in records}


@WITH_SCIKIT_CALLBACKS
def test_being_followed_changes_nothing(overlapping, answers, every_estimator):
    X, y = overlapping
    watcher = Watcher()
    followed = make(every_estimator).set_callbacks(watcher).fit(X, y)
    alone = make(every_estimator).fit(X, y)
    assert followed.loss_curve_ == alone.loss_curve_
    np.testing.assert_array_equal(answers(followed, X), answers(alone, X))


@WITH_SCIKIT_CALLBACKS
def test_fitted_estimators_on_the_way_can_be_kept(overlapping, answers):
    X, y = overlapping
    watcher = Watcher()
    model = make(NeuralModuleClassifier).set_callbacks(watcher).fit(X, y)
    *epochs, (_, last) = watcher.seen
    assert [task for task, _ in epochs] == ["epoch"] * 4
    np.testing.assert_array_equal(answers(last, X), answers(model, X))
    of_epochs = [answers(seen, X) for _, seen in epochs]
    assert not np.array_equal(of_epochs[0], of_epochs[-1])
    # Another fit leaves them alone.
    model.fit(X[::-1], y)
    np.testing.assert_array_equal(answers(epochs[0][1], X), of_epochs[0])


@WITH_SCIKIT_CALLBACKS
def test_one_that_returns_true_ends_the_training(overlapping, every_estimator):
    X, y = overlapping
    follower = Follower(n_epochs=2)
    model = make(every_estimator).set_callbacks(follower)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.n_iter_ == 2
    assert follower.calls[-2:] == ["fit ends", "teardown"]
    assert np.isfinite(model.node_values(X)).all()


@WITH_SCIKIT_CALLBACKS
@pytest.mark.parametrize("case", ["data", "divergence", "error of the user"])
def test_what_is_set_up_is_torn_down_where_a_fit_fails(overlapping, case):
    X, y = overlapping
    follower = Follower()
    model = make().set_callbacks(follower)
    if case == "data":
        X = np.where(X > 1, np.inf, X)
    elif case == "divergence":
        model.set_params(learning_rate_init=1e30)
    else:
        model.set_params(callbacks=[Failing()])
    with pytest.raises(
        (ValueError, RuntimeError), match=r"infinity|finite|of the user"
    ):
        model.fit(X, y)
    assert follower.calls.count("teardown") == follower.calls.count("setup")
    assert follower.calls.count("teardown") == (case != "data")  # looked at before
    left = {name for name in vars(model) if "callback" in name}
    assert left == {"callbacks", "_skl_callbacks"}
    model.set_params(callbacks=None, learning_rate_init=0.02)
    assert model.fit(*overlapping).n_iter_ == 4
    assert follower.calls[-1] == "teardown"


@WITH_SCIKIT_CALLBACKS
@pytest.mark.parametrize("way", [clone, lambda model: model], ids=["clone", "itself"])
def test_a_fitted_estimator_with_callbacks_can_be_pickled(overlapping, answers, way):
    X, y = overlapping
    monitor = ScoringMonitor(scoring="accuracy")
    model = way(make().set_callbacks(monitor, Follower())).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answers(twin, X), answers(model, X))
    assert twin.fit(X, y).n_iter_ == 4


@WITH_SCIKIT_CALLBACKS
def test_a_fitted_net_holds_no_training_data(overlapping):
    X, y = overlapping
    model = make().set_callbacks(Follower()).fit(X, y)
    names = [type(callback).__name__ for _, callback in model.net_.callbacks_]
    assert names == []


@WITH_SCIKIT_CALLBACKS
def test_progress_is_shown(overlapping, capsys):
    pytest.importorskip("rich")
    make().set_callbacks(ProgressBar()).fit(*overlapping)
    assert "FeedForwardClassifier" in capsys.readouterr().out


@WITH_SCIKIT_CALLBACKS
def test_callbacks_of_scikit_learn_are_no_parameter(overlapping):
    model = make(callbacks=[ScoringMonitor(scoring="accuracy")])
    with pytest.raises(ValueError, match=r"callbacks=.*to set_callbacks"):
        model.fit(*overlapping)


UNHEEDED = {
    "restores weights": (EarlyStopping(load_best=True), "without their graph"),
    "loss that nobody records": (EarlyStopping(), "monitor='train_loss'"),
    "its class": (EarlyStopping, "monitor='train_loss'"),
    "gradients": (skorch.callbacks.GradientNormClipping(1.0), "gradients"),
    "scores": (skorch.callbacks.EpochScoring("accuracy"), "ScoringMonitor"),
    "batches": (skorch.callbacks.BatchScoring("accuracy"), "ScoringMonitor"),
    "records": (skorch.callbacks.PassthroughScoring("train_loss"), "not recorded"),
    "parameters": (skorch.callbacks.Freezer("*"), "belong to the estimator"),
    "rates": (("rate", skorch.callbacks.LRScheduler), "learning_rate_init"),
    "files": (skorch.callbacks.Checkpoint(), "pickle"),
    "files at the end": (skorch.callbacks.TrainEndCheckpoint(), "pickle"),
    "shapes": (skorch.callbacks.InputShapeSetter(), "knows its inputs"),
}


@pytest.mark.parametrize("kind", UNHEEDED)
def test_callback_that_would_not_be_heeded_is_an_error(overlapping, kind):
    callback, reason = UNHEEDED[kind]
    model = FreeNetClassifier(n_nodes=5, max_iter=1, callbacks=[callback])
    with pytest.raises(ValueError, match=f"callbacks=.*not for this.*{reason}"):
        model.fit(*overlapping)
    assert not hasattr(model, "net_")


def test_callbacks_that_cannot_be_initialised_are_an_error_each_time(overlapping):
    model = FreeNetClassifier(n_nodes=5, max_iter=1).fit(*overlapping)
    named = [("same", skorch.callbacks.EpochTimer()) for _ in range(2)]
    model.set_params(callbacks=named)
    for _ in range(2):
        with pytest.raises(ValueError, match="duplicate"):
            model.partial_fit(*overlapping)
