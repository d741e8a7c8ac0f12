"""OptNet's graph: a programme that always has one minimum."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.programme import FIRST_SLACK, RIDGE, ProgrammeState
from sknm.graph.qp import solve_programmes

COPIED = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))],
    ids=["deepcopy", "pickle"],
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def make(n_nodes=5, n_constraints=7, seed=0):
    return ProgrammeState(
        draw(n_nodes, n_nodes, seed=seed),
        draw(n_nodes, seed=seed + 1),
        draw(n_nodes, n_constraints, seed=seed + 2),
    )


def is_same(found, expected):
    tensors = dict(found.named_parameters())
    named = expected.named_parameters()
    return all(torch.equal(tensors[k], p) for k, p in named)


@given(seed=st.integers(0, 50), n_constraints=st.integers(1, 12))
def test_programme_is_strictly_convex_and_feasible(seed, n_constraints):
    graph = make(n_constraints=n_constraints, seed=seed)
    graph.feasible_point.data.copy_(draw(5, seed=seed + 3))
    graph.constraint_slack.data.copy_(draw(n_constraints, seed=seed + 4) * 5)
    with torch.no_grad():
        programme = graph.programme()
        room = programme.h - graph.feasible_point @ graph.constraint_weights
    assert torch.linalg.eigvalsh(programme.Q).min() >= RIDGE - 1e-9
    torch.testing.assert_close(programme.Q, programme.Q.mT)
    assert (room > 0).all()


def test_constraints_have_the_same_small_room_at_first():
    graph = make()
    h = graph.programme().h
    torch.testing.assert_close(h, torch.full((7,), FIRST_SLACK).double())
    assert not graph.feasible_point.any()


def test_all_is_in_double_precision():
    graph = make()
    assert {p.dtype for p in graph.parameters()} == {torch.float64}
    assert torch.equal(graph.weights, draw(5, 5).double())


def test_every_parameter_is_in_one_group_and_weights_alone_have_a_ridge():
    graph = make()
    ridges = {p: group.ridge for group in graph.groups() for p in group.params}
    expected = {graph.weights: 1, graph.constraint_weights: 1, graph.biases: 0}
    expected |= {graph.feasible_point: 0, graph.constraint_slack: 0}
    assert ridges == expected
    assert len(list(graph.parameters())) == len(expected)


@pytest.mark.parametrize(("n_nodes", "scale"), [(4, 1), (16, 1), (64, 0.5)])
def test_steps_of_constraints_shrink_with_their_nodes(n_nodes, scale):
    graph = make(n_nodes)
    scales = {p: group.step_scale for group in graph.groups() for p in group.params}
    assert scales.pop(graph.constraint_weights) == scale
    assert set(scales.values()) == {1}


def test_weights_are_shown_as_those_of_an_equation():
    # z = P(zW + a): the slope of the objective is z(I - W) - a.
    graph = make()
    W = graph.show()
    np.testing.assert_allclose(np.eye(5) - W, graph.programme().Q.detach())
    np.testing.assert_array_equal(W, W.T)
    np.testing.assert_array_equal(graph.show_biases(), graph.biases.detach())


def test_programme_comes_back_bit_for_bit():
    graph = make()
    snapshot = graph.snapshot()
    for p in graph.parameters():
        p.data += 1
    assert graph.restore(snapshot)
    assert is_same(graph, make())
    assert graph.is_whole


def test_nothing_is_dropped_of_a_programme():
    graph = make()
    graph.sparsify(ACTIVATIONS["relu"])
    graph.move("cpu:0")
    assert is_same(graph, make())


@COPIED
def test_copies_have_the_same_minimum_and_share_nothing(copied):
    graph = make()
    graph.feasible_point.data += 0.5
    other = copied(graph)
    assert is_same(other, graph)
    a = draw(3, 5).double()
    with torch.no_grad():
        found, expected = (
            solve_programmes(a, each.programme(), "admm").value
            for each in (other, graph)
        )
    assert torch.equal(found, expected)
    assert all(p.requires_grad for p in other.parameters())
    before = graph.snapshot().parameters
    for p in other.parameters():
        p.data += 1
    for name, p in graph.named_parameters():
        assert torch.equal(p, before[name])


def test_programme_takes_hardly_more_than_its_weights():
    graph = make(60, 80)
    n_numbers = sum(p.numel() for p in graph.parameters())
    assert len(pickle.dumps(graph)) <= 1.1 * 8 * n_numbers
