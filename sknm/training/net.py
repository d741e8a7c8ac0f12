"""The skorch net that estimators hold: its loop, with whole tensors for batches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn

from sknm.compute.devices import is_available
from sknm.compute.settings import own_settings
from sknm.graph.blocks import ModuleWeights
from sknm.graph.equilibrium import Gradient, Memory
from sknm.training.batches import Batch, Batches, Table
from sknm.training.network import Network
from sknm.training.optimizers import (
    Options,
    change_moments,
    memory_of,
    remember,
    replace_params,
)
from sknm.training.recipe import Constant, step_scale

FINITE_CHECK_INTERVAL = 16
"""Steps between two looks at whether the loss is finite."""

KEPT_HISTORY = 1000
"""Epochs of earlier calls that are remembered: so that a call costs the same after any
number of others."""


class NonFiniteLoss(Exception):
    """The loss of a training step was infinite or not a number."""


class StopTraining(Exception):
    """Raised by a callback to end the training for good reason."""


def _is_finite(loss: Tensor) -> bool:
    """Whether a loss is a number, in double precision one that single could hold."""
    return abs(loss.item()) <= torch.finfo(torch.float32).max


def _refused(name: str) -> Callable[..., Any]:
    """Make a method of skorch's that has no meaning here say where to go."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"net_.{name} is not to be used: the net trains on tables of tensors and "
            "knows neither labels nor scales. Call the methods of the estimator that "
            "holds it: fit, partial_fit, predict, predict_proba, node_values, or "
            "sklearn.base.clone(estimator)."
        )

    method.__name__ = name
    method.__doc__ = "Refuse: the estimator that holds the net has such a method."
    return method


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
    options : Options
        How to train.
    """

    def __init__(
        self,
        module: Network,
        criterion: Any,
        *,
        organiser: Any,
        generator: torch.Generator,
        options: Options,
    ) -> None:
        self.organiser = organiser
        self.options = options
        self.generator = generator
        self.schedule: Callable[[int], float] = Constant(0.0)
        self._trained: ModuleWeights | None = None
        self._backup: dict[str, Any] | None = None
        super().__init__(
            module,
            criterion,
            batch_size=options.batch_size,
            device=options.device,
            train_split=None,
            verbose=0,
        )

    fit = _refused("fit")
    partial_fit = _refused("partial_fit")
    predict = _refused("predict")
    predict_proba = _refused("predict_proba")
    forward = _refused("forward")
    forward_iter = _refused("forward_iter")
    infer = _refused("infer")
    evaluation_step = _refused("evaluation_step")
    validation_step = _refused("validation_step")
    set_params = _refused("set_params")
    save_params = _refused("save_params")
    load_params = _refused("load_params")
    trim_for_prediction = _refused("trim_for_prediction")
    __sklearn_clone__ = _refused("__sklearn_clone__")

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
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        for k, batch in enumerate(iterator):
            loss = step_fn(batch)["loss"].detach()
            total = total + loss * (len(batch) / len(iterator.table))
            if k % FINITE_CHECK_INTERVAL == 0:
                self._check_finite(loss)
        self._check_finite(total)
        self.history.record(f"{prefix}_loss", total.item())

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """One step of the optimiser, and what the organiser makes of it."""
        network = self.module_
        step_size = self._set_step_sizes()
        network.gradient = self.organiser.gradient()
        self._train_modules(network.gradient)
        network.train()
        is_lbfgs = isinstance(self.optimizer_, torch.optim.LBFGS)
        if is_lbfgs:
            # What it learnt of the curvature ends where the organiser moves weights;
            # a step that was interrupted leaves half of it.
            self.optimizer_.state.clear()
            step = self._train_step_with_closure(batch)
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

    def _train_step_with_closure(self, batch: Batch) -> dict[str, Any]:
        """One step of an optimiser that asks for the loss several times."""
        steps = []

        def closure() -> Tensor:
            self.optimizer_.zero_grad()
            steps.append(self.train_step_single(batch))
            return steps[-1]["loss"]

        self.optimizer_.step(closure)
        return steps[0]

    def _train_modules(self, gradient: Gradient | ModuleWeights) -> None:
        """Have the optimiser move the weights inside modules, if so, instead of all."""
        modules = gradient if isinstance(gradient, ModuleWeights) else None
        former, self._trained = self._trained, modules
        if former is modules:
            return
        if modules is None:
            params, rearrange = [self.module_.node_weights], None
        else:
            params = modules.values
            rearrange = None if former is None else partial(modules.rearrange, former)
        replace_params(self.optimizer_, "node_weights", params, rearrange)

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Loss and gradients of one batch."""
        network = self.module_
        outputs = network(batch.X)
        loss = self.criterion_(outputs, batch.y, batch.weights)
        penalty = network.penalty(batch.weights)
        if penalty is not None:
            loss = loss + penalty
        if self.options.l2:
            loss = loss + self.options.l2 / 2 * network.squared_weights()
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

    def start(self, set_rule: Callable[[Any], None]) -> None:
        """Have the organiser take up the graph, as at the beginning of training.

        Parameters
        ----------
        set_rule : callable
            Tells the organiser how to change the graph from now on.
        """
        network, former = self.module_, dict(vars(self.organiser))
        set_rule(self.organiser)
        if self.history and vars(self.organiser) != former:
            # What is remembered of the weights, as momentum, comes of other prices.
            self.organiser.forget()
            self._train_modules("all")
            W = [network.node_weights]
            replace_params(self.optimizer_, "node_weights", W, None)
        for history in (self.history, self.organiser.history):
            del history[:-KEPT_HISTORY]
        with torch.no_grad():
            network.plan = self.organiser.start(network.node_weights.data)

    def follow(self, options: Options, criterion: Any) -> None:
        """Go on with other options.

        Parameters
        ----------
        options : Options
            How to train from now on.
        criterion : nn.Module
            The loss from now on.
        """
        former, self.options = self.options, options
        self.criterion = self.criterion_ = criterion
        self.batch_size = options.batch_size
        if options.device != self.device:
            self.move(options.device)
        elif options.optimizer != former.optimizer:
            self.initialize_optimizer()
        else:
            options.set_decay(self.optimizer_)

    def move(self, device: str) -> TrainingNet:
        """Bring all to a device; what the organiser and the optimiser know is lost."""
        self.device = device
        self.module_.move(device)
        self.organiser.forget()
        self.organiser.resume(self.module_.plan)
        self.initialize_optimizer()
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
        locality = copy.deepcopy(vars(self.organiser).get("locality"))
        return {"parameters": state, "plan": self.module_.plan, "locality": locality}

    def back_up(self) -> None:
        """Copy what is needed to undo the training that begins."""
        network = {k: v for k, v in vars(self.module_).items() if not k.startswith("_")}
        self._backup = self.snapshot() | {
            "network": network,
            "net": {k: vars(self)[k] for k in ("options", "criterion", "criterion_")},
            "device": self.device,
            "history": list(self.history),
            "graph history": list(self.organiser.history),
            "generator": self.generator.get_state(),
        }

    def commit(self) -> None:
        """Forget how to undo the last training, which has come to a good end."""
        self._backup = None

    def roll_back(self) -> None:
        """Undo a training that failed, if it had begun, whatever it left.

        What the optimiser remembers, as momentum, starts from zero then.
        """
        backup, self._backup = self._backup, None
        if backup is None:
            return
        vars(self).update(backup["net"])
        if self.device != backup["device"]:
            self.move(backup["device"])
        vars(self.module_).update(backup["network"])
        self.go_back(backup)
        self.history[:] = backup["history"]
        self.organiser.history[:] = backup["graph history"]
        self.generator.set_state(backup["generator"])

    def go_back(self, snapshot: dict[str, Any]) -> None:
        """Restore a snapshot where rules and optimiser can't be relied on any more."""
        self.organiser.resume(snapshot["plan"])
        self.organiser.forget()
        # Autograd may hold on to the old ones, and to the sizes that they had.
        for name, p in list(self.module_.named_parameters()):
            setattr(self.module_, name, nn.Parameter(p.detach().clone()))
        self.restore(snapshot)
        self.initialize_optimizer()
        self.module_.memory = Memory()
        self.module_.eval()

    def settle(self) -> None:
        """Have the organiser finish the graph, as at the end of training."""
        W = self.module_.node_weights.data
        with torch.no_grad():
            # Training may go on from before: a copy keeps the organiser as it is.
            organiser = object.__new__(type(self.organiser))
            vars(organiser).update(vars(self.organiser))
            self.module_.plan = organiser.finish(W)

    def has_finite_loss(self, table: Table) -> bool:
        """Whether the loss of the first batch of the table is a finite number."""
        network, n_rows = self.module_.eval(), min(self.batch_size, len(table))
        batch = table.take(slice(n_rows))
        with torch.no_grad():
            loss = self.criterion_(network(batch.X), batch.y, batch.weights)
        return _is_finite(loss)

    @torch.no_grad()
    def has_finite_outputs(self, table: Table) -> bool:
        """Whether the outputs of all rows of the table are finite numbers."""
        network = self.module_.eval()
        chunks = table.X.split(network.chunk_rows, network.device)
        return all(bool(network(chunk).isfinite().all()) for chunk in chunks)

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        if not self.module_.load(snapshot["parameters"]):
            # Its averages are those of fewer nodes.
            self.initialize_optimizer()
        self.module_.plan = snapshot["plan"]
        self.organiser.resume(snapshot["plan"])
        if snapshot["locality"] is not None:
            self.organiser.locality = copy.deepcopy(snapshot["locality"])

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
        if self.options.optimizer == "lbfgs":
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
        # Skorch would not let it be another one than at first.
        vars(self)["optimizer_"] = self.options.make_optimizer(groups)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: arrays and plain objects, from which all follows."""
        return {
            "network": self.module_,
            "criterion": self.criterion_,
            "organiser": self.organiser,
            "generator": self.generator.get_state().numpy(),
            "options": self.options,
            "device": self.device,
            "optimizer": memory_of(self.optimizer_),
            "modules": None if self._trained is None else self._trained.labels,
            "history": list(self.history),
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the net anew."""
        generator = torch.Generator("cpu")
        generator.set_state(torch.tensor(state["generator"], device="cpu"))
        network = state["network"]
        network.generator = generator  # net and network draw from the same one
        TrainingNet.__init__(
            self,
            network,
            state["criterion"],
            organiser=state["organiser"],
            generator=generator,
            options=replace(state["options"], device="cpu"),
        )
        self.initialize()
        if state["modules"] is not None:
            modules = ModuleWeights(state["modules"], network.node_weights.data)
            self._train_modules(modules)
        remember(self.optimizer_, state["optimizer"])
        self.history.extend(state["history"])
        device = torch.device(state["device"])
        if device.type != "cpu" and is_available(device):
            self.options = state["options"]
            self.move(state["device"])

    @staticmethod
    def _check_finite(loss: Tensor) -> None:
        if not _is_finite(loss):
            raise NonFiniteLoss
