"""The same model in TorchDEQ: ``z = relu(zW + xU + b)``, exact implicit gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SOLVERS = ("fixed_point_iter", "anderson", "broyden")
#: Small enough that hundreds of steps leave the weights, and so the work, as they are.
LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Parameters:
    """Weights to start from; ``mask`` is true where a node edge exists."""

    U: np.ndarray
    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: np.ndarray
    mask: np.ndarray


def random_parameters(n_features: int, n_nodes: int, n_classes: int) -> Parameters:
    """Return a random dense graph of spectral radius about one half."""
    rng = np.random.default_rng(0)
    mask = ~np.eye(n_nodes, dtype=bool)
    return Parameters(
        U=rng.normal(0, n_features**-0.5, (n_features, n_nodes)),
        W=mask * rng.normal(0, 0.5 * n_nodes**-0.5, (n_nodes, n_nodes)),
        b=np.zeros(n_nodes),
        V=rng.normal(0, n_nodes**-0.5, (n_nodes, n_classes)),
        c=np.zeros(n_classes),
        mask=mask,
    )


def is_installed() -> bool:
    """Tell whether TorchDEQ can be imported."""
    try:
        import torchdeq  # noqa: F401
    except ImportError:
        return False
    return True


class Trainer:
    """Trains the model batch by batch.

    The tolerance is TorchDEQ's relative one, ``|f(z) - z| <= tol |f(z)|`` in the worst
    sample, for both passes; the iteration limit is TorchDEQ's default (40).
    """

    def __init__(self, parameters: Parameters, solver: str, tol: float) -> None:
        from torchdeq import get_deq

        self.deq = get_deq(
            ift=True,
            f_solver=solver,
            b_solver=solver,
            f_tol=tol,
            b_tol=tol,
            f_stop_mode="rel",
            b_stop_mode="rel",
        )
        self.mask = torch.as_tensor(parameters.mask, dtype=torch.float32)
        self.weights = [
            torch.tensor(w, dtype=torch.float32, requires_grad=True)
            for w in (parameters.U, parameters.W, parameters.b, parameters.V)
        ]
        self.weights.append(torch.tensor(parameters.c, dtype=torch.float32))
        self.weights[-1].requires_grad_()
        self.optimizer = torch.optim.AdamW(self.weights, LEARNING_RATE, fused=True)
        self.tol = tol

    def step(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Take one AdamW step on a batch, and return the forward solver's report."""
        U, W, b, V, c = self.weights
        z, info = self._solve(X @ U + b, W * self.mask)
        loss = functional.cross_entropy(z @ V + c, y, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return info

    def _solve(self, a: Tensor, W: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return node values with a gradient, and the solver's report."""

        def f(z: Tensor) -> Tensor:
            return torch.relu(torch.addmm(a, z, W))

        states, info = self.deq(f, torch.zeros_like(a))
        return states[-1], info

    def report(self, info: dict[str, Tensor]) -> str:
        """Put the forward solver's report into words."""
        failed = (info["rel_lowest"] > self.tol).float().mean().item()
        return (
            f"{info['nstep'].float().mean():.0f} iterations, "
            f"{failed:.0%} of samples above tolerance"
        )


def batches(
    features: np.ndarray, labels: np.ndarray, size: int
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return a function that draws random batches without end."""
    X, y = torch.as_tensor(features), torch.as_tensor(labels)
    generator = torch.Generator().manual_seed(0)

    def draw() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(X), (size,), generator=generator)
        return X[rows], y[rows]

    return draw
