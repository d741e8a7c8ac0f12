"""What a model costs beside its training steps: prediction, overhead, import, memory.

On one thread, with float32 features. Median, smallest and largest over repetitions,
interleaved where there is a comparison. The measures:

predict   Seconds for `predict` on 100 000 rows of 64 features, resampled from
          optdigits with noise, by a default NeuralModuleClassifier and by an
          MLPClassifier with as many nodes, both fitted on optdigits.
overhead  Share of a default fit spent outside the training steps' arithmetic:
          validation, components, history, drawing batches, conversions.
import    Milliseconds that importing sknm adds to torch and scikit-learn, in fresh
          processes.
memory    Peak resident set (MiB) of fit at 1000 nodes on 20 000 x 100 rows, in a fresh
          process; the note has what was there after the imports.

    python costs.py --data DIR
    python costs.py --data DIR --measures predict overhead --repeats 7
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _common as common
import _estimators as estimators
import _repeats as repeats
import numpy as np

# ------------------------------------------------------------------------- predict


def measure_predict(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time `predict` on many rows."""
    data = common.split(args.data, "optdigits", 0)
    shape = (data.n_features, data.n_classes)
    modular = estimators.parse_spec("nm").build(0, *shape)
    mlp = estimators.parse_spec(f"mlp-{modular.n_nodes}").build(0, *shape)
    X = many_rows(data.X_test, args.predict_rows)
    contestants = {}
    for name, estimator in {"mlp": mlp, "nm": modular}.items():
        repeats.time_fit(estimator, data)
        contestants[name] = predict_contestant(args, estimator, X)
    recorder.interleave("predict", contestants, modular.n_nodes, "s", args.repeats)


def many_rows(X: np.ndarray, n_rows: int) -> np.ndarray:
    """Draw rows with replacement and add a little noise."""
    rng = np.random.default_rng(0)
    rows = X[rng.integers(len(X), size=n_rows)]
    return rows + 0.1 * rng.standard_normal(rows.shape, dtype=np.float32)


def predict_contestant(
    args: argparse.Namespace, estimator: Any, X: np.ndarray
) -> repeats.Contestant:
    """Return a function that measures the seconds of one `predict`."""

    def run() -> tuple[float, str]:
        with common.Stopwatch() as watch:
            estimator.predict(X)
        return getattr(watch, args.clock), f"{len(X)} rows"

    return run


# ------------------------------------------------------------------------ overhead

#: What a fit's time is divided by: the steps of the optimiser with all that belongs to
#: them, and the search for components, which happens inside of some steps.
STEP_METHOD = ("sknm.training.net", "TrainingNet", "train_step")
COMPONENTS_METHOD = ("sknm.plasticity.modular", "ModularRule", "_look")


def measure_overhead(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Divide the time of default fits into the steps' arithmetic and the rest."""
    spec = estimators.parse_spec("nm")
    for name in args.overhead_sets:
        data = common.split(args.data, name, 0)
        for _ in range(args.repeats):
            estimator = spec.build(0, data.n_features, data.n_classes)
            share, note = overhead_share(estimator, data)
            recorder.add("overhead", name, estimator.n_nodes, share, "%", note)


def overhead_share(estimator: Any, data: common.Split) -> tuple[float, str]:
    """Return the percentage of fit outside the arithmetic, and its parts."""
    with clocked(*STEP_METHOD) as steps, clocked(*COMPONENTS_METHOD) as components:
        total = repeats.time_fit(estimator, data).wall
    arithmetic = sum(steps) - sum(components)
    note = (
        f"fit {total:.2f} s, {len(steps)} steps {sum(steps):.2f} s, of these "
        f"components {sum(components):.2f} s in {len(components)} calls"
    )
    return 100 * (1 - arithmetic / total), note


@contextlib.contextmanager
def clocked(module: str, cls: str, method: str) -> Iterator[list[float]]:
    """Collect the seconds of each call of a method while the block runs."""
    owner = getattr(importlib.import_module(module), cls)
    original = getattr(owner, method)
    seconds: list[float] = []

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - start)

    setattr(owner, method, wrapper)
    try:
        yield seconds
    finally:
        setattr(owner, method, original)


# --------------------------------------------------------------- import and memory

#: name -> what is imported first, and what is timed after it.
IMPORTS = {
    "sknm": ("import torch, sklearn", "import sknm"),
    "NeuralModuleClassifier": (
        "import torch, sklearn.neural_network",
        "from sknm import NeuralModuleClassifier",
    ),
}


def measure_import(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time imports in fresh processes, after one that fills the caches."""
    contestants = {
        name: import_contestant(first, timed)
        for name, (first, timed) in IMPORTS.items()
    }
    for run in contestants.values():
        run()
    recorder.interleave("import", contestants, 0, "ms", args.import_repeats)


def import_contestant(first: str, timed: str) -> repeats.Contestant:
    """Return a function that measures one import after others."""
    code = (
        f"import time\n{first}\nstart = time.perf_counter()\n{timed}\n"
        "print(1e3 * (time.perf_counter() - start))"
    )
    return lambda: (float(child("-c", code)), f"{timed} (after {first})")


def measure_memory(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Measure the peak of large fits, each in a fresh process."""
    script = str(Path(__file__).with_name("memory.py"))
    for name in ("mlp", "nm", "nm-dense"):
        spec = f"{name}-1000:max_iter={args.memory_epochs}"
        peaks = json.loads(child(script, spec))
        note = ", ".join(f"after {what} {peak:.0f}" for what, peak in peaks.items())
        recorder.add("memory", name, 1000, peaks["fit"], "MiB", note)


def child(*arguments: str) -> str:
    """Run Python in a fresh process, and return what it prints."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# ------------------------------------------------------------------------- command

MEASURES = {
    "predict": measure_predict,
    "overhead": measure_overhead,
    "import": measure_import,
    "memory": measure_memory,
}


def draw(summary: list[dict[str, Any]], path: Path) -> None:
    """Plot one panel per measure."""
    names = list(dict.fromkeys(line["measure"] for line in summary))
    size = (8, 1.7 * len(names))
    figure, axes = common.new_figure(n_rows=len(names), size=size)
    for (panel,), name in zip(axes, names, strict=True):
        lines = [line for line in summary if line["measure"] == name]
        label = f"{name} ({lines[0]['unit']})"
        repeats.draw_dots(panel, lines, label, log=False)
    common.save_figure(figure, path)


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "costs.csv")
    add = parser.add_argument
    add("--data", type=Path, help="directory of the .npz files")
    add("--measures", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    add("--predict-rows", type=int, default=100_000)
    add("--overhead-sets", nargs="+", default=["vehicle", "letter"], metavar="NAME")
    add("--memory-epochs", type=int, default=3)
    add("--repeats", type=int, default=5)
    add("--import-repeats", type=int, default=7)
    add("--clock", choices=["wall", "cpu"], default="wall", help="for predict")
    args = parser.parse_args(argv)
    if args.data is None and {"predict", "overhead"} & set(args.measures):
        parser.error("--data is needed for predict and overhead")
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure what was asked for, then summarise this run."""
    args = get_args(argv)
    recorder = repeats.Recorder(args.csv)
    with common.one_thread():
        for name in args.measures:
            MEASURES[name](args, recorder)
    draw(repeats.report(recorder, "mlp"), common.figure_path(args))


if __name__ == "__main__":
    main()
