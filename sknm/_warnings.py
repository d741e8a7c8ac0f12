"""Warnings that point to the line of the user's that they are about."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import sklearn

_OURS = tuple(str(Path(file).parent) for file in (__file__, sklearn.__file__))


def warn(message: str, category: type[Warning]) -> None:
    """Warn about a call, from wherever in the package.

    Parameters
    ----------
    message : str
        What is wrong, and what to do about it.
    category : type of Warning
        Its kind.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
