"""Bounds of a network's gain by weights of what is known of each node.

The differences of two solutions fulfil ``d_i (e_i - d_i) >= 0`` at each node, where
``e = dW + δU``. With weights ``Λ > 0`` of the nodes, and ``P = 2Λ - WΛ - ΛWᵀ``, so
``2 δUΛdᵀ >= d P dᵀ``. If P is positive definite, outputs ``dV`` differ by at most
``L |δ|`` as soon as ``L² I >= UΛ (P - VVᵀ)⁻¹ ΛUᵀ`` (after Fazlyab et al. 2019,
"Efficient and accurate estimation of Lipschitz constants"). This holds for all Λ; a
descent looks for one for which it says much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor

MOST_STEPS = 30
"""Steps of the descent for graphs of up to `FULL_NODES` nodes."""

FULL_NODES, MOST_NODES = 500, 4000
"""Larger graphs get fewer steps, since each takes time that grows with the cube; those
of more than `MOST_NODES` none, and no such bound."""

FIRST_RATE = 0.2
"""Step of the logarithms of Λ at first."""

LEAST_PIVOT = 1e-8
"""Least pivot of a matrix with ones on its diagonal that is taken for positive
definite: rounding errors are far below."""

SLACK = 1e-6
"""Relative size of what rounding errors may take from a bound."""

SCALES = 1 + np.exp(np.linspace(-3, 4, 22))
"""By how much Λ may be larger than what makes P only just large enough."""

HALVINGS = 50
"""Halvings by which an eigenvalue is found."""

VALUES = 2**19
"""Numbers that are computed with at a time."""


@dataclass(frozen=True)
class Multipliers:
    """Weights of nodes for which P is positive definite.

    Attributes
    ----------
    weights : ndarray of shape (n_nodes,)
        Λ.
    root : ndarray of shape (n_nodes, n_nodes)
        Lower triangular, ``P = root rootᵀ``.
    """

    weights: np.ndarray
    root: np.ndarray

    def gains(self, U: np.ndarray, V: np.ndarray) -> np.ndarray:
        """Bound how much each of some outputs can differ, in units of ``|δ|``.

        Parameters
        ----------
        U : ndarray of shape (n_inputs, n_nodes)
            Weights of inputs.
        V : ndarray of shape (n_nodes, n_outputs)
            Weights of outputs.

        Returns
        -------
        ndarray of shape (n_outputs,)
            Bounds. With Λ scaled by s, ``L²`` is the largest eigenvalue of
            ``s G + g gᵀ / (1 - q/s)`` for any ``s > q``, where ``G = UΛ P⁻¹ ΛUᵀ``,
            ``g = UΛ P⁻¹ v`` and ``q = vᵀ P⁻¹ v``.
        """
        eigenvalues, g, inner = self._reduced(U, V)
        q, squares = np.square(inner).sum(axis=0), np.square(g.T)
        n_at_once = max(1, VALUES // (len(SCALES) * len(eigenvalues)))
        parts = [
            least_of_scales(
                q[k : k + n_at_once], eigenvalues, squares[k : k + n_at_once]
            )
            for k in range(0, len(q), n_at_once)
        ]
        bounds: np.ndarray = np.sqrt(np.concatenate(parts)) * (1 + SLACK)
        return bounds

    def joint_gain(self, U: np.ndarray, V: np.ndarray) -> float:
        """Bound how much all outputs can differ, in their norm and units of ``|δ|``.

        Parameters
        ----------
        U : ndarray of shape (n_inputs, n_nodes)
            Weights of inputs.
        V : ndarray of shape (n_nodes, n_outputs)
            Weights of outputs.

        Returns
        -------
        float
            The bound.
        """
        eigenvalues, g, inner = self._reduced(U, V)
        K = inner.T @ inner
        q, best = np.linalg.eigvalsh(K)[-1], np.inf
        if q == 0:
            return 0.0
        for scale in SCALES:
            s = scale * q
            joint = g @ np.linalg.solve(np.eye(len(K)) - K / s, g.T)
            joint = (joint + joint.T) / 2
            joint[np.diag_indices(len(joint))] += s * eigenvalues
            best = min(best, float(np.linalg.eigvalsh(joint)[-1]))
        return float(np.sqrt(best)) * (1 + SLACK)

    def _reduced(
        self, U: np.ndarray, V: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the eigenvalues of G, g in their basis, and a root of q."""
        B = solve_triangular(self.root, self.weights[:, None] * U.T, lower=True)
        left, sizes, _ = np.linalg.svd(B, full_matrices=False)
        inner = solve_triangular(self.root, V, lower=True)
        return sizes**2, sizes[:, None] * (left.T @ inner), inner


def find_multipliers(
    W: np.ndarray, U: np.ndarray, V: np.ndarray, proposals: list[np.ndarray]
) -> Multipliers | None:
    """Look for weights of the nodes by which outputs are bounded well.

    Parameters
    ----------
    W : ndarray of shape (n_nodes, n_nodes)
        Weights between nodes.
    U : ndarray of shape (n_inputs, n_nodes)
        Weights of inputs.
    V : ndarray of shape (n_nodes, n_outputs)
        Weights of outputs, which are to be bounded jointly.
    proposals : list of ndarray of shape (n_nodes,)
        Weights to start from, up to a factor.

    Returns
    -------
    Multipliers or None
        None if all proposals fail, or the graph is too large.
    """
    if len(W) > MOST_NODES:
        return None
    tensors = torch.from_numpy(W), torch.from_numpy(U), torch.from_numpy(V)
    best, first = np.inf, None
    for proposal in proposals:
        scaled = _scaled(proposal, W, V)
        if scaled is None:
            break  # larger powers are bolder
        bound = _bound(torch.from_numpy(scaled), *tensors)
        if bound is not None and float(bound) < best:
            best, first = float(bound), scaled
    if first is None:
        return None
    n_steps = int(MOST_STEPS * min(1.0, (FULL_NODES / len(W)) ** 3))
    weights = _descend(torch.from_numpy(first), tensors, n_steps).numpy()
    root = _root(torch.from_numpy(_P(W, weights)))
    return None if root is None else Multipliers(weights, root.numpy())


def _P(W: np.ndarray, weights: np.ndarray) -> np.ndarray:
    P: np.ndarray = np.diag(2 * weights) - W * weights - (W * weights).T
    return P


def _scaled(weights: np.ndarray, W: np.ndarray, V: np.ndarray) -> np.ndarray | None:
    """Scale Λ so that P is about twice as large as it has to be."""
    root = _root(torch.from_numpy(_P(W, weights)))
    if root is None:
        return None
    inner = solve_triangular(root.numpy(), V, lower=True)
    return weights * 2 * max(np.linalg.norm(inner, 2) ** 2, 1e-300)


def _root(Q: Tensor) -> Tensor | None:
    """Return the Cholesky factor; None if Q is not safely positive definite."""
    diagonal = Q.diagonal()
    if not bool((diagonal > 0).all()):
        return None
    size = diagonal.sqrt()
    root, info = torch.linalg.cholesky_ex(Q / (size[:, None] * size))
    if bool(info) or float(root.detach().diagonal().min()) ** 2 < LEAST_PIVOT:
        return None
    return root * size[:, None]


def _bound(weights: Tensor, W: Tensor, U: Tensor, V: Tensor) -> Tensor | None:
    """Compute ``L²`` of Λ, differentiable; None if it is none."""
    WL = W * weights
    root = _root(torch.diag(2 * weights) - WL - WL.t() - V @ V.t())
    if root is None:
        return None
    B = torch.linalg.solve_triangular(root, weights[:, None] * U.t(), upper=False)
    gram = B.t() @ B if B.shape[1] < B.shape[0] else B @ B.t()
    return torch.linalg.eigvalsh(gram)[-1]


def _descend(
    weights: Tensor, tensors: tuple[Tensor, Tensor, Tensor], n_steps: int
) -> Tensor:
    """Lower the bound by steps of Adam, which are halved where they fail."""
    rate, best, found = FIRST_RATE, np.inf, weights.log()
    x, mean, square = found.clone(), torch.zeros_like(found), torch.zeros_like(found)
    for step in range(n_steps):
        bound, gradient = _gradient(x, tensors)
        if gradient is None:
            rate, x = rate / 2, found.clone()
            continue
        if bound < best:
            best, found = bound, x.clone()
        mean.lerp_(gradient, 0.1)
        square.lerp_(gradient**2, 0.01)
        direction = mean / (1 - 0.9 ** (step + 1))
        size = (square / (1 - 0.99 ** (step + 1))).sqrt() + 1e-12
        x = x - rate * (1 - step / n_steps) * direction / size
    return found.exp()


def _gradient(
    x: Tensor, tensors: tuple[Tensor, Tensor, Tensor]
) -> tuple[float, Tensor | None]:
    """Compute ``L²`` and the gradient of its logarithm by that of Λ."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        bound = _bound(x.exp(), *tensors)
        if bound is None:
            return np.inf, None
        (gradient,) = torch.autograd.grad(bound.log(), x)
    return bound.item(), gradient


def least_of_scales(
    q: np.ndarray, eigenvalues: np.ndarray, squares: np.ndarray
) -> np.ndarray:
    """Find the least ``λmax(s G + g gᵀ / (1 - q/s))`` of several scales s of Λ.

    Parameters
    ----------
    q : ndarray of shape (n_outputs,)
        What s has to exceed.
    eigenvalues : ndarray of shape (n,)
        Those of G.
    squares : ndarray of shape (n_outputs, n)
        Squares of g in the basis of G.

    Returns
    -------
    ndarray of shape (n_outputs,)
        Of each output, with the scale that suits it.
    """
    diagonals = SCALES[:, None, None] * q[:, None] * eigenvalues
    gains = (SCALES / (SCALES - 1))[:, None, None] * squares
    shape = -1, len(eigenvalues)
    found = largest_eigenvalues(diagonals.reshape(shape), gains.reshape(shape))
    best: np.ndarray = found.reshape(len(SCALES), -1).min(axis=0)
    return best


def largest_eigenvalues(diagonals: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Compute the largest eigenvalue of ``diag(a) + w wᵀ``, rounded up.

    Parameters
    ----------
    diagonals : ndarray of shape (n_matrices, n)
        The numbers a, at least 0.
    squares : ndarray of shape (n_matrices, n)
        The squares of w.

    Returns
    -------
    ndarray of shape (n_matrices,)
        The largest root λ of ``Σ w² / (λ - a) = 1``, found by halving.
    """
    low = diagonals.max(axis=1, initial=0)
    high = low + squares.sum(axis=1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = np.maximum(middle[:, None] - diagonals, 1e-300)
        is_above = (squares / above).sum(axis=1) <= 1
        high, low = np.where(is_above, middle, high), np.where(is_above, low, middle)
    return high
