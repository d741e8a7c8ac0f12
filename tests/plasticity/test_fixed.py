"""Edges that stay as they are: how they start, and how they are trained."""

import numpy as np
import pytest
import torch

from sknm import (
    DAGClassifier,
    DAGRegressor,
    FeedForwardClassifier,
    FeedForwardRegressor,
    FreeNetClassifier,
    FreeNetRegressor,
)
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.draw import draw_edges, random_part, restraint
from sknm.graph.equilibrium import solve
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule, NoRule
from sknm.plasticity.rule import Change, Epoch, Step


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Training


def graph_of(W, topology):
    """A graph whose weights are W itself."""
    return EquationState(W, torch.zeros(len(W)), topology)


@pytest.mark.parametrize("decay", [0, 0.1])
def test_absent_edges_stay_zero_while_the_others_are_trained(decay):
    topology = random_part(Topology.triangular(8), 0.5, seeded())
    absent = torch.from_numpy(~topology.to_dense())
    graph = graph_of(torch.randn(8, 8, generator=seeded()), topology)
    W, rule = graph.weights, FixedRule()
    first = W.detach().clone()
    rule.start(graph)
    optimizer = torch.optim.SGD([W], lr=0.1, momentum=0.9, weight_decay=decay)
    x = torch.randn(20, 8, generator=seeded(1))
    for _ in range(10):
        z = solve(x, W, graph.plan, gradient=graph.trained).value
        optimizer.zero_grad()
        ((z - 1) ** 2).mean().backward()
        optimizer.step()
        rule.step(graph, Step(0.1))
    rule.end(graph)
    assert graph.topology == topology
    assert not W[absent].any()
    assert (W[~absent] != first[~absent]).sum() > 5


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_no_optimizer_makes_edges_between_other_layers(overlapping, optimizer):
    model = FeedForwardClassifier(
        hidden_layer_sizes=(5, 4, 3), optimizer=optimizer, max_iter=3, random_state=0
    ).fit(*overlapping)
    W = model.net_.module_.graph.weights.detach().numpy()
    assert np.array_equal(W != 0, Topology.layered([5, 4, 3]).to_dense())


def test_start_cuts_the_weights_of_absent_edges():
    W = torch.ones(5, 5)
    FixedRule().start(graph_of(W, Topology.layered([2, 3])))
    assert np.array_equal(W.numpy(), Topology.layered([2, 3]).to_dense())


@pytest.mark.parametrize(
    ("n_sources", "expected"), [(1, 1), (16, 1), (64, 1 / 2), (144, 1 / 3)]
)
def test_nodes_with_many_edges_get_smaller_steps(n_sources, expected):
    n = n_sources + 2
    graph = graph_of(torch.ones(n, n), Topology.layered([n_sources, 2]))
    FixedRule(full_step_edges=16).start(graph)
    assert graph.group.step_scale == pytest.approx(expected)


def test_graph_without_edges_gets_whole_steps():
    graph = graph_of(torch.ones(4, 4), Topology.layered([4]))
    FixedRule().start(graph)
    assert graph.group.step_scale == 1


def test_nothing_happens_to_the_edges():
    graph, rule = graph_of(torch.ones(5, 5), Topology.layered([2, 3])), FixedRule()
    plan = graph.plan
    rule.start(graph)
    rule.step(graph, Step(0.1))
    change = rule.epoch(graph, Epoch(1))
    rule.end(graph)
    assert graph.plan is plan
    assert graph.trained == "edges"
    assert graph.log == []
    assert change == Change(summary="6 edges")


def test_no_rule_has_all_weights_trained():
    graph, rule = graph_of(torch.ones(3, 3), Topology.layered([3])), NoRule(0.3)
    rule.start(graph)
    assert (graph.trained, graph.group.step_scale) == ("all", 0.3)
    assert rule.epoch(graph, Epoch(1)) == Change()


# Chains of squares


def standardised_normal(n_rows=200, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, 5))


def heavy_tailed(n_rows=400):
    """Standardised rows, some of them more than ten standard deviations away."""
    X = np.random.default_rng(0).standard_t(2, size=(n_rows, 5))
    return (X - X.mean(0)) / X.std(0)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_only_long_chains_of_squares_are_restrained(activation):
    is_square = activation == "squared_relu"
    for n_nodes in (1, 8, 16, 400):
        share = restraint(n_nodes, activation)
        assert share == (min(1, 8 / n_nodes) if is_square else 1)
    assert restraint(2, activation, full_levels=2) == 1
    share = restraint(10, activation, full_levels=2)
    assert share == (0.2 if is_square else 1)


@pytest.mark.parametrize(
    "topology", [Topology.triangular(12), Topology.layered([2, 9, 3])]
)
def test_restraint_makes_start_and_steps_smaller(topology):
    whole, small = (draw_edges(topology, seeded(), share) for share in (1, 0.2))
    np.testing.assert_allclose(small, 0.04 * whole, rtol=1e-5)
    graph = graph_of(whole, topology)
    steps = []
    for share in (1, 0.2):
        FixedRule(restraint=share).start(graph)
        steps.append(graph.group.step_scale)
    assert steps[1] == pytest.approx(0.2 * steps[0])


@pytest.mark.parametrize(
    ("n_nodes", "max_iter", "dtype"),
    [(20, 60, np.float32), (50, 30, np.float64), (400, 20, np.float32)],
)
@pytest.mark.parametrize("estimator", [FreeNetRegressor, DAGRegressor])
def test_squares_fit_new_rows_at_any_size(estimator, n_nodes, max_iter, dtype):
    X, X_new = (standardised_normal(seed=k).astype(dtype) for k in (0, 1))
    model = estimator(
        n_nodes, activation="squared_relu", max_iter=max_iter, random_state=0
    )
    model.fit(X, X[:, 0] ** 2)
    inside = (abs(X_new) <= abs(X).max(0)).all(1)
    assert model.score(X_new[inside], X_new[inside, 0] ** 2) > 0.9


@pytest.mark.parametrize("n_layers", [3, 10])
@pytest.mark.parametrize("width", [5, 40])
def test_many_layers_of_squares_stay_finite(width, n_layers):
    X = standardised_normal()
    model = FeedForwardRegressor(
        hidden_layer_sizes=(width,) * n_layers,
        activation="squared_relu",
        max_iter=30,
        random_state=0,
    ).fit(X, X[:, 0] ** 2)
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("n_nodes", [20, 100])
@pytest.mark.parametrize(
    "estimator", [FreeNetClassifier, DAGClassifier, FeedForwardClassifier]
)
def test_far_rows_leave_squares_finite(estimator, n_nodes):
    X = heavy_tailed()
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = estimator(n_nodes, activation="squared_relu", max_iter=20, random_state=0)
    if estimator is FeedForwardClassifier:
        model.set_params(hidden_layer_sizes=(n_nodes // 10,) * 10)
    assert np.isfinite(model.fit(X, y).predict_proba(X)).all()
