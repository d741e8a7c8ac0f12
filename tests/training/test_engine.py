"""Rounds and epochs, and the four ways in which a training ends."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.rule import Change
from sknm.training.callbacks import Monitor, Stop, Turn
from sknm.training.recipe import Course

TOO_LARGE = 1e200


@dataclass(frozen=True)
class Jump(Course):
    """Steps of one size, up to one that is far too large."""

    n_small: int = 0

    def schedule(self, n_batches):
        return lambda step: self.rate if step < self.n_small else TOO_LARGE


class At(Callback):
    """Does something at a hook, the n-th time that it is told."""

    def __init__(self, hook, action, n=1):
        self.hook, self.action, self.left = hook, action, n
        # Skorch looks at the class whether batches are to be told of.
        kind = type("AtHook", (At,), {hook: At.hear})
        self.__class__ = kind

    def hear(self, net, **kwargs):
        self.left -= 1
        if self.left == 0:
            self.action()


def interrupt():
    raise KeyboardInterrupt


def epochs(rule):
    return [call for call in rule.calls if isinstance(call, tuple)]


# Rounds


@pytest.mark.parametrize("n_more", [0, 1, 3])
def test_rule_that_asks_for_rounds_gets_them(
    make_net, make_table, watched, run, n_more
):
    rule = watched(n_more_rounds=n_more)
    net = make_net(rule=rule)
    ending, _ = run(net, make_table(), n_epochs=2)
    assert ending == "finished"
    assert len(net.history) == net.n_epochs == 2 * (n_more + 1)
    numbers = range(1, 2 * (n_more + 1) + 1)
    assert epochs(rule) == [("epoch", k, k % 2 == 0) for k in numbers]


def test_rate_rises_and_falls_in_each_round(make_net, make_table, run, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        FixedRule, "step", lambda self, graph, step: sizes.append(step.size)
    )
    table = make_table()

    @dataclass
    class Again(FixedRule):
        n_left: int = 1

        def epoch(self, graph, epoch):
            self.n_left -= epoch.is_last
            change = super().epoch(graph, epoch)
            goes_on = epoch.is_last and self.n_left >= 0
            return type(change)(goes_on=goes_on)

    run(make_net(rule=Again()), table, n_epochs=2)
    schedule = Course(2, 0.05).schedule(3)
    assert sizes == 2 * [schedule(step) for step in range(6)]


def test_part_of_a_training_has_no_last_epoch(make_net, make_table, watched, run):
    rule = watched(n_more_rounds=5)
    net = make_net(rule=rule)
    assert run(net, make_table(), n_epochs=2, is_whole=False)[0] == "finished"
    assert epochs(rule) == [("epoch", 1, False), ("epoch", 2, False)]


def test_net_learns(make_net, make_table, run):
    net, table = make_net(), make_table()
    run(net, table, n_epochs=30)
    losses = net.history[:, "train_loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_loss_of_an_epoch_is_the_mean_over_its_rows(make_net, make_table, run):
    table = make_table(25)
    net = make_net(batch_size=10)
    course = Course(1, 0.0, is_whole=False)  # no step moves anything
    run(net, table, course=course)
    batch = table.take(slice(None))
    outputs = net.module_.eval()(batch.X)
    expected = net.criterion_(outputs, batch.y, None).item()
    assert net.history[-1]["train_loss"] == pytest.approx(expected, rel=1e-4)


# Endings


HOOKS = ["on_epoch_begin", "on_batch_begin", "on_batch_end"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("is_whole", [True, False])
def test_interrupt_at_a_hook_ends_the_training(
    make_net, make_table, run, hook, is_whole
):
    net, states = make_net(), []
    callback = At(hook, interrupt, n=3 if hook == "on_epoch_begin" else 7)
    watch = At("on_epoch_end", lambda: states.append(net.module_.snapshot()), 2)
    ending, _ = run(
        net, make_table(), n_epochs=9, is_whole=is_whole, callbacks=[callback, watch]
    )
    assert ending == "interrupted"
    assert sum("train_loss" in epoch for epoch in net.history) == 2
    assert net.has_finite_loss(make_table())
    assert len(states) == 1


def test_interrupt_keeps_the_steps_that_were_done(
    make_net, make_table, run, state_of, assert_same
):
    net, seen = make_net(), []
    halfway = At("on_batch_end", lambda: (seen.append(state_of(net)), interrupt()), 5)
    assert run(net, make_table(), callbacks=[halfway])[0] == "interrupted"
    assert_same(state_of(net), seen[0])


@pytest.mark.parametrize("place", ["step", "epoch"])
def test_interrupt_of_a_rule_ends_the_training(make_net, make_table, run, place):
    @dataclass
    class Interrupted(FixedRule):
        pass

    setattr(Interrupted, place, lambda self, graph, what: interrupt())
    net = make_net(rule=Interrupted())
    assert run(net, make_table())[0] == "interrupted"


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("n_before", [0, 4])
def test_interrupt_of_half_a_change_is_undone(
    make_net, make_table, run, state_of, assert_same, stops, n_before
):
    # After four steps, the first epoch of three has been kept.
    @dataclass
    class Half(FixedRule):
        def __post_init__(self):
            self.n_left = n_before

        def step(self, graph, step):
            self.n_left -= 1
            if self.n_left < 0:
                graph.weights.data.fill_(torch.nan)
                raise KeyboardInterrupt

    net = make_net(rule=Half())
    states = [state_of(net)]
    watch = At("on_epoch_end", lambda: states.append(state_of(net)))
    ending, _ = run(
        net, make_table(), score=lambda: 1.0, stops=stops, callbacks=[watch]
    )
    assert ending == "interrupted"
    best = 1 if stops and n_before else 0
    assert_same(state_of(net), states[best])


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_end"])
def test_interrupt_outside_of_the_epochs_is_passed_on(make_net, make_table, run, hook):
    net = make_net()
    with pytest.raises(KeyboardInterrupt):
        run(net, make_table(), callbacks=[At(hook, interrupt)])


def test_callback_may_end_a_training_after_an_epoch(make_net, make_table, run):
    net = make_net()
    callback = At("on_epoch_end", interrupt, n=2)
    assert run(net, make_table(), n_epochs=9, callbacks=[callback])[0] == "finished"
    assert len(net.history) == 2


@pytest.mark.parametrize("n_small", [1, 4, 7])
def test_net_that_diverged_is_back_in_its_last_finite_state(
    make_net, make_table, run, state_of, assert_same, n_small
):
    # An epoch has three steps; the loss of what the last one made comes with the next.
    net = make_net(optimizer="sgd")
    states = [state_of(net)]
    watch = [
        At("on_epoch_end", lambda: states.append(state_of(net)), n) for n in (1, 2)
    ]
    course = Jump(5, 0.01, n_small=n_small)
    ending, _ = run(net, make_table(), course=course, callbacks=watch)
    assert ending == "diverged"
    last = (n_small - 1) // 3  # epochs that have been done, but for the last of them
    assert_same(state_of(net), states[max(0, last - 1)])
    assert net.has_finite_outputs(make_table())


def test_net_that_diverged_trains_on(make_net, make_table, run):
    net, table = make_net(optimizer="sgd"), make_table()
    assert run(net, table, course=Jump(5, 0.01, n_small=4))[0] == "diverged"
    ending, _ = run(net, table, n_epochs=20)
    assert ending == "finished"
    assert net.history[-1]["train_loss"] < net.history[0]["train_loss"]


def test_overflow_of_a_step_is_divergence(make_net, make_table, run, monkeypatch):
    def overflow(self, graph, step):
        raise RuntimeError("value cannot be converted to type float without overflow")

    monkeypatch.setattr(FixedRule, "step", overflow)
    assert run(make_net(), make_table())[0] == "diverged"


def test_net_without_a_finite_state_is_lost(make_net, make_table, run):
    net = make_net()
    net.module_.graph.weights.data.fill_(torch.nan)
    assert run(net, make_table())[0] == "lost"


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), ValueError, MemoryError]
)
def test_other_errors_are_passed_on(make_net, make_table, run, error):
    def fail():
        raise error

    net, user = make_net(), At("on_batch_end", fail)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        run(net, make_table(), callbacks=[user])
    assert [callback for _, callback in net.callbacks_] == [user]


# Who is told


def test_callbacks_are_told_between_the_packages_own(make_net, make_table, run):
    net, seen = make_net(), []
    user = At("on_epoch_end", lambda: seen.extend(net.callbacks_))
    run(net, make_table(), callbacks=[user])
    assert [type(callback) for _, callback in seen] == [Monitor, Turn, type(user), Stop]
    assert [callback for _, callback in net.callbacks_] == [user]


def test_states_are_forgotten_at_the_end(make_net, make_table, run):
    _, monitor = run(make_net(), make_table(), score=lambda: 0.0, stops=True)
    held = [v for v in vars(monitor).values() if not isinstance(v, (int, float, list))]
    assert all(value is None or callable(value) for value in held)


# Recursive graphs, whose nodes may be gone


def test_optimiser_forgets_the_dead_where_their_burial_is_interrupted(
    make_net, make_recursive, make_table, run
):
    class Burial:
        """Takes out a neuron, and is interrupted before the optimiser hears of it."""

        n_left = 1

        def start(self, graph):
            graph.train_on("all", 1.0)

        def step(self, graph, step):
            pass

        def epoch(self, graph, epoch):
            if self.n_left:
                self.n_left -= 1
                kept = np.delete(np.arange(graph.n_nodes), 4)
                graph.keep(kept, slice(0, len(kept)))
                raise KeyboardInterrupt
            return Change()

        def end(self, graph):
            graph.settle()

    net, table = make_net(make_recursive(), Burial()), make_table()
    n_nodes = net.module_.graph.n_nodes
    assert run(net, table, is_whole=False)[0] == "interrupted"
    assert net.module_.graph.n_nodes == n_nodes - 1
    assert not net.optimizer_.memory()["steps"]
    assert run(net, table, is_whole=False)[0] == "finished"
