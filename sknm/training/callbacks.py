"""What is done after each epoch, as callbacks of skorch's: beside those of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from sknm.plasticity.rule import Change
from sknm.training.net import TrainingNet
from sknm.training.network import NetworkSnapshot
from sknm.training.recipe import Course
from sknm.training.tensor_net import EndRound, NonFiniteLoss


class Monitor(Callback):
    """Scores each epoch, keeps the states to come back to, and knows when to stop.

    Parameters
    ----------
    score : callable or None
        Validation score of the network as it is; larger is better. None if there are no
        validation data.
    stops : bool
        Whether to stop when the score no longer improves.
    tol : float
        Least improvement that counts.
    n_iter_no_change : int
        Epochs without one after which training stops.

    Attributes
    ----------
    scores : list of float
        Validation score of each epoch.
    last : NetworkSnapshot
        State before the last epoch with a finite loss. (What that epoch's last step
        made need not be finite: its own loss comes with the next epoch.)
    """

    def __init__(
        self,
        score: Callable[[], float] | None,
        stops: bool,
        tol: float,
        n_iter_no_change: int,
    ) -> None:
        self.score = score
        self.stops = stops
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.scores: list[float] = []

    def on_train_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Keep the state before the first step of a round."""
        self._best: NetworkSnapshot | None = None
        self._memory: Any = None
        self._best_score = self._reference = -np.inf
        self._waited = 0
        self.last = self._state = net.module_.snapshot()

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Keep the state, and score it."""
        self.last = self._state  # before the next is made, which takes memory
        self._state = net.module_.snapshot()
        if self.score is not None:
            self._compare(net, self.score)

    @property
    def is_over(self) -> bool:
        """Whether the score has not improved for too long."""
        return self.stops and self._waited >= self.n_iter_no_change

    def choose(self, net: TrainingNet) -> None:
        """Go back to the best state, if that is what stopping is for."""
        if self.stops and self._best is not None:
            net.restore(self._best, self._memory)
            self._best = None

    def forget(self) -> None:
        """Drop the states, each of which takes as much memory as the network."""
        self._best = self._memory = None
        del self.last, self._state

    def _compare(self, net: TrainingNet, measure: Callable[[], float]) -> None:
        """Score what `net` would be if training ended now; training sees none of it."""
        if not self._state.is_finite():
            raise NonFiniteLoss
        net.settle()
        score = measure()
        self.scores.append(score)
        net.history.record("valid_score", score)
        if score > self._best_score:
            self._best_score, self._best = score, net.module_.snapshot()
            self._memory = net.optimizer_.outline()
        net.restore(self._state)
        if score > self._reference + self.tol:
            self._reference, self._waited = score, 0
        else:
            self._waited += 1


class Turn(Callback):
    """Gives the rule its turn.

    Parameters
    ----------
    course : Course
        Tells the last epoch.
    monitor : Monitor
        Tells it, too, and which state the last epoch is about.

    Attributes
    ----------
    change : Change
        What the rule made of the last epoch.
    """

    def __init__(self, course: Course, monitor: Monitor) -> None:
        self.course = course
        self.monitor = monitor

    def on_train_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Count the epochs of a round."""
        self._n_epochs = 0
        self.change = Change()

    def on_epoch_end(
        self, net: TrainingNet, dataset_train: Any = None, **kwargs: Any
    ) -> None:
        """Have the rule look at the graph: at the last epoch, as it will be left."""
        self._n_epochs += 1
        is_end = self._n_epochs == self.course.n_epochs or self.monitor.is_over
        is_last = is_end and self.course.is_whole
        if is_last:
            if not net.has_finite_loss(dataset_train):
                raise NonFiniteLoss
            self.monitor.choose(net)
        n_epochs = self.course.n_epochs if self.course.is_whole else None
        self.change = net.end_epoch(dataset_train, is_last, self._n_epochs, n_epochs)


class Stop(Callback):
    """Ends a round after all other callbacks have had their say.

    Parameters
    ----------
    monitor : Monitor
        Says when.
    """

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Stop if it is time."""
        if self.monitor.is_over:
            raise EndRound
