"""A display of what modules add to the outputs: of one row, or of many on average."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.axes import (
    INK,
    NEGATIVE,
    POSITIVE,
    open_axes,
    signed_colours,
)
from sknm.inspection.models import fitted_estimator, output_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR_HEIGHT = 0.34
"""Inches of a bar with its label."""

MOST_SHOWN = 12
"""Bars or rows of modules that are shown, unless another number is asked for."""


LETTER, NARROW = 6.5, 280
"""Width of a letter, and of a narrow axis, in pixels of a hundredth of an inch."""


class ModuleContributionDisplay:
    """What modules add to the outputs, which are the sum of it.

    Of one row, bars are what each module adds to one output beyond what it adds on
    average, from the mean of the output over the rows to its value in the row. Of many
    rows, fields are the means over the rows of what each module adds to each output.

    Parameters
    ----------
    terms : ndarray of shape (n_modules, n_outputs)
        Of one row, what each module adds beyond the mean; else the means.
    baseline : ndarray of shape (n_outputs,)
        Means of the outputs over the rows, to which the terms of a row are added.
    outputs : sequence of str
        Names of the outputs.
    output : int, default=None
        The output that is explained; None shows all.
    quantity : str, default="output"
        What the outputs are.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure.

    See Also
    --------
    topology_report : How learned a topology is, in a few numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import ModuleContributionDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralModuleClassifier(50, max_iter=5, random_state=0).fit(X, y)
    >>> display = ModuleContributionDisplay.from_estimator(model, X, row=0)
    >>> display.ax_.get_xlabel()
    'decision for 0'
    """

    ax_: Axes
    figure_: Any

    def __init__(
        self,
        terms: np.ndarray,
        baseline: np.ndarray,
        outputs: Any,
        *,
        output: int | None = None,
        quantity: str = "output",
    ) -> None:
        self.terms = terms
        self.baseline = baseline
        self.outputs = outputs
        self.output = output
        self.quantity = quantity

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        row: int | None = None,
        output: Any = None,
        max_modules: int = MOST_SHOWN,
        ax: Any = None,
    ) -> ModuleContributionDisplay:
        """Show what the modules of a fitted estimator add to its outputs.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of sknm whose outputs are sums over modules, a pipeline
            whose last step is one, or a search over these.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows. Those of a pipeline are transformed by its other steps.
        row : int, default=None
            The row that is explained, against the mean of all; None shows the means.
        output : object, default=None
            The class, or the number of the target, whose output is explained; None
            takes the predicted class, or of labels the most probable one, and the first
            target. Of two classes, bars to the right speak for it.
        max_modules : int, default=12
            Most modules that are shown; the others are added up.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ModuleContributionDisplay
            The display.

        Raises
        ------
        TypeError
            If the outputs of the estimator are no sums over modules.
        ValueError
            If there is no such row or output.
        """
        model, rows = fitted_estimator(estimator), _transformed(estimator, X)
        if not hasattr(model, "module_contributions"):
            raise TypeError(
                f"The outputs of {type(model).__name__} are no sums over modules; give "
                "a neural module, FreeNet, DEQ, DAG or feed-forward estimator."
            )
        terms = model.module_contributions(rows)
        names, is_of_classes = output_names(model), hasattr(model, "classes_")
        if terms.shape[2] < len(names):  # one output tells two classes apart
            terms = np.concatenate([-terms, terms], axis=2)
        totals, means = terms.sum(axis=1), terms.mean(axis=0)
        quantity = "decision" if is_of_classes else _predicted(model)
        if row is None:
            display = cls(means, means.sum(axis=0), names, quantity=quantity)
            return display.plot(ax=ax, max_modules=max_modules)
        row = _checked_row(row, len(terms))
        chosen = _chosen(output, totals[row], model, is_of_classes)
        display = cls(
            terms[row] - means,
            means.sum(axis=0),
            names,
            output=chosen,
            quantity=quantity,
        )
        return display.plot(ax=ax, max_modules=max_modules)

    def plot(
        self, *, ax: Any = None, max_modules: int = MOST_SHOWN
    ) -> ModuleContributionDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        max_modules : int, default=12
            Most modules that are shown; the others are added up.

        Returns
        -------
        ModuleContributionDisplay
            The display itself.
        """
        if self.output is None:
            self._plot_means(ax, max_modules)
        else:
            self._plot_row(ax, max_modules, self.output)
        self.figure_ = self.ax_.figure
        return self

    def _plot_row(self, ax: Any, max_modules: int, output: int) -> None:
        values, names = _largest(self.terms[:, [output]], max_modules)
        steps = values[:, 0]
        start = self.baseline[output]
        total = start + steps.sum()
        labels = ["mean", *names, "sum"]
        size = 6.0, BAR_HEIGHT * len(labels) + 1.0
        ax = self.ax_ = open_axes(ax, type(self).__name__, size)
        ends = start + np.cumsum(steps)
        starts = np.concatenate([[start], ends[:-1]])
        places = np.arange(1, len(steps) + 1)
        colours = [NEGATIVE if step < 0 else POSITIVE for step in steps]
        ax.barh(places, steps, left=starts, color=colours, height=0.72)
        for place, end in enumerate(np.concatenate([[start], ends])):
            ax.plot([end, end], [place + 0.36, place + 0.64], color=INK, linewidth=1)
        marks = [0, len(labels) - 1]
        ax.plot([start, total], marks, "D", color=INK, markersize=6)
        self._write_values(ax, start, starts, steps, total)
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=5)  # which a narrow figure has room for
        ax.set_xlabel(f"{self.quantity} for {self.outputs[output]}")

    def _write_values(
        self,
        ax: Axes,
        start: float,
        starts: np.ndarray,
        steps: np.ndarray,
        total: float,
    ) -> None:
        """Write what is added beside each bar, on the side where it ends."""
        largest = float(max(abs(steps).max(initial=0), abs(start), abs(total)))
        digits = _digits(largest)
        for place, (left, step) in enumerate(zip(starts, steps, strict=True), 1):
            side = 1 if step >= 0 else -1
            ax.annotate(
                _signed(step, digits),
                (left + step, place),
                (4 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                color=INK,
                fontsize="small",
            )
        for value, place in ((start, 0), (total, len(steps) + 1)):
            ax.annotate(
                f"{value:.{digits}f}".replace("-", "−"),
                (value, place),
                (8, 0),
                textcoords="offset points",
                ha="left",
                va="center",
                color=INK,
                fontsize="small",
            )
        # Room for the longest number at either end, in an axis as narrow as a phone's.
        longest = max(len(text.get_text()) for text in ax.texts)
        share = min(0.35, (LETTER * longest + 14) / NARROW)
        ax.use_sticky_edges = False
        ax.margins(x=share / (1 - 2 * share))

    def _plot_means(self, ax: Any, max_modules: int) -> None:
        values, names = _largest(self.terms, max_modules)
        n_rows, n_columns = values.shape
        size = max(3.9, min(12.0, 1.6 + 0.62 * n_columns)), 1.3 + 0.32 * n_rows
        ax = self.ax_ = open_axes(ax, type(self).__name__, size)
        most = float(abs(values).max(initial=0)) or 1.0
        image = ax.imshow(
            values, cmap=signed_colours(), vmin=-most, vmax=most, aspect="auto"
        )
        ax.set_yticks(range(n_rows), names)
        ax.set_xticks(range(n_columns), self.outputs)
        if max(len(str(name)) for name in self.outputs) * n_columns > 48:
            ax.tick_params(axis="x", rotation=90)
        ax.tick_params(length=0)
        ax.set_xlabel(f"mean {self.quantity} for")
        for spine in ax.spines.values():
            spine.set_visible(False)
        bar = ax.figure.colorbar(image, ax=ax, fraction=0.06, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.set_facecolor("none")
        bar.ax.tick_params(colors=INK, length=2)


def _transformed(model: Any, X: Any) -> Any:
    """Bring rows to the last step of a pipeline, or of the best one of a search."""
    if hasattr(model, "feature_fdr"):
        return X
    if hasattr(model, "best_estimator_"):
        return _transformed(model.best_estimator_, X)
    return _transformed(model.steps[-1][1], model[:-1].transform(X))


def _predicted(model: Any) -> str:
    """Name what a regressor's outputs are."""
    is_logarithm = getattr(model, "loss", "") in ("poisson", "gamma")
    return "logarithm of the prediction" if is_logarithm else "prediction"


def _checked_row(row: int, n_rows: int) -> int:
    if not -n_rows <= row < n_rows:
        raise ValueError(f"row={row}, but X has {counted(n_rows, 'row')}.")
    return int(row)


def _chosen(output: Any, totals: np.ndarray, model: Any, is_of_classes: bool) -> int:
    """Find the place of the output that is asked for."""
    if output is None:
        return int(totals.argmax()) if is_of_classes else 0
    known = model.classes_.tolist() if is_of_classes else list(range(len(totals)))
    if output not in known:
        raise ValueError(f"output={output!r} is none of {known}.")
    return known.index(output)


def _largest(terms: np.ndarray, n_shown: int) -> tuple[np.ndarray, list[str]]:
    """Put the modules in order of what they add; add up those beyond some number."""
    order = np.argsort(-abs(terms).max(axis=1, initial=0), kind="stable")
    if len(order) > n_shown:
        shown, others = order[: n_shown - 1], order[n_shown - 1 :]
        rest = terms[others].sum(axis=0, keepdims=True)
        names = [f"module {m}" for m in shown]
        return np.vstack([terms[shown], rest]), [*names, f"{len(others)} others"]
    return terms[order], [f"module {m}" for m in order]


def _digits(largest: float) -> int:
    """Choose the digits after the point so that there are three in all."""
    if largest <= 0 or not np.isfinite(largest):
        return 2
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 6))


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
