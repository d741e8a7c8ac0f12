"""What each part of the encoding of tables is worth: one changed at a time.

Neural Modules, whose links are not learned, are fitted to 3000 rows of each data set,
encoded in several ways; what changes is a constant of `sknm.encoding`, or a parameter.
A seed draws the rows, the split and the weights. Numbers are the twelve sets of
`accuracy.py`, given as they are, without a scaler; categories are those of the ten
tables of ``accuracy.py --frames``. The last column is the geometric mean of the errors,
of which none counts as less than 0.001, and the time to fit all sets.

    python encoders.py --data DIR numbers
    python encoders.py --data DIR functions --seeds 0 1 2 3 4
    python encoders.py --data DIR distortions
    python encoders.py --data DIR categories
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
from sklearn.preprocessing import StandardScaler

from sknm import NeuralModuleClassifier
from sknm.encoding import categories, embeddings, scale

MOST_ROWS = 3000
LEAST_ERROR = 1e-3
BEFORE = {"feature_fdr": None, "numerical_embedding": None}


@dataclass(frozen=True)
class Variant:
    """Parameters and constants that differ from the defaults."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    module: Any = None
    constants: dict[str, Any] = field(default_factory=dict)
    change: Callable[..., Any] | None = None

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Set the constants inside the block."""
        before = {name: getattr(self.module, name) for name in self.constants}
        for name, value in self.constants.items():
            setattr(self.module, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self.module, name, value)


def standardised(X: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return all tables scaled as the first one asks for."""
    scaler = StandardScaler().fit(X)
    return [scaler.transform(table) for table in (X, *others)]


def in_other_units(*tables: np.ndarray) -> list[np.ndarray]:
    """Multiply columns by powers of ten from 1e-6 to 1e6."""
    units = 10.0 ** (np.arange(tables[0].shape[1]) % 13 - 6)
    return [(table * units).astype(np.float32) for table in tables]


def exponentials(*tables: np.ndarray) -> list[np.ndarray]:
    """Take the exponentials of standardised columns."""
    return [np.exp(np.clip(table, -30, 30)) for table in standardised(*tables)]


def with_outliers(X: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Move one training row in 100 by 50 standard deviations, in all columns."""
    X = X.copy()
    X[::100] += 50 * X.std(axis=0)
    return [X, *others]


def functions(name: str, kind: str = "piecewise", **constants: Any) -> Variant:
    """Return a variant with functions of numbers."""
    return Variant(name, {"numerical_embedding": kind}, embeddings, constants)


ABLATIONS = {
    "numbers": [
        Variant("as they are", {"scale": None}),
        Variant("StandardScaler", {"scale": None}, change=standardised),
        Variant("robust (default)"),
        Variant("robust, without clipping", {}, scale, {"LIMIT": 1e9, "FARTHEST": 1e9}),
        Variant("robust, clipped at 3 ranges", {}, scale, {"LIMIT": 3.0}),
        Variant("robust, any gain", {}, scale, {"MOST_GAIN": np.inf}),
    ],
    "functions": [
        Variant("none (default)"),
        functions("piecewise"),
        functions("8 bins", MOST_BINS=8),
        functions("weight 0.3", WEIGHT=0.3),
        functions("weight 1", WEIGHT=1.0),
        functions("bins of a tree", "piecewise_tree"),
        functions("periodic", "periodic"),
        functions("periodic, weight 0.3", "periodic", WEIGHT=0.3),
    ],
    "distortions": [
        Variant("default"),
        Variant("other units", change=in_other_units),
        Variant("outliers", change=with_outliers),
        Variant(
            "outliers, StandardScaler",
            {"scale": None},
            change=lambda *tables: standardised(*with_outliers(*tables)),
        ),
        Variant("exponentials", change=exponentials),
        functions("piecewise"),
        replace(functions("piecewise, exponentials"), change=exponentials),
        replace(functions("piecewise, outliers"), change=with_outliers),
    ],
    "categories": [
        Variant("default"),
        Variant("one-hot only", {}, categories, {"MOST_ONE_HOT": 10**6}),
        Variant("vectors from 3 values on", {}, categories, {"MOST_ONE_HOT": 2}),
        Variant("rare ones apart", {}, categories, {"LEAST_ROWS": 1}),
        functions("and functions of numbers"),
    ],
}


def draw(
    args: argparse.Namespace, name: str, seed: int
) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Return some rows to train on and those to test with, as they are."""
    if args.ablation == "categories":
        data = common.split_frame(args.data, name, seed)
    else:
        data = common.split(args.data, name, seed, is_raw=True)
    X, y = data.X_train, data.y_train
    order = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
    known = np.isin(data.y_test, y[order])
    X = X.iloc[order] if hasattr(X, "iloc") else X[order]
    return X, data.X_test[known], y[order], data.y_test[known]


def measure(args: argparse.Namespace, variant: Variant) -> tuple[list[float], float]:
    """Return the mean error on each set, and the seconds of all fits of a seed."""
    errors, seconds = [], 0.0
    for name in args.data_sets:
        found = []
        for seed in args.seeds:
            X, X_test, y, y_test = draw(args, name, seed)
            if variant.change is not None:
                X, X_test = variant.change(X, X_test)
            parameters = BEFORE | variant.parameters
            model = NeuralModuleClassifier(random_state=seed, **parameters)
            with variant.at_work(), common.Stopwatch() as watch:
                model.fit(X, y)
            found.append(np.mean(model.predict(X_test) != y_test))
            if model.solver_stats_["unconverged"]:
                print(f"{variant.name}, {name}: {model.solver_stats_}", flush=True)
            seconds += watch.cpu / len(args.seeds)
        errors.append(float(np.mean(found)))
    return errors, seconds


def main(argv: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("ablation", choices=list(ABLATIONS))
    add("--data", type=Path, required=True, help="directory of the .npz files")
    add("--data-sets", nargs="+", metavar="NAME", help="(default: those of the page)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args(argv)
    is_raw = args.ablation == "categories"
    sets = common.RAW_TABLES if is_raw else common.DATA_SETS
    args.data_sets = args.data_sets or list(sets)
    rows = []
    with common.one_thread():
        for variant in ABLATIONS[args.ablation]:
            errors, seconds = measure(args, variant)
            mean = np.exp(np.mean(np.log(np.maximum(errors, LEAST_ERROR))))
            cells = [f"{error:.4f}" for error in [*errors, mean]]
            rows.append([variant.name, *cells, f"{seconds:.1f}"])
            print(" ".join(rows[-1]), flush=True)
    header = ["", *args.data_sets, "mean", "seconds"]
    print(common.markdown_table(header, rows))


if __name__ == "__main__":
    main()
