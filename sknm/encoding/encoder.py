"""What an encoder is, and the one that leaves rows as they are."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from sknm.compute.groups import ParameterGroup
from sknm.compute.rows import Inputs, Rows


class Encoder(Protocol):
    """Turns checked rows into what enters the graph.

    An encoder with parameters of its own is a :class:`torch.nn.Module`: it is trained
    with the network, saved and moved with it.

    Attributes
    ----------
    n_outputs : int
        Number of columns that enter the graph, known after :meth:`fit`.
    fan_in : float
        Number of inputs of unit variance by which the weights of inputs start and are
        moved; columns beyond these are scaled to matter less.
    """

    n_outputs: int
    fan_in: float

    def fit(
        self,
        X: Rows,
        y: np.ndarray,
        weights: np.ndarray | None,
        generator: torch.Generator,
    ) -> None:
        """Learn from the training rows of a first fit.

        Parameters
        ----------
        X : Rows
            The rows.
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Class codes or scaled targets.
        weights : ndarray of shape (n_samples,) or None
            Sample weights with mean 1, in double precision.
        generator : torch.Generator
            Source of randomness.
        """

    def __call__(self, X: Inputs) -> Inputs:
        """Encode a batch of rows, (n_samples, n_features) to (n_samples, n_outputs)."""

    @property
    def n_fixed(self) -> int:
        """Number of outputs, the first ones, whose gradient nobody needs."""

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser, none if there are none.

        They may have been replaced since the last call, as all of a module's may.
        """

    def labels(self) -> list[tuple[int, float | str]]:
        """Say of each output which column it is made of, and what of it.

        The latter is "" for the column itself, a code for a category, or a word; the
        column is -1 where there are several.
        """

    def forms(self) -> list[str]:
        """Say in words how each column enters the graph."""


class Identity:
    """Lets rows through as they are, sparse ones too.

    Parameters
    ----------
    n_features : int, default=0
        Number of columns; it is learned, too.
    """

    n_outputs: int
    fan_in: float

    def __init__(self, n_features: int = 0) -> None:
        self.n_outputs = self.fan_in = n_features

    def fit(
        self,
        X: Rows,
        y: np.ndarray,
        weights: np.ndarray | None,
        generator: torch.Generator,
    ) -> None:
        """Count the features."""
        self.n_outputs = self.fan_in = X.n_features

    def __call__(self, X: Inputs) -> Inputs:
        """Return the batch."""
        return X

    @property
    def n_fixed(self) -> int:
        """Return 0: rows may have a gradient of their own."""
        return 0

    def groups(self) -> list[ParameterGroup]:
        """Return nothing to be trained."""
        return []

    def labels(self) -> list[tuple[int, float | str]]:
        """Name each column as it is."""
        return [(k, "") for k in range(self.n_outputs)]

    def forms(self) -> list[str]:
        """Say that each column stays as it is."""
        return ["as it is"] * self.n_outputs
