"""The skorch net that estimators hold: its loop, with whole tensors for batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor

from sknm.graph.blocks import ModuleWeights
from sknm.training.network import Network
from sknm.training.optimizers import change_moments, replace_params
from sknm.training.recipe import Constant, step_scale
from sknm.training.rows import Inputs, Rows, pick

FINITE_CHECK_INTERVAL = 16
"""Steps between two looks at whether the loss is finite."""


class NonFiniteLoss(Exception):
    """The loss of a training step was infinite or not a number."""


class StopTraining(Exception):
    """Raised by a callback to end the training for good reason."""


@dataclass(frozen=True)
class Batch:
    """Rows of one training step, on the network's device.

    Attributes
    ----------
    X : Tensor or SparseBatch of shape (n_samples, n_features)
        Inputs.
    y : Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or scaled targets.
    weights : Tensor of shape (n_samples,) or None
        Sample weights with mean 1.
    """

    X: Inputs
    y: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Table:
    """Rows to train on.

    Attributes
    ----------
    X : Rows
        Inputs, wherever they are.
    y : Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or scaled targets, on the network's device.
    weights : Tensor of shape (n_samples,) or None
        Sample weights with mean 1, on the same device.
    """

    X: Rows
    y: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor | slice) -> Batch:
        """Make a batch of some of the rows."""
        X = self.X.take(rows, self.y.device)
        if isinstance(rows, Tensor):
            rows = rows.to(self.y.device)
        weights = None if self.weights is None else pick(self.weights, rows)
        return Batch(X, pick(self.y, rows), weights)


class Batches:
    """The rows of a table in random order, in batches of nearly equal size.

    Parameters
    ----------
    table : Table
        The rows.
    batch_size : int
        Most rows of a batch.
    generator : torch.Generator
        Source of the order.
    """

    def __init__(
        self, table: Table, batch_size: int, generator: torch.Generator
    ) -> None:
        self.table = table
        self.n_batches = math.ceil(len(table) / batch_size)
        self.generator = generator

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        if self.n_batches == 1:
            yield self.table.take(slice(None))
            return
        order = torch.randperm(len(self.table), generator=self.generator)
        for rows in order.to(self.table.X.device).tensor_split(self.n_batches):
            yield self.table.take(rows)


class TrainingNet(NeuralNet):
    """A skorch net whose topology changes while it is trained.

    Parameters
    ----------
    module : Network
        The network, ready to be used.
    criterion : nn.Module
        Loss of outputs, targets and weights.
    organiser : object
        Changes weights and topology: has ``start``, ``gradient``, ``step_scale``,
        ``before_step``, ``after_step``, ``after_epoch``, ``survivors``, ``resume``,
        ``forget``, ``finish`` and ``progress``, as `sknm.plasticity.fixed.FixedGraph`
        has them.
    generator : torch.Generator
        Source of the order of the rows.
    l2 : float, default=0.0
        Weight decay as a term of the loss, for optimisers that have none.
    **kwargs
        For `skorch.NeuralNet`.
    """

    def __init__(
        self,
        module: Network,
        criterion: Any,
        *,
        organiser: Any,
        generator: torch.Generator,
        l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.organiser = organiser
        self.l2 = l2
        self.generator = generator
        self.schedule: Callable[[int], float] = Constant(0.0)
        self._trained: ModuleWeights | None = None
        super().__init__(module, criterion, train_split=None, verbose=0, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return []

    def get_split_datasets(
        self, X: Table, y: Any = None, **fit_params: Any
    ) -> tuple[Table, None]:
        """Return the table as it is: validation data are a callback's matter."""
        return X, None

    def get_iterator(self, dataset: Table, training: bool = False) -> Batches:
        """Batches of the table."""
        return Batches(dataset, self.batch_size, self.generator)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kwargs: Any
    ) -> None:
        """One pass over the batches, without skorch's records of each of them."""
        if iterator is None:
            return
        total = torch.zeros((), device=self.device)
        for k, batch in enumerate(iterator):
            loss = step_fn(batch)["loss"].detach()
            total += loss * (len(batch) / len(iterator.table))
            if k % FINITE_CHECK_INTERVAL == 0:
                self._check_finite(loss)
        self._check_finite(total)
        self.history.record(f"{prefix}_loss", total.item())

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """One step of the optimiser, and what the organiser makes of it."""
        network = self.module_
        step_size = self._set_step_sizes()
        network.gradient = self.organiser.gradient()
        if isinstance(network.gradient, ModuleWeights):
            self._train_modules(network.gradient)
        network.train()
        is_lbfgs = isinstance(self.optimizer_, torch.optim.LBFGS)
        if is_lbfgs:
            step = super().train_step(batch, **fit_params)
            # What it learnt of the curvature ends where the organiser moves weights.
            self.optimizer_.state.clear()
        else:
            # Skorch's closure and notifications take as long as the small solves.
            self.optimizer_.zero_grad()
            step = self.train_step_single(batch, **fit_params)
            self.optimizer_.step()
        with torch.no_grad():
            network.plan = self.organiser.after_step(
                network.node_weights.data,
                step_size,
                network.memory.is_strained or is_lbfgs,  # whose steps are long
            )
        return step

    def _train_modules(self, modules: ModuleWeights) -> None:
        """Have the optimiser move the weights inside modules instead of all."""
        former, self._trained = self._trained, modules
        if former is modules:
            return
        rearrange = None if former is None else partial(modules.rearrange, former)
        replace_params(self.optimizer_, "node_weights", modules.values, rearrange)

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Loss and gradients of one batch."""
        network = self.module_
        outputs = network(batch.X)
        loss = self.criterion_(outputs, batch.y, batch.weights)
        penalty = network.penalty(batch.weights)
        if penalty is not None:
            loss = loss + penalty
        if self.l2:
            loss = loss + self.l2 / 2 * network.squared_weights()
        loss.backward()
        self.organiser.before_step(network)
        return {"loss": loss, "y_pred": outputs}

    def fit_loop(self, X: Table, y: Any = None, **kwargs: Any) -> TrainingNet:
        """Skorch's loop; a callback may end it."""
        try:
            super().fit_loop(X, y, **kwargs)
        except StopTraining:
            pass
        return self

    def end_epoch(self, table: Table, is_last: bool) -> None:
        """Have the organiser look at the graph, and forget nodes that it removes."""
        network = self.module_
        network.plan = self.organiser.after_epoch(network, table, is_last)
        survivors = self.organiser.survivors()
        if survivors is not None:
            change_moments(self.optimizer_, network.keep(survivors))

    def snapshot(self) -> dict[str, Any]:
        """Copy the network's parameters and edges, to come back to."""
        state = {k: v.detach().clone() for k, v in self.module_.state_dict().items()}
        return {"parameters": state, "plan": self.module_.plan}

    def settle(self) -> None:
        """Have the organiser finish the graph, as at the end of training."""
        W = self.module_.node_weights.data
        with torch.no_grad():
            # Training may go on from before: a copy keeps the organiser as it is.
            self.module_.plan = copy.copy(self.organiser).finish(W)

    def has_finite_loss(self, table: Table) -> bool:
        """Whether the loss of the first batch of the table is a finite number."""
        network, n_rows = self.module_.eval(), min(self.batch_size, len(table))
        batch = table.take(slice(n_rows))
        with torch.no_grad():
            loss = self.criterion_(network(batch.X), batch.y, batch.weights)
        return math.isfinite(loss.item())

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        if not self.module_.load(snapshot["parameters"]):
            # Its averages are those of fewer nodes.
            self.initialize_optimizer()
        self.module_.plan = snapshot["plan"]
        self.organiser.resume(snapshot["plan"])

    def _set_step_sizes(self) -> float:
        """Set the learning rates of this step, and return that of the node weights."""
        rate = self.schedule(self.n_steps_)
        self.n_steps_ += 1
        scales = {"node_weights": self.organiser.step_scale()}
        if not isinstance(self.optimizer_, torch.optim.LBFGS):
            for group in self.optimizer_.param_groups:
                group["lr"] = rate * scales.get(group["name"], group["scale"])
        return rate * scales["node_weights"]

    def initialize(self) -> TrainingNet:
        """Set up the optimiser and count steps from zero."""
        self.n_steps_ = 0
        return super().initialize()

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> TrainingNet:
        """Set up the optimiser, with a step size of its own for the node weights."""
        named = dict(self.module_.named_parameters())
        if self.optimizer is torch.optim.LBFGS:
            groups = [{"name": "all", "params": list(named.values())}]
        else:
            others = {"name": "others", "scale": 1.0, "params": []}
            groups = [others]
            for name, p in named.items():
                scale = step_scale(name, len(p))
                if name == "node_weights" or scale < 1:
                    groups.append({"name": name, "params": [p], "scale": scale})
                else:
                    others["params"].append(p)
        self._trained = None
        options = self.get_params_for("optimizer")
        self.optimizer_ = self.optimizer(groups, lr=self.lr, **options)
        if "optimizer_" not in self.cuda_dependent_attributes_:
            # Skorch pickles these together, so that the optimiser's parameters still
            # are the module's afterwards; it knows torch's own optimisers only.
            self.cuda_dependent_attributes_ += ["optimizer_"]
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state; net and network draw from one generator again."""
        super().__setstate__(state)
        self.module_.generator = self.generator
        if isinstance(self.optimizer_, torch.optim.LBFGS):
            # What torch leaves out of L-BFGS's pickle.
            self.optimizer_._params = self.optimizer_.param_groups[0]["params"]
            self.optimizer_._numel_cache = None

    @staticmethod
    def _check_finite(loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            raise NonFiniteLoss
