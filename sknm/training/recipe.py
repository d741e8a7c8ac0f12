"""The training recipe: batch size, epochs, decay, and the learning rate over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

SMALL_BATCH, LARGE_BATCH = 128, 256
"""Rows per batch for data of fewer and of more than 2000 rows."""

LEAST_DECAY, MOST_DECAY = 0.01, 0.66
"""Weight decay with very many rows, and with few."""

DECAY_ROWS, SMALL_DECAY = 330, 0.33
"""Rows by which the decay is 1, were there no limit; and with all rows in a batch."""

FEWEST_STEPS, ENOUGH_STEPS = 100, 300
"""Steps with all rows in a batch, and those that small data are trained for at most."""

FULL_BATCH_EPOCHS = 300
"""Epochs of optimisers that take all rows at each step."""

SHORT_MEMORY, LONG_MEMORY = 0.95, 0.999
"""What AdamW keeps of its average of squared gradients. Trainings are short, and their
gradients become small: squares of long ago would keep the steps small as well."""

ROWS_PER_STEP = 4
"""Rows that are worth a step of small data, if each tells a bit."""


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
    return min(n_samples, SMALL_BATCH if n_samples < 2000 else LARGE_BATCH)


def choose_max_iter(n_samples: int, batch_size: int, n_bits: float = 1.0) -> int:
    """Epochs: 28, or 32 for large data, or as many as small data are worth.

    These are a step for four bits that targets tell, up to 300 steps. All rows in a
    batch make 100: to repeat a row, or to give it a whole-number weight, is the same.

    Parameters
    ----------
    n_samples : int
        Rows of the training data.
    batch_size : int
        Rows per batch.
    n_bits : float, default=1.0
        Bits that a target tells.

    Returns
    -------
    int
        Number of epochs.
    """
    if n_samples <= batch_size:
        return FEWEST_STEPS
    least = 28 if n_samples < 8000 else 32
    n_steps = min(ENOUGH_STEPS, n_samples * n_bits / ROWS_PER_STEP)
    return max(least, math.ceil(n_steps / math.ceil(n_samples / batch_size)))


def choose_decay(n_samples: int, batch_size: int) -> float:
    """Weight decay: the more, the fewer rows there are.

    Parameters
    ----------
    n_samples : int
        Rows of the training data.
    batch_size : int
        Rows per batch.

    Returns
    -------
    float
        ``330 / n_samples``, but from 0.01 to 0.66, and 0.33 with all rows in a batch.
    """
    if n_samples <= batch_size:
        return SMALL_DECAY
    return min(MOST_DECAY, max(LEAST_DECAY, DECAY_ROWS / n_samples))


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes
    ----------
    optimizer : {"adamw", "sgd", "lbfgs"}
        Which optimiser.
    alpha : float
        Weight decay.
    batch_size : int
        Rows per step.
    device : str
        Where to compute.
    memory : float, default=0.95
        What AdamW keeps, at each step, of its average of squared gradients.
    """

    optimizer: str
    alpha: float
    batch_size: int
    device: str
    memory: float = SHORT_MEMORY


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


@dataclass(frozen=True)
class Course:
    """How long a training is, and how its learning rate goes.

    Attributes
    ----------
    n_epochs : int
        Most epochs of a round.
    rate : float
        Peak of the learning rate.
    is_whole : bool, default=True
        Whether the rate rises and falls and the training ends with it; otherwise it is
        a part of a training whose end nobody knows, and the rate stays.
    """

    n_epochs: int
    rate: float
    is_whole: bool = True

    def schedule(self, n_batches: int) -> OneCycle | Constant:
        """Make the learning rate of a round, given the steps of an epoch."""
        if self.is_whole:
            return OneCycle(self.rate, self.n_epochs * n_batches)
        return Constant(self.rate)
