"""Kinds of targets: those there are, and others that need a class and nothing else."""

import pickle
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from torch import nn

import sknm
from sknm.parameters import Number
from sknm.targets import ClassTarget, NumericTarget, Target


class PoissonLoss(nn.Module):
    """Negative log-likelihood of counts, whose logarithmic mean is the output."""

    def forward(self, outputs, y, weights):
        losses = (outputs.exp() - y * outputs).mean(1)
        return losses.mean() if weights is None else (losses * weights).mean()


class Counts(Target):
    """Counts, learned in units of their mean."""

    def check(self, y):
        if (y < 0).any():
            raise ValueError("y must be counts of at least 0.")
        return y.astype(float)

    def learn(self, y, weights):
        self.mean_ = float(np.average(y, weights=weights))

    def attributes(self):
        return {"mean_count_": self.mean_}

    @property
    def n_outputs(self):
        return 1

    def encode(self, y):
        return y[:, None] / self.mean_

    def make_loss(self):
        return PoissonLoss()

    def score(self, y, outputs, weights):
        losses = y * outputs - np.exp(outputs)
        return float(np.average(losses[:, 0], weights=weights))

    def decode(self, outputs):
        return np.exp(outputs[:, 0]) * self.mean_

    def show(self, name, values):
        return values + np.log(self.mean_) if name == "output_biases" else values


class CountRegressor(sknm.FreeNetRegressor):
    """All that counts need beside their target."""

    def _make_target(self):
        return Counts()


class PinballLoss(nn.Module):
    """Loss whose minimum is a quantile."""

    def __init__(self, quantile):
        super().__init__()
        self.quantile = quantile

    def forward(self, outputs, y, weights):
        above = y - outputs
        return torch.maximum(self.quantile * above, (self.quantile - 1) * above).mean()


class Quantile(NumericTarget):
    """A quantile of standardised numbers."""

    def __init__(self, quantile):
        self.quantile = quantile

    def make_loss(self):
        return PinballLoss(self.quantile)


@dataclass(repr=False, eq=False)
class QuantileRegressor(sknm.NeuralModuleRegressor):
    """A kind of target with a parameter."""

    _: KW_ONLY
    quantile: float = 0.5

    _constraints: ClassVar = {"quantile": [Number(Real, 0, 1, closed="neither")]}

    def _make_target(self):
        return Quantile(self.quantile)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 3))
    mean = 200 * np.exp(X[:, 0])
    return X, rng.poisson(mean), mean


def make(estimator, **parameters):
    defaults = {"n_nodes": 20, "max_iter": 30, "dropout": 0.0, "random_state": 0}
    return estimator(**defaults | parameters)


def test_another_kind_of_target_is_learned(counts):
    X, y, mean = counts
    model = make(CountRegressor).fit(X, y)
    assert model.mean_count_ == y.mean()
    error = np.log(model.predict(X)) - np.log(mean)
    assert np.abs(error).mean() < 0.1
    assert model.score(X, y) > 0.95


def test_another_kind_of_target_scores_checks_and_weighs_by_itself(counts):
    X, y, _ = counts
    weights = np.where(X[:, 1] > 0, 1.0, 0.0)
    model = make(CountRegressor, early_stopping=True).fit(X, y, weights)
    assert model.mean_count_ == y[weights > 0].mean()
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) < 0
    with pytest.raises(ValueError, match="counts of at least 0"):
        model.fit(X, -y)
    with pytest.raises(ValueError, match=r"X_val and y_val can't be used.*of at least"):
        model.fit(X, y, X_val=X, y_val=-y)
    with pytest.raises(ValueError, match="1d array"):  # it says nothing of several
        model.fit(X, np.c_[y, y])


def test_users_see_weights_that_give_what_is_predicted(counts, substitute):
    X, y, _ = counts
    model = make(CountRegressor).fit(X, y)
    logarithm = substitute(model, X) @ model.output_weights_ + model.output_biases_
    np.testing.assert_allclose(np.exp(logarithm[:, 0]), model.predict(X), rtol=1e-6)


def test_another_kind_of_target_is_pickled_and_goes_on(counts):
    X, y, _ = counts
    model = make(CountRegressor, warm_start=True).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    twin.fit(X[:100], y[:100])
    assert twin.mean_count_ == y.mean()
    twin.partial_fit(X, y)
    assert twin.n_iter_ == 61
    assert twin.set_params(warm_start=False).fit(X[:100], y[:100]).mean_count_ == (
        y[:100].mean()
    )


def test_overflow_of_another_kind_of_target_is_told(counts):
    X, y, _ = counts
    model = make(CountRegressor, scale=None).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="not finite"):
        assert np.isinf(model.predict(1e4 * np.abs(X))).any()


def test_a_parameter_of_a_target_is_heeded(counts):
    X, y, _ = counts
    model = make(QuantileRegressor, quantile=0.2, warm_start=True).fit(X, y)
    low = model.predict(X)
    high = model.set_params(quantile=0.8).fit(X, y).predict(X)
    assert np.mean(low < high) > 0.9
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="'quantile' parameter"):
        model.set_params(quantile=2.0).fit(X, y)


def test_a_target_takes_over_what_was_learned_but_no_parameters():
    former, target = ClassTarget(0.1), ClassTarget(0.5, "balanced")
    former.learn(np.array(["a", "b"]), None)
    target.go_on_from(former)
    assert target.classes_ is former.classes_
    assert (target.label_smoothing, target.class_weight) == (0.5, "balanced")


def test_announced_classes_are_known_to_the_target():
    target = ClassTarget(classes_=np.array([1, 2, 3]))
    target.learn(np.array([1, 1]), None)
    assert target.n_outputs == 3
    assert target.encode(np.array([3, 1])).tolist() == [2, 0]
    assert target.decode(np.eye(3)).tolist() == [1, 2, 3]


def test_nothing_is_predicted_before_a_fit(every_estimator):
    with pytest.raises(NotFittedError):
        every_estimator().predict([[0.0]])
