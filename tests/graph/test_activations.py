"""Activations: values, slopes, and the claim to be a proximal operator."""

import pytest
import torch

from sknm.graph.activations import ACTIVATIONS, Gate

NAMES = list(ACTIVATIONS)
PROXIMAL = [name for name in NAMES if ACTIVATIONS[name].proximal]


def grid(dtype=torch.float64):
    """From far left to far right, without the kinks at zero."""
    far = torch.tensor([1e2, 1e3], dtype=dtype)
    near = torch.linspace(-5, 5, 400, dtype=dtype)
    return torch.cat([-far, near, far])


def test_design_names_are_offered():
    promised = "relu leaky_relu tanh sigmoid softplus elu identity squared_relu"
    assert set(NAMES) == set(promised.split())
    assert all(ACTIVATIONS[name].name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_the_derivative_of_the_value(name):
    u = grid().requires_grad_()
    ACTIVATIONS[name].value(u).sum().backward()
    torch.testing.assert_close(
        ACTIVATIONS[name].slope(u.detach()), u.grad, rtol=1e-12, atol=1e-8
    )


@pytest.mark.parametrize(
    ("name", "left"), [("relu", 0), ("leaky_relu", 0.01), ("squared_relu", 0)]
)
def test_slope_at_the_kink_is_the_one_on_its_left(name, left):
    zero = torch.zeros(1, dtype=torch.float64)
    assert ACTIVATIONS[name].slope(zero).item() == left


@pytest.mark.parametrize("name", PROXIMAL)
def test_proximal_slopes_lie_between_0_and_1(name):
    slope = ACTIVATIONS[name].slope(grid())
    assert slope.min() >= 0
    assert slope.max() <= 1


@pytest.mark.parametrize("name", PROXIMAL)
def test_proximal_values_rise_and_never_faster_than_their_argument(name):
    u = grid().sort().values
    rise = ACTIVATIONS[name].value(u).diff()
    assert (rise >= 0).all()
    assert (rise <= u.diff() * (1 + 1e-12)).all()


def test_squared_relu_does_not_claim_to_be_proximal():
    squared = ACTIVATIONS["squared_relu"]
    assert not squared.proximal
    assert squared.slope(grid()).max() > 1


@pytest.mark.parametrize("name", NAMES)
def test_reflection_is_twice_the_value_less_the_argument(name):
    activation, u = ACTIVATIONS[name], grid()
    expected = 2 * activation.value(u) - u
    out = torch.empty_like(u)
    assert activation.reflect(u, out=out) is out
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(activation.reflect(u), expected)


@pytest.mark.parametrize("name", NAMES)
def test_argument_is_neither_changed_nor_shared(name):
    activation, u = ACTIVATIONS[name], grid()
    before = u.clone()
    for found in (activation.value(u), activation.slope(u), activation.reflect(u)):
        found.fill_(7)
    assert torch.equal(u, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_floating_type_is_kept(name, dtype):
    activation, u = ACTIVATIONS[name], grid(dtype)
    assert activation.value(u).dtype == dtype
    assert activation.slope(u).dtype == dtype
    assert activation.reflect(u).dtype == dtype


def test_gate_multiplies_by_its_slopes(make_inputs):
    D, v = make_inputs(4).sigmoid(), make_inputs(4, seed=2)
    gate = Gate(D)
    assert torch.equal(gate.value(v), D * v)
    assert torch.equal(gate.slope(v), D)
    torch.testing.assert_close(gate.reflect(v), 2 * D * v - v)


def test_rows_of_a_gate_have_the_slopes_of_these_samples(make_inputs):
    D, v = make_inputs(4).sigmoid(), make_inputs(4, seed=2)
    assert torch.equal(Gate(D).rows([2, 0]).value(v[[2, 0]]), (D * v)[[2, 0]])
