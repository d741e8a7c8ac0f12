"""Neural networks whose topology is learned, as scikit-learn estimators."""

from importlib import import_module
from importlib.metadata import version

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
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> type:
    """Import an estimator when it is first asked for: torch and skorch take a while."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sknm' has no attribute {name!r}")
    return getattr(import_module(f"sknm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Names for completion, imported or not."""
    return sorted([*globals(), *__all__])
