"""Time per training step, against MLPClassifier and TorchDEQ.

Milliseconds per step on one data set (default letter), batch 128, one thread, float32
features. Repetitions are interleaved (each contestant once, then each again); median,
smallest and largest are reported with the ratio to MLPClassifier.

For scikit-learn and sknm a step is the time of a fit with many epochs minus that of a
fit with few, divided by the steps between, so what a fit does once cancels out.
TorchDEQ, when it is installed, trains the same model ``z = relu(zW + xU + b)`` with the
weights of a short sknm fit (a random graph without sknm), dense and with the modules'
edges only, with exact implicit gradients and AdamW. All solve to each of the relative
tolerances given; without any, sknm trains as its users do, at 0.1.

    python steps.py --data DIR
    python steps.py --data DIR --n-nodes 100 400 --repeats 7
    python steps.py --data DIR --contestants mlp nm deq --tolerances 0.1 0.01 0.001
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _common as common
import _estimators as estimators
import _repeats as repeats
import _torchdeq as torchdeq

#: Epochs of the sknm fit whose weights TorchDEQ gets.
WARM_UP_EPOCHS = 4
#: Families whose training steps solve to a tolerance.
CYCLIC = ("nm", "nm-dense", "deq")


def measure(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time training steps of all contestants at each number of nodes."""
    data = common.split(args.data, args.data_set, 0)
    for n_nodes in args.n_nodes:
        contestants: dict[str, repeats.Contestant] = {}
        for text in args.contestants:
            spec = sized(estimators.parse_spec(text), n_nodes)
            for tol in args.tolerances if spec.family in CYCLIC else [None]:
                name = text if tol is None else f"{text} {tol:g}"
                contestants[name] = estimator_contestant(args, spec, data, tol)
        contestants |= torchdeq_contestants(args, n_nodes, data)
        recorder.interleave("step", contestants, n_nodes, "ms", args.repeats)


# ---------------------------------------------------------------------- estimators


def sized(spec: estimators.Spec, n_nodes: int) -> estimators.Spec:
    """Return a specification with a number of nodes that never stops early."""
    endless = {"tol": 0.0, "n_iter_no_change": 10**6} if spec.family == "mlp" else {}
    params = endless | spec.params
    return dataclasses.replace(spec, n_nodes=n_nodes, params=params)


def train(
    args: argparse.Namespace, spec: estimators.Spec, data: common.Split, epochs: int
) -> tuple[Any, float]:
    """Fit for some epochs, and return the estimator and the seconds it took."""
    fixed = {"batch_size": args.batch_size, "max_iter": epochs}
    spec = dataclasses.replace(spec, params=spec.params | fixed)
    estimator = spec.build(0, data.n_features, data.n_classes)
    return estimator, getattr(repeats.time_fit(estimator, data), args.clock)


def estimator_contestant(
    args: argparse.Namespace,
    spec: estimators.Spec,
    data: common.Split,
    tolerance: float | None = None,
) -> repeats.Contestant:
    """Return a function that measures milliseconds per step of an estimator."""
    few, many = args.epochs
    steps = (many - few) * -(-len(data.X_train) // args.batch_size)

    def run() -> tuple[float, str]:
        with solving_to(tolerance):
            _, short = train(args, spec, data, few)
            estimator, long = train(args, spec, data, many)
        facts = estimators.module_facts(estimator)
        note = f"{facts['n_modules']} modules" if facts else ""
        return 1e3 * (long - short) / steps, note

    return run


@contextlib.contextmanager
def solving_to(tolerance: float | None) -> Iterator[None]:
    """Have sknm's training steps solve to a tolerance, its own if it is None."""
    if tolerance is None:
        yield
        return
    solved = importlib.import_module("sknm.solved")
    usual, solved.TRAINING_TOLERANCE = solved.TRAINING_TOLERANCE, tolerance
    try:
        yield
    finally:
        solved.TRAINING_TOLERANCE = usual


# ------------------------------------------------------------------------ TorchDEQ


def torchdeq_contestants(
    args: argparse.Namespace, n_nodes: int, data: common.Split
) -> dict[str, repeats.Contestant]:
    """Return TorchDEQ's solvers at each tolerance, on a dense and a modular graph."""
    if not torchdeq.is_installed():
        print("TorchDEQ is not installed (pip install torchdeq): left out")
        return {}
    return {
        f"torchdeq {solver} {tol:g} {graph}": torchdeq_contestant(
            args, torchdeq.Trainer(parameters, solver, tol), data
        )
        for graph, parameters in same_model(args, n_nodes, data).items()
        for tol in args.tolerances
        for solver in torchdeq.SOLVERS
    }


def same_model(
    args: argparse.Namespace, n_nodes: int, data: common.Split
) -> dict[str, torchdeq.Parameters]:
    """Return the weights of an sknm fit of a few epochs, dense and modular."""
    try:
        import sknm  # noqa: F401
    except ImportError:
        print("sknm is not installed: TorchDEQ gets a random graph")
        shape = (data.n_features, n_nodes, data.n_classes)
        return {"random": torchdeq.random_parameters(*shape)}
    graphs = {}
    for graph, text in {"dense": "deq:scale=None", "modules": "nm:scale=None"}.items():
        spec = sized(estimators.parse_spec(text), n_nodes)
        estimator, _ = train(args, spec, data, WARM_UP_EPOCHS)
        graphs[graph] = fitted_parameters(estimator)
    return graphs


def fitted_parameters(estimator: Any) -> torchdeq.Parameters:
    """Return the weights and edges of a fitted estimator."""
    return torchdeq.Parameters(
        U=estimator.input_weights_,
        W=estimator.node_weights_,
        b=estimator.node_biases_,
        V=estimator.output_weights_,
        c=estimator.output_biases_,
        mask=estimator.topology_.edges.toarray(),
    )


def torchdeq_contestant(
    args: argparse.Namespace, trainer: torchdeq.Trainer, data: common.Split
) -> repeats.Contestant:
    """Return a function that measures milliseconds per step of TorchDEQ."""
    draw = torchdeq.batches(data.X_train, data.y_train, args.batch_size)

    def run() -> tuple[float, str]:
        trainer.step(*draw())
        with common.Stopwatch() as watch:
            for _ in range(args.torchdeq_steps):
                info = trainer.step(*draw())
        seconds = getattr(watch, args.clock)
        return 1e3 * seconds / args.torchdeq_steps, trainer.report(info)

    return run


# ------------------------------------------------------------------------- command


def draw(summary: list[dict[str, Any]], path: Path) -> None:
    """Plot milliseconds per step, one panel per number of nodes."""
    counts = sorted({line["n_nodes"] for line in summary})
    size = (7 * len(counts), 1.5 + 0.3 * len(summary) / len(counts))
    figure, (row,) = common.new_figure(len(counts), size=size)
    for axes, n_nodes in zip(row, counts, strict=True):
        lines = [line for line in summary if line["n_nodes"] == n_nodes]
        repeats.draw_dots(axes, lines, "ms per training step", log=True)
        axes.set_title(f"{n_nodes} nodes")
    common.save_figure(figure, path)


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "steps.csv")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="directory of the .npz files")
    add("--data-set", default="letter")
    add("--contestants", nargs="+", default=["mlp", "nm", "deq"], metavar="SPEC")
    add("--n-nodes", nargs="+", type=int, default=[100, 400])
    add("--batch-size", type=int, default=128)
    add("--epochs", nargs=2, type=int, default=[2, 8], metavar=("FEW", "MANY"))
    add("--tolerances", nargs="+", type=float, default=[0.1])
    add("--torchdeq-steps", type=int, default=100, help="steps per repetition")
    add("--repeats", type=int, default=5)
    add("--clock", choices=["wall", "cpu"], default="wall")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, then summarise this run."""
    args = get_args(argv)
    recorder = repeats.Recorder(args.csv)
    with common.one_thread():
        measure(args, recorder)
    draw(repeats.report(recorder, "mlp"), common.figure_path(args))


if __name__ == "__main__":
    main()
