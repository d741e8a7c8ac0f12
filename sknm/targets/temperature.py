"""The temperature of probabilities: how much outputs are to be trusted."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

MOST = 20.0
"""Largest factor by which outputs are scaled, up or down."""


def best_temperature(
    loss: nn.Module, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
) -> float:
    """Find by which outputs are to be divided for the smallest loss.

    Parameters
    ----------
    loss : nn.Module
        Loss of outputs, encoded targets and weights, which is convex in the outputs.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Encoded targets.
    outputs : ndarray of shape (n_samples, n_outputs)
        Finite outputs.
    weights : ndarray of shape (n_samples,) or None
        Weights of the rows.

    Returns
    -------
    float
        The temperature, between 1/20 and 20.
    """
    values = torch.from_numpy(outputs.astype(np.float64))
    targets = torch.from_numpy(y.astype(np.float64) if y.dtype.kind == "f" else y)
    shares = None if weights is None else torch.from_numpy(weights / weights.mean())

    def at(log_gain: float) -> float:
        return float(loss(values * math.exp(log_gain), targets, shares))

    bounds = -math.log(MOST), math.log(MOST)
    found = minimize_scalar(at, bounds=bounds, method="bounded")
    return math.exp(-float(found.x))
