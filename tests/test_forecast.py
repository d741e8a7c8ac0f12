"""What `estimate_cost` tells of a fit, and that asking changes nothing."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state
from skorch.callbacks import Callback

import sknm
from sknm import FeedForwardClassifier, FreeNetClassifier, NeuralModuleClassifier
from sknm import forecast as module
from sknm.forecast import Forecast


def make(kind=FeedForwardClassifier, **parameters):
    defaults = {"n_nodes": 12, "max_iter": 4, "batch_size": 40, "random_state": 0}
    return kind(**defaults | parameters)


def test_it_tells_epochs_steps_time_and_memory(overlapping, every_estimator):
    forecast = make(every_estimator).estimate_cost(*overlapping)
    assert isinstance(forecast, Forecast)
    assert forecast.n_epochs == 4
    assert forecast.n_steps == 12  # 120 rows, in batches of 40
    assert math.isfinite(forecast.seconds)
    assert forecast.seconds > 0
    assert isinstance(forecast.bytes, int)
    assert forecast.bytes > 8 * 12 * 5  # the weights of the inputs alone
    with pytest.raises(dataclasses.FrozenInstanceError):
        forecast.seconds = 0.0


def test_epochs_and_steps_are_those_of_the_fit(overlapping):
    X, y = overlapping
    model = make(max_iter=None, batch_size="auto")
    forecast = model.estimate_cost(X, y)
    assert forecast.n_epochs == forecast.n_steps == model.fit(X, y).n_iter_
    forecast = model.set_params(optimizer="lbfgs").estimate_cost(X, y)
    assert forecast.n_epochs == forecast.n_steps == 300


def test_asking_leaves_a_new_estimator_as_it_is(overlapping, every_estimator, answers):
    X, y = overlapping
    model = make(every_estimator)
    before = dict(vars(model))
    model.estimate_cost(X, y)
    assert vars(model) == before
    asked, alone = model.fit(X, y), make(every_estimator).fit(X, y)
    assert asked.loss_curve_ == alone.loss_curve_
    np.testing.assert_array_equal(answers(asked, X), answers(alone, X))


@pytest.mark.parametrize("warm_start", [False, True])
def test_asking_leaves_a_fitted_estimator_as_it_is(overlapping, warm_start, answers):
    X, y = overlapping
    model = make(NeuralModuleClassifier, warm_start=warm_start).fit(X, y)
    twin, before = copy.deepcopy(model), dict(vars(model))
    model.estimate_cost(X[::-1], y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    assert pickle.dumps(model) == pickle.dumps(twin)
    model.fit(X, y)
    twin.fit(X, y)
    np.testing.assert_array_equal(answers(model, X), answers(twin, X))


def test_no_generator_is_drawn_from(overlapping):
    own = np.random.RandomState(0)
    of_numpy = check_random_state(None)  # the global one
    for seed in (None, own):
        states = own.get_state()[1].copy(), of_numpy.get_state()[1].copy()
        of_torch = torch.get_rng_state()
        make(random_state=seed).estimate_cost(*overlapping)
        np.testing.assert_array_equal(own.get_state()[1], states[0])
        np.testing.assert_array_equal(of_numpy.get_state()[1], states[1])
        assert torch.equal(torch.get_rng_state(), of_torch)


def test_nobody_is_told(overlapping, capsys, caplog):
    class Failing(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError

    for verbose in (1, 2):
        model = make(verbose=verbose, callbacks=[Failing()])
        model.estimate_cost(*overlapping)
    assert "".join(capsys.readouterr()) == ""
    assert caplog.messages == []


def test_more_epochs_rows_and_nodes_cost_more(overlapping):
    X, y = overlapping
    few, many = (make(max_iter=n).estimate_cost(X, y) for n in (1, 1000))
    assert many.n_steps == 1000 * few.n_steps
    assert many.seconds > few.seconds
    twice = make().estimate_cost(np.tile(X, (2, 1)), np.tile(y, 2))
    assert twice.n_steps == 2 * make().estimate_cost(X, y).n_steps
    small, large = (make(n_nodes=n).estimate_cost(X, y).bytes for n in (50, 500))
    assert large > 3 * small


def test_memory_is_that_of_copies_averages_and_a_step():
    X, y = load_digits(return_X_y=True)
    options = {"numerical_embedding": None, "feature_fdr": None, "n_nodes": 300}
    model = make(hidden_layer_sizes=(150, 150), **options)
    held = model.estimate_cost(X, y).bytes
    weights = 8 * (64 * 300 + 300 * 300)  # U and W, in double precision
    assert 8 * weights < held < 20 * weights


def test_validation_data_are_looked_at(overlapping, monkeypatch):
    X, y = overlapping
    scored = []

    def scorer(estimator, X, y):
        scored.append(len(X))
        return 0.0

    model = make(scoring=scorer)
    model.estimate_cost(X, y, X_val=X[:30], y_val=y[:30])
    assert set(scored) == {30}
    scored.clear()
    model.set_params(early_stopping=True).estimate_cost(X, y)
    assert set(scored) == {12}


def test_long_epochs_are_left_early(overlapping, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    made = []
    step = module.TrainingNet.train_step

    def counted(self, *args, **kwargs):
        made.append(1)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(module.TrainingNet, "train_step", counted)
    forecast = make(batch_size=2).estimate_cost(*overlapping)
    assert len(made) == module.FEWEST_STEPS
    assert forecast.n_steps == 4 * 60


def test_of_several_rounds_the_first_is_told(overlapping):
    model = make(FreeNetClassifier, evolve_interval="convergence", max_evolutions=3)
    assert model.estimate_cost(*overlapping).n_epochs == 4


def test_what_fit_refuses_is_refused(overlapping):
    X, y = overlapping
    with pytest.raises(ValueError, match="learning_rate_init"):
        make(learning_rate_init=-1.0).estimate_cost(X, y)
    with pytest.raises(ValueError, match="infinity"):
        make().estimate_cost(np.where(X > 1, np.inf, X), y)
    with pytest.raises(ValueError, match="belong together"):
        make().estimate_cost(X, y, X_val=X)


def test_an_interrupt_is_one(overlapping, monkeypatch):
    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.TrainingNet, "train_step", interrupted)
    model = make()
    with pytest.raises(KeyboardInterrupt):
        model.estimate_cost(*overlapping)
    assert not hasattr(model, "net_")


def test_every_estimator_can_be_asked():
    kinds = [getattr(sknm, name) for name in sknm.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type)]
    assert len(kinds) == 14
    assert all(callable(kind.estimate_cost) for kind in kinds)
