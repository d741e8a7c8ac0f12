"""Activations σ, their slopes σ', and whether σ is a proximal operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Activation:
    """An elementwise function with what the solvers need to know about it.

    A function is a proximal operator when its slope lies in [0, 1]; only then do the
    guarantees of :mod:`sknm.graph.stability` hold.

    Attributes
    ----------
    name : str
        The name that users give.
    value : callable
        ``σ(u)``, a new tensor.
    slope : callable
        ``σ'(u)``; where σ has a kink, the slope on its left.
    proximal : bool
        Whether ``0 <= σ' <= 1`` everywhere.
    kinked : bool
        Whether it is two straight lines that meet in a kink at 0.
    degree : int
        Power of a large value with which σ grows, 1 if it grows more slowly.
    steepest : float
        Largest slope.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    proximal: bool = True
    kinked: bool = False
    degree: int = 1
    steepest: float = 1.0

    def reflect(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """Reflected resolvent ``2σ(u) - u``, written to `out`."""
        if self.name == "relu":
            return torch.abs(u, out=out)
        return torch.sub(self.value(u).mul_(2), u, out=out)

    def rows(self, index: Any) -> Activation:
        """Return the same function: it is the same for all samples."""
        return self


class Gate:
    """The linear map ``v -> D ∘ v`` with slopes ``D`` in [0, 1].

    It takes the place of the activation in the adjoint system ``δ = D ∘ (g + δ Wᵀ)``,
    which therefore is solved by the same solvers as the forward one.

    Parameters
    ----------
    slope : Tensor
        ``D``, of the shape of the values it multiplies.
    """

    proximal = True
    kinked = False

    def __init__(self, slope: Tensor) -> None:
        self._slope = slope

    @cached_property
    def _reflection(self) -> Tensor:
        return torch.add(self._slope, self._slope).sub_(1)

    def value(self, v: Tensor) -> Tensor:
        """``D ∘ v``."""
        return self._slope * v

    def slope(self, v: Tensor) -> Tensor:
        """``D``, whatever `v` is."""
        return self._slope

    def reflect(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        """``(2D - 1) ∘ v``, written to `out`."""
        return torch.mul(self._reflection, v, out=out)

    def rows(self, index: Any) -> Gate:
        """Return the same map for the samples at `index` only."""
        return Gate(self._slope[index])


def _positive(u: Tensor) -> Tensor:
    return torch.relu(u).sign_()  # several times faster than (u > 0).to(u.dtype)


def _tanh_slope(u: Tensor) -> Tensor:
    return 1 - torch.tanh(u) ** 2


def _elu_slope(u: Tensor) -> Tensor:
    return torch.exp(u.clamp_max(0))


def _squared_relu(u: Tensor) -> Tensor:
    return torch.relu(u) ** 2


def _squared_relu_slope(u: Tensor) -> Tensor:
    return 2 * torch.relu(u)


def _leaky_slope(u: Tensor) -> Tensor:
    return torch.where(u > 0, torch.ones_like(u), 0.01)


def _sigmoid_slope(u: Tensor) -> Tensor:
    s = torch.sigmoid(u)
    return s * (1 - s)


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("relu", torch.relu, _positive, kinked=True),
        Activation("leaky_relu", F.leaky_relu, _leaky_slope, kinked=True),
        Activation("tanh", torch.tanh, _tanh_slope),
        Activation("sigmoid", torch.sigmoid, _sigmoid_slope, steepest=0.25),
        Activation("softplus", F.softplus, torch.sigmoid),
        Activation("elu", F.elu, _elu_slope),
        Activation("identity", torch.clone, torch.ones_like),
        Activation(
            "squared_relu",
            _squared_relu,
            _squared_relu_slope,
            proximal=False,
            degree=2,
            steepest=math.inf,
        ),
    )
}
"""Every activation by name."""
