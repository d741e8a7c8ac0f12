"""AdamW with little around the arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from sknm.compute.settings import own_settings


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
        self._expand()
        group["params"] = params
        if not self._moments:
            return
        k = next(k for k, known in enumerate(self.param_groups) if known is group)
        former, self._moments[k] = self._moments[k], _Moments(params)
        if rearrange is not None:
            self._moments[k].follow(former, rearrange)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the parameters, which are others', as arrays and numbers."""
        groups = [group | {"params": []} for group in self.param_groups]
        return {"param_groups": groups, "memory": self.memory()}

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state; the parameters have to be given to the groups."""
        self.param_groups = state["param_groups"]
        self._moments = []
        self.remember(state["memory"])

    def memory(self) -> list[dict[str, list[Any]]]:
        """Return what is remembered of the parameters, as arrays and numbers."""
        return [moments.as_arrays() for moments in self._moments]

    def remember(self, memory: list[dict[str, list[Any]]]) -> None:
        """Remember what another optimiser of the same parameters did."""
        self._moments = [_Moments.of_arrays(arrays) for arrays in memory]

    def fits(self) -> bool:
        """Whether what is remembered is of parameters of these sizes."""
        pairs = list(zip(self.param_groups, self._moments, strict=False))
        if any(len(g["params"]) != len(moments.steps) for g, moments in pairs):
            return False
        self._expand()
        return all(
            [p.shape for p in group["params"]] == [m.shape for m in moments.means]
            for group, moments in pairs
        )

    def compressed(self) -> AdamW:
        """Make one that remembers little: how large gradients are, by rows and columns.

        Steps that follow at once would need more. But later ones are not too large, as
        they would be if nothing were known.
        """
        other = copy.copy(self)
        other._moments = [moments.compressed() for moments in self._moments]
        return other

    def __copy__(self) -> AdamW:
        """Make one with groups of its own that shares parameters and memory."""
        other = object.__new__(AdamW)
        other.param_groups = [dict(group) for group in self.param_groups]
        other._moments = list(self._moments)
        return other

    def change(
        self, params: Collection[Tensor], change: Callable[[Tensor], Tensor]
    ) -> None:
        """Change what is remembered of parameters as their sizes have changed.

        Parameters
        ----------
        params : collection of Tensor
            Which parameters.
        change : callable
            Makes a tensor of their former size one of their present size.
        """
        self._expand()
        changed = {id(p) for p in params}
        for group, moments in zip(self.param_groups, self._moments, strict=False):
            for k, p in enumerate(group["params"]):
                if id(p) in changed:
                    moments.means[k] = change(moments.means[k])
                    moments.squares[k] = change(moments.squares[k])

    def _prepare(self) -> None:
        if not self._moments:
            self._moments = [_Moments(group["params"]) for group in self.param_groups]
        self._expand()

    def _expand(self) -> None:
        for group, moments in zip(self.param_groups, self._moments, strict=False):
            moments.expand(group["params"])


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


class _Moments:
    """Averages of the gradients and of their squares, and the steps done."""

    def __init__(self, params: list[Tensor]) -> None:
        self.means = [torch.zeros_like(p) for p in params]
        self.squares = [torch.zeros_like(p) for p in params]
        self.steps = [
            torch.zeros((), dtype=torch.float32, device=p.device) for p in params
        ]
        self.outlines: list[list[Tensor]] | None = None

    def compressed(self) -> _Moments:
        """Keep of the squares what rows and columns have on average, and no means."""
        moments = _Moments([])
        moments.steps = [step.clone() for step in self.steps]
        moments.outlines = self.outlines
        if self.outlines is None:
            moments.outlines = [_outline(square) for square in self.squares]
        return moments

    def expand(self, params: list[Tensor]) -> None:
        """Guess the squares again, where the parameters are; the means are zero."""
        if self.outlines is None:
            return
        self.squares = [
            _filled(*(t.to(p.device) for t in outline))
            for p, outline in zip(params, self.outlines, strict=True)
        ]
        self.means = [torch.zeros_like(square) for square in self.squares]
        self.steps = [
            step.to(p.device) for p, step in zip(params, self.steps, strict=True)
        ]
        self.outlines = None

    def as_arrays(self) -> dict[str, list[Any]]:
        """Copy them as arrays and numbers."""
        outlines = self.outlines or []
        return {
            "means": [mean.cpu().numpy() for mean in self.means],
            "squares": [square.cpu().numpy() for square in self.squares],
            "outlines": [[t.cpu().numpy() for t in outline] for outline in outlines],
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
        if arrays["outlines"]:
            moments.outlines = [
                [torch.tensor(a, device="cpu") for a in outline]
                for outline in arrays["outlines"]
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


def _outline(squares: Tensor) -> list[Tensor]:
    """Take the means of rows and columns (Shazeer & Stern 2018, "Adafactor")."""
    if squares.ndim < 2 or not squares.numel():
        return [squares.clone()]
    return [squares.mean(-1), squares.mean(-2)]


def _filled(rows: Tensor, columns: Tensor | None = None) -> Tensor:
    """Make squares that have these means, if they are of rank one."""
    if columns is None:
        return rows.clone()
    scale = rows.mean(-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return (rows / scale)[..., None] * columns[..., None, :]
