"""The edges from inputs to nodes: their weights, and which of them exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknm.compute.arrays import to_numpy
from sknm.compute.groups import ParameterGroup
from sknm.compute.settings import own_settings


@dataclass(frozen=True)
class Affinity:
    """What is known of the columns of a table before a graph is trained.

    Attributes
    ----------
    useful : ndarray of bool of shape (n_columns,)
        Which of them tell something of the targets.
    together : ndarray of bool of shape (n_columns, n_columns)
        Which pairs of them tell more together than one by one.
    """

    useful: np.ndarray
    together: np.ndarray


class Entries(nn.Module):
    """The edges by which inputs enter the nodes.

    An edge that doesn't exist has the weight zero, and is left alone by the optimiser;
    its gradient is computed all the same, so that a rule can let it come.

    Parameters
    ----------
    weights : Tensor of shape (n_inputs, n_inlets)
        ``U``.
    columns : array-like of int of shape (n_inputs,), optional
        The column of the table that each input is made of, -1 for several; by default,
        each input is one.

    Attributes
    ----------
    columns : ndarray of int of shape (n_inputs,)
        The column of each input; one that is made of several is a column of its own.
    links : ndarray of bool of shape (n_inputs, n_inlets) or None
        Which edges exist; None for all.
    group : ParameterGroup
        How the optimiser treats the weights.
    affinity : Affinity or None
        What was found out for the rule that starts a new graph.
    variances : ndarray of shape (n_inputs,) or None
        How much each input varies, with it.
    novelty : float
        Different training rows per weight: repeating rows adds no evidence.
    """

    def __init__(self, weights: Tensor, columns: Any = None) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        own = np.arange(len(weights))
        self.columns = own if columns is None else _distinct(columns)
        self.group = ParameterGroup([self.weights], is_variable=True)
        self.links: np.ndarray | None = None
        self.affinity: Affinity | None = None
        self.variances: np.ndarray | None = None
        self.novelty = 1.0

    @property
    def n_columns(self) -> int:
        """Number of columns of the table that inputs are made of."""
        return int(self.columns.max(initial=-1)) + 1

    @property
    def present(self) -> np.ndarray:
        """Which edges exist, bool of shape (n_inputs, n_inlets)."""
        if self.links is None:
            return np.ones(tuple(self.weights.shape), dtype=bool)
        return self.links

    @torch.no_grad()
    def adopt(self, links: np.ndarray | None) -> None:
        """Have other edges from now on; those that come have the weight zero.

        Parameters
        ----------
        links : ndarray of bool of shape (n_inputs, n_inlets) or None
            Which edges exist; None for all.
        """
        if links is not None and links.all():
            links = None
        self.links, self.group.held = links, None
        if links is not None:
            held = torch.as_tensor(~links, device=self.weights.device)
            self.group.held = held
            self.weights.masked_fill_(held, 0)

    def keep(self, inlets: np.ndarray) -> None:
        """Leave only the edges to some nodes.

        Parameters
        ----------
        inlets : ndarray of int of shape (n_kept,)
            Which nodes.
        """
        index = torch.as_tensor(inlets, device=self.weights.device)
        self.weights.data, self.weights.grad = self.weights.data[:, index], None
        self.adopt(None if self.links is None else self.links[:, inlets])

    def by_columns(self) -> np.ndarray:
        """Which columns enter which nodes, bool of shape (n_columns, n_inlets)."""
        found = np.zeros((self.n_columns, self.weights.shape[1]), dtype=bool)
        np.logical_or.at(found, self.columns, self.present)
        return found

    def groups(self) -> list[ParameterGroup]:
        """Return the weights for an optimiser."""
        self.group.params = [self.weights]
        return [self.group]

    def __getstate__(self) -> dict[str, Any]:
        """Return arrays: of the weights those that exist, if not all do."""
        U = to_numpy(self.weights)
        links = None
        if self.links is not None:
            links, U = np.packbits(self.links), U[self.links]
        return {
            "shape": tuple(self.weights.shape),
            "weights": U,
            "links": links,
            "columns": self.columns,
            "step_scale": self.group.step_scale,
            "novelty": self.novelty,
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU."""
        U, shape, links = state["weights"], state["shape"], state["links"]
        if links is not None:
            bits = np.unpackbits(links, count=int(np.prod(shape)))
            links = bits.astype(bool).reshape(shape)
            U, given = np.zeros(shape, U.dtype), U
            U[links] = given
        Entries.__init__(self, torch.tensor(U, device="cpu"), state["columns"])
        self.group.step_scale, self.novelty = state["step_scale"], state["novelty"]
        self.adopt(links)


def _distinct(columns: Any) -> np.ndarray:
    """Give inputs that are made of several columns numbers of their own."""
    columns = np.array(columns, dtype=int)
    several = np.flatnonzero(columns < 0)
    columns[several] = columns.max(initial=-1) + 1 + np.arange(len(several))
    return columns
