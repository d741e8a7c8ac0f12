"""The net: its steps, how it goes on with other options, and what its pickles hold."""

import copy
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring

from sknm.graph.blocks import ModuleWeights
from sknm.graph.draw import draw_weights
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.modular import ModularRule
from sknm.plasticity.modules import ModulePenalty
from sknm.plasticity.rule import Change
from sknm.training import net as net_module
from sknm.training import tensor_net
from sknm.training.losses import SquaredError
from sknm.training.net import KEPT_HISTORY
from sknm.training.optimizers import OPTIMIZERS
from sknm.training.recipe import OneCycle
from sknm.training.tensor_net import NonFiniteLoss, StopTraining

STOCHASTIC = pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
EVERY = pytest.mark.parametrize("optimizer", OPTIMIZERS)
COPIED = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["deepcopy", "pickle"],
)  # fmt: skip


@dataclass
class Told(FixedRule):
    """Changes nothing; keeps what it is told."""

    def __post_init__(self):
        self.steps, self.epochs = [], []

    def step(self, graph, step):
        self.steps.append(step)

    def epoch(self, graph, epoch):
        self.epochs.append(epoch)
        return Change()


@dataclass
class Burying(FixedRule):
    """Takes the fifth neuron out of a recursive graph after the first epoch."""

    def start(self, graph):
        graph.train_on("all", 1.0)

    def epoch(self, graph, epoch):
        if epoch.number > 1:
            return Change()
        kept = np.delete(np.arange(graph.n_nodes), 4)
        return Change(survivors=graph.keep(kept, slice(0, len(kept))))


def steps(net, table, n_epochs=1):
    """Epochs without callbacks, engine and rule's turn."""
    for _ in range(n_epochs):
        for batch in net.get_iterator(table, training=True):
            net.train_step(batch)


def predict(net, table):
    network = net.module_.eval()
    with torch.no_grad():
        return network(table.X.take(slice(None), network.device))


# Steps


def test_step_follows_the_gradient_of_the_weighted_loss(make_net, make_table):
    table = make_table(8, is_weighted=True)
    net = make_net(optimizer="sgd", alpha=0.0, rate=1e-3)
    batch = table.take(slice(None))
    before = {k: p.detach().clone() for k, p in net.module_.named_parameters()}
    net.module_.eval()
    SquaredError()(net.module_(batch.X), batch.y, batch.weights).backward()
    gradients = {k: p.grad.clone() for k, p in net.module_.named_parameters()}
    net.train_step(batch)
    for name, p in net.module_.named_parameters():
        # The first step of Nesterov's momentum is 1.9 times as long.
        expected = before[name] - 1.9e-3 * gradients[name]
        torch.testing.assert_close(p.detach(), expected, atol=1e-9, rtol=1e-9)


def test_rate_of_a_step_is_that_of_the_schedule(make_net, make_table):
    rule = Told()
    net, table = make_net(rule=rule), make_table()
    net.schedule = OneCycle(0.1, 6)
    steps(net, table, 2)
    scale = net.module_.graph.group.step_scale
    assert [step.size for step in rule.steps] == [
        net.schedule(k) * scale for k in range(6)
    ]


@EVERY
def test_rule_is_told_of_each_step_after_the_weights_have_moved(
    make_net, make_table, optimizer
):
    rule = Told()
    table = make_table(10)
    net = make_net(rule=rule, optimizer=optimizer, batch_size=10)
    steps(net, table, 2)
    assert len(rule.steps) == 2
    assert all(step.flow.z.shape == (7, 10) for step in rule.steps)
    # L-BFGS goes far in a step.
    assert all(step.is_strained == (optimizer == "lbfgs") for step in rule.steps)


def test_activity_of_a_recursive_network_is_told(make_net, make_recursive, make_table):
    rule = Told()
    network = make_recursive()
    rule.start = Burying().start
    net = make_net(network, rule)
    steps(net, make_table(10))
    (step,) = rule.steps
    assert step.n_passes == 1
    assert step.activity.shape == (network.graph.n_nodes,)
    assert (step.activity > 0).all()


def test_price_of_activity_is_part_of_the_loss(make_net, make_recursive, make_table):
    free = make_net(make_recursive(price=0.0), Burying(), rate=0.0)
    priced = make_net(make_recursive(price=0.5), Burying(), rate=0.0)
    batch = make_table(10).take(slice(None))
    values = free.module_.values(batch.X).value
    activity = values[:, 1:-1].abs().sum((1, 2)).mean()
    difference = priced.train_step(batch)["loss"] - free.train_step(batch)["loss"]
    torch.testing.assert_close(difference, 0.5 * activity.detach())


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_infinite_loss_is_found_at_the_end_of_its_epoch(make_net, make_table, n_epochs):
    net, table = make_net(), make_table()
    iterator = net.get_iterator(table)

    def step(batch):
        return {"loss": torch.tensor(torch.inf)}

    with pytest.raises(NonFiniteLoss):
        net.run_single_epoch(iterator, True, "train", step)
    net.run_single_epoch(None, True, "valid", step)


def test_infinite_loss_is_looked_for_within_long_epochs(make_net, make_table):
    net, seen = make_net(batch_size=1), []

    def step(batch):
        seen.append(batch)
        return {"loss": torch.tensor(torch.nan if len(seen) > 3 else 0.0)}

    with pytest.raises(NonFiniteLoss):
        net.run_single_epoch(net.get_iterator(make_table(60)), True, "train", step)
    assert len(seen) == tensor_net.FINITE_CHECK_INTERVAL + 1


@pytest.mark.parametrize("loss", [1e39, torch.nan, -torch.inf])
def test_loss_that_single_precision_cannot_hold_is_not_finite(make_net, loss):
    with pytest.raises(NonFiniteLoss):
        make_net()._check_finite(torch.tensor(loss, dtype=torch.float64))


def test_node_values_are_those_of_all_rows(make_net, make_table, monkeypatch):
    monkeypatch.setattr(net_module, "CHUNK_ROWS", 8)
    net, table = make_net(), make_table(30, is_weighted=True)
    net.module_.train()
    values, weights = zip(*net.node_values(table), strict=True)
    assert net.module_.training
    assert [len(v) for v in values] == [8, 8, 8, 6]
    torch.testing.assert_close(torch.cat(weights), table.weights)
    net.module_.eval()
    with torch.no_grad():
        expected = net.module_.values(table.take(slice(None)).X).value
    torch.testing.assert_close(torch.cat(values), expected)


def test_epochs_of_all_trainings_are_counted(make_net, make_table):
    rule = Told()
    net, table = make_net(rule=rule), make_table()
    net.end_epoch(table, is_last=True)
    net.start(FixedRule(5))
    net.start(rule)
    net.end_epoch(table, is_last=False)
    assert [(e.number, e.is_last) for e in rule.epochs] == [(1, True), (2, False)]
    assert next(rule.epochs[0].node_values())[0].shape == (30, 7)


# Nodes that are gone


@STOCHASTIC
def test_what_is_remembered_of_survivors_stays(
    make_net, make_recursive, make_table, optimizer
):
    # A neuron that nobody hears, and that hears nobody, may go without a trace.
    def train(rule):
        network = make_recursive()
        W = network.graph.weights.data
        W[4], W[:, 4], network.graph.biases.data[4] = 0, 0, 0
        net, table = make_net(network, rule, optimizer=optimizer), make_table()
        steps(net, table)
        net.end_epoch(table, is_last=False)
        steps(net, table)
        return net

    @dataclass
    class Sparing(Burying):
        def epoch(self, graph, epoch):
            return Change()

    buried, spared = train(Burying()), train(Sparing())
    assert buried.module_.graph.n_nodes == spared.module_.graph.n_nodes - 1
    for name in ("node_weights", "node_biases"):
        expected = spared.module_.show(name)
        np.testing.assert_allclose(buried.module_.show(name), expected, atol=1e-12)


def test_optimiser_starts_anew_where_the_dead_come_back(
    make_net, make_recursive, make_table
):
    net, table = make_net(make_recursive(), Burying()), make_table()
    before, optimizer = net.module_.snapshot(), net.optimizer_
    steps(net, table)
    net.restore(net.module_.snapshot())
    assert net.optimizer_ is optimizer
    net.end_epoch(table, is_last=False)
    net.restore(before)
    assert net.optimizer_ is not optimizer
    steps(net, table)


# Starts


def test_equal_rule_goes_on_and_another_takes_its_place(make_net):
    rule = FixedRule(16)
    net = make_net(rule=rule)
    net.start(FixedRule(16))
    assert net.rule is rule
    other = FixedRule(4)
    net.start(other)
    assert net.rule is other
    net.finish(is_whole=True)
    assert net.rule == other
    assert net.rule is not other


@STOCHASTIC
@pytest.mark.parametrize("is_same", [True, False])
def test_momentum_of_the_weights_stays_with_the_rule(
    make_net, make_table, optimizer, is_same
):
    net, table = make_net(optimizer=optimizer), make_table()
    steps(net, table)
    options = next(
        g for g in net.optimizer_.param_groups
        if any(p is net.module_.graph.weights for p in g["params"])
    )  # fmt: skip
    net.start(FixedRule() if is_same else FixedRule(3))
    memory = net.optimizer_.memory()["steps"]
    k = next(k for k, g in enumerate(net.optimizer_.param_groups) if g is options)
    of_weights = memory[k]
    if optimizer == "adamw":
        of_weights = of_weights["means"]
    assert np.any(of_weights[0]) == is_same


def test_records_are_trimmed_as_a_training_starts(make_net):
    net = make_net()
    rows = [{"k": k} for k in range(KEPT_HISTORY + 7)]
    net.history.extend(rows)
    net.records.extend(rows)
    net.module_.graph.log.extend(rows[:3])
    net.start(FixedRule())
    assert list(net.history) == net.records == rows[7:]
    assert net.module_.graph.log == rows[:3]


# Other options


@EVERY
def test_net_goes_on_with_other_options(make_net, make_table, optimizer):
    net, table = make_net(), make_table()
    steps(net, table)
    criterion = SquaredError()
    options = replace(net.options, optimizer=optimizer, alpha=0.5, batch_size=7)
    net.follow(options, criterion)
    assert net.options is options
    assert net.criterion_ is criterion
    assert len(net.get_iterator(table)) == 5
    assert type(net.optimizer_) is OPTIMIZERS[optimizer]
    steps(net, table)


def test_momentum_stays_with_the_optimiser(make_net, make_table):
    net, table = make_net(), make_table()
    steps(net, table)
    optimizer, memory = net.optimizer_, net.optimizer_.memory()["steps"]
    net.follow(replace(net.options, alpha=0.5), SquaredError())
    assert net.optimizer_ is optimizer
    np.testing.assert_equal(optimizer.memory()["steps"], memory)
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.5}
    net.follow(replace(net.options, optimizer="sgd"), SquaredError())
    net.follow(replace(net.options, optimizer="adamw"), SquaredError())
    assert not net.optimizer_.memory()["steps"]


def test_net_on_another_device_goes_on_as_after_a_training(make_net, make_table):
    net, table = make_net(), make_table()
    steps(net, table)
    expected, rule = predict(net, table), net.rule
    net.follow(replace(net.options, device="cpu:0"), SquaredError())
    assert net.device == "cpu:0"
    assert net.rule == rule
    assert net.rule is not rule
    for remembered in net.optimizer_.memory()["steps"]:
        assert remembered["outlines"]
        assert not remembered["means"]
    torch.testing.assert_close(predict(net, table), expected)


# Ends


@pytest.mark.parametrize("is_whole", [True, False])
def test_momentum_is_dropped_with_the_end_of_a_training(
    make_net, make_table, watched, is_whole
):
    net, table = make_net(rule=watched()), make_table()
    rule = net.rule
    steps(net, table)
    memory = net.module_.memory
    net.finish(is_whole)
    assert rule.calls[-1] == "end"
    assert (net.rule is rule) != is_whole
    (remembered, *_) = net.optimizer_.memory()["steps"]
    assert bool(remembered["means"]) != is_whole
    assert bool(remembered["outlines"]) == is_whole
    assert net.module_.memory is not memory
    assert not net.module_.training


def test_going_back_makes_new_parameters(make_net, make_table, state_of, assert_same):
    net, table = make_net(), make_table()
    steps(net, table)
    snapshot, expected = net.module_.snapshot(), state_of(net)
    params = list(net.module_.parameters())
    rule, optimizer = net.rule, net.optimizer_
    steps(net, table)
    net.module_.output_biases.requires_grad_(False)
    net.go_back(snapshot)
    assert_same(state_of(net), expected)
    now = list(net.module_.parameters())
    assert not {id(p) for p in params} & {id(p) for p in now}
    assert all(p.grad is None for p in now)
    assert net.optimizer_ is not optimizer
    moved = {id(p) for g in net.optimizer_.param_groups for p in g["params"]}
    assert moved == {id(p) for p in now}
    assert not net.module_.output_biases.requires_grad
    assert net.rule is rule


def test_half_a_net_is_not_whole(make_net, make_recursive, make_table):
    net, table = make_net(make_recursive(), Burying()), make_table()
    assert net.is_whole(table)
    weights = net.module_.graph.weights
    weights.data = weights.data[:-1, :-1].clone()
    assert not net.is_whole(table)
    assert not make_whole_but_infinite(make_net()).is_whole(table)


def make_whole_but_infinite(net):
    net.module_.output_biases.data.fill_(torch.inf)
    return net


def test_outputs_of_every_row_have_to_be_finite(make_net, make_table):
    net, table = make_net(batch_size=10), make_table(30)
    assert net.has_finite_outputs(table)
    table.X._X[29] = torch.inf
    assert net.has_finite_loss(table)  # of the first batch
    assert not net.has_finite_outputs(table)


def test_sparsified_net_predicts_the_same(make_net, make_table):
    net, table = make_net(), make_table()
    net.finish(is_whole=True)
    expected = predict(net, table)
    net.sparsify()
    assert net.module_.graph.plan.is_sparse
    assert net.rule is None
    torch.testing.assert_close(predict(net, table), expected)
    net.start(FixedRule())
    steps(net, table)


# Callbacks


def test_callbacks_are_initialised_when_they_are_new(make_net):
    class Counted(Callback):
        n = 0

        def initialize(self):
            self.n += 1
            return self

    net, user = make_net(), Counted()
    net.listen_to([user])
    net.listen_to([user])
    assert user.n == 1
    net.listen_to([])
    net.listen_to([user])
    assert user.n == 2


@pytest.mark.parametrize(
    ("callback", "hears"),
    [
        (EpochScoring("loss"), True),
        (("named", EpochScoring), True),
        (Callback(), False),
        (("named", Callback()), False),
    ],
    ids=["scoring", "its class", "silent", "named"],
)
def test_batches_are_told_only_where_somebody_listens(make_net, callback, hears):
    net = make_net()
    if isinstance(callback, tuple) and isinstance(callback[1], type):
        assert tensor_net._hears_batches(callback) == hears
        return
    net.listen_to([callback])
    assert net._tells_batches == hears


def test_interrupt_of_the_packages_own_callbacks_is_passed_on(make_net):
    class Interrupting(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    net = make_net()
    net.listen_to([Interrupting()])
    with pytest.raises(StopTraining):
        net.notify("on_epoch_end")
    net.listen_to([], before=[Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        net.notify("on_epoch_end")


@pytest.mark.parametrize("name", ["fit", "predict", "set_params", "__sklearn_clone__"])
def test_methods_that_mean_nothing_say_where_to_go(make_net, name):
    with pytest.raises(NotImplementedError, match=rf"net_\.{name} .* estimator"):
        getattr(make_net(), name)()


# Pickles


def modular(make_network):
    """A network of three modules, whose weights inside are trained apart."""
    W = draw_weights([4, 4, 4], 0.05, 1.0, torch.Generator().manual_seed(0)).double()
    network = make_network(Topology(W.numpy() != 0), dropout=0.2)
    network.graph.weights.data.copy_(W)
    return network


def make_modular_rule():
    return ModularRule(0.05, ModulePenalty("bridge", 1.5), "weak", "monotone", 0.3)


@COPIED
@STOCHASTIC
@pytest.mark.parametrize("kind", ["layers", "modules"])
def test_copy_of_a_training_that_goes_on_goes_on_the_same(
    make_net, make_network, make_table, run, state_of, assert_same, copied, optimizer,
    kind,
):  # fmt: skip
    if kind == "layers":
        network, rule = make_network(dropout=0.2), FixedRule
    else:
        network, rule = modular(make_network), make_modular_rule
    net, table = make_net(network, rule(), optimizer=optimizer), make_table()
    run(net, table, 2, is_whole=False)
    net.finish(is_whole=False)
    other = copied(net)
    assert other.rule == net.rule
    assert_same(state_of(other), state_of(net))
    assert torch.equal(predict(other, table), predict(net, table))
    for each in (net, other):
        each.start(rule())
        run(each, table, 2, is_whole=False)
    assert isinstance(net.module_.graph.trained, ModuleWeights) == (kind == "modules")
    assert_same(state_of(other), state_of(net))
    assert other.history == net.history
    assert other.records == net.records
    assert other.n_epochs == net.n_epochs == 4


@COPIED
def test_copy_shares_nothing(make_net, make_table, state_of, assert_same, copied):
    net, table = make_net(), make_table()
    steps(net, table)
    net.records.append({"k": 1})
    other = copied(net)
    expected, numbers = state_of(net), net.generator.get_state()
    other.start(FixedRule())
    steps(other, table, 2)
    other.records.append(None)
    assert_same(state_of(net), expected)
    assert torch.equal(net.generator.get_state(), numbers)
    assert net.records == [{"k": 1}]
    assert other.module_.generator is other.generator


def test_ended_training_pickles_no_momentum(make_net, make_table):
    net, table = make_net(), make_table()
    steps(net, table)
    size = len(pickle.dumps(net))
    net.finish(is_whole=True)
    for remembered in net.__getstate__()["memory"]["steps"]:
        assert not remembered["means"]
        assert not remembered["squares"]
    assert len(pickle.dumps(net)) < 0.9 * size


def test_pickles_hold_arrays_and_plain_objects(make_net, make_table):
    net = make_net()
    steps(net, make_table())
    assert b"torch" not in pickle.dumps(net)


def test_net_of_a_device_that_is_gone_comes_back_on_the_cpu(make_net):
    state = make_net().__getstate__() | {"device": "cuda:99"}
    net = object.__new__(net_module.TrainingNet)
    net.__setstate__(copy.deepcopy(state))
    assert net.device == "cpu"
    assert net.options.device == "cpu"
