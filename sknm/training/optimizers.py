"""The optimisers: which there are, and AdamW with little around the arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sknm.compute.settings import own_settings

LBFGS_ITERATIONS = 4
"""Iterations of L-BFGS that make an epoch: after more of them, the graph would be far
from what has a solution before it is guarded."""


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes
    ----------
    optimizer : {"adamw", "sgd", "lbfgs"}
        Which optimiser.
    learning_rate : float
        Peak of the learning rate.
    alpha : float
        Weight decay.
    batch_size : int
        Rows per step.
    device : str
        Where to compute.
    """

    optimizer: str
    learning_rate: float
    alpha: float
    batch_size: int
    device: str

    @property
    def l2(self) -> float:
        """Weight decay as a term of the loss: L-BFGS has none of its own."""
        return self.alpha if self.optimizer == "lbfgs" else 0.0

    def make_optimizer(self, groups: list[dict[str, Any]]) -> Any:
        """Make the optimiser of some groups of parameters."""
        if self.optimizer == "lbfgs":
            return torch.optim.LBFGS(
                groups, 1.0, max_iter=LBFGS_ITERATIONS, line_search_fn="strong_wolfe"
            )
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                groups,
                self.learning_rate,
                momentum=0.9,
                weight_decay=self.alpha,
                nesterov=True,
            )
        return AdamW(groups, self.learning_rate, self.alpha)

    def set_decay(self, optimizer: Any) -> None:
        """Have an optimiser go on with this weight decay."""
        for group in optimizer.param_groups:
            if "weight_decay" in group:
                group["weight_decay"] = self.alpha


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
        self._prepare()
        for group, moments in zip(self.param_groups, self._moments, strict=True):
            if params := group["params"]:
                torch._foreach_add_(moments.steps, 1)
                _move(group, params, [p.grad for p in params], moments)

    @torch.no_grad()
    def step_by_rows(
        self, gradient: Callable[[slice], Tensor], n_rows: int
    ) -> Iterator[slice]:
        """Change the only parameter some rows at a time: no gradient of all is made.

        Parameters
        ----------
        gradient : callable
            Returns the gradient of some rows.
        n_rows : int
            Rows to change at a time.

        Yields
        ------
        slice
            Rows that have been changed.
        """
        self._prepare()
        (group,), (moments,) = self.param_groups, self._moments
        (p,) = group["params"]
        torch._foreach_add_(moments.steps, 1)
        for start in range(0, len(p), n_rows):
            rows = slice(start, start + n_rows)
            _move(group, [p[rows]], [gradient(rows)], moments.rows(rows))
            yield rows

    def replace(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        rearrange: Callable[[list[Tensor]], list[Tensor]] | None,
    ) -> None:
        """Go on with other parameters of a group.

        Parameters
        ----------
        group : dict
            One of the groups.
        params : list of Tensor
            Its new parameters.
        rearrange : callable, optional
            Makes averages of the new ones from those of the old; without it, they start
            from zero.
        """
        group["params"] = params
        if not self._moments:
            return
        k = next(k for k, known in enumerate(self.param_groups) if known is group)
        former, self._moments[k] = self._moments[k], _Moments(params)
        if rearrange is not None:
            self._moments[k].follow(former, rearrange)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the parameters, which are others', as arrays and numbers."""
        return {
            "param_groups": [group | {"params": []} for group in self.param_groups],
            "moments": [moments.as_arrays() for moments in self._moments],
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state; the parameters have to be given to the groups."""
        self.param_groups = state["param_groups"]
        self._moments = [_Moments.of_arrays(arrays) for arrays in state["moments"]]

    def _prepare(self) -> None:
        if not self._moments:
            self._moments = [_Moments(group["params"]) for group in self.param_groups]


def _move(
    group: dict[str, Any], params: list[Tensor], grads: list[Any], moments: _Moments
) -> None:
    torch._fused_adamw_(
        params,
        grads,
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


def replace_params(
    optimizer: Any,
    name: str,
    params: list[Tensor],
    rearrange: Callable[[list[Tensor]], list[Tensor]] | None,
) -> None:
    """Let an optimiser go on with other parameters of a group.

    Parameters
    ----------
    optimizer : AdamW or torch.optim.SGD or torch.optim.LBFGS
        The optimiser.
    name : str
        Name of the group.
    params : list of Tensor
        New parameters.
    rearrange : callable, optional
        Makes what is remembered of the new ones from what is of the old; without
        it, that starts from zero.
    """
    group = next((g for g in optimizer.param_groups if g["name"] == name), None)
    if group is None:  # L-BFGS has one of all parameters, and remembers nothing
        return
    if isinstance(optimizer, AdamW):
        optimizer.replace(group, params, rearrange)
        return
    states = [optimizer.state.pop(p, {}) for p in group["params"]]
    buffers = [state.get("momentum_buffer") for state in states]
    group["params"] = params
    if rearrange is not None and all(buffer is not None for buffer in buffers):
        for p, buffer in zip(params, rearrange(buffers), strict=True):
            optimizer.state[p] = {"momentum_buffer": buffer}


def memory_of(optimizer: Any) -> Any:
    """Return what an optimiser remembers, as arrays and numbers.

    Parameters
    ----------
    optimizer : AdamW or torch.optim.SGD or torch.optim.LBFGS
        The optimiser.

    Returns
    -------
    object
        For :func:`remember`.
    """
    if isinstance(optimizer, AdamW):
        return optimizer.__getstate__()["moments"]
    states = [
        [optimizer.state.get(p, {}).get("momentum_buffer") for p in group["params"]]
        for group in optimizer.param_groups
    ]
    return [[None if b is None else b.cpu().numpy() for b in group] for group in states]


def remember(optimizer: Any, memory: Any) -> None:
    """Have a new optimiser remember what another one did.

    Parameters
    ----------
    optimizer : AdamW or torch.optim.SGD or torch.optim.LBFGS
        The optimiser, on the CPU.
    memory : object
        What :func:`memory_of` returned.
    """
    if isinstance(optimizer, AdamW):
        optimizer._moments = [_Moments.of_arrays(arrays) for arrays in memory]
        return
    for group, buffers in zip(optimizer.param_groups, memory, strict=True):
        for p, buffer in zip(group["params"], buffers, strict=True):
            if buffer is not None:
                known = {"momentum_buffer": torch.tensor(buffer, device="cpu")}
                optimizer.state[p] = known


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
        self.steps = [
            torch.zeros((), dtype=torch.float32, device=p.device) for p in params
        ]

    def as_arrays(self) -> dict[str, list[Any]]:
        """Copy them as arrays and numbers."""
        return {
            "means": [mean.cpu().numpy() for mean in self.means],
            "squares": [square.cpu().numpy() for square in self.squares],
            "steps": [step.item() for step in self.steps],
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, list[Any]]) -> _Moments:
        """Make them of arrays and numbers, on the CPU."""
        moments = cls([])
        moments.means = [torch.tensor(a, device="cpu") for a in arrays["means"]]
        moments.squares = [torch.tensor(a, device="cpu") for a in arrays["squares"]]
        moments.steps = [
            torch.tensor(step, dtype=torch.float32, device="cpu")
            for step in arrays["steps"]
        ]
        return moments

    def rows(self, rows: slice) -> _Moments:
        """Those of some rows, which share the memory."""
        own = copy.copy(self)
        own.means = [mean[rows] for mean in self.means]
        own.squares = [square[rows] for square in self.squares]
        return own

    def follow(
        self, former: _Moments, rearrange: Callable[[list[Tensor]], list[Tensor]]
    ) -> None:
        """Take over what was known of parameters of another arrangement."""
        self.means, self.squares = rearrange(former.means), rearrange(former.squares)
        if former.steps:
            self.steps = [former.steps[0].clone() for _ in self.means]
