"""The training of a net: its epochs, and how they end."""

from __future__ import annotations

from typing import Literal

from sknm.training.batches import Table
from sknm.training.monitor import Monitor
from sknm.training.net import NonFiniteLoss, TrainingNet
from sknm.training.recipe import Constant, OneCycle

Ending = Literal["finished", "interrupted", "diverged", "lost"]


def train(
    net: TrainingNet,
    table: Table,
    n_epochs: int,
    learning_rate: float,
    monitor: Monitor,
    one_cycle: bool,
) -> Ending:
    """Run epochs until the last one, or until there is reason to stop.

    Parameters
    ----------
    net : TrainingNet
        What to train.
    table : Table
        Training data.
    n_epochs : int
        Most epochs.
    learning_rate : float
        Peak of the learning rate.
    monitor : Monitor
        Looks at each epoch.
    one_cycle : bool
        Whether the learning rate rises and falls, or stays.

    Returns
    -------
    {"finished", "interrupted", "diverged", "lost"}
        How it ended. After "diverged" the net is back in its last finite state; "lost"
        says that there was none.
    """
    n_steps = n_epochs * len(net.get_iterator(table, training=True))
    net.schedule = (
        OneCycle(learning_rate, n_steps) if one_cycle else Constant(learning_rate)
    )
    net.n_steps_ = 0
    net.callbacks_ = [("monitor", monitor)]
    net.notify("on_train_begin", X=table, y=None)
    net.ending_ = ending = _loop(net, table, n_epochs)
    if ending == "diverged":
        # What rules and optimiser remember is no longer finite, either.
        net.go_back(monitor.last)
        net.ending_ = ending if net.has_finite_outputs(table) else "lost"
    elif monitor.stops and monitor.best is not None:
        net.restore(monitor.best)
    elif ending == "interrupted" and not _is_whole(net, table):
        net.go_back(monitor.last)
    monitor.forget()
    return net.ending_


def _loop(net: TrainingNet, table: Table, n_epochs: int) -> Ending:
    try:
        net.fit_loop(table, epochs=n_epochs)
    except KeyboardInterrupt:
        return "interrupted"
    except NonFiniteLoss:
        return "diverged"
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        return "diverged"  # a step that is too large for a number
    return "finished" if net.has_finite_loss(table) else "diverged"


def _is_whole(net: TrainingNet, table: Table) -> bool:
    """Whether a net that was interrupted anywhere can be used as it is."""
    try:
        net.settle()
        return net.module_.is_whole and net.has_finite_loss(table)
    except (RuntimeError, ValueError, IndexError):  # half of it was changed
        return False
