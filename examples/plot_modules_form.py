"""
====================================
Watch modules form
====================================

The nodes of a :class:`~sknm.NeuralModuleClassifier` start in many small modules that
don't know of each other. After each epoch, those merge that have shown a use for each
other. The displays of `sknm.inspection` draw how: each draws one aspect of a fitted
model, on axes of yours or on a figure of its own.
"""

# %%
# A stream of modules
# -------------------
# Each band is a module, as wide as it has nodes; what will be in one module has its
# colour from the start. The price of a merge, `lambda_NM`, is lower than it is by
# default, so that there is more to be seen.
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from sknm import NeuralModuleClassifier
from sknm.inspection import (
    EvolutionDisplay,
    LearningDisplay,
    TradeOffDisplay,
    largest_share_scorer,
    n_modules_scorer,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = NeuralModuleClassifier(
    200, module_size=10, lambda_NM=5, max_iter=25, random_state=0
)
model.fit(X_train, y_train, X_val=X_test, y_val=y_test)
display = EvolutionDisplay.from_estimator(model)
print(f"{model.n_modules_} modules, accuracy {model.score(X_test, y_test):.3f}")

# %%
# The same, as it happened
# ------------------------
# `bands_` are the polygons of the stream; what is seen of them follows the epochs.
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
display = EvolutionDisplay.from_estimator(model, ax=axes)
low, high = axes.get_ylim()
seen = Rectangle((0, low), 0, high - low, transform=axes.transData)
display.bands_.set_clip_path(seen)


def show_until(epoch):
    """Show the stream up to an epoch."""
    seen.set_width(epoch)
    display.bands_.set_clip_path(seen)
    return [display.bands_]


animation = FuncAnimation(figure, show_until, frames=model.n_iter_ + 1)
figure.canvas.draw()  # also where there is no window

# %%
# What it learned meanwhile
# -------------------------
LearningDisplay.from_estimator(model)

# %%
# What a price of merging does
# ----------------------------
# A search that is told to score modules beside the accuracy shows what is traded for
# what: a ring is around the candidate with the least error.
scoring = {
    "score": "accuracy",
    "n_modules": n_modules_scorer,
    "largest_share": largest_share_scorer,
}
small = NeuralModuleClassifier(100, module_size=10, max_iter=8, random_state=0)
grid = {"lambda_NM": [1, 5, 30], "tau": [0.02, 0.1]}
search = GridSearchCV(small, grid, scoring=scoring, refit="score", cv=2)
TradeOffDisplay.from_search(search.fit(X_train[:600], y_train[:600]))
plt.show()
