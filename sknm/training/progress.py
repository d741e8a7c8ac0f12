"""How a user sees a training while it lasts: a bar, or a line for each epoch."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from dataclasses import dataclass
from multiprocessing import current_process
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback

from sknm.training.callbacks import Turn
from sknm.training.net import TrainingNet

if TYPE_CHECKING:
    from sknm.training.engine import Ending

BAR = "{desc} |{bar:12}| {remaining} left{postfix}"
"""A bar of a terminal: what matters least comes last, where narrow ones cut it off."""

PATIENCE = 0.5
"""Seconds after which a part of a training gets a bar."""

LOGGER = "sknm"
"""Name of the logger that is told of epochs."""


@dataclass(frozen=True)
class Telling:
    """How much is told of a training.

    Attributes
    ----------
    verbose : int, default=0
        0: nothing; 1: a bar, or a line at the end where no bar can be drawn; 2 or more:
        a line for each epoch, in the log.
    name : str, default=""
        Of what is trained, for the lines.
    """

    verbose: int = 0
    name: str = ""

    def callbacks(self, turn: Turn) -> list[Progress]:
        """Make what tells.

        Parameters
        ----------
        turn : Turn
            Knows the course of the training, and what the rule makes of it.

        Returns
        -------
        list of Progress
            To be called after `turn`.
        """
        if not self.verbose:
            return []
        if self.verbose > 1:
            return [Lines(turn, self.name)]
        return [Bar(turn, self.name) if can_draw() else LastLine(turn, self.name)]


class Progress(Callback):
    """Counts rounds and epochs, and puts into words where the training is.

    Parameters
    ----------
    turn : Turn
        Knows the course of the training, and what the rule makes of it.
    name : str
        Of what is trained.
    """

    def __init__(self, turn: Turn, name: str) -> None:
        self.turn = turn
        self.name = name
        self.n_rounds = self.n_epochs = self.n_before = 0
        self.facts = ""
        self.begun = time.perf_counter()

    def on_train_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Begin a round."""
        self.n_rounds += 1
        self.n_before += self.n_epochs
        self.n_epochs = 0

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Take down what the epoch brought."""
        self.n_epochs += 1
        epoch = net.history[-1]
        told = [f"loss {epoch['train_loss']:#.4g}"]
        if "valid_score" in epoch:
            told.append(f"score {epoch['valid_score']:#.4g}")
        self.facts = ", ".join([*told, self.turn.change.summary]).removesuffix(", ")

    def close(self, ending: Ending) -> None:
        """Come to an end.

        Parameters
        ----------
        ending : {"finished", "interrupted", "diverged", "lost", "failed"}
            How the training has ended.
        """

    def _place(self, n: int, n_done: int) -> str:
        """Name an epoch: the n-th of a round, `n_done` in all trainings."""
        course = self.turn.course
        if not course.is_whole:
            return f"epoch {n_done}"
        epoch = f"epoch {n} of {course.n_epochs}"
        return f"round {self.n_rounds}, {epoch}" if self.n_rounds > 1 else epoch

    def _summary(self, ending: Ending) -> tuple[str, str]:
        """Say how many epochs there were, and how it ended."""
        n_epochs, of_round = self.n_before + self.n_epochs, self.turn.course.n_epochs
        done = f"{n_epochs} of {of_round} epochs"
        if self.n_rounds > 1:
            done = f"{n_epochs} epochs in {self.n_rounds} rounds"
        how = {"finished": "", "lost": "diverged"}.get(ending, ending)
        return done, ", ".join(filter(None, [how, self.facts]))


class Lines(Progress):
    """Tells the log of each epoch."""

    def __init__(self, turn: Turn, name: str) -> None:
        super().__init__(turn, name)
        self._logger = open_log()

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Write a line."""
        super().on_epoch_end(net)
        place = self._place(self.n_epochs, net.n_epochs)
        self._logger.info("%s, %s: %s", self.name, place, self.facts)


class LastLine(Progress):
    """Writes a line at the end of a training: for files, and for workers of a search.

    Parts of a training get none: nobody knows how many there are.
    """

    def close(self, ending: Ending) -> None:
        """Write the line, in one piece, since others may write as well."""
        if self.turn.course.is_whole and sys.stderr is not None:
            done, facts = self._summary(ending)
            seconds = time.perf_counter() - self.begun
            line = ", ".join(filter(None, [done, f"{seconds:.1f} s", facts]))
            sys.stderr.write(f"{self.name}: {line}\n")
            sys.stderr.flush()


class Bar(Progress):
    """Draws a bar on a terminal or in a notebook, which moves with each batch."""

    _bar: Any = None

    def on_train_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Draw the bar of a round: from the beginning, and as fast as before."""
        super().on_train_begin(net)
        self._n_batches = len(net.get_iterator(kwargs["X"], training=True))
        if self._bar is None:
            self._bar = self._make(self._place(1, net.n_epochs + 1))
        self._begin_epoch(net)

    def on_batch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Move on, but for the last batch, after which comes the end of the epoch."""
        share = 1 / self._n_batches
        if self._bar.n + 1.5 * share < self.n_epochs + 1:
            self._bar.update(share)

    def on_epoch_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Move to where the epoch ends, and tell what it brought."""
        super().on_epoch_end(net)
        self._bar.set_postfix_str(self.facts, refresh=False)
        self._begin_epoch(net)

    def close(self, ending: Ending) -> None:
        """Leave the bar behind: full if the training has finished."""
        bar = self._bar
        if bar is None:
            return
        if ending == "finished":
            bar.n = self.n_epochs
            if bar.n < bar.total:  # it was stopped early
                begun = bar.start_t
                bar.reset(self.n_epochs)
                bar.start_t, bar.n = begun, self.n_epochs
        done, facts = self._summary(ending)
        bar.bar_format = bar.bar_format.replace("{remaining} left", "{elapsed}")
        bar.set_description_str(done, refresh=False)
        bar.set_postfix_str(facts, refresh=False)
        bar.close()

    def _make(self, place: str) -> Any:
        n_epochs, is_whole = self.turn.course.n_epochs, self.turn.course.is_whole
        return make_bar(place, n_epochs, is_whole, delay=0 if is_whole else PATIENCE)

    def _begin_epoch(self, net: TrainingNet) -> None:
        bar = self._bar
        if self.n_epochs < self.turn.course.n_epochs:
            place = self._place(self.n_epochs + 1, net.n_epochs + 1)
            bar.set_description_str(place, refresh=False)
        bar.n = self.n_epochs
        bar.last_print_n = min(bar.last_print_n, bar.n)
        bar.update(0)


def can_draw() -> bool:
    """Whether a bar can be drawn in place, and nobody else draws one there.

    Returns
    -------
    bool
        True on a terminal and in a notebook, but for workers of a search: processes and
        threads that know nothing of each other's bars.
    """
    is_first = current_process().name == "MainProcess"
    if not is_first or current_thread() is not main_thread() or sys.stderr is None:
        return False
    return in_notebook() or sys.stderr.isatty()


def in_notebook() -> bool:
    """Whether what is written goes to the cell of a notebook.

    Returns
    -------
    bool
        True for the kernels of Jupyter, whose output is no terminal.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def make_bar(desc: str, total: int, leave: bool, delay: float) -> Any:
    """Make a bar of tqdm's, which is a widget in notebooks that have any.

    Parameters
    ----------
    desc : str
        What stands before it.
    total : int
        Where it ends.
    leave : bool
        Whether it is to stay when it is closed.
    delay : float
        Seconds before it is drawn.

    Returns
    -------
    tqdm.tqdm
        The bar, drawn ten times a second at most.
    """
    with warnings.catch_warnings():  # a bar of text does where there are no widgets
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    class Alone(tqdm):
        monitor_interval = 0  # no thread that looks after bars

    is_widget = any(kind.__name__ == "tqdm_notebook" for kind in tqdm.__mro__)
    return Alone(
        desc=desc,
        total=total,
        leave=leave,
        delay=delay,
        file=sys.stderr,
        bar_format=BAR.replace(":12", "") if is_widget else BAR,
        dynamic_ncols=True,
        miniters=0,  # the time alone decides when to draw
    )


def open_log() -> logging.Logger:
    """Make a logger that writes like the one named "sknm", and if need be to stderr.

    It is this training's own, so that nothing of the application's logging is changed,
    and another training beside it doesn't matter: an application directs it by the
    logger "sknm" or any above it, by their handlers, and the former's level and
    filters. Where there are no handlers, nobody has set up anything.

    Returns
    -------
    logging.Logger
        Whose level is INFO, unless that of "sknm" is set.
    """
    known = logging.getLogger(LOGGER)
    logger = logging.Logger(LOGGER, known.level or logging.INFO)
    logger.parent, logger.disabled = known, known.disabled
    logger.addFilter(lambda record: bool(known.filter(record)))
    if not _has_handlers(known):
        logger.addHandler(logging.StreamHandler(sys.stderr))
        logger.propagate = False
    return logger


def _has_handlers(logger: logging.Logger | None) -> bool:
    """Whether what a logger is told goes anywhere."""
    if logger is None:
        return False
    if any(not isinstance(h, logging.NullHandler) for h in logger.handlers):
        return True
    return logger.propagate and _has_handlers(logger.parent)
