"""How a training went: loss, validation, and how long solves took."""

from __future__ import annotations

from typing import Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.axes import (
    FONT_SIZE,
    INK,
    MODULE_COLOURS,
    count_whole,
    open_axes,
    panels,
)
from sknm.inspection.models import fitted_estimator

TRAINING, VALIDATION, SCORE, SOLVES = (MODULE_COLOURS[k] for k in (0, 1, 2, 6))

MUCH = 30
"""Ratio of the largest loss to the least from which on the axis is logarithmic."""


class LearningDisplay:
    """How the training of an estimator went, epoch by epoch.

    The loss on the training rows and, where there were others, on the validation rows;
    below it, in panels of their own, the validation score, and the mean number of
    iterations by which the node values of a training step were found.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    epochs : array-like of shape (n_epochs,)
        Numbers of the epochs.
    loss : array-like of shape (n_epochs,)
        Loss on the training rows.
    validation_loss : array-like of shape (n_epochs,), default=None
        Loss on the validation rows; NaN where there were none.
    validation_scores : array-like of shape (n_epochs,), default=None
        Score on the validation rows.
    iterations : array-like of shape (n_epochs,), default=None
        Mean iterations of the solves; NaN where there was none.
    solver_stats : dict, default=None
        "iterations" and "residual" of the fitted model's solves.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    panels_ : dict of str to matplotlib.axes.Axes
        The panels: "loss", and "score" and "iterations" where they are known.
    figure_ : matplotlib.figure.Figure
        The figure of these.
    lines_ : dict of str to matplotlib.lines.Line2D
        The curves, by the names of the parameters.

    See Also
    --------
    EvolutionDisplay : How the graph has changed meanwhile.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import LearningDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = NeuralModuleClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LearningDisplay.from_estimator(model)
    >>> list(display.panels_)
    ['loss', 'score', 'iterations']
    """

    def __init__(
        self,
        epochs: Any,
        loss: Any,
        *,
        validation_loss: Any = None,
        validation_scores: Any = None,
        iterations: Any = None,
        solver_stats: dict[str, float] | None = None,
    ) -> None:
        self.epochs = epochs
        self.loss = loss
        self.validation_loss = validation_loss
        self.validation_scores = validation_scores
        self.iterations = iterations
        self.solver_stats = solver_stats

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> LearningDisplay:
        """Draw how the training of a fitted estimator went.

        Parameters
        ----------
        estimator : estimator
            Any estimator of sknm, or a pipeline or a search that ends with one.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        LearningDisplay
            What was drawn.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If there is no estimator of sknm.
        """
        model = fitted_estimator(estimator)
        loss = np.array(model.loss_curve_, dtype=float)
        known = [epoch for epoch in model.net_.history if "train_loss" in epoch]
        known = known[len(known) - len(loss) :]
        iterations = np.array([epoch.get("iterations", np.nan) for epoch in known])
        has_score = np.array(["valid_score" in epoch for epoch in known], dtype=bool)
        display = cls(
            model.n_iter_ - len(loss) + np.arange(1, len(loss) + 1),
            loss,
            validation_loss=_at(has_score, model.validation_loss_curve_),
            validation_scores=_at(has_score, model.validation_scores_),
            iterations=None if np.isnan(iterations).all() else iterations,
            solver_stats=model.solver_stats_,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> LearningDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where, in panels one below the other; None makes a figure.

        Returns
        -------
        LearningDisplay
            This.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        """
        heights = {"loss": 2.0}
        if self.validation_scores is not None:
            heights["score"] = 1.0
        if self.iterations is not None:
            heights["iterations"] = 1.0
        size = (7.0, 2.0 + 1.1 * len(heights))
        self.ax_ = open_axes(ax, "LearningDisplay", size)
        self.figure_ = self.ax_.figure
        drawn = [self.ax_]
        if len(heights) > 1:
            drawn = panels(self.ax_, list(heights.values()))
        self.panels_ = dict(zip(heights, drawn, strict=True))
        self.lines_: dict[str, Any] = {}
        self._plot_loss()
        self._plot_score()
        self._plot_iterations()
        self._number_epochs(drawn)
        return self

    def _plot_loss(self) -> None:
        ax = self.panels_["loss"]
        self._draw("loss", ax, TRAINING, label="training")
        values = np.asarray(self.loss, dtype=float)
        if self.validation_loss is not None:
            self._draw("validation_loss", ax, VALIDATION, "--", label="validation")
            values = np.append(values, np.asarray(self.validation_loss, dtype=float))
            ax.legend(
                loc="lower right",
                bbox_to_anchor=(1, 1),
                borderaxespad=0.2,
                ncols=2,
                frameon=False,
                labelcolor=INK,
                fontsize=FONT_SIZE,
            )
        values = values[np.isfinite(values)]
        if len(values) and 0 < MUCH * values.min() < values.max():
            ax.set_yscale("log")
        self._name("loss", ax)

    def _plot_score(self) -> None:
        if self.validation_scores is None:
            return
        ax = self.panels_["score"]
        scores = np.asarray(self.validation_scores, dtype=float)
        self._draw("validation_scores", ax, SCORE)
        best = int(np.nanargmax(scores))
        epoch = np.asarray(self.epochs)[best]
        ax.plot(epoch, scores[best], "o", color=SCORE, clip_on=False)
        self._name("validation score", ax, f"best {scores[best]:.3g} in epoch {epoch}")

    def _plot_iterations(self) -> None:
        if self.iterations is None:
            return
        ax = self.panels_["iterations"]
        self._draw("iterations", ax, SOLVES)
        ax.set_ylim(0, 1.1 * max(1.0, float(np.nanmax(self.iterations))))
        self._name("iterations of a solve", ax)

    def _draw(
        self, name: str, ax: Any, colour: str, style: str = "-", label: str = ""
    ) -> None:
        """Draw a curve; one that has a single epoch is a dot."""
        values = np.asarray(getattr(self, name), dtype=float)
        marker = "o" if np.isfinite(values).sum() < 2 else ""
        (self.lines_[name],) = ax.plot(
            self.epochs, values, style, color=colour, marker=marker, label=label
        )

    @staticmethod
    def _name(name: str, ax: Any, fact: str = "") -> None:
        """Write what a panel shows above it, and a fact about it on the right."""
        size = FONT_SIZE + 1
        ax.set_title(name, loc="left", color=INK, fontsize=size)
        ax.set_title(fact, loc="right", color=INK, fontsize=FONT_SIZE)

    def _number_epochs(self, drawn: list[Any]) -> None:
        """Write numbers of epochs below the panels, and how well solves went."""
        first, last = self.epochs[0], self.epochs[-1]
        for ax in drawn:
            count_whole(ax.xaxis)
            ax.set_xlim(first - 0.5, last + 0.5)
            ax.tick_params(labelbottom=ax is drawn[-1])
        text, stats = "epoch", self.solver_stats or {}
        if stats.get("residual", 0) > 0:
            n_iterations = counted(int(stats["iterations"]), "iteration")
            text += f"\nfitted: {n_iterations}, residual {stats['residual']:.0e}"
        drawn[-1].set_xlabel(text, color=INK, fontsize=FONT_SIZE + 1)


def _at(is_known: np.ndarray, values: Any) -> np.ndarray | None:
    """Put values at the epochs that had some."""
    if values is None or not is_known.any():
        return None
    found = np.full(len(is_known), np.nan)
    places = np.flatnonzero(is_known)[-len(values) :]
    found[places] = np.asarray(values, dtype=float)[-len(places) :]
    return found
