"""
====================================
Which parameters to search, and how
====================================

`search_space` gives the parameters of an estimator that are worth a search, with ranges
around those that it has: to scikit-learn's searches, or to any other.
"""

# %%
# What is searched
# ----------------
# A few candidates are best spent on few parameters; more candidates go to more of them,
# in wider ranges. (The model is small, and trained for fewer epochs than it would
# choose, so that this page is quick.)
import sys
from importlib.util import find_spec

import matplotlib.pyplot as plt
from sklearn.datasets import make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from sknm import NeuralModuleClassifier, search_space
from sknm.inspection import TradeOffDisplay

model = NeuralModuleClassifier(n_nodes=100, max_iter=30, random_state=0)
for budget in (6, 30, 100):
    print(f"{budget:3d} candidates: {', '.join(search_space(model, budget))}")

# %%
# At random
# ---------
# The space may be changed like any dictionary before it is used. Labels are noisy here,
# so that strength of regularisation and rate matter.
X, y = make_classification(
    2400, 12, n_informative=6, n_classes=3, flip_y=0.15, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=600, random_state=0
)
budget = 6
search = RandomizedSearchCV(
    model, search_space(model, budget), n_iter=budget, cv=2, random_state=0
).fit(X_train, y_train)
untouched = cross_val_score(model, X_train, y_train, cv=2).mean()
model.fit(X_train, y_train)
print("                 cross-validated  test")
print(f"default          {untouched:15.3f} {model.score(X_test, y_test):5.3f}")
print(
    f"best of {budget}        {search.best_score_:15.3f} "
    f"{search.score(X_test, y_test):5.3f}"
)
for name, value in search.best_params_.items():
    print(f"{name} = {value:.3g}")

# %%
# In rounds
# ---------
# Successive halving gives all candidates a few epochs, and the better ones more. It may
# give them some of the rows instead, which is what it does if it isn't told. Of a
# pipeline, the last step is searched; names have its prefix.
pipeline = make_pipeline(PowerTransformer(), model)
halving = HalvingRandomSearchCV(
    pipeline,
    search_space(pipeline, budget),
    n_candidates=budget,
    resource="neuralmoduleclassifier__max_iter",
    min_resources="exhaust",
    max_resources=30,
    cv=2,
    random_state=0,
).fit(X_train, y_train)
print(f"candidates {halving.n_candidates_}, epochs {halving.n_resources_}")
print(f"on the test rows: {halving.score(X_test, y_test):.3f}")


# %%
# With Optuna
# -----------
# Distributions tell their name and bounds, which is all that another library needs.
# This part runs where Optuna is installed.
def suggest(trial, space):
    """Let a trial of Optuna's draw a candidate."""
    candidate = {}
    for name, values in space.items():
        if isinstance(values, list):
            candidate[name] = trial.suggest_categorical(name, values)
        else:
            low, high = values.support()
            is_log = values.dist.name == "loguniform"
            candidate[name] = trial.suggest_float(name, low, high, log=is_log)
    return candidate


def objective(trial):
    """Score a candidate."""
    candidate = suggest(trial, search_space(model, budget))
    tried = NeuralModuleClassifier(**{**model.get_params(), **candidate})
    return cross_val_score(tried, X_train, y_train, cv=2).mean()


if find_spec("optuna") is None:
    print("Optuna is not installed: pip install optuna")
else:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=5)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(search.best_params_)  # where the random search ended
    study.optimize(objective, n_trials=budget)
    print(f"Optuna: {study.best_value:.3f} cross-validated")

# %%
# What was tried
# --------------
# Each dot is a candidate of the random search; the line is the default.
display = TradeOffDisplay.from_search(search, params=["learning_rate_init", "dropout"])
display.ax_.axhline(1 - untouched, color="gray", linewidth=1)

if len(sys.argv) > 1:
    display.figure_.savefig(sys.argv[1], dpi=110)
plt.show()
