"""Time per step and error against the number of nodes, for all of the baselines.

The paper's fig. 4A: NN (one layer), DEQ, DAG, OptNet and Neural Modules, each with the
same number of nodes, in the same loop with the same recipe, on one thread. Two measures
on one data set (default codon usage):

step      Milliseconds per training step, batch 128: the time of a fit with many epochs
          minus that of a fit with few, divided by the steps between, on the first rows.
          Repetitions are interleaved; the figure shows medians and the range.
error     Test error after `--max-iter` epochs on all training rows, mean and standard
          error over seeds, each with its own stratified 75/25 shuffle.

Rows that the CSV file holds are not measured again.

    python baselines.py --data DIR
    python baselines.py --data DIR --measures step --n-nodes 100 300 --repeats 5
    python baselines.py --data DIR --contestants deq optnet optnet:solver=proxqp
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import _common as common
import _estimators as estimators
import _repeats as repeats
import numpy as np

KEYS = ("measure", "contestant", "n_nodes", "repetition")
COLUMNS = (*KEYS, "session", "value", "seconds", "residual")
NAMES = {
    "ff": "NN (one layer)",
    "deq": "DEQ",
    "dag": "DAG",
    "optnet": "OptNet",
    "nm": "Neural Modules",
}
BATCH_SIZE = 128


def measure(args: argparse.Namespace) -> None:
    """Measure what the CSV file doesn't hold yet; repetitions are the outer loop."""
    present = common.done(common.read_rows(args.csv), KEYS)
    session = common.session()
    plan = {"step": (time_step, args.repeats), "error": (test_error, args.seeds)}
    for name in args.measures:
        run, n_repetitions = plan[name]
        for repetition in range(n_repetitions):
            for n_nodes in args.n_nodes:
                for text in args.contestants:
                    key = (name, text, str(n_nodes), str(repetition))
                    if key in present:
                        continue
                    spec = sized(text, n_nodes)
                    row = dict(zip(KEYS, key, strict=True)) | {"session": session}
                    row |= run(args, spec, repetition)
                    common.append_row(args.csv, COLUMNS, row)
                    print(*key, f"{row['value']:.4g}", flush=True)


def sized(text: str, n_nodes: int) -> estimators.Spec:
    """Return the specification of a contestant with a number of nodes."""
    return dataclasses.replace(estimators.parse_spec(text), n_nodes=n_nodes)


def time_step(
    args: argparse.Namespace, spec: estimators.Spec, repetition: int
) -> dict[str, Any]:
    """Return milliseconds per training step."""
    data = first_rows(common.split(args.data, args.data_set, 0), args.step_rows)
    few, many = args.epochs
    seconds = [fit(spec, data, 0, epochs)[1] for epochs in (few, many)]
    n_steps = (many - few) * -(-len(data.X_train) // BATCH_SIZE)
    return {"value": 1e3 * (seconds[1] - seconds[0]) / n_steps, "seconds": sum(seconds)}


def test_error(
    args: argparse.Namespace, spec: estimators.Spec, seed: int
) -> dict[str, Any]:
    """Return the test error of one split, and how well the test rows were solved."""
    data = common.split(args.data, args.data_set, seed)
    estimator, seconds = fit(spec, data, seed, args.max_iter)
    wrong = estimator.predict(data.X_test) != data.y_test
    _, stats = estimator.node_values(data.X_test, return_stats=True)
    value = float(np.mean(wrong))
    return {"value": value, "seconds": seconds, "residual": stats["residual"]}


def fit(
    spec: estimators.Spec, data: common.Split, seed: int, epochs: int
) -> tuple[Any, float]:
    """Fit for some epochs, and return the estimator and the seconds it took."""
    fixed = {"batch_size": BATCH_SIZE, "max_iter": epochs}
    spec = dataclasses.replace(spec, params=spec.params | fixed)
    estimator = spec.build(seed, data.n_features, data.n_classes)
    return estimator, repeats.time_fit(estimator, data).wall


def first_rows(data: common.Split, n_rows: int) -> common.Split:
    """Return the split with fewer training rows."""
    X, y = data.X_train[:n_rows], data.y_train[:n_rows]
    return dataclasses.replace(data, X_train=X, y_train=y)


# -------------------------------------------------------------------------- report


def values(rows: list[dict[str, str]], name: str, text: str, n: int) -> np.ndarray:
    """Return all values of a measure for a contestant at a number of nodes."""
    key = (name, text, str(n))
    return np.array(
        [float(row["value"]) for row in rows if tuple(row[k] for k in KEYS[:3]) == key]
    )


def report(args: argparse.Namespace, rows: list[dict[str, str]]) -> str:
    """Return a table of each measure as Markdown."""
    parts = []
    for name in args.measures:
        body = []
        for text in args.contestants:
            cells = [cell(name, values(rows, name, text, n)) for n in args.n_nodes]
            body.append([NAMES.get(text, text), *cells])
        numbers = [str(n) for n in args.n_nodes]
        parts.append(common.markdown_table([TITLES[name], *numbers], body))
        if name == "error" and args.reference in args.contestants:
            title = f"error less that of {NAMES.get(args.reference, args.reference)}"
            parts.append(
                common.markdown_table([title, *numbers], differences(args, rows))
            )
        if name == "error":
            title = "seconds per fit, nodes"
            header = [title, *numbers, "largest residual"]
            parts.append(common.markdown_table(header, fits(args, rows)))
    parts.append(f"{args.data_set}. Machine: {common.machine()}.")
    return "\n\n".join(parts) + "\n"


def differences(
    args: argparse.Namespace, rows: list[dict[str, str]]
) -> list[list[str]]:
    """Return a table's rows: differences of errors on the same splits."""
    body = []
    for text in args.contestants:
        cells = []
        for n in args.n_nodes:
            pair = [values(rows, "error", t, n) for t in (text, args.reference)]
            is_paired = len(pair[0]) == len(pair[1])
            cells.append(cell("error", pair[0] - pair[1]) if is_paired else "")
        if text != args.reference:
            body.append([NAMES.get(text, text), *cells])
    return body


def fits(args: argparse.Namespace, rows: list[dict[str, str]]) -> list[list[str]]:
    """Return a table's rows: medians of seconds, and how well test rows were solved."""
    body = []
    for text in args.contestants:
        own = [r for r in rows if (r["measure"], r["contestant"]) == ("error", text)]
        cells = []
        for n in args.n_nodes:
            found = [float(r["seconds"]) for r in own if r["n_nodes"] == str(n)]
            cells.append(f"{np.median(found):.3g}" if found else "")
        largest = max((float(r["residual"]) for r in own), default=np.nan)
        body.append([NAMES.get(text, text), *cells, f"{largest:.1e}"])
    return body


TITLES = {"step": "ms per step, nodes", "error": "test error, nodes"}


def cell(name: str, found: np.ndarray) -> str:
    """Write the median of times, or the mean and standard error of errors."""
    if not len(found):
        return ""
    if name == "step":
        return f"{np.median(found):.3g}"
    spread = found.std(ddof=1) / len(found) ** 0.5 if len(found) > 1 else np.nan
    return f"{found.mean():.4f} ± {spread:.4f}".replace("0.", ".")


def draw(args: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    """Plot each measure against the number of nodes."""
    figure, (row,) = common.new_figure(len(args.measures), size=(10, 4))
    for axes, name in zip(row, args.measures, strict=True):
        for text in args.contestants:
            found = [values(rows, name, text, n) for n in args.n_nodes]
            line = [(n, v) for n, v in zip(args.n_nodes, found, strict=True) if len(v)]
            if line:
                draw_line(axes, name, NAMES.get(text, text), line)
        axes.set_xlabel("nodes")
        axes.set_xscale("log")
        axes.set_xticks(args.n_nodes, [str(n) for n in args.n_nodes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_ylabel({"step": "ms per training step", "error": "test error"}[name])
        if name == "step":
            axes.set_yscale("log")
            common.plain_ticks(axes.yaxis)
    row[0].legend(fontsize="small")
    common.save_figure(figure, common.figure_path(args))


def draw_line(axes: Any, name: str, label: str, line: list[Any]) -> None:
    """Draw one contestant: medians and range of times, means and errors of errors."""
    nodes = [n for n, _ in line]
    if name == "step":
        middle = np.array([np.median(v) for _, v in line])
        low = middle - [v.min() for _, v in line]
        high = [v.max() for _, v in line] - middle
    else:
        middle = np.array([v.mean() for _, v in line])
        low = high = [
            v.std(ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0 for _, v in line
        ]
    axes.errorbar(nodes, middle, yerr=[low, high], marker="o", capsize=3, label=label)


# ------------------------------------------------------------------------- command


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "baselines.csv")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="directory of the .npz files")
    add("--data-set", default="codon_usage_5kingdoms")
    add("--contestants", nargs="+", default=list(NAMES), metavar="SPEC")
    add("--n-nodes", nargs="+", type=int, default=[40, 60, 80, 100, 200, 300])
    add("--measures", nargs="+", choices=list(TITLES), default=list(TITLES))
    add("--epochs", nargs=2, type=int, default=[5, 10], metavar=("FEW", "MANY"))
    add("--step-rows", type=int, default=2560, help="training rows of a timed fit")
    add("--repeats", type=int, default=3, help="repetitions of a timed fit")
    add("--max-iter", type=int, default=10, help="epochs of a fit whose error counts")
    add("--seeds", type=int, default=3)
    add("--reference", default="nm", help="whose errors are subtracted")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, then summarise all that the CSV file holds."""
    args = get_args(argv)
    with common.one_thread():
        measure(args)
    rows = common.read_rows(args.csv)
    text = report(args, rows)
    args.csv.with_suffix(".md").write_text(text)
    print(f"\n{text}")
    draw(args, rows)


if __name__ == "__main__":
    main()
