"""LayersDisplay: nodes stand at their depths."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sknm.inspection import LayersDisplay


@pytest.fixture
def three_depths(two_modules):
    """Five nodes at three depths, with an edge that skips one."""
    edges = [
        *[(0, 3, 0.5), (0, 4, -1.0), (1, 4, 0.8), (2, 5, 0.4)],
        *[(3, 5, 1.0), (4, 6, -0.5), (5, 7, 0.25), (6, 7, 0.6), (3, 7, -0.9)],
        *[(7, 8, 1.0), (7, 9, -0.7)],
    ]
    sources, targets, weights = map(np.array, zip(*edges, strict=True))
    arrays = {"sources": sources, "targets": targets, "weights": weights}
    names = {k: two_modules[k] for k in ("feature_names", "output_names")}
    return arrays | names | {"levels": np.array([0, 0, 1, 1, 2])}


@pytest.mark.parametrize("name", ["free", "deep", "layered", "recursive", "dying"])
@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.sweep(2)
def test_texts_are_legible(graph, name, is_small, assert_legible, small_axes):
    ax = small_axes if is_small else None
    assert_legible(LayersDisplay.from_estimator(graph(name), ax=ax))


def test_layers_are_those_of_the_network(graph):
    display = LayersDisplay.from_estimator(graph("layered"))
    texts = [text.get_text() for text in display.counts_]
    assert texts == ["30 features", "9", "5", "2 outputs"]
    x = display.nodes_.get_offsets()[:, 0]
    assert np.unique(x, return_counts=True)[1].tolist() == [9, 5]
    assert display.caption_ == (
        "14 nodes at 2 depths, 100 % of the weight to the next depth"
    )


def test_lines_are_sorted_by_how_far_they_lead(three_depths):
    display = LayersDisplay(**three_depths).plot()
    assert len(display.other_lines_.get_segments()) == 0
    # From a feature past the first depth, and from the first depth past the second.
    assert len(display.skip_lines_.get_segments()) == 2
    assert len(display.next_lines_.get_segments()) == 9
    share = 1 - (0.4 + 0.9) / np.abs(three_depths["weights"]).sum()
    assert f", {100 * share:.0f} % of the weight" in display.caption_


def test_all_edges_of_a_urn_lead_to_the_next_step(graph):
    for name in ("recursive", "dying"):
        model = graph(name)
        display = LayersDisplay.from_estimator(model)
        depths, W = model.node_depth_, model.node_weights_
        last = max(steps[-1] for steps in depths if steps)
        matters = np.array([[t in s for s in depths] for t in range(last + 1)])
        expected = sum(
            (W[np.ix_(matters[t], matters[t + 1])] != 0).sum() for t in range(last)
        )
        assert len(display.sources) == expected > 0
        assert len(display.skip_lines_.get_segments()) == 0
        assert len(display.other_lines_.get_segments()) == 0


def test_columns_tell_their_numbers_of_neurons(graph):
    model = graph("recursive")
    display = LayersDisplay.from_estimator(model)
    last = max(steps[-1] for steps in model.node_depth_ if steps)
    counts = [sum(t in s for s in model.node_depth_) for t in range(1, last)]
    assert [int(text.get_text()) for text in display.counts_[1:-1]] == counts
    n_several = sum(sum(0 < t < last for t in s) > 1 for s in model.node_depth_)
    n_all = sum(any(0 < t < last for t in s) for s in model.node_depth_)
    words = {0: "none", n_all: "all"}.get(n_several, n_several)
    assert display.caption_.endswith(f", {words} of them at several")


def test_many_depths_share_columns(graph):
    display = LayersDisplay.from_estimator(graph("deep"))
    assert display.level_ == "layers"
    assert len(display.nodes_.get_offsets()) <= 8
    assert sum(int(text.get_text()) for text in display.counts_[1:-1]) == 60
    nodes = LayersDisplay.from_estimator(graph("deep"), level="nodes")
    assert len(nodes.nodes_.get_offsets()) == 60


def test_a_dead_urn_is_drawn_as_such(two_modules):
    nothing = np.empty(0, dtype=int)
    names = {k: two_modules[k] for k in ("feature_names", "output_names")}
    display = LayersDisplay(
        sources=nothing,
        targets=nothing,
        weights=nothing,
        levels=nothing,
        neurons=nothing,
        **names,
    ).plot()
    assert display.caption_.startswith("0 nodes at 0 depths")


def test_graphs_with_cycles_are_refused(graph):
    with pytest.raises(TypeError, match=r"on cycles.*TopologyDisplay"):
        LayersDisplay.from_estimator(graph("cyclic"))
    with pytest.raises(ValueError, match=r"level='modules' is none of .*layers"):
        LayersDisplay.from_estimator(graph("free"), level="modules")


@pytest.mark.parametrize("level", ["nodes", "layers"])
def test_drawings_look_as_they_did(three_depths, level, assert_pictured):
    ax = plt.subplots(figsize=(3, 2.4))[1]
    display = LayersDisplay(**three_depths).plot(ax, level=level)
    assert_pictured(display, f"layers_{level}")
