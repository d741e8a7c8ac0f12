"""How many rows, epochs and steps, and how large the steps are over time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknm.training.recipe import (
    Constant,
    Course,
    OneCycle,
    choose_batch_size,
    choose_decay,
    choose_max_iter,
)


@pytest.mark.parametrize(
    ("n_samples", "size"), [(1, 1), (127, 127), (128, 128), (1999, 128), (2000, 256)]
)
def test_batches_are_larger_for_larger_data(n_samples, size):
    assert choose_batch_size(n_samples) == size


@given(st.integers(1, 10**6), st.floats(1, 5))
def test_training_has_at_least_28_epochs_and_a_step_for_four_bits(n_samples, n_bits):
    batch_size = choose_batch_size(n_samples)
    n_epochs = choose_max_iter(n_samples, batch_size, n_bits)
    n_batches = math.ceil(n_samples / batch_size)
    least = 28 if n_samples < 8000 else 32
    if n_batches == 1:
        assert n_epochs == 100
        return
    assert n_epochs >= least
    n_steps = min(300, n_samples * n_bits / 4)
    assert n_epochs * n_batches >= n_steps
    assert n_epochs == least or (n_epochs - 1) * n_batches < n_steps


@given(st.integers(3, 2000), st.floats(1e-6, 10))
def test_rate_rises_from_a_25th_to_the_peak_and_falls_to_almost_nothing(n, peak):
    cycle = OneCycle(peak, n)
    rates = [cycle(step) for step in range(n)]
    top = math.ceil(0.3 * n)
    assert rates[0] == pytest.approx(peak / 25)
    assert rates[-1] == pytest.approx(peak / 2500)
    assert max(rates) <= peak * (1 + 1e-12)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_rate_reaches_its_peak():
    assert OneCycle(0.5, 100)(30) == pytest.approx(0.5)


def test_single_step_has_a_small_rate():
    assert OneCycle(0.5, 1)(0) == pytest.approx(0.02)


def test_rate_stays_at_its_end_after_the_last_step():
    assert OneCycle(0.5, 10)(1000) == OneCycle(0.5, 10)(9)


def test_whole_training_has_a_cycle_over_all_its_steps():
    assert Course(4, 0.1).schedule(5) == OneCycle(0.1, 20)


def test_part_of_a_training_has_the_same_rate_throughout():
    rate = Course(1, 0.1, is_whole=False).schedule(5)
    assert rate == Constant(0.1)
    assert rate(0) == rate(10**9) == 0.1


@pytest.mark.parametrize(
    ("n_samples", "alpha"), [(200, 0.66), (1000, 0.33), (3300, 0.1), (10**6, 0.01)]
)
def test_decay_is_stronger_for_fewer_rows(n_samples, alpha):
    assert choose_decay(n_samples, choose_batch_size(n_samples)) == alpha


def test_trainings_of_single_batches_don_t_depend_on_their_rows():
    found = {(choose_max_iter(n, n), choose_decay(n, n)) for n in (2, 50, 128, 5000)}
    assert len(found) == 1
