"""A rule of a user's: an estimator takes it by saying that it has it, and no more."""

import copy
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch.callbacks import Callback

from sknm import DAGRegressor, FreeNetClassifier, NeuralModuleClassifier, URNClassifier
from sknm._wording import counted
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.dying import DyingRule
from sknm.plasticity.fixed import FixedRule, NoRule
from sknm.plasticity.modular import ModularRule
from sknm.plasticity.rule import Change, Epoch, Remade, Step

N_NODES = 8
COPIED = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)


@dataclass
class Pruning(Remade):
    """Prunes the smallest share of the edges after each epoch, and asks for more.

    Parameters
    ----------
    share : float
        Share of the edges.
    n_more : int
        Rounds of training beside the first.
    """

    share: float = 0.1
    n_more: int = 1

    def __post_init__(self):
        self.n_left = self.n_more

    def start(self, graph):
        self.n_left = self.n_more
        topology = graph.topology if graph.plan is not None else self.all(graph)
        self.cut(graph, topology)
        graph.train_on("edges", 0.5)

    def step(self, graph, step):
        pass

    def epoch(self, graph, epoch):
        W, topology = graph.show(), graph.topology
        strengths = np.abs(W[topology.edges.nonzero()])
        n_pruned = int(self.share * topology.n_edges)
        least = np.partition(strengths, n_pruned)[n_pruned]
        self.cut(graph, Topology(topology.to_dense() & (np.abs(W) >= least)))
        graph.log.append({"pruned": n_pruned, "left": graph.topology.n_edges})
        goes_on = epoch.is_last and self.n_left > 0
        self.n_left -= goes_on
        return Change(None, epoch.is_last, goes_on, f"{graph.topology.n_edges} edges")

    def end(self, graph):
        pass

    @staticmethod
    def all(graph):
        """Every edge that there may be."""
        return Topology(~np.eye(graph.n_nodes, dtype=bool))

    @torch.no_grad()
    def cut(self, graph, topology):
        graph.rewire(topology)
        graph.weights.mul_(graph.plan.mask)


class PrunedFreeNet(FreeNetClassifier):
    def _make_rule(self):
        return Pruning()


class PrunedDAG(DAGRegressor):
    def _make_rule(self):
        return Pruning()


class PrunedModules(NeuralModuleClassifier):
    def _make_rule(self):
        return Pruning()


EVERY = pytest.mark.parametrize(
    "kind", [PrunedFreeNet, PrunedDAG, PrunedModules], ids=lambda e: e.__name__
)


def make(kind, **parameters):
    defaults = {"n_nodes": N_NODES, "max_iter": 3, "batch_size": 20, "random_state": 0}
    if kind is PrunedModules:  # whose guarantee is the business of its own rule
        defaults |= {"stability": None, "activation": "tanh"}
    return kind(**defaults | parameters)


def n_left(kind, n_epochs):
    """Count the edges after so many epochs."""
    n = N_NODES * (N_NODES - 1)
    n = n if kind is PrunedModules else n // 2
    for _ in range(n_epochs):
        n -= int(0.1 * n)
    return n


@pytest.fixture(scope="module")
def data():
    return make_classification(60, 5, n_redundant=0, n_informative=4, random_state=1)


class At(Callback):
    """Raises an error after an epoch, or as one begins."""

    def __init__(self, n_epochs, error):
        self.n_epochs, self.error, self.n_done = n_epochs, error, 0

    def on_epoch_begin(self, net, **kwargs):
        if self.n_done == self.n_epochs:
            raise self.error
        self.n_done += 1


class Graphs(Callback):
    """Keeps the edges and weights after each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.seen = getattr(self, "seen", [])

    def on_epoch_end(self, net, **kwargs):
        self.seen.append((net.module_.graph.topology, net.module_.graph.show()))


# In estimators


@EVERY
def test_fit_prunes_after_each_epoch_and_has_another_round(kind, data):
    X, y = data
    model = make(kind).fit(X, y)
    assert model.n_iter_ == 6
    assert model.topology_.n_edges == n_left(kind, 6)
    assert model.net_.records == [False, False, True] * 2
    assert [change["left"] for change in model.net_.module_.graph.log] == [
        n_left(kind, k) for k in range(1, 7)
    ]
    absent = ~model.topology_.to_dense()
    assert not model.node_weights_[absent].any()
    assert model.predict(X).shape == y.shape


@EVERY
def test_partial_fit_has_no_last_epoch(kind, data):
    X, y = data
    model = make(kind)
    options = {"classes": [0, 1]} if hasattr(model, "predict_proba") else {}
    for k in range(1, 4):
        model.partial_fit(X, y, **options)
        assert model.topology_.n_edges == n_left(kind, k)
        assert model.n_iter_ == k
    assert not any(model.net_.records)


@EVERY
def test_warm_start_goes_on_with_what_is_left(kind, data):
    model = make(kind, warm_start=True).fit(*data).fit(*data)
    assert model.topology_.n_edges == n_left(kind, 12)


@EVERY
def test_early_stopping_comes_back_to_the_best_graph(kind, data):
    X, y = data
    graphs = Graphs()
    model = make(
        kind, max_iter=20, early_stopping=True, n_iter_no_change=3, callbacks=[graphs],
        learning_rate_init=0.1,
    )  # fmt: skip
    model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    # Each round starts with what the last one has left, and has a best state.
    round_ends = [k for k, is_last in enumerate(model.net_.records) if is_last]
    scores = np.array(model.validation_scores_)
    assert len(round_ends) == 2
    start = round_ends[0] + 1
    best = start + int(np.argmax(scores[start:]))
    # The state was scored before the rule had its turn.
    before = graphs.seen[best - 1][0]
    assert model.topology_.n_edges == before.n_edges - int(0.1 * before.n_edges)


@EVERY
def test_interrupted_fit_is_fitted_as_far_as_it_got(kind, data):
    X, y = data
    model = make(kind, callbacks=[At(2, KeyboardInterrupt())])
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        model.fit(X, y)
    assert model.topology_.n_edges == n_left(kind, 2)
    assert model.predict(X).shape == y.shape


@EVERY
def test_failed_fit_leaves_the_graph_as_it_was(kind, data, answers):
    X, y = data
    model = make(kind, warm_start=True).fit(X, y)
    topology, expected = model.topology_, answers(model, X)
    log = list(model.net_.module_.graph.log)
    model.set_params(callbacks=[At(2, RuntimeError("failed"))])
    with pytest.raises(RuntimeError, match="failed"):
        model.fit(X, y)
    assert model.topology_ is topology
    assert model.net_.module_.graph.log == log
    np.testing.assert_array_equal(answers(model, X), expected)


@EVERY
@COPIED
def test_copies_predict_the_same_and_go_on_the_same(kind, copied, data, answers):
    X, y = data
    model = make(kind, warm_start=True).fit(X, y)
    other = copied(model)
    assert other.topology_ == model.topology_
    np.testing.assert_array_equal(answers(other, X), answers(model, X))
    for each in (model, other):
        each.partial_fit(X, y)
    again = copied(model)
    assert again.net_.rule.inner == Pruning()
    for each in (model, other, again):
        each.partial_fit(X, y)
    for each in (other, again):
        np.testing.assert_array_equal(each.node_weights_, model.node_weights_)
        np.testing.assert_array_equal(answers(each, X), answers(model, X))


@EVERY
def test_sparsified_model_predicts_the_same_and_goes_on(kind, data, answers):
    X, y = data
    model = make(kind, warm_start=True).fit(X, y)
    expected = answers(model, X)
    size = len(pickle.dumps(model.net_))
    model.sparsify()
    assert len(pickle.dumps(model.net_)) <= size + 100
    np.testing.assert_allclose(answers(model, X), expected, atol=1e-9)
    assert model.fit(X, y).topology_.n_edges == n_left(kind, 12)


def test_a_line_of_the_log_ends_with_the_summary_of_the_rule(data, caplog):
    make(PrunedFreeNet, verbose=2).fit(*data)
    assert [line.split(", ")[-1] for line in caplog.messages] == [
        f"{n_left(PrunedFreeNet, k)} edges" for k in range(1, 7)
    ]


@pytest.mark.parametrize(("n", "told"), [(0, "0 edges"), (1, "1 edge"), (2, "2 edges")])
def test_summaries_are_in_the_singular_and_the_plural(n, told):
    assert counted(n, "edge") == told


def test_rule_of_another_graph_does_for_neurons(data):
    @dataclass
    class Slow(DyingRule):
        """Takes out the last neuron beside the outputs after each epoch."""

        def epoch(self, graph, epoch):
            n = graph.n_nodes
            if n <= 8:
                return Change()
            kept = np.delete(np.arange(n), n - 3)
            survivors = graph.keep(kept, slice(0, n - 1))
            self._activity = None
            return Change(survivors=survivors)

    class SlowURN(URNClassifier):
        def _make_rule(self):
            return Slow()

    X, y = data
    model = SlowURN(n_nodes=6, max_iter=4, batch_size=20, random_state=0).fit(X, y)
    assert model.net_.module_.graph.n_nodes == 5 + 2 + 2
    assert len(model.predict(X)) == len(X)


# What rules have in common


RULES = [
    NoRule(),
    FixedRule(5, 0.5),
    ModularRule(0.1, connection="strong"),
    DyingRule(0.2),
    Pruning(0.3),
]
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


@EACH
def test_rules_that_do_the_same_are_equal(rule):
    assert replace(rule) == rule
    assert replace(rule) is not rule
    first = next(iter(rule.__dataclass_fields__))
    assert replace(rule, **{first: 0.77}) != rule
    assert all(rule != other for other in RULES if other is not rule)


@EACH
@COPIED
def test_copies_of_rules_have_their_parameters_only(rule, copied):
    other = copied(rule)
    assert other == rule
    assert vars(other).keys() == vars(rule).keys()
    assert vars(other).keys() == vars(replace(rule)).keys()


def test_what_a_rule_keeps_beside_its_parameters_is_not_pickled():
    rule = Pruning(n_more=3)
    rule.n_left = 1
    other = pickle.loads(pickle.dumps(rule))
    assert other.n_left == other.n_more == 3
    assert set(rule.__getstate__()) == {"share", "n_more"}


def test_what_a_step_and_an_epoch_offer_can_be_left_out():
    step, epoch, change = Step(0.1), Epoch(1), Change()
    assert not step.is_strained
    assert (step.flow, step.activity, step.n_passes) == (None, None, 0)
    assert not epoch.is_last
    assert epoch.node_values is None
    assert (change.survivors, change.record, change.summary) == (None, None, "")
    assert not change.goes_on


# Rules that leave a graph as it is


def graph_of(topology):
    n = topology.n_nodes
    generator = torch.Generator().manual_seed(0)
    return EquationState(
        torch.randn(n, n, generator=generator), torch.zeros(n), topology
    )


@pytest.mark.parametrize("rule", [NoRule(0.3), FixedRule(4)])
def test_graph_stays_as_it_starts(rule):
    graph = graph_of(Topology.triangular(6))
    rule.start(graph)
    expected, topology = graph.weights.detach().clone(), graph.topology
    rule.step(graph, Step(0.1))
    change = rule.epoch(graph, Epoch(1, is_last=True))
    rule.end(graph)
    assert torch.equal(graph.weights, expected)
    assert graph.topology is topology
    assert change.survivors is None
    assert not change.goes_on
