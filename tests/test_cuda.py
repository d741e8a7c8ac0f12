"""On a GPU: the same equation, solved as on the processor."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

import sknm.training.net
from sknm import NeuralModuleClassifier
from sknm.baselines import (
    DAGClassifier,
    DEQClassifier,
    FeedForwardClassifier,
    OptNetClassifier,
)
from sknm.freenet import FreeNetClassifier
from sknm.graph.draw import draw_weights
from sknm.graph.equilibrium import Memory, solve
from sknm.graph.plan import Plan
from sknm.graph.problem import SolverOptions
from sknm.graph.topology import Topology
from sknm.urn import URNClassifier

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device"
)

ESTIMATORS = [
    NeuralModuleClassifier,
    DEQClassifier,
    DAGClassifier,
    FeedForwardClassifier,
    FreeNetClassifier,
    OptNetClassifier,
    URNClassifier,
]


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def make(estimator, **parameters):
    defaults = {"n_nodes": 24, "max_iter": 60, "random_state": 0}
    return estimator(**defaults | parameters)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_model_learns_and_travels_to_the_processor(estimator, data, monkeypatch):
    X, y = data
    model = make(estimator, device="cuda").fit(X, y)
    assert model.device_ == "cuda"
    assert model.score(X, y) > 0.9
    probabilities = model.predict_proba(X)
    monkeypatch.setattr(sknm.training.net, "is_available", lambda device: False)
    here = pickle.loads(pickle.dumps(model))
    assert here.device_ == "cpu"
    np.testing.assert_allclose(here.predict_proba(X), probabilities, atol=1e-6)


@pytest.mark.parametrize("penalty", ["bridge", "nm", None])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_modules_are_trained(penalty, optimizer, data):
    X, y = data
    model = make(
        NeuralModuleClassifier,
        device="cuda",
        penalty=penalty,
        optimizer=optimizer,
        module_size=6,
        lambda_NM=1.0,  # so that edges are left
        max_iter=20,
    )
    model.fit(X, y).partial_fit(X, y)
    assert np.isfinite(model.loss_curve_).all()
    assert (np.abs(model.node_weights_[model.node_weights_ != 0]) > model.tau).all()
    a = model.encode(X) @ model.input_weights_ + model.node_biases_
    z = model.node_values(X)
    expected = np.maximum(z @ model.node_weights_ + a, 0)
    np.testing.assert_allclose(z, expected, atol=1e-6)


@pytest.mark.parametrize("sizes", [[6], [3, 3, 3], [4, 5, 2, 1]])
def test_solves_and_gradients_are_those_of_the_processor(sizes):
    generator = torch.Generator().manual_seed(0)
    W = draw_weights(sizes, 0.0, 0.5, generator).double()
    a = torch.randn(7, len(W), generator=generator, dtype=torch.float64)
    options = SolverOptions(atol=1e-12, rtol=1e-12, max_iter=500)
    found = []
    for device in ("cpu", "cuda"):
        x, w = (t.to(device).requires_grad_() for t in (a, W))
        plan = Plan(Topology.modular(sizes), w)
        z = solve(x, w, plan, "tanh", options, memory=Memory()).value
        gradients = torch.autograd.grad(z.square().sum(), (x, w))
        found.append([t.cpu() for t in (z.detach(), *gradients)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sparse_rows_go_there_in_batches(estimator, data):
    X, y = data
    model = make(estimator, device="cuda").fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(
        model.predict_proba(sparse.csr_array(X)), model.predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_rows_that_join_late_are_left_out_there(estimator, n_members):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = X[:, 0] > rng.normal(size=300)
    options = {"max_iter": 6, "n_members": n_members}
    model = make(estimator, device="cuda", **options).fit(X, y)
    assert model.temperature_ != 1


@pytest.mark.parametrize("embedding", [None, "piecewise", "periodic"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tables_are_encoded_there(estimator, embedding, monkeypatch):
    pandas, rng = pytest.importorskip("pandas"), np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "age": np.where(rng.random(300) < 0.1, np.nan, rng.normal(40, 10, 300)),
            "job": rng.choice(["clerk", "nurse", "smith"], 300),
            "town": rng.choice([f"town{k}" for k in range(40)], 300),
            "level": pandas.Categorical(rng.choice(list("abc"), 300), ordered=True),
        }
    )
    y = (table["age"] > 40) ^ (table["job"] == "clerk")
    model = make(estimator, device="cuda", numerical_embedding=embedding)
    model.fit(table, y).partial_fit(table, y)
    other = table.assign(job="pilot", town="elsewhere")
    inputs, found = model.encode(other), model.predict_proba(other)
    monkeypatch.setattr(sknm.training.net, "is_available", lambda device: False)
    here = pickle.loads(pickle.dumps(model))
    assert here.device_ == "cpu"
    np.testing.assert_allclose(here.encode(other), inputs, atol=1e-9)
    np.testing.assert_allclose(here.predict_proba(other), found, atol=1e-6)
