"""Which nodes are active together: the matrices by which FreeNets evolve."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sknm.inspection.drawing.axes import (
    FONT_SIZE,
    INK,
    MODULE_COLOURS,
    open_axes,
    panels,
)
from sknm.inspection.models import fitted_estimator
from sknm.plasticity.coactivation import Coactivation, count_pairs

COLOURS = MODULE_COLOURS[0], MODULE_COLOURS[5]
"""Of what is active together, and of what is inactive together."""

SILENT = ("relu", "squared_relu")
"""Activations whose value is zero exactly where a node is inactive."""

MANY_PAIRS = 1000
"""Pairs from which on each of the bins is shown."""


class CoactivationDisplay:
    """Which nodes are active, and which are inactive, on the same rows.

    On the left the nodes in the order of their depth: above the diagonal the share of
    the rows on which both nodes of a pair are active (NCAM of FreeNets), below it the
    share on which neither is (NCIM); the largest share has the full colour. Both
    matrices are symmetric. On the right, how many pairs have which share: now, and
    first, that is, before the first evolution, where that is known.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    coactivation : array-like of shape (n_nodes, n_nodes)
        NCAM.
    coinactivation : array-like of shape (n_nodes, n_nodes)
        NCIM.
    levels : array-like of int of shape (n_nodes,)
        Depth of each node.
    start : array-like of int of shape (2, n_bins), default=None
        Numbers of pairs by their shares, in bins from 0 to 1, at the start.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    panels_ : list of matplotlib.axes.Axes
        The matrix, and the shares of the pairs.
    figure_ : matplotlib.figure.Figure
        The figure of these.
    image_ : matplotlib.image.AxesImage
        The matrix.
    lines_ : dict of str to list of matplotlib.lines.Line2D
        Pairs that are active and inactive together, at the "start" and the "end".

    See Also
    --------
    EvolutionDisplay : The edges that evolutions pruned and added.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknm import FreeNetClassifier
    >>> from sknm.inspection import CoactivationDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FreeNetClassifier(50, random_state=0).fit(X, y)
    >>> display = CoactivationDisplay.from_estimator(model)
    >>> display.coactivation.shape
    (50, 50)
    """

    def __init__(
        self, coactivation: Any, coinactivation: Any, levels: Any, *, start: Any = None
    ) -> None:
        self.coactivation = coactivation
        self.coinactivation = coinactivation
        self.levels = levels
        self.start = start

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, *, ax: Any = None
    ) -> CoactivationDisplay:
        """Draw which nodes of a fitted estimator are active together.

        Parameters
        ----------
        estimator : estimator
            A FreeNet, or another one with a `topology_` whose activation is "relu" or
            "squared_relu"; or a pipeline or a search that ends with one.
        X : array-like of shape (n_samples, n_features), default=None
            Rows to look at, as the estimator itself gets them; None takes the training
            rows, of which FreeNets remember it.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        CoactivationDisplay
            What was drawn.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If its nodes are neither active nor inactive.
        ValueError
            If X is needed.
        """
        model = fitted_estimator(estimator)
        _check_kind(model)
        if X is None:
            if not hasattr(model, "coactivation_"):
                raise ValueError(
                    f"This {type(model).__name__} doesn't remember which nodes were "
                    "active together: give rows, from_estimator(estimator, X)."
                )
            seen = model.coactivation_, model.coinactivation_
        else:
            found = _observe(model.node_values(X))
            seen = found.active, found.inactive
        start = getattr(model, "coactivation_start_", None)
        return cls(*seen, model.topology_.node_levels, start=start).plot(ax)

    def plot(self, ax: Any = None) -> CoactivationDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where, in panels side by side or, if it is narrow, one below the other; None
            makes a figure.

        Returns
        -------
        CoactivationDisplay
            This.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        """
        self.ax_ = open_axes(ax, "CoactivationDisplay", (8.0, 4.0))
        self.figure_ = self.ax_.figure
        width, height = self.ax_.get_window_extent().size
        if width > 1.1 * height:
            widths = 1.0, max(1.0, width / height - 1.2)
            matrix, right = panels(self.ax_, (1.0,), widths)
        else:
            matrix, right = panels(self.ax_, (1.6, 1.0))
        self.panels_ = [matrix, right]
        self._plot_matrix(matrix)
        self._plot_pairs(right)
        return self

    def _plot_matrix(self, ax: Any) -> None:
        """Draw both matrices, one above and one below the diagonal."""
        from matplotlib.colors import to_rgb

        levels = np.asarray(self.levels)
        order = np.argsort(levels, kind="stable")
        n = len(order)
        pixels = np.zeros((n, n, 4))
        above = np.triu(np.ones((n, n), dtype=bool), 1)
        shares = self.coactivation, self.coinactivation
        for part, colour, share in zip((above, above.T), COLOURS, shares, strict=True):
            pixels[part, :3] = to_rgb(colour)
            shown = np.asarray(share)[np.ix_(order, order)][part]
            pixels[part, 3] = shown / self._largest
        self.image_ = ax.imshow(pixels, extent=(0, n, n, 0))
        ax.plot([0, n], [0, n], color=INK, linewidth=0.6)
        ax.set_anchor("W")
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_xticks([])
        ax.set_yticks([])
        shared = {"fontsize": FONT_SIZE + 1}
        ax.set_title("both active", loc="right", color=COLOURS[0], **shared)
        ax.set_xlabel("neither active", loc="left", color=COLOURS[1], **shared)
        ax.set_ylabel("nodes by depth", color=INK, **shared)

    def _plot_pairs(self, ax: Any) -> None:
        """Draw how many pairs have which share, in the colours of the matrix."""
        from matplotlib.lines import Line2D

        shares = self.coactivation, self.coinactivation
        end = [count_pairs(np.asarray(share)) for share in shares]
        self.lines_ = {"end": self._draw_lines(ax, end, "-")}
        for line, colour in zip(self.lines_["end"], COLOURS, strict=True):
            self._fill_below(ax, line, colour)
        if self.start is not None:
            self.lines_["start"] = self._draw_lines(ax, self.start, ":")
            dotted = Line2D([], [], color=INK, linestyle=":")
            ax.legend(
                [dotted, Line2D([], [], color=INK)],
                ["first", "now"],
                loc="upper right",
                ncols=2,
                frameon=False,
                labelcolor=INK,
                fontsize=FONT_SIZE,
            )
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.2 * max(1e-9, *(max(line.get_ydata()) for line in ax.lines)))
        size = FONT_SIZE + 1
        ax.set_xlabel("share of the rows", color=INK, fontsize=size)
        ax.set_title("share of the pairs", loc="left", color=INK, fontsize=size)

    @staticmethod
    def _draw_lines(ax: Any, counts: Any, style: str) -> list[Any]:
        lines = []
        for colour, row in zip(COLOURS, np.asarray(counts), strict=True):
            share = _wider(row) / max(1, row.sum())
            centres = (np.arange(len(share)) + 0.5) / len(share)
            lines += ax.plot(centres, share, style, color=colour, linewidth=1.6)
        return lines

    def _fill_below(self, ax: Any, line: Any, colour: str) -> None:
        """Fill what is below a line: where it stands for a share, as this is shown."""
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Polygon

        x, y = line.get_data()
        scale = np.empty((1, 256, 4))
        scale[..., :3] = to_rgb(colour)
        scale[..., 3] = np.minimum(1, np.linspace(0, 1, 256) / self._largest)
        corners = [(x[0], 0), *zip(x, y, strict=True), (x[-1], 0)]
        shape = Polygon(corners, transform=ax.transData)
        extent = (0, 1, 0, float(y.max()) or 1)
        ax.imshow(scale, extent=extent, aspect="auto", clip_path=shape)

    @property
    def _largest(self) -> float:
        """The largest share of a pair, which has the full colour."""
        shares = np.asarray(self.coactivation), np.asarray(self.coinactivation)
        own = np.eye(len(shares[0]), dtype=bool)
        return max(1e-9, *(float(s[~own].max(initial=0)) for s in shares))


def _wider(counts: np.ndarray) -> np.ndarray:
    """Join bins of few pairs, 2 or 5 to one, so that shapes are to be seen."""
    n_pairs = counts.sum()
    n_joined = 1 if n_pairs >= MANY_PAIRS else 2 if n_pairs >= MANY_PAIRS / 5 else 5
    if len(counts) % n_joined:
        return counts
    return counts.reshape(-1, n_joined).sum(axis=1)


def _check_kind(model: Any) -> None:
    """Raise if nodes are neither active nor inactive."""
    name = type(model).__name__
    if not hasattr(model, "topology_") or hasattr(model, "active_nodes_"):
        raise TypeError(
            f"The nodes of {name} have no one value on a row: give a FreeNet, or "
            "another estimator whose node values solve the equation of a graph."
        )
    if model.activation not in SILENT:
        raise TypeError(
            f"activation={model.activation!r} is not zero where a node is inactive: "
            f"give an estimator with one of {', '.join(map(repr, SILENT))}."
        )


def _observe(values: np.ndarray) -> Coactivation:
    """Count on node values, those of each member for themselves."""
    n_nodes = values.shape[-1]
    found = Coactivation(n_nodes)
    found.add(torch.tensor(values.reshape(-1, n_nodes)))
    return found
