"""Fitted attributes that are read from the network, so that they are there once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Fitted:
    """An attribute that is read from the net of a fitted estimator.

    Parameters
    ----------
    read : callable
        Reads it, given the estimator and its net.
    """

    def __init__(self, read: Callable[[Any, Any], Any]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name of the attribute."""
        self._name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        """Read it."""
        if estimator is None:
            return self
        if "net_" not in vars(estimator):
            raise AttributeError(
                f"{type(estimator).__name__} has no {self._name} before fit."
            )
        return self._read(estimator, vars(estimator)["net_"])

    def __set__(self, estimator: Any, value: Any) -> None:
        """Refuse: the network would not heed it."""
        raise AttributeError(f"{self._name} can't be set: it is read from the network.")


def shown(name: str) -> Any:
    """Make an attribute that the network shows, in the terms of the targets.

    Parameters
    ----------
    name : str
        What the network calls it.

    Returns
    -------
    Fitted
        The attribute.
    """

    def read(estimator: Any, net: Any) -> Any:
        return estimator._target_.show(name, net.module_.show(name))

    return Fitted(read)


def topology() -> Any:
    """Make the attribute that shows the topology of the graph.

    Returns
    -------
    Fitted
        The attribute.
    """
    return Fitted(lambda estimator, net: net.module_.graph.topology)


def device() -> Any:
    """Make the attribute that shows where the network is.

    Returns
    -------
    Fitted
        The attribute.
    """
    return Fitted(lambda estimator, net: net.device)
