"""Thresholds and prices of Neural Modules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sknm.graph.topology import Topology
from sknm.plasticity.modules import (
    PENALTIES,
    ModulePenalty,
    admissible_merges,
    shrink,
    soft_threshold_,
)

GRID = torch.linspace(-6, 6, 4001, dtype=torch.float64)

sizes_of_weights = st.floats(-5, 5)
amounts = st.floats(0, 5)


@pytest.fixture
def three_modules():
    """Nodes 0-2 in a chain, 3 and 4 in a loop, 5 alone."""
    mask = np.zeros((6, 6), dtype=bool)
    mask[[0, 1, 3, 4], [1, 2, 4, 3]] = True
    return Topology(mask)


@pytest.fixture
def W():
    return torch.randn(
        6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


# Proximal steps


def soft_threshold(w, amount):
    found = w.clone()
    soft_threshold_(found, amount)
    return found


@settings(deadline=None)
@given(w=sizes_of_weights, amount=amounts)
def test_soft_threshold_minimises_its_objective(w, amount):
    def objective(v):
        return (w - v) ** 2 / 2 + amount * v.abs()

    found = soft_threshold(torch.tensor(w, dtype=torch.float64), amount)
    assert objective(found) <= objective(GRID).min() + 1e-12


@settings(deadline=None)
@given(amount=amounts)
def test_soft_threshold_takes_an_amount_for_each_weight(amount):
    found = soft_threshold(GRID, torch.full_like(GRID, amount))
    torch.testing.assert_close(found, soft_threshold(GRID, amount), rtol=0, atol=1e-12)


@settings(deadline=None)
@given(w=sizes_of_weights, amount=amounts)
def test_shrink_minimises_its_objective(w, amount):
    def objective(v):
        return (w - v) ** 2 / 2 + amount * v**2

    found = shrink(torch.tensor(w, dtype=torch.float64), amount)
    assert objective(found) <= objective(GRID).min() + 1e-12


@settings(deadline=None)
@given(w=sizes_of_weights, amount=amounts)
def test_soft_threshold_makes_exact_zeros(w, amount):
    found = soft_threshold(torch.tensor(w, dtype=torch.float64), amount).item()
    assert (found == 0) == (abs(w) <= amount)


@settings(deadline=None)
@given(step_size=st.floats(0, 1), strength=st.floats(0, 3), data=st.data())
def test_penalty_steps_are_the_minimisers(step_size, strength, data):
    kind = data.draw(st.sampled_from(PENALTIES))
    norm = data.draw(st.sampled_from(["l1", "l2"]))
    shape = data.draw(st.sampled_from([(1, 1), (1, 5), (5, 5)]))
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    prices = torch.rand(shape, generator=generator, dtype=torch.float64)
    squares = {"l1": False, "l2": True}.get(kind, norm == "l2")
    minimiser = shrink if squares else soft_threshold
    expected = minimiser(W, prices * step_size * strength)
    ModulePenalty(kind, strength, norm).apply(W, prices, step_size)
    torch.testing.assert_close(W, expected)


# Prices


def test_nm_price_is_the_share_of_nodes_in_the_module_of_the_target(three_modules):
    prices = ModulePenalty("nm", 1.0).prices(three_modules)
    row = [3 / 6, 3 / 6, 3 / 6, 2 / 6, 2 / 6, 1 / 6]
    np.testing.assert_allclose(np.broadcast_to(prices, (6, 6)), [row] * 6)


def test_nm_price_by_edges_is_the_number_of_edges_in_the_module(three_modules):
    prices = ModulePenalty("nm", 1.0, measure="edges").prices(three_modules)
    np.testing.assert_array_equal(prices, [[2, 2, 2, 2, 2, 0]])


def test_strong_modules_have_prices_of_their_own(three_modules):
    # Nodes 0, 1, 2 and 5 are on no cycle: each of them is a strong module.
    prices = ModulePenalty("nm", 1.0).prices(three_modules, "strong")
    np.testing.assert_allclose(prices, np.array([[1, 1, 1, 2, 2, 1]]) / 6)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_l1_and_l2_cost_the_same_everywhere(kind, three_modules):
    prices = ModulePenalty(kind, 1.0).prices(three_modules)
    np.testing.assert_array_equal(np.broadcast_to(prices, (6, 6)), np.ones((6, 6)))


def test_nm_pushes_larger_modules_harder(three_modules):
    penalty = ModulePenalty("nm", 1.0)
    W = torch.ones(6, 6, dtype=torch.float64)
    penalty.apply(W, torch.from_numpy(penalty.prices(three_modules)), 0.6)
    torch.testing.assert_close(
        W[0], torch.tensor([0.7, 0.7, 0.7, 0.8, 0.8, 0.9], dtype=W.dtype)
    )


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalty_without_strength_changes_nothing(kind, three_modules, W):
    penalty, before = ModulePenalty(kind, 0.0), W.clone()
    penalty.apply(W, torch.from_numpy(penalty.prices(three_modules)), 1.0)
    assert torch.equal(W, before)


# Merging


@st.composite
def merges(draw):
    labels = draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))
    labels = np.unique(labels, return_inverse=True)[1]
    module = st.integers(0, int(labels.max()))
    pairs = draw(st.lists(st.tuples(module, module), max_size=12))
    return labels, np.array(pairs, dtype=int).reshape(-1, 2)


@settings(deadline=None)
@given(drawn=merges(), limit=st.integers(0, 12))
def test_merges_never_make_a_module_larger_than_the_limit(drawn, limit):
    labels, pairs = drawn
    modules = [set(np.flatnonzero(labels == k)) for k in range(labels.max() + 1)]
    of_module = dict(enumerate(modules))
    expected = []
    for a, b in pairs.tolist():
        together = of_module[a] | of_module[b]
        if of_module[a] is not of_module[b] and len(together) <= limit:
            for k, nodes in of_module.items():
                if nodes <= together:
                    of_module[k] = together
        expected.append(of_module[a] is of_module[b])
    assert admissible_merges(labels, pairs, limit) == expected


def test_first_pairs_merge_first():
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    pairs = np.array([[0, 1], [1, 2], [2, 3], [1, 0]])
    assert admissible_merges(labels, pairs, 4) == [True, False, True, True]
    assert admissible_merges(labels, pairs, 3) == [False] * 4
    assert admissible_merges(labels, pairs, 8) == [True] * 4
