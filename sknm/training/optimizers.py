"""The optimisers, behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from sknm.compute.adam import AdamW
from sknm.compute.groups import ParameterGroup
from sknm.graph.blocks import ModuleWeights
from sknm.graph.state import GraphState
from sknm.training.recipe import Options

LBFGS_ITERATIONS = 4
"""Iterations of L-BFGS that make an epoch: after more of them, the graph would be far
from what has a solution before it is guarded."""

Rearrange = Callable[[list[Tensor]], list[Tensor]]


class Optimizer(ABC):
    """Moves parameters, each group of them as the group says.

    Parameters
    ----------
    groups : list of ParameterGroup
        What to optimise. Step scale and parameters of a group that is variable may
        change later.
    options : Options
        How to train.

    Attributes
    ----------
    is_stochastic : bool
        Whether each step takes some rows and stands for itself. Otherwise steps take
        all rows, go far, and need a loss that is the same each time it is asked for.
    """

    is_stochastic: ClassVar[bool] = True

    def __init__(self, groups: list[ParameterGroup], options: Options) -> None:
        self._groups = groups
        self._alpha = options.alpha

    @abstractmethod
    def step(self, closure: Callable[[], Tensor], rate: float) -> Tensor:
        """Change the parameters in place.

        Parameters
        ----------
        closure : callable
            Computes the loss and the gradients.
        rate : float
            Learning rate.

        Returns
        -------
        Tensor
            The loss before the step.
        """

    @abstractmethod
    def set_decay(self, alpha: float) -> None:
        """Go on with another weight decay."""

    @abstractmethod
    def follow(self, graph: GraphState, is_known: bool = True) -> None:
        """Move what the graph says is to be trained.

        Parameters
        ----------
        graph : GraphState
            The graph.
        is_known : bool, default=True
            Whether what is remembered of its weights, as momentum, still holds.
        """

    @abstractmethod
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

    def rest(self) -> None:  # noqa: B027
        """Forget what only steps that follow at once would need."""

    def fits(self) -> bool:
        """Whether what is remembered is of parameters of their present sizes."""
        return True

    def memory(self) -> Any:
        """Return what is remembered, as arrays and numbers, None if nothing is."""
        return None

    def outline(self) -> Any:
        """Return what would be left of the memory after :meth:`rest`."""
        return None

    def remember(self, memory: Any, graph: GraphState) -> None:  # noqa: B027
        """Remember what another optimiser of the same parameters did.

        Parameters
        ----------
        memory : object
            What :meth:`memory` returned.
        graph : GraphState
            The graph that is trained, on the CPU.
        """

    def _hold(self) -> None:
        """Leave alone what is to be left alone."""
        for group in self._groups:
            if group.held is not None:
                for p in group.params:
                    assert p.grad is not None, "gradients come first"
                    p.grad.masked_fill_(group.held, 0)


class _Stochastic(Optimizer):
    """What steps that stand for themselves have in common."""

    def __init__(self, groups: list[ParameterGroup], options: Options) -> None:
        super().__init__(_joined(groups), options)
        self._modules: ModuleWeights | None = None
        of_groups = [
            {
                "params": list(g.params),
                "lr": 0.0,
                "weight_decay": options.alpha * g.decay,
            }
            for g in self._groups
        ]
        self._inner = self._make(of_groups, options)

    @abstractmethod
    def _make(self, of_groups: list[dict[str, Any]], options: Options) -> Any:
        """Make what computes the steps."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters and their treatment, as torch has it."""
        groups: list[dict[str, Any]] = self._inner.param_groups
        return groups

    def step(self, closure: Callable[[], Tensor], rate: float) -> Tensor:
        """Change the parameters in place."""
        for group, options in zip(self._groups, self.param_groups, strict=True):
            options["lr"] = rate * group.step_scale
        self._inner.zero_grad()
        loss = closure()
        self._hold()
        self._inner.step()
        return loss

    def set_decay(self, alpha: float) -> None:
        """Go on with another weight decay."""
        for group, options in zip(self._groups, self.param_groups, strict=True):
            options["weight_decay"] = alpha * group.decay

    def follow(self, graph: GraphState, is_known: bool = True) -> None:
        """Move the weights inside modules, if so, instead of all."""
        trained = graph.trained
        modules = trained if isinstance(trained, ModuleWeights) else None
        former = self._modules
        if is_known and former is modules:
            return
        params: list[Tensor] = [graph.weights]
        rearrange: Rearrange | None = None
        if modules is not None:
            params = modules.values
            if is_known and former is not None:
                rearrange = partial(modules.rearrange, former)
        k = next(k for k, known in enumerate(self._groups) if known is graph.group)
        self._replace(self.param_groups[k], params, rearrange)
        graph.group.params = params
        self._modules = modules

    @abstractmethod
    def _replace(
        self, options: dict[str, Any], params: list[Tensor], rearrange: Rearrange | None
    ) -> None:
        """Go on with other parameters of a group, and what is remembered of them."""

    def memory(self) -> Any:
        """Return what is remembered, as arrays and numbers."""
        return {"modules": self._labels, "steps": self._memory()}

    @property
    def _labels(self) -> Any:
        return None if self._modules is None else self._modules.labels

    def remember(self, memory: Any, graph: GraphState) -> None:
        """Remember what another optimiser of the same parameters did."""
        if memory is None:
            return
        labels, trained = memory["modules"], graph.trained
        if labels is not None:
            trained = ModuleWeights(labels, graph.weights.detach())
        elif isinstance(trained, ModuleWeights):
            trained = "all"
        graph.train_on(trained, graph.group.step_scale, graph.group.held)
        self.follow(graph)
        self._remember(memory["steps"])

    @abstractmethod
    def _memory(self) -> Any: ...

    @abstractmethod
    def _remember(self, memory: Any) -> None: ...


class AdamWOptimizer(_Stochastic):
    """AdamW."""

    _inner: AdamW

    def rest(self) -> None:
        """Remember about how large gradients are, and no momentum."""
        self._inner = self._inner.compressed()

    def outline(self) -> Any:
        """Return what would be left of the memory after :meth:`rest`."""
        return {"modules": self._labels, "steps": self._inner.compressed().memory()}

    def change(
        self, params: Collection[Tensor], change: Callable[[Tensor], Tensor]
    ) -> None:
        """Change what is remembered of parameters as their sizes have changed."""
        self._inner.change(params, change)

    def fits(self) -> bool:
        """Whether what is remembered is of parameters of their present sizes."""
        return self._inner.fits()

    def _make(self, of_groups: list[dict[str, Any]], options: Options) -> AdamW:
        return AdamW(of_groups, betas=(0.9, options.memory))

    def _replace(
        self, options: dict[str, Any], params: list[Tensor], rearrange: Rearrange | None
    ) -> None:
        self._inner.replace(options, params, rearrange)

    def _memory(self) -> Any:
        return self._inner.memory()

    def _remember(self, memory: Any) -> None:
        self._inner.remember(memory)


class SGDOptimizer(_Stochastic):
    """Stochastic gradient descent with Nesterov's momentum."""

    _inner: torch.optim.SGD

    def rest(self) -> None:
        """Forget the momentum."""
        self._inner.state.clear()

    def change(
        self, params: Collection[Tensor], change: Callable[[Tensor], Tensor]
    ) -> None:
        """Change what is remembered of parameters as their sizes have changed."""
        for p in params:
            state = self._inner.state.get(p, {})
            if state.get("momentum_buffer") is not None:
                state["momentum_buffer"] = change(state["momentum_buffer"])

    def fits(self) -> bool:
        """Whether what is remembered is of parameters of their present sizes."""
        buffers = ((p, self._buffer(p)) for p in self._inner.state)
        return all(buffer is None or buffer.shape == p.shape for p, buffer in buffers)

    def _make(
        self, of_groups: list[dict[str, Any]], options: Options
    ) -> torch.optim.SGD:
        return torch.optim.SGD(of_groups, 1.0, momentum=0.9, nesterov=True)

    def _replace(
        self, options: dict[str, Any], params: list[Tensor], rearrange: Rearrange | None
    ) -> None:
        states = [self._inner.state.pop(p, {}) for p in options["params"]]
        buffers = [state.get("momentum_buffer") for state in states]
        options["params"] = params
        if rearrange is None or any(buffer is None for buffer in buffers):
            return
        for p, buffer in zip(params, rearrange(buffers), strict=True):
            self._inner.state[p] = {"momentum_buffer": buffer}

    def _memory(self) -> Any:
        return [
            [self._buffer(p) for p in options["params"]]
            for options in self.param_groups
        ]

    def _buffer(self, p: Tensor) -> Any:
        buffer = self._inner.state.get(p, {}).get("momentum_buffer")
        return None if buffer is None else buffer.cpu().numpy()

    def _remember(self, memory: Any) -> None:
        for options, buffers in zip(self.param_groups, memory, strict=True):
            for p, buffer in zip(options["params"], buffers, strict=True):
                if buffer is not None:
                    known = {"momentum_buffer": torch.tensor(buffer, device="cpu")}
                    self._inner.state[p] = known


class LBFGSOptimizer(Optimizer):
    """L-BFGS: all rows at once, with a line search that sets the length of steps."""

    is_stochastic = False

    def __init__(self, groups: list[ParameterGroup], options: Options) -> None:
        super().__init__(groups, options)
        self._inner = torch.optim.LBFGS(
            [p for group in groups for p in group.params],
            1.0,
            max_iter=LBFGS_ITERATIONS,
            line_search_fn="strong_wolfe",
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters and their treatment, as torch has it."""
        groups: list[dict[str, Any]] = self._inner.param_groups
        return groups

    def step(self, closure: Callable[[], Tensor], rate: float) -> Tensor:
        """Change the parameters in place; the line search knows a better rate."""
        # What it learnt of the curvature ends where a rule moves weights; a step that
        # was interrupted leaves half of it.
        self._inner.state.clear()

        def evaluate() -> Tensor:
            self._inner.zero_grad()
            loss = closure()
            if self._alpha:
                # It has no weight decay of its own.
                decay = self._alpha / 2 * self._squared_weights()
                decay.backward()
                loss = loss + decay.detach()
            self._hold()
            return loss

        loss: Tensor = self._inner.step(evaluate)
        return loss

    def set_decay(self, alpha: float) -> None:
        """Go on with another weight decay."""
        self._alpha = alpha

    def follow(self, graph: GraphState, is_known: bool = True) -> None:
        """Move all weights, as ever, and remember nothing."""

    def change(
        self, params: Collection[Tensor], change: Callable[[Tensor], Tensor]
    ) -> None:
        """Forget how many numbers there were."""
        self._inner._numel_cache = None

    def _squared_weights(self) -> Tensor:
        squares = [
            group.ridge * p.square().sum()
            for group in self._groups
            if group.ridge
            for p in group.params
        ]
        return torch.stack(squares).sum()


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adamw": AdamWOptimizer,
    "sgd": SGDOptimizer,
    "lbfgs": LBFGSOptimizer,
}
"""Every optimiser by name."""


def _joined(groups: list[ParameterGroup]) -> list[ParameterGroup]:
    """Join groups that are treated alike, so that they are moved together."""
    joined: list[ParameterGroup] = []
    known: dict[Any, ParameterGroup] = {}
    for group in groups:
        if group.is_variable or group.held is not None or not group.params:
            joined.append(group)
            continue
        treatment = group.step_scale, group.decay, group.params[0].dtype
        if treatment in known:
            known[treatment].params.extend(group.params)
        else:
            # A copy, since whoever made the group may keep it.
            known[treatment] = replace(group, params=list(group.params))
            joined.append(known[treatment])
    return joined
