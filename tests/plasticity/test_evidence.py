"""Chances are right where there is nothing but chance, and small where there is not."""

import numpy as np
import pytest
import torch

from sknm.plasticity.evidence import (
    MOST_EXCESS,
    chances,
    clipping,
    degrees_of_freedom,
    discoveries,
    least_of,
)


def test_long_errors_are_shortened_and_no_others():
    errors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [0.0, 0.5]])
    errors = torch.cat([errors, 0.5 * torch.ones(96, 2)])
    rms = errors.square().sum(1).mean().sqrt()
    clipped = errors * clipping(errors)
    assert clipped[0].norm().item() == pytest.approx(MOST_EXCESS * rms.item())
    torch.testing.assert_close(clipped[0] / clipped[0].norm(), errors[0] / 5)
    torch.testing.assert_close(clipped[1:], errors[1:])


def test_weights_of_rows_clip_like_repetition():
    errors, counts = torch.randn(50, 3) ** 3, torch.arange(50) % 4
    weighted = clipping(errors, counts.float())
    repeated = clipping(errors.repeat_interleave(counts, 0))
    torch.testing.assert_close(weighted.repeat_interleave(counts, 0), repeated)


@pytest.mark.parametrize(
    ("covariance", "expected"),
    [
        (torch.eye(5), 5.0),
        (torch.ones(5, 5), 1.0),
        (torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)), 2.0),
        (torch.zeros(4, 4), 1.0),
    ],
)
def test_degrees_of_freedom_count_what_varies_by_itself(covariance, expected):
    assert degrees_of_freedom(covariance) == pytest.approx(expected)


@pytest.mark.parametrize("n_alike", [1, 4])
def test_chances_of_chance_are_uniform(n_alike):
    rng = np.random.default_rng(0)
    n, d, m = 400, 6, 2000
    x = rng.normal(size=(m, n))
    delta = np.repeat(rng.normal(size=(m, n, d)), n_alike, axis=2)
    sums = np.einsum("mn,mnd->md", x, delta)
    sizes = (x**2).mean(1) * (delta**2).sum((1, 2))
    found = chances((sums**2).sum(1) / sizes, np.full(m, float(d)))
    for level in (0.01, 0.1, 0.5, 0.9):
        assert (found < level).mean() == pytest.approx(level, abs=0.03)


def test_evidence_grows_with_the_rows():
    rng = np.random.default_rng(0)
    found = []
    for n in (100, 1000):
        x = rng.normal(size=n)
        delta = 0.2 * x + rng.normal(size=n)
        ratio = (x @ delta) ** 2 / ((x**2).mean() * (delta**2).sum())
        found.append(chances(np.array(ratio), np.array(1.0)))
    assert found[1] < 1e-6 < found[0]


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_false_discoveries_are_as_rare_as_asked_for(rate):
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        p = rng.uniform(size=100)
        p[:30] = rng.uniform(size=30) * 1e-4
        chosen = discoveries(p, rate)
        assert chosen[:30].mean() > 0.9
        shares.append(chosen[30:].sum() / max(1, chosen.sum()))
    assert np.mean(shares) < 1.2 * rate


def test_where_all_are_of_use_weak_evidence_is_enough():
    p = np.append(np.full(19, 1e-9), 0.2)
    assert discoveries(p, 0.1).all()
    among_noise = np.append(p, np.linspace(0.05, 1, 60))
    assert not discoveries(among_noise, 0.1)[19]


def test_nothing_is_discovered_in_nothing():
    assert not discoveries(np.linspace(0.2, 1, 20), 0.1).any()
    assert discoveries(np.empty(0), 0.1).shape == (0,)


def test_rows_of_chances_are_as_one():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=(5000, 12))
    assert (least_of(p) < 0.05).mean() == pytest.approx(0.05, abs=0.01)
    p[:, 3] = 1e-4
    assert least_of(p).max() < 12.1e-4
    assert least_of(np.empty((3, 0))).tolist() == [1, 1, 1]
