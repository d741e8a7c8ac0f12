"""Losses against torch's own, and their gradients against finite differences."""

import copy
import pickle

import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
)
from torch.nn import functional as F

from sknm.training.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    GammaDeviance,
    HuberError,
    PoissonDeviance,
    QuantileError,
    SquaredError,
)

N_ROWS, N_CLASSES = 6, 4
OF_NUMBERS = [
    BinaryCrossEntropy(0.2),
    QuantileError(0.3),
    HuberError(0.7),
    PoissonDeviance(),
    GammaDeviance(),
]
EVERY_LOSS_OF_NUMBERS = pytest.mark.parametrize(
    "loss", OF_NUMBERS, ids=lambda loss: type(loss).__name__
)
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


def targets_of(loss):
    y = draw(N_ROWS, N_CLASSES, seed=1)
    if isinstance(loss, BinaryCrossEntropy):
        return (y > 0).double()
    return y.exp() if isinstance(loss, (PoissonDeviance, GammaDeviance)) else y


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
    pairs = [(CrossEntropy(0.1), y), (SquaredError(), draw(3, 4, seed=1))]
    pairs += [(loss, targets_of(loss)[:3]) for loss in OF_NUMBERS]
    for loss, targets in pairs:
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


@EVERY_LOSS_OF_NUMBERS
@WEIGHTED
def test_gradients_of_the_others_are_those_of_finite_differences(loss, is_weighted):
    y, weights = targets_of(loss), row_weights(is_weighted)
    outputs = draw(N_ROWS, N_CLASSES).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, y, weights), outputs)


@EVERY_LOSS_OF_NUMBERS
def test_weighted_losses_are_the_weighted_mean_of_the_rows(loss):
    outputs, y, weights = draw(N_ROWS, N_CLASSES), targets_of(loss), row_weights(True)
    rows = [loss(outputs[k : k + 1], y[k : k + 1], None) for k in range(N_ROWS)]
    found = loss(outputs, y, weights)
    torch.testing.assert_close(found, (torch.stack(rows) * weights).mean())


def test_losses_are_those_of_scikit_learn():
    o, y = draw(N_ROWS, N_CLASSES), draw(N_ROWS, N_CLASSES, seed=1).exp()
    flat = y.numpy().ravel(), o.numpy().ravel()
    means = flat[0], o.exp().numpy().ravel()
    pinball = mean_pinball_loss(*flat, alpha=0.3)
    assert QuantileError(0.3)(o, y, None).item() == pytest.approx(pinball)
    half = mean_absolute_error(*flat) / 2
    assert QuantileError()(o, y, None).item() == pytest.approx(half)
    half = mean_poisson_deviance(*means) / 2
    assert PoissonDeviance()(o, y, None).item() == pytest.approx(half)
    half = mean_gamma_deviance(*means) / 2
    assert GammaDeviance()(o, y, None).item() == pytest.approx(half)


def test_counts_of_zero_have_a_deviance():
    outputs = torch.zeros(1, 1, requires_grad=True)
    loss = PoissonDeviance()(outputs, torch.zeros(1, 1), None)
    loss.backward()
    assert loss == outputs.grad == 1


def test_amounts_of_next_to_nothing_have_a_finite_deviance():
    loss = GammaDeviance()(torch.zeros(1, 1), torch.zeros(1, 1), None)
    assert loss.isfinite()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_that_of_two_classes(smoothing):
    logits, y = draw(N_ROWS, 1), torch.arange(N_ROWS)[:, None] % 2
    pair = torch.cat([torch.zeros_like(logits), logits], 1)
    found = BinaryCrossEntropy(smoothing)(logits, y.double(), None)
    torch.testing.assert_close(found, CrossEntropy(smoothing)(pair, y[:, 0], None))


def test_huber_error_is_squared_near_and_linear_far():
    outputs, y = torch.tensor([[0.1], [3.0], [4.0]]), torch.zeros(3, 1)
    near, far, farther = (
        HuberError(0.5)(outputs[k : k + 1], y[:1], None) for k in range(3)
    )
    assert near == SquaredError()(outputs[:1], y[:1], None)
    assert farther - far == 0.5


@pytest.mark.parametrize(
    "loss", [CrossEntropy(0.3), SquaredError(), *OF_NUMBERS], ids=repr
)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))]
)
def test_copies_are_the_same_loss(loss, copied):
    other = copied(loss)
    assert type(other) is type(loss)
    y = codes() if isinstance(loss, CrossEntropy) else targets_of(loss)
    logits = draw(N_ROWS, N_CLASSES)
    assert torch.equal(other(logits, y, None), loss(logits, y, None))


def test_pickles_hold_what_the_loss_is_made_of():
    assert CrossEntropy(0.3).__reduce__() == (CrossEntropy, (0.3,))
    assert SquaredError().__reduce__() == (SquaredError, ())
