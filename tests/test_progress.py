"""What `verbose` shows of a training: a bar, a line at its end, or lines in the log."""

import io
import logging
import pickle
import re
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sknm import (
    FeedForwardClassifier,
    FreeNetClassifier,
    NeuralModuleClassifier,
    URNRegressor,
)
from sknm import _scikit_callbacks as support
from sknm.training import progress

LINE = r"FeedForwardClassifier: 4 of 4 epochs, \d+\.\d s, loss [\d.]+, 0 edges"


class Terminal(io.StringIO):
    """Takes what is written for a terminal's."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def frames(self):
        """Return what was drawn one after another on the last line."""
        return self.getvalue().rstrip("\n").split("\n")[-1].split("\r")[1:]

    def lines(self):
        """Return what is left to be seen, line by line."""
        return [line.split("\r")[-1].rstrip() for line in self.getvalue().split("\n")]


@pytest.fixture
def terminal(monkeypatch):
    """Have a terminal in the place of stderr, which is the tests' own."""
    there = SimpleNamespace(stderr=Terminal(), modules=sys.modules)
    monkeypatch.setattr(progress, "sys", there)
    return there.stderr


@contextmanager
def nobody_listening():
    """Take away the handlers that the tests' own logging has set up."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = handlers


def make(estimator=FeedForwardClassifier, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 4, "batch_size": 40, "random_state": 0}
    return estimator(**defaults | parameters)


def interrupting(error, n_epochs=2):
    """Make a callback that raises something after some epochs."""

    class Raising(Callback):
        def on_epoch_end(self, net, **kwargs):
            is_interrupt = isinstance(error, KeyboardInterrupt)
            if net.n_epochs == n_epochs and not is_interrupt:
                raise error

        def on_epoch_begin(self, net, **kwargs):
            # An interrupt by a callback after an epoch would only end the training.
            if isinstance(error, KeyboardInterrupt) and net.n_epochs == n_epochs:
                raise error

    return Raising()


# The bar.


@pytest.mark.parametrize("kind", [NeuralModuleClassifier, URNRegressor])
def test_a_bar_is_left_full_and_tells_what_came_out(overlapping, kind, terminal):
    X, y = overlapping
    model = make(kind, verbose=1).fit(X, y, X_val=X, y_val=y)
    frames = terminal.frames()
    assert frames[0].startswith("epoch 1 of 4 |            | ")
    line, end = terminal.lines()
    assert end == ""
    score = model.validation_scores_[-1]
    told = f"loss {model.loss_:#.4g}, score {score:#.4g}"
    assert re.fullmatch(rf"4 of 4 epochs \|█{{12}}\| 00:\d\d, {told}(, \d.*)?", line)


def test_being_shown_changes_nothing_and_silence_is_the_default(
    overlapping, answers, every_estimator, terminal, caplog, capsys
):
    X, y = overlapping
    shown = make(every_estimator, verbose=1).fit(X, y)
    assert terminal.getvalue()
    terminal.truncate(0)
    alone = make(every_estimator).fit(X, y)
    assert terminal.getvalue() == "".join(capsys.readouterr()) == ""
    assert caplog.messages == []
    assert shown.loss_curve_ == alone.loss_curve_
    np.testing.assert_array_equal(answers(shown, X), answers(alone, X))
    shown.verbose = 0
    assert len(pickle.dumps(shown)) == len(pickle.dumps(alone))


def test_a_bar_is_redrawn_in_place_with_each_batch(overlapping, terminal, monkeypatch):
    X, y = overlapping
    monkeypatch.setattr("tqdm.std.tqdm.__init__", drawn_each_time())
    make(verbose=1, max_iter=2).fit(X, y)
    places = [frame.split("|")[0] for frame in terminal.frames()]
    assert places.count("epoch 1 of 2 ") >= 3  # 120 rows make three batches
    assert places.count("epoch 2 of 2 ") >= 3
    assert "\n" not in terminal.getvalue()[:-1]


def drawn_each_time():
    from tqdm.std import tqdm

    original = tqdm.__init__

    def begin(self, *args, **kwargs):
        original(self, *args, **kwargs | {"mininterval": 0})

    return begin


def test_a_bar_of_each_round_begins_anew(overlapping, terminal, monkeypatch):
    monkeypatch.setattr("tqdm.std.tqdm.__init__", drawn_each_time())
    options = {"evolve_interval": "convergence", "max_evolutions": 2}
    make(FreeNetClassifier, verbose=1, max_iter=2, **options).fit(*overlapping)
    text = terminal.getvalue()
    assert "epoch 2 of 2 |" in text
    assert "\rround 2, epoch 1 of 2 |            |" in text
    assert re.match(r"6 epochs in 3 rounds \|█{12}\|.* edges?$", terminal.lines()[0])


def test_a_bar_tells_that_training_stopped_early(overlapping, terminal):
    options = {"early_stopping": True, "n_iter_no_change": 1, "tol": 10.0}
    model = make(verbose=1, max_iter=50, **options).fit(*overlapping)
    assert model.n_iter_ == 2
    assert re.match(r"2 of 50 epochs \|█{12}\|", terminal.lines()[0])


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("interrupt", "interrupted, loss"),
        ("divergence", "diverged"),
        ("error of the user", "failed, loss"),
    ],
)
def test_a_bar_stays_where_a_training_ends_too_soon(overlapping, terminal, case, told):
    model = make(verbose=1)
    if case == "divergence":
        model.set_params(learning_rate_init=1e30)
        with pytest.raises(ValueError, match="finite"):
            model.fit(*overlapping)
    elif case == "interrupt":
        model.set_params(callbacks=[interrupting(KeyboardInterrupt())])
        with pytest.warns(UserWarning, match="interrupted after 2"):
            model.fit(*overlapping)
    else:
        model.set_params(callbacks=[interrupting(RuntimeError("of the user"))])
        with pytest.raises(RuntimeError, match="of the user"):
            model.fit(*overlapping)
    line, end = terminal.lines()
    assert re.match(rf"[02] of 4 epochs \|[^|]* [^|]*\| 00:\d\d, {told}", line)
    assert end == ""


def test_a_part_of_a_training_leaves_nothing_behind(overlapping, terminal):
    X, y = overlapping
    model = make(verbose=1)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1])
    assert terminal.getvalue() == ""


def test_a_part_that_takes_long_has_a_bar(overlapping, terminal, monkeypatch):
    monkeypatch.setattr("sknm.training.progress.PATIENCE", 0)
    model = make(verbose=1)
    for n in (1, 2):
        model.partial_fit(*overlapping, classes=[0, 1])
        assert f"\repoch {n} |" in terminal.getvalue()
    assert terminal.lines() == [""]


def test_a_warm_start_has_a_bar_of_its_own_epochs(overlapping, terminal):
    model = make(verbose=1, warm_start=True)
    assert model.fit(*overlapping).fit(*overlapping).n_iter_ == 8
    first, second, _ = terminal.lines()
    assert first.startswith("4 of 4 epochs |")
    assert second.startswith("4 of 4 epochs |")


def test_bars_write_into_the_cells_of_notebooks(overlapping, capsys, monkeypatch):
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    make(verbose=1).fit(*overlapping)
    text = capsys.readouterr().err
    assert "\repoch 1 of 4 |" in text
    assert text.count("\n") == 1


def test_an_interactive_shell_without_a_terminal_is_no_notebook(
    overlapping, capsys, monkeypatch
):
    for shell in (None, SimpleNamespace(config={})):
        module = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", module)
        make(verbose=1).fit(*overlapping)
        assert re.fullmatch(LINE, capsys.readouterr().err.strip())


def test_no_thread_looks_after_bars(overlapping, terminal):
    before = threading.active_count()
    make(verbose=1).fit(*overlapping)
    assert threading.active_count() == before


def test_a_bar_of_scikit_learn_takes_the_place_of_ours(
    overlapping, monkeypatch, terminal
):
    class Drawn:
        pass

    monkeypatch.setattr(support, "ProgressBar", Drawn)
    for verbose, left in ((0, 0), (1, 0), (True, 0), (2, 2)):
        estimator = SimpleNamespace(verbose=verbose, _skl_callbacks=[Drawn()])
        assert support.told_by_us(estimator) == left
        estimator._skl_callbacks = [object()]
        assert support.told_by_us(estimator) == verbose


# A line at the end.


def test_without_a_terminal_there_is_one_line(overlapping, capsys):
    make(verbose=True).fit(*overlapping)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(LINE, err.strip())
    model = make(verbose=1).partial_fit(*overlapping, classes=[0, 1])
    assert model.n_iter_ == 1
    assert capsys.readouterr().err == ""


def test_without_stderr_there_is_nothing(overlapping, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert make(verbose=1).fit(*overlapping).n_iter_ == 4


def test_threads_of_a_search_write_whole_lines(overlapping, terminal):
    search = GridSearchCV(make(verbose=1), {"alpha": [0.0, 0.1]}, cv=2, n_jobs=2)
    with parallel_config("threading"):
        search.fit(*overlapping)
    *lines, refit, end = terminal.lines()
    assert len(lines) == 4
    for line in lines:
        assert re.fullmatch(LINE, line)
    assert refit.startswith("4 of 4 epochs |")  # by the first thread, alone
    assert end == ""


@pytest.mark.slow
def test_processes_of_a_search_write_whole_lines(overlapping, capfd):
    get_reusable_executor().shutdown()  # those there are write to where they began
    form = r"FeedForwardClassifier, epoch \d of 4: loss [\d.]+, 0 edges"
    for verbose, n_lines, line in ((1, 4, LINE), (2, 16, form)):
        search = GridSearchCV(make(), {"alpha": [0.0, 0.1]}, cv=2, n_jobs=2)
        search.set_params(estimator__verbose=verbose, refit=False).fit(*overlapping)
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == n_lines
        assert all(re.fullmatch(line, told) for told in lines)
    get_reusable_executor().shutdown()


# The log.


@pytest.mark.parametrize("level", [2, 3])
def test_the_log_is_told_of_each_epoch(overlapping, caplog, level, terminal):
    X, y = overlapping
    model = make(NeuralModuleClassifier, verbose=level).fit(X, y, X_val=X, y_val=y)
    assert {(r.name, r.levelname) for r in caplog.records} == {("sknm", "INFO")}
    for k, message in enumerate(caplog.messages):
        loss, score = model.loss_curve_[k], model.validation_scores_[k]
        assert message.startswith(
            f"NeuralModuleClassifier, epoch {k + 1} of 4: loss {loss:#.4g}, "
            f"score {score:#.4g}, {model.module_history_[k]['n_modules']} module"
        )
    assert len(caplog.messages) == 4
    assert terminal.getvalue() == ""


def test_parts_are_counted_on_in_the_log(overlapping, caplog):
    model = make(verbose=2)
    for _ in range(3):
        model.partial_fit(*overlapping, classes=[0, 1])
    epochs = [message.split(":")[0].split(", ")[1] for message in caplog.messages]
    assert epochs == ["epoch 1", "epoch 2", "epoch 3"]


def test_a_plain_script_sees_the_lines(overlapping, capsys):
    with nobody_listening():
        make(verbose=2).fit(*overlapping)
    assert len(capsys.readouterr().err.splitlines()) == 4
    logger = logging.getLogger("sknm")
    assert (logger.handlers, logger.level, logger.propagate) == ([], 0, True)


def test_a_handler_that_drops_everything_is_none(overlapping, capsys):
    logger, handler = logging.getLogger("sknm"), logging.NullHandler()
    logger.addHandler(handler)
    with nobody_listening():
        make(verbose=2).fit(*overlapping)
    logger.removeHandler(handler)
    assert len(capsys.readouterr().err.splitlines()) == 4


@pytest.mark.parametrize("way", ["level", "filter", "disabled", "for all"])
def test_an_application_can_silence_the_log(overlapping, caplog, capsys, way):
    logger = logging.getLogger("sknm")
    hides = lambda record: False  # noqa: E731
    if way == "level":
        logger.setLevel(logging.WARNING)
    elif way == "filter":
        logger.addFilter(hides)
    elif way == "disabled":
        logger.disabled = True
    else:
        logging.disable(logging.INFO)
    try:
        make(verbose=2).fit(*overlapping)
    finally:
        logging.disable(logging.NOTSET)
        logger.setLevel(logging.NOTSET)
        logger.removeFilter(hides)
        logger.disabled = False
    assert caplog.messages == []
    assert capsys.readouterr().err == ""


def test_a_handler_of_the_application_gets_the_lines(overlapping, capsys):
    logger, kept = logging.getLogger("sknm"), io.StringIO()
    handler = logging.StreamHandler(kept)
    logger.addHandler(handler)
    try:
        with nobody_listening():
            make(verbose=2).fit(*overlapping)
    finally:
        logger.removeHandler(handler)
    assert len(kept.getvalue().splitlines()) == 4
    assert capsys.readouterr().err == ""
