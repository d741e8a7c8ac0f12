"""Gradients of the solve: exact, and for as many weights as are asked for."""

import pytest
import torch
from torch.autograd import gradcheck

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import solve
from sknm.graph.plan import Plan
from sknm.graph.solvers import SOLVERS, SolverOptions
from sknm.graph.topology import Topology

PROXIMAL = [name for name, sigma in ACTIVATIONS.items() if sigma.proximal]
NAMES = ["auto", *SOLVERS]
EXACT = SolverOptions("auto", 1e-12, 1e-12, max_iter=2000)


def exact(name):
    return SolverOptions(name, 1e-12, 1e-12, max_iter=2000)


def gradients(a, W, topology, activation="tanh", **kwargs):
    """Values, and gradients of a weighted sum of them with respect to a and W."""
    a, W = a.clone().requires_grad_(), W.clone().requires_grad_()
    z = solve(a, W, topology, activation, EXACT, **kwargs).value
    g = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).view_as(z)
    return z.detach(), *torch.autograd.grad(z, (a, W), g)


# Exact


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", PROXIMAL)
def test_gradient_is_that_of_finite_differences(
    topology, activation, name, make_weights, make_inputs
):
    # Picard iteration is only promised to converge for contractions.
    stability = "contraction" if name == "picard" else "monotone"
    W = make_weights(topology, stability).requires_grad_()
    a = make_inputs(topology.n_nodes).requires_grad_()
    plan = Plan(topology, W)

    def value(a, W):
        return solve(a, W, plan, activation, exact(name)).value

    assert gradcheck(value, (a, W), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_an_activation_that_is_not_proximal(
    acyclic, name, make_weights, make_inputs
):
    W = make_weights(acyclic).requires_grad_()
    a = make_inputs(acyclic.n_nodes).requires_grad_()

    def value(a, W):
        return solve(a, W, acyclic, "squared_relu", exact(name)).value

    assert gradcheck(value, (a, W), fast_mode=True)


def test_every_single_derivative_is_that_of_finite_differences(
    topology, make_weights, make_inputs
):
    W = make_weights(topology).requires_grad_()
    a = make_inputs(topology.n_nodes, 2).requires_grad_()
    plan = Plan(topology, W)

    def value(a, W):
        return solve(a, W, plan, "relu", EXACT).value

    assert gradcheck(value, (a, W))


@pytest.mark.sweep(2)
@pytest.mark.parametrize("activation", PROXIMAL)
def test_implicit_gradient_is_that_of_the_unrolled_iteration(
    topology, activation, make_weights, make_inputs
):
    W = make_weights(topology, "contraction", margin=0.2).requires_grad_()
    a = make_inputs(topology.n_nodes).requires_grad_()
    mask = torch.from_numpy(topology.to_dense())
    z = torch.zeros_like(a)
    for _ in range(200):
        z = ACTIVATIONS[activation].value(z @ (W * mask) + a)
    found = solve(a, W, topology, activation, EXACT).value
    g = make_inputs(topology.n_nodes, seed=4)
    torch.testing.assert_close(found, z, rtol=1e-9, atol=1e-9)
    for ours, unrolled in zip(
        torch.autograd.grad(found, (a, W), g),
        torch.autograd.grad(z, (a, W), g),
        strict=True,
    ):
        torch.testing.assert_close(ours, unrolled, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "newton"])
def test_all_solvers_give_the_gradient_of_newton(
    cyclic, name, make_weights, make_inputs
):
    found = []
    for solver in (name, "newton"):
        stability = "contraction" if name == "picard" else "monotone"
        W = make_weights(cyclic, stability).requires_grad_()
        a = make_inputs(cyclic.n_nodes).requires_grad_()
        solve(a, W, cyclic, "elu", exact(solver)).value.square().sum().backward()
        found.append((a.grad, W.grad))
    for ours, newtons in zip(*found, strict=True):
        torch.testing.assert_close(ours, newtons, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("wanted", ["a", "W"])
def test_only_the_gradient_that_is_wanted_is_computed(
    topology, wanted, make_weights, make_inputs
):
    a, W = make_inputs(topology.n_nodes), make_weights(topology)
    arguments = {"a": a, "W": W}
    both = dict(zip("aW", gradients(a, W, topology)[1:], strict=True))
    x = arguments[wanted] = arguments[wanted].requires_grad_()
    z = solve(**arguments, topology=topology, activation="tanh", options=EXACT).value
    g = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).view_as(z)
    torch.testing.assert_close(torch.autograd.grad(z, x, g)[0], both[wanted])


# For which weights


def test_gradient_of_all_edges_is_the_product_of_values_and_adjoint(
    topology, make_weights, make_inputs
):
    a, W = make_inputs(topology.n_nodes), make_weights(topology)
    z, delta, dW = gradients(a, W, topology, gradient="all")
    # dW = zᵀ δ, for edges that exist and for those that don't (NM eq. 3).
    torch.testing.assert_close(dW, (z.T @ delta).fill_diagonal_(0))


def test_gradient_of_a_missing_edge_is_what_adding_it_would_bring(
    make_weights, make_inputs
):
    topology = Topology.modular([3, 3])
    a, W = make_inputs(6), make_weights(topology)
    with_edge = topology.to_dense()
    with_edge[0, 4] = True
    *_, dW = gradients(a, W, topology, gradient="all")
    *_, there = gradients(a, W, Topology(with_edge))
    assert abs(dW[0, 4]) > 1e-3
    torch.testing.assert_close(dW[0, 4], there[0, 4])


def test_gradient_of_edges_leaves_out_those_that_are_missing(
    topology, make_weights, make_inputs
):
    a, W = make_inputs(topology.n_nodes), make_weights(topology)
    mask = torch.from_numpy(topology.to_dense())
    *_, every = gradients(a, W, topology, gradient="all")
    *_, existing = gradients(a, W, topology, gradient="edges")
    torch.testing.assert_close(existing, every * mask)
