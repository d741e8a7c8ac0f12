"""What is proved of fitted estimators: one solution, and decisions that stay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sknm.graph.activations import Activation
from sknm.graph.certificate import Certificate, Gains, System, least
from sknm.graph.topology import Topology
from sknm.targets import ClassTarget

SHOWN = (
    "node_weights",
    "input_weights",
    "node_biases",
    "output_weights",
    "output_biases",
)
"""What the network shows: W, U, b, V and c."""

TINY = float(np.finfo(np.float64).tiny)


class Weights:
    """A fitted network in double precision, in the terms of what it decides.

    Parameters
    ----------
    estimator : GraphEstimator
        A fitted one, of one member.
    """

    def __init__(self, estimator: Any) -> None:
        network, target = estimator.net_.module_, estimator._target_
        graph: Any = network.graph
        self.topology: Topology = graph.topology
        self.sigma: Activation = network.sigma
        self.unit = float(np.finfo(network.numpy_dtype).eps)
        shown = {name: network.show(name).astype(np.float64) for name in SHOWN}
        self.W, self.U, self.b, self.raw_V, self.raw_c = shown.values()
        self.V, c = target.terms(self.raw_V), target.terms(self.raw_c)
        self.c = c + target.origin
        self.is_one_of_many = isinstance(target, ClassTarget) and target.n_outputs > 2

    @property
    def digest(self) -> bytes:
        """What differs where anything does that a proof follows from."""
        digest = hashlib.sha256(self.sigma.name.encode())
        for array in (self.W, self.U, self.V):
            digest.update(np.ascontiguousarray(array).data)
        return digest.digest()

    def residuals(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Compute ``|z - σ(zW + xU + b)|`` of each row."""
        u = torch.from_numpy(z @ self.W + x @ self.U + self.b)
        found: np.ndarray = np.linalg.norm(z - self.sigma.value(u).numpy(), axis=1)
        return found

    def outputs(self, z: np.ndarray) -> np.ndarray:
        """Compute what is decided, of shape (n_samples, n_outputs)."""
        found: np.ndarray = z @ self.V + self.c
        return found

    def rounding(self, z: np.ndarray) -> np.ndarray:
        """Bound by how much rounding can change what is decided."""
        sizes = abs(z) @ abs(self.raw_V) + abs(self.raw_c)
        lost = self.unit * (len(self.b) + 2) * sizes
        if self.V.shape[1] < lost.shape[1]:  # the difference of two classes
            lost = lost.sum(axis=1, keepdims=True)
        gain = abs(self.V).max() / max(abs(self.raw_V).max(), TINY)
        found: np.ndarray = lost * gain
        return found


@dataclass(frozen=True, eq=False)
class Proof:
    """A certificate, and how much decisions suffer from errors of node values.

    Attributes
    ----------
    certificate : Certificate
        What users see.
    errors_of_outputs : ndarray of shape (n_outputs,)
        Most that an output is off, in units of the norm of a row's residuals.
    errors_of_pairs : ndarray of shape (n_outputs, n_outputs)
        The same of differences of two outputs; only where there are several classes.
    """

    certificate: Certificate
    errors_of_outputs: np.ndarray
    errors_of_pairs: np.ndarray

    @classmethod
    def of(cls, weights: Weights, residual: float) -> Proof:
        """Prove what follows from the weights.

        Parameters
        ----------
        weights : Weights
            The network.
        residual : float
            Largest residual of a node value on the training rows.

        Returns
        -------
        Proof
            Of the network.
        """
        n = weights.V.shape[1]
        gains = _gains(weights)
        if gains is None:
            return cls._of_nothing(weights)
        of_outputs, errors = least(gains.of(np.eye(n))), gains.of_errors(np.eye(n))
        of_pairs, errors_of_pairs = None, np.zeros((0, 0))
        if weights.is_one_of_many:
            first, second = np.triu_indices(n, 1)
            sums = np.eye(n)[:, first] - np.eye(n)[:, second]
            of_pairs = _symmetric(least(gains.of(sums)), n)
            errors_of_pairs = _symmetric(gains.of_errors(sums), n)
        bounds = gains.jointly()
        margins = gains.system.margins[[len(own) > 1 for own in gains.system.nodes]]
        most = float(errors.max(initial=0)) * residual * len(weights.W) ** 0.5
        certificate = Certificate(
            is_unique=gains.is_bounded,
            margin=float(margins.min()) if len(margins) else None,
            lipschitz=min(bounds.values()),
            of_outputs=of_outputs,
            of_pairs=of_pairs,
            solve_error=most,
            bounds=bounds,
        )
        return cls(certificate, errors, errors_of_pairs)

    @classmethod
    def _of_nothing(cls, weights: Weights) -> Proof:
        """Tell of slopes without a bound: only cycles make several solutions."""
        n, inf = weights.V.shape[1], np.inf
        pairs = np.full((n, n), inf)
        certificate = Certificate(
            is_unique=weights.topology.is_acyclic,
            margin=None,
            lipschitz=inf,
            of_outputs=np.full(n, inf),
            of_pairs=pairs if weights.is_one_of_many else None,
            solve_error=inf,
            bounds={},
        )
        return cls(certificate, np.full(n, inf), pairs)


def _gains(weights: Weights) -> Gains | None:
    """Make what bounds outputs; None where slopes have no bound."""
    sigma, n = weights.sigma, weights.V.shape[1]
    if not np.isfinite(sigma.steepest):
        return None
    system = System.of(
        weights.W,
        weights.U,
        weights.V,
        weights.topology,
        sigma.steepest,
        sigma.name == "identity",
    )
    # What all classes get alike decides nothing.
    aims = np.eye(n) - weights.is_one_of_many / n
    return Gains(system, aims)


def _symmetric(values: np.ndarray, n: int) -> np.ndarray:
    pairs = np.zeros((n, n))
    pairs[np.triu_indices(n, 1)] = values
    return pairs + pairs.T


def radii(
    gaps: np.ndarray, gains: np.ndarray, per_error: np.ndarray, errors: np.ndarray
) -> np.ndarray:
    """Compute how far rows can be moved before a gap is closed.

    Parameters
    ----------
    gaps : ndarray of shape (n_samples, n_gaps)
        What is to stay above 0; infinite where there is nothing to close.
    gains : ndarray of shape (n_gaps,) or (n_samples, n_gaps)
        How much each can change with the distance.
    per_error : ndarray of shape (n_gaps,) or (n_samples, n_gaps)
        How much each can be off for an error of 1.
    errors : ndarray of shape (n_samples,)
        Errors of the rows; those of rows nearby are taken to be as large.

    Returns
    -------
    ndarray of shape (n_samples,)
        At least 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        left = gaps - 2 * per_error * errors[:, None]
        distances = np.where(left > 0, left / gains, 0.0)
    distances = np.where(np.isposinf(gaps), np.inf, distances)
    found: np.ndarray = distances.min(axis=1)
    return found
