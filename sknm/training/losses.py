"""Losses with sample weights."""

from __future__ import annotations

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

    def forward(self, logits: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of logits (n_samples, n_classes) and codes (n_samples,)."""
        if weights is None:
            return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        losses = F.cross_entropy(
            logits, y, label_smoothing=self.label_smoothing, reduction="none"
        )
        return (losses * weights).mean()


class SquaredError(nn.Module):
    """Half the squared error, averaged over outputs and weighted samples."""

    def forward(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Mean loss of outputs and targets, both (n_samples, n_outputs)."""
        losses = ((outputs - y) ** 2).mean(1) / 2
        return losses.mean() if weights is None else (losses * weights).mean()
