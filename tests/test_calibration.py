"""Probabilities: how often those who are told .9 are right, and which rows say so."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback

import sknm.calibration
from sknm import (
    DEQClassifier,
    FeedForwardClassifier,
    FreeNetClassifier,
    NeuralModuleClassifier,
    URNClassifier,
)
from sknm.calibration import some_of_each
from sknm.targets.temperature import best_temperature
from sknm.training.holdout import JOIN, Holdout
from sknm.training.losses import CrossEntropy


def calibration_error(probabilities, y, n_bins=15):
    """Mean distance of confidence and accuracy over bins of the confidence."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [
        abs(right[bins == k].mean() - confidence[bins == k].mean()) * np.mean(bins == k)
        for k in np.unique(bins)
    ]
    return float(np.sum(gaps))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X.astype(np.float32), y, random_state=0)


def small(cls=FeedForwardClassifier, **params):
    return cls(n_nodes=40, random_state=0, **{"max_iter": 20, **params})


def blobs(n_samples=400, **options):
    return make_classification(
        n_samples, n_informative=6, n_classes=3, flip_y=0.2, random_state=0, **options
    )


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature):
    rng = np.random.default_rng(0)
    outputs = rng.normal(scale=3, size=(20_000, 4))
    chances = softmax(outputs / temperature, axis=1).cumsum(axis=1)
    y = (rng.random((len(outputs), 1)) > chances).sum(axis=1).clip(max=3)
    found = best_temperature(CrossEntropy(), y, outputs, None)
    assert found == pytest.approx(temperature, rel=0.03)


def test_weights_of_rows_count_as_repetitions_for_the_temperature():
    rng = np.random.default_rng(0)
    outputs, y = rng.normal(size=(50, 3)), rng.integers(3, size=50)
    weights = rng.integers(1, 4, size=50)
    found = best_temperature(CrossEntropy(0.1), y, outputs, weights.astype(float))
    repeated = np.repeat(outputs, weights, axis=0), np.repeat(y, weights)
    expected = best_temperature(CrossEntropy(0.1), repeated[1], repeated[0], None)
    assert found == pytest.approx(expected, rel=1e-4)


def test_confidence_is_accuracy_at_the_defaults(digits):
    X_train, X_test, y_train, y_test = digits
    model = NeuralModuleClassifier(random_state=0).fit(X_train, y_train)
    raw = NeuralModuleClassifier(random_state=0, calibration_fraction=None)
    probabilities = model.predict_proba(X_test)
    assert calibration_error(probabilities, y_test) < 0.03
    raw.fit(X_train, y_train)
    assert calibration_error(raw.predict_proba(X_test), y_test) > 0.08
    assert raw.temperature_ == 1
    np.testing.assert_array_equal(
        model.predict(X_test), model.classes_[probabilities.argmax(axis=1)]
    )
    np.testing.assert_allclose(
        model.predict_log_proba(X_test), np.log(probabilities), atol=1e-4
    )
    assert model.score(X_test, y_test) >= raw.score(X_test, y_test) - 0.01


class Watch(Callback):
    """Notes how many rows each epoch is trained on."""

    def on_train_begin(self, net, **kwargs):
        self.counts = []

    def on_epoch_begin(self, net, **kwargs):
        self.counts.append(0)

    def on_batch_end(self, net, batch, **kwargs):
        self.counts[-1] += len(batch)


def test_a_tenth_of_the_rows_joins_for_the_last_epochs():
    X, y = blobs()
    watch = Watch()
    model = small(callbacks=[watch]).fit(X, y)
    late = int(JOIN * 20)
    kept = sum(np.bincount(y) - np.bincount(y) // 10)
    assert watch.counts == [kept] * late + [400] * (20 - late)
    assert model.temperature_ != 1
    assert model.net_.withheld is None


def test_all_rows_are_trained_on_by_batches_of_a_row():
    X, y = blobs(150)
    watch = Watch()
    small(callbacks=[watch], batch_size=1, max_iter=5).fit(X, y)
    kept = sum(np.bincount(y) - np.bincount(y) // 10)
    assert watch.counts == [kept] * 4 + [150]


def test_the_last_rows_of_a_class_are_not_withheld():
    strata = np.repeat([0, 1, 2], [100, 25, 9])
    rows = some_of_each(strata, len(strata), 0.1, 0)
    np.testing.assert_array_equal(np.bincount(strata[rows], minlength=3), [10, 2, 0])
    assert len(np.unique(rows)) == 12
    assert len(some_of_each(None, 55, 0.1, 0)) == 5


def test_validation_data_tell_the_temperature():
    X, y = blobs()
    watch = Watch()
    model = small(callbacks=[watch])
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert set(watch.counts) == {300}
    outputs = np.log(model.predict_proba(X[300:])) * model.temperature_
    expected = best_temperature(CrossEntropy(1 / 102), y[300:], outputs, None)
    assert model.temperature_ == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n_rows", "is_told"), [(1, False), (9, False), (10, True)])
def test_a_few_rows_of_validation_data_tell_no_temperature(n_rows, is_told):
    X, y = blobs()
    model = small(max_iter=6).fit(X, y, X_val=X[:n_rows], y_val=y[:n_rows])
    assert (model.temperature_ != 1) == is_told


@pytest.mark.parametrize("cls", [NeuralModuleClassifier, DEQClassifier])
def test_the_temperature_is_that_of_the_graph_as_it_would_be_left(cls, monkeypatch):
    X, y = blobs()
    kept = small(cls, max_iter=10).fit(X, y)
    known = []

    def look(estimator, samples):
        network = estimator.net_.module_.eval()
        before = network.outputs(torch.from_numpy(X)).value
        estimator.net_.settle()
        known.append((before, network.outputs(torch.from_numpy(X)).value))

    monkeypatch.setattr(sknm.calibration, "calibrate", look)
    other = small(cls, max_iter=10).fit(X, y)
    ((before, after),) = known
    torch.testing.assert_close(before, after, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(other.node_weights_, kept.node_weights_)


def test_training_sees_nothing_of_the_search_for_the_temperature(
    every_classifier, monkeypatch
):
    X, y = blobs()
    asked = small(every_classifier, max_iter=8).fit(X, y)
    monkeypatch.setattr(
        Holdout, "_join", lambda self, net: setattr(net, "withheld", None)
    )
    other = small(every_classifier, max_iter=8).fit(X, y)
    assert asked.temperature_ != other.temperature_ == 1
    assert asked.loss_curve_ == other.loss_curve_
    np.testing.assert_array_equal(asked.predict(X), other.predict(X))
    np.testing.assert_array_equal(asked.node_weights_, other.node_weights_)


@pytest.mark.parametrize(
    "params", [{"batch_size": 400}, {"optimizer": "lbfgs"}, {"max_iter": 4}]
)
def test_no_rows_are_withheld_where_each_step_takes_all_or_epochs_are_few(params):
    watch = Watch()
    model = small(callbacks=[watch], **{"max_iter": 6} | params).fit(*blobs())
    assert set(watch.counts) == {400}
    assert model.temperature_ == 1


@pytest.mark.filterwarnings("ignore:The graph still changes")
def test_no_rows_are_withheld_of_a_training_of_many_rounds():
    params = {"rule": "coactivation", "max_evolutions": 1}
    model = small(
        FreeNetClassifier, **params, evolve_interval="convergence", max_iter=2
    )
    assert model.fit(*blobs()).temperature_ == 1


def test_what_goes_on_keeps_its_temperature():
    X, y = blobs()
    model = small(warm_start=True).fit(X, y)
    found = model.temperature_
    assert model.fit(X, y).temperature_ == found
    assert model.partial_fit(X, y).temperature_ == found
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_without_a_fraction_nothing_is_withheld_nor_drawn():
    X, y = blobs()
    watch = Watch()
    model = small(callbacks=[watch], calibration_fraction=None).fit(X, y)
    assert set(watch.counts) == {400}
    assert model.temperature_ == 1


def test_several_labels_a_row_have_a_temperature():
    X, y = blobs()
    labels = np.column_stack([y == 0, y > 0, y == 2]).astype(int)
    model = small().fit(X, labels)
    assert model.temperature_ != 1
    raw = np.log(model.predict_proba(X) / (1 - model.predict_proba(X)))
    np.testing.assert_array_equal(model.predict(X), (raw > 0).astype(int))


def test_rows_of_an_interrupted_training_tell_the_temperature():
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.n_epochs == 5:
                raise KeyboardInterrupt

    X, y = blobs()
    model = small(URNClassifier, callbacks=[Interrupt()]).fit(X, y)
    assert model.n_iter_ == 5
    assert model.temperature_ != 1
    assert model.net_.withheld is None


@pytest.mark.parametrize("max_iter", [6, 20])
def test_rows_that_are_interrupted_while_they_tell_it_are_asked_again(
    max_iter, monkeypatch
):
    calibrate, calls = sknm.calibration.calibrate, []

    def interrupted(estimator, samples):
        calls.append(len(samples))
        if len(calls) == 1:
            raise KeyboardInterrupt
        calibrate(estimator, samples)

    monkeypatch.setattr(sknm.calibration, "calibrate", interrupted)
    X, y = blobs()
    with pytest.warns(UserWarning, match="interrupted after"):
        model = small(NeuralModuleClassifier, max_iter=max_iter).fit(X, y)
    assert len(calls) == 2
    assert model.temperature_ != 1
    assert model.net_.withheld is None


def test_members_have_one_temperature():
    X, y = blobs()
    model = small(n_members=3).fit(X, y)
    assert model.temperature_ != 1
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
