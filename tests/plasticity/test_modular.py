"""How modules stay, merge and split while weights are trained."""

import pickle
from itertools import pairwise

import pytest
import torch

from sknm.graph.blocks import ModuleWeights
from sknm.graph.draw import draw_weights
from sknm.graph.stability import excess
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.graph.trace import Flow
from sknm.plasticity import modular
from sknm.plasticity.bridges import SHORTEST_INTERVAL, update_interval
from sknm.plasticity.modular import (
    FIRST_INTERVAL,
    LONGEST_INTERVAL,
    LOOK_STEPS,
    REFERENCE_SIZE,
    ModularRule,
)
from sknm.plasticity.modules import ModulePenalty
from sknm.plasticity.rule import Epoch, Step

TAU = 0.05
STEP_SIZE = 0.004
SIZES = [3, 3, 3, 3]


def make_rule(
    penalty, strength=1.0, *, stability=None, connection="weak", blockwise=True
):
    return ModularRule(
        TAU,
        ModulePenalty(penalty, strength),
        connection,
        stability,
        margin=0.1,
        is_blockwise=blockwise,
    )


def graph_of(W):
    """A graph whose weights are W itself: tests look at them and change them."""
    return EquationState(W, torch.zeros(len(W)))


def start_weights(sizes=SIZES, gain=1.0, seed=0):
    return draw_weights(sizes, TAU, gain, torch.Generator().manual_seed(seed))


def inside(sizes=SIZES):
    return torch.from_numpy(Topology.modular(sizes).to_dense())


def between(sizes=SIZES):
    """Pairs of nodes in different modules."""
    return ~inside(sizes) & ~torch.eye(sum(sizes), dtype=torch.bool)


class Training:
    """Steps of one size against a gradient, as Adam makes them if it stays the same."""

    def __init__(self, rule, W):
        self.rule, self.W = rule, W
        self.graph = graph_of(W)
        rule.start(self.graph)

    @property
    def plan(self):
        return self.graph.plan

    @property
    def topology(self):
        return self.graph.topology

    @property
    def apart(self):
        """Pairs of nodes in different modules."""
        labels = torch.from_numpy(self.topology.weak_labels)
        return labels[:, None] != labels

    def run(self, gradient, n_steps, step_size=STEP_SIZE):
        for _ in range(n_steps):
            wanted = self.graph.trained
            step = step_size * gradient.sign()
            if isinstance(wanted, ModuleWeights):
                labels = self.topology.labels(self.rule.connection)
                moved = ModuleWeights(labels, self.W - step)
                for value, new in zip(wanted.values, moved.values, strict=True):
                    value.copy_(new)
            else:
                held = self.graph.group.held
                self.W -= step if held is None else step.masked_fill(held, 0)
            flow = Flow(gradient, torch.eye(len(self.W)))
            self.rule.step(self.graph, Step(step_size, flow=flow))
        return self.topology

    def rest(self, n_steps):
        """Steps without a gradient: only prices move weights."""
        return self.run(torch.zeros_like(self.W), n_steps)


def growing(W, pairs):
    """A gradient that makes the weights of `pairs` larger, whatever their sign."""
    return -W.sign() * pairs


# Modules stay, merge and split


def test_modules_stay_where_bridges_are_priced_above_a_step():
    W = start_weights()
    training = Training(make_rule("bridge", strength=4), W)
    first = training.topology
    last = training.run(growing(W, between()), 300)
    assert first.n_weak == last.n_weak == 4
    assert (last.weak_labels == first.weak_labels).all()


def test_modules_merge_into_one_where_nothing_is_priced():
    W = start_weights()
    training = Training(make_rule(None), W)
    assert training.topology.n_weak == 4
    assert training.run(growing(W, between()), 300).n_weak == 1


def test_dense_graph_splits_into_dense_modules_under_the_nm_penalty():
    sizes = [4, 4]
    W = torch.where(inside(sizes), 0.5, 0.1).fill_diagonal_(0)
    training = Training(make_rule("nm"), W)
    assert training.topology.n_weak == 1
    assert training.rest(20) == Topology.modular(sizes)
    assert W[between(sizes)].abs().max() <= TAU


def test_nm_prices_follow_the_modules():
    # In one module a step costs STEP_SIZE, in two modules half of that.
    W = torch.where(inside([4, 4]), 0.5, 0.06).fill_diagonal_(0)
    training = Training(make_rule("nm"), W)
    training.rest(FIRST_INTERVAL)
    halfway = W[0, 1].item()
    assert halfway == pytest.approx(0.5 - FIRST_INTERVAL * STEP_SIZE)
    training.rest(FIRST_INTERVAL)
    assert W[0, 1].item() == pytest.approx(halfway - FIRST_INTERVAL * STEP_SIZE / 2)


@pytest.mark.parametrize("penalty", ["l1", "l2", "nm"])
def test_penalties_of_all_edges_shrink_inner_edges_too(penalty):
    W = start_weights()
    before = W.clone()
    Training(make_rule(penalty), W).rest(10)
    assert (W[inside()].abs() < before[inside()].abs()).all()


def test_inner_edges_are_free_where_bridges_are_priced():
    W = start_weights()
    before = W.clone()
    Training(make_rule("bridge", strength=4), W).rest(300)
    assert torch.equal(W[inside()], before[inside()])
    assert torch.equal(W[between()], torch.zeros_like(W[between()]))


# Edges come back


def test_bridge_grows_above_tau_when_its_gradient_insists():
    W = start_weights()
    training = Training(make_rule("bridge"), W)
    gradient = torch.zeros_like(W)
    gradient[0, 3] = -1
    topology = training.run(gradient, 400)
    assert W[0, 3] > TAU
    assert topology.edges[0, 3]
    assert topology.n_weak == 3
    # All other bridges between modules have been priced away.
    assert torch.equal(W[training.apart], torch.zeros_like(W[training.apart]))


def test_bridge_that_was_priced_away_comes_back():
    W = start_weights()
    training = Training(make_rule("bridge"), W)
    training.rest(300)
    assert W[0, 3] == 0
    gradient = torch.zeros_like(W)
    gradient[0, 3] = 1
    assert training.run(gradient, 500).edges[0, 3]
    assert W[0, 3] < -TAU


@pytest.mark.parametrize("penalty", [None, "bridge", "nm", "l1"])
def test_edge_inside_a_module_comes_back_above_tau(penalty):
    W = start_weights()
    W[0, 1] = 0
    training = Training(make_rule(penalty, strength=0.5), W)
    assert not training.topology.edges[0, 1]
    gradient = torch.zeros_like(W)
    gradient[0, 1] = -1
    assert training.run(gradient, 60).edges[0, 1]
    assert training.plan.mask[0, 1] == 1


# Bridges have an optimiser of their own


def left_alone(rule):
    """Where an optimiser of all weights is not to move them."""
    graph = graph_of(start_weights())
    rule.start(graph)
    return graph.group.held


def test_optimiser_of_all_weights_leaves_bridges_alone():
    held = left_alone(make_rule("bridge", blockwise=False))
    assert torch.equal(held, between())


@pytest.mark.parametrize("penalty", [None, "nm", "l1", "l2"])
def test_other_penalties_leave_nothing_alone(penalty):
    assert left_alone(make_rule(penalty)) is None


def test_modules_and_bridges_move_the_same_with_an_optimiser_of_all_weights():
    W = start_weights()
    ends = []
    for blockwise in (True, False):
        training = Training(
            make_rule("bridge", stability="monotone", blockwise=blockwise),
            W.clone(),
        )
        training.run(growing(W, between() | inside()), 60)
        ends.append(training.W)
    torch.testing.assert_close(*ends)
    assert not torch.allclose(ends[0], W)


def test_only_weights_inside_modules_are_trained_at_each_step():
    training = Training(make_rule("bridge"), start_weights())
    wanted = training.graph.trained
    assert [tuple(value.shape) for value in wanted.values] == [(4, 3, 3)]
    training = Training(make_rule("bridge", blockwise=False), start_weights())
    assert training.graph.trained == "all"


def test_bridges_of_large_graphs_are_updated_less_often():
    assert update_interval(100, 25) == SHORTEST_INTERVAL
    assert update_interval(3000, 50) == 12
    assert update_interval(10_000, 50) == 40


@pytest.mark.parametrize("penalty", [None, "nm", "l1", "l2"])
def test_gradient_of_all_edges_is_always_asked_for_elsewhere(penalty):
    training = Training(make_rule(penalty), start_weights())
    for _ in range(2 * SHORTEST_INTERVAL):
        assert training.graph.trained == "all"
        training.rest(1)


def test_bridges_only_move_when_they_have_a_gradient():
    W = start_weights()
    training = Training(make_rule("bridge"), W)
    everywhere = torch.ones_like(W)
    training.run(everywhere, 1)
    moved = W[between()].clone()
    training.run(everywhere, SHORTEST_INTERVAL - 1)
    assert torch.equal(W[between()], moved)
    training.run(everywhere, 1)
    assert not torch.equal(W[between()], moved)


# Merging with measure


def test_modules_that_bridges_make_together_stay_within_the_limit():
    # Each pair of modules may merge, but all pairs at once would make one giant.
    W = start_weights()
    training = Training(make_rule("bridge", strength=2), W)
    W[between()] = 2 * TAU
    assert sorted(training.rest(FIRST_INTERVAL).sizes()) == [6, 6]
    assert W[training.apart].abs().max() <= TAU


def test_strongest_bridges_merge_first():
    W = start_weights()
    training = Training(make_rule("bridge", strength=2), W)
    W[0, 3], W[3, 6] = 2 * TAU, -3 * TAU
    labels = training.rest(FIRST_INTERVAL).weak_labels
    assert labels[3] == labels[6]
    assert labels[0] != labels[3]
    assert W[3, 6] < -2 * TAU
    assert 0 < W[0, 3] <= TAU


def test_bridge_that_may_not_merge_is_put_back_to_tau():
    W = start_weights()
    training = Training(make_rule("bridge", strength=12), W)
    W[0, 3], W[9, 2] = 7 * TAU, -7 * TAU
    inner = W[inside()].clone()
    assert training.rest(FIRST_INTERVAL).n_weak == 4
    assert W[0, 3].item() == pytest.approx(TAU)
    assert W[9, 2].item() == pytest.approx(-TAU)
    assert torch.equal(W[inside()], inner)


def test_modules_that_are_merged_are_free_inside():
    W = start_weights()
    training = Training(make_rule("bridge", strength=2), W)
    W[0, 3] = 2 * TAU
    training.rest(FIRST_INTERVAL)
    merged = W[:6, :6].clone()
    training.rest(100)
    assert torch.equal(W[:6, :6], merged)
    assert W[6:, :6].abs().max() == 0


@pytest.mark.parametrize(("connection", "expected"), [("strong", 0), ("weak", 2 * TAU)])
def test_edge_one_way_joins_weak_modules_and_is_a_bridge_of_strong_ones(
    connection, expected
):
    W = start_weights()
    W[0, 3] = 2 * TAU
    rule = make_rule("bridge", strength=4, connection=connection)
    Training(rule, W).rest(300)
    assert W[0, 3].item() == pytest.approx(expected)


# Looks, guards and records


def steps_of_looks(training, n_steps):
    looks = []
    for step in range(1, n_steps + 1):
        plan = training.plan
        # Another edge comes and goes: each look finds a new graph of the same modules.
        training.W[0, 1] = 0.0 if plan.mask[0, 1] else 1.0
        training.rest(1)
        if training.plan is not plan:
            looks.append(step)
    return looks


def test_edges_are_looked_at_less_often_while_modules_stay():
    training = Training(make_rule(None), start_weights())
    looks = steps_of_looks(training, 1000)
    between_looks = [b - a for a, b in pairwise([0, *looks])]
    expected = [FIRST_INTERVAL, *range(FIRST_INTERVAL + 1, LONGEST_INTERVAL + 1)]
    assert between_looks[: len(expected)] == expected
    assert set(between_looks[len(expected) :]) == {LONGEST_INTERVAL}


def test_edges_are_looked_at_often_again_when_modules_change():
    training = Training(make_rule(None), start_weights())
    last = steps_of_looks(training, 100)[-1]
    training.W[0, 3] = training.W[3, 0] = 1.0
    looks = steps_of_looks(training, 60)
    assert looks[1] - looks[0] == FIRST_INTERVAL
    assert looks[0] + 100 - last > FIRST_INTERVAL


def test_graph_is_taken_over_some_steps_after_an_accelerator_saw_it(monkeypatch):
    # Here the processor plays the accelerator.
    monkeypatch.setattr(modular, "look_steps", lambda W: LOOK_STEPS)
    training = Training(make_rule("bridge", strength=2), start_weights())
    first = training.plan
    training.W[0, 3] = 2 * TAU
    assert training.rest(FIRST_INTERVAL + LOOK_STEPS - 1).n_weak == 4
    assert training.plan is first
    copied = pickle.loads(pickle.dumps(training.rule))
    assert training.rest(1).n_weak == 3
    assert Training(copied, training.W.clone()).topology.n_weak == 3


def largest_excess(plan, W, stability):
    return max(excess(b.weights(W), stability).max().item() for b in plan.batches)


@pytest.mark.parametrize("stability", ["monotone", "contraction"])
def test_looks_bring_blocks_back_within_the_bound(stability):
    W = start_weights(gain=4.0)
    training = Training(make_rule(None, stability=stability), W)
    assert largest_excess(training.plan, W, stability) < 1
    W *= 1 + inside()
    sizes = [largest_excess(training.plan, W, stability)]
    for _ in range(5):
        training.rest(FIRST_INTERVAL)
        sizes.append(largest_excess(training.plan, W, stability))
    # Each look clips once, and masking takes a part of that back.
    assert all(b <= max(a, 0.91) for a, b in pairwise(sizes))
    assert sizes[0] > 1
    assert sizes[-1] < 1


def test_strained_solve_has_its_blocks_clipped_at_once():
    W = start_weights()
    rule, graph = make_rule(None, stability="monotone"), graph_of(W)
    rule.start(graph)
    plan = graph.plan
    W *= 1 + 2 * inside()
    loose = W.clone()
    rule.step(graph, Step(STEP_SIZE))
    assert torch.equal(W, loose)
    rule.step(graph, Step(STEP_SIZE, is_strained=True))
    assert largest_excess(plan, W, "monotone") < largest_excess(plan, loose, "monotone")


def test_weights_are_not_clipped_without_a_condition():
    W = start_weights(gain=20.0)
    before = W.clone()
    rule, graph = make_rule(None, stability=None), graph_of(W)
    rule.start(graph)
    rule.step(graph, Step(STEP_SIZE, is_strained=True))
    rule.end(graph)
    assert torch.equal(W, before)


@pytest.mark.parametrize("stability", ["monotone", "contraction"])
@pytest.mark.parametrize("penalty", [None, "bridge", "nm", "l1", "l2"])
def test_finished_graph_keeps_the_guarantee(penalty, stability):
    W = start_weights(gain=5.0)
    training = Training(make_rule(penalty, stability=stability), W)
    training.run(growing(W, inside()), 33)
    training.rule.end(training.graph)
    plan = training.plan
    assert plan.topology == Topology.from_weights(W.numpy(), TAU)
    assert len(plan.batches) > 0
    assert largest_excess(plan, W, stability) <= 0.9 + 2e-4


def test_an_end_leaves_a_training_that_goes_on_as_it_was():
    W = start_weights()
    training = Training(make_rule("bridge", stability="monotone"), W)
    training.run(growing(W, between()), 30)
    before = training.graph.snapshot()
    twin = Training(make_rule("bridge", stability="monotone"), start_weights())
    twin.run(growing(W, between()), 30)
    training.rule.end(training.graph)
    assert training.graph.plan is not before.plan
    training.graph.restore(before)
    assert training.graph.plan is before.plan
    training.run(growing(W, inside()), 40)
    twin.run(growing(twin.W, inside()), 40)
    assert torch.equal(training.W, twin.W)


def test_record_tells_modules_share_and_density():
    rule, graph = make_rule(None), graph_of(inside([3, 5]).float())
    rule.start(graph)
    change = rule.epoch(graph, Epoch(1, is_last=True))
    assert change.record == {
        "n_modules": 2,
        "largest_share": 5 / 8,
        "sizes": [5, 3],
        "density": 26 / 56,
        "labels": (0, 0, 0, 1, 1, 1, 1, 1),
    }
    assert change.summary == "2 modules"
    assert change.survivors is None
    assert not change.goes_on


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([REFERENCE_SIZE], 1),
        ([10, 2 * REFERENCE_SIZE], 0.5),
        ([4 * REFERENCE_SIZE], 0.25),
        ([1, 1], 1),
    ],
)
def test_larger_blocks_get_smaller_steps(sizes, expected):
    rule, graph = make_rule(None), graph_of(inside(sizes).float())
    rule.start(graph)
    assert graph.group.step_scale == expected


@pytest.mark.parametrize(
    "last",
    [start_weights(), torch.full((12, 12), 0.2).fill_diagonal_(0)],
    ids=["the same", "one module"],
)
def test_new_start_forgets_the_last_graph(last):
    rule = make_rule("bridge", strength=4)
    Training(rule, last.clone()).rest(3)
    W = start_weights()
    training = Training(rule, W)
    assert training.topology.n_weak == 4
    training.rest(300)
    assert torch.equal(W[between()], torch.zeros_like(W[between()]))


def test_rules_with_equal_parameters_are_equal_whatever_they_have_seen():
    rule = make_rule("bridge", strength=4)
    Training(rule, start_weights()).rest(3)
    assert rule == make_rule("bridge", strength=4)
    assert rule != make_rule("bridge", strength=5)
    assert pickle.loads(pickle.dumps(rule)) == rule
