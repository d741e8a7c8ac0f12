"""What an encoder is, and the one that leaves rows as they are."""

from __future__ import annotations

from typing import Protocol

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
    """

    n_outputs: int

    def fit(self, rows: Rows, generator: torch.Generator) -> None:
        """Learn from the training rows of a first fit.

        Parameters
        ----------
        rows : Rows
            The rows.
        generator : torch.Generator
            Source of randomness.
        """

    def __call__(self, X: Inputs) -> Inputs:
        """Encode a batch of rows, (n_samples, n_features) to (n_samples, n_outputs)."""

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser, none if there are none.

        They may have been replaced since the last call, as all of a module's may.
        """


class Identity:
    """Lets rows through as they are, sparse ones too."""

    n_outputs: int

    def fit(self, rows: Rows, generator: torch.Generator) -> None:
        """Count the features."""
        self.n_outputs = rows.n_features

    def __call__(self, X: Inputs) -> Inputs:
        """Return the batch."""
        return X

    def groups(self) -> list[ParameterGroup]:
        """Return nothing to be trained."""
        return []
