"""The networks whose hidden layer is a quadratic programme: OptNet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknm.compute.arrays import to_numpy
from sknm.compute.rows import Inputs, SparseBatch
from sknm.graph.problem import Solution
from sknm.graph.programme import ProgrammeState
from sknm.graph.qp import Programme, solve_programmes
from sknm.graph.trace import Trace
from sknm.training.members import by_member, of_rows, read
from sknm.training.network import LinearEnds


class QuadraticNetwork(LinearEnds):
    """``z = argmin ½ zᵀQz - σ(xU + b)ᵀz  s.t.  zK <= h``, ``logits = zV + c``.

    All is done in double precision.

    Attributes
    ----------
    solver : {"admm", "proxqp"}
        How to solve.
    """

    graph: ProgrammeState
    solver: str

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.double()  # an encoder, too

    def values(self, X: Inputs, prepared: Programme | None = None) -> Solution:
        """Compute the values of all nodes, and how well they were found."""
        found = self._solve(self._encode(X), prepared)
        if self.members is None:
            return found
        z = by_member(found.value.t(), len(self.members))
        return of_rows(found, z.permute(2, 0, 1))

    def outputs(self, X: Inputs, prepared: Programme | None = None) -> Solution:
        """Compute the outputs, and how well the node values were found."""
        found = self._solve(self._encode(X), prepared)
        outputs = self._read(found.value)
        if self.members is None:
            return replace(found, value=outputs)
        return of_rows(found, outputs)

    def prepare(self) -> Programme:
        """Make what several batches with the same weights share."""
        return self.graph.programme()

    def _train(self, X: Inputs, trace: Trace) -> Tensor:
        z, n_nodes = self._solve(X, None).value, self.graph.n_nodes
        if self.dropout > 0 and self.members is None:
            z = z * self._dropout_factors(n_nodes)
        elif self.dropout > 0:
            factors = self._dropout_factors(n_nodes * self.n_members)
            n_rows = len(z) // self.n_members
            z = z * factors.view(-1, n_nodes).repeat_interleave(n_rows, 0)
        return self._read(z)

    def _encode(self, X: Inputs) -> Inputs:
        return self.encoder(X.to(self.device, torch.float64))

    def _solve(self, X: Inputs, prepared: Programme | None) -> Solution:
        biases, members = self.graph.biases, self.members
        if members is not None:
            u = members.enter(self._project(X), biases).t()
        elif isinstance(X, SparseBatch):
            u = X.times(self.input_weights) + biases
        else:
            u = torch.addmm(biases, X, self.input_weights)
        programme = self.prepare() if prepared is None else prepared
        a = self.sigma.value(u)
        return solve_programmes(a, programme, self.solver, self.workers)

    def _read(self, z: Tensor) -> Tensor:
        V, c = self.output_weights, self.output_biases
        return torch.addmm(c, z, V) if self.members is None else read(z.t(), V, c)

    def show(self, name: str) -> np.ndarray:
        """Return constraints, or what all networks with linear ends show."""
        if name == "constraint_weights":
            return to_numpy(self.graph.constraint_weights)
        if name == "constraint_bounds":
            return to_numpy(self.graph.programme().h)
        return super().show(name)
