"""Copies of fitted estimators, sparsified ones, and devices."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError

import sknm.plasticity.modular
import sknm.training.net
from sknm import NeuralModuleClassifier, NeuralModuleRegressor
from sknm.training.net import TrainingNet

BOTH = pytest.mark.parametrize(
    "estimator", [NeuralModuleClassifier, NeuralModuleRegressor]
)
OPTIMIZERS = pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
NEEDS_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device"
)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


COPIES = pytest.mark.parametrize(
    "copied", [through_pickle, through_joblib, copy.deepcopy]
)


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(90, 5, n_informative=4, n_redundant=0, random_state=0)
    return X.astype(np.float32), y


def make(estimator=NeuralModuleClassifier, **parameters):
    defaults = {"n_nodes": 12, "module_size": 4, "max_iter": 5, "random_state": 0}
    return estimator(**defaults | parameters)


def answers(model, X):
    has_classes = hasattr(model, "predict_proba")
    return model.predict_proba(X) if has_classes else model.predict(X)


def assert_says_the_same(a, b, X):
    np.testing.assert_array_equal(answers(a, X), answers(b, X))
    np.testing.assert_array_equal(a.node_values(X), b.node_values(X))


# Copies.


@BOTH
@COPIES
@OPTIMIZERS
def test_copy_predicts_bit_for_bit_the_same(data, estimator, copied, optimizer):
    X, y = data
    model = make(estimator, optimizer=optimizer).fit(X, y)
    twin = copied(model)
    assert twin is not model
    assert_says_the_same(twin, model, X)
    assert twin.get_params() == model.get_params()
    assert twin.topology_ == model.topology_
    assert twin.loss_curve_ == model.loss_curve_
    assert twin.module_history_ == model.module_history_
    assert twin.solver_stats_ == model.solver_stats_


@BOTH
@COPIES
@OPTIMIZERS
def test_warm_start_of_a_copy_goes_on(data, estimator, copied, optimizer):
    X, y = data
    model = make(estimator, optimizer=optimizer, warm_start=True, dropout=0)
    twin = copied(model.fit(X, y))
    before = answers(model, X)
    twin.fit(X, y)
    assert twin.n_iter_ == 10
    assert twin.loss_curve_[:5] == model.loss_curve_
    assert twin.loss_curve_[-1] < model.loss_curve_[-1]
    # The original knows nothing of it.
    assert model.n_iter_ == 5
    np.testing.assert_array_equal(answers(model, X), before)


@COPIES
def test_copy_trains_like_the_original(data, copied):
    X, y = data
    # One batch without dropout: going on takes no random numbers that matter.
    model = make(warm_start=True, dropout=0, batch_size=90).fit(X, y)
    twin = copied(model)
    np.testing.assert_allclose(
        twin.fit(X, y).predict_proba(X), model.fit(X, y).predict_proba(X), atol=1e-4
    )
    np.testing.assert_allclose(twin.loss_curve_, model.loss_curve_, rtol=1e-4)


@COPIES
def test_copy_can_be_trained_in_parts(data, copied):
    X, y = data
    twin = copied(make().partial_fit(X, y, classes=[0, 1]))
    assert twin.partial_fit(X, y).n_iter_ == 2


@BOTH
def test_clone_has_parameters_but_nothing_fitted(data, estimator):
    model = make(estimator).fit(*data)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not [name for name in vars(twin) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        twin.predict(data[0])


@COPIES
def test_unfitted_estimators_can_be_copied(data, copied):
    assert copied(make()).get_params() == make().get_params()


def test_pickle_does_not_depend_on_what_was_predicted(data):
    X, y = data
    model = make().fit(X, y)
    before = pickle.dumps(model)
    model.predict(np.tile(X, (100, 1)))
    assert len(pickle.dumps(model)) == len(before)


# Sparsify.


@BOTH
def test_sparsify_keeps_the_predictions(data, estimator):
    X, y = data
    model = make(estimator).fit(X, y)
    expected, W = answers(model, X), model.node_weights_.copy()
    topology = model.topology_
    assert model.sparsify() is model
    np.testing.assert_array_equal(answers(model, X), expected)
    np.testing.assert_array_equal(model.node_weights_, W)
    assert model.topology_ == topology
    assert_says_the_same(through_pickle(model), model, X)


def test_sparsify_drops_the_weights_of_absent_edges(data):
    model = make().fit(*data)
    absent = ~model.topology_.to_dense()
    assert model.net_.module_.graph.weights.detach().numpy()[absent].any()
    model.sparsify()
    W = model.net_.module_.graph.weights
    np.testing.assert_array_equal(W.detach().numpy(), model.node_weights_)


def test_sparsify_drops_what_the_optimizer_remembers(data):
    model = make(optimizer="sgd").fit(*data)
    assert len(pickle.dumps(model.sparsify())) < len(pickle.dumps(make().fit(*data)))


def test_after_sparsify_a_warm_start_goes_on(data):
    X, y = data
    model = make(warm_start=True).fit(X, y).sparsify().fit(X, y)
    assert model.n_iter_ == 10
    assert model.loss_curve_[-1] < model.loss_curve_[4]


def test_sparsify_needs_a_fit():
    assert not hasattr(make(), "sparsify")


# Devices.


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@BOTH
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda_without_a_gpu_is_an_error(data, estimator, device):
    message = rf"device='{device}' is not available.*device='cpu'.*device='auto'"
    with pytest.raises(ValueError, match=message):
        make(estimator, device=device).fit(*data)


@pytest.mark.parametrize("device", ["meta", "xpu", "cuda:99"])
def test_device_that_is_not_there_is_an_error(data, device):
    with pytest.raises(ValueError, match=f"device='{device}' is not available"):
        make(device=device).fit(*data)


@pytest.mark.parametrize("device", ["nonsense", "", "gpu"])
def test_device_that_does_not_exist_is_an_error(data, device):
    message = f"device='{device}' is not the name of a device; use 'cpu', 'cuda'"
    with pytest.raises(ValueError, match=message):
        make(device=device).fit(*data)


def test_auto_finds_a_device(data):
    model = make(device="auto").fit(*data)
    assert model.device_ in {"cpu", "cuda", "mps"}
    assert (model.device_ == "cuda") == torch.cuda.is_available()


@pytest.fixture
def fake_gpu(monkeypatch):
    """Take "meta" for a GPU that was there when a model was fitted, and is gone."""
    moves = []

    def move(net, device):
        moves.append(device)
        net.device = device
        return net

    monkeypatch.setattr(TrainingNet, "move", move)
    return moves


def test_model_of_a_gpu_is_pickled_and_loaded_on_the_cpu(data, fake_gpu):
    X, y = data
    model = make().fit(X, y)
    expected = model.predict_proba(X)
    model.net_.device = "cuda:7"
    loaded = through_pickle(model)
    # Pickled as arrays, and kept on the CPU: there is no eighth GPU.
    assert fake_gpu == []
    assert loaded.device_ == loaded.net_.device == "cpu"
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert model.device_ == "cuda:7"


def test_moving_a_net_keeps_its_predictions(data):
    X, y = data
    model = make(warm_start=True).fit(X, y)
    expected = model.predict_proba(X)
    assert model.net_.move("cpu") is model.net_
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert model.fit(X, y).n_iter_ == 10


@NEEDS_CUDA
@BOTH
@OPTIMIZERS
def test_gpu_learns_what_the_cpu_learns(data, estimator, optimizer, monkeypatch):
    # On a GPU, a new graph is in use some steps after it was seen.
    monkeypatch.setattr(sknm.plasticity.modular, "look_steps", lambda W: 0)
    X, y = data
    model = make(estimator, optimizer=optimizer, dropout=0, max_iter=3)
    on_cpu = clone(model).fit(X.astype(np.float64), y)
    on_gpu = clone(model).set_params(device="cuda").fit(X.astype(np.float64), y)
    assert on_gpu.device_ == "cuda"
    assert on_gpu.net_.module_.device.type == "cuda"
    np.testing.assert_allclose(answers(on_gpu, X), answers(on_cpu, X), atol=1e-3)
    assert isinstance(on_gpu.node_weights_, np.ndarray)
    assert on_gpu.solver_stats_["unconverged"] == 0


@NEEDS_CUDA
@BOTH
@COPIES
def test_copy_of_a_gpu_model_predicts_the_same(data, estimator, copied):
    X, y = data
    model = make(estimator, device="cuda", warm_start=True).fit(X, y)
    twin = copied(model)
    assert_says_the_same(twin, model, X)
    assert twin.net_.module_.device.type == "cuda"
    assert twin.fit(X, y).n_iter_ == 10


@NEEDS_CUDA
@BOTH
@COPIES
def test_gpu_model_loads_where_no_gpu_is(data, estimator, copied, monkeypatch):
    X, y = data
    model = make(estimator, device="cuda").fit(X, y)
    expected = answers(model, X)
    monkeypatch.setattr(sknm.training.net, "is_available", lambda device: False)
    twin = copied(model)
    assert twin.device_ == "cpu"
    assert twin.net_.module_.device.type == "cpu"
    np.testing.assert_allclose(answers(twin, X), expected, atol=1e-4)
