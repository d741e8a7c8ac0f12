"""Shared by the benchmarks: data sets, splits, threads, CSV files and figures.

A data directory holds one ``NAME.npz`` per data set with ``X`` (rows by features;
uint8 for images), ``y`` (int64 codes) and, where there are categorical columns,
``cat_mask`` (bool per column) and ``categories`` (a JSON text, column name to list of
levels). NaN is a missing value. A sparse set of ones has ``X_indices``, ``X_indptr``
and ``X_shape`` instead of ``X``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

#: The twelve sets of the benchmarks, from few rows to many.
DATA_SETS = (
    "vehicle",
    "yeast",
    "car",
    "segment",
    "spambase",
    "wine_quality_white",
    "optdigits",
    "gas_drift_raw_8of10",
    "pendigits",
    "codon_usage_5kingdoms",
    "magic_telescope",
    "letter",
)
#: Ten sets whose tables have categories, and some of them gaps.
RAW_TABLES = (
    "adult",
    "bank_marketing",
    "credit_g",
    "car",
    "nursery",
    "mushroom",
    "soybean",
    "kr_vs_kp",
    "splice",
    "abalone",
)
TEST_SHARE = 0.25


@dataclass(frozen=True)
class Split:
    """One data set cut in two: standardised float32, or frames as they are."""

    X_train: Any
    X_test: Any
    y_train: np.ndarray
    y_test: np.ndarray

    @property
    def n_features(self) -> int:
        """Columns, after one-hot encoding but for frames."""
        return self.X_train.shape[1]

    @property
    def n_classes(self) -> int:
        """Classes among the training rows."""
        return len(np.unique(self.y_train))


# --------------------------------------------------------------------------- data


def load(data_dir: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows of a data set as ``X`` (float32, may have NaN) and ``y``."""
    with _open(data_dir, name) as archive:
        X = _features(archive)
        if "cat_mask" in archive.files and archive["cat_mask"].any():
            levels = list(json.loads(str(archive["categories"])).values())
            X = one_hot(X, archive["cat_mask"], levels)
        return X, archive["y"].astype(np.int64)


def load_frame(data_dir: Path, name: str) -> tuple[Any, np.ndarray]:
    """Return all rows as a frame of pandas, categories and gaps as such, and ``y``."""
    import pandas as pd

    with _open(data_dir, name) as archive:
        X, y = archive["X"], archive["y"].astype(np.int64)
        names = archive["feature_names"] if "feature_names" in archive.files else None
        levels, categorical = _categories(archive)
    frame = pd.DataFrame(X, columns=None if names is None else names.astype(str))
    frame.columns = [str(column) for column in frame.columns]
    for k, names in zip(categorical, levels.values(), strict=True):
        codes = np.where(np.isnan(X[:, k]), -1, X[:, k]).astype(int)
        values = pd.Categorical.from_codes(codes, [str(level) for level in names])
        frame[frame.columns[k]] = values
    return frame, y


def _categories(archive: np.lib.npyio.NpzFile) -> tuple[dict[str, Any], np.ndarray]:
    """Return the levels of categorical columns, and which columns these are."""
    if "cat_mask" not in archive.files:
        return {}, np.empty(0, int)
    mask = archive["cat_mask"]
    return json.loads(str(archive["categories"])), np.flatnonzero(mask)


def load_sparse(data_dir: Path, name: str) -> tuple[csr_matrix, np.ndarray]:
    """Return all rows of a sparse data set of ones: ``X`` (float32) and ``y``."""
    with _open(data_dir, name) as archive:
        return _sparse_features(archive), archive["y"].astype(np.int64)


def class_numbers(data_dir: Path, name: str) -> np.ndarray:
    """Return what the classes are called as numbers, where they are numbers."""
    with _open(data_dir, name) as archive:
        return archive["target_names"].astype(str).astype(np.float64)[archive["y"]]


def kind(data_dir: Path, name: str) -> str:
    """Return whether a data set is a "table", or of "image" or "sparse" rows."""
    with _open(data_dir, name) as archive:
        if "X_indices" in archive.files:
            return "sparse"
        return "image" if _header(archive)[1] == np.uint8 else "table"


def shape(data_dir: Path, name: str) -> tuple[int, int]:
    """Return rows and columns of a data set without reading them."""
    with _open(data_dir, name) as archive:
        if "X_indices" in archive.files:
            return tuple(int(n) for n in archive["X_shape"])
        return _header(archive)[0]


def _header(archive: np.lib.npyio.NpzFile) -> tuple[tuple[int, int], np.dtype]:
    """Return shape and type of the features without reading them."""
    with archive.zip.open("X.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype


def _open(data_dir: Path, name: str) -> np.lib.npyio.NpzFile:
    """Open the file of a data set."""
    path = Path(data_dir) / f"{name}.npz"
    if not path.exists():
        raise SystemExit(f"{path} does not exist: is --data the right directory?")
    return np.load(path, allow_pickle=False)


def _sparse_features(archive: np.lib.npyio.NpzFile) -> csr_matrix:
    """Return the feature matrix of a sparse data set."""
    ones = np.ones(len(archive["X_indices"]), np.float32)
    parts = (ones, archive["X_indices"], archive["X_indptr"])
    return csr_matrix(parts, shape=tuple(archive["X_shape"]))


def _features(archive: np.lib.npyio.NpzFile) -> np.ndarray:
    """Return the feature matrix as dense float32, images scaled to [0, 1]."""
    if "X_indices" in archive.files:
        return _sparse_features(archive).toarray()
    X = archive["X"]
    return X.astype(np.float32) / (255 if X.dtype == np.uint8 else 1)


def one_hot(
    X: np.ndarray, cat_mask: np.ndarray, levels: Sequence[Sequence[str]]
) -> np.ndarray:
    """Replace the columns in ``cat_mask`` by one indicator per level.

    ``levels`` lists the levels of each categorical column in column order; a missing
    code becomes a row of zeros.
    """
    columns = np.flatnonzero(cat_mask)
    codes = [
        X[:, [column]] == np.arange(len(names))
        for column, names in zip(columns, levels, strict=True)
    ]
    return np.hstack([X[:, ~cat_mask], *codes]).astype(np.float32)


def impute(X_train: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill NaN by the training rows' median of the column (0 if it has no value)."""
    if not (np.isnan(X_train).any() or np.isnan(X_test).any()):
        return X_train, X_test
    empty = np.isnan(X_train).all(axis=0)
    median = np.zeros(X_train.shape[1], X_train.dtype)
    median[~empty] = np.nanmedian(X_train[:, ~empty], axis=0)
    return tuple(np.where(np.isnan(X), median, X) for X in (X_train, X_test))


def train_test_rows(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut all rows 75/25, stratified; the one row of a class of one is for training."""
    labels, counts = np.unique(y, return_counts=True)
    alone = np.isin(y, labels[counts < 2])
    rows = np.flatnonzero(~alone)
    train, test = train_test_split(
        rows, test_size=TEST_SHARE, stratify=y[rows], random_state=seed
    )
    return np.concatenate([train, np.flatnonzero(alone)]), test


def split(data_dir: Path, name: str, seed: int, is_raw: bool = False) -> Split:
    """Load, cut by ``seed``, impute and standardise one data set.

    All rows are used, published train/test splits are not: each seed draws a new
    stratified shuffle of 75 % training and 25 % test rows. Medians, means and scales
    come from the training rows. Raw data are not standardised.
    """
    X, y = load(data_dir, name)
    train, test = train_test_rows(y, seed)
    X_train, X_test = impute(X[train], X[test])
    if is_raw:
        return Split(X_train, X_test, y[train], y[test])
    scaler = StandardScaler().fit(X_train.astype(np.float64))
    return Split(
        scaler.transform(X_train).astype(np.float32),
        scaler.transform(X_test).astype(np.float32),
        y[train],
        y[test],
    )


def split_frame(data_dir: Path, name: str, seed: int) -> Split:
    """Load and cut a table by ``seed``; its columns stay as they are."""
    X, y = load_frame(data_dir, name)
    train, test = train_test_rows(y, seed)
    return Split(X.iloc[train], X.iloc[test], y[train], y[test])


# ------------------------------------------------------------- threads and clocks


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS, OpenMP and torch on one thread inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


class Stopwatch:
    """Wall-clock and processor seconds spent in a ``with`` block."""

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu


def peak_rss_mib() -> float:
    """Return this process' largest resident set so far in MiB."""
    with contextlib.suppress(OSError):
        # Linux counts a parent's memory in a child's ru_maxrss, but not in VmHWM.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def session() -> str:
    """Return a name for this process, to tell rows of one run from another's."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def machine(threads: str = "one thread") -> str:
    """Name processor, cores, versions and threads, for the heading of a report."""
    import sklearn
    import torch

    return (
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, scikit-learn {sklearn.__version__}; {threads}"
    )


def _processor() -> str:
    """Return the processor's model name, or its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


# --------------------------------------------------------------------------- files


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, none if there is no file."""
    if not Path(path).exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def append_row(path: Path, columns: Sequence[str], row: dict[str, object]) -> None:
    """Add one row to a CSV file, which gets a heading when it is new."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists() or path.stat().st_size == 0
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if is_new:
            writer.writeheader()
        writer.writerow({name: cell_text(row.get(name)) for name in columns})


def cell_text(value: object) -> str:
    """Write floats with six significant digits, None and NaN as an empty cell."""
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def number(cell: str) -> float:
    """Read a cell of a CSV file back; an empty one is NaN."""
    return float(cell) if cell else float("nan")


def done(rows: Iterable[dict[str, str]], keys: Sequence[str]) -> set[tuple[str, ...]]:
    """Return which combinations of ``keys`` the rows already hold."""
    return {tuple(row[key] for key in keys) for row in rows}


def markdown_table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns."""
    lines = [list(header), *[list(line) for line in body]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def new_figure(n_columns: int = 1, n_rows: int = 1, size: tuple[float, float] = (8, 4)):
    """Return a matplotlib figure and its axes (rows by columns), without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(n_rows, n_columns, figsize=size, squeeze=False)


def plain_ticks(axis) -> None:
    """Write the numbers of a logarithmic axis as 0.5 or 2, not as powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def save_figure(figure, path: Path) -> None:
    """Write a figure tightly cropped and say so."""
    figure.tight_layout()
    figure.savefig(path, dpi=150, bbox_inches="tight")
    print(f"wrote {path}")


# ----------------------------------------------------------------------- arguments


def parser(description: str | None, csv_path: str) -> argparse.ArgumentParser:
    """Return a parser with the options of the output files."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output_options(result, csv_path)
    return result


def add_output_options(parser: argparse.ArgumentParser, csv_path: str) -> None:
    """Add ``--csv`` and ``--figure``; results are kept out of the checkout."""
    path = Path(tempfile.gettempdir()) / "sknm_benchmarks" / csv_path
    parser.add_argument(
        "--csv", type=Path, default=path, help="results (default: %(default)s)"
    )
    parser.add_argument(
        "--figure", type=Path, help="figure file (default: the CSV file's name, .png)"
    )


def study(
    description: str | None,
    csv_path: str,
    contestants: Sequence[str],
    seeds: Sequence[int],
) -> argparse.ArgumentParser:
    """Return a parser for contestants of a family of sknm's on splits of the sets."""
    result = parser(description, csv_path)
    add = result.add_argument
    add("--data", type=Path, help="folder of the data sets")
    add("--family", default="NeuralModuleClassifier")
    add("--sets", nargs="+", default=DATA_SETS)
    add("--seeds", nargs="+", type=int, default=list(seeds))
    add("--rows", type=int, default=3000)
    add("--contestants", nargs="+", default=list(contestants), choices=contestants)
    add("--report-only", action="store_true")
    return result


def measure_missing(
    args: argparse.Namespace,
    keys: Sequence[str],
    key_of: Callable[[argparse.Namespace, str, str, int], tuple[str, ...]],
    measure: Callable[[argparse.Namespace, str, str, int], None],
) -> None:
    """Measure what the CSV file doesn't hold: seeds, then sets, then contestants."""
    if args.data is None:
        raise SystemExit("--data is needed, but with --report-only")
    there = done(read_rows(args.csv), keys)
    with one_thread():
        for seed in args.seeds:
            for name in args.sets:
                for contestant in args.contestants:
                    if key_of(args, contestant, name, seed) not in there:
                        measure(args, contestant, name, seed)


def figure_path(args: argparse.Namespace, suffix: str = "") -> Path:
    """Return where the figure goes: ``--figure`` or beside the CSV file."""
    path = args.figure or args.csv.with_suffix(".png")
    return path.with_stem(path.stem + suffix)
