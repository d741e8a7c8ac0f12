"""Data to try the estimators on: generators of the papers' problems."""

from sknm.datasets.generators import make_spherical_shells

__all__ = ["make_spherical_shells"]
