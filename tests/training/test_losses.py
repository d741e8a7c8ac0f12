"""Losses against torch's own, and their gradients against finite differences."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from sknm.training.losses import CrossEntropy, SquaredError

N_ROWS, N_CLASSES = 6, 4
SMOOTHINGS = pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
WEIGHTED = pytest.mark.parametrize("is_weighted", [False, True])


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def codes():
    return torch.arange(N_ROWS) % N_CLASSES


def row_weights(is_weighted):
    if not is_weighted:
        return None
    weights = draw(N_ROWS, seed=2).abs()
    return weights / weights.mean()


@SMOOTHINGS
def test_cross_entropy_is_that_of_torch(smoothing):
    logits, y = draw(N_ROWS, N_CLASSES), codes()
    found = CrossEntropy(smoothing)(logits, y, None)
    torch.testing.assert_close(
        found, F.cross_entropy(logits, y, label_smoothing=smoothing)
    )


@SMOOTHINGS
def test_weighted_cross_entropy_is_the_weighted_mean_of_the_rows(smoothing):
    logits, y, weights = draw(N_ROWS, N_CLASSES), codes(), row_weights(True)
    rows = F.cross_entropy(logits, y, label_smoothing=smoothing, reduction="none")
    found = CrossEntropy(smoothing)(logits, y, weights)
    torch.testing.assert_close(found, (rows * weights).mean())


@SMOOTHINGS
@WEIGHTED
def test_gradient_of_the_cross_entropy_is_that_of_finite_differences(
    smoothing, is_weighted
):
    loss, weights = CrossEntropy(smoothing), row_weights(is_weighted)
    logits = draw(N_ROWS, N_CLASSES).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: 3 * loss(x, codes(), weights), logits)


def test_cross_entropy_of_huge_logits_is_finite():
    logits = torch.tensor([[1e30, -1e30], [-1e30, 1e30]], requires_grad=True)
    loss = CrossEntropy()(logits, torch.tensor([0, 1]), None)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_row_with_a_weight_of_two_counts_like_two_rows():
    logits, y = draw(3, N_CLASSES), codes()[:3]
    twice = torch.tensor([0, 1, 1, 2])
    weights = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    for loss, targets in [(CrossEntropy(0.1), y), (SquaredError(), draw(3, 4, seed=1))]:
        expected = loss(logits[twice], targets[twice], None)
        found = loss(logits, targets, weights / weights.mean())
        torch.testing.assert_close(found, expected)


def test_squared_error_is_half_that_of_torch():
    outputs, y = draw(N_ROWS, 2), draw(N_ROWS, 2, seed=1)
    torch.testing.assert_close(
        SquaredError()(outputs, y, None), F.mse_loss(outputs, y) / 2
    )


@WEIGHTED
def test_gradient_of_the_squared_error_is_that_of_finite_differences(is_weighted):
    y, weights = draw(N_ROWS, 2, seed=1), row_weights(is_weighted)
    outputs = draw(N_ROWS, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: SquaredError()(x, y, weights), outputs)


@pytest.mark.parametrize("loss", [CrossEntropy(0.3), SquaredError()], ids=repr)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))]
)
def test_copies_are_the_same_loss(loss, copied):
    other = copied(loss)
    assert type(other) is type(loss)
    y = codes() if isinstance(loss, CrossEntropy) else draw(N_ROWS, N_CLASSES, seed=1)
    logits = draw(N_ROWS, N_CLASSES)
    assert torch.equal(other(logits, y, None), loss(logits, y, None))


def test_pickles_hold_what_the_loss_is_made_of():
    assert CrossEntropy(0.3).__reduce__() == (CrossEntropy, (0.3,))
    assert SquaredError().__reduce__() == (SquaredError, ())
