"""What is done after each epoch: scores, states to come back to, the rule's turn."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sknm.graph.draw import draw_weights
from sknm.graph.topology import Topology
from sknm.plasticity.coactivation import EvolvingRule
from sknm.plasticity.dying import DyingRule
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.modular import ModularRule
from sknm.plasticity.modules import ModulePenalty
from sknm.training.callbacks import Monitor
from sknm.training.tensor_net import NonFiniteLoss


def told(scores):
    """A score that is what it is told to be, one after another."""
    remaining = iter(scores)
    return lambda: next(remaining)


class States(Callback):
    """Keeps the state after each epoch."""

    def __init__(self, state_of):
        self.state_of, self.states = state_of, []

    def on_epoch_end(self, net, **kwargs):
        self.states.append(self.state_of(net))


@pytest.fixture
def states(state_of):
    return States(state_of)


# Early stopping


@pytest.mark.parametrize(
    ("scores", "best", "n_epochs"),
    [
        ([1, 2, 3, 4, 5, 6], 5, 6),
        ([1, 5, 2, 3, 4, 6], 1, 4),
        ([3, 3, 3, 3, 3, 3], 0, 3),
        ([1, 0, 2, 0, 3, 0], 4, 6),
        ([-3, -2, -9, -9, -9, 0], 1, 4),
    ],
)
def test_best_state_is_chosen_once_there_is_no_improvement_for_long(
    make_net, make_table, run, states, state_of, assert_same, scores, best, n_epochs
):
    net = make_net()
    ending, monitor = run(
        net, make_table(), 6, score=told(scores), stops=True, callbacks=[states]
    )
    assert ending == "finished"
    assert monitor.scores == scores[:n_epochs]
    assert net.history[:, "valid_score"] == monitor.scores
    # The last state that callbacks see is the best already.
    seen = [*states.states[:-1], states.states[-1]]
    assert_same(state_of(net), seen[best])
    assert_same(state_of(net), seen[-1])


def test_improvements_below_the_tolerance_do_not_count_but_may_be_the_best(
    make_net, make_table, run, states, state_of, assert_same
):
    net, scores = make_net(), [1.0, 1.05, 1.09, 2.0]
    _, monitor = run(
        net,
        make_table(),
        9,
        score=told(scores),
        stops=True,
        tol=0.1,
        callbacks=[states],
    )
    assert monitor.scores == scores[:3]
    assert_same(state_of(net), states.states[2])


def test_slow_improvement_counts_once_it_adds_up(make_net, make_table, run):
    # Compared is with the last one that counted.
    scores = [1.0, 1.06, 1.12, 1.18, 1.24, 1.3]
    _, monitor = run(
        make_net(), make_table(), 6, score=told(scores), stops=True, tol=0.1
    )
    assert monitor.scores == scores


def test_scores_alone_do_not_stop(
    make_net, make_table, run, states, state_of, assert_same
):
    net, scores = make_net(), [5, 4, 3, 2, 1]
    _, monitor = run(net, make_table(), 5, score=told(scores), callbacks=[states])
    assert monitor.scores == scores
    assert not monitor.is_over
    assert_same(state_of(net), states.states[-1])


def test_each_round_has_a_best_state_of_its_own(
    make_net, make_table, watched, run, states, state_of, assert_same
):
    net = make_net(rule=watched(n_more_rounds=1))
    scores = [9, 8, 8.5, 1, 3, 2]
    run(
        net,
        make_table(),
        3,
        score=told(scores),
        stops=True,
        patience=3,
        callbacks=[states],
    )
    assert_same(state_of(net), states.states[4])


def test_rule_has_its_last_turn_with_the_best_state(
    make_net, make_table, run, state_of, assert_same
):
    seen = []

    @dataclass
    class Seeing(FixedRule):
        def epoch(self, graph, epoch):
            seen.append((epoch.is_last, graph.weights.detach().clone()))
            return super().epoch(graph, epoch)

    net = make_net(rule=Seeing())
    run(net, make_table(), 9, score=told([1, 2, 0, 0]), stops=True)
    assert [is_last for is_last, _ in seen] == [False, False, False, True]
    assert torch.equal(seen[3][1], seen[1][1])
    assert torch.equal(net.module_.graph.weights, seen[3][1])


def test_score_is_that_of_the_net_as_it_would_be_left(make_net, make_table, run):
    @dataclass
    class Cutting(FixedRule):
        """Leaves no edge at the end."""

        def end(self, graph):
            graph.weights.data.zero_()
            graph.rewire(Topology(np.zeros((7, 7), bool)))

    net, seen = make_net(rule=Cutting()), []
    graph = net.module_.graph

    def score():
        seen.append(graph.topology.n_edges + int(graph.weights.detach().any()))
        return 0.0

    run(net, make_table(), 2, score=score)
    assert seen == [0, 0]
    assert graph.topology.n_edges == 12
    assert graph.weights.detach().any()


# A comparison leaves no trace


def modular():
    W = draw_weights([4, 4, 4], 0.05, 1.0, torch.Generator().manual_seed(0)).double()
    rule = ModularRule(0.05, ModulePenalty("bridge", 1.5), "weak", "monotone", 0.3)
    return W, rule


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["fixed", "modules", "free", "recursive"])
def test_comparison_leaves_no_trace_in_the_training(
    make_net,
    make_network,
    make_recursive,
    make_table,
    run,
    state_of,
    assert_same,
    kind,
    optimizer,
):
    def train(score, dropout=0.2):
        if kind == "fixed":
            network, rule = make_network(dropout=dropout), FixedRule()
        elif kind == "modules":
            W, rule = modular()
            network = make_network(Topology(W.numpy() != 0), dropout=dropout)
            network.graph.weights.data.copy_(W)
            if optimizer == "lbfgs":
                rule = rule.__class__(**vars_of(rule) | {"is_blockwise": False})
        elif kind == "free":
            network = make_network(
                Topology.triangular(8), activation="relu", dropout=dropout
            )
            rule = EvolvingRule(epsilon=0.4, interval=2)
        else:
            network = make_recursive(9, activation="relu", dropout=dropout)
            rule = DyingRule(alpha_weight=0.3, activation="relu")
        batch_size = 30 if optimizer == "lbfgs" else 4
        if optimizer == "lbfgs":
            network.dropout = 0.0
        net = make_net(network, rule, optimizer=optimizer, batch_size=batch_size)
        run(net, make_table(is_weighted=True), 6, score=score and (lambda: score(net)))
        return net

    def score(net):
        network = net.module_.eval()
        with torch.no_grad():
            return (
                network(make_table().X.take(slice(None), network.device)).sum().item()
            )

    with_score, without = train(score), train(None)
    assert_same(state_of(with_score), state_of(without))
    assert with_score.history[:, "train_loss"] == without.history[:, "train_loss"]
    assert with_score.records == without.records
    assert with_score.module_.graph.log == without.module_.graph.log
    states = [net.generator.get_state() for net in (with_score, without)]
    assert torch.equal(*states)


def vars_of(rule):
    return {name: getattr(rule, name) for name in rule.__dataclass_fields__}


def test_score_of_a_state_that_is_not_finite_is_not_asked_for(make_net, make_table):
    net, asked = make_net(), []
    monitor = Monitor(lambda: asked.append(None) or 0.0, False, 0.0, 2)
    monitor.on_train_begin(net)
    first = monitor.last
    net.module_.graph.biases.data.fill_(torch.inf)
    with pytest.raises(NonFiniteLoss):
        monitor.on_epoch_end(net)
    assert not asked
    assert monitor.last is first


def test_last_state_is_that_before_the_last_epoch(make_net, assert_same, state_of):
    net = make_net()
    monitor = Monitor(None, False, 0.0, 2)
    monitor.on_train_begin(net)
    states = [state_of(net)]
    for _ in range(3):
        net.module_.graph.biases.data += 1
        monitor.on_epoch_end(net)
        net.restore(monitor.last)
        assert_same(state_of(net), states[-1])
        net.module_.graph.biases.data += 1
        states.append(state_of(net))


# The rule's turn


def test_rule_is_asked_in_turn(make_net, make_table, watched, run):
    rule = watched()
    net = make_net(rule=rule)
    run(net, make_table(), 2)
    steps = ["step"] * 3
    assert rule.calls == [
        "start", *steps, ("epoch", 1, False), *steps, ("epoch", 2, True),
    ]  # fmt: skip
    net.finish(is_whole=True)
    assert rule.calls[-1] == "end"


def test_rule_ends_the_graph_for_each_score(make_net, make_table, watched, run):
    rule = watched()
    run(make_net(rule=rule), make_table(), 2, score=lambda: 0.0)
    around = [call for call in rule.calls if call != "step"]
    assert around == ["start", "end", ("epoch", 1, False), "end", ("epoch", 2, True)]


def test_last_epoch_needs_a_finite_loss(make_net, make_table, watched, run):
    rule = watched()
    net = make_net(rule=rule)

    class Spoil(Callback):
        def on_batch_end(self, net, **kwargs):
            if net.n_steps_ == 6:
                net.module_.graph.biases.data.fill_(torch.nan)

    ending, _ = run(net, make_table(), 2, callbacks=[Spoil()])
    assert ending == "diverged"
    assert ("epoch", 2, True) not in rule.calls
    assert net.module_.snapshot().is_finite()


def test_records_of_the_rule_are_kept(make_net, make_table, watched, run):
    net = make_net(rule=watched())
    run(net, make_table(), 3)
    assert net.records == [1, 2, 3]
