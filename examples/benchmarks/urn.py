"""What emerges from URN's one matrix of weights, and what it costs.

shells  Points on two spherical shells in 10 dimensions, 4000 to train on and 4000 to
        test with, against the number of free neurons S and of steps I: neurons left,
        where they are, the share of the absolute weight that leads from one depth to
        the next (each neuron at one depth; and at any of those at which it matters),
        error, seconds and memory. Each fit has a process of its own.
step    Milliseconds of a training step in which nothing has died yet, against the
        literal loop in torch.
diabetes  R² of scikit-learn's diabetes data, mean of five folds.
tables  Three data sets with 100 free neurons beside layered networks of as many
        parameters in the same loop.
defaults  URN as it is and as it was at first, beside one layer of 400 nodes, and of as
        many as URN has left: digits, shells, and 3000 rows of each data set.

    python urn.py shells
    python urn.py step diabetes
    python urn.py shells --free 5000 --steps 4 --seeds 0 --threads 2
    python urn.py tables --data DIR
    python urn.py defaults --data DIR
    python urn.py shells tables --report-only
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from sknm import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    URNClassifier,
    URNRegressor,
)
from sknm.datasets import make_spherical_shells
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.depth import layered_share, main_depths, steps_that_matter
from sknm.graph.recursion import recur

N_DIMS, N_ROWS = 10, 4000
#: High prices, and small steps: few neurons are left, and mostly in layers.
PRICES = {
    "alpha_weight": 1.0,
    "alpha_activity": 3e-3,
    "alpha": 0.1,
    "label_smoothing": 0.0,
    "learning_rate_init": 0.016,
    "max_iter": 100,
}
#: As in the paper: nothing but weights and activity has a price, and all weights are
#: drawn alike.
PLAIN = {"alpha_neuron": 0.0, "init": "random"}
FIRST = PLAIN | {"alpha_activity": 1e-3}
KEYS = ("S", "I", "seed")
COLUMNS = (
    *KEYS,
    "threads",
    "active",
    "depths",
    "several",
    "edges",
    "layered",
    "layered_any",
    "error",
    "fit_seconds",
    "peak_mib",
)
TABLES = ("segment", "pendigits", "letter")
TABLE_KEYS = ("data", "model", "seed")
TABLE_COLUMNS = (*TABLE_KEYS, "error", "active", "edges", "fit_seconds")
TABLE_NODES = 100
DEFAULT_COLUMNS = (
    *TABLE_KEYS,
    "error",
    "neurons",
    "active",
    "free",
    "edges",
    "layered",
    "fit_seconds",
)
DEFAULT_ROWS = 3000
#: Made of the number of neurons that the first one has left.
DEFAULT_MODELS: dict[str, Callable[[int], Any]] = {
    "URN, default": lambda n_left: URNClassifier(),
    "URN, first version": lambda n_left: URNClassifier(**FIRST),
    "one layer": lambda n_left: FeedForwardClassifier(400),
    "one layer, as many": lambda n_left: FeedForwardClassifier(n_left),
}

# ------------------------------------------------------------------------- shells


def shells(seed: int) -> common.Split:
    """Return points on shells, with mean 0 and variance 1 over all features."""
    X, y = make_spherical_shells(2 * N_ROWS, N_DIMS, random_state=seed)
    X = (X / X[:N_ROWS].std()).astype(np.float32)
    return common.Split(X[:N_ROWS], X[N_ROWS:], y[:N_ROWS], y[N_ROWS:])


def measure_shells(S: int, steps: int, seed: int, threads: int) -> dict[str, Any]:
    """Fit one network, and say what has emerged."""
    data = shells(seed)
    model = URNClassifier(S, n_steps=steps, random_state=seed, n_jobs=threads)
    model.set_params(**PRICES, **PLAIN)
    with common.Stopwatch() as watch:
        model.fit(data.X_train, data.y_train)
    W, counts = model.node_weights_, (N_DIMS, 2, steps)
    depths = main_depths(W, *counts)
    matters = steps_that_matter(W != 0, *counts)
    return {
        "active": len(model.active_nodes_) / len(W),
        "depths": " ".join(
            map(str, np.bincount(depths[depths >= 0], minlength=steps + 1))
        ),
        "several": int((matters.sum(axis=0) > 1).sum()),
        "edges": model.topology_.n_edges,
        "layered": layered_share(W, depths),
        "layered_any": share_at_any_depth(W, matters),
        "error": 1 - model.score(data.X_test, data.y_test),
        "fit_seconds": round(watch.wall, 2),
        "peak_mib": common.peak_rss_mib(),
    }


def share_at_any_depth(W: np.ndarray, matters: np.ndarray) -> float:
    """Share of the weight that leads from a step to the next at which both matter."""
    joined = np.zeros(W.shape, dtype=bool)
    for before, after in pairwise(matters):
        joined |= np.outer(before, after)
    nodes = np.flatnonzero(matters.any(axis=0))
    A, joined = np.abs(W[np.ix_(nodes, nodes)]), joined[np.ix_(nodes, nodes)]
    return float(A[joined].sum() / A.sum()) if A.any() else float("nan")


def run_shells(args: argparse.Namespace) -> None:
    """Measure what the CSV file doesn't hold yet, each in a process of its own."""
    for S in args.free:
        for steps in args.steps:
            for seed in args.seeds:
                key = dict(zip(KEYS, (S, steps, seed), strict=True))
                known = common.done(common.read_rows(args.csv), KEYS)
                if tuple(map(str, key.values())) in known:
                    continue
                one = ["one", "--free", S, "--steps", steps, "--seeds", seed]
                command = [sys.executable, __file__, *map(str, one)]
                command += ["--threads", str(args.threads)]
                found = json.loads(subprocess.check_output(command, text=True))
                row = key | {"threads": args.threads} | found
                common.append_row(args.csv, COLUMNS, row)
                print(row, flush=True)


def report_shells(args: argparse.Namespace) -> None:
    """Print and write a line per S and I, and draw them."""
    rows = common.read_rows(args.csv)
    cases = sorted({(int(row["S"]), int(row["I"])) for row in rows})
    header = ["S", "I", "runs", "active", "depths, first run", "at several depths"]
    header += ["layered", "layered, any depth", "error", "fit (s)", "peak (MiB)"]
    body = []
    for S, steps in cases:
        found = [r for r in rows if (r["S"], r["I"]) == (str(S), str(steps))]
        layered = " ".join(f"{common.number(row['layered']):.2f}" for row in found)
        body.append(
            [
                str(S),
                str(steps),
                str(len(found)),
                f"{100 * mean(found, 'active'):.1f} %",
                found[0]["depths"],
                f"{mean(found, 'several'):.1f}",
                layered,
                f"{mean(found, 'layered_any'):.2f}",
                f"{mean(found, 'error'):.4f}",
                f"{mean(found, 'fit_seconds'):.0f}",
                f"{mean(found, 'peak_mib'):.0f}",
            ]
        )
    text = common.markdown_table(header, body)
    args.csv.with_suffix(".md").write_text(text + "\n")
    print(text)
    draw_shells(args, rows, cases)


def mean(rows: list[dict[str, str]], column: str) -> float:
    """Mean of a column; of the shares of weight, over networks that are not dead."""
    return float(np.nanmean([common.number(row[column]) for row in rows]))


def draw_shells(
    args: argparse.Namespace, rows: list[dict[str, str]], cases: list[tuple[int, int]]
) -> None:
    """Draw neurons left, layered share and seconds against S."""
    figure, (axes,) = common.new_figure(3, size=(12, 3.6))
    for axis, column, label in zip(
        axes,
        ("active", "layered", "fit_seconds"),
        ("share of neurons alive", "layered share of the weight", "fit (s)"),
        strict=True,
    ):
        for steps in sorted({steps for _, steps in cases}):
            found = [r for r in rows if r["I"] == str(steps)]
            sizes = sorted({int(r["S"]) for r in found})
            means = [
                mean([r for r in found if r["S"] == str(S)], column) for S in sizes
            ]
            (line,) = axis.plot(sizes, means, "-", label=f"I = {steps}")
            values = [common.number(r[column]) for r in found]
            axis.plot([int(r["S"]) for r in found], values, ".", color=line.get_color())
        axis.set(xscale="log", xlabel="free neurons S", ylabel=label)
        common.plain_ticks(axis.xaxis)
        axis.grid(alpha=0.3)
    axes[2].set_yscale("log")
    axes[0].legend()
    common.save_figure(figure, common.figure_path(args))


# ------------------------------------------------------------------------- tables


def table_models(data: common.Split, seed: int) -> dict[str, Any]:
    """URN of 100 free neurons, and layers with as many parameters."""
    n = data.n_features + TABLE_NODES + data.n_classes
    models: dict[str, Any] = {
        "URN, default": URNClassifier(TABLE_NODES),
    }
    for price in (0.01, 0.03, 0.3):
        first = URNClassifier(TABLE_NODES, alpha_weight=price, **FIRST)
        models[f"URN, first version, alpha_weight={price}"] = first
    for n_layers, name in ((1, "one layer"), (2, "two layers")):
        sizes = (equal_width(data, n * (n + 1), n_layers),) * n_layers
        layers = FeedForwardClassifier(hidden_layer_sizes=sizes)
        models[name] = layers
        models[f"{name}, dropout=0"] = FeedForwardClassifier(
            hidden_layer_sizes=sizes, dropout=0.0
        )
    return {name: m.set_params(random_state=seed) for name, m in models.items()}


def equal_width(data: common.Split, n_parameters: int, n_layers: int) -> int:
    """Width of equal layers that have about as many parameters."""

    def distance(k: int) -> int:
        hidden = (n_layers - 1) * k * (k + 1)
        n = (data.n_features + 1) * k + hidden + (k + 1) * data.n_classes
        return abs(n - n_parameters)

    return min(range(1, n_parameters), key=distance)


def run_tables(args: argparse.Namespace, path: Path) -> None:
    """Measure what the CSV file doesn't hold yet."""
    for name in args.tables:
        for seed in args.seeds:
            data = common.split(args.data, name, seed)
            for label, model in table_models(data, seed).items():
                key = dict(zip(TABLE_KEYS, (name, label, seed), strict=True))
                known = common.done(common.read_rows(path), TABLE_KEYS)
                if tuple(map(str, key.values())) in known:
                    continue
                with common.Stopwatch() as watch:
                    model.fit(data.X_train, data.y_train)
                row = key | {
                    "error": 1 - model.score(data.X_test, data.y_test),
                    "active": len(getattr(model, "active_nodes_", ())),
                    "edges": model.topology_.n_edges,
                    "fit_seconds": round(watch.wall, 2),
                }
                common.append_row(path, TABLE_COLUMNS, row)
                print(row, flush=True)


def report_tables(path: Path) -> None:
    """Print and write errors and their standard errors."""
    rows = common.read_rows(path)
    names = list(dict.fromkeys(row["data"] for row in rows))
    body = []
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [
            error_cell([r for r in rows if (r["data"], r["model"]) == (name, model)])
            for name in names
        ]
        body.append([model, *cells])
    text = common.markdown_table(["model", *names], body)
    path.with_suffix(".md").write_text(text + "\n")
    print(text)


def error_cell(rows: list[dict[str, str]]) -> str:
    """Mean and standard error of the test errors, active neurons, seconds."""
    errors = np.array([float(row["error"]) for row in rows])
    active = mean(rows, "active")
    facts = f"{active:.0f} active, " if active else ""
    seconds = f"{mean(rows, 'fit_seconds'):.1f} s"
    return f"{error_text(errors)} ({facts}{seconds})"


# ------------------------------------------------------------------------ defaults


def default_data(data: Path | None, name: str, seed: int) -> common.Split:
    """Digits, shells, or some rows of a data set."""
    if name == "shells":
        return shells(seed)
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
        return common.Split(X_train, X_test, y_train, y_test)
    assert data is not None, "get_args asks for it"
    whole = common.split(data, name, seed)
    rows = np.random.default_rng(seed).permutation(len(whole.y_train))[:DEFAULT_ROWS]
    return replace(whole, X_train=whole.X_train[rows], y_train=whole.y_train[rows])


def measure_default(model: Any, data: common.Split) -> dict[str, Any]:
    """Fit a network, and say what is left of it; seconds are those of one thread."""
    start = time.process_time()
    model.fit(data.X_train, data.y_train)
    found = {
        "fit_seconds": round(time.process_time() - start, 2),
        "error": 1 - model.score(data.X_test, data.y_test),
    }
    if not isinstance(model, URNClassifier):
        return found
    W, alive = model.node_weights_, model.active_nodes_
    n_inputs, n_outputs = len(model.input_weights_), model.output_weights_.shape[1]
    is_free = (alive >= n_inputs) & (alive < len(W) - n_outputs)
    return found | {
        "neurons": len(W),
        "active": len(alive),
        "free": int(is_free.sum()),
        "edges": model.topology_.n_edges,
        "layered": layered_share(W, main_depths(W, n_inputs, n_outputs, model.n_steps)),
    }


def run_defaults(args: argparse.Namespace, path: Path) -> None:
    """Measure what the CSV file doesn't hold yet."""
    for name in ["digits", "shells", *(args.sets if args.data else ())]:
        for seed in args.seeds:
            data, n_left = default_data(args.data, name, seed), 0
            for label in DEFAULT_MODELS:
                key = dict(zip(TABLE_KEYS, (name, label, seed), strict=True))
                for row in common.read_rows(path):
                    if tuple(map(row.get, TABLE_KEYS)) == tuple(map(str, key.values())):
                        break
                else:
                    model = DEFAULT_MODELS[label](n_left).set_params(random_state=seed)
                    row = key | measure_default(model, data)
                    common.append_row(path, DEFAULT_COLUMNS, row)
                    print(row, flush=True)
                if label == "URN, default":
                    n_left = int(row["free"])


def report_defaults(path: Path) -> None:
    """Print and write errors, differences to one layer, and what is left."""
    rows = common.read_rows(path)
    header = ["data", *DEFAULT_MODELS, "difference to one layer", "alive", "free"]
    header += ["edges", "layered", "fit (s): default, first version, one layer"]
    body = []
    for name in dict.fromkeys(row["data"] for row in rows):
        of = {
            label: [r for r in rows if (r["data"], r["model"]) == (name, label)]
            for label in DEFAULT_MODELS
        }
        errors = {m: [float(row["error"]) for row in of[m]] for m in of}
        gap = np.subtract(errors["URN, default"], errors["one layer"])
        ours = of["URN, default"]
        shares = [int(row["active"]) / int(row["neurons"]) for row in ours]
        timed = ("URN, default", "URN, first version", "one layer")
        body.append(
            [
                name,
                *(error_text(np.array(errors[m])) for m in DEFAULT_MODELS),
                error_text(gap, "+.4f"),
                f"{100 * np.mean(shares):.0f} %",
                f"{mean(ours, 'free'):.0f}",
                f"{mean(ours, 'edges'):.0f}",
                f"{mean(ours, 'layered'):.2f}",
                " ".join(f"{mean(of[m], 'fit_seconds'):.1f}" for m in timed),
            ]
        )
    text = common.markdown_table(header, body)
    path.with_suffix(".md").write_text(text + "\n")
    print(text)


def error_text(errors: np.ndarray, form: str = ".4f") -> str:
    """Mean and standard error."""
    spread = errors.std(ddof=1) / len(errors) ** 0.5 if len(errors) > 1 else 0
    return f"{errors.mean():{form}} ± {spread:.4f}"


# -------------------------------------------------------------- step and diabetes


def measure_steps() -> None:
    """Print medians of seven steps, loss and gradients, in turns."""
    for S in (1000, 2000):
        n, x = N_DIMS + S + 2, torch.randn(256, N_DIMS)
        W = (torch.randn(n, n) * (2 / n) ** 0.5).requires_grad_()
        b = torch.zeros(n, requires_grad=True)
        seconds: dict[str, list[float]] = {"literal loop": [], "sknm": []}
        for _ in range(7):
            for name, outputs in (("literal loop", literal), ("sknm", ours)):
                W.grad = b.grad = None
                with common.Stopwatch() as watch:
                    read, activity = outputs(x, W, b)
                    (read.square().mean() + 1e-3 * activity).backward()
                seconds[name].append(1e3 * watch.wall)
        print(S, {name: round(float(np.median(t)), 1) for name, t in seconds.items()})


def literal(x: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and activity after four steps of the whole matrix."""
    N = torch.nn.functional.pad(x, (0, len(b) - x.shape[1]))
    activity = torch.zeros(())
    for step in range(4):
        u = N @ W + b
        N = torch.relu(u)
        activity = activity + (N.abs().sum(1).mean() if step < 3 else 0)
    return u[:, -2:], activity


def ours(x: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same by `recur`."""
    relu = ACTIVATIONS["relu"]
    outputs, rows, _ = recur(x, W, b, 2, 4, relu, slice(0, len(b)))
    return outputs, rows.mean()


def measure_diabetes() -> None:
    """Print R² of URN with more and less regularisation, and of layers."""
    X, y = load_diabetes(return_X_y=True)
    models = {
        "URN, default": URNRegressor(TABLE_NODES),
        "URN, dropout=0.2": URNRegressor(TABLE_NODES, dropout=0.2),
        "URN, alpha_weight=0.3": URNRegressor(TABLE_NODES, alpha_weight=0.3),
        "one layer": FeedForwardRegressor(100),
        "two layers": FeedForwardRegressor(hidden_layer_sizes=(100, 100)),
    }
    for name, model in models.items():
        pipeline = make_pipeline(StandardScaler(), model.set_params(random_state=0))
        print(f"{name}: {cross_val_score(pipeline, X, y).mean():.2f}")


# ------------------------------------------------------------------------ command


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "urn.csv")
    add = parser.add_argument
    add(
        "experiments",
        nargs="+",
        choices=["shells", "tables", "defaults", "step", "diabetes", "one"],
    )
    add("--data", type=Path, help="directory of the .npz files, for tables, defaults")
    add("--sets", nargs="+", choices=common.DATA_SETS, default=common.DATA_SETS)
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--free", nargs="+", type=int, default=[200, 400, 1000, 2000])
    add("--steps", nargs="+", type=int, default=[3, 4, 5])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    add("--threads", type=int, default=1)
    add("--report-only", action="store_true", help="measure nothing, only summarise")
    args = parser.parse_args(argv)
    if "tables" in args.experiments and args.data is None and not args.report_only:
        parser.error("--data is needed to measure tables")
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, then summarise."""
    args = get_args(argv)
    if "one" in args.experiments:
        case = args.free[0], args.steps[0], args.seeds[0]
        print(json.dumps(measure_shells(*case, args.threads)))
        return
    with common.one_thread():
        if "step" in args.experiments:
            measure_steps()
        if "diabetes" in args.experiments:
            measure_diabetes()
    if "shells" in args.experiments:
        if not args.report_only:
            run_shells(args)
        report_shells(args)
    if "tables" in args.experiments:
        path = args.csv.with_stem(f"{args.csv.stem}_tables")
        if not args.report_only:
            with common.one_thread():
                run_tables(args, path)
        report_tables(path)
    if "defaults" in args.experiments:
        path = args.csv.with_stem(f"{args.csv.stem}_defaults")
        if not args.report_only:
            with common.one_thread():
                run_defaults(args, path)
        report_defaults(path)


if __name__ == "__main__":
    main()
