"""How much each parameter matters: one moved at a time, all else at the default.

What `sknm.search_space` offers, and how far its ranges go, follows from this. A text
such as "x2" is twice the default, so that a new default is measured around itself.
Each estimator is fitted to at most ``--most-rows`` rows of each data set and judged by
up to 3000 test rows. Results go to a CSV file, which is resumed. The table gives, for
each value, error and log loss relative to the default's, as geometric means over the
sets, with the least and the most of the log loss over these; and the ratio of seconds.
With several splits, the last columns say what is gained if the best value is chosen for
each set: it is chosen on one split and judged on the others, so that noise gains
nothing.

    python influence.py --data DIR
    python influence.py --data DIR --estimators URNClassifier --splits 0 1 2
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _common as common
import _metrics as metrics
import numpy as np
from _field_data import Loader, Task

import sknm

DATA_SETS = ("vehicle", "credit_g", "segment", "wine_quality_white")
LEAST_ERROR = 1e-3
KEYS = ("estimator", "parameter", "value", "data", "split")
COLUMNS = (*KEYS, "error", "log_loss", "fit_cpu_seconds")
MOST_TEST_ROWS = 3000

Values = dict[str, list[Any]]

#: Those that all have; a text "x2" is twice the default.
SHARED: Values = {
    "learning_rate_init": ["x0.25", "x0.5", "x2"],
    "dropout": [0.0, 0.2, 0.4],
    "label_smoothing": [0.0, 0.03],
    "max_iter": [16, 64],
    "n_nodes": ["x0.25", "x2"],
    "alpha": [0.0, "x10"],
    "numerical_embedding": [None, "piecewise_tree"],
    "batch_size": [64],
    "feature_fdr": [None],
    "activation": ["leaky_relu", "softplus"],
}
#: Those that few have, and those of the shared ones that may matter otherwise there.
OWN: dict[str, Values] = {
    "NeuralModuleClassifier": {
        **SHARED,
        "module_size": [10, 40],
        "lambda_NM": [3.0, 1e9],
        "tau": ["x3"],
        "margin": ["x0.3"],
    },
    "FeedForwardClassifier": {
        "learning_rate_init": ["x0.25", "x4"],
        "hidden_layer_sizes": [(200, 200), (400, 400)],
    },
    "FreeNetClassifier": {
        "learning_rate_init": ["x0.25", "x4"],
        "target_density": ["x0.5", "x2"],
        "epsilon": ["x0.4"],
        "evolve_interval": [2],
    },
    "URNClassifier": {
        "learning_rate_init": ["x0.25", "x4"],
        "n_steps": [2, 3],
        "alpha_neuron": ["x0.3", "x3"],
        "alpha_weight": ["x0.3", "x3"],
    },
    "DAGClassifier": {
        "learning_rate_init": ["x0.25", "x4"],
        "alpha_sparsity": ["x0.3", "x3"],
    },
    "DEQClassifier": {
        "learning_rate_init": ["x0.25", "x4"],
        "margin": ["x0.3"],
    },
}


def value_of(estimator: Any, parameter: str, value: Any) -> Any:
    """Return a value to try, factors of the default multiplied out."""
    if not (isinstance(value, str) and value[:1] == "x"):
        return value
    default = estimator.get_params()[parameter]
    moved = default * float(value[1:])
    return round(moved) if isinstance(default, int) else moved


def measurements(args: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Yield all keys, those of defaults with the parameter "default"."""
    for split in args.splits:
        for data in args.data_sets:
            for name in args.estimators:
                yield name, "default", "", data, str(split)
                for parameter, values in OWN[name].items():
                    for value in values:
                        yield name, parameter, str(value), data, str(split)


def run(args: argparse.Namespace) -> None:
    """Measure what the CSV file doesn't hold yet."""
    loader = Loader(args.data, 20_000, regression=False)
    present = common.done(common.read_rows(args.csv), KEYS)
    todo = [key for key in measurements(args) if key not in present]
    for k, key in enumerate(todo):
        task = few_rows(loader.task(key[3], int(key[4])), args.most_rows)
        row = dict(zip(KEYS, key, strict=True)) | measure(key, task)
        common.append_row(args.csv, COLUMNS, row)
        print(f"[{k + 1}/{len(todo)}] {' '.join(key)}: {row['error']:.4f}", flush=True)


def few_rows(task: Task, most_rows: int) -> Task:
    """Return a task with some of the training rows, and of those of the test."""
    X, y = task.X_train[:most_rows], task.y_train[:most_rows]
    X_test, y_test = task.X_test[:MOST_TEST_ROWS], task.y_test[:MOST_TEST_ROWS]
    return Task(task.name, task.kind, X, X_test, y, y_test, task.classes)


def measure(key: tuple[str, ...], task: Task) -> dict[str, float]:
    """Fit with one parameter moved, and judge the probabilities of the test rows."""
    name, parameter, text, _, split = key
    estimator = getattr(sknm, name)(random_state=int(split))
    if parameter != "default":
        values = {str(value): value for value in OWN[name][parameter]}
        moved = value_of(estimator, parameter, values[text])
        estimator.set_params(**{parameter: moved})
    with warnings.catch_warnings(), common.Stopwatch() as watch:
        warnings.simplefilter("ignore")
        estimator.fit(task.X_train, task.y_train)
        found = estimator.predict_proba(task.X_test)
    probabilities = metrics.aligned(found, estimator.classes_, task.classes)
    codes = np.searchsorted(task.classes, task.y_test)
    return {
        "error": float(np.mean(probabilities.argmax(axis=1) != codes)),
        "log_loss": metrics.log_loss(probabilities, codes),
        "fit_cpu_seconds": watch.cpu,
    }


# -------------------------------------------------------------------------- report

Ratios = dict[tuple[str, str, str], np.ndarray]


def ratios(rows: list[dict[str, str]], column: str) -> Ratios:
    """Return of each moved value the log ratios to the default, (sets, splits)."""
    found = {
        tuple(row[key] for key in KEYS): max(float(row[column]), LEAST_ERROR)
        for row in rows
    }
    sets = sorted({row["data"] for row in rows})
    splits = sorted({row["split"] for row in rows})
    moved = dict.fromkeys(key[:3] for key in found if key[1] != "default")
    result = {}
    for name, parameter, value in moved:
        grid = [
            [
                found.get((name, parameter, value, data, split), np.nan)
                / found.get((name, "default", "", data, split), np.nan)
                for split in splits
            ]
            for data in sets
        ]
        result[name, parameter, value] = np.log(grid)
    return result


def gain(values: list[np.ndarray]) -> float:
    """Return the ratio to the default if a value is chosen for each set.

    The default is among the values. What is chosen on a split is judged on the others.
    """
    grid = np.stack([np.zeros_like(values[0]), *values])
    n_splits = grid.shape[2]
    if n_splits < 2 or np.isnan(grid).any():
        return float("nan")
    judged = []
    for split in range(n_splits):
        others = np.delete(grid, split, axis=2).mean(axis=2)
        chosen = grid[:, :, split].argmin(axis=0)
        judged.append(others[chosen, np.arange(grid.shape[1])])
    return float(np.exp(np.mean(judged)))


def table(rows: list[dict[str, str]]) -> str:
    """Return a row for each value: what it does, and what choosing one gains."""
    error, loss = ratios(rows, "error"), ratios(rows, "log_loss")
    seconds = ratios(rows, "fit_cpu_seconds")
    body = []
    for key in error:
        name, parameter, value = key
        span = f"{ratio(loss[key], np.nanmin)} to {ratio(loss[key], np.nanmax)}"
        means = [ratio(part[key]) for part in (error, loss, seconds)]
        body.append([name, parameter, value, means[0], means[1], span, means[2]])
        same = [other for other in error if other[:2] == key[:2]]
        chosen = [gain([part[other] for other in same]) for part in (error, loss)]
        body[-1] += [f"{value:.3f}" if value == value else "" for value in chosen]
    header = ["estimator", "parameter", "value", "error", "log loss", "from set to set"]
    header += ["time", "chosen, error", "chosen, log loss"]
    return common.markdown_table(header, body)


def ratio(logs: np.ndarray, reduce: Callable[[np.ndarray], Any] = np.nanmean) -> str:
    """Return a mean, or another number, of logarithms as a ratio."""
    return f"{np.exp(reduce(logs)):.2f}"


def main(argv: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = common.parser(__doc__, "influence.csv")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="directory of the .npz files")
    add("--data-sets", nargs="+", metavar="NAME", default=list(DATA_SETS))
    add("--estimators", nargs="+", choices=list(OWN), default=list(OWN))
    add("--splits", nargs="+", type=int, default=[0, 1])
    add("--most-rows", type=int, default=1200, help="to train on")
    add("--report-only", action="store_true", help="measure nothing, only summarise")
    args = parser.parse_args(argv)
    if not args.report_only:
        with common.one_thread():
            run(args)
    rows = common.read_rows(args.csv)
    text = table([row for row in rows if row["estimator"] in args.estimators])
    args.csv.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
