"""What is looked at after each epoch: validation, early stopping, progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from sknm.training.net import NonFiniteLoss, StopTraining, TrainingNet


class Monitor(Callback):
    """Records each epoch, keeps the best state, and stops when nothing improves.

    Parameters
    ----------
    score : callable or None
        Validation score of the net as it is; larger is better. None if there are no
        validation data.
    stops : bool
        Whether to stop when the score no longer improves.
    tol : float
        Least improvement that counts.
    n_iter_no_change : int
        Epochs without one after which training stops.
    verbose : int
        Whether to print a line per epoch.
    n_epochs : int or None
        Epochs of the whole training; None if another may follow.

    Attributes
    ----------
    scores : list of float
        Validation score of each epoch.
    best : dict or None
        State of the epoch with the best score, settled.
    last : dict
        State before the last epoch with a finite loss. (What that epoch's last step
        made need not be finite: its own loss comes with the next epoch.)
    """

    def __init__(
        self,
        score: Callable[[], float] | None,
        stops: bool,
        tol: float,
        n_iter_no_change: int,
        verbose: int,
        n_epochs: int | None = None,
    ) -> None:
        self.score = score
        self.stops = stops
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.verbose = verbose
        self.n_epochs = n_epochs

    def on_train_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Keep the state before the first step."""
        self.scores: list[float] = []
        self.best: dict[str, Any] | None = None
        self._best_score = self._reference = -np.inf
        self._waited = self._n_epochs = 0
        self.last = self._state = net.snapshot()

    def on_epoch_end(
        self, net: TrainingNet, dataset_train: Any = None, **kwargs: Any
    ) -> None:
        """Record, compare, and perhaps stop."""
        self._n_epochs += 1
        self.last = self._state  # before the next is made, which takes memory
        self._state = net.snapshot()
        if self.score is not None:
            self._compare(net, self.score)
        net.end_epoch(dataset_train, is_last=self._n_epochs == self.n_epochs)
        if self.verbose:
            print(self._line(net))
        if self.stops and self._waited >= self.n_iter_no_change:
            raise StopTraining

    def forget(self) -> None:
        """Drop the states, each of which takes as much memory as the network."""
        self.last = self._state = self.best = None

    def _compare(self, net: TrainingNet, measure: Callable[[], float]) -> None:
        """Score what `net` would be if training ended now; training sees none of it."""
        if not all(p.isfinite().all() for p in self._state["parameters"].values()):
            raise NonFiniteLoss
        net.settle()
        score = measure()
        self.scores.append(score)
        if score > self._best_score:
            self._best_score, self.best = score, net.snapshot()
        net.restore(self._state)
        if score > self._reference + self.tol:
            self._reference, self._waited = score, 0
        else:
            self._waited += 1

    def _line(self, net: TrainingNet) -> str:
        epoch = net.history[-1]
        line = f"epoch {epoch['epoch']}: loss {epoch['train_loss']:.5f}"
        if self.scores:
            line += f", validation score {self.scores[-1]:.4f}"
        return f"{line}, {net.organiser.progress()}"
