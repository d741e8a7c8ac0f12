"""Where neurons are, and what edges cost by their length."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOVE = 0.02
"""Share of the way to where its edges would be shortest that a neuron goes at a time.
At first all are joined to all, and would meet in the middle: far edges have to go
before the neurons do."""


def place_neurons(
    feature_positions: Tensor, n_others: int, generator: torch.Generator
) -> Tensor:
    """Draw positions of all neurons, of which those of the features are given.

    Parameters
    ----------
    feature_positions : Tensor of shape (n_features, n_dims)
        Positions of the features.
    n_others : int
        Number of the other neurons.
    generator : torch.Generator
        Source of the positions that these have at first, uniform in the box that the
        features span.

    Returns
    -------
    Tensor of shape (n_features + n_others, n_dims)
        Where the neurons are.
    """
    low, high = feature_positions.amin(0), feature_positions.amax(0)
    shape = (n_others, feature_positions.shape[1])
    drawn = torch.rand(shape, generator=generator, dtype=feature_positions.dtype)
    return torch.cat([feature_positions, low + (high - low) * drawn])


def move_neurons(
    positions: Tensor, W: Tensor, neurons: np.ndarray, n_features: int
) -> Tensor:
    """Move neurons a little, and return the lengths of all edges.

    The total length of the edges, ``Σ |W_ij| dist(i, j)``, is lowered by Weiszfeld's
    iteration for the geometric median: each neuron goes towards the mean of its
    neighbours, weighted by the edge between them over its length.

    Parameters
    ----------
    positions : Tensor of shape (n_neurons, n_dims)
        Where all neurons are; changed in place, but for the features.
    W : Tensor of shape (n_alive, n_alive)
        Weights between some of the neurons.
    neurons : ndarray of shape (n_alive,)
        Which ones, the features first.
    n_features : int
        Number of features.

    Returns
    -------
    Tensor of shape (n_alive, n_alive)
        Distances of these neurons.
    """
    places = positions[neurons].to(W)
    lengths = torch.cdist(places, places)
    strength = W.abs() + W.abs().t()
    pull = torch.where(lengths > 0, strength / lengths, 0)
    total = pull.sum(1, keepdim=True)
    target = torch.where(total > 0, pull @ places / total, places)
    target[:n_features] = places[:n_features]
    moved = places + MOVE * (target - places)
    positions[neurons] = moved.to(positions)
    return lengths
