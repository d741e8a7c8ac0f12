"""AdamW with as little around the arithmetic as can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class AdamW:
    """Decoupled weight decay and Adam's steps (Loshchilov & Hutter 2019).

    It calls torch's fused kernel directly. ``torch.optim.AdamW`` does the same after
    grouping and checking for a time that is three times the kernel's own, and its first
    call imports torch's compiler, which takes seconds.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        What to optimise; a dict holds a list of tensors under "params".
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
        Share, times the learning rate, that each parameter loses per step.
    betas : tuple of float, default=(0.9, 0.999)
        Decay of the averages of the gradient and of its square.
    eps : float, default=1e-8
        Added to the denominator.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        options = {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps}
        groups = [p if isinstance(p, dict) else {"params": [p]} for p in params]
        self.param_groups: list[dict[str, Any]] = [options | group for group in groups]
        self._moments: list[_Moments] = []

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters in place."""
        if not self._moments:
            self._moments = [_Moments(group["params"]) for group in self.param_groups]
        for group, moments in zip(self.param_groups, self._moments, strict=True):
            torch._foreach_add_(moments.steps, 1)
            torch._fused_adamw_(
                group["params"],
                [p.grad for p in group["params"]],
                moments.means,
                moments.squares,
                [],
                moments.steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


def change_moments(optimizer: Any, change: Callable[[Tensor], Tensor]) -> None:
    """Change what an optimiser remembers as its parameters have changed their sizes.

    Parameters
    ----------
    optimizer : AdamW or torch.optim.SGD or torch.optim.LBFGS
        The optimiser.
    change : callable
        Makes a tensor of a parameter's former size one of its present size.
    """
    if isinstance(optimizer, AdamW):
        for moments in optimizer._moments:
            moments.means = [change(mean) for mean in moments.means]
            moments.squares = [change(square) for square in moments.squares]
    elif isinstance(optimizer, torch.optim.LBFGS):
        optimizer._numel_cache = None  # its memory is cleared at each step
    else:
        for state in optimizer.state.values():
            buffer = state.get("momentum_buffer")
            if buffer is not None:
                state["momentum_buffer"] = change(buffer)


class _Moments:
    """Averages of the gradients and of their squares, and the steps done."""

    def __init__(self, params: list[Tensor]) -> None:
        self.means = [torch.zeros_like(p) for p in params]
        self.squares = [torch.zeros_like(p) for p in params]
        self.steps = [torch.zeros((), device=p.device) for p in params]
