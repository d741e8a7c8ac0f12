"""The tuned column of ``field.py``: a random search with equal budgets for all.

Candidates are fitted to three quarters of the training rows and judged by the error,
then the log loss, on the others; the defaults are the first candidate. The best is
fitted to all training rows. Spaces of the peers are what their authors, or large
comparisons, searched:

- linear models, forest, HistGradientBoosting, XGBoost: Grinsztajn, Oyallon and
  Varoquaux 2022, "Why do tree-based models still outperform deep learning on typical
  tabular data?"
- LightGBM and CatBoost: Gorishniy et al. 2021, "Revisiting deep learning models for
  tabular data", and the documentation of both
- SVC: Hsu, Chang and Lin 2003, "A practical guide to support vector classification"
- RealMLP: Holzmüller, Grinsztajn and Steinwart 2024, "Better by default"
- TabM: Gorishniy, Kotelnikov and Babenko 2025, "TabM"

Those of sknm's estimators are `sknm.search_space`.
"""

from __future__ import annotations

import time
from typing import Any

import _common as common
import numpy as np
from _field_data import Task
from _field_models import OURS, Model
from _field_run import measure
from scipy.stats import loguniform, randint, uniform
from sklearn.model_selection import ParameterSampler, train_test_split

PEER_SPACES: dict[str, dict[str, Any]] = {
    "linear": {"C": loguniform(1e-3, 1e3)},
    "svm": {"C": loguniform(2**-5, 2**15), "gamma": loguniform(2**-15, 2**3)},
    "forest": {
        "n_estimators": [100, 300],
        "max_features": ["sqrt", "log2", 0.3, 0.5, 0.8, None],
        "min_samples_leaf": [1, 1, 2, 4, 8, 16],
        "max_depth": [None, None, 5, 10],
    },
    "mlp": {
        "hidden_layer_sizes": [(100,), (256,), (512,), (100, 100), (256, 256)],
        "learning_rate_init": loguniform(1e-4, 1e-2),
        "alpha": loguniform(1e-6, 1e-1),
    },
    "hgb": {
        "learning_rate": loguniform(0.01, 0.3),
        "max_leaf_nodes": randint(5, 50),
        "min_samples_leaf": randint(5, 30),
        "l2_regularization": loguniform(1e-6, 10),
        "max_iter": [100, 200, 400],
    },
    "xgboost": {
        "n_estimators": [100, 300, 600],
        "max_depth": randint(2, 11),
        "learning_rate": loguniform(0.01, 0.5),
        "subsample": uniform(0.5, 0.5),
        "colsample_bytree": uniform(0.5, 0.5),
        "min_child_weight": loguniform(0.5, 50),
        "reg_lambda": loguniform(0.1, 10),
    },
    "lightgbm": {
        "n_estimators": [100, 300, 600],
        "num_leaves": randint(7, 128),
        "learning_rate": loguniform(0.01, 0.3),
        "min_child_samples": randint(5, 50),
        "subsample": uniform(0.5, 0.5),
        "subsample_freq": [1],
        "colsample_bytree": uniform(0.5, 0.5),
        "reg_lambda": loguniform(1e-3, 10),
    },
    "catboost": {
        "depth": randint(3, 9),
        "learning_rate": loguniform(0.01, 0.3),
        "l2_leaf_reg": loguniform(1, 10),
        "bagging_temperature": uniform(0, 1),
    },
    "realmlp": {
        "num_emb_type": ["none", "pbld", "pl", "plr"],
        "add_front_scale": [True, True, True, False, False],
        "lr": loguniform(2e-2, 3e-1),
        "p_drop": [0.0, 0.15, 0.3],
        "wd": [0.0, 2e-2],
        "plr_sigma": loguniform(0.05, 0.5),
        "act": ["relu", "selu", "mish"],
        "hidden_sizes": [[256] * 3, [256] * 3, [256] * 3, [64] * 5, [512]],
    },
    "tabm": {
        "n_blocks": randint(1, 5),
        "d_block": [128, 256, 512],
        "dropout": [0.0, 0.1, 0.2, 0.3],
        "lr": loguniform(3e-4, 5e-3),
        "weight_decay": loguniform(1e-4, 1e-1),
    },
}


def space(model: Model, task: Task, n_tried: int) -> dict[str, Any]:
    """Return what is searched for a model; regressors call some of it otherwise."""
    if model.name in OURS:
        import sknm

        return sknm.search_space(model.make(task, 0), n_tried)
    found = dict(PEER_SPACES[model.name])
    if task.classes is None and model.name == "linear":
        found["alpha"] = found.pop("C")
    return found


def tune(model: Model, task: Task, seed: int, n_tried: int) -> dict[str, Any]:
    """Return a row like that of the defaults; times are those of the whole search."""
    start = time.perf_counter(), time.process_time()
    found = space(model, task, n_tried)
    drawn = (
        ParameterSampler(found, n_tried - 1, random_state=seed) if n_tried > 1 else []
    )
    inner = held_out(task, seed)
    candidates = [{}, *drawn]
    judged = [score(measure(model, inner, seed, **params)) for params in candidates]
    best = candidates[min(range(len(judged)), key=judged.__getitem__)]
    searched = time.perf_counter() - start[0], time.process_time() - start[1]
    row = measure(model, task, seed, **best)
    if not row.get("failure"):
        row["fit_seconds"] += searched[0]
        row["fit_cpu_seconds"] += searched[1]
    return row | {"parameters": "; ".join(f"{k}={v}" for k, v in best.items())}


def held_out(task: Task, seed: int) -> Task:
    """Return a task that is judged by a quarter of the training rows."""
    y = task.y_train
    if task.classes is not None:
        return task.subset(*common.train_test_rows(y, seed))
    rows = np.arange(len(y))
    return task.subset(
        *train_test_split(rows, test_size=common.TEST_SHARE, random_state=seed)
    )


def score(row: dict[str, Any]) -> tuple[float, float]:
    """Return what is to be low: the error, then the log loss; a failure is last."""
    if row.get("failure"):
        return float("inf"), float("inf")
    return row["error"], row.get("log_loss", 0.0)
