"""Kinds of targets: how they are checked, learned, scored and predicted."""

from sknm.targets.classes import ClassTarget
from sknm.targets.indicators import IndicatorTarget
from sknm.targets.means import MEAN_LOSSES, MeanTarget
from sknm.targets.numeric import NUMERIC_LOSSES, NumericTarget
from sknm.targets.target import LabelTarget, Target, combined

__all__ = [
    "MEAN_LOSSES",
    "NUMERIC_LOSSES",
    "ClassTarget",
    "IndicatorTarget",
    "LabelTarget",
    "MeanTarget",
    "NumericTarget",
    "Target",
    "combined",
]
