"""From options and tensors to a trained net."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from sknm.training.monitor import Monitor
from sknm.training.net import NonFiniteLoss, Table, TrainingNet
from sknm.training.network import Network
from sknm.training.optimizers import AdamW
from sknm.training.recipe import Constant, OneCycle

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


def build_net(
    network: Network,
    criterion: nn.Module,
    organiser: Any,
    generator: torch.Generator,
    options: Options,
) -> TrainingNet:
    """Put a network and its optimiser into a skorch net.

    Parameters
    ----------
    network : Network
        What to train.
    criterion : nn.Module
        The loss.
    organiser : object
        What changes the topology, see `TrainingNet`.
    generator : torch.Generator
        Source of the order of the rows.
    options : Options
        How to train.

    Returns
    -------
    TrainingNet
        Initialised.
    """
    net = TrainingNet(
        network,
        criterion,
        organiser=organiser,
        generator=generator,
        batch_size=options.batch_size,
        device=options.device,
        **_optimizer_arguments(options),
    )
    return net.initialize()


def _optimizer_arguments(options: Options) -> dict[str, Any]:
    if options.optimizer == "lbfgs":
        # L-BFGS takes no weight decay: the network's loss holds it, see TrainingNet.
        return {
            "optimizer": torch.optim.LBFGS,
            "lr": 1.0,
            "optimizer__max_iter": LBFGS_ITERATIONS,
            "optimizer__line_search_fn": "strong_wolfe",
            "l2": options.alpha,
        }
    if options.optimizer == "sgd":
        return {
            "optimizer": torch.optim.SGD,
            "lr": options.learning_rate,
            "optimizer__weight_decay": options.alpha,
            "optimizer__momentum": 0.9,
            "optimizer__nesterov": True,
        }
    # Skorch knows the parameters of torch's own optimisers only.
    adamw = partial(AdamW, weight_decay=options.alpha)
    return {
        "optimizer": adamw,
        "lr": options.learning_rate,
    }


def train(
    net: TrainingNet,
    table: Table,
    n_epochs: int,
    learning_rate: float,
    monitor: Monitor,
    one_cycle: bool,
) -> str:
    """Run epochs until the last one, or until there is reason to stop.

    Parameters
    ----------
    net : TrainingNet
        What to train.
    table : Table
        Training data.
    n_epochs : int
        Most epochs.
    learning_rate : float
        Peak of the learning rate.
    monitor : Monitor
        Looks at each epoch.
    one_cycle : bool
        Whether the learning rate rises and falls, or stays.

    Returns
    -------
    {"finished", "interrupted", "diverged"}
        How it ended. After "diverged" the net is back in its last finite state.
    """
    n_steps = n_epochs * len(net.get_iterator(table, training=True))
    net.schedule = (
        OneCycle(learning_rate, n_steps) if one_cycle else Constant(learning_rate)
    )
    net.n_steps_ = 0
    net.callbacks_ = [("monitor", monitor)]
    net.notify("on_train_begin", X=table, y=None)
    net.ending_ = ending = _loop(net, table, n_epochs)
    if ending == "diverged":
        # What rules and optimiser remember is no longer finite, either.
        net.organiser.forget()
        net.restore(monitor.last)
        net.initialize_optimizer()
    elif monitor.stops and monitor.best is not None:
        net.restore(monitor.best)
    monitor.forget()
    return ending


def _loop(net: TrainingNet, table: Table, n_epochs: int) -> str:
    try:
        net.fit_loop(table, epochs=n_epochs)
    except KeyboardInterrupt:
        return "interrupted"
    except NonFiniteLoss:
        return "diverged"
    return "finished" if net.has_finite_loss(table) else "diverged"


def choose_device(name: str) -> str:
    """Find the device that a user's `device` means.

    Parameters
    ----------
    name : str
        What the user gave.

    Returns
    -------
    str
        Name of a device that is there.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else _mps_or_cpu()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device={name!r} is not the name of a device; use 'cpu', 'cuda', "
            "'cuda:1', 'mps' or 'auto'."
        ) from error
    if not is_available(device):
        raise ValueError(
            f"device={name!r} is not available on this machine; use device='cpu', or "
            "device='auto' for the best one there is."
        )
    return name


def is_available(device: torch.device) -> bool:
    """Whether tensors can be made on a device."""
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"


def _mps_or_cpu() -> str:
    return "mps" if torch.backends.mps.is_available() else "cpu"
