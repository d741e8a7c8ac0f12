"""Models as they were before parts of today's defaults came, to compare with."""

from __future__ import annotations

from typing import Any

import sknm
from sknm.training.recipe import LONG_MEMORY

#: The recipe before decay by rows, calibration, and AdamW's short memory.
RECIPE = {"alpha": 0.01, "calibration_fraction": None}
#: The first version of any estimator had this recipe, and all features as they are.
FIRST = {**RECIPE, "feature_fdr": None, "numerical_embedding": None}
#: Its modules did not merge.
FIRST_MODULES = {"penalty": "bridge", "module_size": 25}


def with_long_memory(name: str) -> type:
    """Return an estimator of sknm whose AdamW averages squares of gradients for long.

    It was so in all versions of "RECIPE"; URNs are so today.
    """
    cls = getattr(sknm, name)
    facts = {"_memory": LONG_MEMORY, "__module__": cls.__module__}
    return type(name, (cls,), facts)


def first(name: str, **params: Any) -> Any:
    """Return an estimator of sknm as in its first version, but for its epochs."""
    cls = with_long_memory(name)
    known = cls().get_params()
    options = FIRST | (FIRST_MODULES if name.startswith("NeuralModule") else {})
    return cls(**{k: v for k, v in options.items() if k in known} | params)
