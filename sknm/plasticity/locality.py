"""Where neurons are, and what edges cost by their length."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.compute.settings import own_settings

MOVE = 0.02
"""Share of the way to where its edges would be shortest that a neuron goes at a time.
At first all are joined to all, and would meet in the middle: far edges have to go
before the neurons do."""


class Locality:
    """Positions of neurons: those of the inputs are given, the others find their own.

    The total length of the edges, ``Σ |W_ij| dist(i, j)``, is lowered by Weiszfeld's
    iteration for the geometric median: each neuron goes towards the mean of its
    neighbours, weighted by the edge between them over its length.

    Parameters
    ----------
    feature_positions : Tensor of shape (n_inputs, n_dims)
        Positions of the inputs.
    n_others : int
        Number of the other neurons.
    generator : torch.Generator
        Source of the positions that the others have at first, uniform in the box that
        the inputs span.

    Attributes
    ----------
    positions : Tensor of shape (n_inputs + n_others, n_dims)
        Where the neurons are; on the CPU.
    """

    def __init__(
        self,
        feature_positions: Tensor,
        n_others: int,
        generator: torch.Generator,
    ) -> None:
        low, high = feature_positions.amin(0), feature_positions.amax(0)
        shape = (n_others, feature_positions.shape[1])
        drawn = torch.rand(shape, generator=generator, dtype=feature_positions.dtype)
        others = low + (high - low) * drawn
        self.positions = torch.cat([feature_positions, others])
        self._n_inputs = len(feature_positions)

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: an array instead of the tensor."""
        return vars(self) | {"positions": self.positions.numpy()}

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state."""
        positions = torch.tensor(state["positions"], device="cpu")
        vars(self).update(state | {"positions": positions})

    def move(self, W: Tensor, neurons: np.ndarray) -> Tensor:
        """Move the neurons a little, and return the lengths of all edges.

        Parameters
        ----------
        W : Tensor of shape (n_alive, n_alive)
            Weights between some of the neurons.
        neurons : ndarray of shape (n_alive,)
            Which ones, the inputs first.

        Returns
        -------
        Tensor of shape (n_alive, n_alive)
            Distances of these neurons.
        """
        places = self.positions[neurons].to(W)
        lengths = torch.cdist(places, places)
        strength = W.abs() + W.abs().t()
        pull = torch.where(lengths > 0, strength / lengths, 0)
        total = pull.sum(1, keepdim=True)
        target = torch.where(total > 0, pull @ places / total, places)
        target[: self._n_inputs] = places[: self._n_inputs]
        moved = places + MOVE * (target - places)
        self.positions[neurons] = moved.to(self.positions)
        return lengths
