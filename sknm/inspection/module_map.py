"""ModuleMapDisplay: a matrix of weights, ordered by module or by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.arranging import group_colours
from sknm.inspection.drawing.axes import INK, NEGATIVE, POSITIVE, open_axes
from sknm.inspection.drawing.canvas import in_points, width_of, write_key, write_names
from sknm.inspection.drawing.ends import KEY
from sknm.inspection.drawing.places import Box
from sknm.inspection.models import fitted_estimator
from sknm.inspection.wiring import by_main_depth, in_ranges, read_wiring

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

MATRICES = {"inputs": (0, 1), "nodes": (1, 1), "outputs": (1, 2)}
"""Kinds of element that the edges of each matrix join."""

NAME = 7.0
"""Least height of a row that has a name, in points."""


class ModuleMapDisplay:
    """Picture of a matrix of weights, whose nodes are ordered by module or depth.

    Each cell is an edge: from the node of its row to the node of its column. Modules
    are blocks on the diagonal, the largest first (of strong modules, each before those
    that depend on it), and edges lead from block to block where modules are joined. In
    a graph without cycles nodes are ordered by depth, and all edges are above the
    diagonal. Of a URN all neurons that matter are there, features and outputs included,
    ordered by the depth at which most of their weight is. Edges from features and to
    outputs have a row for each of these, and a column for each node. It is recommended
    to use :meth:`from_estimator`, which reads the arrays from a fitted model.

    The denser a cell, the larger the absolute weight. A feature that enters as several
    numbers has the largest of their weights. Of several members of an ensemble, the
    weights are those of the first.

    Parameters
    ----------
    weights : ndarray of shape (n_rows, n_nodes)
        Weights of edges; NaN where there is none.
    groups : ndarray of int of shape (n_nodes,)
        Module of each node, or range of depths.
    levels : ndarray of int of shape (n_nodes,)
        Depth of each node.
    row_names : ndarray of str of shape (n_rows,), default=None
        Features or outputs; None if rows are nodes, too.
    grouped_by : {"module", "depth"}, default="module"
        What the groups are.
    matrix : {"inputs", "nodes", "outputs"}, default="nodes"
        What the edges join: features and nodes, nodes, or nodes and outputs.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the picture; their unit is a point.
    figure_ : matplotlib.figure.Figure
        Figure with the picture.
    caption_ : str
        What the matrix holds.
    order_ : ndarray of int of shape (n_nodes,)
        The nodes in the order of the columns.
    image_ : matplotlib.image.AxesImage
        The cells.
    outlines_ : matplotlib.collections.LineCollection
        Around modules on the diagonal, or between groups.
    sizes_ : list of matplotlib.text.Text
        Numbers of nodes, below groups where there is room.
    labels_ : list of matplotlib.text.Text
        Names of rows where there is room, and of the sides.
    key_ : matplotlib.legend.Legend or None
        What colours mean, where they mean signs.

    See Also
    --------
    TopologyDisplay : The graph itself.
    LayersDisplay : Neurons by depth.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import ModuleMapDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = NeuralModuleClassifier(100, max_iter=5, random_state=0).fit(X, y)
    >>> display = ModuleMapDisplay.from_estimator(model)
    >>> display.weights.shape
    (100, 100)
    """

    def __init__(
        self,
        *,
        weights: np.ndarray,
        groups: np.ndarray,
        levels: np.ndarray,
        row_names: np.ndarray | None = None,
        grouped_by: str = "module",
        matrix: str = "nodes",
    ) -> None:
        self.weights = weights
        self.groups = groups
        self.levels = levels
        self.row_names = row_names
        self.grouped_by = grouped_by
        self.matrix = matrix

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        matrix: str = "nodes",
        colour: str = "module",
    ) -> ModuleMapDisplay:
        """Show a matrix of weights of a fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of sknm with a `topology_`, or a pipeline or search that
            ends with one.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.
        matrix : {"inputs", "nodes", "outputs"}, default="nodes"
            Which edges: from features to nodes, between nodes, or from nodes to
            outputs.
        colour : {"module", "weight"}, default="module"
            What colours mean: the module (or depth) of an edge, or the sign of its
            weight.

        Returns
        -------
        ModuleMapDisplay
            The picture.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        TypeError
            If it has no topology.
        ValueError
            If `matrix` or `colour` is none of these, or if `matrix` is not "nodes" for
            a URN, whose features and outputs are nodes themselves.
        """
        if matrix not in MATRICES:
            raise ValueError(
                f'matrix={matrix!r} is none of "inputs", "nodes" and "outputs"; give '
                "one of these."
            )
        fitted = fitted_estimator(estimator)
        if hasattr(fitted, "node_depth_"):
            return cls._of_recursive(fitted, matrix).plot(ax, colour=colour)
        wiring = read_wiring(fitted, cls.__name__)
        weights = wiring.matrix(*MATRICES[matrix])
        names = {"inputs": wiring.feature_names, "outputs": wiring.output_names}
        display = cls(
            weights=weights.T if matrix == "outputs" else weights,
            groups=wiring.groups,
            levels=wiring.levels,
            row_names=names.get(matrix),
            grouped_by=wiring.grouped_by,
            matrix=matrix,
        )
        return display.plot(ax, colour=colour)

    @classmethod
    def _of_recursive(cls, estimator: Any, matrix: str) -> ModuleMapDisplay:
        if matrix != "nodes":
            raise ValueError(
                f"matrix={matrix!r} is no matrix of {type(estimator).__name__}, whose "
                'features and outputs are neurons among others; matrix="nodes" shows '
                "their edges, too."
            )
        weights, levels = by_main_depth(estimator)
        groups = in_ranges(levels)
        return cls(weights=weights, groups=groups, levels=levels, grouped_by="depth")

    def plot(
        self, ax: Axes | None = None, *, colour: str = "module"
    ) -> ModuleMapDisplay:
        """Show the matrix.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.
        colour : {"module", "weight"}, default="module"
            What colours mean: the module (or depth) of an edge, or the sign of its
            weight.

        Returns
        -------
        ModuleMapDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `colour` is none of these.
        """
        if colour not in ("module", "weight"):
            raise ValueError(
                f'colour={colour!r} is neither "module" nor "weight"; give one of them.'
            )
        is_square = self.row_names is None
        self.ax_ = open_axes(
            ax, type(self).__name__, (5.0, 5.2) if is_square else (6.4, 4.8)
        )
        self.figure_: Any = self.ax_.figure
        self.caption_ = self._caption()
        width, height = in_points(self.ax_, self.caption_)
        self.order_ = np.lexsort((self.levels, self.groups))
        below = 26.0 + (KEY if colour == "weight" else 0)
        box = self._write_rows(Box(0.0, below, width, height))
        self._draw_cells(box, colour)
        self._draw_outlines(box)
        self._write_sizes(box)
        signs = {"negative weight": NEGATIVE, "positive weight": POSITIVE}
        self.key_ = write_key(self.ax_, signs) if colour == "weight" else None
        return self

    def _caption(self) -> str:
        n_nodes = len(self.groups)
        n_edges = int(np.isfinite(self.weights).sum())
        nodes = counted(n_nodes, "node")
        if self.grouped_by == "depth":
            where = f"at {counted(len(np.unique(self.levels)), 'depth')}"
        else:
            where = f"in {counted(len(np.unique(self.groups)), 'module')}"
        edges = counted(n_edges, "edge")
        kind = {"inputs": " from features", "nodes": "", "outputs": " to outputs"}
        return f"{nodes} {where}, {edges}{kind[self.matrix]}"

    def _write_rows(self, box: Box) -> Box:
        """Name the rows, and return what is left for the cells."""
        names, (width, height) = self.row_names, box.size
        if names is None:
            side = min(width - 14, height)
            left = (width - side - 14) / 2 + 14
            box = Box(left, box.top - side, left + side, box.top)
            self.labels_ = [self._write_side(box, "from node")]
        elif height / len(names) < NAME:
            noun = {"inputs": "feature", "outputs": "output"}[self.matrix]
            box = box._replace(left=14.0)
            self.labels_ = [self._write_side(box, counted(len(names), noun))]
        else:
            step = height / len(names)
            heights = box.top - step * (np.arange(len(names)) + 0.5)
            texts = [str(name) for name in names]
            self.labels_, wide = write_names(
                self.ax_, texts, heights, "left", 0.36 * width
            )
            box = box._replace(left=wide + 5)
        return box

    def _write_side(self, box: Box, text: str) -> Text:
        """Say what the rows are."""
        middle = (box.bottom + box.top) / 2
        return self.ax_.text(
            box.left - 5,
            middle,
            text,
            rotation=90,
            ha="right",
            va="center",
            fontsize=8.5,
            color=INK,
        )

    def _draw_cells(self, box: Box, colour: str) -> None:
        from matplotlib.colors import to_rgb

        weights = self.weights[:, self.order_]
        if self.row_names is None:
            weights = weights[self.order_]
        sizes = np.abs(np.nan_to_num(weights.astype(np.float64)))
        exists = np.isfinite(weights)
        largest = np.quantile(sizes[exists], 0.98) if exists.any() else 1.0
        share = (sizes / max(largest, 1e-300)).clip(0, 1)
        cells = np.empty((*weights.shape, 4), dtype=np.float32)
        if colour == "weight":
            cells[..., :3] = to_rgb(INK)
            cells[weights < 0, :3] = to_rgb(NEGATIVE)
            cells[weights > 0, :3] = to_rgb(POSITIVE)
        else:
            cells[..., :3] = self._cell_colours()
        cells[..., 3] = np.where(exists, 0.12 + 0.88 * share**0.6, 0)
        self.image_ = self.ax_.imshow(
            cells if cells.size else np.zeros((1, 1, 4)),
            extent=(box.left, box.right, box.bottom, box.top),
            aspect="auto",
            interpolation="nearest" if len(self.groups) <= 100 else "auto",
            interpolation_stage="rgba",
        )

    def _cell_colours(self) -> np.ndarray:
        """Colours of the module of each cell's node; between two modules it is grey."""
        from matplotlib.colors import to_rgb, to_rgba_array

        own = to_rgba_array(group_colours(self.groups, self.grouped_by))[:, :3]
        groups = self.groups[self.order_]
        if self.row_names is not None:
            return own[groups][None]
        if self.grouped_by == "depth":
            return own[groups][:, None]
        is_inside = groups[:, None] == groups
        return np.where(is_inside[..., None], own[groups][:, None], to_rgb(INK))

    def _draw_outlines(self, box: Box) -> None:
        """Outline modules on the diagonal; elsewhere draw lines between groups."""
        from matplotlib.collections import LineCollection
        from matplotlib.patches import Rectangle

        sizes = np.bincount(self.groups)
        stops = np.cumsum(sizes) / max(1, len(self.groups))
        x, y = box.left + box.size[0] * stops, box.top - box.size[1] * stops
        if self.row_names is None and self.grouped_by == "module":
            before = np.append(box.left, x)[:-1], np.append(box.top, y)[:-1]
            paths = _rectangles(*before, x, y)[sizes > 1]
        else:
            paths = _verticals(x[:-1], box.bottom, box.top)
            if self.row_names is None:
                across = _verticals(y[:-1], box.left, box.right)[..., ::-1]
                paths = np.concatenate([paths, across])
        self.outlines_ = LineCollection(list(paths), colors=INK, linewidths=0.7)
        self.ax_.add_collection(self.outlines_, autolim=False)
        frame = Rectangle(box[:2], *box.size, fill=False, ec=INK, lw=0.7, alpha=0.6)
        self.ax_.add_patch(frame)

    def _write_sizes(self, box: Box) -> None:
        """Write numbers of nodes below groups that are wide enough, and what it is."""
        sizes = np.bincount(self.groups)
        step = box.size[0] / max(1, len(self.groups))
        ends = box.left + step * np.cumsum(sizes)
        self.sizes_ = []
        for size, end in zip(sizes.tolist(), ends.tolist(), strict=True):
            text = self.ax_.text(
                end - step * size / 2,
                box.bottom - 3,
                str(size),
                ha="center",
                va="top",
                fontsize=7.5,
                color=INK,
            )
            if width_of(text) + 2 > step * size:
                text.remove()
            else:
                self.sizes_.append(text)
        nodes = f"nodes, by {self.grouped_by}"
        self.labels_.append(
            self.ax_.text(
                (box.left + box.right) / 2,
                box.bottom - 13,
                "to node" if self.row_names is None else nodes,
                ha="center",
                va="top",
                fontsize=8.5,
                color=INK,
            )
        )


def _rectangles(
    x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray
) -> np.ndarray:
    """Corners of rectangles, the first twice: (n, 5, 2)."""
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    return np.stack([np.column_stack(corner) for corner in corners], axis=1)


def _verticals(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Vertical lines between two heights: (n, 2, 2)."""
    ends = [np.column_stack([x, np.full(len(x), y)]) for y in (low, high)]
    return np.stack(ends, axis=1)
