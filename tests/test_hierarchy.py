"""Estimators are made of few classes, each of which says what it adds."""

import inspect
from numbers import Real
from typing import ClassVar

import pytest

import sknm
from sknm.parameters import Number

MOST_CLASSES = 8


def own_classes(estimator):
    return [c for c in estimator.__mro__ if c.__module__.startswith("sknm")]


def test_no_estimator_is_made_of_many_classes(every_estimator):
    assert len(own_classes(every_estimator)) <= MOST_CLASSES


def test_each_parameter_has_a_constraint_and_each_constraint_a_parameter(
    every_estimator,
):
    parameters = every_estimator().get_params().keys()
    assert every_estimator._parameter_constraints.keys() == parameters


def test_each_class_constrains_only_parameters_of_its_own(every_estimator):
    for cls in own_classes(every_estimator):
        constrained = vars(cls).get("_constraints", {}).keys()
        assert constrained <= inspect.get_annotations(cls).keys(), cls


def test_a_subclass_has_the_last_word_on_a_constraint():
    class Narrow(sknm.DAGRegressor):
        _constraints: ClassVar = {"alpha": [Number(Real, 0, 1, closed="both")]}

    class Narrower(Narrow):
        """Nothing of its own."""

    inherited = sknm.DAGRegressor._parameter_constraints
    for cls in (Narrow, Narrower):
        assert cls._parameter_constraints == inherited | Narrow._constraints
    with pytest.raises(ValueError, match="'alpha' parameter"):
        Narrower(alpha=2.0).fit([[0.0], [1.0]], [0.0, 1.0])


def test_a_subclass_may_constrain_parameters_as_scikit_learn_does():
    class Named(sknm.DAGRegressor):
        _parameter_constraints: ClassVar = {"name": [str]}

        def __init__(self, n_nodes=5, *, name="x"):
            super().__init__(n_nodes)
            self.name = name

    class Inherited(Named):
        """Nothing of its own."""

    for cls in (Named, Inherited):
        assert cls._parameter_constraints["name"] == [str]
        assert "alpha" in cls._parameter_constraints
