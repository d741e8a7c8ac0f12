"""Docstrings whose common parts are written once."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def fill(**parts: str) -> Callable[[T], T]:
    """Replace ``{name}`` lines of a docstring by the text of that name.

    Parameters
    ----------
    **parts : str
        Text of each name.

    Returns
    -------
    callable
        Decorator for classes and functions.
    """
    return partial(_filled, parts)


def _filled(parts: dict[str, str], thing: T) -> T:
    doc = inspect.getdoc(thing)
    if doc is not None:  # it is under python -OO
        for name, text in parts.items():
            doc = doc.replace("{" + name + "}", textwrap.dedent(text).strip("\n"))
        thing.__doc__ = doc + "\n"
    return thing
