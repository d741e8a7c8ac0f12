"""Edges from inputs come and go, and are what they were after a copy."""

import copy
import pickle

import numpy as np
import pytest
import torch

from sknm.graph.entries import Entries

LINKS = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]], dtype=bool)


@pytest.fixture
def entries():
    made = Entries(torch.arange(1.0, 13).reshape(4, 3), [0, 0, 1, 2])
    made.group.step_scale = 0.25
    return made


def test_all_edges_exist_at_first(entries):
    assert entries.links is None
    assert entries.group.held is None
    assert entries.present.all()


def test_edges_that_go_have_no_weight_and_are_left_alone(entries):
    entries.adopt(LINKS)
    np.testing.assert_array_equal(entries.weights.detach() != 0, LINKS)
    np.testing.assert_array_equal(entries.group.held, ~LINKS)
    before = entries.weights.detach().clone()
    entries.adopt(np.ones_like(LINKS))
    assert entries.links is None
    assert entries.group.held is None
    torch.testing.assert_close(entries.weights.detach(), before)


def test_columns_enter_where_one_of_their_inputs_does(entries):
    entries.adopt(LINKS)
    expected = [[True, True, True], [False, False, False], [True, True, True]]
    assert entries.by_columns().tolist() == expected
    assert entries.n_columns == 3


def test_inputs_of_several_columns_are_columns_of_their_own():
    entries = Entries(torch.zeros(4, 2), [1, -1, 0, -1])
    assert entries.columns.tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize("links", [None, LINKS], ids=["all", "some"])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda entries: pickle.loads(pickle.dumps(entries))]
)
def test_copies_are_the_same(entries, links, copied):
    entries.adopt(links)
    entries.novelty = 0.5
    other = copied(entries)
    torch.testing.assert_close(other.weights, entries.weights)
    np.testing.assert_array_equal(other.present, entries.present)
    np.testing.assert_array_equal(other.columns, entries.columns)
    assert (other.group.step_scale, other.novelty) == (0.25, 0.5)


def test_absent_edges_take_no_memory():
    entries = Entries(torch.ones(300, 300))
    whole = len(pickle.dumps(entries))
    links = np.zeros((300, 300), dtype=bool)
    links[0] = True
    entries.adopt(links)
    assert len(pickle.dumps(entries)) < whole / 10
