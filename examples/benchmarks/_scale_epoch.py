"""One epoch of Neural Modules, and its peak memory, in the process that this script is.

``scale.py`` runs it. Prints, as JSON, the seconds of a fit with one epoch (drawing and
settling the graph are part of it) and the largest resident set (MiB).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import _common as common
import _repeats as repeats
import _scale_steps as steps
import numpy as np
from sklearn.preprocessing import StandardScaler

DATA_SET, N_FEATURES = "gas_drift_batchz", 64


def draw_rows(data_dir: Path, n_rows: int) -> common.Split:
    """Return so many rows of a seeded shuffle, all of them for training."""
    X, y = common.load(data_dir, DATA_SET)
    rows = np.random.default_rng(0).permutation(len(y))[:n_rows]
    X = StandardScaler().fit_transform(X[rows, :N_FEATURES]).astype(np.float32)
    return common.Split(X, X[:0], y[rows], y[:0])


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Fit for one epoch, and return seconds and peak."""
    data = draw_rows(args.data, args.rows)
    options = {"max_iter": 1, "n_jobs": args.n_jobs}
    spec = steps.modular(args.n_nodes, args.module_size, **options)
    estimator = spec.build(0, data.n_features, data.n_classes)
    before = common.peak_rss_mib()
    with common.one_thread():
        watch = repeats.time_fit(estimator, data)
    shape = " x ".join(map(str, data.X_train.shape))
    note = f"{shape} rows, {estimator.n_modules_} modules, {before:.0f} MiB before fit"
    return {"seconds": watch.wall, "peak": common.peak_rss_mib(), "note": note}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("n_nodes", type=int)
    add("--data", type=Path, required=True, help="directory of the .npz files")
    add("--rows", type=int, default=13_000)
    add("--module-size", type=int, default=50)
    add("--n-jobs", type=int, default=2)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
