"""Which modules form, and what they cost in error and time.

Two experiments, one thread, splits as in ``accuracy.py``; results go to a CSV file that
is resumed, and to figures beside it.

map       tau x lambda_NM -> number of modules, largest share, error, from a dense start
          of 100 nodes on codon usage: with the NM penalty, with plain L1 at the same
          strengths, and without penalty (the papers' configuration, fig. 15).
          A module counts here from two nodes on; single nodes are listed apart.
compare   At 400 nodes on codon usage and letter: the default (modular start, edges
          between modules priced) against the same start with plain L1 and without
          penalty, and against the dense start without penalty. Number of modules,
          largest share, fit time and error over seeds, and modules over the epochs.

    python modules.py map --data DIR
    python modules.py map --data DIR --tau 0.01 0.03 --lambda-nm 0.1 1 --seeds 0 1 2
    python modules.py compare --data DIR
    python modules.py compare --data DIR --report-only
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _common as common
import _estimators as estimators
import _measure as measure
import _modules_report as report
import numpy as np

Row = dict[str, str]
KEYS = ("data", "variant", "tau", "lambda_NM", "n_nodes", "seed")
COLUMNS = (*KEYS, "session", *measure.COLUMNS, "n_groups", "n_single", "sizes")
HISTORY_COLUMNS = ("data", "variant", "n_nodes", "seed", "epoch", "n_modules")

#: name -> parameters of NeuralModuleClassifier
MAP_VARIANTS: dict[str, dict[str, Any]] = {
    "nm": {"init": "dense", "penalty": "nm"},
    "l1": {"init": "dense", "penalty": "l1"},
    "none": {"init": "dense", "penalty": None},
}
COMPARE_VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "as they start": {"lambda_NM": 1e9},
    "dense, cut": {"init": "dense", "module_size": 50},
    "penalty l1": {"penalty": "l1", "lambda_NM": 10},
    "no penalty": {"penalty": None},
    "dense, no penalty": {"init": "dense", "penalty": None},
}
REFERENCE = "dense, no penalty"


# --------------------------------------------------------------------- measurement


def measure_missing(
    args: argparse.Namespace, settings: Iterable[tuple[str, dict[str, Any]]]
) -> None:
    """Measure all settings for each seed and data set, but not what is there."""
    present = common.done(common.read_rows(args.csv), KEYS)
    settings = list(settings)
    for seed in args.seeds:
        for name in args.data_sets:
            data = common.split(args.data, name, seed)
            for variant, params in settings:
                key = row_key(name, variant, params, args.n_nodes, seed)
                if tuple(map(common.cell_text, key.values())) not in present:
                    measure_one(args, key, params, data)


def row_key(
    data: str, variant: str, params: dict[str, Any], n_nodes: int, seed: int
) -> dict[str, Any]:
    """Return the cells that tell one measurement from all others."""
    chosen = (params.get("tau", ""), params.get("lambda_NM", ""))
    return dict(zip(KEYS, (data, variant, *chosen, n_nodes, seed), strict=True))


def measure_one(
    args: argparse.Namespace,
    key: dict[str, Any],
    params: dict[str, Any],
    data: common.Split,
) -> None:
    """Fit one setting on one split, and write its rows."""
    spec = estimators.Spec("", "nm", args.n_nodes, params)
    estimator = spec.build(key["seed"], data.n_features, data.n_classes)
    row = key | {"session": args.session} | measure.measure(estimator, data)
    row |= size_facts(estimator)
    common.append_row(args.csv, COLUMNS, row)
    write_history(args.csv, key, estimator)
    print(
        f"{' '.join(map(str, key.values()))}: {row['n_groups']} modules of "
        f"{row['sizes']}, {row['n_single']} single nodes, error {row['error']:.4f}, "
        f"{row['fit_seconds']:.2f} s",
        flush=True,
    )


def size_facts(estimator: Any) -> dict[str, Any]:
    """Return the modules of two nodes and more, their sizes, and the single nodes."""
    sizes = np.sort(estimator.module_sizes_)[::-1]
    groups = sizes[sizes > 1]
    return {
        "n_groups": len(groups),
        "n_single": int(np.sum(sizes == 1)),
        "sizes": " ".join(map(str, groups)),
    }


def history_path(csv: Path) -> Path:
    """Return where the numbers of modules over the epochs are kept."""
    return csv.with_stem(f"{csv.stem}_history")


def write_history(csv: Path, key: dict[str, Any], estimator: Any) -> None:
    """Write the number of modules after each epoch."""
    for epoch, n_modules in enumerate(estimators.module_history(estimator), start=1):
        row = key | {"epoch": epoch, "n_modules": int(n_modules)}
        common.append_row(history_path(csv), HISTORY_COLUMNS, row)


def wanted(args: argparse.Namespace) -> list[Row]:
    """Return the rows of the CSV file that belong to this command line."""
    return [
        row
        for row in common.read_rows(args.csv)
        if row["data"] in args.data_sets and row["n_nodes"] == str(args.n_nodes)
    ]


# ----------------------------------------------------------------------------- map


def run_map(args: argparse.Namespace) -> None:
    """Measure the map, then report it."""
    if not args.report_only:
        measure_missing(args, map_settings(args))
    rows = wanted(args)
    finish(args, report.map_table(rows))
    for name in args.data_sets:
        here = [row for row in rows if row["data"] == name]
        report.draw_map(here, common.figure_path(args, f"_{name}"))


def map_settings(args: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """Return each variant at each tau and, where it has a penalty, each strength."""
    settings = []
    for tau in args.tau:
        for variant, fixed in MAP_VARIANTS.items():
            strengths = args.lambda_nm if fixed["penalty"] else [None]
            for strength in strengths:
                params = fixed | {"tau": tau}
                if strength is not None:
                    params["lambda_NM"] = strength
                settings.append((variant, params))
    return settings


# ------------------------------------------------------------------------- compare


def run_compare(args: argparse.Namespace) -> None:
    """Measure the variants, then report them."""
    if not args.report_only:
        measure_missing(args, COMPARE_VARIANTS.items())
    order = args.data_sets, list(COMPARE_VARIANTS)
    finish(args, report.compare_table(wanted(args), *order, REFERENCE))
    rows = common.read_rows(history_path(args.csv))
    rows = [row for row in rows if row["n_nodes"] == str(args.n_nodes)]
    report.draw_history(rows, *order, common.figure_path(args))


# ------------------------------------------------------------------------- command


def finish(args: argparse.Namespace, text: str) -> None:
    """Print the table and write it as Markdown."""
    text += f"\n\nMachine of this report: {common.machine()}.\n"
    args.csv.with_suffix(".md").write_text(text)
    print(text)


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    chart = commands.add_parser("map", parents=[_shared("modules_map.csv")])
    chart.add_argument("--n-nodes", type=int, default=100)
    chart.add_argument("--data-sets", nargs="+", default=["codon_usage_5kingdoms"])
    chart.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    taus, strengths = [0.01, 0.02, 0.03, 0.05], [0.03, 0.1, 0.3, 1.0, 3.0]
    chart.add_argument("--tau", nargs="+", type=float, default=taus)
    chart.add_argument("--lambda-nm", nargs="+", type=float, default=strengths)
    chart.set_defaults(run=run_map)
    compare = commands.add_parser("compare", parents=[_shared("modules_compare.csv")])
    compare.add_argument("--n-nodes", type=int, default=400)
    sets = ["codon_usage_5kingdoms", "letter"]
    compare.add_argument("--data-sets", nargs="+", default=sets)
    compare.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    compare.set_defaults(run=run_compare)
    return parser.parse_args(argv)


def _shared(csv_path: str) -> argparse.ArgumentParser:
    """Return the options that both experiments have."""
    shared = argparse.ArgumentParser(add_help=False)
    common.add_output_options(shared, csv_path)
    shared.add_argument("--data", type=Path, help="directory of the .npz files")
    shared.add_argument("--report-only", action="store_true", help="measure nothing")
    return shared


def main(argv: list[str] | None = None) -> None:
    """Run one experiment."""
    args = get_args(argv)
    if args.data is None and not args.report_only:
        raise SystemExit("--data is needed to measure")
    args.session = common.session()
    with common.one_thread():
        args.run(args)


if __name__ == "__main__":
    main()
