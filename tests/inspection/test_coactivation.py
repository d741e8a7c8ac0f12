"""Which nodes are active together."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.datasets import make_planted_modules
from sknm.inspection import CoactivationDisplay


@pytest.fixture(scope="module")
def planted():
    X, y, _ = make_planted_modules(200, n_classes=2, random_state=0)
    return X, y


@pytest.fixture(scope="module")
def model(planted):
    return sknm.FreeNetClassifier(30, max_iter=8, random_state=0).fit(*planted)


def shares(values):
    """NCAM and NCIM, pair by pair."""
    active = values > 0
    together = [[(a & b).mean() for b in active.T] for a in active.T]
    neither = [[(~a & ~b).mean() for b in active.T] for a in active.T]
    return np.array(together), np.array(neither)


def test_matrices_and_numbers_are_pictured(assert_pictured):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 8)) + np.linspace(-1, 1, 8)
    display = CoactivationDisplay(*shares(values), np.arange(8)).plot()
    assert_pictured(display.figure_, "coactivation")


def test_matrices_are_those_of_the_training_rows(model, planted):
    display = CoactivationDisplay.from_estimator(model)
    together, neither = shares(model.node_values(planted[0]))
    np.testing.assert_allclose(display.coactivation, together, atol=1e-6)
    np.testing.assert_allclose(display.coinactivation, neither, atol=1e-6)


def test_matrices_of_other_rows_are_those_of_their_node_values(model, planted):
    X = planted[0][:50]
    display = CoactivationDisplay.from_estimator(model, X)
    together, neither = shares(model.node_values(X))
    np.testing.assert_allclose(display.coactivation, together, atol=1e-12)
    np.testing.assert_allclose(display.coinactivation, neither, atol=1e-12)


def test_nodes_are_in_the_order_of_their_depth():
    together = np.array([[0.5, 0.1, 0.2], [0.1, 0.6, 0.3], [0.2, 0.3, 0.4]])
    display = CoactivationDisplay(together, together, [2, 0, 1]).plot()
    shown = display.image_.get_array()[..., 3]
    expected = np.array([[0, 1, 1 / 3], [1, 0, 2 / 3], [1 / 3, 2 / 3, 0]])
    np.testing.assert_allclose(shown, expected)
    above, below = (display.image_.get_array()[index][:3] for index in ((0, 1), (1, 0)))
    assert not np.array_equal(above, below)


def test_lines_tell_the_share_of_pairs(model):
    display = CoactivationDisplay.from_estimator(model)
    assert display.lines_.keys() == {"start", "end"}
    for line in [*display.lines_["start"], *display.lines_["end"]]:
        assert line.get_ydata().sum() == pytest.approx(1)
    centres = display.lines_["end"][0].get_xdata()
    pairs = model.coactivation_[np.triu_indices(30, 1)]
    mean = (centres * display.lines_["end"][0].get_ydata()).sum()
    assert mean == pytest.approx(pairs.mean(), abs=0.5 / len(centres))


def test_other_graphs_are_shown_with_rows(planted):
    X, y = planted
    module = sknm.NeuralModuleClassifier(
        12, module_size=4, n_members=2, max_iter=1, random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match=r"from_estimator\(estimator, X\)"):
        CoactivationDisplay.from_estimator(module)
    display = CoactivationDisplay.from_estimator(module, X[:40])
    together, _ = shares(module.node_values(X[:40]).reshape(-1, 12))
    np.testing.assert_allclose(display.coactivation, together, atol=1e-12)
    assert display.start is None


def test_what_sparsify_drops_can_be_counted_again(planted):
    model = sknm.FreeNetClassifier(10, max_iter=4, random_state=0).fit(*planted)
    before = CoactivationDisplay.from_estimator(model)
    model.sparsify()
    with pytest.raises(ValueError, match="give rows"):
        CoactivationDisplay.from_estimator(model)
    after = CoactivationDisplay.from_estimator(model, planted[0])
    np.testing.assert_allclose(after.coactivation, before.coactivation, atol=1e-6)


@pytest.mark.parametrize("size", [(3.9, 3), (3.9, 6), (12, 4.5)], ids=str)
def test_texts_are_inside_and_apart(model, size, assert_legible):
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    display = CoactivationDisplay.from_estimator(model, ax=ax)
    assert display.ax_ is ax
    assert_legible(figure)
    boxes = [panel.get_position() for panel in display.panels_]
    assert (boxes[0].y0 > boxes[1].y1) == (size[0] < size[1])


def test_figure_of_its_own_is_transparent(model):
    display = CoactivationDisplay.from_estimator(model)
    patches = [ax.patch for ax in (display.ax_, *display.panels_)]
    assert {patch.get_alpha() for patch in patches} == {0}
    assert display.figure_.patch.get_alpha() == 0


def test_what_cannot_be_shown_is_refused(planted):
    with pytest.raises(NotFittedError):
        CoactivationDisplay.from_estimator(sknm.FreeNetClassifier())
    pipeline = make_pipeline(StandardScaler(), sknm.URNClassifier(5, max_iter=1))
    with pytest.raises(TypeError, match=r"no one value.*FreeNet"):
        CoactivationDisplay.from_estimator(pipeline.fit(*planted))
    smooth = sknm.DEQClassifier(5, max_iter=1, activation="tanh").fit(*planted)
    with pytest.raises(TypeError, match=r"activation='tanh'.*'relu'"):
        CoactivationDisplay.from_estimator(smooth, planted[0])
