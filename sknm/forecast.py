"""What a fit will cost: asked before it, and told from a few steps of it."""

from __future__ import annotations

import copy
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch.callbacks import Callback
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from sknm.checks import Samples
from sknm.compute.settings import own_settings
from sknm.fitting import Fitting
from sknm.training.callbacks import Monitor
from sknm.training.engine import train
from sknm.training.net import TrainingNet
from sknm.training.network import at_work
from sknm.training.recipe import Course
from sknm.training.tensor_net import StopTraining

if TYPE_CHECKING:
    from sknm.base import GraphEstimator

PATIENCE = 0.6
"""Seconds of training after which enough is known, if an epoch takes longer."""

FEWEST_STEPS, ENOUGH_STEPS = 3, 8
"""Steps that are made in any case, and those that do when an epoch has ended."""

STATES, PER_WEIGHT = 3, 8
"""Copies of the network that a training holds: itself, and two to come back to. And
numbers for each weight that is trained: its gradient, two averages, and five that come
and go in a step, as peaks of memory show."""


@dataclass(frozen=True)
class Forecast:
    """What a fit is expected to cost.

    Attributes
    ----------
    seconds : float
        How long it takes, if the machine is as busy as now. Graphs change while they
        are trained, and so does what a step takes.
    bytes : int
        Memory that it takes at least beside the data, on the device that computes: the
        network, copies to come back to, and what the optimiser and a step hold.
    n_epochs : int
        Epochs, of the first round if there may be several; early stopping may end it
        sooner.
    n_steps : int
        Steps of the optimiser in these epochs.
    """

    seconds: float
    bytes: int
    n_epochs: int
    n_steps: int


def forecast(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    X_val: Any = None,
    y_val: Any = None,
    sample_weight_val: Any = None,
) -> Forecast:
    """Tell what a fit would cost.

    Parameters
    ----------
    estimator : GraphEstimator
        What would be fitted; it stays as it is.
    X, y, sample_weight, X_val, y_val, sample_weight_val : object
        What it would be fitted to.

    Returns
    -------
    Forecast
        From a few steps.
    """
    work = _stand_in(estimator)
    begun = time.perf_counter()
    with own_settings():
        fitting = Fitting(work)
        samples = fitting.take_in(X, y, sample_weight)
        validation = fitting.take_in_validation(
            X_val, y_val, sample_weight_val, samples.X.dtype
        )
        samples, validation = fitting.split(samples, validation)
        fitting.prepare(samples)
        before = time.perf_counter() - begun
        course = fitting.whole_course(len(samples))
        pace = _rehearse(fitting, samples, validation, course)
        n_steps = course.n_epochs * pace.n_batches
        seconds = n_steps * pace.step + course.n_epochs * pace.epoch_end
        held = _held_by(work.net_) + pace.n_saved
    return Forecast(before + seconds, held, course.n_epochs, n_steps)


class Pace(Callback):
    """Measures the first steps of a training, and ends it when enough is known.

    Attributes
    ----------
    n_batches : int
        Steps of an epoch.
    step : float
        Seconds of a step.
    epoch_end : float
        Seconds of what comes after an epoch; 0 if none has ended.
    n_saved : int
        Bytes that a step holds for its gradient.
    """

    def __init__(self) -> None:
        self.n_batches, self.epoch_end, self.n_saved = 1, 0.0, 0
        self._ends: list[float] = []
        self._saved: set[int] = set()
        self._watch = ExitStack()

    def on_epoch_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Watch what the first step holds."""
        self._last = time.perf_counter()
        if not self._ends:
            self._begun = self._last
            self.n_batches = len(net.get_iterator(kwargs["dataset_train"]))
            self._watch.enter_context(
                saved_tensors_hooks(self._note, lambda kept: kept)
            )

    def on_batch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Take the time of a step; the first is slower, and watched."""
        self._watch.close()
        now = time.perf_counter()
        self._ends.append(now - self._last)
        self._last = now
        if len(self._ends) >= FEWEST_STEPS and now - self._begun > PATIENCE:
            raise StopTraining

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Take the time of what came after the last step."""
        self.epoch_end = time.perf_counter() - self._last
        if len(self._ends) >= ENOUGH_STEPS:
            raise StopTraining

    def close(self) -> None:
        """Watch no more, however it has ended."""
        self._watch.close()

    @property
    def step(self) -> float:
        """Seconds of a step."""
        return float(np.mean(self._ends[1:] or self._ends or [0.0]))

    def _note(self, tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in self._saved:
            self._saved.add(tensor.data_ptr())
            self.n_saved += tensor.nbytes
        return tensor


def _rehearse(
    fitting: Fitting, samples: Samples, validation: Samples | None, course: Course
) -> Pace:
    """Train for a little while."""
    estimator, pace = fitting.estimator, Pace()
    scoring, patience = fitting.scoring(validation), estimator.n_iter_no_change
    monitor = Monitor(scoring, False, estimator.tol, patience)
    table = samples.table(estimator.device_)
    try:
        with at_work(estimator.n_jobs):
            ending = train(estimator.net_, table, course, monitor, listeners=[pace])
    finally:
        pace.close()
    if ending == "interrupted":
        raise KeyboardInterrupt
    return pace


def _stand_in(estimator: Any) -> GraphEstimator:
    """Make an estimator that is trained like another one, which knows nothing of it."""
    fitted = () if estimator.warm_start else vars(estimator).get("_fitted_", ())
    other: GraphEstimator = object.__new__(type(estimator))
    kept = {k: v for k, v in vars(estimator).items() if k not in fitted}
    other.__dict__.update(kept)
    if "net_" in kept:
        other.net_ = copy.deepcopy(kept["net_"])
    # Neither the user's generator nor numpy's global one is drawn from.
    seed = estimator.random_state
    other.random_state = 0 if seed is None else copy.deepcopy(seed)
    other.verbose, other.callbacks = 0, None
    return other


def _held_by(net: TrainingNet) -> int:
    """Count the bytes that a network takes in training."""
    state = _size(net.module_.snapshot())
    return STATES * state + PER_WEIGHT * sum(
        p.nbytes for p in net.module_.parameters() if p.requires_grad
    )


def _size(part: Any) -> int:
    """Count the bytes of all tensors and arrays in records and dictionaries."""
    if isinstance(part, (Tensor, np.ndarray)):
        return int(part.nbytes)
    if isinstance(part, dict):
        return sum(map(_size, part.values()))
    if isinstance(part, (list, tuple)):
        return sum(map(_size, part))
    if is_dataclass(part):
        return sum(_size(getattr(part, field.name)) for field in fields(part))
    return 0
