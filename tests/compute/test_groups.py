"""How far weights are moved that lead to the same place."""

import pytest
import torch

from sknm.compute.groups import ParameterGroup, step_share


@pytest.mark.parametrize(
    ("full_step_edges", "fan_in", "share"),
    [(16, 1, 1), (16, 16, 1), (16, 64, 0.5), (16, 1600, 0.1), (400, 1600, 0.5)],
)
def test_steps_shrink_as_what_they_add_up_to_grows(full_step_edges, fan_in, share):
    assert step_share(full_step_edges, fan_in) == share


def test_parameters_are_treated_like_all_unless_their_group_says_more():
    group = ParameterGroup([torch.zeros(2)])
    assert (group.step_scale, group.decay, group.ridge) == (1, 1, 1)
    assert not group.is_variable
    assert group.held is None
