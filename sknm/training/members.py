"""Members of an ensemble in one network: what each has of its own.

All members share the encoder and the graph. Rows enter the graph once per member,
``a_k = (xU) ∘ s_k + b + b_k``, and the outputs of member k are ``z_k V_k + c_k``. So
what a training step does for its weights - inverses, guards, optimiser, rule - is
done once, as are encoding and ``xU`` (after Gorishniy et al. 2025, "TabM").
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from sknm.compute.groups import ParameterGroup
from sknm.encoding.stored import Stored
from sknm.graph.draw import draw_biases
from sknm.graph.problem import Solution

ALIKE = 0.25
"""Share of the nodes that inputs enter with the same sign in all members."""


class Members(Stored):
    """What the members have of their own where rows enter the graph.

    The nodes of all members are the columns of one matrix: those of the first member
    come first, a column for each row of a batch.

    Parameters
    ----------
    scales : Tensor of shape (n_members, n_inlets)
        ``s``, by which what enters a node from the inputs is multiplied.
    biases : Tensor of shape (n_members, n_nodes), optional
        What is added to the biases that the members share.
    """

    def __init__(self, scales: Tensor, biases: Tensor | None = None) -> None:
        super().__init__()
        self.scales = nn.Parameter(scales)
        self.biases = None if biases is None else nn.Parameter(biases)

    @classmethod
    def draw(
        cls,
        n_members: int,
        n_inlets: int,
        n_nodes: int | None,
        generator: torch.Generator,
    ) -> Members:
        """Draw random signs, and biases as those of nodes are drawn.

        The first of the nodes have the same sign in all members: weights between them
        then mean the same to all, where they would have to serve any pair of signs.
        Those of the others mean less, and the members differ the more by them.

        Parameters
        ----------
        n_members, n_inlets : int
            Number of members, and of nodes that inputs enter.
        n_nodes : int or None
            Number of nodes that have biases of each member.
        generator : torch.Generator
            Source of randomness.

        Returns
        -------
        Members
            Of single precision.
        """
        signs = torch.randint(2, (n_members, n_inlets), generator=generator) * 2 - 1
        signs[:, : round(ALIKE * n_inlets)] = 1
        if n_nodes is None:
            return cls(signs.to(torch.float32))
        biases = [draw_biases(n_nodes, generator) for _ in range(n_members)]
        return cls(signs.to(torch.float32), torch.stack(biases))

    def __len__(self) -> int:
        return len(self.scales)

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters for an optimiser."""
        scales = ParameterGroup([self.scales], decay=0.0, ridge=0.0)
        if self.biases is None:
            return [scales]
        return [scales, ParameterGroup([self.biases], ridge=0.0)]

    def restrict(self, nodes: np.ndarray, inlets: np.ndarray) -> None:
        """Remove all nodes but some.

        Parameters
        ----------
        nodes, inlets : ndarray of int
            Which nodes are left, and which of those that inputs enter.
        """
        for p, kept in ((self.scales, inlets), (self.biases, nodes)):
            if p is not None:
                index = torch.as_tensor(kept, device=p.device)
                p.data, p.grad = p.data[:, index], None

    def enter(self, entering: Tensor, shared: Tensor) -> Tensor:
        """Compute what enters the nodes of all members.

        Parameters
        ----------
        entering : Tensor of shape (n_inlets, n_samples)
            ``(xU)ᵀ``.
        shared : Tensor of shape (n_nodes,)
            ``b``.

        Returns
        -------
        Tensor of shape (n_nodes, n_members * n_samples)
            ``a``.
        """
        n_inlets, n_samples = entering.shape
        assert self.biases is not None, "they have been drawn"
        biases = (self.biases + shared).t()
        a = biases[:, :, None].repeat(1, 1, n_samples)
        a[:n_inlets].addcmul_(entering[:, None], self.scales.t()[:, :, None])
        return a.view(len(a), -1)


def by_member(values: Tensor, n_members: int) -> Tensor:
    """View (n, n_members * n_samples) as (n_members, n, n_samples)."""
    return values.view(len(values), n_members, -1).transpose(0, 1)


def of_rows(found: Solution, values: Tensor) -> Solution:
    """Say of rows what was found for each of the members.

    Parameters
    ----------
    found : Solution
        Of all rows of the first member, then those of the others.
    values : Tensor of shape (n_samples, n_members, …)
        What comes of it.

    Returns
    -------
    Solution
        With these values; rows have converged if they have for all members.
    """
    converged = found.converged.view(values.shape[1], -1).all(0)
    return replace(found, value=values, converged=converged)


def in_turn(values: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Make each member of a row a row of its own.

    Parameters
    ----------
    values : Tensor of shape (n_samples, n_members, …)
        Outputs or node values.
    weights : Tensor of shape (n_samples,) or None
        Weights of the rows.

    Returns
    -------
    values : Tensor of shape (n_samples * n_members, …)
        Those of a row follow each other.
    weights : Tensor of shape (n_samples * n_members,) or None
        Their weights.
    """
    if weights is not None:
        weights = weights.repeat_interleave(values.shape[1])
    return values.flatten(0, 1), weights


def read(z: Tensor, V: Tensor, c: Tensor) -> Tensor:
    """Compute the outputs of all members.

    Parameters
    ----------
    z : Tensor of shape (n_outlets, n_members * n_samples)
        Values of the nodes that are read.
    V : Tensor of shape (n_members, n_outlets, n_outputs)
        Weights.
    c : Tensor of shape (n_members, n_outputs)
        Biases.

    Returns
    -------
    Tensor of shape (n_samples, n_members, n_outputs)
        ``z V + c``.
    """
    read = torch.baddbmm(c[:, :, None], V.mT, by_member(z, len(V)))
    return read.permute(2, 0, 1)
