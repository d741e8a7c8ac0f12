"""ModuleMapDisplay: each edge is a cell, in the place where its module is."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sknm.inspection import ModuleMapDisplay
from sknm.inspection.drawing.axes import INK, MODULE_COLOURS, NEGATIVE, POSITIVE


@pytest.fixture
def two_blocks():
    """Two modules, of three nodes and of two, in no order; one edge between them."""
    weights = np.full((5, 5), np.nan)
    groups = np.array([0, 1, 0, 1, 0])
    weights[0, 2], weights[2, 4], weights[4, 0] = 1.0, -0.5, 0.25
    weights[1, 3], weights[3, 0] = -1.0, 0.5
    levels = np.zeros(5, dtype=int)
    return {"weights": weights, "groups": groups, "levels": levels}


def cells_of(display):
    return np.asarray(display.image_.get_array())


@pytest.mark.parametrize(
    "name", ["few", "modules", "many modules", "strong", "free", "deep", "recursive"]
)
@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.sweep(2)
def test_texts_are_legible(graph, name, is_small, assert_legible, small_axes):
    ax = small_axes if is_small else None
    assert_legible(ModuleMapDisplay.from_estimator(graph(name), ax=ax))


@pytest.mark.parametrize("matrix", ["inputs", "outputs"])
@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.sweep(2)
def test_names_are_legible(graph, matrix, is_small, assert_legible, small_axes):
    ax = small_axes if is_small else None
    for name in ("modules", "members", "layered"):
        if ax is not None:
            ax.clear()
        display = ModuleMapDisplay.from_estimator(
            graph(name), ax=ax, matrix=matrix, colour="weight"
        )
        assert_legible(display)


def test_every_edge_is_a_cell(graph):
    for name in ("modules", "strong", "deep", "cyclic"):
        model = graph(name)
        display = ModuleMapDisplay.from_estimator(model)
        order = display.order_
        edges = model.topology_.to_dense()[np.ix_(order, order)]
        np.testing.assert_array_equal(cells_of(display)[..., 3] > 0, edges)


def test_edges_inside_modules_have_their_colour_and_others_are_grey(two_blocks):
    display = ModuleMapDisplay(**two_blocks).plot()
    cells = cells_of(display)
    assert display.order_.tolist() == [0, 2, 4, 1, 3]
    one, other = (to_rgb(colour) for colour in MODULE_COLOURS[:2])
    for place, colour in {(0, 1): one, (3, 4): other, (4, 0): to_rgb(INK)}.items():
        assert cells[place][3] > 0
        np.testing.assert_allclose(cells[place][:3], colour, rtol=1e-6)
    assert cells[0, 1, 3] > cells[1, 2, 3] > cells[2, 0, 3]


def test_signs_have_their_colours(two_blocks):
    display = ModuleMapDisplay(**two_blocks).plot(colour="weight")
    cells = cells_of(display)
    np.testing.assert_allclose(cells[0, 1, :3], to_rgb(POSITIVE), rtol=1e-6)
    np.testing.assert_allclose(cells[1, 2, :3], to_rgb(NEGATIVE), rtol=1e-6)
    texts = [text.get_text() for text in display.key_.get_texts()]
    assert texts == ["negative weight", "positive weight"]


def test_modules_are_outlined_and_their_sizes_told(graph):
    model = graph("modules")
    display = ModuleMapDisplay.from_estimator(model)
    sizes = np.sort(model.module_sizes_)[::-1]
    assert [int(text.get_text()) for text in display.sizes_] == sizes.tolist()
    left, right, _, _ = display.image_.get_extent()
    boxes = [np.ptp(path, axis=0) for path in display.outlines_.get_segments()]
    np.testing.assert_allclose(
        boxes, np.column_stack([sizes, sizes]) * (right - left) / 60
    )


def test_acyclic_graphs_are_above_the_diagonal(graph):
    for name in ("free", "deep", "layered"):
        cells = cells_of(ModuleMapDisplay.from_estimator(graph(name)))[..., 3]
        assert not np.tril(cells).any()


def test_links_of_features_are_those_of_the_model(graph):
    model = graph("modules")
    display = ModuleMapDisplay.from_estimator(model, matrix="inputs")
    enters = np.isfinite(display.weights)
    assert enters.shape == (30, 60)
    by_module = [enters[:, display.groups == k].any(1) for k in range(model.n_modules_)]
    columns = {tuple(column) for column in np.array(by_module)}
    assert columns == {tuple(column) for column in model.feature_modules_.T}
    outputs = ModuleMapDisplay.from_estimator(model, matrix="outputs")
    np.testing.assert_array_equal(
        np.nan_to_num(outputs.weights), model.output_weights_.T
    )


def test_the_first_member_is_shown(graph):
    model = graph("members")
    display = ModuleMapDisplay.from_estimator(model, matrix="outputs")
    np.testing.assert_array_equal(display.weights, model.output_weights_[0].T)


def test_a_urn_shows_all_neurons_that_matter(graph):
    model = graph("recursive")
    display = ModuleMapDisplay.from_estimator(model)
    assert len(display.groups) == sum(steps != () for steps in model.node_depth_)
    with pytest.raises(ValueError, match=r"inputs.*neurons among others.*nodes"):
        ModuleMapDisplay.from_estimator(model, matrix="inputs")


def test_captions_know_the_singular(two_blocks):
    display = ModuleMapDisplay(**two_blocks).plot()
    assert display.caption_ == "5 nodes in 2 modules, 5 edges"
    alone = ModuleMapDisplay(
        weights=np.ones((1, 1)),
        groups=np.zeros(1, dtype=int),
        levels=np.zeros(1, dtype=int),
        row_names=np.array(["a"]),
        matrix="inputs",
    )
    assert alone.plot().caption_ == "1 node in 1 module, 1 edge from features"


def test_parameters_are_checked(graph):
    with pytest.raises(ValueError, match=r"matrix='all' is none of .*outputs"):
        ModuleMapDisplay.from_estimator(graph("few"), matrix="all")
    with pytest.raises(ValueError, match=r"colour='sign' is neither .*weight"):
        ModuleMapDisplay.from_estimator(graph("few"), colour="sign")


@pytest.mark.parametrize("colour", ["module", "weight"])
def test_pictures_look_as_they_did(two_blocks, colour, assert_pictured):
    ax = plt.subplots(figsize=(3, 2.4))[1]
    display = ModuleMapDisplay(**two_blocks).plot(ax, colour=colour)
    assert_pictured(display, f"module_map_{colour}")
