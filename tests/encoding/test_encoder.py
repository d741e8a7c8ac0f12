"""Encoders: the one that does nothing, and one of a user's that is trained."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from skorch.callbacks import Callback
from torch import nn

from sknm import (
    FreeNetRegressor,
    NeuralModuleClassifier,
    OptNetClassifier,
    URNClassifier,
)
from sknm.compute.groups import ParameterGroup
from sknm.compute.rows import Rows, SparseBatch
from sknm.encoding.encoder import Identity
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.problem import SolverOptions
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.training.equation import EquationNetwork

N_FEATURES, N_WAVES = 5, 4
COPIED = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)


class Waves(nn.Module):
    """Sines and cosines of some linear maps of the standardised features."""

    step_scale = 0.5

    def fit(self, rows, y, weights, generator):
        parts = rows.split(64, torch.device("cpu"))
        X = torch.cat([part.to_dense() for part in parts])
        shape = rows.n_features, N_WAVES
        drawn = torch.randn(shape, generator=generator, dtype=torch.float32) / 2
        self.centre = nn.Parameter(X.mean(0))
        self.slopes = nn.Parameter(drawn.to(X.dtype) / X.std(0)[:, None])
        self.n_outputs = self.fan_in = 2 * N_WAVES
        self.n_fixed = 0

    def forward(self, X):
        u = (X.to_dense() - self.centre) @ self.slopes
        return torch.cat([u.sin(), u.cos()], 1)

    def groups(self):
        return [
            ParameterGroup([self.slopes], self.step_scale, decay=0.1),
            ParameterGroup([self.centre], decay=0.0, ridge=0.0),
        ]

    def forms(self):
        return ["waves"] * len(self.centre)

    def labels(self):
        return [(-1, f"wave{k}") for k in range(self.n_outputs)]


class Still(Waves):
    """The same, to be left as it is."""

    step_scale = 0.0


class WavyModules(NeuralModuleClassifier):
    def _make_encoder(self):
        return Waves()


class WavyFreeNet(FreeNetRegressor):
    def _make_encoder(self):
        return Waves()


class WavyURN(URNClassifier):
    def _make_encoder(self):
        return Waves()


class WavyOptNet(OptNetClassifier):
    def _make_encoder(self):
        return Waves()


EVERY = pytest.mark.parametrize(
    "kind", [WavyModules, WavyFreeNet, WavyURN, WavyOptNet], ids=lambda e: e.__name__
)


def make(kind, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 3, "batch_size": 20, "random_state": 0}
    if kind is WavyModules:
        defaults["module_size"] = 4
    return kind(**defaults | parameters)


@pytest.fixture(scope="module")
def data():
    return make_classification(
        60, N_FEATURES, n_informative=4, n_redundant=0, random_state=1
    )


def encoder_of(model):
    return model.net_.module_.encoder


def state_of(model):
    return {k: p.detach().clone() for k, p in encoder_of(model).named_parameters()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


class States(Callback):
    """Keeps the encoder's state after each epoch, and may fail after one."""

    def __init__(self, n_epochs=None, error=None):
        self.states, self.n_epochs, self.error = [], n_epochs, error

    def on_epoch_end(self, net, **kwargs):
        named = net.module_.encoder.named_parameters()
        self.states.append({k: p.detach().clone() for k, p in named})

    def on_epoch_begin(self, net, **kwargs):
        if len(self.states) == self.n_epochs:
            raise self.error


# The one that does nothing


def test_identity_returns_the_very_same_rows():
    dense = torch.ones(3, 4)
    scarce = SparseBatch.of(sparse.csr_array(np.eye(3)))
    encoder = Identity()
    assert encoder(dense) is dense
    assert encoder(scarce) is scarce


@pytest.mark.parametrize("make_rows", [np.asarray, sparse.csr_array])
def test_identity_learns_the_number_of_features_only(make_rows):
    encoder, generator = Identity(), torch.Generator().manual_seed(0)
    before = generator.get_state()
    encoder.fit(Rows(make_rows(np.eye(3, 7))), np.zeros(3), None, generator)
    assert vars(encoder) == {"n_outputs": 7, "fan_in": 7}
    assert encoder.labels() == [(k, "") for k in range(7)]
    assert encoder.forms() == ["as it is"] * 7
    assert encoder.groups() == []
    assert torch.equal(generator.get_state(), before)


# One that is trained: its gradient


@pytest.mark.parametrize("mask", [Topology.triangular(6), Topology.modular([3, 3])])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_gradient_is_that_of_finite_differences(mask, is_sparse):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64) / 3

    X, weights = draw(7, N_FEATURES) * 3, draw(7, 2)
    encoder = Waves()
    encoder.fit(Rows(X.numpy()), np.zeros(7), None, generator)
    graph = EquationState(draw(6, 6).fill_diagonal_(0), draw(6), mask)
    network = EquationNetwork(
        encoder, graph, draw(2 * N_WAVES, 6), draw(6, 2), generator
    ).train()
    network.sigma, network.dropout = ACTIVATIONS["tanh"], 0.0
    network.training_options = SolverOptions("auto", 1e-12, 1e-12, max_iter=500)
    rows = SparseBatch.of(sparse.csr_array(X.numpy())) if is_sparse else X

    def loss():
        return (network(rows) * weights).sum()

    loss().backward()
    for p in encoder.parameters():
        flat, size = p.data.view(-1), 1e-6
        for i in range(len(flat)):
            value, ends = flat[i].item(), []
            for flat[i] in (value + size, value - size):
                ends.append(loss().item())
            flat[i] = value
            slope = (ends[0] - ends[1]) / (2 * size)
            assert p.grad.view(-1)[i].item() == pytest.approx(slope, abs=1e-7)


# In estimators, which say no more than that they have it


@EVERY
def test_encoder_is_trained_with_the_network(kind, data):
    X, y = data
    before = make(kind, learning_rate_init=1e-12).fit(X, y)
    model = make(kind).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.n_features_in_ == N_FEATURES
    assert len(model.input_weights_) == encoder_of(model).n_outputs == 2 * N_WAVES
    assert len(model.node_values(X)) == len(X)
    for name, values in state_of(model).items():
        assert (values - state_of(before)[name]).abs().min() > 1e-6


@EVERY
def test_encoder_learns_from_the_training_rows_at_first(kind, data):
    X, y = data
    model = make(kind, max_iter=1, learning_rate_init=1e-12).fit(X, y)
    centre = encoder_of(model).centre.detach().numpy()
    np.testing.assert_allclose(centre, X.mean(0), atol=1e-9)


@EVERY
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_optimiser_and_precision_will_do(kind, optimizer, dtype, data):
    X, y = data[0].astype(dtype), data[1]
    rate = 0.02 if optimizer == "adamw" else 0.005
    model = make(
        kind, optimizer=optimizer, learning_rate_init=rate, warm_start=True, max_iter=6
    )
    model.fit(X, y)
    before = state_of(model)
    model.fit(X, y)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    for name, values in state_of(model).items():
        assert (values != before[name]).all()
    assert model.predict(X).shape == y.shape


def test_group_of_the_encoder_says_how_it_is_treated(data):
    class StillModules(NeuralModuleClassifier):
        def _make_encoder(self):
            return Still()

    short, long = (make(StillModules, max_iter=n).fit(*data) for n in (1, 6))
    assert torch.equal(encoder_of(short).slopes, encoder_of(long).slopes)
    assert not torch.equal(encoder_of(short).centre, encoder_of(long).centre)
    model = WavyModules(n_nodes=4, max_iter=1, alpha=0.01).fit(*data)
    options = model.net_.optimizer_.param_groups
    decays = {g["weight_decay"] for g in options}
    assert decays == {0.01, 0.1 * 0.01, 0.0}


@EVERY
def test_early_stopping_restores_the_encoder(kind, data):
    X, y = data
    seen = States()
    model = make(
        kind, max_iter=12, early_stopping=True, n_iter_no_change=3, callbacks=[seen],
        learning_rate_init=0.1,
    )  # fmt: skip
    model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    best = int(np.argmax(model.validation_scores_))
    assert best < len(seen.states) - 1
    assert_same(state_of(model), seen.states[best])


@EVERY
@COPIED
def test_copies_keep_predictions(kind, copied, data, answers):
    X, y = data
    model = make(kind).fit(X, y)
    expected = answers(model, X)
    other = copied(model)
    np.testing.assert_array_equal(answers(other, X), expected)
    for p in encoder_of(other).parameters():
        assert p.requires_grad
        p.data += 1
    np.testing.assert_array_equal(answers(model, X), expected)
    assert not hasattr(clone(model), "net_")


@EVERY
@COPIED
def test_copies_go_on_as_the_model_does(kind, copied, data, answers):
    X, y = data
    model = make(kind)
    for _ in range(2):
        model.partial_fit(X, y, **classes_for(model))
    other = copied(model)
    for each in (model, other):
        each.partial_fit(X, y)
    assert_same(state_of(other), state_of(model))
    np.testing.assert_array_equal(answers(other, X), answers(model, X))


def classes_for(model):
    return {"classes": [0, 1]} if hasattr(model, "predict_proba") else {}


@EVERY
@pytest.mark.parametrize("error", [RuntimeError("failed"), MemoryError()], ids=repr)
def test_failed_training_leaves_the_encoder_as_it_was(kind, error, data, answers):
    X, y = data
    model = make(kind, warm_start=True).fit(X, y)
    before, expected = state_of(model), answers(model, X)
    model.set_params(callbacks=[States(1, error)])
    with pytest.raises(type(error)):
        model.fit(X + 1, y)
    assert_same(state_of(model), before)
    np.testing.assert_array_equal(answers(model, X), expected)
    model.set_params(callbacks=None).fit(X, y)


@EVERY
def test_interrupted_training_leaves_the_encoder_where_it_got(kind, data):
    seen = States(2, KeyboardInterrupt())
    model = make(kind, callbacks=[seen])
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        model.fit(*data)
    assert_same(state_of(model), seen.states[1])


@EVERY
def test_sparsified_model_keeps_its_encoder(kind, data, answers):
    X, y = data
    model = make(kind).fit(X, y)
    expected, before = answers(model, X), state_of(model)
    model.sparsify()
    assert_same(state_of(model), before)
    np.testing.assert_allclose(answers(model, X), expected, atol=1e-6)


@EVERY
def test_sparse_rows_are_encoded_like_dense_ones(kind, data, answers):
    X, y = data
    X = np.where(np.abs(X) < 0.5, 0, X)
    # Of sparse rows, all columns enter everything.
    model = make(kind, feature_fdr=None).fit(X, y)
    rows = sparse.csr_array(X)
    np.testing.assert_allclose(answers(model, rows), answers(model, X), atol=1e-9)
    other = make(kind, feature_fdr=None).fit(rows, y)
    np.testing.assert_allclose(answers(other, X), answers(model, X), atol=1e-6)


def test_every_estimator_may_have_an_encoder(every_estimator, data):
    X, y = data

    class Wavy(every_estimator):
        def _make_encoder(self):
            return Waves()

    model = make(Wavy).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert len(model.input_weights_) == 2 * N_WAVES
