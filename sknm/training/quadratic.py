"""The torch module of OptNet: a hidden layer that is a quadratic programme."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sknm.compute.rows import Inputs, SparseBatch
from sknm.graph.problem import Solution
from sknm.graph.qp import Programme, solve_programmes
from sknm.training.network import Network, Weights

RIDGE = 0.1
"""``ε``, the least eigenvalue of ``Q = LLᵀ + εI``."""

FIRST_SLACK = 0.05
"""How far the point that keeps all constraints is from each of them at first."""


class QuadraticNetwork(Network):
    """``z = argmin ½ zᵀQz - σ(xU + b)ᵀz  s.t.  zK <= h``, ``logits = zV + c``.

    With ``Q = LLᵀ + εI`` and ``h = z₀K + softplus(s₀)``, so that there always is a
    minimum, and one only (Amos & Kolter 2017). All is done in double precision.

    Parameters
    ----------
    weights : Weights
        ``L`` as node weights, and those of inputs and outputs.
    constraint_weights : Tensor of shape (n_nodes, n_constraints)
        ``K``, the constraints' normals in its columns.
    generator : torch.Generator
        Source of randomness of the dropout.

    Attributes
    ----------
    solver : {"admm", "proxqp"}
        How to solve.
    """

    solver: str

    def __init__(
        self, weights: Weights, constraint_weights: Tensor, generator: torch.Generator
    ) -> None:
        super().__init__(generator)
        n_nodes, n_constraints = constraint_weights.shape
        slack = torch.full((n_constraints,), FIRST_SLACK, dtype=torch.float32)
        for name, value in vars(weights).items():
            setattr(self, name, nn.Parameter(value.double()))
        self.constraint_weights = nn.Parameter(constraint_weights.double())
        self.feasible_point = nn.Parameter(torch.zeros(n_nodes, dtype=torch.float64))
        self.constraint_slack = nn.Parameter(slack.expm1().log().double())

    def forward(self, X: Inputs) -> Tensor:
        """Compute outputs (n_samples, n_outputs) of inputs (n_samples, n_features)."""
        z = self.solve(X).value
        if self.training and self.dropout > 0:
            z = z * self._dropout_factors(self.n_nodes)
        return self.read(z)

    def read(self, z: Tensor) -> Tensor:
        """Read outputs from node values: ``zV + c``."""
        return torch.addmm(self.output_biases, z, self.output_weights)

    def prepare(self) -> Programme:
        """Make what several solves with the same weights share."""
        L, K = self.node_weights, self.constraint_weights
        eye = torch.eye(len(L), dtype=L.dtype, device=L.device)
        h = self.feasible_point @ K + F.softplus(self.constraint_slack)
        return Programme(torch.addmm(RIDGE * eye, L, L.mT), K.mT, h)

    def solve(self, X: Inputs, prepared: Programme | None = None) -> Solution:
        """Node values of a batch of inputs, and how well they were found."""
        X = X.to(self.device, torch.float64)
        if isinstance(X, SparseBatch):
            u = X.times(self.input_weights) + self.node_biases
        else:
            u = torch.addmm(self.node_biases, X, self.input_weights)
        programme = self.prepare() if prepared is None else prepared
        a = self.sigma.value(u)
        return solve_programmes(a, programme, self.solver, self.workers)

    def move(self, device: str) -> QuadraticNetwork:
        """Bring parameters to a device."""
        return self.to(device)
