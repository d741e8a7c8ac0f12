"""OptNet's programmes solved by proxsuite, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

OUTER_STEPS, INNER_STEPS = 50, 50
"""Most steps of proxsuite's solver; what it can solve at all takes about half."""


def solve_one_by_one(
    a: Tensor, Q: Tensor, G: Tensor, h: Tensor, accuracy: float
) -> tuple[Tensor, int]:
    """Minimise ``½ zᵀQz - aᵀz`` subject to ``Gz <= h`` for each row of `a`.

    Each programme is posed in units of its linear term where that is large, so that
    what is asked for is relative to its size, and within reach of double precision.

    Parameters
    ----------
    a : Tensor of shape (n_samples, n_nodes)
        Linear terms.
    Q : Tensor of shape (n_nodes, n_nodes)
        Positive definite.
    G : Tensor of shape (n_constraints, n_nodes)
        Normals of the constraints.
    h : Tensor of shape (n_constraints,)
        Their bounds.
    accuracy : float
        Largest violation of a KKT condition, in these units.

    Returns
    -------
    multipliers : Tensor of shape (n_samples, n_constraints)
        Of the constraints.
    n_iter : int
        Steps of the slowest row.

    Raises
    ------
    ImportError
        If proxsuite is not installed.
    """
    matrices = (matrix.detach().cpu().numpy() for matrix in (Q, G, h))
    objective, normals, bounds = matrices
    dense = import_proxsuite().proxqp.dense
    qp = dense.QP(len(objective), 0, len(bounds))
    qp.settings.eps_abs = qp.settings.eps_duality_gap_abs = accuracy
    qp.settings.max_iter, qp.settings.max_iter_in = OUTER_STEPS, INNER_STEPS
    qp.settings.eps_primal_inf = qp.settings.eps_dual_inf = 0.0  # there is a minimum
    qp.settings.check_duality_gap = True
    linear = -a.detach().cpu().numpy()
    no_bound = np.full(len(bounds), -np.inf)
    multipliers, n_iter = np.empty((len(a), len(bounds))), 0
    for i, row in enumerate(linear):
        unit = max(1.0, np.abs(row).max())
        if i == 0:
            scaled = row / unit, None, None, normals, no_bound, bounds / unit
            qp.init(objective, *scaled)
        else:
            qp.update(g=row / unit, u=bounds / unit)
        qp.solve()
        multipliers[i] = np.maximum(qp.results.z, 0) * unit
        n_iter = max(n_iter, qp.results.info.iter)
    return torch.as_tensor(multipliers, device=a.device), n_iter


def import_proxsuite() -> Any:
    """Import proxsuite, or say how it is installed.

    Returns
    -------
    module
        The package.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import proxsuite
    except ImportError as error:
        raise ImportError(
            "solver='proxqp' needs proxsuite, which is not installed: "
            "pip install 'sknm[optnet]', or use solver='admm', which needs nothing."
        ) from error
    return proxsuite
