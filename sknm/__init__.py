"""Neural networks whose topology is learned, as scikit-learn estimators."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("sknm")

_HOMES = {
    "DAGClassifier": "baselines.dag",
    "DAGRegressor": "baselines.dag",
    "DEQClassifier": "baselines.deq",
    "DEQRegressor": "baselines.deq",
    "FeedForwardClassifier": "baselines.feed_forward",
    "FeedForwardRegressor": "baselines.feed_forward",
    "FreeNetClassifier": "freenet",
    "FreeNetRegressor": "freenet",
    "NeuralModuleClassifier": "neural_module",
    "NeuralModuleRegressor": "neural_module",
    "OptNetClassifier": "baselines.optnet",
    "OptNetRegressor": "baselines.optnet",
    "URNClassifier": "urn",
    "URNRegressor": "urn",
    "search_space": "search",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for: torch takes a while."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sknm' has no attribute {name!r}")
    return getattr(import_module(f"sknm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Names for completion, imported or not."""
    return sorted([*globals(), *__all__])
