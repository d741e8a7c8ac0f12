"""How large the steps of parameters are."""

import pytest

from sknm.training.recipe import step_scale


@pytest.mark.parametrize(
    ("name", "fan_in", "scale"),
    [
        ("input_weights", 16, 1),
        ("input_weights", 64, 0.5),
        ("constraint_weights", 64, 0.5),
        ("output_weights", 400, 1),
        ("output_weights", 1600, 0.5),
        ("node_weights", 10**6, 1),
        ("node_biases", 10**6, 1),
    ],
)
def test_steps_shrink_as_what_they_add_up_to_grows(name, fan_in, scale):
    assert step_scale(name, fan_in) == scale
