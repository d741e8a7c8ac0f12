"""What a search has found, by two parameters."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.inspection import (
    TradeOffDisplay,
    largest_share_scorer,
    n_modules_scorer,
)

SCORING = {
    "score": "accuracy",
    "n_modules": n_modules_scorer,
    "largest_share": largest_share_scorer,
}
GRID = {"tau": [0.02, 0.05], "lambda_NM": [1, 100]}
MODEL = sknm.NeuralModuleClassifier(12, module_size=3, max_iter=1, random_state=0)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X[::2], y[::2]


@pytest.fixture(scope="module")
def search(iris):
    found = GridSearchCV(MODEL, GRID, scoring=SCORING, refit="score", cv=2)
    return found.fit(*iris)


def test_candidates_are_pictured(assert_pictured):
    display = TradeOffDisplay(
        [1, 1, 10, 10, 100, 100],
        [0.2, 0.25, 0.15, 0.2, 0.18, 0.22],
        series=[0.02, 0.1] * 3,
        spread=[0.02] * 6,
        n_modules=[2, 3, 5, 6, 10, 9],
        largest_share=[0.8, 0.7, 0.4, 0.3, 0.1, 0.1],
    )
    assert_pictured(display.plot().figure_, "trade_off")


def test_numbers_are_those_of_the_search(search):
    display = TradeOffDisplay.from_search(search)
    results = search.cv_results_
    np.testing.assert_allclose(display.error, 1 - results["mean_test_score"])
    assert display.n_modules.tolist() == results["mean_test_n_modules"].tolist()
    shares = results["mean_test_largest_share"].tolist()
    assert display.largest_share.tolist() == shares
    assert display.names == ("lambda_NM", "tau", "error")
    assert display.x == [candidate["lambda_NM"] for candidate in results["params"]]
    for name, lines in display.lines_.items():
        drawn = [value for line in lines for value in line.get_ydata()]
        assert sorted(drawn) == sorted(getattr(display, name))


def test_estimator_is_another_name_of_the_search(search):
    params = ("tau", "lambda_NM")
    one = TradeOffDisplay.from_search(search, params=params)
    other = TradeOffDisplay.from_estimator(search, params=params)
    assert one.x == other.x
    assert one.names == other.names == ("tau", "lambda_NM", "error")


def test_pipelines_and_plain_scores_are_shown(iris):
    pipeline = make_pipeline(StandardScaler(), MODEL)
    grid = {"neuralmoduleclassifier__penalty": ["evidence", None]}
    found = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=2).fit(*iris)
    display = TradeOffDisplay.from_search(found, params="penalty")
    assert display.names == ("penalty", "", "log loss")
    assert list(display.panels_) == ["error"]
    np.testing.assert_allclose(display.error, -found.cv_results_["mean_test_score"])
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == ["evidence", "None"]


def test_of_halving_the_last_round_of_each_candidate_is_shown(iris):
    found = HalvingGridSearchCV(
        MODEL,
        {"tau": [0.02, 0.05, 0.1]},
        resource="max_iter",
        min_resources=1,
        max_resources=3,
        cv=2,
        random_state=0,
    ).fit(*iris)
    results = found.cv_results_
    display = TradeOffDisplay.from_search(found)
    assert len(results["params"]) > len(display.x) == 3
    kept = {}  # later rounds come after earlier ones
    for candidate, score in zip(
        results["params"], results["mean_test_score"], strict=True
    ):
        kept[candidate["tau"]] = 1 - score
    assert dict(zip(display.x, display.error, strict=True)) == pytest.approx(kept)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 2, 5], "linear"), ([0.01, 0.1, 1.0], "log"), ([0, 0.1, 10], "linear")],
)
def test_numbers_of_several_magnitudes_have_a_logarithmic_axis(values, scale):
    display = TradeOffDisplay(values, [0.3, 0.2, 0.1]).plot()
    assert display.ax_.get_xscale() == scale
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == [f"{v:g}" for v in values]


def test_many_values_have_colours_on_a_walk_and_no_lines():
    rng = np.random.default_rng(0)
    display = TradeOffDisplay(rng.random(9), rng.random(9), series=rng.random(9)).plot()
    lines = display.lines_["error"]
    assert {line.get_linestyle() for line in lines} == {"None"}
    assert len({line.get_color() for line in lines}) == 9
    legend = display.ax_.get_legend().get_texts()
    assert len(legend) == 4


def test_the_least_error_has_a_ring(search):
    display = TradeOffDisplay.from_search(search)
    ring = display.panels_["error"].lines[-1]
    assert ring.get_fillstyle() == "none"
    assert ring.get_ydata()[0] == np.min(display.error)


@pytest.mark.parametrize("size", [(3.9, 3), (12, 4.5)], ids=str)
def test_texts_are_inside_and_apart(search, size, assert_legible):
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    display = TradeOffDisplay.from_search(search, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert_legible(figure)


@pytest.mark.parametrize("size", [(3.9, 3), (12, 4.5)], ids=str)
def test_long_names_are_inside_and_apart(size, assert_legible):
    names = [(n,) * k for n in (10, 20) for k in (1, 2, 4)]
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    TradeOffDisplay(names, np.arange(6) / 10, n_modules=np.arange(6)).plot(ax)
    assert_legible(figure)


def test_figure_of_its_own_is_transparent(search):
    display = TradeOffDisplay.from_search(search)
    patches = [ax.patch for ax in (display.ax_, *display.panels_.values())]
    assert {patch.get_alpha() for patch in patches} == {0}
    assert display.figure_.patch.get_alpha() == 0


def test_what_cannot_be_shown_is_refused(search, iris):
    with pytest.raises(NotFittedError):
        TradeOffDisplay.from_search(GridSearchCV(MODEL, GRID))
    with pytest.raises(TypeError, match=r"no search: give a fitted GridSearchCV"):
        TradeOffDisplay.from_search(BaseEstimator())
    with pytest.raises(ValueError, match=r"'alpha' was not searched.*'tau'"):
        TradeOffDisplay.from_search(search, params=["alpha"])
    with pytest.raises(ValueError, match="one or two"):
        TradeOffDisplay.from_search(search, params=[])
    only = GridSearchCV(
        MODEL, {"tau": [0.05]}, scoring={"n_modules": n_modules_scorer}, refit=False
    )
    with pytest.raises(ValueError, match="scored modules only"):
        TradeOffDisplay.from_search(only.fit(*iris))
