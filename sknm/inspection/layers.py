"""LayersDisplay: the nodes of a graph by depth, and what leads from depth to depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.arranging import ordered_columns, route
from sknm.inspection.drawing.axes import (
    INK,
    NEGATIVE,
    POSITIVE,
    depth_colours,
    open_axes,
)
from sknm.inspection.drawing.bundles import Bundles
from sknm.inspection.drawing.canvas import in_points, width_of, write_key
from sknm.inspection.drawing.curves import bows, draw_lines, sign_colours
from sknm.inspection.drawing.ends import KEY, Ends, draw_ends
from sknm.inspection.drawing.places import in_columns
from sknm.inspection.models import fitted_estimator
from sknm.inspection.wiring import MOST_DEPTHS, Wiring, in_ranges, read_wiring, vars_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

FIELDS = (
    "sources",
    "targets",
    "weights",
    "levels",
    "feature_names",
    "output_names",
    "neurons",
)
"""What of a wiring the display holds."""

MOST_LINES = 2000
"""The largest edges are drawn; others would not be seen."""

COUNTS = 13.0
"""What numbers of nodes take below the graph, in points."""

LEAST_STEP = 3.0
"""Nodes that are nearer than this, in points, are drawn as layers."""


class LayersDisplay:
    """Drawing of the nodes of a fitted model by depth, between features and outputs.

    It shows which layers have emerged in a URN: a neuron stands at each depth at which
    it matters, which are the steps of `node_depth_`, and all edges lead to the next;
    features and outputs that others lead to are neurons, too. In a graph without
    cycles it shows how deep that is: edges to the next depth and edges that skip depths
    lead to the right, those within a column are bent aside. It is recommended to use
    :meth:`from_estimator`, which reads the arrays from a fitted model.

    Of more than eight depths, neighbours share a column. Colours of lines are signs of
    weights where nodes are drawn, and depths where layers are. The wider a line, the
    larger the absolute weight, relative to the largest from features, to outputs or
    between others; a line for several edges is as wide as the root of their sum of
    squares. The 2000 largest lines are drawn. A feature that enters as several numbers
    has the largest of their weights. Of several members of an ensemble, the weights are
    those of the first.

    Parameters
    ----------
    sources : ndarray of int of shape (n_edges,)
        Where edges start: features are numbered first, then nodes, then outputs.
    targets : ndarray of int of shape (n_edges,)
        Where they end.
    weights : ndarray of shape (n_edges,)
        Their weights.
    levels : ndarray of int of shape (n_nodes,)
        Depth of each node, from 0 on.
    feature_names : ndarray of str of shape (n_features,)
        What the features are called.
    output_names : ndarray of str of shape (n_outputs,)
        What the outputs are called.
    neurons : ndarray of int of shape (n_nodes,), default=None
        What nodes are, where some are the same at several depths.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the layers; their unit is a point.
    figure_ : matplotlib.figure.Figure
        Figure with the layers.
    level_ : {"nodes", "layers"}
        What is drawn.
    caption_ : str
        What the layers are.
    nodes_ : matplotlib.collections.PathCollection
        Nodes, or layers.
    next_lines_, skip_lines_, other_lines_ : matplotlib.collections.LineCollection
        Edges to the next depth, to a later one, and to the same or an earlier one.
    labels_ : list of matplotlib.text.Text
        Names of features, then of outputs.
    counts_ : list of matplotlib.text.Text
        Numbers of nodes in each column.
    key_ : matplotlib.legend.Legend or None
        What colours mean, where they mean signs.

    See Also
    --------
    TopologyDisplay : The graph of any model that has a topology.
    ModuleMapDisplay : The matrix of weights, ordered by module.

    Examples
    --------
    >>> from sknm import URNClassifier
    >>> from sknm.datasets import make_spherical_shells
    >>> from sknm.inspection import LayersDisplay
    >>> X, y = make_spherical_shells(200, 10, random_state=0)
    >>> model = URNClassifier(20, max_iter=3, random_state=0).fit(X, y)
    >>> display = LayersDisplay.from_estimator(model)
    >>> display.level_
    'nodes'
    """

    def __init__(
        self,
        *,
        sources: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        levels: np.ndarray,
        feature_names: np.ndarray,
        output_names: np.ndarray,
        neurons: np.ndarray | None = None,
    ) -> None:
        self.sources = sources
        self.targets = targets
        self.weights = weights
        self.levels = levels
        self.feature_names = feature_names
        self.output_names = output_names
        self.neurons = neurons

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        level: str = "auto",
        max_features: int | None = None,
    ) -> LayersDisplay:
        """Draw the nodes of a fitted model by depth.

        Parameters
        ----------
        estimator : estimator
            A fitted URN, or another estimator of sknm whose graph has no cycle, or a
            pipeline or search that ends with one.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.
        level : {"auto", "nodes", "layers"}, default="auto"
            Whether to draw single nodes or whole layers; by default nodes if they fit.
        max_features : int, default=None
            Rows of features at most; None draws as many as fit.

        Returns
        -------
        LayersDisplay
            The drawing.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        TypeError
            If its nodes have no depths.
        """
        fitted = fitted_estimator(estimator)
        wiring = read_wiring(fitted, cls.__name__)
        if not wiring.has_depths:
            raise TypeError(
                f"{cls.__name__} draws nodes by depth, and those of this "
                f"{type(fitted).__name__} are on cycles, so that they have none; "
                "use TopologyDisplay or ModuleMapDisplay, or give a URN, a FreeNet or "
                "another estimator whose graph has no cycle."
            )
        display = cls(**vars_of(wiring, FIELDS))
        return display.plot(ax, level=level, max_features=max_features)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        level: str = "auto",
        max_features: int | None = None,
    ) -> LayersDisplay:
        """Draw the layers.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.
        level : {"auto", "nodes", "layers"}, default="auto"
            Whether to draw single nodes or whole layers; by default nodes if they fit.
        max_features : int, default=None
            Rows of features at most; None draws as many as fit.

        Returns
        -------
        LayersDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `level` is none of these.
        """
        if level not in ("auto", "nodes", "layers"):
            raise ValueError(
                f'level={level!r} is none of "auto", "nodes" and "layers"; give one '
                "of these."
            )
        columns = in_ranges(self.levels)
        own = {name: getattr(self, name) for name in FIELDS}
        wiring = Wiring(**own, groups=columns, grouped_by="depth")
        self.ax_ = open_axes(ax, type(self).__name__, (6.4, 4.8))
        self.figure_: Any = self.ax_.figure
        self.caption_ = _caption(wiring)
        size = in_points(self.ax_, self.caption_)
        ends = draw_ends(self.ax_, wiring, size, max_features, KEY + COUNTS)
        self.labels_ = ends.labels
        fits = ends.box.size[1] / max(1, np.bincount(columns).max(initial=0))
        is_shallow = len(np.unique(self.levels)) <= MOST_DEPTHS
        auto = "nodes" if is_shallow and fits >= LEAST_STEP else "layers"
        self.level_ = auto if level == "auto" else level
        if self.level_ == "nodes":
            self._draw_nodes(wiring, ends)
        else:
            self._draw_layers(wiring, ends)
        self._write_columns(wiring, ends)
        signs = {"negative weight": NEGATIVE, "positive weight": POSITIVE}
        is_signed = self.level_ == "nodes"
        self.key_ = write_key(self.ax_, signs) if is_signed else None
        return self

    def _draw_nodes(self, wiring: Wiring, ends: Ends) -> None:
        places = ordered_columns(wiring, ends, wiring.groups)
        n = len(places)
        step = ends.box.size[1] / max(1, np.bincount(wiring.groups).max(initial=0))
        self._draw_lines(wiring, ends, np.arange(n), places, None)
        self.nodes_ = self.ax_.scatter(
            places[:, 0],
            places[:, 1],
            s=(2 * np.clip(0.4 * step, 1.2, 5.5)) ** 2,
            color=INK,
            linewidths=0,
            zorder=3,
        )

    def _draw_layers(self, wiring: Wiring, ends: Ends) -> None:
        sizes = np.bincount(wiring.groups)
        n = len(sizes)
        places = in_columns(np.arange(n), np.zeros(n), ends.box)
        colours = depth_colours(n)
        self._draw_lines(wiring, ends, wiring.groups, places, colours or [INK])
        largest = min(30.0, 0.36 * ends.box.size[0] / max(1, n))
        radii = largest * np.sqrt(sizes / sizes.max(initial=1))
        self.nodes_ = self.ax_.scatter(
            places[:, 0],
            places[:, 1],
            s=(2 * radii) ** 2,
            color=colours,
            linewidths=0,
            zorder=3,
        )

    def _draw_lines(
        self,
        wiring: Wiring,
        ends: Ends,
        units: np.ndarray,
        places: np.ndarray,
        colours: list[str] | None,
    ) -> None:
        """Draw edges by how far they lead, in colours of units or of signs."""
        first, last = len(ends.feature_places), int(wiring.groups.max(initial=-1)) + 1
        columns = np.zeros(len(places), dtype=int)
        columns[units] = wiring.groups
        depths = np.concatenate(
            [np.full(first, -1), columns, np.full(len(ends.output_places), last)]
        )
        where = np.concatenate([ends.feature_places, places, ends.output_places])
        lines = ends.bundle(wiring, units)
        lines = _by_kind(lines.only(lines.sources != lines.targets), depths, last)
        lines = lines.strongest(MOST_LINES)
        steps = depths[lines.targets] - depths[lines.sources]

        def draw(which: np.ndarray, zorder: float) -> LineCollection:
            some = lines.only(which)
            starts, stops = where[some.sources], where[some.targets]
            paths = route(starts, stops, ends.box.middle)
            own = sign_colours(some.signs)
            if colours is not None:
                paths = _apart(paths, starts, stops) if zorder < 1 else paths
                inner = np.where(some.sources < first, some.targets, some.sources)
                own = [colours[k] for k in np.minimum(inner - first, last - 1)]
            return draw_lines(
                self.ax_, paths, some.sizes, own, largest=1.0, zorder=zorder
            )

        self.other_lines_ = draw(steps <= 0, 0.8)
        self.skip_lines_ = draw(steps > 1, 0.9)
        self.next_lines_ = draw(steps == 1, 1.0)

    def _write_columns(self, wiring: Wiring, ends: Ends) -> None:
        """Write how many nodes each column has, features and outputs included."""
        counts = np.bincount(wiring.groups)
        x = in_columns(np.arange(len(counts)), np.zeros(len(counts)), ends.box)[:, 0]
        n_features, n_outputs = len(wiring.feature_names), len(wiring.output_names)
        entries = [
            (ends.feature_places[0, 0] + 2, "right", counted(n_features, "feature")),
            *((at, "center", str(n)) for at, n in zip(x, counts, strict=True)),
            (ends.output_places[0, 0] - 2, "left", counted(n_outputs, "output")),
        ]
        self.counts_ = [
            self.ax_.text(at, KEY, text, ha=side, va="bottom", fontsize=7.5, color=INK)
            for at, side, text in entries
        ]
        step = ends.box.size[0] / max(1, len(counts))
        if any(width_of(text) + 2 > step for text in self.counts_[1:-1]):
            for text in self.counts_[1:-1]:
                text.remove()
            del self.counts_[1:-1]


def _apart(paths: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Bend what skips layers on one height: it would lie on what leads to the next."""
    is_level = (starts[:, 1] == stops[:, 1])[:, None, None]
    return np.where(is_level, bows(starts, stops, np.full(len(starts), 0.25)), paths)


def _by_kind(lines: Bundles, depths: np.ndarray, last: int) -> Bundles:
    """Sizes relative to the largest of a kind: into outputs, from features, others."""
    to_outputs, from_features = depths[lines.targets] == last, depths[lines.sources] < 0
    kinds = np.where(to_outputs, 0, np.where(from_features, 1, 2))
    largest = np.array([lines.sizes[kinds == k].max(initial=1e-300) for k in range(3)])
    return lines._replace(sizes=lines.sizes / largest[kinds])


def _caption(wiring: Wiring) -> str:
    """Nodes, depths, and how clear-cut these are."""
    found, places = np.unique(wiring.levels, return_inverse=True)
    n_depths = counted(len(found), "depth")
    where = f"{counted(wiring.n_nodes, 'node')} at {n_depths}"
    if wiring.neurons is not None and len(places):
        _, counts = np.unique(wiring.neurons, return_counts=True)
        n_several = int((counts > 1).sum())
        share_of = {0: "none", len(counts): "all"}.get(n_several, str(n_several))
        return f"{where}, {share_of} of them at several"
    ends = len(wiring.feature_names), len(wiring.output_names)
    depths = np.concatenate(
        [np.full(ends[0], -1), places, np.full(ends[1], len(found))]
    )
    sizes = np.abs(wiring.weights.astype(np.float64))
    leads_on = depths[wiring.targets] - depths[wiring.sources] == 1
    share = 100 * sizes[leads_on].sum() / max(sizes.sum(), 1e-300)
    return f"{where}, {share:.0f} % of the weight to the next depth"
