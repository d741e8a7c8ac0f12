"""Data to try the estimators on: generators of problems whose structure is known."""

from sknm.datasets.generators import make_planted_modules, make_spherical_shells

__all__ = ["make_planted_modules", "make_spherical_shells"]
