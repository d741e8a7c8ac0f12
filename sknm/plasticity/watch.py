"""Which steps of a training are looked at by a rule that gathers evidence."""

from __future__ import annotations

LEAST_SPEED = 0.5
"""Share of its peak to which the learning rate may fall before graphs no longer change:
what comes later would hardly be trained."""


class Watch:
    """Chooses steps, so that about as many rows of an epoch are seen as one wants.

    Parameters
    ----------
    n_rows : int
        About how many, and at most twice as many.

    Attributes
    ----------
    size : float
        The optimiser's step size, last.
    """

    def __init__(self, n_rows: int) -> None:
        self._n_wanted = n_rows
        self.start()

    def start(self) -> None:
        """Begin a training."""
        self._stride, self._peak, self.size = 1, 0.0, 0.0
        self._n_steps = self._n_rows = self._n_seen = 0

    def follow(self, size: float) -> None:
        """Take note of the size of a step."""
        self.size = size
        self._peak = max(self._peak, size)
        self._n_steps += 1

    @property
    def is_early(self) -> bool:
        """Whether what changes now would still be trained."""
        return self.size >= LEAST_SPEED * self._peak

    def take(self, n_rows: int) -> int:
        """Tell how many of the rows of this step to look at."""
        self._n_rows += n_rows
        if self._n_steps % self._stride:
            return 0
        n = min(n_rows, 2 * self._n_wanted - self._n_seen)
        self._n_seen += n
        return n

    def epoch(self) -> None:
        """Choose the steps of the next epoch, given the rows of this one."""
        self._stride = max(1, self._n_rows // self._n_wanted)
        self._n_rows = self._n_seen = 0
