"""The display of what modules add to the outputs."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.inspection import ModuleContributionDisplay

SMALL = {"max_iter": 2, "random_state": 0}
show = ModuleContributionDisplay.from_estimator


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X[::3], np.array(["a", "b", "c"])[y[::3]]


@pytest.fixture(scope="module")
def model(iris):
    """A classifier of 24 modules: single nodes."""
    return sknm.FeedForwardClassifier(24, **SMALL).fit(*iris)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def bars(display):
    """Left end and length of each bar, from the top."""
    return np.array([(bar.get_x(), bar.get_width()) for bar in display.ax_.patches])


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_bars_lead_from_the_mean_to_the_output_of_the_row(model, iris):
    X, _ = iris
    display = show(model, X, row=7, max_modules=24)
    chosen = model.decision_function(X)[7].argmax()
    terms = model.module_contributions(X)[:, :, chosen]
    found, expected = bars(display), terms[7] - terms.mean(axis=0)
    assert found[0, 0] == pytest.approx(terms.sum(axis=1).mean())
    np.testing.assert_allclose(found[1:, 0], found[:-1].sum(axis=1))
    assert found[-1].sum() == pytest.approx(terms[7].sum())
    order = np.argsort(-abs(expected), kind="stable")
    np.testing.assert_allclose(found[:, 1], expected[order])
    assert labels(display.ax_.yaxis) == ["mean", *(f"module {m}" for m in order), "sum"]
    assert display.ax_.get_xlabel() == f"decision for {model.classes_[chosen]}"


def test_what_is_not_shown_is_added_up(model, iris):
    X, _ = iris
    whole, part = (bars(show(model, X, row=0, max_modules=n)) for n in (24, 5))
    assert len(part) == 5
    np.testing.assert_allclose(part[:4], whole[:4])
    assert part[4, 1] == pytest.approx(whole[4:, 1].sum())
    assert labels(show(model, X, row=0).ax_.yaxis)[-2] == "13 others"


def test_fields_are_means_over_the_rows(model, iris):
    X, _ = iris
    display = show(model, X, max_modules=24)
    shown = display.ax_.images[0].get_array()
    terms = model.module_contributions(X).mean(axis=0)
    order = [int(name.split()[1]) for name in labels(display.ax_.yaxis)]
    np.testing.assert_allclose(shown, terms[order])
    assert labels(display.ax_.xaxis) == ["a", "b", "c"]
    assert display.figure_ is display.ax_.figure


def test_of_two_classes_bars_speak_for_the_predicted_one(iris):
    X, y = iris
    model = sknm.FeedForwardClassifier(8, **SMALL).fit(X, y == "a")
    decisions = model.decision_function(X)
    for row in (int(decisions.argmax()), int(decisions.argmin())):
        display = show(model, X, row=row)
        assert bars(display)[-1].sum() == pytest.approx(abs(decisions[row]))
        assert str(model.predict(X)[row]) in display.ax_.get_xlabel()
    other = show(model, X, row=row, output=True)
    assert bars(other)[-1].sum() == pytest.approx(decisions[row])


@pytest.mark.parametrize(
    ("loss", "name"),
    [("squared_error", "prediction"), ("gamma", "logarithm of the prediction")],
)
def test_of_regressors_bars_lead_to_the_prediction(loss, name, iris):
    X, _ = iris
    model = sknm.FeedForwardRegressor(8, loss=loss, **SMALL).fit(X, X[:, :2])
    display = show(model, X, row=3, output=1)
    predicted = model.predict(X)[3, 1]
    expected = np.log(predicted) if loss == "gamma" else predicted
    assert bars(display)[-1].sum() == pytest.approx(expected)
    assert display.ax_.get_xlabel() == f"{name} for y1"


def test_pipelines_and_searches_are_shown(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), sknm.DEQClassifier(8, **SMALL))
    search = GridSearchCV(pipeline, {"deqclassifier__margin": [0.3]}, cv=2).fit(X, y)
    best = search.best_estimator_
    terms = best[-1].module_contributions(best[0].transform(X))
    for model in (search, best):
        found = bars(show(model, X, row=0, output="b"))
        assert found[-1].sum() == pytest.approx(terms[0, :, 1].sum())


def test_axes_of_the_user_are_used(model, iris):
    figure, ax = plt.subplots()
    display = show(model, iris[0], row=0, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure


@pytest.mark.parametrize("row", [0, None])
@pytest.mark.parametrize("width", [3.9, 12.0])
def test_no_two_texts_overlap(model, iris, row, width):
    display = show(model, iris[0], row=row)
    figure, ax = display.figure_, display.ax_
    figure.set_size_inches(width, figure.get_size_inches()[1])
    figure.canvas.draw()
    ticks = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, *ax.texts]
    low, high = sorted(ax.get_xlim())
    drawn = [
        t.get_window_extent()
        for t in ticks
        if t.get_text() and (t not in ax.get_xticklabels() or low <= t._x <= high)
    ]
    assert len(drawn) > 10
    assert not any(a.overlaps(b) for a, b in combinations(drawn, 2))
    assert all(box.x1 <= figure.bbox.x1 and box.x0 >= 0 for box in drawn)


def test_what_can_not_be_shown_is_refused(model, iris):
    X, y = iris
    with pytest.raises(ValueError, match="row=99, but X has 50 rows"):
        show(model, X, row=99)
    with pytest.raises(ValueError, match=r"output='z' is none of \['a', 'b', 'c'\]"):
        show(model, X, row=0, output="z")
    with pytest.raises(TypeError, match="URNClassifier are no sums over modules"):
        show(sknm.URNClassifier(8, **SMALL).fit(X, y), X)
