"""URN's recursion: equal to a literal loop, with exact gradients."""

import pytest
import torch
from torch.autograd import gradcheck

from sknm.compute.parallel import Workers, open_workers
from sknm.graph import recursion
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.recursion import Recursion, recur

N_INPUTS, N_OUTPUTS, N = 3, 2, 9
RELU = ACTIVATIONS["relu"]

STEPS = pytest.mark.parametrize("n_steps", [1, 2, 3, 5])
ROLES = pytest.mark.parametrize("hidden", [slice(0, N), slice(3, N), slice(3, 7)])


def draw(seed=0, density=1.0):
    """Inputs, weights and biases of a small network."""
    generator = torch.Generator().manual_seed(seed)
    x, W, b = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in [(6, N_INPUTS), (N, N), (N,)]
    )
    W /= N**0.5
    return x, W * (torch.rand(N, N, generator=generator) < density), b


def cleared(W, b, hidden):
    """Take out what the roles say is not there."""
    W, b = W.clone(), b.clone()
    W[:, : hidden.start], b[: hidden.start] = 0, 0
    W[hidden.stop :] = 0
    return W, b


def literal(x, W, b, n_steps, sigma):
    """Values after each step of the recursion, and what the outputs are read from."""
    states = [torch.zeros(len(x), len(W), dtype=x.dtype)]
    states[0][:, :N_INPUTS] = x
    for _ in range(n_steps):
        u = states[-1] @ W + b
        states.append(sigma.value(u))
    return states, u[:, -N_OUTPUTS:]


@STEPS
@ROLES
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_recursion_is_the_literal_loop(n_steps, hidden, name):
    sigma = ACTIVATIONS[name]
    if hidden.start and sigma.value(torch.zeros(1)).item() != 0:
        pytest.skip("its neurons are never silent: features stay what they are")
    x, W, b = draw()
    W, b = cleared(W, b, hidden)
    states, expected = literal(x, W, b, n_steps, sigma)
    outputs, rows, neurons = recur(x, W, b, N_OUTPUTS, n_steps, sigma, hidden)
    torch.testing.assert_close(outputs, expected)
    size = sum((N[:, hidden].abs() for N in states[1:-1]), torch.zeros(6, 1))
    torch.testing.assert_close(rows, size.sum(1), check_dtype=False)
    if n_steps > 1:
        torch.testing.assert_close(neurons, size.sum(0), check_dtype=False)


@STEPS
@ROLES
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("has_dropout", [False, True])
def test_gradient_is_that_of_finite_differences(n_steps, hidden, name, has_dropout):
    tensors = [t.requires_grad_() for t in draw()]
    factors = None
    if has_dropout:
        factors = torch.linspace(0, 2, len(range(N)[hidden]), dtype=torch.float64)

    def value(x, W, b):
        sigma = ACTIVATIONS[name]
        outputs, rows, _ = recur(x, W, b, N_OUTPUTS, n_steps, sigma, hidden, factors)
        return (outputs, rows) if n_steps > 1 else outputs

    assert gradcheck(value, tensors, fast_mode=True)


@STEPS
def test_dropout_leaves_out_what_outputs_read(n_steps):
    x, W, b = draw()
    factors = torch.arange(N, dtype=torch.float64) % 2
    found, *_ = recur(x, W, b, N_OUTPUTS, n_steps, RELU, slice(0, N), factors)
    states, expected = literal(x, W, b, n_steps, RELU)
    if n_steps > 1:
        expected = (states[-2] * factors @ W + b)[:, -N_OUTPUTS:]
    torch.testing.assert_close(found, expected)


@STEPS
@pytest.mark.parametrize("density", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", ["relu", "sigmoid"])
def test_computing_only_what_is_needed_changes_nothing(n_steps, density, name):
    sigma = ACTIVATIONS[name]
    for seed in range(10):
        x, W, b = draw(seed, density)
        whole = Recursion.whole(N, N_INPUTS, N_OUTPUTS, n_steps)
        plan = whole.settled((W != 0).numpy(), W.device)
        _, expected = literal(x, W, b, n_steps, sigma)
        for p in whole, plan:
            found = p.run(x, p.steps(W, b), sigma, Workers())
            torch.testing.assert_close(found, expected)
        used = W * plan.used(W)
        torch.testing.assert_close(literal(x, used, b, n_steps, sigma)[1], expected)


# Parts


def values_and_gradients(n_steps, factors, workers):
    x, W, b = (t.requires_grad_() for t in draw(density=0.7))
    outputs, rows, neurons = recur(
        x, W, b, N_OUTPUTS, n_steps, RELU, slice(0, N), factors, workers
    )
    loss = outputs.square().sum() + rows.mean()
    predictions = Recursion.whole(N, N_INPUTS, N_OUTPUTS, n_steps)
    with torch.no_grad():
        y = predictions.run(x, predictions.steps(W, b), RELU, workers)
    return outputs, rows, neurons, y, *torch.autograd.grad(loss, (x, W, b))


@pytest.fixture
def small_parts(monkeypatch):
    """Two neurons are enough for a part."""
    monkeypatch.setattr(recursion, "LEAST_NEURONS", 2)
    monkeypatch.setattr(recursion, "PART_PRODUCTS", 1)
    monkeypatch.setattr(recursion, "UNIT", 1)


@STEPS
@pytest.mark.parametrize("factors", [None, torch.arange(N).double() % 2])
def test_parts_do_not_change_results(n_steps, factors, request):
    together = values_and_gradients(n_steps, factors, Workers())
    request.getfixturevalue("small_parts")
    apart = values_and_gradients(n_steps, factors, Workers())
    torch.testing.assert_close(apart, together)


@STEPS
@pytest.mark.parametrize("n_jobs", [2, 3, 8])
@pytest.mark.usefixtures("small_parts", "always_share", "nothing_is_left")
def test_workers_do_not_change_a_bit(n_steps, n_jobs):
    alone = values_and_gradients(n_steps, None, Workers())
    with open_workers(n_jobs) as workers:
        shared = values_and_gradients(n_steps, None, workers)
    assert all(map(torch.equal, shared, alone))
