"""Predictions in chunks of rows, and how well their node values were found."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sknm.graph.problem import Solution
from sknm.training.network import Network
from sknm.training.rows import Rows


@dataclass
class SolveStats:
    """How well the node values of many rows were found."""

    iterations: int = 0
    residual: float = 0.0
    n_open: int = 0
    n_rows: int = 0

    def add(self, solution: Solution) -> None:
        """Count one chunk of rows.

        Parameters
        ----------
        solution : Solution
            Of the chunk.
        """
        self.iterations = max(self.iterations, solution.n_iter)
        # Unlike Python's max, this lets a NaN through, whichever comes first.
        self.residual = float(np.maximum(self.residual, solution.residual))
        self.n_open += int((~solution.converged).sum())
        self.n_rows += len(solution.converged)

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
        if self.n_open:
            warnings.warn(
                f"The node values of {self.n_open} of {self.n_rows} rows have not "
                f"converged (residual {self.residual:.1e}): don't rely on them. "
                f"{remedy}",
                ConvergenceWarning,
                stacklevel=4,
            )


@torch.inference_mode()
def compute(
    network: Network,
    X: Rows,
    read: Callable[[Tensor], Tensor] | None = None,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, SolveStats]:
    """Node values of all rows, or what is read from them.

    Parameters
    ----------
    network : Network
        A network in evaluation mode.
    X : Rows
        Checked data.
    read : callable, optional
        Makes outputs from node values.
    n_jobs : int, optional
        Threads that share the modules.

    Returns
    -------
    values : ndarray of shape (n_samples, n_values)
        Node values or outputs.
    stats : SolveStats
        How well they were found.
    """
    stats, parts = SolveStats(), []
    prepared = network.prepare()
    with network.at_work(n_jobs):
        for chunk in X.split(network.chunk_rows, network.device):
            solution = network.solve(chunk, prepared)
            stats.add(solution)
            values = solution.value if read is None else read(solution.value)
            parts.append(values.cpu().numpy())
    return np.concatenate(parts), stats
