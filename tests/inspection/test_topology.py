"""TopologyDisplay: what is drawn is what the model has."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.inspection import TopologyDisplay
from sknm.inspection.drawing.axes import NEGATIVE, POSITIVE

NAMES = [
    *["few", "modules", "many modules", "strong", "members", "free", "deep", "cyclic"],
    *["layered", "recursive", "dying"],
]


def colours_of(lines):
    return [tuple(colour[:3]) for colour in lines.get_colors()]


@pytest.mark.sweep(4)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_small", [False, True])
def test_texts_are_legible(graph, name, is_small, assert_legible, small_axes):
    ax = small_axes if is_small else None
    assert_legible(TopologyDisplay.from_estimator(graph(name), ax=ax))


@pytest.mark.parametrize("level", ["nodes", "modules"])
def test_the_user_decides_what_is_drawn(graph, level, assert_legible):
    model = graph("modules")
    display = TopologyDisplay.from_estimator(model, level=level)
    assert display.level_ == level
    n_drawn = {"nodes": 60, "modules": model.n_modules_}[level]
    assert len(display.nodes_.get_offsets()) == n_drawn
    assert_legible(display)


def test_few_nodes_are_drawn_and_many_modules():
    shown = {}
    for n in (10, 100):
        model = sknm.NeuralModuleRegressor(n, max_iter=1, random_state=0)
        X = np.random.default_rng(0).normal(size=(100, 3))
        display = TopologyDisplay.from_estimator(model.fit(X, X[:, 0]))
        shown[n] = display.level_
    assert shown == {10: "nodes", 100: "modules"}


def test_every_edge_is_a_line_in_the_colour_of_its_sign(two_modules):
    display = TopologyDisplay(**two_modules).plot()
    counts = {
        display.feature_lines_: (2, 3),
        display.node_lines_: (2, 3),
        display.output_lines_: (2, 2),
        display.direct_lines_: (0, 0),
    }
    for lines, (n_negative, n_positive) in counts.items():
        assert len(lines.get_segments()) == n_negative + n_positive
        colours = colours_of(lines)
        assert colours.count(to_rgb(NEGATIVE)) == n_negative
        assert colours.count(to_rgb(POSITIVE)) == n_positive


def test_lines_are_wider_and_denser_where_weights_are_larger(two_modules):
    lines = TopologyDisplay(**two_modules).plot().node_lines_
    widths, alphas = np.array(lines.get_linewidths()), lines.get_colors()[:, 3]
    # The largest are drawn last, above the others: .25, .5, .5, 1, 1.
    expected = np.array([0, 1, 1, 2, 2])
    assert np.unique(widths.round(6), return_inverse=True)[1].tolist() == [*expected]
    assert np.unique(alphas.round(6), return_inverse=True)[1].tolist() == [*expected]


def test_a_disc_tells_how_many_nodes_it_stands_for(graph):
    model = graph("modules")
    display = TopologyDisplay.from_estimator(model)
    sizes = np.sort(model.module_sizes_)[::-1]
    assert [int(text.get_text()) for text in display.counts_] == sizes.tolist()
    areas = display.nodes_.get_sizes()
    np.testing.assert_allclose(areas / areas.sum(), sizes / sizes.sum())


def test_edges_of_strong_modules_lead_from_one_to_another(graph):
    model = graph("strong")
    display = TopologyDisplay.from_estimator(model, level="modules")
    source, target = model.topology_.edges.nonzero()
    ends = np.stack([model.module_labels_[source], model.module_labels_[target]])
    joined = np.unique(ends[:, ends[0] != ends[1]], axis=1).shape[1]
    assert len(display.node_lines_.get_segments()) == joined > 0


@pytest.mark.parametrize("name", ["free", "deep", "layered"])
def test_edges_of_graphs_without_cycles_lead_to_the_right(graph, name):
    display = TopologyDisplay.from_estimator(graph(name), level="nodes")
    lines = np.array(display.node_lines_.get_segments())
    assert (lines[:, -1, 0] > lines[:, 0, 0]).all()


def test_captions_know_the_singular(two_modules):
    assert TopologyDisplay(**two_modules).plot().caption_ == (
        "5 nodes in 2 modules, 5 edges, 3 features"
    )
    alone = two_modules | {
        "sources": np.array([0, 1]),
        "targets": np.array([1, 2]),
        "weights": np.ones(2),
        "groups": np.zeros(1, dtype=int),
        "levels": np.zeros(1, dtype=int),
        "feature_names": np.array(["a"]),
        "output_names": np.array(["y"]),
    }
    display = TopologyDisplay(**alone).plot()
    assert display.caption_ == "1 node in 1 module, 0 edges, 1 feature"
    display = TopologyDisplay(**alone, grouped_by="depth").plot()
    assert display.caption_ == "1 node at 1 depth, 0 edges, 1 feature"


def test_captions_tell_what_the_model_says(graph):
    for name in ("modules", "free", "cyclic"):
        model = graph(name)
        caption = TopologyDisplay.from_estimator(model).caption_
        assert f"{model.topology_.n_nodes} nodes" in caption
        assert f"{model.topology_.n_edges} edges" in caption
        used = model.feature_modules_.any(axis=1).sum()
        assert caption.endswith("30 features")
        assert used == 30 or f"{used} of 30" in caption


def test_names_are_those_of_the_frame_and_of_the_classes(graph, named):
    display = TopologyDisplay.from_estimator(graph("modules"))
    labels = [text.get_text() for text in display.labels_]
    assert labels == [*named[0].columns, "benign", "malignant"]


def test_features_without_a_row_share_one(graph):
    display = TopologyDisplay.from_estimator(graph("modules"), max_features=5)
    labels = [text.get_text() for text in display.labels_]
    assert len(labels) == 5 + 2
    assert labels[4] == "26 others"
    display = TopologyDisplay.from_estimator(graph("modules"), max_features=1)
    assert display.labels_[0].get_text() == "30 features"


def test_a_feature_that_enters_nowhere_is_faint(two_modules):
    two_modules["feature_names"] = np.array(["a", "b", "c", "d"])
    for ends in ("sources", "targets"):
        two_modules[ends] = two_modules[ends] + (two_modules[ends] >= 3)
    display = TopologyDisplay(**two_modules).plot()
    assert [text.get_alpha() < 1 for text in display.labels_[:4]] == [0, 0, 0, 1]
    assert display.caption_.endswith("3 of 4 features")


def test_neurons_of_a_urn_stand_at_all_their_depths(graph):
    model = graph("recursive")
    display = TopologyDisplay.from_estimator(model, level="nodes")
    last = max(steps[-1] for steps in model.node_depth_ if steps)
    between = [t for steps in model.node_depth_ for t in steps if 0 < t < last]
    assert len(display.nodes_.get_offsets()) == len(between)
    n_neurons = sum(any(0 < t < last for t in steps) for steps in model.node_depth_)
    assert display.caption_.startswith(f"{n_neurons} nodes at {last - 1} depths")


def test_figures_are_transparent_and_axes_of_users_stay(two_modules):
    display = TopologyDisplay(**two_modules).plot()
    display.figure_.canvas.draw()
    assert (np.asarray(display.figure_.canvas.buffer_rgba())[0, 0] == 0)[3]
    figure, ax = plt.subplots(figsize=(5, 4))
    before = ax.get_position().bounds
    display.plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_position().bounds == before
    assert figure.get_size_inches().tolist() == [5, 4]


def test_pipelines_and_searches_are_looked_into(graph, named):
    X, y = named
    model = clone(graph("few"))
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {"neuralmoduleclassifier__alpha": [0.1]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    caption = TopologyDisplay.from_estimator(search).caption_
    assert TopologyDisplay.from_estimator(search.best_estimator_).caption_ == caption
    assert caption.startswith("8 nodes")


def test_what_has_no_topology_is_refused(named):
    X, y = named
    with pytest.raises(NotFittedError):
        TopologyDisplay.from_estimator(sknm.FreeNetClassifier())
    with pytest.raises(TypeError, match=r"no estimator of sknm.*pipeline"):
        TopologyDisplay.from_estimator(BaseEstimator())
    model = sknm.OptNetClassifier(4, max_iter=1).fit(X[:40], y[:40])
    with pytest.raises(TypeError, match=r"has none.*NeuralModuleClassifier"):
        TopologyDisplay.from_estimator(model)


def test_levels_are_checked(graph):
    with pytest.raises(ValueError, match=r"level='layers' is none of .*modules"):
        TopologyDisplay.from_estimator(graph("few"), level="layers")


@pytest.mark.parametrize("level", ["nodes", "modules"])
def test_drawings_look_as_they_did(two_modules, level, assert_pictured):
    ax = plt.subplots(figsize=(3, 2.4))[1]
    display = TopologyDisplay(**two_modules).plot(ax, level=level)
    assert_pictured(display, f"topology_{level}")
