"""What notebooks show of an estimator: scikit-learn's box, and what was learned."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from typing import Any


def documentation() -> str:
    """Return the address of the documentation that the package names.

    Returns
    -------
    str
        "Documentation" of ``project.urls``; empty if there is none.
    """
    try:
        urls = metadata("sknm").get_all("Project-URL", [])
    except PackageNotFoundError:  # a source tree that is not installed
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "").rstrip("/")


def page(address: str) -> str:
    """Return what scikit-learn makes the link to an estimator's page from.

    Parameters
    ----------
    address : str
        That of the documentation.

    Returns
    -------
    str
        Empty where there is none: the box has no link then.
    """
    return f"{address}/generated/sknm.{{estimator_name}}.html" if address else ""


def view(estimator: Any) -> str:
    """Draw what an estimator has learned.

    Parameters
    ----------
    estimator : GraphEstimator
        One of sknm.

    Returns
    -------
    str
        HTML; empty if it is not fitted.
    """
    if "net_" not in vars(estimator):
        return ""
    # Looked at only here: nothing else of the package needs it.
    from sknm.inspection.notebook import notebook_view

    return notebook_view(estimator)
