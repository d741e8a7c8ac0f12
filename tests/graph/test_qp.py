"""The quadratic programmes of OptNet against other solvers, and their gradients."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from sknm.compute.parallel import Workers, open_workers
from sknm.graph import proxqp, qp
from sknm.graph.proxqp import import_proxsuite
from sknm.graph.qp import Programme, solve_programmes

N_ROWS = 12

# Nodes, constraints, least eigenvalue of Q, rank of G.
SHAPES = pytest.mark.parametrize(
    ("n", "m", "ridge", "rank"),
    [
        (1, 1, 1.0, 1),
        (5, 1, 0.1, 1),
        (8, 8, 0.1, 8),
        (8, 8, 1e-3, 8),
        (20, 5, 0.1, 5),
        (5, 40, 0.1, 5),
        (12, 24, 0.01, 6),
        (40, 40, 0.1, 40),
        (30, 90, 1e-3, 30),
    ],
)


def draw(n, m, ridge=0.1, rank=None, seed=0, slack=0.1, scale=1.0, n_rows=N_ROWS):
    """Return linear terms and a feasible programme."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    L = normal(n, n) / n**0.5
    Q = L @ L.T + ridge * torch.eye(n, dtype=torch.float64)
    rank = min(n, m) if rank is None else rank
    G = normal(m, rank) @ normal(rank, n) / (n * rank) ** 0.5
    h = G @ normal(n) + slack
    return scale * normal(n_rows, n), Q, G, h


def by_least_distance(a, Q, G, h):
    """Solve by Lawson & Hanson's reduction to non-negative least squares."""
    L = np.linalg.cholesky(Q.numpy())
    solutions = []
    for row in a.numpy():
        # With u = Lᵀz - L⁻¹a: the least |u| subject to -G L⁻ᵀ u >= G Q⁻¹ a - h.
        shift = np.linalg.solve(L, row)
        E = -np.linalg.solve(L, G.numpy().T).T
        f = -E @ shift - h.numpy()
        system = np.vstack([E.T, f])
        target = np.zeros(len(system))
        target[-1] = 1
        weights, _ = nnls(system, target, maxiter=100 * len(f))
        residual = system @ weights - target
        u = -residual[:-1] / residual[-1]
        solutions.append(np.linalg.solve(L.T, u + shift))
    return torch.from_numpy(np.array(solutions))


def assert_optimal(a, Q, G, h, solution, multipliers):
    """Check the conditions of Karush, Kuhn and Tucker."""
    z = solution.value
    slack = h - z @ G.T
    assert slack.min() >= -1e-6
    assert multipliers.min() >= 0
    assert (multipliers * slack).abs().max() <= 1e-6 * max(1, multipliers.max())
    assert (z @ Q - a + multipliers @ G).abs().max() <= 1e-6
    assert solution.converged.all()
    assert solution.residual <= 1e-6


@SHAPES
@pytest.mark.parametrize("seed", range(3))
def test_solution_is_that_of_scipy(n, m, ridge, rank, seed):
    a, Q, G, h = draw(n, m, ridge, rank, seed)
    solution = solve_programmes(a, Programme(Q, G, h))
    expected = by_least_distance(a, Q, G, h)
    assert (solution.value - expected).abs().max() < 1e-6 * (1 + expected.abs().max())


@SHAPES
def test_solution_is_that_of_proxsuite(n, m, ridge, rank):
    pytest.importorskip("proxsuite")
    a, Q, G, h = draw(n, m, ridge, rank)
    ours = solve_programmes(a, Programme(Q, G, h))
    theirs = solve_programmes(a, Programme(Q, G, h), "proxqp")
    assert theirs.converged.all()
    size = 1 + theirs.value.abs().max()
    assert (ours.value - theirs.value).abs().max() < 1e-6 * size


@pytest.mark.parametrize("scale", [1e-3, 1e3, 1e7])
@pytest.mark.parametrize("solver", ["admm", "proxqp"])
def test_accuracy_is_relative_to_the_size_of_the_programme(solver, scale):
    if solver == "proxqp":
        pytest.importorskip("proxsuite")
    a, Q, G, h = draw(20, 20)
    solution = solve_programmes(scale * a, Programme(Q, G, scale * h), solver)
    expected = scale * solve_programmes(a, Programme(Q, G, h)).value
    assert solution.converged.all()
    assert solution.n_iter < 100
    assert (solution.value - expected).abs().max() < 1e-6 * max(1, scale)


def test_proxsuite_gives_up_where_nothing_helps():
    pytest.importorskip("proxsuite")
    # Bounds that are nothing next to the linear terms, and more of them than nodes.
    a, Q, G, h = draw(5, 40, scale=1e7)
    solution = solve_programmes(a, Programme(Q, G, h), "proxqp")
    assert solution.n_iter <= proxqp.OUTER_STEPS * (proxqp.INNER_STEPS + 1)
    z = solution.value
    broken = (z @ G.T - h).amax(1)
    assert not solution.converged[broken > 1].any()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 15),
    m=st.integers(1, 30),
    ridge=st.sampled_from([1.0, 0.1, 1e-2]),
    slack=st.sampled_from([1e-3, 0.1, 2.0]),
    scale=st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0]),
    repeated=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_conditions_of_optimality_hold(n, m, ridge, slack, scale, repeated, seed):
    a, Q, G, h = draw(n, m, ridge, seed=seed, slack=slack, scale=scale)
    if repeated:  # dependent constraints, and one that says nothing
        G, h = torch.cat([G, G, 0 * G[:1]]), torch.cat([h, h, h.new_ones(1)])
    programme = Programme(Q, G, h)
    passing = qp._Pass(programme, "admm", Workers())
    passing.run(a)
    size = max(1.0, float(a.abs().max()))
    z, multipliers = passing.found.value, passing.multipliers
    assert passing.found.converged.all()
    violations = programme.violations(a, z, multipliers)
    assert violations.max() <= 1e-6 + 1e-9 * size
    assert passing.found.residual == violations.max()


@SHAPES
def test_every_condition_is_fulfilled(n, m, ridge, rank):
    a, Q, G, h = draw(n, m, ridge, rank, seed=7, n_rows=100)
    passing = qp._Pass(Programme(Q, G, h), "admm", Workers())
    passing.run(a)
    assert_optimal(a, Q, G, h, passing.found, passing.multipliers)


def test_rectifiers_are_a_special_case():
    a = torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).double()
    eye = torch.eye(6, dtype=torch.float64)
    solution = solve_programmes(a, Programme(eye, -eye, torch.zeros(6).double()))
    torch.testing.assert_close(solution.value, a.relu(), atol=1e-8, rtol=0)


def test_without_active_constraints_it_is_a_linear_system():
    a, Q, G, h = draw(6, 4)
    solution = solve_programmes(a, Programme(Q, G, h + 1e3))
    expected = torch.linalg.solve(Q, a.T).T
    torch.testing.assert_close(solution.value, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("solver", ["admm", "proxqp"])
@pytest.mark.parametrize(("n", "m"), [(4, 3), (3, 6), (6, 6)])
def test_gradient_is_that_of_finite_differences(solver, n, m):
    if solver == "proxqp":
        pytest.importorskip("proxsuite")
    a, Q, G, h = draw(n, m, ridge=0.5, n_rows=4)
    L = torch.linalg.cholesky(Q)

    def values(a, L, G, h):
        return solve_programmes(a, Programme(L @ L.mT, G, h), solver).value

    inputs = tuple(t.clone().requires_grad_() for t in (a, L, G, h))
    assert torch.autograd.gradcheck(values, inputs, eps=1e-5, atol=1e-5, rtol=1e-5)


def test_only_asked_for_gradients_are_needed():
    a, Q, G, h = draw(5, 5)
    a.requires_grad_()
    solve_programmes(a, Programme(Q, G, h)).value.sum().backward()
    assert a.grad.shape == a.shape
    assert Q.grad is None


def test_hard_programmes_are_finished_by_a_line_search():
    # Many more constraints than nodes: the first active sets are of little use.
    a, Q, G, h = draw(20, 200, n_rows=30)
    solution = solve_programmes(a, Programme(Q, G, h))
    assert solution.n_iter > qp.FURTHER_SPLITTINGS
    assert solution.converged.all()


def values_and_gradients(tensors, workers=None):
    inputs = [t.clone().requires_grad_() for t in tensors]
    solution = solve_programmes(inputs[0], Programme(*inputs[1:]), workers=workers)
    return solution, torch.autograd.grad(solution.value.square().sum(), inputs)


@pytest.fixture
def small_parts(monkeypatch):
    """Three rows are enough for a part; the line search begins early."""
    monkeypatch.setattr(qp, "FURTHER_SPLITTINGS", 50)
    monkeypatch.setattr(qp, "LEAST_ROWS", 3)
    monkeypatch.setattr(qp, "PART_PRODUCTS", 1)


@pytest.mark.parametrize(("name", "value"), [("MEMORY", 200), ("LEAST_ROWS", 3)])
def test_chunks_give_the_same_as_the_whole(name, value, monkeypatch):
    tensors = draw(10, 10, n_rows=50)
    expected, gradients = values_and_gradients(tensors)
    monkeypatch.setattr(qp, "PART_PRODUCTS", 1)
    monkeypatch.setattr(qp, name, value)
    found, chunked = values_and_gradients(tensors)
    torch.testing.assert_close(found.value, expected.value, atol=1e-9, rtol=1e-9)
    for ours, theirs in zip(chunked, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-8)
    assert found.converged.shape == (50,)


@pytest.mark.parametrize("n_jobs", [2, 3, 8])
@pytest.mark.parametrize("m", [10, 60])  # of which the second needs a line search
@pytest.mark.usefixtures("small_parts", "always_share", "nothing_is_left")
def test_workers_do_not_change_a_bit(n_jobs, m):
    tensors = draw(10, m, n_rows=12)
    alone, gradients = values_and_gradients(tensors)
    assert (alone.n_iter > qp.FURTHER_SPLITTINGS) == (m == 60)
    with open_workers(n_jobs) as workers:
        found, shared = values_and_gradients(tensors, workers)
    assert torch.equal(found.value, alone.value)
    assert torch.equal(found.converged, alone.converged)
    assert (found.n_iter, found.residual) == (alone.n_iter, alone.residual)
    assert all(map(torch.equal, shared, gradients))


def test_what_is_not_solved_is_told(monkeypatch):
    a, Q, G, h = draw(10, 10)
    monkeypatch.setattr(qp, "SPLITTINGS", 1)
    monkeypatch.setattr(qp, "FURTHER_SPLITTINGS", 1)
    monkeypatch.setattr(qp, "PIVOTS", 0)
    monkeypatch.setattr(qp, "SEARCHES", 0)
    solution = solve_programmes(a, Programme(Q, G, h))
    assert not solution.converged.all()
    assert solution.residual > 1e-3


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e6])
def test_length_of_normals_makes_no_difference(size):
    a, Q, G, h = draw(6, 9)
    solution = solve_programmes(a, Programme(Q, size * G, size * h + (size == 0)))
    assert solution.converged.all()
    if size:
        expected = solve_programmes(a, Programme(Q, G, h)).value
    else:
        expected = torch.linalg.solve(Q, a.T).T
    torch.testing.assert_close(solution.value, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("spoilt", [0, 1, 2])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_no_number_gives_none(spoilt, value):
    a, *matrices = draw(4, 4)
    matrices[spoilt] = torch.full_like(matrices[spoilt], value)
    inputs = [t.requires_grad_() for t in (a, *matrices)]
    solution = solve_programmes(inputs[0], Programme(*inputs[1:]))
    if not (spoilt == 2 and value == torch.inf):  # which is no constraint at all
        assert not solution.converged.any()
    solution.value.sum().backward()


def test_no_rows_no_work():
    a, Q, G, h = draw(4, 4)
    solution = solve_programmes(a[:0], Programme(Q, G, h))
    assert solution.value.shape == (0, 4)
    assert solution.residual == 0


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "proxsuite", None)
    with pytest.raises(ImportError, match=r"pip install 'sknm\[optnet\]', or use solv"):
        import_proxsuite()
