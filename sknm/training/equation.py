"""The networks whose node values solve ``z = σ(zW + xU + b)``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sknm.compute.rows import Inputs, SparseBatch
from sknm.graph.blocks import ModuleWeights
from sknm.graph.equilibrium import Passage, Prepared, solve
from sknm.graph.problem import Solution, SolverOptions
from sknm.graph.state import EquationState
from sknm.graph.trace import Ends, Flow, Trace
from sknm.training.members import Members, by_member, of_rows, read
from sknm.training.network import CHUNK_ELEMENTS, LinearEnds

SPARSE_CHUNK_ELEMENTS = 3 * 2**19
"""Node values that are computed at a time with sparse edges, whose products are slow
for few rows."""


class EquationNetwork(LinearEnds):
    """``z = σ(zW + xU + b)``, ``logits = zV + c``.

    The first nodes, as many as U has columns, receive the inputs; the last, as many as
    V has rows, are read. In a graph without layers, both are all nodes.

    Attributes
    ----------
    training_options, options : SolverOptions
        How to solve while training, and afterwards.
    """

    graph: EquationState
    training_options: SolverOptions
    options: SolverOptions

    def values(self, X: Inputs, prepared: Prepared | None = None) -> Solution:
        """Compute the values of all nodes, and how well they were found."""
        found = self._solve(X, prepared)
        if self.members is None:
            return found
        z = by_member(found.value.t(), len(self.members))
        return of_rows(found, z.permute(2, 0, 1))

    def _solve(self, X: Inputs, prepared: Prepared | None) -> Solution:
        """Find the node values of rows, of all rows of each member after another."""
        return solve(
            self._enter(self._encode(X)).t(),
            self.graph.weights,
            self.graph.plan,
            self.sigma,
            self.options,
            workers=self.workers,
            prepared=prepared,
        )

    def outputs(self, X: Inputs, prepared: Prepared | None = None) -> Solution:
        """Compute the outputs, and how well the node values were found."""
        found = self._solve(X, prepared)
        z, V, c = found.value.t(), self.output_weights, self.output_biases
        if self.members is None:
            return replace(found, value=self._read(z, V).t())
        return of_rows(found, read(z[-V.shape[1] :], V, c))

    def prepare(self) -> Prepared:
        """Make what several batches with the same weights share."""
        return Prepared()

    def _train(self, X: Inputs, trace: Trace) -> Tensor:
        if self.members is not None:
            return self._train_members(X, trace, self.members)
        factors = None
        if self.dropout > 0:
            factors = self._dropout_factors(len(self.output_weights))[:, None]
        outputs: Tensor = _TrainingPass.apply(
            self.input_weights,
            self.graph.weights,
            self.graph.biases,
            self.output_weights,
            self.output_biases,
            X,
            self,
            factors,
            trace,
        )
        return outputs

    def _train_members(self, X: Inputs, trace: Trace, members: Members) -> Tensor:
        factors, (n_members, n_outlets, _) = None, self.output_weights.shape
        if self.dropout > 0:
            factors = self._dropout_factors(n_members * n_outlets)
            factors = factors.view(n_members, n_outlets, 1)
        outputs: Tensor = _MembersPass.apply(
            self.input_weights,
            members.scales,
            self.graph.weights,
            self.graph.biases,
            members.biases,
            self.output_weights,
            self.output_biases,
            X,
            self,
            factors,
            trace,
        )
        return outputs

    def _start_passage(self) -> Passage:
        return Passage(
            self.graph.plan,
            self.sigma,
            self.training_options,
            self.memory,
            self.workers,
        )

    def _enter(self, X: Inputs) -> Tensor:
        # Transposed, since the solvers want the samples in the last dimension.
        if self.members is not None:
            return self.members.enter(self._project(X), self.graph.biases)
        U, biases = self.input_weights, self.graph.biases[:, None]
        inlets, others = biases[: U.shape[1]], biases[U.shape[1] :]
        if isinstance(X, SparseBatch):
            a = X.times(U).t().contiguous() + inlets
        else:
            a = torch.addmm(inlets, U.t(), X.t())
        return torch.cat([a, others.expand(-1, len(X))]) if len(others) else a

    def _read(self, z: Tensor, V: Tensor) -> Tensor:
        # Transposed, as the node values are: with few outputs several times faster.
        return torch.addmm(self.output_biases[:, None], V.t(), z[-len(V) :])

    @torch.no_grad()
    def gradients(self, x: Inputs, sums: Tensor) -> Tensor:
        """Compute how some sums of the outputs change with the encoded inputs.

        Parameters
        ----------
        x : Tensor or SparseBatch of shape (n_samples, n_inputs)
            Encoded rows.
        sums : Tensor of shape (n_outputs, n_sums)
            Weights of the outputs in each; of members, those of their mean are taken.

        Returns
        -------
        Tensor of shape (n_sums, n_samples, n_inputs)
            Gradients.
        """
        W, U, V = self.graph.weights, self.input_weights, self.output_weights
        passage = Passage(self.graph.plan, self.sigma, self.options, None, self.workers)
        passage.run(self._enter(x), W)
        n_members, first = self.n_members, len(W) - V.shape[-2]
        found = W.new_empty(sums.shape[1], len(x), len(U))
        for k, column in enumerate(sums.t()):
            asked = (V @ column / n_members).view(n_members, -1).t()
            entering = W.new_zeros(len(W), n_members, len(x))
            entering[first:] = asked[:, :, None]
            delta, _ = passage.back(entering.view(len(W), -1), W, None)
            inlets = delta.view(len(W), n_members, -1)[: U.shape[1]]
            if self.members is not None:
                inlets = inlets * self.members.scales.t()[:, :, None]
            found[k] = inlets.sum(1).t() @ U.t()
        return found

    @torch.no_grad()
    def keep(self, nodes: np.ndarray) -> None:
        """Remove all nodes but some, which compute what they did."""
        V, n_inlets = self.output_weights, self.input_weights.shape[1]
        first = self.graph.n_nodes - V.shape[-2]
        inlets, outlets = nodes[nodes < n_inlets], nodes[nodes >= first] - first
        self.output_weights = nn.Parameter(V[..., _index(outlets, V), :].clone())
        if self.members is not None:
            self.members.restrict(nodes, inlets)
        self.graph.keep(nodes, inlets)

    @property
    def chunk_rows(self) -> int:
        """Rows that are predicted at a time."""
        is_sparse = self.graph.plan.is_sparse
        n_values = SPARSE_CHUNK_ELEMENTS if is_sparse else CHUNK_ELEMENTS
        return self._rows_of(n_values)


def _index(nodes: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(nodes, device=like.device)


class _TrainingPass(torch.autograd.Function):
    """Outputs of a training batch, from inputs to readout as one operation.

    What autograd adds between its parts takes as long as several iterations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        U: Tensor,
        W: Tensor,
        b: Tensor,
        V: Tensor,
        c: Tensor,
        X: Inputs,
        network: EquationNetwork,
        factors: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        passage = network._start_passage()
        z = passage.run(network._enter(X), W)
        V = V if factors is None else V * factors
        ctx.save_for_backward(U, W, V)
        ctx.X, ctx.passage, ctx.trace = X, passage, trace
        ctx.trained, ctx.factors = network.graph.trained, factors
        ctx.n_fixed = network.encoder.n_fixed
        trace.is_strained, trace.n_iter = passage.is_strained, passage.found.n_iter
        return network._read(z, V).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        U, W, V = ctx.saved_tensors
        passage: Passage = ctx.passage
        z = passage.found.value
        # With few outputs, several times faster than z @ grad.
        dV = (grad.t() @ z[-len(V) :].t()).t()
        if ctx.factors is not None:
            dV.mul_(ctx.factors)
        entering = V @ grad.t()
        if len(V) < len(z):  # the first nodes are not read
            entering = torch.cat(
                [entering.new_zeros(len(z) - len(V), len(grad)), entering]
            )
        is_apart = isinstance(ctx.trained, ModuleWeights)
        delta, dW = passage.back(entering, W, None if is_apart else ctx.trained)
        ctx.trace.flow = Flow(z, delta)
        ctx.trace.ends = Ends(ctx.X, grad, entering, W if len(V) < len(z) else None)
        ctx.trace.is_strained = passage.is_strained
        if is_apart:
            ctx.trained.take_gradient(z, delta)
        inlets = delta[: U.shape[1]]
        dU = _input_gradient(inlets, ctx.X)
        dX = None
        if ctx.needs_input_grad[5]:
            dX = _encoded_gradient(inlets, U, ctx.X, ctx.n_fixed)
        return dU, dW, delta.sum(1), dV, grad.sum(0), dX, None, None, None


class _MembersPass(torch.autograd.Function):
    """The same for an ensemble, whose members share all but a few weights.

    What it tells the rule of both ends is of the first member, so that the rows that
    are looked at are different ones; all members are drawn alike.
    """

    @staticmethod
    def forward(
        ctx: Any,
        U: Tensor,
        s: Tensor,
        W: Tensor,
        b: Tensor,
        own: Tensor,
        V: Tensor,
        c: Tensor,
        X: Inputs,
        network: EquationNetwork,
        factors: Tensor | None,
        trace: Trace,
    ) -> Tensor:
        passage = network._start_passage()
        assert network.members is not None, "this is for ensembles"
        entering = network._project(X)
        z = passage.run(network.members.enter(entering, b), W)
        V = V if factors is None else V * factors
        ctx.save_for_backward(U, s, W, V, entering)
        ctx.X, ctx.passage, ctx.trace = X, passage, trace
        ctx.trained, ctx.factors = network.graph.trained, factors
        ctx.n_fixed = network.encoder.n_fixed
        trace.is_strained, trace.n_iter = passage.is_strained, passage.found.n_iter
        return read(z[-V.shape[1] :], V, c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        U, s, W, V, entering = ctx.saved_tensors
        (n_members, n_outlets, _), passage = V.shape, ctx.passage
        z = passage.found.value
        errors = grad.transpose(0, 1)  # of each member
        dV = by_member(z[-n_outlets:], n_members) @ errors
        if ctx.factors is not None:
            dV.mul_(ctx.factors)
        asked = z.new_zeros(z.shape)
        by_member(asked[-n_outlets:], n_members).copy_(V @ errors.mT)
        is_apart = isinstance(ctx.trained, ModuleWeights)
        delta, dW = passage.back(asked, W, None if is_apart else ctx.trained)
        first, is_open = slice(0, len(grad)), n_outlets < len(z)
        ctx.trace.flow = Flow(z, delta)
        ctx.trace.ends = Ends(ctx.X, errors[0], asked[:, first], W if is_open else None)
        ctx.trace.is_strained = passage.is_strained
        if is_apart:
            ctx.trained.take_gradient(z, delta)
        of_each = delta.view(len(delta), n_members, -1)
        inlets, db = of_each[: U.shape[1]], of_each.sum(2)
        ds = (inlets * entering[:, None]).sum(2).t()
        joint = (inlets * s.t()[:, :, None]).sum(1)
        dX = None
        if ctx.needs_input_grad[7]:
            dX = _encoded_gradient(joint, U, ctx.X, ctx.n_fixed)
        dU, dc = _input_gradient(joint, ctx.X), errors.sum(1)
        return dU, ds, dW, db.sum(1), db.t(), dV, dc, dX, None, None, None


def _encoded_gradient(delta: Tensor, U: Tensor, X: Tensor, n_fixed: int) -> Tensor:
    """``dX = δUᵀ`` but for the inputs that are fixed."""
    found = delta.new_zeros(X.shape[::-1])
    found[n_fixed:] = U[n_fixed:] @ delta
    return found.t()


def _input_gradient(delta: Tensor, X: Inputs) -> Tensor:
    """``dU = Xᵀδ``, given δ of shape (n_inlets, n_samples)."""
    if isinstance(X, SparseBatch):
        return X.transposed_times(delta.t())
    return X.t() @ delta.t()
