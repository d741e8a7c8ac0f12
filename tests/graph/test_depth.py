"""URN: which neurons matter when, and what layers that makes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.depth import (
    active_neurons,
    layered_share,
    main_depths,
    reached_from_inputs,
    reaches_outputs,
    steps_that_matter,
)
from sknm.graph.recursion import recur

RELU = ACTIVATIONS["relu"]

# Which neurons matter

masks = arrays(bool, (7, 7))


def paths(mask, n_steps):
    """Whether a path of exactly so many edges leads from one neuron to another."""
    return np.linalg.matrix_power(mask.astype(int), n_steps) > 0


@settings(deadline=None)
@given(mask=masks, n_steps=st.integers(1, 4))
def test_a_neuron_matters_if_inputs_reach_it_and_it_reaches_outputs_in_time(
    mask, n_steps
):
    found = steps_that_matter(mask, 2, 2, n_steps)
    for t in range(n_steps + 1):
        from_inputs = paths(mask, t)[:2].any(axis=0)
        to_outputs = paths(mask, n_steps - t)[:, -2:].any(axis=1)
        np.testing.assert_array_equal(found[t], from_inputs & to_outputs)


@settings(deadline=None)
@given(mask=masks, always=arrays(bool, 7), n_steps=st.integers(1, 4))
def test_neurons_that_are_not_active_can_be_removed(mask, always, n_steps):
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(7, 7, generator=generator, dtype=torch.float64)
    b = torch.rand(7, generator=generator, dtype=torch.float64)
    W, b = W * torch.as_tensor(mask), b * torch.as_tensor(always)
    x = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    active = torch.as_tensor(active_neurons(mask, always, 2, 2, n_steps))
    read = slice(5, 7)
    expected = recur(x, W, b, 2, n_steps, RELU, slice(0, 7))[0]
    W, others = W * active[:, None], b * active
    others[read] = b[read]
    found = recur(x, W, others, 2, n_steps, RELU, slice(0, 7))[0]
    torch.testing.assert_close(found, expected)


@given(mask=masks, n_steps=st.integers(1, 4))
def test_reaching_is_being_reached_with_the_edges_turned_round(mask, n_steps):
    turned = mask[::-1, ::-1].T
    np.testing.assert_array_equal(
        reaches_outputs(mask, 2, n_steps),
        reached_from_inputs(turned, 2, n_steps)[::-1, ::-1],
    )


# Layers

LAYERED = np.zeros((8, 8))
for source, target in [(0, 2), (1, 3), (2, 4), (3, 4), (3, 5), (4, 6), (5, 7)]:
    LAYERED[source, target] = 1.0 + source


def test_depths_of_a_layered_network_are_its_layers():
    depths = main_depths(LAYERED, 2, 2, 3)
    np.testing.assert_array_equal(depths, [0, 0, 1, 1, 2, 2, 3, 3])
    assert layered_share(LAYERED, depths) == 1


def test_weight_of_other_edges_is_not_layered():
    W = LAYERED.copy()
    W[4, 4] = W.sum()  # a loop: neuron 4 is at depth 1, 2 and 3
    depths = main_depths(LAYERED, 2, 2, 3)
    assert layered_share(W, depths) == pytest.approx(0.5)


def test_neurons_that_never_matter_are_left_out():
    W = LAYERED.copy()
    W[5, 7] = 0  # nothing else leads from there, nor to 7
    depths = main_depths(W, 2, 2, 3)
    assert (depths[[5, 7]] == -1).all()
    assert layered_share(W, depths) == 1


def test_without_any_weight_there_is_no_share():
    W = np.zeros((8, 8))
    assert np.isnan(layered_share(W, main_depths(W, 2, 2, 3)))


def test_of_several_depths_that_with_most_weight_is_taken():
    W = np.zeros((6, 6))
    for i, j in [(0, 1), (1, 2), (2, 3), (3, 5)]:
        W[i, j] = -1  # a path with neuron 2 at depth 2
    for i, j in [(0, 2), (3, 4), (4, 5)]:
        W[i, j] = 2  # and one with neuron 2 at depth 1
    assert main_depths(W, 1, 1, 4)[2] == 1
    W[0, 2] = 0.1
    assert main_depths(W, 1, 1, 4)[2] == 2


@settings(deadline=None)
@given(mask=masks, n_steps=st.integers(1, 4), seed=st.integers(0, 100))
def test_main_depths_are_steps_that_matter(mask, n_steps, seed):
    W = mask * np.random.default_rng(seed).normal(size=mask.shape)
    steps = steps_that_matter(mask, 2, 2, n_steps)
    depths = main_depths(W, 2, 2, n_steps)
    np.testing.assert_array_equal(depths >= 0, steps.any(axis=0))
    assert all(steps[t, i] for i, t in enumerate(depths) if t >= 0)
