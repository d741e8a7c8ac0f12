"""Docstrings of estimators, put together from what each of their classes says."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import TypeVar

Class = TypeVar("Class", bound=type)

LISTS = ("parameters", "attributes")
"""Parts that are made of entries, one a name, which classes add and override."""

FIRST = ("n_nodes", "classes_", "topology_")
"""Entries that readers look for first, whichever class has them."""


def document(cls: Class) -> Class:
    """Fill each ``{name}`` of a class's docstring with the part of that name.

    A class has parts in `_doc_parts`. Those in `LISTS` are made of entries as numpydoc
    has them, and a class writes entries of its own parameters and attributes only: the
    ones of its ancestors are added. An entry or another part overrides one of the same
    name of an ancestor. The signature gets the order of the docstring.

    Parameters
    ----------
    cls : type
        A class, whose constructor has all of its parameters.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    TypeError
        If a parameter has no entry or an entry no parameter, or a part no place in the
        docstring or a place no part.
    """
    entries = {part: _entries(cls, part) for part in LISTS}
    _put_in_order(cls, [*entries["parameters"]])
    if sys.flags.optimize < 2:  # else there are no docstrings
        lists = {part: "\n\n".join(entries[part].values()) for part in LISTS}
        cls.__doc__ = _filled(cls, _parts(cls) | lists)
    return cls


def _put_in_order(cls: type, names: list[str]) -> None:
    """Sort the signature, which has to have these parameters."""
    constructor = cls.__init__  # type: ignore[misc]
    parameters = dict(inspect.signature(constructor).parameters)
    inner = [parameters.pop("self")]
    for name in names:
        if name not in parameters:
            raise TypeError(f"{cls.__name__} has an entry of {name}, no parameter.")
        inner.append(parameters.pop(name))
    if parameters:
        raise TypeError(f"{cls.__name__} has no entry of {', '.join(parameters)}.")
    constructor.__signature__ = inspect.Signature(inner)


def _filled(cls: type, parts: dict[str, str]) -> str:
    template = inspect.getdoc(cls) or ""
    places = set(re.findall(r"\{(\w+)\}", template))
    for name in sorted(places ^ {name for name, text in parts.items() if text}):
        problem = "place for the part" if name in parts else "part for the place"
        raise TypeError(f"{cls.__name__} has no {problem} {{{name}}}.")
    return re.sub(r"\{(\w+)\}", lambda place: parts[place[1]], template) + "\n"


def _parts(cls: type) -> dict[str, str]:
    """Collect the parts that are one text."""
    return {
        name: textwrap.dedent(text).strip("\n")
        for ancestor in reversed(cls.__mro__)
        for name, text in vars(ancestor).get("_doc_parts", {}).items()
    }


def _entries(cls: type, part: str) -> dict[str, str]:
    """Collect the entries of a class and its ancestors, in the order of the bases."""
    texts: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        texts |= _own_entries(ancestor, part)
    names = dict.fromkeys(FIRST)
    for ancestor in dict.fromkeys(_depth_first(cls)):
        for name in _own_entries(ancestor, part).keys() - FIRST:
            names.pop(name, None)  # what is overridden stays where it was
        names |= dict.fromkeys(_own_entries(ancestor, part))
    return {name: texts[name] for name in names if name in texts}


def _own_entries(cls: type, part: str) -> dict[str, str]:
    text = textwrap.dedent(vars(cls).get("_doc_parts", {}).get(part, "")).strip("\n")
    entries: dict[str, str] = {}
    for entry in re.split(r"\n+(?=\S)", text) if text else ():
        head = re.match(r"(\w+) : \S", entry)
        if head is None or head[1] in entries:
            first = entry.partition("\n")[0]
            problem = "is no 'name : type'" if head is None else "is there twice"
            raise TypeError(f"{cls.__name__}, {part}: {first!r} {problem}.")
        entries[head[1]] = entry
    return entries


def _depth_first(cls: type) -> Iterator[type]:
    """Give a class and its ancestors, all of its first base before those of the next.

    So what all classes share comes before what classifiers add, unlike in the MRO.
    """
    yield cls
    for base in cls.__bases__:
        yield from _depth_first(base)
