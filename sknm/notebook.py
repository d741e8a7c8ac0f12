"""What notebooks show of an estimator: scikit-learn's box, and what was learned."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, ClassVar

from sklearn.base import BaseEstimator


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


class NotebookView(BaseEstimator):
    """Shows a fitted estimator's topology below scikit-learn's box."""

    _doc_link_module: ClassVar[str] = "sknm"
    _doc_link_template: ClassVar[str] = page(documentation())

    @property
    def _repr_html_(self) -> Callable[[], str]:
        """HTML; scikit-learn has none where its ``display`` is "text"."""
        box: Callable[[], str] = super()._repr_html_
        return lambda: box() + self._view()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Text, and HTML."""
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._view()
        return bundle

    def _view(self) -> str:
        if "net_" not in vars(self):
            return ""
        # Looked at only here: nothing else of the package needs it.
        from sknm.inspection.notebook import notebook_view

        return notebook_view(self)
