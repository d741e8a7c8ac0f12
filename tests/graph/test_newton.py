"""Every solution that is guaranteed is found, however far W is from symmetric."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sknm.graph import newton
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import solve
from sknm.graph.problem import Problem, SolverOptions
from sknm.graph.solvers import solve_blocks
from sknm.graph.topology import Topology

PROXIMAL = [name for name, sigma in ACTIVATIONS.items() if sigma.proximal]
NAMES = ["auto", "newton"]
EXACT = {"atol": 1e-12, "rtol": 1e-12, "max_iter": 2000}

# What predictions ask for.
TOLERANCES = {torch.float32: (2e-5, 5e-6), torch.float64: (1e-9, 1e-9)}


def twisted(n_nodes, norm, limit=0.0, seed=0):
    """Weights far from symmetric: only their symmetric part stays below `limit`."""
    generator = torch.Generator().manual_seed(seed)
    A, S = torch.randn(2, n_nodes, n_nodes, generator=generator, dtype=torch.float64)
    skew, symmetric = A - A.T, (S + S.T).fill_diagonal_(0)
    skew = skew * norm / torch.linalg.matrix_norm(skew, 2)
    return skew + symmetric * limit / torch.linalg.eigvalsh(symmetric)[-1]


def entering(n_nodes, n_samples=50, *, scale=1.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n_samples, n_nodes, generator=generator, dtype=torch.float64)
    return scale * a


def make_problem(a, W, activation, dtype=torch.float64):
    """Blocks of the same size; `a` has a row for each sample."""
    a = a.t().expand(len(W), -1, -1)
    return Problem(ACTIVATIONS[activation], a.to(dtype).contiguous(), W.to(dtype))


def as_predictions(name, dtype=torch.float64):
    return SolverOptions(name, *TOLERANCES[dtype], max_iter=500, first_check=10)


# Guaranteed means found


@settings(max_examples=100, deadline=None)
@given(
    activation=st.sampled_from(PROXIMAL),
    name=st.sampled_from(NAMES),
    n_nodes=st.integers(2, 30),
    norm=st.sampled_from([1.0, 10.0, 100.0, 1000.0]),
    limit=st.sampled_from([0.0, 0.7, 0.95]),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 10**6),
)
def test_every_guaranteed_solution_is_found(
    activation, name, n_nodes, norm, limit, scale, seed
):
    W = twisted(n_nodes, norm, limit, seed)[None]
    a = entering(n_nodes, 10, scale=scale, seed=seed)
    _, solution = solve_blocks(make_problem(a, W, activation), as_predictions(name))
    assert solution.converged.all()
    z = solution.value[0].t()
    error = z - ACTIVATIONS[activation].value(z @ W[0] + a)
    assert error.abs().max() <= 1e-9 * (1 + z.abs().max())


@pytest.mark.sweep(2)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", PROXIMAL)
@pytest.mark.parametrize("name", NAMES)
def test_large_blocks_are_solved_in_both_precisions(name, activation, dtype):
    W, a = twisted(100, 100.0, 0.7)[None], entering(100, 10)
    problem = make_problem(a, W, activation, dtype)
    _, solution = solve_blocks(problem, as_predictions(name, dtype))
    assert solution.converged.all()
    _, exact = solve_blocks(make_problem(a, W, activation), as_predictions("newton"))
    # The solution is that much less certain than the residual is small.
    tolerance = 1e-7 if dtype == torch.float64 else 2e-3
    torch.testing.assert_close(
        solution.value.double(), exact.value, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("activation", PROXIMAL)
@pytest.mark.parametrize("name", NAMES)
def test_each_block_is_solved_whatever_the_others_need(name, activation):
    blocks = [(1.0, 0.9), (30.0, 0.0), (100.0, 0.7)]
    W = torch.stack([twisted(12, *block) for block in blocks])
    a = entering(12)
    _, together = solve_blocks(make_problem(a, W, activation), as_predictions(name))
    assert together.converged.all()
    for k in range(len(W)):
        alone = make_problem(a, W[k : k + 1], activation)
        _, solution = solve_blocks(alone, as_predictions(name))
        torch.testing.assert_close(
            together.value[k], solution.value[0], atol=1e-6, rtol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_zero_are_no_trap(name):
    # All nodes start on their kink.
    W = twisted(8, 100.0)[None]
    a = torch.cat([entering(8, 5).sign().clamp_min(0), torch.zeros(5, 8).double()])
    _, solution = solve_blocks(make_problem(a, W, "relu"), as_predictions(name))
    assert solution.converged.all()
    assert not solution.value[0, :, 5:].any()


@pytest.mark.sweep(2)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", PROXIMAL)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_far_from_symmetric_is_that_of_a_linear_solve(name, activation, dtype):
    n_nodes = 30
    W, a = twisted(n_nodes, 100.0, 0.7).to(dtype), entering(n_nodes).to(dtype)
    W.fill_diagonal_(0)
    a.requires_grad_()
    topology, options = Topology.complete(n_nodes), as_predictions(name, dtype)
    solution = solve(a, W, topology, activation, options)
    assert solution.converged.all()
    g = entering(n_nodes, seed=2)
    (found,) = torch.autograd.grad(solution.value, a, g.to(dtype))
    # dz (I - WD) = da D
    best = SolverOptions("newton", **EXACT)
    exact = solve(a.detach().double(), W.double(), topology, activation, best).value
    slope = ACTIVATIONS[activation].slope(exact @ W.double() + a.detach())
    left = torch.eye(n_nodes, dtype=g.dtype) - W.double() * slope[:, None]
    expected = slope * torch.linalg.solve(left, g[..., None])[..., 0]
    tolerance = (1e-6 if dtype == torch.float64 else 1e-3) * expected.abs().max()
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance.item())


# Where nothing is guaranteed


@pytest.mark.parametrize("activation", ["relu", "tanh", "squared_relu"])
def test_only_the_guarantee_promises_one_solution(activation):
    W, a = twisted(6, 100.0, 0.9)[None], entering(6)
    proximal = activation != "squared_relu"
    assert make_problem(a, W, activation).has_one_solution() == proximal
    assert not make_problem(a, W + 2, activation).has_one_solution()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", ["relu", "squared_relu"])
def test_no_row_without_a_solution_counts_as_solved(activation, name):
    W = torch.full((1, 3, 3), 2.0, dtype=torch.float64)
    a = torch.ones(4, 3, dtype=torch.float64)
    u, solution = solve_blocks(make_problem(a, W, activation), SolverOptions(name))
    assert not solution.converged.any()
    assert not solution.residual <= 1e-3
    assert u.shape == (1, 3, 4)


# How it gets there


def test_newton_in_several_chunks_finds_the_same(
    make_weights, make_inputs, monkeypatch
):
    W, a = make_weights(Topology.complete(5)), make_inputs(5, 7)
    options = SolverOptions("newton", **EXACT)
    _, at_once = solve_blocks(make_problem(a, W[None], "relu"), options)
    monkeypatch.setattr(newton, "NEWTON_MEMORY", 2 * W.numel())
    _, in_chunks = solve_blocks(make_problem(a, W[None], "relu"), options)
    torch.testing.assert_close(in_chunks.value, at_once.value, rtol=0, atol=1e-12)


def test_newton_needs_few_iterations(cyclic, make_weights, make_inputs):
    W, a = make_weights(cyclic), make_inputs(cyclic.n_nodes, 20)
    found = solve(a, W, cyclic, "relu", SolverOptions("newton", **EXACT))
    assert found.converged.all()
    assert found.n_iter <= 10
