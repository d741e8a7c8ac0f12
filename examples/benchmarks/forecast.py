"""How near ``estimate_cost`` comes to what a fit takes, in time and in memory.

Each estimator is asked, and then fitted, in a process of its own: on the digits (1797
rows, 64 features), with the defaults. Prints a line for each: how long asking took, the
seconds that were forecast and those of the fit, and the same of the peak memory above
what was in use before (MiB; on Linux only, where the peak can be reset).

    python forecast.py
    python forecast.py --estimators NeuralModuleClassifier --repeats 3
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import time
import warnings
from pathlib import Path

import _common as common
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import sknm

ESTIMATORS = (
    "NeuralModuleClassifier",
    "FreeNetClassifier",
    "URNClassifier",
    "DEQClassifier",
    "FeedForwardClassifier",
)
HEADER = "estimator, seconds to ask, forecast, fit, ratio; MiB forecast, fit, ratio"


def reset_peak() -> None:
    """Begin the peak of memory anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Return the peak of memory since it was reset, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(name: str, seed: int) -> str:
    """Ask an estimator, fit it, and compare."""
    X, y = load_digits(return_X_y=True)
    kind = getattr(sknm, name)
    with common.one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        kind(20, max_iter=1).fit(X, y)  # all that is loaded late is there
        model = kind(random_state=seed)
        start = time.perf_counter()
        told = model.estimate_cost(X, y)
        asked = time.perf_counter() - start
        reset_peak()
        before, start = peak(), time.perf_counter()
        model.fit(X, y)
        took, grown = time.perf_counter() - start, peak() - before
    mib = told.bytes / 2**20
    return (
        f"{name}, {asked:.2f}, {told.seconds:.2f}, {took:.2f}, "
        f"{told.seconds / took:.2f}; {mib:.0f}, {grown:.0f}, {mib / grown:.2f}"
    )


def main() -> None:
    """Run the estimators one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimators", nargs="+", default=ESTIMATORS)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    print(HEADER)
    context = multiprocessing.get_context("spawn")
    for name in args.estimators:
        for seed in range(args.repeats):
            with context.Pool(1) as pool:
                print(pool.apply(measure, (name, seed)), flush=True)


if __name__ == "__main__":
    main()
