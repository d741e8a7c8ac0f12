"""Small fitted models to look into, and what has to hold for any drawing."""

from functools import cache
from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text
from sklearn.datasets import load_breast_cancer

import sknm

BASELINE = Path(__file__).parent / "baseline"


GRAPHS = {
    "few": sknm.NeuralModuleClassifier(8, max_iter=2, random_state=0),
    "modules": sknm.NeuralModuleClassifier(60, max_iter=2, random_state=0),
    "many modules": sknm.NeuralModuleClassifier(
        150, module_size=3, lambda_NM=1e6, max_iter=2, random_state=0
    ),
    "strong": sknm.NeuralModuleClassifier(
        40,
        connection="strong",
        init="dense",
        tau=0.16,
        penalty=None,
        max_iter=2,
        random_state=0,
    ),
    "members": sknm.NeuralModuleRegressor(20, n_members=2, max_iter=2, random_state=0),
    "free": sknm.FreeNetClassifier(10, max_iter=2, random_state=0),
    "deep": sknm.DAGClassifier(60, max_iter=2, random_state=0),
    "cyclic": sknm.DEQClassifier(10, max_iter=2, random_state=0),
    "layered": sknm.FeedForwardClassifier(
        hidden_layer_sizes=(9, 5), max_iter=2, random_state=0
    ),
    "recursive": sknm.URNClassifier(12, max_iter=2, random_state=0),
    "dying": sknm.URNClassifier(20, alpha_weight=1.0, max_iter=20, random_state=0),
}


@pytest.fixture(scope="session")
def named():
    """A frame of 200 rows with 30 named features, and two classes with names."""
    data = load_breast_cancer(as_frame=True)
    return data.data[:200], data.target_names[data.target[:200]]


@pytest.fixture(scope="session")
def graph(named):
    """Return a function from a name to a fitted model."""

    @cache
    def fit(name):
        X, y = named
        model = GRAPHS[name]
        return model.fit(X, X["mean area"] if name == "members" else y)

    return fit


@pytest.fixture(autouse=True)
def close_figures():
    """Close what a test has drawn."""
    yield
    plt.close("all")


def texts_of(figure):
    """Return the texts that are to be seen, and where they are."""
    figure.canvas.draw()
    axes = figure.findobj(Axes)
    hidden = set()
    for ax in axes:
        if not ax.axison:
            hidden |= {ax.xaxis.label, ax.yaxis.label}
        hidden |= hidden_labels(ax.xaxis) | hidden_labels(ax.yaxis)
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t not in hidden]
    return [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]


def hidden_labels(axis):
    """Return the labels of ticks that are outside, or that are no longer."""
    low, high = sorted(axis.get_view_interval())
    shown = {axis.label, axis.offsetText}
    for tick, place in zip(
        axis.get_major_ticks(), axis.get_majorticklocs(), strict=True
    ):
        if axis.axes.axison and low <= place <= high:
            shown |= {tick.label1, tick.label2}
    return set(axis.findobj(Text)) - shown


@pytest.fixture(scope="session")
def assert_legible():
    """Return a function that asserts that texts are in the figure and apart."""

    def check(drawn):
        figure = getattr(drawn, "figure_", drawn)
        texts, whole = texts_of(figure), figure.bbox.padded(1)
        assert texts
        for text, box in texts:
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, text
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, text
        for (one, a), (other, b) in combinations(texts, 2):
            # Boxes have room for letters that reach below the line.
            is_apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1
            is_apart |= a.y1 <= b.y0 + 2 or b.y1 <= a.y0 + 2
            assert is_apart, (one, other)

    return check


@pytest.fixture
def small_axes():
    """Axes of a figure as wide as a telephone."""
    return plt.subplots(figsize=(3.9, 3.6), dpi=100)[1]


@pytest.fixture
def assert_pictured(tmp_path):
    """Return a function that compares a drawing without its texts with a stored one.

    Where there is no such picture, it is written to its place, and has to be looked at
    and kept.
    """

    def check(drawn, name, tolerance=6.0):
        figure = getattr(drawn, "figure_", drawn)
        figure.canvas.draw()
        for text in figure.findobj(Text):
            text.set_visible(False)
        figure.set_layout_engine("none")
        figure.patch.set(facecolor="white", alpha=1)
        expected, found = BASELINE / f"{name}.png", tmp_path / f"{name}.png"
        path = found if expected.exists() else expected
        figure.savefig(path, dpi=50, metadata={"Software": None})
        assert path == found, f"{expected} is new: look at it, and keep it"
        assert expected.stat().st_size < 20_000
        assert compare_images(expected, found, tolerance) is None

    with matplotlib.rc_context(matplotlib.rcParamsDefault | {"backend": "Agg"}):
        yield check


@pytest.fixture
def two_modules():
    """Edges of two modules, a cycle of three nodes and a pair, and their ends."""
    edges = [
        *[(0, 3, 0.5), (0, 4, -1.0), (1, 5, 0.8), (1, 6, 0.3), (2, 7, -0.6)],
        *[(3, 4, 1.0), (4, 5, -0.5), (5, 3, 0.25), (6, 7, -1.0), (7, 6, 0.5)],
        *[(3, 8, 1.0), (5, 9, -0.7), (7, 8, -0.2), (6, 9, 0.9)],
    ]
    sources, targets, weights = map(np.array, zip(*edges, strict=True))
    return {
        "sources": sources,
        "targets": targets,
        "weights": weights,
        "groups": np.array([0, 0, 0, 1, 1]),
        "levels": np.zeros(5, dtype=int),
        "feature_names": np.array(["a", "b", "c"]),
        "output_names": np.array(["0", "1"]),
    }
