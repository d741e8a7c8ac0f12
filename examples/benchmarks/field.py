"""The field: estimators of sknm beside the models that people use for tables.

Every classification set of a folder is cut three times, and every model is fitted to
it as its users would do: raw tables as frames of pandas, with categories and gaps, all
at defaults, on one thread (`_field_models.py` says how each is fed). Sets of more than
``--most-rows`` rows are represented by a stratified subset, the same each time; two
that are incomplete don't count (`_field_data.py`). With ``--regression``, the sets are
those that scikit-learn brings, sets whose classes are numbers, and generated ones.

Each fit is a row of a CSV file: error, log loss, calibration error, seconds. What is
there is not measured again, so the run may be stopped and gone on with at any time.
Splits are the outer loop, then sets from small to large, then models from cheap to
dear. A fit that is estimated to take more than ``--most-seconds`` is left out, and a
model that fails leaves a row that says why; the report, which is of the models that are
named, or of all, tells both. With ``--refresh``, models are measured again whose row is
of another version, which for sknm is the commit, or which failed. With ``--tuned N``, N
configurations of each model are tried, the defaults among them, and the best one is
measured (`_field_tuning.py`).

    python field.py --data DIR
    python field.py --data DIR --models peers --splits 0
    python field.py --data DIR --models neural-modules freenet --refresh
    python field.py --data DIR --regression
    python field.py --data DIR --tuned 20 --data-sets vehicle car credit_g
    python field.py --csv field.csv --report-only
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import _common as common
import _field_figures as figures
import _field_report as report
from _field_data import REGRESSION_SETS, Loader, Task, classification_sets
from _field_models import MODELS, OURS, PEERS, Model
from _field_results import Results
from _field_run import COLUMNS, KEYS, measure
from _field_tuning import tune

#: As slow as this no user is asked to wait for a benchmark: named only.
UNASKED = ("optnet", "tabm")


def run(args: argparse.Namespace, loader: Loader) -> None:
    """Measure what the CSV file doesn't hold yet."""
    todo = list(missing(args))
    for k, (split, data, model) in enumerate(todo):
        task = loader.task(data, split)
        what = f"{data} {split} {model.name}"
        show_bar(k, len(todo), what)
        reason = why_not(args, model, task)
        if reason:
            print(f"[{k + 1}/{len(todo)}] {what}: left out, {reason}", flush=True)
            continue
        row = run_one(args, model, task, split)
        common.append_row(args.csv, COLUMNS, row)
        print(f"[{k + 1}/{len(todo)}] {what}: {told(row)}", flush=True)


def missing(args: argparse.Namespace) -> Iterator[tuple[int, str, Model]]:
    """Yield split, data set and model of each measurement that is to be made."""
    versions = {name: MODELS[name].version() for name in args.models}
    keys = (*KEYS, "version") if args.refresh else KEYS
    rows = common.read_rows(args.csv)
    if args.refresh:
        rows = [row for row in rows if not row["failure"]]
    present = common.done(rows, keys)
    for split in args.splits:
        for data in args.data_sets:
            for name in args.models:
                key = (name, str(args.tuned), data, str(split), versions[name])
                if key[: len(keys)] not in present:
                    yield split, data, MODELS[name]


def why_not(args: argparse.Namespace, model: Model, task: Task) -> str:
    """Return why a model is not fitted to a task, nothing if it is."""
    if task.kind == "sparse" and not model.takes_sparse:
        return "it takes no sparse rows"
    seconds = model.seconds(task)
    return f"about {seconds:.0f} s" if seconds > args.most_seconds else ""


def run_one(
    args: argparse.Namespace, model: Model, task: Task, split: int
) -> dict[str, object]:
    """Return a row about one model and one task."""
    n_tried = args.tuned
    key = dict(zip(KEYS, (model.name, n_tried, task.name, split), strict=True))
    facts = {"version": model.version(), "session": args.session}
    if n_tried == 1:
        return key | facts | task.shape | measure(model, task, split)
    return key | facts | task.shape | tune(model, task, split, n_tried)


def told(row: dict[str, object]) -> str:
    """Return what is said of a row while it is measured."""
    if row.get("failure"):
        return str(row["failure"])
    return f"error {row['error']:.4f}, fit {row['fit_cpu_seconds']:.2f} s"


def show_bar(done: int, total: int, what: str) -> None:
    """Draw a bar with what is being measured, if somebody looks."""
    if sys.stderr.isatty():
        filled = "#" * (30 * done // total)
        print(f"\r\033[K[{filled:30s}] {what}\r", end="", file=sys.stderr, flush=True)


# ----------------------------------------------------------------------- arguments


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "field.csv")
    add = parser.add_argument
    add("--data", type=Path, help="directory of the .npz files")
    add("--data-sets", nargs="+", metavar="NAME", help="(default: all that count)")
    add("--models", nargs="+", metavar="NAME", help=model_help())
    add("--splits", nargs="+", type=int, default=[0, 1, 2])
    add("--regression", action="store_true", help="numbers for targets")
    add("--most-rows", type=int, default=10_000, help="of a set (default: %(default)s)")
    add("--most-seconds", type=float, default=300, help="of a fit, as estimated")
    add("--tuned", type=int, default=1, metavar="N", help="configurations to try")
    add(
        "--refresh",
        action="store_true",
        help="of other versions, and failures",
    )
    add("--reference", default="neural-modules", help="what is compared with each")
    add("--report-only", action="store_true", help="measure nothing, only summarise")
    args = parser.parse_args(argv)
    args.is_chosen = args.models is not None
    args.models = chosen_models(args.models)
    unknown = [name for name in args.models if name not in MODELS]
    if unknown:
        parser.error(f"no model {unknown[0]!r}: there are {', '.join(MODELS)}")
    if args.tuned < 1:
        parser.error("--tuned must be at least 1: the defaults are tried, too")
    if args.data is None and not args.report_only:
        parser.error("--data is needed to measure")
    return args


def model_help() -> str:
    """Return what ``--models`` takes."""
    return (
        f"of {', '.join(MODELS)}; 'ours' and 'peers' are all of a kind (default: all) "
        f"but {' and '.join(UNASKED)}, which must be named"
    )


def chosen_models(names: list[str] | None) -> list[str]:
    """Return the names of models, with those that stand for several written out."""
    groups = {
        "ours": [name for name in OURS if name not in UNASKED],
        "peers": [name for name in PEERS if name not in UNASKED],
    }
    names = names or list(groups)
    return [model for name in names for model in groups.get(name, [name])]


def main(argv: list[str] | None = None) -> None:
    """Measure, then summarise."""
    args = get_args(argv)
    args.session = common.session()
    if not args.report_only:
        loader = Loader(args.data, args.most_rows, args.regression)
        sets = list(REGRESSION_SETS)
        if not args.regression:
            sets = classification_sets(args.data, args.most_rows)
        args.data_sets = args.data_sets or sets
        with common.one_thread():
            run(args, loader)
    summarise(args)


def summarise(args: argparse.Namespace) -> None:
    """Write the tables, and draw the figures, of what was measured."""
    kinds: dict[str, list[dict[str, str]]] = {}
    for row in common.read_rows(args.csv):
        kinds.setdefault(row["n_tried"], []).append(row)
    if "1" not in kinds:
        print("nothing is measured yet")
        return
    shown = args.models if args.is_chosen else list(MODELS)
    results = Results.of(kinds.pop("1"), shown)
    reference = args.reference
    if reference not in results.ranked().models:
        reference = results.ranked().models[0]
    tuned = {n: Results.of(rows, shown) for n, rows in kinds.items()}
    text = report.markdown(results, reference, tuned)
    args.csv.with_suffix(".md").write_text(text)
    print(text)
    if len(results.ranked().models) > 1 and len(results.ranked().data_sets):
        ranked, ours = results.ranked(), list(OURS)
        figures.draw_ranks(ranked, ours, common.figure_path(args, "_ranks"))
        path = common.figure_path(args, "_times")
        figures.draw_times(ranked, reference, ours, path)


if __name__ == "__main__":
    main()
