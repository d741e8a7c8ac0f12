"""Is an ensemble in one network worth its time? Beside what else the time could buy.

Neural Modules, or another family, are fitted as

one      a network at its defaults;
members  one with ``n_members=8``;
apart    eight networks with other seeds, whose probabilities are averaged;
longer   one network, trained for four times as many epochs;
larger   one network of four times as many nodes.

One thread; splits as in ``accuracy.py``, with at most ``--rows`` rows for training.
Results go to a CSV file that is resumed. The report gives mean errors; and, of each
contestant, error, log loss and processor time over those of ``one`` on the same split:
means over the splits of a set, and of these over the sets.

    python members.py --data DIR
    python members.py --data DIR --family FreeNetClassifier --seeds 0 1 2
    python members.py --data DIR --contestants one members --rows 100000
    python members.py --data DIR --report-only
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import _common as common
import numpy as np
from sklearn.metrics import log_loss

import sknm
from sknm.training.recipe import choose_batch_size, choose_max_iter

KEYS = ("family", "data", "rows", "contestant", "seed")
COLUMNS = (*KEYS, "session", "error", "log_loss", "cpu", "predict_cpu")
N_MEMBERS, N_TIMES = 8, 4
CONTESTANTS = ("one", "members", "apart", "longer", "larger")


def models_of(
    contestant: str, family: str, seed: int, n_rows: int, n_classes: int
) -> list[Any]:
    """Make the models whose probabilities are averaged: one, but for ``apart``."""
    kind = getattr(sknm, family)
    plain = kind(random_state=seed)
    n_epochs = choose_max_iter(n_rows, choose_batch_size(n_rows), math.log2(n_classes))
    options: dict[str, dict[str, Any]] = {
        "one": {},
        "members": {"n_members": N_MEMBERS},
        "longer": {"max_iter": N_TIMES * n_epochs},
        "larger": {"n_nodes": N_TIMES * plain.n_nodes},
    }
    if contestant != "apart":
        return [plain.set_params(**options[contestant])]
    return [kind(random_state=N_MEMBERS * seed + k) for k in range(N_MEMBERS)]


def some_rows(data: common.Split, n_rows: int, seed: int) -> common.Split:
    """Keep at most so many rows for training, at random."""
    kept = np.random.default_rng(seed).permutation(len(data.X_train))[:n_rows]
    X, y = data.X_train[kept], data.y_train[kept]
    known = np.isin(data.y_test, y)
    return common.Split(X, data.X_test[known], y, data.y_test[known])


def measure(args: argparse.Namespace, contestant: str, name: str, seed: int) -> None:
    """Fit a contestant to one split, and record what it is worth."""
    data = some_rows(common.split(args.data, name, seed), args.rows, seed)
    shape = len(data.X_train), data.n_classes
    models = models_of(contestant, args.family, seed, *shape)
    with common.Stopwatch() as fitting:
        for model in models:
            model.fit(data.X_train, data.y_train)
    with common.Stopwatch() as predicting:
        mean = np.mean([m.predict_proba(data.X_test) for m in models], axis=0)
    classes = models[0].classes_
    row = dict(zip(KEYS, key_of(args, contestant, name, seed), strict=True)) | {
        "session": common.session(),
        "error": float(np.mean(classes[mean.argmax(axis=1)] != data.y_test)),
        "log_loss": float(log_loss(data.y_test, mean, labels=classes)),
        "cpu": fitting.cpu,
        "predict_cpu": predicting.cpu,
    }
    common.append_row(args.csv, COLUMNS, row)
    print(f"{name} {seed} {contestant}: {row['error']:.4f} in {fitting.cpu:.1f} s")


def key_of(
    args: argparse.Namespace, contestant: str, name: str, seed: int
) -> tuple[str, ...]:
    """Return what tells a measurement from others."""
    return args.family, name, str(args.rows), contestant, str(seed)


# -------------------------------------------------------------------------- report


def ratios(rows: Sequence[dict[str, str]], contestant: str, what: str) -> list[float]:
    """Return for each set the mean, over its splits, of a figure over that of one."""
    found: dict[str, list[float]] = {}
    base = {(r["data"], r["seed"]): r for r in rows if r["contestant"] == "one"}
    for row in rows:
        one = base.get((row["data"], row["seed"]))
        if row["contestant"] == contestant and one is not None:
            pair = [common.number(r[what]) for r in (row, one)]
            found.setdefault(row["data"], []).append(pair)
    # Of sums, so that a split without an error has no weight of its own.
    return [float(a / b) for a, b in (np.sum(p, axis=0) for p in found.values())]


def errors_of(rows: Sequence[dict[str, str]], name: str, contestant: str) -> str:
    """Return mean error and standard error on a set, as a cell of a table."""
    errors = [
        common.number(row["error"])
        for row in rows
        if (row["data"], row["contestant"]) == (name, contestant)
    ]
    if not errors:
        return ""
    spread = np.std(errors, ddof=1) / len(errors) ** 0.5 if len(errors) > 1 else np.nan
    return f"{np.mean(errors):.4f}" + ("" if np.isnan(spread) else f" ± {spread:.4f}")


def report(args: argparse.Namespace) -> None:
    """Print errors by set, and ratios over all sets."""
    rows = [
        row
        for row in common.read_rows(args.csv)
        if (row["family"], row["rows"]) == (args.family, str(args.rows))
    ]
    known = {row["contestant"] for row in rows}
    there = [c for c in CONTESTANTS if c in known]
    sets = [name for name in common.DATA_SETS if any(r["data"] == name for r in rows)]
    body = [[name, *(errors_of(rows, name, c) for c in there)] for name in sets]
    print(common.markdown_table(["data", *there], body), end="\n\n")
    body = []
    for contestant in there:
        of_sets = ratios(rows, contestant, "error")
        body.append(
            [
                contestant,
                f"{np.mean(of_sets):.3f}",
                f"{np.exp(np.mean(np.log(np.maximum(of_sets, 0.05)))):.3f}",
                f"{sum(r < 1 for r in of_sets)} of {len(of_sets)}",
                f"{np.mean(ratios(rows, contestant, 'log_loss')):.3f}",
                f"{np.mean(ratios(rows, contestant, 'cpu')):.2f}",
                f"{np.mean(ratios(rows, contestant, 'predict_cpu')):.2f}",
            ]
        )
    header = ["", "error ratio", "geometric", "lower", "log loss", "fit", "predict"]
    print(common.markdown_table(header, body))


def main() -> None:
    """Measure what is not there yet, and report."""
    args = common.study(__doc__, "members.csv", CONTESTANTS, range(5)).parse_args()
    print(common.machine())
    if not args.report_only:
        common.measure_missing(args, KEYS, key_of, measure)
    report(args)


if __name__ == "__main__":
    main()
