"""Generated data have the geometry that they promise."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score

from sknm.datasets import make_planted_modules, make_spherical_shells


@pytest.mark.parametrize(("n_features", "n_classes"), [(1, 1), (2, 3), (10, 2)])
def test_shells_without_noise_have_their_radii(n_features, n_classes):
    X, y = make_spherical_shells(
        101, n_features, n_classes=n_classes, noise=0.0, random_state=0
    )
    assert X.shape == (101, n_features)
    assert np.linalg.norm(X, axis=1) == pytest.approx(y + 1)
    assert np.ptp(np.bincount(y, minlength=n_classes)) <= 1


def test_noise_is_the_deviation_of_the_radius():
    X, y = make_spherical_shells(20_000, 5, noise=0.2, random_state=0)
    beside = np.linalg.norm(X, axis=1) - (y + 1)
    assert beside.std() == pytest.approx(0.2, rel=0.03)
    assert beside.mean() == pytest.approx(0, abs=0.01)


def test_directions_are_uniform():
    X, y = make_spherical_shells(20_000, 4, noise=0.0, random_state=0)
    directions = X / (y + 1)[:, None]
    assert directions.mean(axis=0) == pytest.approx(np.zeros(4), abs=0.02)
    assert np.cov(directions.T) == pytest.approx(np.eye(4) / 4, abs=0.01)


def test_no_hyperplane_parts_the_shells():
    X, y = make_spherical_shells(4000, 10, random_state=0)
    assert LogisticRegression().fit(X, y).score(X, y) < 0.56


def test_the_same_seed_gives_the_same_points():
    first, second = (make_spherical_shells(50, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], make_spherical_shells(50, random_state=4)[0])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_samples", 0),
        ("n_features", 0),
        ("n_classes", 0),
        ("noise", -0.1),
        ("random_state", "zero"),
    ],
)
def test_bad_parameters_are_named(parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        make_spherical_shells(**{parameter: value})


def additive_r2(X, y, groups):
    """R² of the best function of each group, summed, on other rows."""
    half = len(X) // 2
    parts = [HistGradientBoostingRegressor(random_state=0) for _ in groups]
    left, found = y[:half] - y[:half].mean(), np.full(len(X) - half, y[:half].mean())
    for part, group in zip(parts, groups, strict=True):
        part.fit(X[:half, group], left)
        found += part.predict(X[half:, group])
    return r2_score(y[half:], found)


@pytest.mark.parametrize(("n_groups", "group_size"), [(1, 1), (3, 2), (4, 3)])
def test_planted_groups_are_disjoint(n_groups, group_size):
    X, y, groups = make_planted_modules(
        50, n_groups, group_size, n_useless=2, random_state=0
    )
    assert X.shape == (50, n_groups * group_size + 2)
    assert y.shape == (50,)
    assert [len(group) for group in groups] == [group_size] * n_groups
    assert len(np.unique(np.concatenate(groups))) == n_groups * group_size


def test_planted_targets_are_sums_of_functions_of_the_groups():
    X, y, groups = make_planted_modules(
        8000, 3, 3, n_classes=None, noise=0.0, random_state=0
    )
    mixed = list(np.array(groups).T)  # one feature of each group
    assert additive_r2(X, y, groups) > additive_r2(X, y, mixed) + 0.1
    useless = np.setdiff1d(np.arange(X.shape[1]), np.concatenate(groups))
    assert additive_r2(X, y, [useless]) < 0.05
    assert y.std() == pytest.approx(3**0.5, rel=0.05)


def test_planted_noise_is_relative_to_the_sums():
    options = {"n_groups": 4, "n_classes": None, "random_state": 0}
    exact = make_planted_modules(20_000, noise=0.0, **options)[1]
    noisy = make_planted_modules(20_000, noise=0.5, **options)[1]
    assert (noisy - exact).std() == pytest.approx(0.5 * 4**0.5, rel=0.03)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_planted_classes_are_all_there(n_classes):
    y = make_planted_modules(2000, n_classes=n_classes, random_state=0)[1]
    assert np.array_equal(np.unique(y), np.arange(n_classes))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("n_samples", 1), ("n_groups", 0), ("n_useless", -1), ("n_classes", 1)],
)
def test_bad_parameters_of_planted_modules_are_named(parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        make_planted_modules(**{parameter: value})
