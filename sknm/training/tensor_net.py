"""Skorch's net and its loop, with whole tensors for batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from sknm.training.batches import Batches, Table

FINITE_CHECK_INTERVAL = 16
"""Steps between two looks at whether the loss is finite."""


class NonFiniteLoss(Exception):
    """The loss of a training step was infinite or not a number."""


class StopTraining(Exception):
    """Raised by a callback to end the training for good reason."""


class EndRound(Exception):
    """Raised by a callback to end a round of training, after which others may come."""


def is_finite(loss: Tensor) -> bool:
    """Whether a loss is a number, in double precision one that single could hold."""
    return abs(loss.item()) <= torch.finfo(torch.float32).max


def _refused(name: str) -> Callable[..., Any]:
    """Make a method of skorch's that has no meaning here say where to go."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"net_.{name} is not to be used: the net trains on tables of tensors and "
            "knows neither labels nor scales. Call the methods of the estimator that "
            "holds it: fit, partial_fit, predict, predict_proba, node_values, or "
            "sklearn.base.clone(estimator)."
        )

    method.__name__ = name
    method.__doc__ = "Refuse: the estimator that holds the net has such a method."
    return method


class _OnlyTrained(NeuralNet):
    """A net without what the estimator that holds it does better."""

    fit = _refused("fit")
    partial_fit = _refused("partial_fit")
    predict = _refused("predict")
    predict_proba = _refused("predict_proba")
    forward = _refused("forward")
    forward_iter = _refused("forward_iter")
    infer = _refused("infer")
    evaluation_step = _refused("evaluation_step")
    validation_step = _refused("validation_step")
    set_params = _refused("set_params")
    save_params = _refused("save_params")
    load_params = _refused("load_params")
    trim_for_prediction = _refused("trim_for_prediction")
    __sklearn_clone__ = _refused("__sklearn_clone__")


class TensorNet(_OnlyTrained):
    """A skorch net that trains on tables of tensors.

    Parameters
    ----------
    module : nn.Module
        The module, ready to be used.
    criterion : nn.Module
        Loss of outputs, targets and weights.
    generator : torch.Generator
        Source of the order of the rows.
    batch_size : int
        Most rows of a batch.
    device : str
        Where to compute.

    Attributes
    ----------
    withheld : Tensor of int or None
        Rows of the table that are not trained on now.
    """

    callbacks_: list[tuple[str, Any]]

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        generator: torch.Generator,
        batch_size: int,
        device: str,
    ) -> None:
        self.generator = generator
        self._heard: list[Any] = []
        self._users: list[tuple[str, Any]] = []
        self._tells_batches = False
        self._pacers: list[Callback] = []
        self.withheld: Tensor | None = None
        super().__init__(
            module,
            criterion,
            batch_size=batch_size,
            device=device,
            train_split=None,
            verbose=0,
        )

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return []

    def get_split_datasets(
        self, X: Table, y: Any = None, **fit_params: Any
    ) -> tuple[Table, None]:
        """Return the table as it is: validation data are a callback's matter."""
        return X, None

    def get_iterator(self, dataset: Table, training: bool = False) -> Batches:
        """Batches of the table."""
        return Batches(dataset, self.batch_size, self.generator, lambda: self.withheld)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kwargs: Any
    ) -> None:
        """One pass over the batches, without skorch's records of each of them."""
        if iterator is None:
            return
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        n_iterations = 0  # of solves, where there are any
        n_rows = len(iterator.table)
        if self.withheld is not None:
            n_rows -= len(self.withheld)
        for k, batch in enumerate(iterator):
            if self._tells_batches:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch)
            loss = step["loss"]
            total = total + loss * (len(batch) / n_rows)
            n_iterations += step.get("iterations", 0)
            if k % FINITE_CHECK_INTERVAL == 0:
                self._check_finite(loss)
            if self._tells_batches:
                self.notify("on_batch_end", batch=batch, training=training, **step)
            for callback in self._pacers:
                callback.on_batch_end(self, batch=batch, training=training)
        self._check_finite(total)
        self.history.record(f"{prefix}_loss", total.item())
        if n_iterations:
            self.history.record("iterations", n_iterations / (k + 1))

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; those of users may end a training after an epoch.

        Skorch's own say so by an interrupt.
        """
        getattr(self, method_name)(self, **cb_kwargs)
        users = [callback for _, callback in self._users]
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as error:
                if method_name == "on_epoch_end" and callback in users:
                    raise StopTraining from error
                raise

    def listen_to(
        self,
        callbacks: Sequence[Any],
        before: Sequence[Callback] = (),
        after: Sequence[Callback] = (),
    ) -> None:
        """Have callbacks of the user, and others before and after them.

        Parameters
        ----------
        callbacks : sequence of skorch.callbacks.Callback
            Those of the user; they are initialised when they are new.
        before, after : sequence of skorch.callbacks.Callback
            The package's own.
        """
        if list(callbacks) != self._heard:
            self._heard, self.callbacks = [], list(callbacks)
            self.initialize_callbacks()
            self._users = list(self.callbacks_)
            self._heard = list(callbacks)
        own = [[(type(c).__name__, c) for c in part] for part in (before, after)]
        self.callbacks_ = [*own[0], *self._users, *own[1]]
        self._tells_batches = any(map(_hears_batches, callbacks))
        # Not by notify, which would have a record made of each batch.
        self._pacers = [c for c in (*before, *after) if _hears_batches(c)]

    @staticmethod
    def _check_finite(loss: Tensor) -> None:
        if not is_finite(loss):
            raise NonFiniteLoss


def _hears_batches(callback: Any) -> bool:
    """Whether a callback of skorch's does something with each batch."""
    if isinstance(callback, tuple):
        _, callback = callback
    kind = callback if isinstance(callback, type) else type(callback)
    hooks = "on_batch_begin", "on_batch_end"
    return any(getattr(kind, hook) is not getattr(Callback, hook) for hook in hooks)
