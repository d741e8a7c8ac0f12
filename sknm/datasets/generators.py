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
