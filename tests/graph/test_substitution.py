"""Few edges between components, multiplied one by one, against blocks of them."""

import pytest
import torch

from sknm.graph import plan as plans
from sknm.graph.equilibrium import solve
from sknm.graph.plan import Plan
from sknm.graph.problem import SolverOptions
from sknm.graph.substitution import Joins, Links

EXACT = SolverOptions("auto", 1e-12, 1e-12, max_iter=2000)


def values_and_gradients(a, W, topology):
    a, W = a.clone().requires_grad_(), W.clone().requires_grad_()
    plan = Plan(topology, W)
    found = solve(a, W, plan, "tanh", EXACT)
    return found.value, *torch.autograd.grad(found.value.square().sum(), (a, W))


@pytest.fixture
def one_by_one(monkeypatch):
    monkeypatch.setattr(plans, "LEAST_LINKED", 0)
    monkeypatch.setattr(plans, "MOST_LINKS", 100)


@pytest.mark.usefixtures("one_by_one")
def test_links_give_what_blocks_give(topology, make_weights, make_inputs, monkeypatch):
    W, a = make_weights(topology), make_inputs(topology.n_nodes)
    assert Plan(topology, W).links is not None
    linked = values_and_gradients(a, W, topology)
    monkeypatch.setattr(plans, "MOST_LINKS", -1)
    assert Plan(topology, W).links is None
    for ours, theirs in zip(linked, values_and_gradients(a, W, topology), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("one_by_one")
def test_links_are_used_where_there_are_few(cyclic, make_weights):
    W = make_weights(cyclic)
    assert isinstance(Joins.of(Plan(cyclic, W), W), Links)


def test_small_graphs_keep_blocks(cyclic, make_weights):
    W = make_weights(cyclic)
    assert type(Joins.of(Plan(cyclic, W), W)) is Joins
