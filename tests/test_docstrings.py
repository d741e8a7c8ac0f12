"""Docstrings of the public names, read as a user gets them: inherited ones too.

The rule of scikit-learn: a class has a summary, an extended summary, See Also and
Examples, and so does a public function; methods are excused from the last three.
"""

import inspect

import pytest
from numpydoc.validate import validate

import sknm

EXCUSED_METHODS = {"ES01", "SA01", "EX01"}


def own_methods(cls):
    """Public methods that are written in sknm, not in scikit-learn."""
    return [
        name
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and member.__module__.startswith("sknm")
    ]


PUBLIC = [f"sknm.{name}" for name in sknm.__all__ if name != "__version__"]
METHODS = [
    f"sknm.{name}.{method}"
    for name in sknm.__all__
    if inspect.isclass(getattr(sknm, name))
    for method in own_methods(getattr(sknm, name))
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_fully_documented(name):
    assert validate(name)["errors"] == []


@pytest.mark.parametrize("name", METHODS)
def test_public_method_is_documented(name):
    errors = [e for e in validate(name)["errors"] if e[0] not in EXCUSED_METHODS]
    assert errors == []
