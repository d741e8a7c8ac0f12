"""Baselines: what graphs that learn their topology are measured against."""

import sknm

__all__ = [n for n, home in sknm._HOMES.items() if home.startswith("baselines.")]


def __getattr__(name: str) -> type:
    """Import an estimator when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'sknm.baselines' has no attribute {name!r}")
    estimator: type = getattr(sknm, name)
    return estimator


def __dir__() -> list[str]:
    """Names for completion, imported or not."""
    return sorted([*globals(), *__all__])
