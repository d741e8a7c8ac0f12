"""Docstrings as a user gets them: put together at import, and inherited.

This file is the one check of docstrings; the continuous integration and pre-commit call
it. The rule for what users import is scikit-learn's: a class or a function has a
summary, an extended summary, all parameters and returns, See Also and Examples; methods
are excused from the extended summary and the last two. Inside sknm a summary may be
enough, but what else a docstring says has to be well formed.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from functools import cached_property
from types import FunctionType, MethodType

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import Validator, validate

import sknm
import sknm.datasets
import sknm.inspection
from sknm.graph.topology import Topology

EXCUSED_METHODS = {"ES01", "SA01", "EX01"}
# What is left out, and plurals, which numpydoc takes for verbs.
EXCUSED_INSIDE = {*EXCUSED_METHODS, "PR01", "RT01", "YD01", "SS05"}

PUBLIC = {
    **{name: getattr(sknm, name) for name in sknm.__all__},
    **{name: getattr(sknm.datasets, name) for name in sknm.datasets.__all__},
    **{name: getattr(sknm.inspection, name) for name in sknm.inspection.__all__},
    "Topology": Topology,
}
MODULES = ["sknm"] + [
    module.name
    for module in pkgutil.walk_packages(sknm.__path__, "sknm.")
    if "._" not in module.name
]


class Reader(Validator):
    """Reads any object; numpydoc's own stumbles over modules of imports only."""

    source_file_def_line = None

    def __init__(self, obj_name):
        super().__init__(get_doc_object(obj_name))


def faults(thing, excused=()):
    """Return what is wrong with a docstring."""
    errors = validate(thing, Reader)["errors"]
    return [f"{code}: {text}" for code, text in errors if code not in excused]


def home(thing):
    """Name of the module in which a class, function, method or property is written."""
    if isinstance(thing, property):
        thing = thing.fget
    elif isinstance(thing, cached_property):
        thing = thing.func
    return str(getattr(thing, "__module__", None))


def public_members(cls):
    """Public methods and properties that are written in sknm, not in scikit-learn."""
    kinds = (FunctionType, MethodType, property, cached_property)
    return {
        name: member
        for name, member in ((name, getattr(cls, name)) for name in dir(cls))
        if not name.startswith("_")
        and isinstance(member, kinds)
        and home(member).startswith("sknm")
    }


def contents(module):
    """Module, its public classes and functions, and their public members, by name."""
    yield module.__name__, module
    for name, thing in vars(module).items():
        if name.startswith("_") or home(thing) != module.__name__:
            continue
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing
        if inspect.isclass(thing):
            for member, it in public_members(thing).items():
                yield f"{name}.{member}", it


def all_faults(things, excused):
    """Return what is wrong with each of some docstrings, of those that have faults."""
    found = {name: faults(thing, excused) for name, thing in things}
    return {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_fully_documented(name):
    assert faults(PUBLIC[name]) == []


@pytest.mark.parametrize("name", [n for n in PUBLIC if inspect.isclass(PUBLIC[n])])
def test_public_methods_are_documented(name):
    members = public_members(PUBLIC[name])
    assert members
    assert all_faults(members.items(), EXCUSED_METHODS) == {}


def signatures():
    """Yield names and public classes, functions and methods that have parameters."""
    for name, thing in PUBLIC.items():
        if inspect.isclass(thing):
            members = {f"{name}.{k}": m for k, m in public_members(thing).items()}
            yield from ((k, m) for k, m in members.items() if callable(m))
        yield name, thing


SIGNATURES = dict(signatures())


@pytest.mark.parametrize("name", SIGNATURES)
def test_documented_defaults_are_those_of_the_signature(name):
    thing = SIGNATURES[name]
    documented = get_doc_object(thing)["Parameters"]
    signature = inspect.signature(thing).parameters
    for parameter in documented:
        default = re.search(r"default=(.*)$", parameter.type)
        real = signature[parameter.name].default
        assert (default is None) == (real is inspect.Parameter.empty), parameter.name
        if default is not None:
            assert ast.literal_eval(default[1]) == real, parameter.name
            assert type(ast.literal_eval(default[1])) is type(real), parameter.name


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_of_a_module_are_well_formed(name):
    things = contents(importlib.import_module(name))
    assert all_faults(things, EXCUSED_INSIDE) == {}
