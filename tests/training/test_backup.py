"""Whatever a training has left of a net, it comes back as it was, bit for bit."""

import copy
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sknm.compute.arrays import to_numpy
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule
from sknm.plasticity.rule import Change
from sknm.training.backup import Backup
from sknm.training.losses import CrossEntropy, SquaredError


class Failure(Exception):
    """What a training comes to its end by."""


@dataclass
class Reckless(FixedRule):
    """Changes whatever a rule can, and fails where it is told to."""

    fails_at: str = ""

    def start(self, graph):
        super().start(graph)
        self._change(graph, "start")

    def step(self, graph, step):
        self._change(graph, "step")

    def epoch(self, graph, epoch):
        graph.rewire(Topology(np.zeros((graph.n_nodes,) * 2, bool)))
        self._change(graph, "epoch")
        return Change(record=len(graph.log))

    def end(self, graph):
        graph.weights.data.zero_()
        self._change(graph, "end")

    def _change(self, graph, place):
        graph.weights.data += 1
        graph.log.append({"place": place})
        graph.positions += 1
        graph.train_on("all", 0.123)
        if self.fails_at == place:
            raise Failure


@dataclass
class Burying(FixedRule):
    """Takes a neuron out of a recursive graph, and fails halfway or right after."""

    is_halfway: bool = False

    def start(self, graph):
        graph.train_on("all", 1.0)

    def epoch(self, graph, epoch):
        kept = np.delete(np.arange(graph.n_nodes), 4)
        if self.is_halfway:
            graph.weights.data = graph.weights.data[kept][:, kept]
        else:
            graph.keep(kept, slice(0, len(kept)))
        raise Failure


class Fail(Callback):
    def on_batch_end(self, net, **kwargs):
        if net.n_steps_ == 2:
            raise Failure


def trained(make_net, make_table, run, network=None, rule=None):
    """A net after a training, which is to go on."""
    net = make_net(network, rule)
    run(net, make_table(), 2, is_whole=False)
    net.module_.graph.positions = torch.rand(7, 2, generator=net.generator)
    net.records.extend([1, 2])
    net.module_.graph.log.append({"pruned": 1})
    net.finish(is_whole=False)
    return net


def everything(net):
    """All that a net is, but for what its rule and optimiser remember."""
    graph = net.module_.graph
    state = net.__getstate__()
    left_out = "network", "rule", "memory", "criterion"
    return {
        "tensors": {k: to_numpy(p) for k, p in net.module_.named_parameters()},
        "positions": None if graph.positions is None else to_numpy(graph.positions),
        "log": list(graph.log),
        "plan": graph.plan,
        "batch_size": net.batch_size,
        "criterion": net.criterion_,
        "module": {
            k: v
            for k, v in vars(net.module_).items()
            if not (k.startswith("_") or k in ("memory", "training"))
        },
        **{k: copy.deepcopy(v) for k, v in state.items() if k not in left_out},
    }


@pytest.fixture
def net(make_net, make_table, run):
    return trained(make_net, make_table, run)


def change_options(net):
    options = replace(
        net.options, optimizer="sgd", alpha=9.0, batch_size=3, device="cpu:0"
    )
    net.follow(options, CrossEntropy(0.5))
    net.module_.sigma, net.module_.dropout = None, 0.9
    net.module_.training_options = net.module_.options = None


@pytest.mark.parametrize("place", ["start", "step", "epoch", "end"])
def test_failure_of_a_rule_is_undone(net, make_table, run, place):
    before, backup = everything(net), Backup(net)

    def train():
        net.start(Reckless(fails_at=place))
        run(net, make_table(), 2, is_whole=False)
        net.finish(is_whole=False)

    with pytest.raises(Failure):
        train()
    backup.undo()
    np.testing.assert_equal(everything(net), before)


@pytest.mark.parametrize("is_whole", [True, False])
def test_training_that_came_to_its_end_is_undone(net, make_table, run, is_whole):
    before, backup = everything(net), Backup(net)
    net.start(Reckless())
    run(net, make_table(), 3, is_whole=is_whole)
    net.finish(is_whole)
    assert len(net.history) > 2
    backup.undo()
    np.testing.assert_equal(everything(net), before)


def test_failure_of_a_callback_is_undone(net, make_table, run):
    before, backup = everything(net), Backup(net)
    net.start(FixedRule())
    with pytest.raises(Failure):
        run(net, make_table(), 2, callbacks=[Fail()])
    backup.undo()
    np.testing.assert_equal(everything(net), before)


def test_other_options_are_undone(net):
    before, backup = everything(net), Backup(net)
    change_options(net)
    assert net.device == "cpu:0"
    backup.undo()
    np.testing.assert_equal(everything(net), before)
    assert type(net.optimizer_).__name__ == "AdamWOptimizer"
    assert {g["weight_decay"] for g in net.optimizer_.param_groups} == {0.01}


def test_failure_on_the_way_to_a_device_is_undone(net, monkeypatch):
    before, backup = everything(net), Backup(net)
    graph = net.module_.graph

    def fail(device):
        graph.weights.data.zero_()
        raise Failure

    with monkeypatch.context() as patch:
        patch.setattr(type(graph), "move", lambda self, device: fail(device))
        with pytest.raises(Failure):
            change_options(net)
    backup.undo()
    np.testing.assert_equal(everything(net), before)


@pytest.mark.parametrize("is_halfway", [True, False])
def test_dead_come_back(make_net, make_recursive, make_table, run, is_halfway):
    net = trained(make_net, make_table, run, make_recursive())
    before, backup = everything(net), Backup(net)
    net.start(Burying(is_halfway=is_halfway))
    with pytest.raises(Failure):
        run(net, make_table(), 2, is_whole=False)
    backup.undo()
    np.testing.assert_equal(everything(net), before)
    assert net.module_.graph.is_whole


def test_net_trains_on_afterwards(net, make_table, run, state_of, assert_same):
    # As one that has lost its momentum, too, but knows how large gradients are.
    other = pickle.loads(pickle.dumps(net))
    other.optimizer_.rest()
    backup = Backup(net)
    net.start(Reckless())
    run(net, make_table(), 2)
    backup.undo()
    assert net.rule == FixedRule()
    for each in (net, other):
        each.start(FixedRule())
        assert run(each, make_table(), 3)[0] == "finished"
    assert_same(state_of(net), state_of(other))


def test_backup_can_be_used_after_more_than_one_failure(net, make_table, run):
    before, backup = everything(net), Backup(net)
    for rule in (Reckless(), FixedRule()):
        net.start(rule)
        run(net, make_table(), 2)
        backup.undo()
        np.testing.assert_equal(everything(net), before)


def test_backup_of_a_net_that_was_never_trained_is_that_net(make_net):
    net = make_net(criterion=SquaredError())
    before, backup = everything(net), Backup(net)
    net.module_.graph.biases.data += 1
    net.history.append({"train_loss": 1.0})
    backup.undo()
    np.testing.assert_equal(everything(net), before)
