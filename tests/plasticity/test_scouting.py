"""What is found before training is there, and what is not there is not found."""

import numpy as np
import pytest
import torch

from sknm.datasets import make_planted_modules
from sknm.plasticity.scouting import Hinges, Scouted, scout
from sknm.training.losses import CrossEntropy, SquaredError


def residual_of(loss):
    def residual(outputs, y):
        outputs = outputs.detach().requires_grad_()
        with torch.enable_grad():
            total = loss(outputs, y, None) * len(y)
        return torch.autograd.grad(total, outputs)[0]

    return residual


def look(X, y, *, columns=None, weights=None, rate=0.05):
    """Scout numbers (n_samples, n_inputs), given classes or numbers."""
    is_class = np.asarray(y).dtype.kind == "i"
    targets = torch.as_tensor(y) if is_class else torch.as_tensor(y)[:, None]
    rows = Scouted(
        torch.as_tensor(X),
        targets,
        torch.ones(len(X)).double() if weights is None else torch.as_tensor(weights),
        np.arange(X.shape[1]) if columns is None else np.asarray(columns),
        int(max(y)) + 1 if is_class else 1,
    )
    loss = CrossEntropy(0.1) if is_class else SquaredError()
    return scout(rows, residual_of(loss), rate, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_classes", [None, 3], ids=["numbers", "classes"])
@pytest.mark.parametrize("seed", [0, 1])
def test_groups_are_found_and_useless_features_are_not(n_classes, seed):
    X, y, groups = make_planted_modules(4000, n_classes=n_classes, random_state=seed)
    found = look(X, y / y.std() if n_classes is None else y)
    of_use = np.concatenate(groups)
    useless = np.setdiff1d(np.arange(X.shape[1]), of_use)
    assert found.useful[of_use].mean() > 0.9
    assert found.useful[useless].mean() <= 0.2
    assert not found.together[useless][:, of_use].any()
    same = np.zeros(found.together.shape, dtype=bool)
    for group in groups:
        same[np.ix_(group, group)] = True
    others = ~same
    others[useless] = others[:, useless] = False
    np.fill_diagonal(same, False)
    assert found.together[same].mean() > 0.6
    assert found.together[others].mean() < 0.1


def test_noise_tells_nothing():
    rng = np.random.default_rng(0)
    found = [
        look(rng.normal(size=(300, 10)), rng.integers(0, 3, 300)) for _ in range(20)
    ]
    assert sum(affinity is not None for affinity in found) <= 4


def test_features_that_tell_only_together_are_found():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 6))
    found = look(X, (X[:, 1] * X[:, 4] > 0).astype(int))
    assert found.useful.tolist() == [False, True, False, False, True, False]
    assert found.together[1, 4]
    assert found.together[4, 1]


@pytest.mark.parametrize(
    "function", [np.abs, np.square, np.cos], ids=lambda f: f.__name__
)
def test_even_functions_are_found(function):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5))
    y = function(X[:, 2]) - function(X[:, 2]).mean()
    assert look(X, y).useful.tolist() == [False, False, True, False, False]


def test_inputs_of_a_column_are_one():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 4, 800)
    X = np.column_stack([np.eye(4)[level] - 0.25, rng.normal(size=(800, 3))])
    y = (level >= 2).astype(int)
    found = look(X, y, columns=[0, 0, 0, 0, 1, 2, 3])
    assert found.useful.tolist() == [True, False, False, False]


def test_weights_of_rows_are_repetition():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(size=200) > 1).astype(int)
    counts = rng.integers(0, 4, 200)
    weighted = look(X, y, weights=counts * (200 / counts.sum()))
    n = counts.sum()
    repeated = look(X.repeat(counts, 0), y.repeat(counts), weights=np.full(n, 200 / n))
    np.testing.assert_array_equal(weighted.useful, repeated.useful)
    np.testing.assert_array_equal(weighted.together, repeated.together)


def test_functions_have_mean_zero_and_deviation_one():
    x = torch.randn(3000, 3) * torch.tensor([1.0, 5.0, 0.0])
    f = Hinges(x, torch.ones(3000))(x)
    torch.testing.assert_close(f.mean(0), torch.zeros(3, 8), atol=1e-4, rtol=0)
    squares = f[:, :2].square().mean(0)
    torch.testing.assert_close(squares, torch.ones(2, 8), atol=1e-3, rtol=0)
    assert not f[:, 2].any()
