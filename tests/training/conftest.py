"""Tiny networks, tables and rules, to see what training does with them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sknm.compute.rows import Rows
from sknm.encoding.encoder import Identity
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.problem import SolverOptions
from sknm.graph.recursion import Recursion
from sknm.graph.recursion_state import RecursionState
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.fixed import FixedRule, NoRule
from sknm.training.batches import Table
from sknm.training.callbacks import Monitor
from sknm.training.engine import SILENT, train
from sknm.training.equation import EquationNetwork
from sknm.training.losses import SquaredError
from sknm.training.net import TrainingNet
from sknm.training.recipe import Constant, Course, Options
from sknm.training.recursive import RecursiveNetwork

N_FEATURES, N_OUTPUTS = 3, 2
TIGHT = SolverOptions("auto", 1e-12, 1e-12, max_iter=500)


def modular():
    blocks = [torch.ones(4, 4), torch.ones(3, 3), torch.ones(1, 1)]
    return Topology(torch.block_diag(*blocks).bool().fill_diagonal_(False).numpy())


def cyclic():
    complete = ~torch.eye(6, dtype=torch.bool)
    return Topology(complete.numpy())


def mixed():
    """Two cycles, a path between them, and nodes on none."""
    mask = torch.zeros(7, 7, dtype=torch.bool)
    for i, j in [(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 3), (4, 5), (0, 6)]:
        mask[i, j] = True
    return Topology(mask.numpy())


GRAPHS = {
    "modules": (modular(), None, None),
    "complete": (cyclic(), None, None),
    "mixed": (mixed(), None, None),
    "layers": (Topology.layered([4, 3]), 4, 3),
    "acyclic": (Topology.triangular(6), None, None),
}


@dataclass
class Watched(FixedRule):
    """Changes nothing; writes down what it is asked, and wants some rounds more."""

    n_more_rounds: int = 0

    def __post_init__(self):
        self.calls, self.n_left = [], self.n_more_rounds

    def start(self, graph):
        super().start(graph)
        self.calls.append("start")

    def step(self, graph, step):
        self.calls.append("step")

    def epoch(self, graph, epoch):
        self.calls.append(("epoch", epoch.number, epoch.is_last))
        change = super().epoch(graph, epoch)
        goes_on = epoch.is_last and self.n_left > 0
        self.n_left -= goes_on
        return type(change)(record=epoch.number, goes_on=goes_on, summary="as ever")

    def end(self, graph):
        self.calls.append("end")


@pytest.fixture
def watched():
    """A rule that writes down what it is asked."""
    return Watched


@pytest.fixture(scope="session")
def make_table():
    """Return a function that makes rows and linear targets."""

    def make(n_rows=30, *, n_features=N_FEATURES, is_weighted=False, seed=0):
        generator = torch.Generator().manual_seed(seed)
        size, options = (n_rows, n_features), {"dtype": torch.float64}
        X = torch.randn(size, generator=generator, **options)
        slopes = torch.randn(n_features, N_OUTPUTS, generator=generator, **options)
        weights = None
        if is_weighted:
            weights = torch.rand(n_rows, generator=generator, **options) + 0.1
            weights /= weights.mean()
        return Table(Rows(X.numpy()), X @ slopes, weights)

    return make


@pytest.fixture(scope="session")
def make_network():
    """Return a function that makes a network over a graph, of two layers if none."""

    def make(topology=None, *, n_inlets=None, n_outlets=None, **options):
        if topology is None:
            topology, n_inlets, n_outlets = Topology.layered([4, 3]), 4, 3
        n = topology.n_nodes
        generator = torch.Generator().manual_seed(options.get("seed", 0))

        def draw(*shape):
            return 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

        W = (draw(n, n) / n**0.5).fill_diagonal_(0)
        graph = EquationState(W, draw(n), topology)
        graph.train_on("edges", 1.0)
        network = EquationNetwork(
            options.get("encoder", Identity(N_FEATURES)),
            graph,
            draw(N_FEATURES, n_inlets or n),
            draw(n_outlets or n, N_OUTPUTS),
            generator,
        )
        network.sigma = ACTIVATIONS[options.get("activation", "tanh")]
        network.dropout = options.get("dropout", 0.0)
        network.training_options = network.options = TIGHT
        if options.get("n_members", 1) > 1:
            network.multiply(options["n_members"])
        return network

    return make


@pytest.fixture(scope="session")
def make_on(make_network):
    """Return a function that makes a network over a graph of that name."""

    def make(name, **options):
        topology, n_inlets, n_outlets = GRAPHS[name]
        return make_network(topology, n_inlets=n_inlets, n_outlets=n_outlets, **options)

    return make


@pytest.fixture(scope="session")
def make_recursive():
    """Return a function that makes a recursive network of a few neurons."""

    def make(
        n_nodes=4, n_steps=3, *, activation="tanh", dropout=0.0, price=0.0, n_members=1
    ):
        n_outputs = N_OUTPUTS * n_members
        n = N_FEATURES + n_nodes + n_outputs
        generator = torch.Generator().manual_seed(0)
        W = torch.randn(n, n, generator=generator, dtype=torch.float64) / n**0.5
        b = torch.randn(n, generator=generator, dtype=torch.float64) / 4
        graph = RecursionState(W, b, Recursion.whole(n, N_FEATURES, n_outputs, n_steps))
        network = RecursiveNetwork(Identity(N_FEATURES), graph, generator)
        network.sigma, network.dropout = ACTIVATIONS[activation], dropout
        network.alpha_activity = price
        if n_members > 1:
            network.multiply(n_members)
        return network

    return make


@pytest.fixture(scope="session")
def make_net(make_network):
    """Return a function that makes a net, ready for steps of a constant rate."""

    def make(network=None, rule=None, *, rate=0.05, criterion=None, **options):
        network = make_network() if network is None else network
        if rule is None:
            is_equation = isinstance(network, EquationNetwork)
            rule = FixedRule() if is_equation else NoRule()
        defaults = {"optimizer": "adamw", "alpha": 0.01, "batch_size": 10}
        net = TrainingNet(
            network,
            SquaredError() if criterion is None else criterion,
            generator=network.generator,
            options=Options(**defaults | {"device": "cpu"} | options),
        ).initialize()
        net.schedule = Constant(rate)
        net.start(rule)
        return net

    return make


@pytest.fixture(scope="session")
def state_of():
    """Return a function that copies all tensors of a network or net."""

    def copy(network):
        module = getattr(network, "module_", network)
        return {k: p.detach().clone() for k, p in module.named_parameters()}

    return copy


@pytest.fixture(scope="session")
def assert_same():
    """Return a function that asserts that two states are the same bit for bit."""

    def check(found, expected):
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            np.testing.assert_array_equal(found[name], tensor, err_msg=name)

    return check


@pytest.fixture(scope="session")
def slopes():
    """Return a function from a loss and a tensor to the slopes of finite differences.

    The loss is that of the values that the tensor has when it is asked for.
    """

    def measure(loss, p, size=1e-6):
        flat, found = p.data.view(-1), torch.empty(p.numel(), dtype=torch.float64)
        for i in range(len(flat)):
            value, ends = flat[i].item(), []
            for flat[i] in (value + size, value - size):
                ends.append(loss().item())
            flat[i] = value
            found[i] = (ends[0] - ends[1]) / (2 * size)
        return found.view(p.shape)

    return measure


@pytest.fixture(scope="session")
def run():
    """Return a function that trains a net; it returns the ending, and the monitor."""

    def train_net(
        net,
        table,
        n_epochs=3,
        *,
        course=None,
        is_whole=True,
        score=None,
        stops=False,
        tol=0.0,
        patience=2,
        callbacks=(),
        telling=SILENT,
    ):
        monitor = Monitor(score, stops, tol, patience)
        course = course or Course(n_epochs, 0.05, is_whole)
        return train(net, table, course, monitor, callbacks, telling), monitor

    return train_net
