"""Scikit-learn's callbacks, where the installed version has them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback

from sknm.training.tensor_net import StopTraining

if TYPE_CHECKING:
    from sknm.base import GraphEstimator

__all__ = ["CallbackSupport", "EpochTasks", "listeners", "told_by_us"]

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback import ProgressBar
except ImportError:  # before scikit-learn 1.9

    class ProgressBar:  # type: ignore[no-redef]
        """Stands for scikit-learn's class."""

    class CallbackSupport:  # type: ignore[no-redef]
        """Stands for scikit-learn's class."""


class EpochTasks(Callback):
    """Tells callbacks of scikit-learn of each epoch, as a task of a fit.

    Parameters
    ----------
    estimator : GraphEstimator
        The estimator that the user fits.
    work : GraphEstimator
        The copy of it that is trained.
    data : dict
        X and y as the user gave them.
    context : sklearn.callback.CallbackContext
        Of the fit.

    Attributes
    ----------
    curves : callable
        Gives what is known of the epochs so far, as fitted attributes.
    """

    curves: Callable[[], dict[str, Any]] = dict

    def __init__(
        self,
        estimator: GraphEstimator,
        work: GraphEstimator,
        data: dict[str, Any],
        context: Any,
    ) -> None:
        self.estimator = estimator
        self.work = work
        self.data = data
        self.context = context

    def end_fit(self) -> None:
        """Tell that the fit has come to its end."""
        fitted = {k: v for k, v in vars(self.work).items() if k.endswith("_")}
        self.context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: fitted,
            **self.data,
        )

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin a task."""
        self._task = self.context.subcontext(task_name="epoch")
        self._task.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End a task, and perhaps the training."""
        stops = self._task.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=self._fitted,
            **self.data,
        )
        if stops:
            raise StopTraining

    def _fitted(self) -> dict[str, Any]:
        """Return what the estimator would have, had its training ended here."""
        work = self.work
        net = copy.deepcopy(work.net_)
        net.finish(is_whole=True)
        kept = {k: v for k, v in vars(work).items() if k.endswith("_")}
        return kept | self.curves() | {"net_": net}


def listeners(
    estimator: GraphEstimator,
    work: GraphEstimator,
    n_epochs: int | None,
    X: Any,
    y: Any,
) -> list[EpochTasks]:
    """Tell callbacks of scikit-learn that a fit begins, and have them told of epochs.

    Parameters
    ----------
    estimator : GraphEstimator
        What the user fits.
    work : GraphEstimator
        The copy of it that is trained.
    n_epochs : int or None
        Most epochs; None if nobody knows.
    X, y : object
        What the user gave.

    Returns
    -------
    list of EpochTasks
        Empty where nobody listens.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        return []
    context = estimator._init_callback_context(max_subtasks=n_epochs)
    # The copy takes the place of the estimator, and has to know who is to be told.
    told = "_callback_fit_ctx", "_skl_callbacks_to_teardown"
    work.__dict__.update({name: vars(estimator)[name] for name in told})
    data = {"X": X, "y": y}
    context.call_on_fit_task_begin(estimator=estimator, **data)
    return [EpochTasks(estimator, work, data, context)]


def told_by_us(estimator: GraphEstimator) -> int:
    """Tell how much of `verbose` is left, if scikit-learn draws a bar already.

    Parameters
    ----------
    estimator : GraphEstimator
        What is fitted.

    Returns
    -------
    int
        0 instead of 1, since two bars would write over each other.
    """
    told = getattr(estimator, "_skl_callbacks", None) or []
    is_drawn = any(isinstance(callback, ProgressBar) for callback in told)
    return 0 if is_drawn and estimator.verbose == 1 else int(estimator.verbose)
