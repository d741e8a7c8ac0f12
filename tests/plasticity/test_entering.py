"""Links start where scouting says, and wake for evidence only."""

import copy

import numpy as np
import pytest
import torch

from sknm.graph.entries import Affinity, Entries
from sknm.graph.trace import Ends, Flow
from sknm.plasticity.entering import (
    EnteringRule,
    Evidence,
    begin_with,
    links_of_units,
    start_links,
    wake,
)
from sknm.plasticity.fixed import FixedRule


def affinity_of(*groups, n_columns, useful=()):
    """Make columns of each group interact, and others useful alone."""
    together = np.zeros((n_columns, n_columns), dtype=bool)
    of_use = np.zeros(n_columns, dtype=bool)
    of_use[list(useful)] = True
    for group in groups:
        together[np.ix_(group, group)] = of_use[list(group)] = True
    np.fill_diagonal(together, of_use)
    return Affinity(of_use, together)


# How links start.


@pytest.mark.parametrize("n_units", [1, 2, 5, 16])
def test_every_useful_column_enters_and_no_other(n_units):
    affinity = affinity_of([0, 3], [1, 4, 5], n_columns=9, useful=[7])
    links = links_of_units(affinity, n_units)
    assert links.any(1).tolist() == affinity.useful.tolist()
    assert links.any(0).all()


@pytest.mark.parametrize("n_units", [3, 4, 12])
def test_units_hold_the_columns_that_interact(n_units):
    groups = [[0, 3], [1, 4, 5], [7]]
    links = links_of_units(affinity_of(*groups, n_columns=9), n_units)
    for unit in links.T:
        assert np.flatnonzero(unit).tolist() in groups


def test_columns_that_all_interact_enter_everything():
    assert links_of_units(affinity_of(range(6), n_columns=6), 4).all()


def test_what_enters_a_node_keeps_its_size():
    torch.manual_seed(0)
    entries = Entries(torch.randn(40, 30))
    entries.variances = np.ones(40)
    before = float(entries.weights.detach().square().sum(0).mean())
    present = np.zeros((40, 30), dtype=bool)
    present[:10] = True
    begin_with(entries, present)
    assert float(entries.weights.detach().square().sum(0).mean()) == pytest.approx(
        before, rel=0.2
    )
    np.testing.assert_array_equal(entries.weights.detach() != 0, present)


def test_nodes_of_a_unit_have_the_same_links():
    entries = Entries(torch.randn(4, 6), [0, 0, 1, 2])
    labels = np.array([0, 0, 1, 1, 2, 2])
    start_links(entries, affinity_of([0], [2], n_columns=3), labels)
    columns = entries.by_columns()
    np.testing.assert_array_equal(columns[:, ::2], columns[:, 1::2])
    assert not columns[1].any()


# How they wake.

N_ROWS, N_UNITS = 3000, 3


def observed(explained, weights=None, seed=0):
    """Entries with column 0 awake in unit 0, and what was seen of three columns.

    The errors of rows are the product of column 1 and of the nodes of unit 0, where
    `explained` is 1, and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    entries = Entries(torch.zeros(3, 6))
    labels = np.repeat(np.arange(N_UNITS), 2)
    present = np.zeros((3, 6), dtype=bool)
    present[0, :2] = present[1, 2:4] = present[2, 4:] = True
    entries.adopt(present)
    x = torch.randn(N_ROWS, 3, generator=generator)
    z = x.t()[labels].clamp_min(0)
    errors = torch.randn(N_ROWS, 1, generator=generator)
    errors += explained * x[:, 1:2] * z[0][:, None]
    errors /= N_ROWS
    ends = Ends(x, errors, errors.t().expand(6, -1))
    evidence = Evidence(1.0)
    evidence.add(Flow(z, torch.zeros(6, N_ROWS)), ends, weights, 6)
    return entries, evidence, labels


@pytest.mark.parametrize("seed", range(5))
def test_a_link_wakes_where_its_column_and_the_unit_act_together(seed):
    entries, evidence, labels = observed(1.0, seed=seed)
    before = entries.present.copy()
    wake(entries, evidence, labels, 0.05)
    came = entries.present & ~before
    assert came[1, :2].all()
    assert not entries.weights.detach()[came].any()


def test_nothing_wakes_without_evidence():
    n_woken = 0
    for seed in range(20):
        entries, evidence, labels = observed(0.0, seed=seed)
        before = entries.present.sum()
        wake(entries, evidence, labels, 0.05)
        n_woken += entries.present.sum() > before
    assert n_woken <= 5


def test_what_is_explained_has_a_price(monkeypatch):
    entries, evidence, labels = observed(1.0)
    monkeypatch.setattr("sknm.plasticity.entering.PRICE", 1.0)
    before = entries.present.copy()
    wake(entries, evidence, labels, 0.05)
    np.testing.assert_array_equal(entries.present, before)


def test_rows_without_weight_are_no_evidence():
    weights = torch.zeros(N_ROWS)
    weights[::2] = 2
    entries, evidence, labels = observed(1.0, weights)
    assert evidence.n_rows == N_ROWS
    wake(entries, evidence, labels, 0.05)
    assert entries.present[1, :2].all()


def test_rules_are_equal_by_what_they_do():
    rule = EnteringRule(FixedRule(), 0.05, "module")
    assert rule == EnteringRule(FixedRule(), 0.05, "module")
    assert rule != EnteringRule(FixedRule(), None, "module")
    assert rule != EnteringRule(FixedRule(3), 0.05, "module")
    assert copy.copy(rule) == rule
    assert copy.copy(rule).inner is not rule.inner
