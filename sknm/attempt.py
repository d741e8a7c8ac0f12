"""Attempts to change an estimator, which succeed as a whole or not at all."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sknm.graph.settings import own_settings


@contextmanager
def attempt(estimator: Any, goes_on: bool, is_copy: bool = False) -> Iterator[Any]:
    """Lend a copy of an estimator to work on; it is taken over if all goes well.

    Whatever comes in between, an error or an interrupt, leaves the estimator as it was.

    Parameters
    ----------
    estimator : GraphEstimator
        What is to be changed.
    goes_on : bool
        Whether what is fitted, if anything is, stays: else only parameters do. The
        network is then changed in place, which is undone where the attempt fails.
    is_copy : bool, default=False
        Whether the network is to be a copy, too.

    Yields
    ------
    GraphEstimator
        The copy. Torch computes as if the caller had set nothing.
    """
    work = object.__new__(type(estimator))
    goes_on = goes_on and hasattr(estimator, "net_")
    for name, value in vars(estimator).items():
        if goes_on or not name.endswith("_"):
            vars(work)[name] = value
    with own_settings():
        backup = estimator.net_.backup() if goes_on and not is_copy else None
        try:
            if is_copy:
                work.net_ = copy.deepcopy(estimator.net_)
            yield work
            estimator.__dict__ = vars(work)
        except BaseException:
            if backup is not None and vars(estimator) is not vars(work):
                estimator.net_.recover(backup)
            raise
