"""Solvers of blocks: all find the same, and all are honest about what they found."""

import pytest
import torch

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import solve
from sknm.graph.solvers import (
    SOLVERS,
    Problem,
    SolverOptions,
    refine_reflection,
    reflection,
    solve_blocks,
)
from sknm.graph.topology import Topology

PROXIMAL = [name for name, sigma in ACTIVATIONS.items() if sigma.proximal]
NAMES = ["auto", *SOLVERS]
OTHERS = [name for name in NAMES if name != "newton"]
EXACT = {"atol": 1e-12, "rtol": 1e-12, "max_iter": 2000}


def make_problem(a, W, activation="relu"):
    """One block; `a` has a row for each sample."""
    return Problem(ACTIVATIONS[activation], a.t()[None].contiguous(), W[None])


def residuals(solution, a, W, activation="relu"):
    """``|z - σ(zW + a)|`` of each sample of a solution of one block."""
    z = solution.value[0].t()
    return (z - ACTIVATIONS[activation].value(z @ W + a)).abs().amax(1)


def doubling(n_nodes=3):
    """A graph in which ReLU nodes that get something positive grow without end."""
    return torch.full((n_nodes, n_nodes), 2.0, dtype=torch.float64).fill_diagonal_(0)


# What they find


@pytest.mark.sweep(3)
@pytest.mark.parametrize("activation", PROXIMAL)
@pytest.mark.parametrize("name", OTHERS)
def test_all_solvers_agree_with_newton(
    cyclic, name, activation, make_weights, make_inputs
):
    # Picard iteration is only promised to converge for contractions.
    W = make_weights(cyclic, "contraction" if name == "picard" else "monotone")
    a = make_inputs(len(W))
    found = solve(a, W, cyclic, activation, SolverOptions(name, **EXACT))
    newton = solve(a, W, cyclic, activation, SolverOptions("newton", **EXACT))
    assert found.converged.all()
    assert newton.converged.all()
    torch.testing.assert_close(found.value, newton.value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", PROXIMAL)
def test_newton_solves_the_equation(cyclic, activation, make_weights, make_inputs):
    W, a = make_weights(cyclic), make_inputs(cyclic.n_nodes)
    z = solve(a, W, cyclic, activation, SolverOptions("newton", **EXACT)).value
    expected = ACTIVATIONS[activation].value(z @ W + a)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_solution_of_a_linear_graph_is_a_linear_solve(name, make_weights, make_inputs):
    W, a = make_weights(Topology.complete(5), "contraction"), make_inputs(5)
    _, solution = solve_blocks(
        make_problem(a, W, "identity"), SolverOptions(name, **EXACT)
    )
    expected = torch.linalg.solve(torch.eye(5, dtype=a.dtype) - W, a, left=False)
    torch.testing.assert_close(solution.value[0].t(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_preactivations_give_the_values(name, make_weights, make_inputs):
    W, a = make_weights(Topology.complete(5), "contraction"), make_inputs(5)
    u, solution = solve_blocks(make_problem(a, W, "tanh"), SolverOptions(name, **EXACT))
    torch.testing.assert_close(torch.tanh(u), solution.value)
    torch.testing.assert_close(u[0].t(), solution.value[0].t() @ W + a)


@pytest.mark.parametrize("name", NAMES)
def test_problem_is_not_changed(name, make_weights, make_inputs):
    W, a = make_weights(Topology.complete(5), "contraction"), make_inputs(5)
    problem = make_problem(a, W)
    before = problem.a.clone(), problem.W.clone()
    solve_blocks(problem, SolverOptions(name))
    assert torch.equal(problem.a, before[0])
    assert torch.equal(problem.W, before[1])


# What they report


@pytest.mark.parametrize("name", NAMES)
def test_residual_is_the_largest_distance_from_the_equation(
    name, make_weights, make_inputs
):
    W, a = make_weights(Topology.complete(5)), make_inputs(5)
    problem = make_problem(a, W, "tanh")
    _, solution = solve_blocks(problem, SolverOptions(name, 0.0, 0.0, max_iter=3))
    expected = residuals(solution, a, W, "tanh").max().item()
    assert solution.residual == pytest.approx(expected, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("name", ["picard", "peaceman_rachford", "anderson"])
def test_solver_that_did_not_converge_says_so(name, make_inputs):
    W, a = doubling(), make_inputs(3).abs()
    _, solution = solve_blocks(make_problem(a, W), SolverOptions(name, max_iter=10))
    assert not solution.converged.any()
    assert solution.n_iter == 10
    assert solution.residual == pytest.approx(residuals(solution, a, W).max().item())
    assert solution.residual > 1


@pytest.mark.parametrize("name", NAMES)
def test_each_sample_is_judged_for_itself(name):
    # Nothing enters the second sample, so that zero is its solution from the start.
    a = torch.tensor([[1.0, 1, 1], [-1, -1, -1]], dtype=torch.float64)
    _, solution = solve_blocks(
        make_problem(a, doubling()), SolverOptions(name, max_iter=10)
    )
    open_ = residuals(solution, a, doubling()) > 1e-4
    assert torch.equal(solution.converged, ~open_)
    assert solution.converged[1]


@pytest.mark.parametrize("max_iter", [5, 8])
def test_samples_that_settle_early_leave_the_others_honest(max_iter):
    a = -torch.ones(10, 3, dtype=torch.float64)
    a[0] = 1
    _, solution = solve_blocks(
        make_problem(a, doubling()),
        SolverOptions("peaceman_rachford", 0, 1e-9, max_iter),
    )
    assert solution.converged.tolist() == [False] + 9 * [True]
    assert solution.n_iter == max_iter


def test_growth_without_end_is_not_converged():
    a = torch.ones(2, 3, dtype=torch.float64)
    _, solution = solve_blocks(
        make_problem(a, doubling()), SolverOptions("picard", max_iter=2000)
    )
    assert not solution.converged.any()
    assert not solution.residual <= 1


def test_auto_finishes_stragglers_by_newton(make_weights, make_inputs):
    W, a = make_weights(Topology.complete(6)), make_inputs(6, 20)
    short = {"atol": 1e-12, "rtol": 1e-12, "max_iter": 6}
    problem = make_problem(a, W, "tanh")
    _, unfinished = solve_blocks(problem, SolverOptions("peaceman_rachford", **short))
    _, finished = solve_blocks(problem, SolverOptions("auto", **short))
    assert not unfinished.converged.all()
    assert finished.converged.all()
    assert finished.residual <= 1e-11
    assert finished.n_iter > 6


def test_auto_tells_when_there_is_no_solution():
    a = torch.ones(2, 3, dtype=torch.float64)
    _, solution = solve_blocks(make_problem(a, doubling()), SolverOptions("auto"))
    assert not solution.converged.any()
    assert not solution.residual <= 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_unverified_solve_gives_no_residual_but_a_good_value(
    name, make_weights, make_inputs
):
    W, a = make_weights(Topology.complete(5), "contraction"), make_inputs(5)
    problem = make_problem(a, W, "tanh")
    _, loose = solve_blocks(problem, SolverOptions(name, 0.0, 1e-6, 500, verify=False))
    _, exact = solve_blocks(problem, SolverOptions("newton", **EXACT))
    assert loose.residual != loose.residual
    assert loose.converged.all()
    torch.testing.assert_close(loose.value, exact.value, rtol=1e-4, atol=1e-5)


def test_unverified_solve_that_came_to_its_limit_says_so():
    a = torch.ones(2, 3, dtype=torch.float64)
    options = SolverOptions("picard", 0.0, 1e-6, 10, verify=False)
    _, solution = solve_blocks(make_problem(a, doubling()), options)
    assert not solution.converged.any()


def test_unverified_growth_without_end_is_not_converged():
    a = torch.ones(2, 3, dtype=torch.float64)
    options = SolverOptions("picard", 0.0, 1e-6, 2000, verify=False)
    _, solution = solve_blocks(make_problem(a, doubling()), options)
    assert not solution.converged.any()


# Reflections


def test_reflection_is_its_definition(make_weights):
    W = torch.stack([make_weights(Topology.complete(5), seed=k) for k in range(3)])
    eye = torch.eye(5, dtype=W.dtype)
    expected = 2 * torch.linalg.inv(2 * eye - W) - eye
    torch.testing.assert_close(reflection(W), expected)


def test_refining_a_reflection_squares_its_error(make_weights, make_inputs):
    W = make_weights(Topology.complete(5))[None]
    near = W + 0.05 * make_inputs(5, 5)
    refined, defect = refine_reflection(reflection(near), W)
    _, remaining = refine_reflection(refined, W)
    assert 0.01 < defect.norm() < 1
    torch.testing.assert_close(remaining, defect @ defect, rtol=1e-9, atol=1e-12)


def test_defect_of_an_exact_reflection_is_zero(make_weights):
    W = make_weights(Topology.complete(5))[None]
    refined, defect = refine_reflection(reflection(W), W)
    assert defect.abs().max() < 1e-13
    torch.testing.assert_close(refined, reflection(W))
