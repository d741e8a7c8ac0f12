"""Streams of modules, bars of edges, and areas of neurons."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.datasets import make_planted_modules
from sknm.inspection import EvolutionDisplay


@pytest.fixture(scope="module")
def planted():
    X, y, _ = make_planted_modules(400, n_classes=2, random_state=0)
    return X, y


@pytest.fixture(scope="module")
def merged(planted):
    model = sknm.NeuralModuleClassifier(
        40, module_size=4, lambda_NM=1, max_iter=8, random_state=0
    )
    return model.fit(*planted)


@pytest.fixture(scope="module")
def rewired(planted):
    return sknm.FreeNetClassifier(20, max_iter=8, random_state=0).fit(*planted)


@pytest.fixture(scope="module")
def urn(planted):
    return sknm.URNClassifier(20, max_iter=8, random_state=0).fit(*planted)


LABELS = [
    [0, 0, 0, 1, 1, 2, 2, 2, 3, 4],
    [0, 0, 0, 1, 1, 2, 2, 2, 3, 4],
    [0, 0, 0, 0, 0, 1, 1, 1, 2, 2],
    [0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
    [2, 2, 0, 0, 0, 1, 1, 1, 0, 0],
]
EDGES = [[0, 0, 90], [30, 10, 70], [20, 5, 55], [3, 3, 55]]


def test_stream_of_modules_is_pictured(assert_pictured):
    display = EvolutionDisplay(np.arange(5), labels=LABELS).plot()
    assert_pictured(display.figure_, "evolution_modules")


def test_bars_of_edges_are_pictured(assert_pictured):
    display = EvolutionDisplay(np.arange(4), edges=EDGES).plot()
    assert_pictured(display.figure_, "evolution_edges")


def test_labels_are_those_of_the_history(merged):
    display = EvolutionDisplay.from_estimator(merged)
    assert display.steps.tolist() == list(range(9))
    assert np.bincount(display.labels[0]).tolist() == [4] * 10
    history = merged.module_history_
    assert [tuple(row) for row in display.labels[1:]] == [e["labels"] for e in history]
    assert merged.n_modules_ < 10


def test_what_goes_on_is_shown_as_far_as_it_is_remembered(merged, planted):
    model = sknm.NeuralModuleClassifier(**merged.get_params())
    model.set_params(max_iter=2, warm_start=True).fit(*planted).fit(*planted)
    display = EvolutionDisplay.from_estimator(model)
    assert display.steps.tolist() == list(range(5))
    del model.module_history_[:2]
    assert EvolutionDisplay.from_estimator(model).steps.tolist() == [3, 4]


def test_strong_modules_are_shown_from_the_first_epoch_on(planted):
    model = sknm.NeuralModuleClassifier(
        20, module_size=5, connection="strong", max_iter=3, random_state=0
    ).fit(*planted)
    display = EvolutionDisplay.from_estimator(model)
    assert display.steps.tolist() == [1, 2, 3]
    assert np.array_equal(display.labels[-1], model.module_labels_)


def test_modules_have_their_colour_from_the_start(merged):
    display = EvolutionDisplay.from_estimator(merged)
    colours = {tuple(c) for c in display.bands_.get_facecolors().round(6)}
    sizes = np.bincount(display.labels[-1])
    assert len(colours) == min(8, (sizes > 1).sum()) + (1 in sizes)


def test_edges_are_those_of_the_log(rewired):
    display = EvolutionDisplay.from_estimator(rewired)
    assert display.edges[0].tolist() == [0, 0, 190]
    for bars, column in (("pruned", 0), ("added", 1)):
        heights = [bar.get_height() for bar in display.bars_[bars]]
        assert heights == display.edges[:, column].tolist()
    tops = [bar.get_y() + bar.get_height() for bar in display.bars_["added"]]
    assert tops == display.edges[:, 2].tolist()
    assert tops[-1] == rewired.topology_.n_edges


def test_graph_that_never_evolved_is_shown_as_it_is(planted):
    model = sknm.FreeNetClassifier(10, max_iter=1, max_evolutions=0).fit(*planted)
    display = EvolutionDisplay.from_estimator(model)
    assert display.edges.tolist() == [[0, 0, 45]]


def test_living_neurons_are_those_of_the_history(urn):
    display = EvolutionDisplay.from_estimator(urn)
    assert display.neurons.tolist() == urn.active_history_
    assert display.steps.tolist() == list(range(1, 9))


@pytest.mark.parametrize("size", [(3.9, 3), (12, 4.5)], ids=str)
@pytest.mark.parametrize("name", ["merged", "rewired", "urn"])
def test_texts_are_inside_and_apart(name, size, assert_legible, request):
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    display = EvolutionDisplay.from_estimator(request.getfixturevalue(name), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert_legible(figure)


def test_figure_of_its_own_is_transparent(merged):
    display = EvolutionDisplay.from_estimator(merged)
    assert display.figure_.patch.get_alpha() == display.ax_.patch.get_alpha() == 0


def test_counts_are_named_in_the_singular_and_plural():
    display = EvolutionDisplay([0, 1], labels=[[0, 0, 1, 1], [0, 0, 0, 0]]).plot()
    titles = [display.ax_.get_title(loc=place) for place in ("left", "right")]
    assert titles == ["2 modules", "1 module"]
    assert display.ax_.get_ylabel() == "4 nodes"


def test_pipelines_and_searches_are_looked_into(planted):
    model = sknm.NeuralModuleClassifier(12, module_size=4, max_iter=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(pipeline, {"neuralmoduleclassifier__tau": [0.05]}, cv=2)
    display = EvolutionDisplay.from_estimator(search.fit(*planted))
    assert display.labels.shape == (2, 12)


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(NotFittedError):
        EvolutionDisplay.from_estimator(sknm.NeuralModuleClassifier())
    with pytest.raises(TypeError, match=r"no estimator of sknm"):
        EvolutionDisplay.from_estimator(StandardScaler())
    fixed = sknm.DEQClassifier(5, max_iter=1).fit(*load_iris(return_X_y=True))
    with pytest.raises(TypeError, match=r"doesn't change.*LearningDisplay"):
        EvolutionDisplay.from_estimator(fixed)
    with pytest.raises(ValueError, match=r"one of labels, edges and neurons"):
        EvolutionDisplay([0]).plot()
    with pytest.raises(ValueError, match=r"a row for each of steps"):
        EvolutionDisplay([0], neurons=[3, 2]).plot()


def test_of_a_part_the_history_of_the_whole_is_shown_and_then_its_own(merged, planted):
    """Its nodes are fewer than those that the records of the whole are about."""
    part = merged.drop_modules([0])
    labels = EvolutionDisplay.from_estimator(part).labels
    assert labels.shape == (merged.n_iter_, 40)
    np.testing.assert_array_equal(labels[-1], merged.module_labels_)
    n_left = len(part.module_labels_)
    part.set_params(n_nodes=n_left).partial_fit(*planted).partial_fit(*planted)
    display = EvolutionDisplay.from_estimator(part)
    assert display.labels.shape == (2, n_left)
    np.testing.assert_array_equal(display.labels[-1], part.module_labels_)
    np.testing.assert_array_equal(display.steps, part.n_iter_ + np.array([-1, 0]))
