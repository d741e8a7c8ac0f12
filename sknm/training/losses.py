"""Losses with sample weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossEntropy(nn.Module):
    """Cross-entropy with label smoothing, averaged over the weighted samples.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of a target's probability that is spread over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of."""
        return CrossEntropy, (self.label_smoothing,)

    def forward(self, logits: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of logits (n_samples, n_classes) and codes (n_samples,)."""
        return _SmoothedCrossEntropy.apply(logits, y, weights, self.label_smoothing)


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Loss and gradient in one go, in less than half the time of torch's own."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, y: Tensor, weights: Tensor | None, smoothing: float
    ) -> Tensor:
        log_p = torch.log_softmax(logits, 1)
        # dL/dlogits = (p - q) / n, with q the smoothed target.
        q = torch.full_like(log_p, smoothing / logits.shape[1])
        q.scatter_add_(1, y[:, None], q.new_full((len(y), 1), 1 - smoothing))
        p = log_p.exp()
        if weights is not None:
            p.mul_(weights[:, None])
            q.mul_(weights[:, None])
        ctx.save_for_backward(p.sub_(q))
        return (q * log_p).sum().div_(-len(y))  # a dot product adds less exactly

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * (grads[0] / len(grad)), None, None, None


class SquaredError(nn.Module):
    """Half the squared error, averaged over outputs and weighted samples."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle that it is one."""
        return SquaredError, ()

    def forward(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of outputs and targets, both (n_samples, n_outputs)."""
        return _mean((outputs - y) ** 2, weights) / 2


class BinaryCrossEntropy(nn.Module):
    """Cross-entropy of each of several labels, averaged over labels and samples.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the probability of a label that is spread over having it or not.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of."""
        return BinaryCrossEntropy, (self.label_smoothing,)

    def forward(self, logits: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of logits and indicators, both (n_samples, n_labels)."""
        q = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, q, reduction="none")
        return _mean(losses, weights)


class QuantileError(nn.Module):
    """Error whose minimum is a quantile; at one half, half the absolute error.

    Parameters
    ----------
    quantile : float, default=0.5
        Share of the targets that are to be below the outputs.
    """

    def __init__(self, quantile: float = 0.5) -> None:
        super().__init__()
        self.quantile = quantile

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of."""
        return QuantileError, (self.quantile,)

    def forward(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of outputs and targets, both (n_samples, n_outputs)."""
        above = y - outputs
        q = self.quantile
        return _mean(torch.maximum(q * above, (q - 1) * above), weights)


class HuberError(nn.Module):
    """Half the squared error up to a deviation, and linear beyond.

    Parameters
    ----------
    delta : float
        The deviation.
    """

    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of."""
        return HuberError, (self.delta,)

    def forward(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of outputs and targets, both (n_samples, n_outputs)."""
        losses = F.huber_loss(outputs, y, reduction="none", delta=self.delta)
        return _mean(losses, weights)


class PoissonDeviance(nn.Module):
    """Half the deviance of counts from means whose logarithms are the outputs."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle that it is one."""
        return PoissonDeviance, ()

    def forward(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of outputs and targets, both (n_samples, n_outputs)."""
        losses = outputs.exp() - y * outputs + (torch.xlogy(y, y) - y)
        return _mean(losses, weights)


class GammaDeviance(nn.Module):
    """The same for amounts whose deviation grows in proportion to their means."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle that it is one."""
        return GammaDeviance, ()

    def forward(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of outputs and targets, both (n_samples, n_outputs)."""
        # What is next to nothing in units of the mean may be 0 in single precision.
        logarithms = y.clamp_min(torch.finfo(y.dtype).tiny).log()
        losses = y * (-outputs).exp() + outputs - (logarithms + 1)
        return _mean(losses, weights)


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Average losses (n_samples, n_outputs) over outputs and weighted samples."""
    of_rows = losses.mean(1)
    return of_rows.mean() if weights is None else (of_rows * weights).mean()
