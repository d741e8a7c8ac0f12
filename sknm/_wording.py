"""Numbers with their nouns, in the singular or the plural."""

from __future__ import annotations


def counted(n: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun, such as "1 node" or "2 nodes".

    Parameters
    ----------
    n : int
        The number.
    singular : str
        The noun for one.
    plural : str, optional
        For several; by default with an s.

    Returns
    -------
    str
        Both.
    """
    return f"{n} {singular if n == 1 else plural or singular + 's'}"
