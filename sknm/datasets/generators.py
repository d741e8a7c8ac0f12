"""Generators of data whose geometry is known."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_spherical_shells(
    n_samples: int = 1000,
    n_features: int = 10,
    *,
    n_classes: int = 2,
    noise: float = 0.05,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make points on concentric spheres, one sphere per class.

    The directions are uniform, and the sphere of class k has the radius k + 1. No class
    can be told from another by a hyperplane: the distance from the centre decides, to
    which all features contribute alike [1]_.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of points, as evenly divided between the classes as possible.

    n_features : int, default=10
        Dimension of the space in which the spheres lie.

    n_classes : int, default=2
        Number of spheres.

    noise : float, default=0.05
        Standard deviation of the distance of a point from its sphere, in the unit of
        the radii: neighbouring spheres are 1 apart.

    random_state : int, RandomState instance or None, default=None
        Source of randomness; an int makes the same points each time.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The points, in random order.
    y : ndarray of shape (n_samples,)
        The class of each point, from 0 on.

    See Also
    --------
    sklearn.datasets.make_circles : Two circles in the plane.
    sklearn.datasets.make_gaussian_quantiles : Shells cut out of one Gaussian.

    References
    ----------
    .. [1] "Emergent Structures and Lifetime Structure Evolution in Artificial Neural
       Networks" (arXiv:1911.11691).

    Examples
    --------
    >>> import numpy as np
    >>> from sknm.datasets import make_spherical_shells
    >>> X, y = make_spherical_shells(100, 3, noise=0, random_state=0)
    >>> X.shape
    (100, 3)
    >>> [int(np.sum(y == k)) for k in range(2)]
    [50, 50]
    >>> bool(np.allclose(np.linalg.norm(X, axis=1), y + 1))
    True
    """
    generator = check_random_state(random_state)
    y = generator.permutation(np.arange(n_samples) % n_classes)
    directions = generator.standard_normal((n_samples, n_features))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = y + 1 + noise * generator.standard_normal(n_samples)
    return directions * radii[:, None], y


N_WAVES = 8
"""Steps of which the function of a group is made, each in a direction of its own."""


@validate_params(
    {
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "group_size": [Interval(Integral, 1, None, closed="left")],
        "n_useless": [Interval(Integral, 0, None, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left"), None],
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_planted_modules(
    n_samples: int = 1000,
    n_groups: int = 4,
    group_size: int = 3,
    *,
    n_useless: int = 10,
    n_classes: int | None = 2,
    noise: float = 0.1,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Make targets that are sums of functions of disjoint groups of features.

    Inside a group all features interact; between groups none do, and some features are
    of no use at all. A network that learns its topology should find as many independent
    modules as there are groups.

    Features are standard normal. The function of a group is a sum of eight smooth
    steps ``tanh(xA + b)`` in directions of its own, standardised. Targets are the sum
    over the groups, or, of classes, the class whose sum is largest.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.

    n_groups : int, default=4
        Number of groups of features.

    group_size : int, default=3
        Features of a group.

    n_useless : int, default=10
        Number of features that tell nothing.

    n_classes : int or None, default=2
        Number of classes; None makes numbers.

    noise : float, default=0.1
        Standard deviation of what is added to the sums, relative to theirs.

    random_state : int, RandomState instance or None, default=None
        Source of randomness; an int makes the same data each time.

    Returns
    -------
    X : ndarray of shape (n_samples, n_groups * group_size + n_useless)
        Features, those of groups and useless ones in random order.
    y : ndarray of shape (n_samples,)
        Classes from 0 on, or numbers.
    groups : list of ndarray of shape (group_size,)
        The features of each group.

    See Also
    --------
    sklearn.datasets.make_friedman1 : One group, and terms of single features.
    sklearn.datasets.make_classification : Clusters at the corners of a cube.

    Examples
    --------
    >>> from sknm.datasets import make_planted_modules
    >>> X, y, groups = make_planted_modules(100, 2, 3, n_useless=4, random_state=0)
    >>> X.shape
    (100, 10)
    >>> [len(group) for group in groups]
    [3, 3]
    """
    generator = check_random_state(random_state)
    n_features = n_groups * group_size + n_useless
    X = generator.standard_normal((n_samples, n_features))
    order = generator.permutation(n_features)[: n_groups * group_size]
    groups = [np.sort(group) for group in order.reshape(n_groups, group_size)]
    n_sums = 1 if n_classes is None else n_classes
    sums = np.zeros((n_samples, n_sums))
    for group in groups:
        directions = generator.standard_normal((group_size, N_WAVES))
        offsets = generator.standard_normal(N_WAVES)
        weights = generator.standard_normal((N_WAVES, n_sums))
        steps = np.tanh(X[:, group] @ directions * (2 / group_size**0.5) + offsets)
        values = steps @ weights
        sums += (values - values.mean(axis=0)) / values.std(axis=0)
    sums += noise * n_groups**0.5 * generator.standard_normal(sums.shape)
    return X, sums[:, 0] if n_classes is None else sums.argmax(axis=1), groups
