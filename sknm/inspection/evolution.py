"""How a graph has changed while it was trained: modules, edges or neurons."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import numpy as np

from sknm._wording import counted
from sknm.inspection.drawing.axes import (
    FONT_SIZE,
    INK,
    MODULE_COLOURS,
    POSITIVE,
    count_whole,
    dpi_of,
    module_colours,
    open_axes,
)
from sknm.inspection.drawing.streams import ALONE, Station, bands_of, stations_of
from sknm.inspection.models import fitted_estimator

EDGE_COLOURS = (f"{INK}a0", MODULE_COLOURS[0], f"{POSITIVE}88")
"""Of edges that were kept, added and pruned: what is left is the darkest."""


class EvolutionDisplay:
    """How the graph of an estimator has changed while it was trained.

    Of Neural Modules, a stream: each band is a module, as wide as it has nodes. Bands
    that join are modules that have merged, and a band that parts is one that has split.
    What will be in one module has its colour from the start; nodes that are modules by
    themselves are one gray band. Of FreeNets, the edges that each evolution kept,
    pruned and added. Of URNs, the neurons that are alive.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    steps : array-like of shape (n_steps,)
        Epochs, or numbers of evolutions; 0 is the start.
    labels : array-like of int of shape (n_steps, n_nodes), default=None
        Module of each node after each epoch.
    edges : array-like of int of shape (n_steps, 3), default=None
        Edges that each evolution pruned, added and left.
    neurons : array-like of int of shape (n_steps,), default=None
        Neurons that are alive after each epoch.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        The figure of these.
    bands_ : matplotlib.collections.PolyCollection
        The modules, or the living neurons.
    bars_ : dict of str to matplotlib.container.BarContainer
        The edges, "kept", "added" and "pruned".

    See Also
    --------
    LearningDisplay : The loss after each epoch.
    topology_report : The start and the end, in a few numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import EvolutionDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = NeuralModuleClassifier(random_state=0).fit(X, y)
    >>> display = EvolutionDisplay.from_estimator(model)
    >>> display.labels.shape == (model.n_iter_ + 1, 400)
    True
    """

    def __init__(
        self,
        steps: Any,
        *,
        labels: Any = None,
        edges: Any = None,
        neurons: Any = None,
    ) -> None:
        self.steps = steps
        self.labels = labels
        self.edges = edges
        self.neurons = neurons

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> EvolutionDisplay:
        """Draw how the graph of a fitted estimator has changed.

        Parameters
        ----------
        estimator : estimator
            Neural Modules, a FreeNet or a URN; or a pipeline or a search that ends
            with one.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        EvolutionDisplay
            What was drawn.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If its graph doesn't change.
        """
        model = fitted_estimator(estimator)
        if hasattr(model, "module_history_"):
            steps, labels = _modules_of(model)
            display = cls(steps, labels=labels)
        elif hasattr(model, "evolution_"):
            edges = _edges_of(model)
            display = cls(np.arange(len(edges)), edges=edges)
        elif hasattr(model, "active_history_"):
            neurons = np.array(model.active_history_, dtype=int)
            display = cls(_epochs(model, len(neurons)), neurons=neurons)
        else:
            raise TypeError(
                f"The graph of {type(model).__name__} doesn't change while it is "
                "trained: give Neural Modules, a FreeNet or a URN. LearningDisplay "
                "shows the loss of any estimator."
            )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> EvolutionDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where; None makes a figure.

        Returns
        -------
        EvolutionDisplay
            This.

        Raises
        ------
        ImportError
            If there is no matplotlib.
        ValueError
            If there is not one kind of what has changed.
        """
        kinds = {
            "labels": self._plot_modules,
            "edges": self._plot_edges,
            "neurons": self._plot_neurons,
        }
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1 or len(getattr(self, given[0])) != len(self.steps):
            raise ValueError(
                "EvolutionDisplay shows one of labels, edges and neurons, with a row "
                "for each of steps."
            )
        self.ax_ = open_axes(ax, "EvolutionDisplay", (7.0, 4.2))
        self.figure_ = self.ax_.figure
        kinds[given[0]]()
        return self

    def _plot_modules(self) -> None:
        """Draw the modules as a stream."""
        from matplotlib.collections import PolyCollection

        labels = np.asarray(self.labels)
        stations = stations_of(np.asarray(self.steps), labels)
        polygons, colours = _painted(stations, int(labels[-1].max()) + 1)
        self.bands_ = PolyCollection(
            polygons, facecolors=colours, edgecolors=colours, linewidths=0.9
        )
        self.ax_.add_collection(self.bands_, autolim=True)
        self._tell("module", [len(np.unique(labels[k])) for k in (0, -1)])
        self.ax_.set_ylabel(counted(labels.shape[1], "node"), color=INK)
        for side in ("left", "bottom"):
            self.ax_.spines[side].set_visible(False)
        self.ax_.margins(y=0.02)
        self.ax_.autoscale_view(scalex=False)
        self._name_sizes(stations[-1])

    def _name_sizes(self, station: Station) -> None:
        """Write how many nodes the last modules have, where there is room."""
        axis = self.ax_.yaxis
        axis.tick_right()
        axis.set_label_position("left")
        extents = sorted(station.extents.values(), key=lambda e: e[0] - e[1])
        box = self.ax_.get_window_extent()
        low, high = self.ax_.get_ylim()
        room = 1.4 * FONT_SIZE * dpi_of(self.ax_) / 72 * (high - low) / box.height
        kept: list[tuple[float, str]] = []
        for lower, upper in extents:
            centre = (lower + upper) / 2
            if all(abs(centre - other) > room for other, _ in kept):
                kept.append((centre, f"{upper - lower:.0f}"))
        self.ax_.set_yticks([place for place, _ in kept], [name for _, name in kept])
        self.ax_.tick_params(axis="y", length=0, labelsize=FONT_SIZE)

    def _plot_edges(self) -> None:
        """Draw what each evolution kept, added and pruned as bars."""
        pruned, added, left = np.asarray(self.edges).T
        steps, parts = np.asarray(self.steps), {}
        bottom = np.zeros(len(steps))
        heights = {"kept": left - added, "added": added, "pruned": pruned}
        for (name, height), colour in zip(heights.items(), EDGE_COLOURS, strict=True):
            parts[name] = self.ax_.bar(
                steps, height, 0.8, bottom, color=colour, label=name, linewidth=0
            )
            bottom = bottom + height
        self.bars_ = parts
        self._tell("edge", [int(left[0]), int(left[-1])], "evolution")
        self.ax_.set_xlim(steps[0] - 0.6, steps[-1] + 0.6)
        self.ax_.set_ylim(0, 1.2 * max(1, bottom.max()))
        self.ax_.legend(
            loc="upper right",
            ncols=3,
            frameon=False,
            labelcolor=INK,
            fontsize=FONT_SIZE,
            columnspacing=1.2,
            handlelength=1.0,
        )

    def _plot_neurons(self) -> None:
        """Draw the number of living neurons as an area."""
        steps, neurons = np.asarray(self.steps), np.asarray(self.neurons)
        colour = MODULE_COLOURS[0]
        self.bands_ = self.ax_.fill_between(
            steps, neurons, color=colour, alpha=0.3, linewidth=0
        )
        marker = "o" if len(steps) == 1 else ""
        self.ax_.plot(steps, neurons, color=colour, linewidth=2, marker=marker)
        self._tell("neuron", [int(neurons[0]), int(neurons[-1])])
        self.ax_.set_ylim(0, 1.05 * max(1, neurons.max()))

    def _tell(self, noun: str, counts: list[int], unit: str = "epoch") -> None:
        """Say above how many there were at the start, and are at the end."""
        start, end = (counted(count, noun) for count in counts)
        self.ax_.set_title(start, loc="left", color=INK, fontsize=FONT_SIZE + 1)
        self.ax_.set_title(end, loc="right", color=INK, fontsize=FONT_SIZE + 1)
        self.ax_.set_xlabel(unit, color=INK)
        count_whole(self.ax_.xaxis)
        first, last = self.steps[0], self.steps[-1]
        self.ax_.set_xlim(first, last if last > first else first + 1)


def _modules_of(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read the modules after each epoch, and at the start if it is remembered.

    Of a network that was trained on after modules were dropped, what came since.
    """
    labels = [entry["labels"] for entry in model.module_history_]
    labels = [*takewhile(lambda own: len(own) == len(labels[-1]), reversed(labels))]
    labels.reverse()
    epochs = _epochs(model, len(labels))
    origin = model.net_.module_.graph.origin
    is_of_all = len(origin.labels) == len(labels[-1])
    if epochs[0] == 1 and model.connection == "weak" and origin.n_edges and is_of_all:
        labels.insert(0, tuple(origin.labels.tolist()))
        epochs = np.arange(len(labels))
    return epochs, np.array(labels)


def _epochs(model: Any, n_known: int) -> np.ndarray:
    """Give epochs their numbers, of which the first may be forgotten."""
    return model.n_iter_ - n_known + np.arange(1, n_known + 1)


def _edges_of(model: Any) -> np.ndarray:
    """Read the edges pruned, added and left; the first row is the start."""
    rows = [[e["pruned"], e["added"], e["left"]] for e in model.evolution_]
    n_first = model.topology_.n_edges
    if rows:
        n_pruned, n_added, n_left = rows[0]
        n_first = n_left + n_pruned - n_added
    return np.array([[0, 0, n_first], *rows])


def _painted(
    stations: list[Station], n_modules: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Make the polygons of modules and of what flows between them, and colour them."""
    from matplotlib.colors import to_rgb

    bands, streams = bands_of(stations)
    palette, last = module_colours(n_modules), stations[-1].labels
    colour_of: dict[tuple[int, int], tuple[float, ...]] = {}
    for band in bands:
        colour = INK if band.is_alone else _colour(last[band.nodes], palette)
        colour_of |= dict.fromkeys(band.places, to_rgb(colour))
    polygons, colours = [], []
    for stream in streams:
        start, end = (np.array(colour_of[place]) for place in stream.places)
        pieces = [stream.outline()] if (start == end).all() else stream.pieces()
        polygons += pieces
        shares = np.linspace(0, 1, len(pieces))[:, None]
        colours += list(start + (end - start) * shares)
    polygons += [band.outline() for band in bands]
    colours += [colour_of[band.places[0]] for band in bands]
    return polygons, np.array(colours)


def _colour(last: np.ndarray, palette: list[str]) -> str:
    """Choose the colour of the module in which most nodes of a band end."""
    modules, counts = np.unique(last, return_counts=True)
    module = modules[counts.argmax()]
    return INK if module == ALONE else palette[module]
