"""Modules that merge where they have a use for each other."""

import numpy as np
import pytest
import torch

from sknm.graph.draw import draw_weights
from sknm.graph.trace import Ends, Flow
from sknm.plasticity import merging
from sknm.plasticity.merging import Encounters, use_for_each_other
from sknm.plasticity.modules import ModulePenalty
from sknm.plasticity.rule import Step

TAU = 0.05
SIZES = [4] * 6
LABELS = np.repeat(np.arange(len(SIZES)), SIZES)
N = sum(SIZES)
STEP_SIZE = 0.01
FIRST_STEPS = int(merging.FIRST_STEPS)


def standard(x):
    x = x - x.mean(1, keepdim=True)
    return x / x.square().mean(1, keepdim=True).sqrt()


def draw(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def step_of(seed, pairs=(), n_rows=256, weights=None, strength=1.0):
    """A step in which nodes of some modules ask for the values of others."""
    z = draw((N, n_rows), seed)
    errors = draw((n_rows, 2), seed + 1)
    asked = draw((N, n_rows), seed + 2)
    for source, target in pairs:
        # An edge would lower the loss where the node that it leads to is active.
        given = z[LABELS == source].mean(0)
        own = LABELS == target
        asked[own] += strength * given * (z[own] > 0)
    errors = errors / errors.norm(dim=1, keepdim=True)
    ends = Ends(torch.zeros(n_rows, 1), errors / n_rows, asked / n_rows)
    return Step(STEP_SIZE, flow=Flow(z, asked), ends=ends, weights=weights)


def after(pairs=(), strength=1.0, n_steps=FIRST_STEPS + 8, **options):
    """Weights after an epoch, and whether modules merged."""
    encounters = Encounters()
    W = draw_weights(SIZES, TAU, 1.0, torch.Generator().manual_seed(0))
    encounters.start(W, TAU, ModulePenalty("evidence", strength), STEP_SIZE)
    for k in range(n_steps):
        encounters.observe(step_of(10 * k, pairs, **options))
    has_merged = encounters.merge(W, LABELS, 1.0)
    return W, encounters, has_merged


def joined(encounters):
    source, target = np.divmod(encounters.above, N)
    return {
        tuple(sorted(pair)) for pair in zip(LABELS[source], LABELS[target], strict=True)
    }


def test_modules_merge_with_those_that_they_have_a_use_for():
    _, encounters, has_merged = after([(0, 3), (5, 2)])
    assert has_merged
    assert joined(encounters) == {(0, 3), (2, 5)}


def test_edges_that_exist_at_first_lower_the_loss():
    W, encounters, _ = after([(0, 3)])
    source, target = np.divmod(encounters.above, N)
    forth = (LABELS[source] == 0) & (LABELS[target] == 3)
    weights = W[source, target]
    assert (weights.abs() > TAU).all()
    assert (weights[torch.as_tensor(forth)] < 0).all()  # gradients are positive


def test_all_other_weights_stay():
    W, encounters, _ = after([(0, 3)])
    before = draw_weights(SIZES, TAU, 1.0, torch.Generator().manual_seed(0))
    changed = (W != before).view(-1).nonzero()[:, 0].tolist()
    assert changed == encounters.above.tolist()


def test_chance_merges_nothing():
    for seed in range(10):
        encounters = Encounters()
        W = torch.zeros(N, N)
        encounters.start(W, TAU, ModulePenalty("evidence", 10.0), STEP_SIZE)
        for k in range(FIRST_STEPS + 8):
            encounters.observe(step_of(1000 * seed + 10 * k))
        assert not encounters.merge(W, LABELS, 1.0)


def test_a_price_that_is_too_high_merges_nothing():
    assert not after([(0, 3)], strength=1e6)[2]
    assert after([(0, 3)], strength=1.0)[2]


def test_not_before_there_is_something_to_see():
    assert not after([(0, 3)], n_steps=FIRST_STEPS)[2]


def test_no_module_gets_larger_than_the_largest_share(monkeypatch):
    monkeypatch.setattr(merging, "LARGEST_SHARE", 0.3)
    assert not after([(0, 3)], strength=10.0)[2]
    assert after([(0, 3)], strength=2.0)[2]  # half of the nodes, for this strength


def test_modules_merge_to_fewer_nodes_the_stronger_the_price(monkeypatch):
    monkeypatch.setattr(merging, "LARGEST_SIZE", 2)
    assert after([(0, 3)], strength=2.5)[2]
    assert not after([(0, 3)], strength=2.6)[2]


def test_after_an_epoch_without_a_merge_some_are_left_out():
    encounters = Encounters()
    W = torch.zeros(N, N)
    encounters.start(W, TAU, ModulePenalty("evidence", 1e6), STEP_SIZE)
    looks = []
    for _ in range(16):
        for k in range(FIRST_STEPS + 1):
            encounters.observe(step_of(k))
        looks.append(bool(encounters._given))
        encounters.merge(W, LABELS, 1.0)
    assert looks[0]
    assert 3 <= sum(looks) <= 5


def test_chances_of_noise_are_evenly_spread():
    found = [
        use_for_each_other(
            standard(draw((N, 512), seed)), draw((N, 512), seed + 99), LABELS, 1.0
        )
        for seed in range(10)
    ]
    chances = np.array([chance for chance, _ in found])
    ratios = np.array([ratio for _, ratio in found])
    assert abs(chances.mean() - 0.5) < 0.06
    assert abs(ratios.mean() - 1) < 0.05


def test_panels_give_what_all_pairs_give(monkeypatch):
    x, asked = standard(draw((N, 64), 0)), draw((N, 64), 1)
    whole = use_for_each_other(x, asked, LABELS, 1.0)
    monkeypatch.setattr(merging, "PANEL_PAIRS", 5 * N)
    np.testing.assert_allclose(
        use_for_each_other(x, asked, LABELS, 1.0), whole, rtol=1e-4
    )


@pytest.mark.parametrize("size", [2.0**-80, 2.0**80])
def test_units_make_no_difference(size):
    def scaled(seed):
        step = step_of(seed, [(0, 3)])
        flow, ends = step.flow, step.ends
        flow = Flow(flow.z * size, flow.delta * size)
        ends = Ends(ends.inputs, ends.errors, ends.entering * size)
        return Step(STEP_SIZE, flow=flow, ends=ends)

    encounters = Encounters()
    W = draw_weights(SIZES, TAU, 1.0, torch.Generator().manual_seed(0))
    encounters.start(W, TAU, ModulePenalty("evidence", 1.0), STEP_SIZE)
    for k in range(FIRST_STEPS + 8):
        encounters.observe(scaled(10 * k))
    assert encounters.merge(W, LABELS, 1.0)
    assert torch.equal(W, after([(0, 3)])[0])


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_equal_weights_of_rows_change_nothing(factor):
    plain = after([(0, 3)])[0]
    weighted = after([(0, 3)], weights=torch.full((256,), factor))[0]
    assert torch.equal(plain, weighted)
