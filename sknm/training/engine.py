"""The training of a net: its rounds and epochs, and how they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from skorch.callbacks import Callback

from sknm.plasticity.rule import Change
from sknm.training.batches import Table
from sknm.training.callbacks import Monitor, Stop, Turn
from sknm.training.net import TrainingNet
from sknm.training.progress import Telling
from sknm.training.recipe import Course
from sknm.training.tensor_net import EndRound, NonFiniteLoss, StopTraining

Ending = Literal["finished", "interrupted", "diverged", "lost", "failed"]

SILENT = Telling()
"""Nothing is told."""


def train(
    net: TrainingNet,
    table: Table,
    course: Course,
    monitor: Monitor,
    callbacks: Sequence[Any] = (),
    telling: Telling = SILENT,
    listeners: Sequence[Callback] = (),
) -> Ending:
    """Train until there is reason to stop: for a round, or as many as the rule wants.

    Parameters
    ----------
    net : TrainingNet
        What to train.
    table : Table
        Training data.
    course : Course
        How long a round is.
    monitor : Monitor
        Looks at each epoch.
    callbacks : sequence of skorch.callbacks.Callback
        Those of the user.
    telling : Telling, default=SILENT
        How much the user is told.
    listeners : sequence of skorch.callbacks.Callback
        Others, of this training only: the net doesn't hold on to them.

    Returns
    -------
    {"finished", "interrupted", "diverged", "lost"}
        How it ended. After "diverged" the net is back in its last finite state; "lost"
        says that there was none.
    """
    turn = Turn(course, monitor)
    shown = telling.callbacks(turn)
    after = [*listeners, Stop(monitor)]
    net.listen_to(callbacks, before=[monitor, turn, *shown], after=after)
    ending: Ending = "finished"
    try:
        goes_on = True
        while goes_on and ending == "finished":
            ending = "failed"  # unless the round says otherwise
            ending = _round(net, table, course, turn)
            goes_on = course.is_whole and turn.change.goes_on
    finally:
        net.listen_to(callbacks)
        for progress in shown:
            progress.close(ending)
    monitor.forget()
    return ending


def _round(net: TrainingNet, table: Table, course: Course, turn: Turn) -> Ending:
    """Run epochs until the last one, or until there is reason to stop."""
    monitor = turn.monitor
    n_batches = len(net.get_iterator(table, training=True))
    net.schedule = course.schedule(n_batches)
    net.n_planned = course.n_epochs * n_batches if course.is_whole else None
    net.n_steps_ = 0
    net.notify("on_train_begin", X=table, y=None)
    ending = _loop(net, table, course.n_epochs, turn)
    if ending == "diverged":
        # What the optimiser remembers is no longer finite, either.
        net.go_back(monitor.last)
        ending = ending if net.has_finite_outputs(table) else "lost"
    else:
        monitor.choose(net)
        if ending == "interrupted":
            _recover(net, table, monitor)
    net.notify("on_train_end", X=table, y=None)
    return ending


def _loop(net: TrainingNet, table: Table, n_epochs: int, turn: Turn) -> Ending:
    try:
        net.fit_loop(table, epochs=n_epochs)
    except EndRound:
        pass
    except StopTraining:
        turn.change = Change()  # whatever the rule may want
    except KeyboardInterrupt:
        return "interrupted"
    except NonFiniteLoss:
        return "diverged"
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        return "diverged"  # a step that is too large for a number
    return "finished" if net.has_finite_loss(table) else "diverged"


def _recover(net: TrainingNet, table: Table, monitor: Monitor) -> None:
    """Leave a net that was interrupted anywhere in a state that can be used."""
    if not net.is_whole(table):
        net.go_back(monitor.last)
    elif not net.optimizer_.fits():  # nodes were removed, and it did not follow
        net.initialize_optimizer()
