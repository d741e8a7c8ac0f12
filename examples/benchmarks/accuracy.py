"""Test error and time of any estimators on any data sets, over seeds.

For each seed and data set all estimators are fitted one after another in the same
process, on one thread, on the same float32 split, so that ratios of times are fair.
Each seed draws its own stratified 75/25 shuffle of *all* rows; features are
standardised on the training rows, categorical columns one-hot encoded; with
``--frames``, they are given as frames of pandas instead, categories and gaps as such,
and ``nm-pipeline`` is what had to be written for that before. Estimators are
at their defaults except for what their specification sets. Results go to a CSV file,
one row per (estimator, data set, seed); rows that are there are not run again. Then
come tables (printed, and as Markdown) and a figure.

    python accuracy.py --data DIR nm-100 mlp-100
    python accuracy.py --data DIR nm mlp-400 mlp2-eq hgb realmlp --reference mlp-400
    python accuracy.py --data DIR nm:n_nodes=200,tau=0.03 sklearn.svm.SVC:C=10
    python accuracy.py --data DIR --frames nm nm-pipeline hgb catboost
    python accuracy.py --csv accuracy.csv --report-only nm-100 mlp-100

``_estimators.py`` lists the families. ``mlp2-eq`` has two equal hidden layers and as
many parameters as 400 nodes in modules of 25; ``ff2-eq`` is the same network in the
loop, and with the recipe, of sknm's own estimators.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _common as common
import _estimators as estimators
import _measure as measure
import _report as report

KEYS = ("estimator", "data", "seed")
COLUMNS = (*KEYS, "session", "n_train", "n_features", "n_classes", *measure.COLUMNS)


def run(args: argparse.Namespace, specs: list[estimators.Spec]) -> None:
    """Measure what the CSV file doesn't hold yet; seeds are the outer loop."""
    present = common.done(common.read_rows(args.csv), KEYS)
    for seed in args.seeds:
        for name in args.data_sets:
            todo = [s for s in specs if (s.name, name, str(seed)) not in present]
            if todo:
                run_split(args, todo, name, seed)


def run_split(
    args: argparse.Namespace, specs: list[estimators.Spec], name: str, seed: int
) -> None:
    """Measure several estimators on one split, and write a row for each."""
    cut = common.split_frame if args.frames else common.split
    data = cut(args.data, name, seed)
    shape = {
        "n_train": len(data.X_train),
        "n_features": data.n_features,
        "n_classes": data.n_classes,
    }
    for spec in specs:
        estimator = spec.build(seed, data.n_features, data.n_classes)
        key = dict(zip(KEYS, (spec.name, name, seed), strict=True))
        row = key | {"session": args.session} | shape
        row |= measure.measure(estimator, data)
        common.append_row(args.csv, COLUMNS, row)
        print(
            f"{name:24s} {seed:3d} {spec.name:24s} error {row['error']:.4f} "
            f"fit {row['fit_seconds']:7.2f} s",
            flush=True,
        )


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "accuracy.csv")
    add = parser.add_argument
    add("estimators", nargs="+", help="FAMILY[-NODES][:KEY=VALUE,...]")
    add("--data", type=Path, help="directory of the .npz files")
    add("--data-sets", nargs="+", metavar="NAME", help="(default: those of the page)")
    add("--frames", action="store_true", help="raw tables: frames as they are")
    add("--seeds", nargs="+", type=int, default=list(range(5)))
    add("--reference", default="mlp-100", help="what ratios and tests compare with")
    add("--clock", choices=["wall", "cpu"], default="wall", help="times compared")
    add("--markdown", type=Path, help="report (default: the CSV file's name, .md)")
    add("--report-only", action="store_true", help="measure nothing, only summarise")
    args = parser.parse_args(argv)
    sets = common.RAW_TABLES if args.frames else common.DATA_SETS
    args.data_sets = args.data_sets or list(sets)
    if args.data is None and not args.report_only:
        parser.error("--data is needed to measure")
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, then summarise."""
    args = get_args(argv)
    args.session = common.session()
    specs = [estimators.parse_spec(text) for text in args.estimators]
    if not args.report_only:
        with common.one_thread():
            run(args, specs)
    names = [spec.name for spec in specs]
    rows = common.read_rows(args.csv)
    clock = {"wall": "fit_seconds", "cpu": "fit_cpu_seconds"}[args.clock]
    results = report.Results.of(rows, names, args.data_sets, clock)
    text = report.markdown(results, args.reference)
    (args.markdown or args.csv.with_suffix(".md")).write_text(text)
    print(text)
    if args.reference in results.estimators and len(results.estimators) > 1:
        report.draw(results, args.reference, common.figure_path(args))


if __name__ == "__main__":
    main()
