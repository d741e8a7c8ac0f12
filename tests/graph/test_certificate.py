"""How far outputs can move with inputs, proved from the weights."""

import itertools

import numpy as np
import pytest
import torch

from sknm.graph.certificate import Gains, System, least
from sknm.graph.equilibrium import solve
from sknm.graph.problem import SolverOptions
from sknm.graph.topology import Topology

EXACT = SolverOptions("auto", 1e-13, 1e-13, 2000)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def guarded(rng, n, margin=0.3, size=1.0):
    """Weights of one cyclic block with a margin."""
    W = size * rng.normal(size=(n, n))
    np.fill_diagonal(W, 0)
    S = (W + W.T) / 2
    values, vectors = np.linalg.eigh(S)
    W -= (vectors * np.maximum(values - (1 - margin), 0)) @ vectors.T
    np.fill_diagonal(W, 0)
    top = np.linalg.eigvalsh((W + W.T) / 2)[-1]
    return W * min(1, (1 - margin) / top)


def gains_of(W, U, V, **kinds):
    system = System.of(W, U, V, Topology(W != 0), **kinds)
    return Gains(system, np.eye(V.shape[1]))


def bound(W, U, V, **kinds):
    return least(gains_of(W, U, V, **kinds).of(np.eye(V.shape[1])))


def outputs(W, U, V, b, x, sigma="relu"):
    a = torch.from_numpy(x @ U + b)
    z = solve(a, torch.from_numpy(W), Topology(W != 0), sigma, EXACT).value
    return z.numpy() @ V


def test_of_one_node_the_bound_is_exact():
    U, V = np.array([[3.0], [4.0]]), np.array([[2.0]])
    found = bound(np.zeros((1, 1)), U, V)
    assert found[0] == pytest.approx(10, rel=1e-3)


def test_of_a_linear_network_the_bound_is_exact(rng):
    W, U, V = guarded(rng, 6), rng.normal(size=(4, 6)), rng.normal(size=(6, 2))
    gains = gains_of(W, U, V, is_linear=True)
    J = U @ np.linalg.inv(np.eye(6) - W) @ V
    expected = np.linalg.norm(J, axis=0)
    np.testing.assert_allclose(least(gains.of(np.eye(2))), expected)
    assert gains.jointly()["exact"] == pytest.approx(np.linalg.norm(J, 2))
    x = J[:, 0] / expected[0]  # the direction in which most changes
    moved = outputs(W, U, V, 0, np.stack([x, 0 * x]), "identity")
    assert abs(moved[0] - moved[1])[0] == pytest.approx(expected[0])


@pytest.mark.parametrize("kind", ["cyclic", "acyclic", "mixed"])
@pytest.mark.parametrize("n_nodes", [2, 3])
def test_no_two_points_of_a_grid_break_the_bound(n_nodes, kind):
    rng = np.random.default_rng(n_nodes)
    grid = np.array(list(itertools.product(np.linspace(-2, 2, 15), repeat=2)))
    ratios = []
    for _ in range(4):
        W = guarded(rng, n_nodes, size=2.0)
        if kind == "acyclic":
            W = np.triu(3 * W)
        elif kind == "mixed":
            W[-1, :-1] = 0
        U, V, b = (rng.normal(size=s) for s in [(2, n_nodes), (n_nodes, 1), n_nodes])
        y = outputs(W, U, V, b, grid)[:, 0]
        distances = np.linalg.norm(grid[:, None] - grid, axis=2)
        np.fill_diagonal(distances, np.inf)
        largest = (abs(y[:, None] - y) / distances).max()
        (found,) = bound(W, U, V)
        assert largest <= found * (1 + 1e-9)
        ratios.append(found / largest)
    assert min(ratios) < 1.6  # some inputs come close


def test_bounds_scale_with_the_weights_of_both_ends(rng):
    W, U, V = guarded(rng, 8), rng.normal(size=(3, 8)), rng.normal(size=(8, 1))
    found = bound(W, U, V)
    np.testing.assert_allclose(bound(W, 3 * U, V), 3 * found, rtol=1e-3)
    np.testing.assert_allclose(bound(W, U, 5 * V), 5 * found, rtol=1e-3)
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    np.testing.assert_allclose(bound(W, turned @ U, V), found, rtol=1e-3)
    np.testing.assert_allclose(bound(W / 4, U, V / 4, slope=4), found, rtol=1e-3)


def test_gentle_activations_have_smaller_bounds(rng):
    W, U, V = guarded(rng, 8), rng.normal(size=(3, 8)), rng.normal(size=(8, 1))
    assert bound(W, U, V, slope=0.25) < bound(W, U, V) / 3


def test_blocks_in_a_row_have_a_bound_though_together_they_have_no_margin(rng):
    W, k = np.zeros((6, 6)), 3
    W[:k, :k], W[k:, k:] = guarded(rng, k), guarded(rng, k)
    W[:k, k:] = 5 * rng.normal(size=(k, k))
    assert np.linalg.eigvalsh((W + W.T) / 2)[-1] > 1
    U, V = rng.normal(size=(2, 6)), rng.normal(size=(6, 1))
    gains = gains_of(W, U, V)
    found = gains.of(np.eye(1))
    assert found["multipliers"] < found["norms"] < np.inf
    x = rng.normal(size=(300, 2)) * rng.exponential(size=(300, 1))
    y = outputs(W, U, V, rng.normal(size=6), x)[:, 0]
    distances = np.linalg.norm(x[:, None] - x, axis=2) + np.eye(300)
    assert (abs(y[:, None] - y) <= found["multipliers"] * distances).all()


def test_modules_are_bounded_jointly_at_most_by_the_sum(rng):
    blocks = [guarded(rng, 4), guarded(rng, 5)]
    W = np.zeros((9, 9))
    W[:4, :4], W[4:, 4:] = blocks
    U, V = rng.normal(size=(3, 9)), rng.normal(size=(9, 1))
    own = slice(4), slice(4, 9)
    apart = [bound(b, U[:, s], V[s])[0] for b, s in zip(blocks, own, strict=True)]
    assert max(apart) < bound(W, U, V)[0] < sum(apart)


def test_of_one_block_norms_give_the_known_bound(rng):
    W, U, V = guarded(rng, 7), rng.normal(size=(3, 7)), rng.normal(size=(7, 1))
    margin = 1 - np.linalg.eigvalsh((W + W.T) / 2)[-1]
    expected = np.linalg.norm(U) * np.linalg.norm(V) / margin
    assert gains_of(W, U, V).of(np.eye(1))["norms"][0] == pytest.approx(expected)


def test_without_a_margin_nothing_is_bounded(rng):
    W = 5 * guarded(rng, 4)
    gains = gains_of(W, np.ones((2, 4)), np.ones((4, 1)))
    assert not gains.is_bounded
    assert np.isinf(least(gains.of(np.eye(1)))).all()
    assert gains.jointly() == {"norms": np.inf}


@pytest.mark.parametrize("is_cyclic", [True, False])
def test_outputs_are_off_by_no_more_than_residuals_say(is_cyclic, rng):
    W = guarded(rng, 6, size=2.0)
    W = W if is_cyclic else np.triu(W)
    U, V, b = rng.normal(size=(2, 6)), rng.normal(size=(6, 2)), rng.normal(size=6)
    x = rng.normal(size=(50, 2))
    y, per_error = outputs(W, U, V, b, x), gains_of(W, U, V).of_errors(np.eye(2))
    a = torch.from_numpy(x @ U + b)
    z = solve(a, torch.from_numpy(W), Topology(W != 0), "relu", EXACT).value.numpy()
    z = z + 0.1 * rng.normal(size=z.shape)
    residuals = np.linalg.norm(z - np.maximum(z @ W + x @ U + b, 0), axis=1)
    assert (abs(z @ V - y) <= per_error * residuals[:, None]).all()
