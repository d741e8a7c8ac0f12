"""AdamW with as little around the arithmetic as can be."""

from __future__ import annotations

from collections.abc import Iterable
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
        tensors: list[Tensor] = []
        for item in params:
            tensors += item["params"] if isinstance(item, dict) else [item]
        self.param_groups: list[dict[str, Any]] = [
            {
                "params": tensors,
                "lr": lr,
                "weight_decay": weight_decay,
                "betas": betas,
                "eps": eps,
            }
        ]
        self._means = [torch.zeros_like(p) for p in tensors]
        self._squares = [torch.zeros_like(p) for p in tensors]
        self._steps = [
            torch.zeros((), dtype=torch.float32, device=p.device) for p in tensors
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.param_groups[0]["params"]:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters in place."""
        (group,) = self.param_groups
        params: list[Tensor] = group["params"]
        for count in self._steps:
            count += 1
        torch._fused_adamw_(
            params,
            [p.grad for p in params],
            self._means,
            self._squares,
            [],
            self._steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to go on."""
        return {
            "options": {k: v for k, v in self.param_groups[0].items() if k != "params"},
            "means": self._means,
            "squares": self._squares,
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.param_groups[0].update(state["options"])
        self._means = list(state["means"])
        self._squares = list(state["squares"])
        self._steps = list(state["steps"])
