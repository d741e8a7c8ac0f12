"""Weights of nodes by which gains are bounded."""

import numpy as np
import pytest

from sknm.graph.multipliers import find_multipliers, largest_eigenvalues


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_system(rng, n=5, d=3, k=2):
    """A graph whose symmetric part is at most 0.7."""
    W = rng.normal(size=(n, n))
    np.fill_diagonal(W, 0)
    W *= 0.7 / np.linalg.eigvalsh((W + W.T) / 2)[-1]
    return W, rng.normal(size=(d, n)), rng.normal(size=(n, k))


def test_eigenvalues_of_a_sum_with_a_dyad(rng):
    diagonals, w = rng.random((6, 4)), rng.normal(size=(6, 4))
    w[0] = 0
    w[1, 2:] = 0
    diagonals[2] = 0.5  # all alike
    found = largest_eigenvalues(diagonals, w**2)
    pairs = zip(diagonals, w, strict=True)
    expected = [np.linalg.eigvalsh(np.diag(a) + np.outer(v, v))[-1] for a, v in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_inequality_holds_for_all_differences(seed):
    rng = np.random.default_rng(seed)
    W, U, V = random_system(rng)
    weights = find_multipliers(W, U, V, [np.ones(5)])
    gains, joint = weights.gains(U, V), weights.joint_gain(U, V)
    assert (gains <= joint * (1 + 1e-9)).all()
    for _ in range(500):
        slopes = np.diag(rng.integers(0, 2, 5) if rng.random() < 0.5 else rng.random(5))
        J = U @ slopes @ np.linalg.inv(np.eye(5) - W @ slopes) @ V
        assert np.linalg.norm(J, 2) <= joint
        assert (np.linalg.norm(J, axis=0) <= gains).all()


def test_the_descent_does_not_end_above_its_start(rng):
    W, U, V = random_system(rng, 30, 10, 3)
    found = find_multipliers(W, U, V, [np.ones(30)]).joint_gain(U, V)
    S = np.linalg.eigvalsh((W + W.T) / 2)[-1]
    simple = np.linalg.norm(U, 2) * np.linalg.norm(V, 2) / (1 - S)
    assert found < 0.8 * simple


def test_a_graph_that_no_proposal_proves_has_none(rng):
    W, U, V = random_system(rng)
    assert find_multipliers(3 * W, U, V, [np.ones(5)]) is None
