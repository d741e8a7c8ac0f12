"""What FreeEvolve buys on images, and what acyclic graphs cost.

Three experiments on one thread, float32; results go to a CSV file, tables are printed
and written as Markdown, figures lie beside it.

controls  Accuracy on MNIST and Fashion-MNIST (their own test rows; pixels standardised
          by one mean and deviation) for k nodes: a FreeNet with
          ``rule="coactivation"`` (``evolved``), the complete
          acyclic graph (``dense``), a random one of as many edges as the FreeNet ends
          with (``random``), the complete one pruned to as many edges by magnitude after
          half of the epochs (``magnitude``), and one layer of as many parameters in the
          same loop (``layer``). All with the same options. The CSV file is resumed.
epoch     Seconds per epoch of Fashion-MNIST, 100 nodes, batches of 256 rows: the
          complete acyclic graph against one layer of as many nodes.
sparse    Seconds of `predict` with 1000 nodes at density 0.1, before and after
          `sparsify`, on 20 000 rows resampled from letter; and with all edges.

    python freenet.py controls --data DIR
    python freenet.py controls --data DIR --nodes 30 100 --models evolved layer
    python freenet.py controls --report-only
    python freenet.py epoch sparse --data DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _common as common
import _repeats as repeats
import numpy as np
from _magnitude import MagnitudeClassifier

from sknm import FeedForwardClassifier, FreeNetClassifier

KEYS = ("model", "data", "k", "seed")
COLUMNS = (
    *KEYS,
    "session",
    "accuracy",
    "n_edges",
    "n_parameters",
    "pruned",
    "added",
    "converged",
    "fit_seconds",
)
DATA_SETS = ("mnist", "fashion_mnist")
#: The paper's accuracies in per cent, FreeEvolve / FCNN of equal parameters.
PAPER_NODES = (30, 35, 40, 45, 50, 60, 70, 80, 90, 100)
PAPER = {
    ("mnist", "evolved"): "95.63 96.03 96.37 96.51 96.65 96.92 97.26 97.25 97.4 97.34",
    ("mnist", "layer"): "95.74 95.72 96.14 96.26 96.54 97.07 97.02 97.2 97.23 97.34",
    ("fashion_mnist", "evolved"): (
        "87.59 87.1 87.92 87.81 88.07 88.74 88.66 89.2 88.95 88.89"
    ),
    ("fashion_mnist", "layer"): (
        "86.94 86.87 87.15 87.24 87.5 87.75 87.96 88.38 88.14 88.23"
    ),
}
SPARSE_NODES, SPARSE_DENSITY, SPARSE_ROWS = 1000, 0.1, 20_000

# ------------------------------------------------------------------------ controls


def images(data_dir: Path, name: str) -> common.Split:
    """Return the training and the test images, with mean 0 and variance 1 in all."""
    with np.load(data_dir / f"{name}.npz") as archive:
        X, y, is_train = archive["X"], archive["y"], archive["is_train"]
    X = X.astype(np.float32)
    X = (X - X[is_train].mean()) / X[is_train].std()
    return common.Split(X[is_train], X[~is_train], y[is_train], y[~is_train])


def run_controls(args: argparse.Namespace) -> None:
    """Measure what the CSV file doesn't hold yet."""
    for name in args.data_sets:
        data = images(args.data, name)
        for seed in args.seeds:
            for k in args.nodes:
                for model in sorted(args.models, key=lambda m: m != "evolved"):
                    run_control(args, data, model, name, k, seed)


def run_control(
    args: argparse.Namespace,
    data: common.Split,
    model: str,
    name: str,
    k: int,
    seed: int,
) -> None:
    """Fit one model, and write its row."""
    key = dict(zip(KEYS, (model, name, k, seed), strict=True))
    rows = {tuple(row[c] for c in KEYS): row for row in common.read_rows(args.csv)}
    if tuple(map(str, key.values())) in rows:
        return
    evolved = rows.get(("evolved", name, str(k), str(seed)))
    n_edges = int(evolved["n_edges"]) if evolved else None
    estimator = build(args, data, model, k, n_edges).set_params(random_state=seed)
    watch = repeats.time_fit(estimator, data)
    row = key | {"session": args.session, "fit_seconds": round(watch.wall, 3)}
    row |= facts(estimator) | {"accuracy": estimator.score(data.X_test, data.y_test)}
    common.append_row(args.csv, COLUMNS, row)
    print(f"{name} {k} {seed} {model}: {row['accuracy']:.4f}", flush=True)


def build(
    args: argparse.Namespace,
    data: common.Split,
    model: str,
    k: int,
    n_edges: int | None,
) -> Any:
    """Return an unfitted model; all but two need the edges that a FreeNet had left."""
    shared = {
        "alpha": args.alpha,
        "dropout": args.dropout,
        "label_smoothing": args.label_smoothing,
        "max_iter": args.max_iter,
    }
    free = shared | {"rule": "coactivation"}
    if model in ("evolved", "dense"):
        most = 0 if model == "dense" else 10
        return FreeNetClassifier(k, epsilon=args.epsilon, max_evolutions=most, **free)
    if n_edges is None:
        raise SystemExit(f"{model} needs a row of 'evolved' for the same k and seed")
    density = n_edges / (k * (k - 1) / 2)
    if model == "random":
        return FreeNetClassifier(k, density=density, max_evolutions=0, **free)
    if model == "magnitude":
        return MagnitudeClassifier(k, density=density, alpha_sparsity=0.0, **shared)
    per_node = data.n_features + 1 + data.n_classes
    return FeedForwardClassifier(k + round(n_edges / per_node), **shared)


def facts(estimator: Any) -> dict[str, Any]:
    """Count parameters in use, and what the evolution did."""
    U, V = estimator.input_weights_, estimator.output_weights_
    n_edges = estimator.topology_.n_edges
    evolution = getattr(estimator, "evolution_", [])
    return {
        "n_edges": n_edges,
        "n_parameters": U.size + V.size + len(V) + V.shape[1] + n_edges,
        "pruned": sum(e["pruned"] for e in evolution),
        "added": sum(e["added"] for e in evolution),
        "converged": getattr(estimator, "converged_", ""),
    }


def report_controls(args: argparse.Namespace) -> None:
    """Print and write a table per data set, and draw both."""
    rows = common.read_rows(args.csv)
    figure, (axes,) = common.new_figure(len(args.data_sets), size=(11, 4))
    texts: list[str] = []
    everything: dict[tuple[Any, ...], list] = {}
    for axis, name in zip(axes, args.data_sets, strict=True):
        found = {
            (model, k): [
                row
                for row in rows
                if (row["model"], row["data"], row["k"]) == (model, name, str(k))
            ]
            for model in args.models
            for k in args.nodes
        }
        texts.append(f"{name}\n\n{control_table(args, name, found)}\n")
        texts.append(differences(args, found))
        everything.update({(name, *case): of_case for case, of_case in found.items()})
        draw_controls(args, axis, name, found)
    texts += ["all of them\n", differences(args, everything)]
    text = "\n".join(texts)
    args.csv.with_suffix(".md").write_text(text)
    print(text)
    common.save_figure(figure, common.figure_path(args))


def control_table(
    args: argparse.Namespace, name: str, found: dict[tuple[str, int], list]
) -> str:
    """Return accuracies in per cent, with the paper's beside them."""
    header = ["k", *args.models, "edges left", "paper, evolved", "paper, layer"]
    body = []
    for k in args.nodes:
        cells = [accuracy_cell(found[model, k]) for model in args.models]
        share = [int(row["n_edges"]) / (k * (k - 1) / 2) for row in found["evolved", k]]
        left = f"{100 * np.mean(share):.0f} %" if share else ""
        paper = [paper_figure(name, model, k) for model in ("evolved", "layer")]
        body.append([str(k), *cells, left, *paper])
    return common.markdown_table(header, body)


def differences(args: argparse.Namespace, found: dict[tuple[Any, ...], list]) -> str:
    """Say by how much FreeNets are ahead of the others, seed by seed."""
    lines = []
    for model in args.models:
        pairs = []
        for case, rows in found.items():
            if model == "evolved" or case[-2] != model:
                continue
            evolved = {r["seed"]: r for r in found[(*case[:-2], "evolved", case[-1])]}
            of_both = [(evolved[r["seed"]], r) for r in rows if r["seed"] in evolved]
            pairs += [a - b for a, b in map(accuracies, of_both)]
        if len(pairs) > 1:
            error = np.std(pairs, ddof=1) / len(pairs) ** 0.5
            mean = f"{np.mean(pairs):+.2f} ± {error:.2f}"
            lines.append(f"evolved minus {model}: {mean} ({len(pairs)} pairs)")
    return "\n".join(lines) + "\n"


def accuracies(rows: Sequence[dict[str, str]]) -> np.ndarray:
    """Read accuracies in per cent."""
    return 100 * np.array([float(row["accuracy"]) for row in rows])


def accuracy_cell(rows: list[dict[str, str]]) -> str:
    """Return mean and standard error of the accuracies."""
    values = accuracies(rows)
    if len(values) < 2:
        return "".join(f"{value:.2f}" for value in values)
    return f"{values.mean():.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def paper_figure(name: str, model: str, k: int) -> str:
    """Return what the paper reports, as it is written there."""
    if k not in PAPER_NODES:
        return ""
    return PAPER[name, model].split()[PAPER_NODES.index(k)]


def draw_controls(
    args: argparse.Namespace, axis: Any, name: str, found: dict[tuple[str, int], list]
) -> None:
    """Draw accuracy against the number of nodes."""
    for model in args.models:
        measured = [k for k in args.nodes if found[model, k]]
        means = [accuracies(found[model, k]).mean() for k in measured]
        axis.plot(measured, means, "o-", label=model)
    for model, style in {"evolved": "k--", "layer": "k:"}.items():
        values = [float(v) for v in PAPER[name, model].split()]
        axis.plot(PAPER_NODES, values, style, lw=1, label=f"paper, {model}")
    axis.set_title(name)
    axis.set_xlabel("nodes k")
    axis.set_ylabel("test accuracy (%)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


# --------------------------------------------------------------- epoch and sparse


def measure_epoch(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time epochs of the acyclic graph and of one layer."""
    data = images(args.data, "fashion_mnist")
    shared = {"batch_size": 256, "random_state": 0}
    contestants = {
        "layer": epochs(FeedForwardClassifier(100, **shared), data),
        "dense": epochs(FreeNetClassifier(100, max_evolutions=0, **shared), data),
    }
    recorder.interleave("epoch", contestants, 100, "s", args.repeats)


def epochs(estimator: Any, data: common.Split) -> Callable[[], tuple[float, str]]:
    """Return a function that measures the seconds of an epoch."""

    def run() -> tuple[float, str]:
        few, many = (
            repeats.time_fit(estimator.set_params(max_iter=n), data).wall
            for n in (1, 3)
        )
        return (many - few) / 2, "(3 epochs - 1 epoch) / 2"

    return run


def measure_sparse(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time predictions of a sparse graph as it was trained, and sparsified."""
    data = common.split(args.data, "letter", 0)
    rows = np.random.default_rng(0).integers(len(data.X_test), size=SPARSE_ROWS)
    X = data.X_test[rows]
    options = {"max_evolutions": 0, "max_iter": 2, "random_state": 0}
    densities = {
        "as trained": SPARSE_DENSITY,
        "sparsified": SPARSE_DENSITY,
        "complete": 1.0,
    }
    models = {
        name: FreeNetClassifier(SPARSE_NODES, density=density, **options)
        for name, density in densities.items()
    }
    for model in models.values():
        repeats.time_fit(model, data)
    models["sparsified"].sparsify()
    same = np.abs(
        models["as trained"].node_values(X) - models["sparsified"].node_values(X)
    )
    note = f"node values differ by at most {same.max():.1e}"
    contestants = {
        name: predictions(model, X, note if name == "sparsified" else "")
        for name, model in models.items()
    }
    recorder.interleave("sparse", contestants, SPARSE_NODES, "s", args.repeats)


def predictions(
    model: Any, X: np.ndarray, note: str
) -> Callable[[], tuple[float, str]]:
    """Return a function that measures the seconds of `predict`."""

    def run() -> tuple[float, str]:
        with common.Stopwatch() as watch:
            model.predict(X)
        return watch.wall, note

    return run


# ------------------------------------------------------------------------- command

MEASURES = {"epoch": measure_epoch, "sparse": measure_sparse}
MODELS = ("evolved", "dense", "random", "magnitude", "layer")


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "freenet.csv")
    add = parser.add_argument
    add("experiments", nargs="+", choices=["controls", *MEASURES])
    add("--data", type=Path, help="directory of the .npz files")
    add("--data-sets", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    add("--nodes", nargs="+", type=int, default=[30, 40, 60, 80, 100])
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--epsilon", type=float, default=0.25, help="of the evolution in controls")
    add("--alpha", type=float, default=0.3, help="of all models in controls")
    add("--dropout", type=float, default=0.05, help="of all models in controls")
    add("--label-smoothing", type=float, default=0.0, help="of all in controls")
    add("--max-iter", type=int, default=32, help="epochs of all models in controls")
    add("--repeats", type=int, default=5)
    add("--report-only", action="store_true", help="measure nothing, only summarise")
    args = parser.parse_args(argv)
    if args.data is None and not args.report_only:
        parser.error("--data is needed to measure")
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, then summarise."""
    args = get_args(argv)
    args.session = common.session()
    if "controls" in args.experiments:
        if not args.report_only:
            with common.one_thread():
                run_controls(args)
        report_controls(args)
    if args.report_only:
        return
    for name in args.experiments:
        if name in MEASURES:
            recorder = repeats.Recorder(args.csv.with_stem(f"{args.csv.stem}_{name}"))
            with common.one_thread():
                MEASURES[name](args, recorder)
            repeats.report(recorder, "layer" if name == "epoch" else "as trained")


if __name__ == "__main__":
    main()
