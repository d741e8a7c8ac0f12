"""Edges between elements become lines between what is drawn: rows, nodes, groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bundles(NamedTuple):
    """Lines, each of which stands for one or several edges.

    Attributes
    ----------
    sources, targets : ndarray of int of shape (n_lines,)
        The units that are joined.
    sizes : ndarray of shape (n_lines,)
        Absolute weight of an edge; of several the root of the sum of squares.
    signs : ndarray of shape (n_lines,)
        Sign of the weight; 0 for several edges.
    """

    sources: np.ndarray
    targets: np.ndarray
    sizes: np.ndarray
    signs: np.ndarray

    def only(self, which: np.ndarray) -> Bundles:
        """Return some of the lines.

        Parameters
        ----------
        which : ndarray
            A mask, or places.

        Returns
        -------
        Bundles
            These, in this order.
        """
        return Bundles(*(part[which] for part in self))

    def strongest(self, most: int) -> Bundles:
        """Return the lines of largest size, the largest last.

        Parameters
        ----------
        most : int
            How many at most.

        Returns
        -------
        Bundles
            As many as there are, up to `most`.
        """
        return self.only(np.argsort(self.sizes, kind="stable")[-most:])


def bundle(
    sources: np.ndarray, targets: np.ndarray, weights: np.ndarray, units: np.ndarray
) -> Bundles:
    """Join edges that lead from the same unit to the same unit.

    Parameters
    ----------
    sources, targets : ndarray of int of shape (n_edges,)
        The elements that edges join.
    weights : ndarray of shape (n_edges,)
        Their weights.
    units : ndarray of int of shape (n_elements,)
        The unit that each element is drawn as.

    Returns
    -------
    Bundles
        One line for each pair of units between which there are edges.
    """
    n_units = int(units.max(initial=0)) + 1
    pairs = units[sources] * n_units + units[targets]
    found, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    weights = weights.astype(np.float64)
    squares = np.bincount(inverse, weights**2, minlength=len(found))
    sums = np.bincount(inverse, weights, minlength=len(found))
    signs = np.where(counts == 1, np.sign(sums), 0)
    return Bundles(found // n_units, found % n_units, np.sqrt(squares), signs)


class Rows(NamedTuple):
    """Names in a column, the last of which may stand for all others.

    Attributes
    ----------
    labels : list of str
        The names, from the top.
    row_of : ndarray of int of shape (n_names,)
        Row of each element.
    counts : ndarray of int of shape (n_rows,)
        For how many elements a row stands.
    """

    labels: list[str]
    row_of: np.ndarray
    counts: np.ndarray


def choose_rows(names: np.ndarray, sizes: np.ndarray, most: int, noun: str) -> Rows:
    """Give rows to those that matter most, in their order, and one to all others.

    Parameters
    ----------
    names : ndarray of str of shape (n_names,)
        What there is.
    sizes : ndarray of shape (n_names,)
        How much each matters.
    most : int
        Number of rows that fit, at least 1.
    noun : str
        What those are that get no row of their own, in the plural.

    Returns
    -------
    Rows
        The rows.
    """
    n = len(names)
    if n <= most:
        return Rows([str(x) for x in names], np.arange(n), np.ones(n, dtype=int))
    own = np.sort(np.argsort(-sizes, kind="stable")[: most - 1])
    row_of = np.full(n, len(own))
    row_of[own] = np.arange(len(own))
    rest = f"{n - len(own)} others" if len(own) else f"{n} {noun}"
    labels = [*(str(name) for name in names[own]), rest]
    return Rows(labels, row_of, np.bincount(row_of))
