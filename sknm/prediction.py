"""Predictions in chunks of rows, and how well their node values were found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from sknm._warnings import warn
from sknm.compute.rows import CHUNK_INPUTS, Inputs, Rows
from sknm.compute.settings import own_settings
from sknm.graph.problem import Solution
from sknm.training.network import Network, at_work


@dataclass
class SolveStats:
    """How well the node values of many rows were found."""

    iterations: int = 0
    residual: float = 0.0
    n_open: int = 0
    n_infinite: int = 0
    n_rows: int = 0

    def add(self, solution: Solution, values: np.ndarray) -> None:
        """Count one chunk of rows.

        Parameters
        ----------
        solution : Solution
            Of the chunk.
        values : ndarray of shape (n_samples, n_values)
            What comes of it.
        """
        converged, residual = solution.converged.cpu().numpy(), solution.residual
        finite = are_finite(values)
        if not finite.all():
            converged, residual = converged & finite, np.inf
        self.iterations = max(self.iterations, solution.n_iter)
        # Unlike Python's max, this lets a NaN through, whichever comes first.
        self.residual = float(np.maximum(self.residual, residual))
        self.n_open += int((~converged).sum())
        self.n_infinite += int((~finite).sum())
        self.n_rows += len(converged)

    def as_dict(self) -> dict[str, float]:
        """Return what users get to see.

        Returns
        -------
        dict
            "iterations", "residual" and "unconverged".
        """
        return {
            "iterations": self.iterations,
            "residual": self.residual,
            "unconverged": self.n_open / max(1, self.n_rows),
        }

    def warn(self, remedy: str) -> None:
        """Tell if node values were not found.

        Parameters
        ----------
        remedy : str
            A sentence on what to change.
        """
        if self.n_infinite:
            warn_of_infinite(self.n_infinite, self.n_rows)
        elif self.n_open:
            warn(
                f"The node values of {self.n_open} of {self.n_rows} rows have not "
                f"converged (residual {self.residual:.1e}): don't rely on them. "
                f"{remedy}",
                ConvergenceWarning,
            )


def are_finite(values: np.ndarray) -> np.ndarray:
    """Find the rows without infinite or missing values.

    Parameters
    ----------
    values : ndarray of shape (n_samples,) or (n_samples, n_values)
        Values of each row.

    Returns
    -------
    ndarray of bool of shape (n_samples,)
        True where all are finite.
    """
    return np.isfinite(values).reshape(len(values), -1).all(axis=1)


def warn_of_infinite(n_infinite: int, n_rows: int) -> None:
    """Tell that some rows have got values that are no numbers.

    Parameters
    ----------
    n_infinite, n_rows : int
        How many, of how many.
    """
    warn(
        f"The values of {n_infinite} of {n_rows} rows are not finite, and have not "
        "converged: don't rely on them. The activation, the weights or the targets' "
        "scale overflow, as they do where features are far outside the range of the "
        "training data: scale the features, or leave such rows out.",
        ConvergenceWarning,
    )


@own_settings()
@torch.inference_mode()
def compute(
    network: Network,
    X: Rows,
    evaluate: Callable[[Inputs, Any], Solution],
    n_jobs: int | None = None,
    finish: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, SolveStats]:
    """Compute something of all rows, and tell how well it was found.

    Parameters
    ----------
    network : Network
        A network in evaluation mode.
    X : Rows
        Checked data.
    evaluate : callable
        One of the network's methods ``inputs``, ``values`` and ``outputs``.
    n_jobs : int, optional
        Threads that share the work.
    finish : callable, optional
        Makes of the values of some rows what is to be kept of them.

    Returns
    -------
    values : ndarray of shape (n_samples, …)
        Node values or outputs, or what was made of them.
    stats : SolveStats
        How well they were found.
    """
    stats, parts = SolveStats(), []
    prepared = network.prepare()
    with at_work(n_jobs):
        most = max(128, CHUNK_INPUTS // network.encoder.n_outputs)
        for chunk in X.split(min(network.chunk_rows, most), network.device):
            solution = evaluate(chunk, prepared)
            values = solution.value.cpu().numpy()
            parts.append(values if finish is None else finish(values))
            stats.add(solution, parts[-1])
    return np.concatenate(parts), stats
