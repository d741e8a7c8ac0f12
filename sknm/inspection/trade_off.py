"""What a search has found: error against the modules that candidates have."""

from __future__ import annotations

from typing import Any

import numpy as np

from sknm.inspection.candidates import Candidates, Scale
from sknm.inspection.drawing.axes import (
    FONT_SIZE,
    INK,
    MODULE_COLOURS,
    count_whole,
    open_axes,
    panels,
)

MOST_SERIES = 5
"""Values of the second parameter up to which each has a line of its own."""

MARKERS = "sD^ov"
"""Of the series: they are told apart without colours, too."""


class TradeOffDisplay:
    """What a search has found: error and modules of candidates, by two parameters.

    Each candidate is a dot: how large its error is and, if the search was told to score
    them, how many modules it has and which share of the nodes is in the largest one,
    each a mean over the splits. The first parameter is the abscissa, the second one
    has a colour and a mark. A ring is around the candidate with the least error.

    For modules, a search is given the scorers under the names of what they tell::

        scoring = {"score": "accuracy", "n_modules": n_modules_scorer}
        search = GridSearchCV(model, grid, scoring=scoring, refit="score").fit(X, y)

    and, for the share, ``"largest_share": largest_share_scorer``. Use
    :meth:`from_search` to make one.

    Parameters
    ----------
    x : array-like of shape (n_candidates,)
        Values of the first parameter: numbers, or anything else.
    error : array-like of shape (n_candidates,)
        Mean error.
    series : array-like of shape (n_candidates,), default=None
        Values of the second parameter.
    spread : array-like of shape (n_candidates,), default=None
        Standard deviation of the error.
    n_modules : array-like of shape (n_candidates,), default=None
        Mean number of modules.
    largest_share : array-like of shape (n_candidates,), default=None
        Mean share of the nodes in the largest module.
    names : tuple of str, default=("", "", "error")
        What the parameters and the error are called.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    panels_ : dict of str to matplotlib.axes.Axes
        The panels: "error", and "n_modules" and "largest_share" where they are known.
    figure_ : matplotlib.figure.Figure
        The figure of these.
    lines_ : dict of str to list of matplotlib.lines.Line2D
        What is drawn in each panel, a line for each value of the second parameter.

    See Also
    --------
    n_modules_scorer : Has a search count modules.
    largest_share_scorer : Has a search measure the largest module.
    search_space : Which parameters are worth a search.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import TradeOffDisplay, n_modules_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralModuleClassifier(40, max_iter=5, random_state=0)
    >>> scoring = {"score": "accuracy", "n_modules": n_modules_scorer}
    >>> grid = {"lambda_NM": [1, 100]}
    >>> search = GridSearchCV(model, grid, scoring=scoring, refit="score", cv=2)
    >>> display = TradeOffDisplay.from_search(search.fit(X, y))
    >>> list(display.panels_)
    ['error', 'n_modules']
    """

    def __init__(
        self,
        x: Any,
        error: Any,
        *,
        series: Any = None,
        spread: Any = None,
        n_modules: Any = None,
        largest_share: Any = None,
        names: tuple[str, str, str] = ("", "", "error"),
    ) -> None:
        self.x = x
        self.error = error
        self.series = series
        self.spread = spread
        self.n_modules = n_modules
        self.largest_share = largest_share
        self.names = names

    @classmethod
    def from_search(
        cls, search: Any, *, params: tuple[str, ...] | None = None, ax: Any = None
    ) -> TradeOffDisplay:
        """Draw what a fitted search has found.

        Parameters
        ----------
        search : estimator
            A fitted search of scikit-learn's, or any with such `cv_results_`. Of one
            that halves, the last round of each candidate is shown.
        params : tuple of str, default=None
            One or two parameters, with the prefix of a pipeline or without. None takes
            `lambda_NM` and `tau` if they were searched, then others in their order.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TradeOffDisplay
            What was drawn.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        sklearn.exceptions.NotFittedError
            If the search is not fitted.
        TypeError
            If it is no search.
        ValueError
            If a parameter was not searched.
        """
        found = Candidates.of(search, params)
        shown = [name.rsplit("__", 1)[-1] for name in found.params]
        display = cls(
            found.values[0],
            found.error,
            series=found.values[1] if len(found.values) > 1 else None,
            spread=found.spread,
            n_modules=found.n_modules,
            largest_share=found.largest_share,
            names=(shown[0], shown[1] if len(shown) > 1 else "", found.error_name),
        )
        return display.plot(ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, params: tuple[str, ...] | None = None, ax: Any = None
    ) -> TradeOffDisplay:
        """Draw what a fitted search has found: the same as :meth:`from_search`.

        Parameters
        ----------
        estimator : estimator
            A fitted search.
        params : tuple of str, default=None
            One or two parameters.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TradeOffDisplay
            What was drawn.
        """
        return cls.from_search(estimator, params=params, ax=ax)

    def plot(self, ax: Any = None) -> TradeOffDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where, in panels one below the other or, if it is wide, side by side; None
            makes a figure.

        Returns
        -------
        TradeOffDisplay
            This.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        """
        titles = {"error": self.names[2]}
        titles["n_modules"], titles["largest_share"] = "modules", "largest module"
        titles = {k: v for k, v in titles.items() if getattr(self, k) is not None}
        size = (7.0, 1.6 + 1.4 * len(titles))
        self.ax_ = open_axes(ax, "TradeOffDisplay", size)
        self.figure_ = self.ax_.figure
        width, height = self.ax_.get_window_extent().size
        is_wide, n = width > 1.9 * height, len(titles)
        drawn = [self.ax_]
        if n > 1:
            equal = (1.0,) * n
            drawn = panels(self.ax_, *(((1.0,), equal) if is_wide else (equal,)))
        self.panels_ = dict(zip(titles, drawn, strict=True))
        self.lines_ = {name: self._plot_panel(name) for name in titles}
        for name, panel in self.panels_.items():
            panel.set_title(titles[name], loc="left", color=INK, fontsize=FONT_SIZE + 1)
            is_last = is_wide or panel is drawn[-1]
            panel.tick_params(labelbottom=is_last)
            if is_last:
                panel.set_xlabel(self.names[0], color=INK, fontsize=FONT_SIZE + 1)
        self._ring()
        self._name_series(drawn[0])
        return self

    def _plot_panel(self, name: str) -> list[Any]:
        """Draw one quantity of all candidates, by the parameters."""
        ax, scale = self.panels_[name], Scale.of(self.x)
        values, places = np.asarray(getattr(self, name), dtype=float), scale.places
        lines = []
        for members, style in self._groups():
            members = members[np.argsort(places[members], kind="stable")]
            if name == "error" and self.spread is not None:
                self._plot_spread(ax, places, members, style["color"])
            x = places[members]
            if len(np.unique(x)) < len(x) or not scale.is_ordered:
                style = style | {"linestyle": ""}  # a line would tell nothing
            lines += ax.plot(x, values[members], linewidth=1.2, clip_on=False, **style)
        scale.mark(ax)
        if name != "error":
            top = 1.0 if name == "largest_share" else np.nanmax([1.0, *values])
            ax.set_ylim(0, 1.1 * top)
        if name == "n_modules":
            count_whole(ax.yaxis)
        return lines

    def _plot_spread(self, ax: Any, places: Any, members: Any, colour: Any) -> None:
        error, spread = (
            np.asarray(values, dtype=float)[members]
            for values in (self.error, self.spread)
        )
        low, high = error - spread, error + spread
        ax.vlines(places[members], low, high, color=colour, alpha=0.4, linewidth=1)

    def _groups(self) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """Group candidates by the second parameter, each with a colour and a mark."""
        if self.series is None:
            return [(np.arange(len(self.x)), _style(MODULE_COLOURS[0], 3))]
        scale = Scale.of(self.series)
        n = len(scale.distinct)
        members = [np.flatnonzero(scale.ranks == k) for k in range(n)]
        if n <= MOST_SERIES:
            styles = [_style(MODULE_COLOURS[k], k) for k in range(n)]
        else:
            colours = map(_between, np.linspace(0, 1, n))
            styles = [_style(colour, 3) | {"linestyle": ""} for colour in colours]
        return list(zip(members, styles, strict=True))

    def _ring(self) -> None:
        """Mark the candidate with the least error in all panels."""
        error = np.asarray(self.error, dtype=float)
        if np.isnan(error).all():
            return
        best, places = int(np.nanargmin(error)), Scale.of(self.x).places
        for name, ax in self.panels_.items():
            y = float(getattr(self, name)[best])
            ax.plot(
                places[best],
                y,
                "o",
                markersize=11,
                fillstyle="none",
                color=INK,
                zorder=3,
            )

    def _name_series(self, ax: Any) -> None:
        """Name the values of the second parameter; of many, three."""
        if self.series is None:
            return
        from matplotlib.lines import Line2D

        styles, scale = [style for _, style in self._groups()], Scale.of(self.series)
        n = len(styles)
        shown = range(n) if n <= MOST_SERIES else (0, n // 2, n - 1)
        handles = [Line2D([], [], linewidth=0, label=self.names[1])]
        for k in shown:
            handles.append(Line2D([], [], **styles[k], label=scale.names[k]))
            handles[-1].set_linestyle("")
        ax.legend(
            handles=handles,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderaxespad=0.2,
            ncols=len(handles),
            frameon=False,
            labelcolor=INK,
            fontsize=FONT_SIZE,
            columnspacing=0.8,
            handlelength=0.8,
            handletextpad=0.4,
        )


def _style(colour: Any, k: int) -> dict[str, Any]:
    """Make the style of a series: later ones are smaller, so that all are seen."""
    return {"color": colour, "marker": MARKERS[k], "markersize": 6.5 - 0.6 * k}


def _between(share: float) -> Any:
    """Walk from the colour of the least value to that of the largest."""
    from matplotlib.colors import LinearSegmentedColormap

    walk = [MODULE_COLOURS[k] for k in (0, 6, 3, 1)]
    return LinearSegmentedColormap.from_list("values", walk)(share)
