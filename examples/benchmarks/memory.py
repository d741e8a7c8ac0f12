"""Peak memory of one fit, in the process that this script is.

Prints, as JSON, the largest resident set (MiB) after the imports (torch included, for
every estimator), after the data have been made (normal float32 features, ten classes
of a random linear map), and after `fit`. Run one estimator per process; ``costs.py``
does so.

    python memory.py nm:n_nodes=1000,max_iter=3
    python memory.py mlp-1000 --rows 20000 --features 100
"""

from __future__ import annotations

import argparse
import json
import warnings

import _common as common
import _estimators as estimators
import numpy as np
from sklearn.exceptions import ConvergenceWarning

N_CLASSES = 10


def make_data(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 features and the classes that a random linear map gives them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, features), dtype=np.float32)
    scores = X @ rng.standard_normal((features, N_CLASSES), dtype=np.float32)
    return X, scores.argmax(axis=1)


def measure(spec: estimators.Spec, rows: int, features: int) -> dict[str, float]:
    """Return the peaks, in order."""
    with common.one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = spec.build(0, features, N_CLASSES)
        peaks = {"imports": common.peak_rss_mib()}
        X, y = make_data(rows, features)
        peaks["data"] = common.peak_rss_mib()
        estimator.fit(X, y)
        return peaks | {"fit": common.peak_rss_mib()}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("estimator", help="FAMILY[-NODES][:KEY=VALUE,...]")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=100)
    args = parser.parse_args()
    spec = estimators.parse_spec(args.estimator)
    print(json.dumps(measure(spec, args.rows, args.features)))


if __name__ == "__main__":
    main()
