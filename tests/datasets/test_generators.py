"""Generated data have the geometry that they promise."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sknm.datasets import make_spherical_shells


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
