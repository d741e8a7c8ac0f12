"""States of a fit that is interrupted, diverges or stops early belong together."""

import numpy as np
import pytest
from sklearn.datasets import make_classification

from sknm import NeuralModuleClassifier
from sknm.plasticity.bridges import Bridges
from sknm.training.net import TrainingNet


@pytest.fixture(scope="module")
def data():
    return make_classification(400, 10, n_informative=6, flip_y=0.2, random_state=1)


def make(**parameters):
    defaults = {"n_nodes": 60, "max_iter": 10, "batch_size": 32, "random_state": 0}
    return NeuralModuleClassifier(**defaults | parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"module_size": 1, "tau": 0.02},
        {"tau": 0.0, "optimizer": "lbfgs"},
        {"lambda_NM": 1.0, "optimizer": "sgd"},
    ],
    ids=str,
)
def test_no_node_gets_an_edge_to_itself(parameters, data):
    X, y = data[0][:150], data[1][:150]
    model = make(warm_start=True, max_iter=30, **parameters).fit(X, y).fit(X, y)
    assert not model.net_.module_.graph.weights.diagonal().any()


def test_edges_of_the_best_epoch_remain_where_modules_split_later(data, monkeypatch):
    restored = []
    restore = TrainingNet.restore

    def watched(net, snapshot, memory=None):
        restore(net, snapshot, memory)
        restored.append(snapshot.graph.plan.topology)

    monkeypatch.setattr(TrainingNet, "restore", watched)
    X, y = data
    model = make(
        module_size=30,
        alpha=3.0,
        tau=0.08,
        learning_rate_init=0.01,
        early_stopping=True,
        max_iter=30,
        n_iter_no_change=29,
    )
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    n_modules = [record["n_modules"] for record in model.module_history_]
    assert max(n_modules) > restored[-1].n_weak
    # The last record is that of the state that is returned.
    assert n_modules[-1] == restored[-1].n_weak
    assert model.topology_ == restored[-1]
    assert model.score(X[300:], y[300:]) == max(model.validation_scores_)


def test_model_that_diverged_keeps_its_edges_and_learns_on(data):
    X, y = data
    model = make(module_size=20, tau=0.15, warm_start=True, max_iter=3).fit(X, y)
    expected = model.predict_proba(X)
    n_edges = model.topology_.n_edges
    with pytest.raises(ValueError, match="no longer finite"):
        model.set_params(learning_rate_init=1e18).fit(X, y)
    assert model.topology_.n_edges == n_edges
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    model.set_params(learning_rate_init=0.004)
    for _ in range(3):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.7


def test_interrupt_between_the_updates_of_bridges_spoils_nothing(data, monkeypatch):
    step, calls = Bridges.step, []

    def interrupted(bridges, W, flow, step_size):
        step(bridges, W, flow, step_size)
        calls.append(None)
        if len(calls) == 4:  # has just moved them
            raise KeyboardInterrupt

    monkeypatch.setattr(Bridges, "step", interrupted)
    model = make(module_size=20, penalty="bridge")
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(*data)
    inside = model.module_labels_[:, None] == model.module_labels_
    assert (model.node_weights_[inside] != 0).mean() > 0.5
    assert model.score(*data) > 0.7
