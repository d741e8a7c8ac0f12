"""The training recipe: batch size, epochs, and the learning rate over time."""

from __future__ import annotations

import math
from dataclasses import dataclass


def choose_batch_size(n_samples: int) -> int:
    """Rows per batch: more for larger data, since they cost less each.

    Parameters
    ----------
    n_samples : int
        Rows of the training data.

    Returns
    -------
    int
        128 or 256, or all rows if there are fewer.
    """
    return min(n_samples, 128 if n_samples < 2000 else 256)


def choose_max_iter(n_samples: int, batch_size: int) -> int:
    """Epochs: 28, or 32 for large data, or as many as make 300 steps.

    Parameters
    ----------
    n_samples : int
        Rows of the training data.
    batch_size : int
        Rows per batch.

    Returns
    -------
    int
        Number of epochs.
    """
    least = 28 if n_samples < 8000 else 32
    return max(least, math.ceil(300 / math.ceil(n_samples / batch_size)))


FULL_STEP_EDGES = {"input_weights": 16, "constraint_weights": 16, "output_weights": 400}
"""Most edges with which parameters get the optimiser's whole step."""


def step_scale(name: str, fan_in: int) -> float:
    """Share of the learning rate that a parameter gets.

    Adam moves all weights by about the same amount, so that what a step adds to a
    node's input grows with the number of features, and what it adds to a constraint
    with the number of nodes. It is kept to what it is for 16 independent ones; what it
    adds to an output, to what it is for 400 nodes, for which the rate was chosen.

    Parameters
    ----------
    name : str
        Name of the parameter.
    fan_in : int
        Edges that lead to a node, a constraint or an output.

    Returns
    -------
    float
        At most 1.
    """
    full = FULL_STEP_EDGES.get(name)
    return 1.0 if full is None else min(1.0, (full / fan_in) ** 0.5)


@dataclass(frozen=True)
class OneCycle:
    """Learning rate that rises and falls once (Smith & Topin 2018).

    Attributes
    ----------
    peak : float
        Highest learning rate.
    n_steps : int
        Steps of the whole cycle.
    warmup : float, default=0.3
        Share of the steps in which the rate rises.
    """

    peak: float
    n_steps: int
    warmup: float = 0.3

    def __call__(self, step: int) -> float:
        """Learning rate of step 0, 1, …."""
        top = self.warmup * self.n_steps
        if step < top:
            return self._between(self.peak / 25, self.peak, step / top)
        rest = max(1.0, self.n_steps - 1 - top)
        return self._between(self.peak, self.peak / 2500, min(1, (step - top) / rest))

    @staticmethod
    def _between(start: float, end: float, progress: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every step.

    Attributes
    ----------
    peak : float
        The learning rate.
    """

    peak: float

    def __call__(self, step: int) -> float:
        """Learning rate of any step."""
        return self.peak
