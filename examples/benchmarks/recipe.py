"""What each part of the training recipe is worth: the default, and without one of them.

default         as it is;
long memory     with AdamW's average of squared gradients over a thousand steps;
little decay    with the weight decay 0.01, for few rows, too;
no calibration  with all rows from the first epoch on, and probabilities as trained;
no smoothing    of labels;
no dropout      of nodes;
no functions    of numbers;
no links        all features enter everything;
longer          twice as many epochs;
former          without the first three, and at least 300 steps for any number of rows.

One thread; splits as in ``accuracy.py``, with at most ``--rows`` rows for training.
Results go to a CSV file that is resumed. The report gives, of each part, error, log
loss and processor time over those of the default on the same splits, means over the
sets; on how many sets the error is higher, and on how many by more than a standard
error of the difference, or lower; and the mean calibration error.

    python recipe.py --data DIR
    python recipe.py --data DIR --contestants default former --rows 100000
    python recipe.py --data DIR --family FreeNetClassifier --seeds 0 1
    python recipe.py --report-only
    python recipe.py --small

The last is of small data that scikit-learn brings, with the recipe as it is and was: R²
of five folds of the diabetes data, and the processor time of a fit of the iris data.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import _common as common
import _former as former
import _metrics as metrics
import numpy as np
from members import some_rows
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import KFold, cross_val_score

import sknm
from sknm.training.recipe import choose_batch_size, choose_max_iter

KEYS = ("family", "data", "rows", "part", "seed")
COLUMNS = (*KEYS, "session", "error", "log_loss", "ece", "cpu", "n_iter")
PARTS: dict[str, dict[str, Any]] = {
    "default": {},
    "long memory": {},
    "little decay": {"alpha": 0.01},
    "no calibration": {"calibration_fraction": None},
    "no smoothing": {"label_smoothing": 0.0},
    "no dropout": {"dropout": 0.0},
    "no functions": {"numerical_embedding": None},
    "no links": {"feature_fdr": None},
    "longer": {},
    "former": former.RECIPE,
}


def options_of(part: str, n_rows: int, n_classes: int) -> dict[str, Any]:
    """Return what differs from the default, with epochs for so many rows."""
    size = choose_batch_size(n_rows)
    n_epochs = choose_max_iter(n_rows, size, math.log2(n_classes))
    if part == "longer":
        return {"max_iter": 2 * n_epochs}
    if part == "former":
        n_epochs = max(n_epochs, math.ceil(300 / math.ceil(n_rows / size)))
        return PARTS[part] | {"max_iter": n_epochs}
    return PARTS[part]


def key_of(
    args: argparse.Namespace, part: str, name: str, seed: int
) -> tuple[str, ...]:
    """Return what tells a measurement from others."""
    return args.family, name, str(args.rows), part, str(seed)


def measure(args: argparse.Namespace, part: str, name: str, seed: int) -> None:
    """Fit to one split, and record what came of it."""
    data = some_rows(common.split(args.data, name, seed), args.rows, seed)
    options = options_of(part, len(data.X_train), data.n_classes)
    cls = getattr(sknm, args.family)
    if part in ("long memory", "former"):
        cls = former.with_long_memory(args.family)
    model = cls(random_state=seed, **options)
    with common.Stopwatch() as fitting:
        model.fit(data.X_train, data.y_train)
    probabilities = model.predict_proba(data.X_test).astype(np.float64)
    codes = np.searchsorted(model.classes_, data.y_test)
    row = dict(zip(KEYS, key_of(args, part, name, seed), strict=True)) | {
        "session": common.session(),
        "error": float(np.mean(probabilities.argmax(axis=1) != codes)),
        "log_loss": metrics.log_loss(probabilities, codes),
        "ece": metrics.expected_calibration_error(probabilities, codes),
        "cpu": fitting.cpu,
        "n_iter": model.n_iter_,
    }
    common.append_row(args.csv, COLUMNS, row)
    print(
        f"{name} {seed} {part}: {row['error']:.4f} in {fitting.cpu:.1f} s", flush=True
    )


# -------------------------------------------------------------------------- report


def by_set(
    rows: Sequence[dict[str, str]], part: str, what: str
) -> dict[str, np.ndarray]:
    """Return of each set the values of a part and of the default, split by split."""
    base = {(r["data"], r["seed"]): r for r in rows if r["part"] == "default"}
    pairs: dict[str, list[list[float]]] = {}
    for row in rows:
        key = row["data"], row["seed"]
        if row["part"] == part and key in base:
            pair = [common.number(r[what]) for r in (row, base[key])]
            pairs.setdefault(row["data"], []).append(pair)
    return {name: np.array(pair) for name, pair in pairs.items()}


def ratio(rows: Sequence[dict[str, str]], part: str, what: str) -> float:
    """Return the geometric mean, over the sets, of a figure over the default's."""
    means = [pair.mean(axis=0) for pair in by_set(rows, part, what).values()]
    # Half a mistake in a thousand rows more, for sets with hardly any.
    extra = 0.0005 if what == "error" else 0.0
    return float(np.exp(np.mean([np.log((a + extra) / (b + extra)) for a, b in means])))


def clearly(rows: Sequence[dict[str, str]], part: str, sign: int) -> int:
    """Count the sets on which errors differ by more than a standard error."""
    count = 0
    for pair in by_set(rows, part, "error").values():
        differences = sign * (pair[:, 0] - pair[:, 1])
        if len(differences) > 1:
            spread = differences.std(ddof=1) / len(differences) ** 0.5
            count += differences.mean() > spread
    return count


def report(args: argparse.Namespace) -> None:
    """Print a line for each part."""
    rows = [
        row
        for row in common.read_rows(args.csv)
        if (row["family"], row["rows"]) == (args.family, str(args.rows))
    ]
    known = {row["part"] for row in rows}
    body = []
    for part in filter(known.__contains__, PARTS):
        of_sets = by_set(rows, part, "error")
        higher = sum(pair[:, 0].mean() > pair[:, 1].mean() for pair in of_sets.values())
        calibration = [p[:, 0].mean() for p in by_set(rows, part, "ece").values()]
        body.append(
            [
                part,
                f"{ratio(rows, part, 'error'):.3f}",
                f"{higher} of {len(of_sets)}",
                f"{clearly(rows, part, 1)}, {clearly(rows, part, -1)}",
                f"{ratio(rows, part, 'log_loss'):.3f}",
                f"{np.mean(calibration):.3f}",
                f"{ratio(rows, part, 'cpu'):.2f}",
            ]
        )
    header = ["", "error", "higher on", "clearly higher, lower"]
    print(common.markdown_table([*header, "log loss", "ECE", "fit"], body))


def small(seeds: Sequence[int]) -> None:
    """Print what the recipe makes of small data."""
    X, y = load_diabetes(return_X_y=True)
    flowers = load_iris(return_X_y=True)
    kinds = "NeuralModuleRegressor", "NeuralModuleClassifier"
    today = [getattr(sknm, kind) for kind in kinds]
    then = [former.with_long_memory(kind) for kind in kinds]
    for name, (regressor, classifier), options, n_epochs in (
        ("default", today, {}, (None, None)),
        ("former", then, {"alpha": 0.01}, (100, 300)),
    ):
        scores = [
            cross_val_score(
                regressor(random_state=seed, max_iter=n_epochs[0], **options),
                X.astype(np.float32),
                y,
                cv=KFold(5, shuffle=True, random_state=seed),
            ).mean()
            for seed in seeds
        ]
        model = classifier(max_iter=n_epochs[1], **options)
        model.fit(*flowers)  # once, for what the first fit of a process loads
        with common.Stopwatch() as fitting:
            model.fit(*flowers)
        told = ", ".join(f"{score:.3f}" for score in scores)
        print(f"{name}: R² of diabetes {told}; fit of iris {fitting.cpu:.2f} s")


def main() -> None:
    """Measure what is not there yet, and report."""
    parser = common.study(__doc__, "recipe.csv", tuple(PARTS), range(3))
    parser.add_argument("--small", action="store_true", help="small data only")
    args = parser.parse_args()
    print(common.machine())
    if args.small:
        with common.one_thread():
            small(args.seeds)
        return
    if not args.report_only:
        common.measure_missing(args, KEYS, key_of, measure)
    report(args)


if __name__ == "__main__":
    main()
