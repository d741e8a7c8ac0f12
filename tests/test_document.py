"""How the docstrings of estimators are put together."""

import inspect
import subprocess
import sys
import textwrap
from typing import ClassVar

import pytest

from sknm._docstrings import document


class Common:
    """Parent of all toy classes below."""

    _doc_parts: ClassVar = {
        "parameters": "a : int, default=1\n    First.\n\nb : int\n    Second.",
        "attributes": "c_ : int\n    Third.",
        "notes": "Of all.",
    }


class Family(Common):
    """A branch that adds and overrides."""

    _doc_parts: ClassVar = {
        "parameters": """
        own : {"x", "y"}, \
default="x"
            What is special.

            In two paragraphs.

        b : int, default=3
            Another second.
        """,
        "notes": "Of the family.",
    }


class Kind(Common):
    """Another branch."""

    _doc_parts: ClassVar = {"parameters": "kind : int, default=0\n    Last."}


PLACES = "{parameters}\n\n{attributes}\n\n{notes}"


def toy(*bases, doc=PLACES, parts=None):
    """Return a class of its bases, with parameters own, a, b and kind."""

    def __init__(self, own="x", a=1, b=3, *, kind=0):
        """Take them."""

    members = {"__doc__": doc, "__init__": __init__, "_doc_parts": parts or {}}
    return type("Toy", bases, members)


def test_entries_of_the_family_come_first_and_override():
    cls = document(toy(Family, Kind))
    assert inspect.getdoc(cls) == textwrap.dedent(
        """\
        own : {"x", "y"}, default="x"
            What is special.

            In two paragraphs.

        a : int, default=1
            First.

        b : int, default=3
            Another second.

        kind : int, default=0
            Last.

        c_ : int
            Third.

        Of the family."""
    )
    assert [*inspect.signature(cls).parameters] == ["own", "a", "b", "kind"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("d : int\n    It.", "Toy has an entry of d, no parameter"),
        ("d, e : int\n    They.", "Toy, parameters: 'd, e : int' is no 'name : type'"),
        ("a : int\n    It.\na : int\n    Again.", "Toy, parameters: .* is there twice"),
    ],
)
def test_an_entry_that_documents_nothing_is_an_error(entry, message):
    with pytest.raises(TypeError, match=message):
        document(toy(Family, Kind, parts={"parameters": entry}))


def test_a_parameter_without_an_entry_is_an_error():
    with pytest.raises(TypeError, match="Toy has no entry of kind"):
        document(toy(Family))


def test_a_part_without_a_place_is_an_error():
    with pytest.raises(TypeError, match=r"Toy has no place for the part \{notes\}"):
        document(toy(Family, Kind, doc="{parameters}\n\n{attributes}"))
    with pytest.raises(TypeError, match=r"Toy has no place for the part \{more\}"):
        document(toy(Family, Kind, parts={"more": "text"}))


@pytest.mark.parametrize("place", ["{references}", "as in {references} and others"])
def test_a_place_without_a_part_is_an_error(place):
    with pytest.raises(TypeError, match=r"Toy has no part for .*\{references\}"):
        document(toy(Family, Kind, doc=f"{PLACES}\n\n{place}"))


def test_classes_without_docstrings_can_be_made():
    # Not of sknm itself: skorch can't be imported without docstrings.
    script = (
        "from dataclasses import dataclass\n"
        "from sknm._docstrings import document\n"
        "@document\n"
        "@dataclass\n"
        "class Toy:\n"
        "    'A docstring without the places.'\n"
        "    a: int = 0\n"
        "    _doc_parts = {'parameters': 'a : int', 'notes': 'More.'}\n"
        "print(Toy(3))\n"
    )
    command = [sys.executable, "-OO", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "Toy(a=3)\n"
