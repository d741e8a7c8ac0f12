"""Attempts to change an estimator, which succeed as a whole or not at all."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sknm.compute.settings import own_settings


@contextmanager
def attempt(estimator: Any, goes_on: bool, is_copy: bool = False) -> Iterator[Any]:
    """Lend a copy of an estimator to work on; it is taken over if all goes well.

    Whatever comes in between, an error or an interrupt, leaves the estimator as it was.

    Parameters
    ----------
    estimator : GraphEstimator
        What is to be changed.
    goes_on : bool
        Whether what earlier attempts have fitted stays. The network is then changed in
        place, which is undone where the attempt fails.
    is_copy : bool, default=False
        Whether the network is to be a copy, too.

    Yields
    ------
    GraphEstimator
        The copy. Torch computes as if the caller had set nothing.
    """
    work = object.__new__(type(estimator))
    fitted = () if goes_on else vars(estimator).get("_fitted_", ())
    kept = {k: v for k, v in vars(estimator).items() if k not in fitted}
    vars(work).update(kept)
    state = vars(work)
    with own_settings():
        try:
            if is_copy:
                work.net_ = copy.deepcopy(estimator.net_)
            yield work
            added = [k for k in vars(work) if k.endswith("_") and k not in kept]
            names = [*kept.get("_fitted_", ()), *added, "_fitted_"]
            work._fitted_ = tuple(dict.fromkeys(names))
            state = {k: v for k, v in vars(work).items() if k != "_backup"}
            estimator.__dict__ = state
        except BaseException:
            if vars(estimator) is not state and "_backup" in vars(work):
                work._backup.undo()
            raise
