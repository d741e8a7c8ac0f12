"""Where the time of a training step goes, as the graph grows."""

from __future__ import annotations

import argparse
import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import _common as common
import _repeats as repeats
import _scale_steps as steps

STEP = "the rest"
#: What a step consists of: name, module, class and function of sknm that does it. What
#: one spends inside another counts for the inner one only.
PARTS = [
    ("forward solve", "sknm.graph.equilibrium", "Passage", "run"),
    ("inverse and its refinement", "sknm.graph.equilibrium", "Memory", "reflection"),
    ("gradient inside modules", "sknm.graph.blocks", "ModuleWeights", "take_gradient"),
    ("gradient and prices between", "sknm.plasticity.bridges", "Bridges", "step"),
    ("optimiser", "sknm.compute.adam", "AdamW", "step"),
    ("topology", "sknm.plasticity.modular", "ModularRule", "_look"),
    ("topology", "sknm.plasticity.modular", "ModularRule", "_adopt"),
    ("guarantee", "sknm.plasticity.modular", "ModularRule", "_guard"),
    ("inputs, outputs, loss", "sknm.training.net", "TrainingNet", "_compute_gradients"),
    (STEP, "sknm.training.net", "TrainingNet", "train_step"),
]


class Clock:
    """Seconds that the parts of steps take, without those of the parts inside them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.n_steps = 0
        self._inner: list[float] = []

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a clock around it, which runs in steps only."""

        def run(*args: Any, **kwargs: Any) -> Any:
            if name == STEP:
                self.n_steps += 1
            elif not self._inner:
                return function(*args, **kwargs)
            is_adjoint = getattr(args[0], "is_adjoint", False)
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - start
                own = seconds - self._inner.pop()
                self.seconds["adjoint solve" if is_adjoint else name] += own
                if self._inner:
                    self._inner[-1] += seconds

        return run


@contextmanager
def running() -> Iterator[Clock]:
    """Put a clock around all parts of a step."""
    clock = Clock()
    with ExitStack() as stack:
        for name, module, owner, function in PARTS:
            cls = getattr(importlib.import_module(module), owner)
            timed = clock.timed(name, getattr(cls, function))
            stack.enter_context(mock.patch.object(cls, function, timed))
        yield clock


def measure_profile(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Add up what the steps of a fit with modules spend on each part, per step."""
    data = common.split(args.data, args.data_set, 0)
    fixed = {"max_iter": args.profile_epochs, "batch_size": args.batch_size}
    for n_nodes in args.nodes["profile"]:
        for _ in range(args.repeats):
            spec = steps.modular(n_nodes, args.module_size, **fixed)
            estimator = spec.build(0, data.n_features, data.n_classes)
            with running() as clock:
                repeats.time_fit(estimator, data)
            note = f"{clock.n_steps} steps, {estimator.n_modules_} modules"
            total = sum(clock.seconds.values())
            for part, seconds in {"a step": total, **clock.seconds}.items():
                value = 1e3 * seconds / clock.n_steps
                recorder.add("profile", part, n_nodes, value, "ms", note)
