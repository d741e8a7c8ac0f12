"""The data of ``field.py``: tables as they are, cut into training and test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _common as common
import numpy as np
from sklearn.datasets import (
    load_diabetes,
    make_friedman1,
    make_friedman2,
    make_friedman3,
    make_swiss_roll,
)
from sklearn.model_selection import train_test_split

#: Two files of one published set, each lacking something of it: one the scale of its
#: numbers, the other two of ten batches. As classification sets they don't count.
INCOMPLETE = ("gas_drift_batchz", "gas_drift_raw_8of10")
GENERATED_ROWS = 2000


@dataclass(frozen=True)
class Task:
    """One data set cut in two, and what kind of set it is.

    ``kind`` is "table" (a frame of pandas), "image" (an array of pixels in [0, 1]) or
    "sparse" (a matrix of scipy); ``classes`` are those of all rows, None for numbers.
    """

    name: str
    kind: str
    X_train: Any
    X_test: Any
    y_train: np.ndarray
    y_test: np.ndarray
    classes: np.ndarray | None

    @property
    def shape(self) -> dict[str, int]:
        """Training rows, columns, and classes: the columns of a row of results."""
        n_rows, n_columns = self.X_train.shape
        n_classes = 0 if self.classes is None else len(self.classes)
        return {"n_train": n_rows, "n_features": n_columns, "n_classes": n_classes}

    @property
    def n_inputs(self) -> int:
        """Columns, each level of a category counting as one."""
        if self.kind != "table":
            return self.X_train.shape[1]
        kinds = self.X_train.dtypes
        return sum(len(k.categories) if hasattr(k, "categories") else 1 for k in kinds)

    def subset(self, train: np.ndarray, test: np.ndarray) -> Task:
        """Return a task within the training rows."""
        return Task(
            self.name,
            self.kind,
            rows_of(self.X_train, train),
            rows_of(self.X_train, test),
            self.y_train[train],
            self.y_train[test],
            self.classes,
        )


def rows_of(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of a frame, an array, or a sparse matrix."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


# ------------------------------------------------------------------ classification


def classification_sets(data_dir: Path, most_rows: int) -> list[str]:
    """Return the names of all sets that count, from small to large."""
    names = [path.stem for path in Path(data_dir).glob("*.npz")]
    names = [name for name in names if name not in INCOMPLETE]
    return sorted(names, key=lambda name: (_size(data_dir, name, most_rows), name))


def _size(data_dir: Path, name: str, most_rows: int) -> int:
    """Return rows by columns, as far as rows are taken."""
    n_rows, n_columns = common.shape(data_dir, name)
    return min(n_rows, most_rows) * n_columns


def load_classification(
    data_dir: Path, name: str, most_rows: int
) -> tuple[str, Any, np.ndarray]:
    """Return kind, rows and classes; a stratified subset where there are many rows."""
    kind = common.kind(data_dir, name)
    loaders = {
        "table": common.load_frame,
        "image": common.load,
        "sparse": common.load_sparse,
    }
    X, y = loaders[kind](data_dir, name)
    rows = subsample(y, most_rows)
    return kind, rows_of(X, rows), y[rows]


def subsample(y: np.ndarray, most_rows: int) -> np.ndarray:
    """Return `most_rows` rows with all classes in proportion, the same each time."""
    if len(y) <= most_rows:
        return np.arange(len(y))
    rows, _ = train_test_split(
        np.arange(len(y)), train_size=most_rows, stratify=y, random_state=0
    )
    return rows


# ---------------------------------------------------------------------- regression


def _diabetes(data_dir: Path | None) -> tuple[Any, np.ndarray]:
    return load_diabetes(return_X_y=True, as_frame=True)


def _codes_as_numbers(name: str) -> Callable[[Path], tuple[Any, np.ndarray]]:
    """Return a loader of a set whose classes are numbers in their order."""

    def load(data_dir: Path) -> tuple[Any, np.ndarray]:
        X, _ = common.load_frame(data_dir, name)
        return X, common.class_numbers(data_dir, name)

    return load


def _generated(make: Callable[..., Any]) -> Callable[[Path | None], Any]:
    """Return a loader of a generated set."""

    def load(data_dir: Path | None) -> tuple[Any, np.ndarray]:
        import pandas as pd

        X, y = make(GENERATED_ROWS)
        return pd.DataFrame(X).rename(columns=lambda k: f"x{k}"), y

    return load


#: name -> loader(data_dir); what scikit-learn brings, sets whose classes are numbers,
#: and functions of which the noise is known.
REGRESSION_SETS: dict[str, Callable[..., tuple[Any, np.ndarray]]] = {
    "diabetes": _diabetes,
    "friedman1": _generated(lambda n: make_friedman1(n, noise=1, random_state=0)),
    "friedman2": _generated(lambda n: make_friedman2(n, noise=125, random_state=0)),
    "friedman3": _generated(lambda n: make_friedman3(n, noise=0.1, random_state=0)),
    "swiss_roll": _generated(lambda n: make_swiss_roll(n, noise=0.5, random_state=0)),
    "abalone_rings": _codes_as_numbers("abalone"),
    "wine_quality": _codes_as_numbers("wine_quality_white"),
}


# --------------------------------------------------------------------------- tasks


class Loader:
    """Cuts data sets by seeds; the set that was asked for last stays in memory."""

    def __init__(self, data_dir: Path | None, most_rows: int, regression: bool) -> None:
        self.data_dir, self.most_rows = data_dir, most_rows
        self.is_regression = regression
        self._name: str | None = None
        self._rows: tuple[str, Any, np.ndarray] | None = None

    def task(self, name: str, seed: int) -> Task:
        """Return a data set, cut by a seed."""
        if name != self._name:
            self._rows, self._name = self._load(name), name
        kind, X, y = self._rows
        if self.is_regression:
            train, test = train_test_split(
                np.arange(len(y)), test_size=common.TEST_SHARE, random_state=seed
            )
        else:
            train, test = common.train_test_rows(y, seed)
        classes = None if self.is_regression else np.unique(y)
        parts = rows_of(X, train), rows_of(X, test), y[train], y[test]
        return Task(name, kind, *parts, classes)

    def _load(self, name: str) -> tuple[str, Any, np.ndarray]:
        if not self.is_regression:
            return load_classification(self.data_dir, name, self.most_rows)
        X, y = REGRESSION_SETS[name](self.data_dir)
        return "table", X, np.asarray(y, np.float64)
