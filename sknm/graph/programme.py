"""OptNet's graph: the quadratic programme whose variables are the nodes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sknm.compute.arrays import to_numpy
from sknm.compute.groups import ParameterGroup, step_share
from sknm.graph.qp import Programme
from sknm.graph.state import GraphState

RIDGE = 0.1
"""``ε``, the least eigenvalue of ``Q = LLᵀ + εI``."""

FIRST_SLACK = 0.05
"""How far the point that keeps all constraints is from each of them at first."""

FULL_STEP_NODES = 16
"""Most nodes in a constraint whose weights get the optimiser's whole step."""


class ProgrammeState(GraphState):
    """``½ zᵀQz`` subject to ``zK <= h``, always feasible and strictly convex.

    With ``Q = LLᵀ + εI`` and ``h = z₀K + softplus(s₀)``, so that there always is a
    minimum, and one only (Amos & Kolter 2017).

    Parameters
    ----------
    weights : Tensor of shape (n_nodes, n_nodes)
        ``L``.
    biases : Tensor of shape (n_nodes,)
        Of the linear term.
    constraint_weights : Tensor of shape (n_nodes, n_constraints)
        ``K``, the constraints' normals in its columns.
    """

    def __init__(
        self, weights: Tensor, biases: Tensor, constraint_weights: Tensor
    ) -> None:
        super().__init__(weights.double(), biases.double())
        n_nodes, n_constraints = constraint_weights.shape
        slack = torch.full((n_constraints,), FIRST_SLACK, dtype=torch.float32)
        self.constraint_weights = nn.Parameter(constraint_weights.double())
        self.feasible_point = nn.Parameter(torch.zeros(n_nodes, dtype=torch.float64))
        self.constraint_slack = nn.Parameter(slack.expm1().log().double())

    def programme(self) -> Programme:
        """Make the programme that the weights stand for."""
        L, K = self.weights, self.constraint_weights
        eye = torch.eye(len(L), dtype=L.dtype, device=L.device)
        h = self.feasible_point @ K + F.softplus(self.constraint_slack)
        return Programme(torch.addmm(RIDGE * eye, L, L.mT), K.mT, h)

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser."""
        K = self.constraint_weights
        points: list[Tensor] = [self.feasible_point, self.constraint_slack]
        return [
            *super().groups(),
            ParameterGroup([K], step_share(FULL_STEP_NODES, len(K))),
            ParameterGroup(points, ridge=0.0),
        ]

    def show(self) -> np.ndarray:
        """Return ``I - Q``."""
        weights = -to_numpy(self.programme().Q)
        weights[np.diag_indices(len(weights))] += 1
        return weights
