"""Loss, validation and iterations, epoch by epoch."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm.inspection import LearningDisplay


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X[::2], y[::2]


@pytest.fixture(scope="module")
def stopped(iris):
    model = sknm.NeuralModuleClassifier(
        20, module_size=5, max_iter=6, early_stopping=True, random_state=0
    )
    return model.fit(*iris)


def test_curves_are_pictured(assert_pictured):
    epochs = np.arange(1, 11)
    scores = 1 - 1 / epochs + 0.02 * (epochs % 3)
    display = LearningDisplay(
        epochs,
        2 / epochs,
        validation_loss=2.2 / epochs,
        validation_scores=scores,
        iterations=3 + epochs % 2,
    )
    assert_pictured(display.plot().figure_, "learning")


def test_curves_are_those_of_the_estimator(stopped):
    display = LearningDisplay.from_estimator(stopped)
    curves = {name: line.get_ydata() for name, line in display.lines_.items()}
    assert curves["loss"].tolist() == stopped.loss_curve_
    assert curves["validation_loss"].tolist() == stopped.validation_loss_curve_
    assert curves["validation_scores"].tolist() == stopped.validation_scores_
    history = stopped.net_.history
    assert curves["iterations"].tolist() == [e["iterations"] for e in history]
    assert display.lines_["loss"].get_xdata().tolist() == list(range(1, 7))


def test_best_score_is_named(stopped):
    display = LearningDisplay.from_estimator(stopped)
    best = int(np.argmax(stopped.validation_scores_))
    told = display.panels_["score"].get_title(loc="right")
    assert told.endswith(f"in epoch {best + 1}")
    assert f"{stopped.validation_scores_[best]:.3g}" in told


def test_scores_stand_at_the_epochs_that_had_some(iris):
    model = sknm.FeedForwardClassifier(5, max_iter=2, random_state=0)
    model.set_params(early_stopping=True).fit(*iris)
    for _ in range(3):
        model.partial_fit(*iris)
    display = LearningDisplay.from_estimator(model)
    scores = display.validation_scores
    assert scores[:2].tolist() == model.validation_scores_
    assert np.isnan(scores[2:]).all()
    assert display.lines_["loss"].get_xdata().tolist() == [1, 2, 3, 4, 5]


def test_every_estimator_is_shown(every_estimator, iris):
    model = every_estimator(5, max_iter=1, random_state=0).fit(*iris)
    display = LearningDisplay.from_estimator(model)
    assert "loss" in display.panels_
    has_residual = model.solver_stats_["residual"] > 0
    last = list(display.panels_.values())[-1]
    assert ("residual" in last.get_xlabel()) == has_residual
    assert ("iterations" in display.panels_) == ("iterations" in model.net_.history[0])


def test_a_loss_alone_is_drawn_on_the_axes_themselves(iris):
    model = sknm.FreeNetClassifier(5, max_iter=2, random_state=0).fit(*iris)
    figure, ax = plt.subplots()
    display = LearningDisplay.from_estimator(make_pipeline(StandardScaler(), model))
    assert display.panels_ == {"loss": display.ax_}
    display.plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure


def test_losses_of_several_magnitudes_have_a_logarithmic_axis():
    plain = LearningDisplay([1, 2], [3.0, 1.0]).plot()
    steep = LearningDisplay([1, 2], [300.0, 1.0]).plot()
    assert plain.ax_.get_yscale() == "linear"
    assert steep.ax_.get_yscale() == "log"


@pytest.mark.parametrize("size", [(3.9, 3), (12, 4.5)], ids=str)
def test_texts_are_inside_and_apart(stopped, size, assert_legible):
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    LearningDisplay.from_estimator(stopped, ax=ax)
    assert_legible(figure)


def test_figure_of_its_own_is_transparent(stopped):
    display = LearningDisplay.from_estimator(stopped)
    patches = [ax.patch for ax in (display.ax_, *display.panels_.values())]
    assert {patch.get_alpha() for patch in patches} == {0}
    assert display.figure_.patch.get_alpha() == 0


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(NotFittedError):
        LearningDisplay.from_estimator(sknm.DAGRegressor())
    with pytest.raises(TypeError, match=r"no estimator of sknm"):
        LearningDisplay.from_estimator(StandardScaler())
