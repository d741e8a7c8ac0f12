"""TopologyDisplay: the graph of a fitted model, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.arranging import (
    Arrangement,
    arrange,
    chosen_level,
    group_colours,
)
from sknm.inspection.drawing.axes import (
    NEGATIVE,
    POSITIVE,
    open_axes,
    text_on,
)
from sknm.inspection.drawing.bundles import Bundles
from sknm.inspection.drawing.canvas import in_points, write_key
from sknm.inspection.drawing.curves import draw_lines, flat_ended, sign_colours
from sknm.inspection.drawing.ends import Ends, draw_ends
from sknm.inspection.wiring import Wiring, read_wiring, vars_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.text import Text

FIELDS = (
    "sources",
    "targets",
    "weights",
    "groups",
    "levels",
    "feature_names",
    "output_names",
    "grouped_by",
    "neurons",
)
"""What of a wiring the display holds."""

MOST_LINES = 1200
"""Of each kind of edge, the largest are drawn; others would not be seen."""


class TopologyDisplay:
    """Drawing of the graph of a fitted model: features, nodes, outputs, edges.

    Few nodes are drawn one by one, of many nodes groups: a disc for each module with
    its number of nodes. The groups of a graph without cycles, and of a URN, are
    depths. It is recommended to use :meth:`from_estimator`, which reads the arrays from
    a fitted model.

    The neurons of a URN stand at each depth at which they matter, features and outputs
    that others lead to included.

    The wider a line, the larger the absolute weight, relative to the largest of its
    kind; a line for several edges is as wide as the root of their sum of squares. A
    feature that enters as several numbers has the largest of their weights. Where
    there are more features than lines of text, those of the largest weights are named,
    and one row is for all others. The 1200 largest lines of each kind are drawn. Of
    several members of an ensemble, the weights are those of the first.

    Parameters
    ----------
    sources : ndarray of int of shape (n_edges,)
        Where edges start: features are numbered first, then nodes, then outputs.
    targets : ndarray of int of shape (n_edges,)
        Where they end.
    weights : ndarray of shape (n_edges,)
        Their weights.
    groups : ndarray of int of shape (n_nodes,)
        Module of each node, or range of depths.
    levels : ndarray of int of shape (n_nodes,)
        Depth of each node.
    feature_names : ndarray of str of shape (n_features,)
        What the features are called.
    output_names : ndarray of str of shape (n_outputs,)
        What the outputs are called.
    grouped_by : {"module", "depth"}, default="module"
        What the groups are.
    neurons : ndarray of int of shape (n_nodes,), default=None
        What nodes are, where some are the same at several depths.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the graph; their unit is a point.
    figure_ : matplotlib.figure.Figure
        Figure with the graph.
    level_ : {"nodes", "modules"}
        What is drawn.
    caption_ : str
        What the graph consists of.
    nodes_ : matplotlib.collections.PathCollection
        Nodes, or groups of nodes.
    discs_ : matplotlib.collections.PathCollection or None
        What is behind the nodes of each module.
    feature_lines_, node_lines_, output_lines_, direct_lines_ : LineCollection
        Edges into nodes from features, between nodes, from nodes to outputs, and from
        features to outputs.
    labels_ : list of matplotlib.text.Text
        Names of features, then of outputs.
    counts_ : list of matplotlib.text.Text
        Numbers of nodes, where groups are drawn.
    key_ : matplotlib.legend.Legend or None
        What colours mean, where they mean signs.

    See Also
    --------
    ModuleMapDisplay : The matrix of weights, ordered by module.
    LayersDisplay : Neurons by depth.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import TopologyDisplay
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> model = NeuralModuleClassifier(100, max_iter=5, random_state=0).fit(X, y)
    >>> display = TopologyDisplay.from_estimator(model)
    >>> display.level_
    'modules'
    """

    def __init__(
        self,
        *,
        sources: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        groups: np.ndarray,
        levels: np.ndarray,
        feature_names: np.ndarray,
        output_names: np.ndarray,
        grouped_by: str = "module",
        neurons: np.ndarray | None = None,
    ) -> None:
        self.sources = sources
        self.targets = targets
        self.weights = weights
        self.groups = groups
        self.levels = levels
        self.feature_names = feature_names
        self.output_names = output_names
        self.grouped_by = grouped_by
        self.neurons = neurons

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        level: str = "auto",
        max_features: int | None = None,
    ) -> TopologyDisplay:
        """Draw the graph of a fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of sknm with a `topology_`, or a pipeline or search that
            ends with one.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.
        level : {"auto", "nodes", "modules"}, default="auto"
            Whether to draw single nodes or groups of them; by default by their number.
        max_features : int, default=None
            Rows of features at most; None draws as many as fit.

        Returns
        -------
        TopologyDisplay
            The drawing.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        TypeError
            If it has no topology.
        """
        wiring = read_wiring(estimator, cls.__name__)
        return cls(**vars_of(wiring, FIELDS)).plot(
            ax, level=level, max_features=max_features
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        level: str = "auto",
        max_features: int | None = None,
    ) -> TopologyDisplay:
        """Draw the graph.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.
        level : {"auto", "nodes", "modules"}, default="auto"
            Whether to draw single nodes or groups of them; by default by their number.
        max_features : int, default=None
            Rows of features at most; None draws as many as fit.

        Returns
        -------
        TopologyDisplay
            The display itself.
        """
        wiring = Wiring(**vars_of(self, FIELDS))
        self.level_ = chosen_level(wiring, level)
        self.ax_ = open_axes(ax, type(self).__name__, (6.4, 4.8))
        self.figure_: Any = self.ax_.figure
        self.caption_ = _caption(wiring)
        size = in_points(self.ax_, self.caption_)
        ends = draw_ends(self.ax_, wiring, size, max_features)
        self.labels_ = ends.labels
        where = arrange(wiring, ends, self.level_)
        self._draw_lines(wiring, ends, where)
        self._draw_nodes(wiring, where)
        signs = {"negative weight": NEGATIVE, "positive weight": POSITIVE}
        is_signed = self.level_ == "nodes"
        self.key_ = write_key(self.ax_, signs) if is_signed else None
        return self

    def _draw_lines(self, wiring: Wiring, ends: Ends, where: Arrangement) -> None:
        lines = ends.bundle(wiring, where.units)
        n_rows, n_units = len(ends.feature_places), len(where.places)
        places = np.concatenate([ends.feature_places, where.places, ends.output_places])
        kinds = np.repeat([0, 1, 2], [n_rows, n_units, len(ends.output_places)])

        def draw(source: int, target: int, zorder: float) -> LineCollection:
            which = (kinds[lines.sources] == source) & (kinds[lines.targets] == target)
            some = lines.only(which & (lines.sources != lines.targets))
            some = some.strongest(MOST_LINES)
            ends_of = some._replace(
                sources=some.sources - n_rows, targets=some.targets - n_rows
            )
            if source == target:
                paths = where.paths(ends_of)
            else:
                paths = flat_ended(places[some.sources], places[some.targets])
            own = ends_of.sources if source == 1 else ends_of.targets
            colours = self._colours(some, own, where, source == 0 and target == 2)
            widest = 3.0 if source == 1 or self.level_ == "modules" else 1.8
            return draw_lines(
                self.ax_, paths, some.sizes, colours, widest=widest, zorder=zorder
            )

        self.direct_lines_ = draw(0, 2, 0.8)
        self.feature_lines_ = draw(0, 1, 1.0)
        self.output_lines_ = draw(1, 2, 1.1)
        self.node_lines_ = draw(1, 1, 1.2)

    def _colours(
        self, lines: Bundles, own: np.ndarray, where: Arrangement, is_direct: bool
    ) -> list[str]:
        """Those of signs where nodes are drawn, else those of groups."""
        if self.level_ == "nodes" or is_direct:
            return sign_colours(lines.signs)
        return [where.colours[k] for k in own]

    def _draw_nodes(self, wiring: Wiring, where: Arrangement) -> None:
        ax = self.ax_
        centres, wide = where.discs
        self.discs_ = None
        if len(wide):
            self.discs_ = ax.scatter(
                centres[:, 0],
                centres[:, 1],
                s=(2 * wide + 3) ** 2,
                color=group_colours(wiring.groups, wiring.grouped_by),
                alpha=0.13,
                linewidths=0,
                zorder=0.5,
            )
        self.nodes_ = ax.scatter(
            where.places[:, 0],
            where.places[:, 1],
            s=(2 * where.radii) ** 2,
            color=where.colours,
            linewidths=0,
            zorder=3,
        )
        self.counts_: list[Text] = []
        if self.level_ == "modules":
            self._write_counts(np.bincount(where.units), where)

    def _write_counts(self, sizes: np.ndarray, where: Arrangement) -> None:
        """Write its number of nodes in each disc in which there is room."""
        for size, place, radius, colour in zip(
            sizes.tolist(), where.places, where.radii, where.colours, strict=True
        ):
            font = min(10.0, 2.5 * radius / max(1.5, len(str(size))))
            if size > 1 and font >= 5.5:
                text = self.ax_.text(
                    place[0],
                    place[1],
                    str(size),
                    ha="center",
                    va="center_baseline",
                    fontsize=font,
                    fontweight="bold",
                    color=text_on(colour),
                    zorder=4,
                )
                self.counts_.append(text)


def _caption(wiring: Wiring) -> str:
    """Say in words what the graph consists of."""
    if wiring.grouped_by == "depth":
        where = f"at {counted(len(np.unique(wiring.levels)), 'depth')}"
    else:
        where = f"in {counted(len(np.unique(wiring.groups)), 'module')}"
    n_features = len(wiring.feature_names)
    features = counted(n_features, "feature")
    if wiring.n_features_used < n_features:
        features = f"{wiring.n_features_used} of {features}"
    nodes, edges = wiring.n_nodes, wiring.n_node_edges
    return f"{counted(nodes, 'node')} {where}, {counted(edges, 'edge')}, {features}"
