"""The skorch net that estimators hold: its loop, with whole tensors for batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknm.compute.devices import is_available
from sknm.compute.settings import own_settings
from sknm.graph.equilibrium import Memory
from sknm.graph.recursion_state import at_nodes
from sknm.graph.trace import Trace
from sknm.plasticity.rule import Change, Epoch, Rule, Step
from sknm.training.batches import Batch, Table
from sknm.training.members import in_turn
from sknm.training.network import Network, NetworkSnapshot
from sknm.training.optimizers import OPTIMIZERS, Optimizer
from sknm.training.recipe import Constant, Options
from sknm.training.tensor_net import TensorNet, is_finite

KEPT_HISTORY = 1000
"""Epochs of earlier calls that are remembered: so that a call costs the same after any
number of others."""

CHUNK_ROWS = 2048
"""Rows whose node values a rule is shown at a time."""


class TrainingNet(TensorNet):
    """A skorch net whose graph changes while it is trained.

    Parameters
    ----------
    module : Network
        The network, ready to be used.
    criterion : nn.Module
        Loss of outputs, targets and weights.
    generator : torch.Generator
        Source of the order of the rows.
    options : Options
        How to train.

    Attributes
    ----------
    rule : Rule or None
        What changes the graph; None before the first training, and where the last one
        is of no use.
    records : list
        What the rule remembers of each epoch.
    n_epochs : int
        Epochs of all trainings.
    proof : tuple or None
        What was proved of the network, and a digest of the weights that it is of.
    """

    module_: Network
    optimizer_: Optimizer

    def __init__(
        self,
        module: Network,
        criterion: Any,
        *,
        generator: torch.Generator,
        options: Options,
    ) -> None:
        self.options = options
        self.rule: Rule[Any] | None = None
        self.records: list[Any] = []
        self.n_epochs = 0
        self.proof: tuple[bytes, Any] | None = None
        self.schedule: Callable[[int], float] = Constant(0.0)
        self.n_planned: int | None = None  # steps of the training, if it has an end
        super().__init__(
            module, criterion, generator, options.batch_size, options.device
        )

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """One step of the optimiser, and what the rule makes of it."""
        assert self.rule is not None, "start comes first"
        network, trace = self.module_, Trace()
        rate = self.schedule(self.n_steps_)
        size = rate * network.graph.group.step_scale
        self.n_steps_ += 1
        self.optimizer_.follow(network.graph)
        network.train()
        closure = partial(self._compute_gradients, batch, trace)
        loss = self.optimizer_.step(closure, rate)
        step = Step(
            size,
            trace.is_strained or not self.optimizer_.is_stochastic,
            flow=trace.flow,
            ends=trace.ends,
            activity=trace.activity,
            n_passes=trace.n_passes,
            weights=batch.weights,
            progress=self.n_steps_ / self.n_planned if self.n_planned else None,
        )
        self.rule.step(network.graph, step)
        return {"loss": loss, "iterations": trace.n_iter}

    def _compute_gradients(self, batch: Batch, trace: Trace) -> Tensor:
        """Loss and gradients of one batch."""
        network = self.module_
        outputs = network(batch.X, trace)
        loss = mean_loss(self.criterion_, outputs, batch)
        penalty = network.penalty(trace, batch.weights)
        if penalty is not None:
            loss = loss + penalty
        loss.backward()
        return loss.detach()

    # What estimators ask.

    def start(self, rule: Rule[Any]) -> None:
        """Begin a training, or go on with one.

        Parameters
        ----------
        rule : Rule
            Changes the graph. One that is equal to that of the last training, if this
            has not ended, is that one; of another, what is remembered of the weights,
            as momentum, is no more.
        """
        is_known = rule == self.rule
        if not is_known:
            self.rule = rule
        assert self.rule is not None, "one of both is a rule"
        for history in (self.history, self.records, self.module_.graph.log):
            del history[:-KEPT_HISTORY]
        self.rule.start(self.module_.graph)
        self.optimizer_.follow(self.module_.graph, is_known)

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
            self.optimizer_.set_decay(options.alpha)

    def finish(self, is_whole: bool) -> None:
        """Leave the network ready to predict.

        Parameters
        ----------
        is_whole : bool
            Whether the training has come to its end: what is remembered for steps that
            follow at once, as momentum, is dropped then.
        """
        self.settle()
        self.module_.memory = Memory()
        self.module_.eval()
        if is_whole:
            self.optimizer_.rest()
            _seed_by_itself(self.generator)
            self.rule = copy.copy(self.rule)  # which is as between two trainings

    def sparsify(self) -> None:
        """Drop what predictions don't need."""
        self.module_.sparsify()
        self.rule = None
        self.initialize_optimizer()
        _seed_by_itself(self.generator)

    def keep(self, nodes: np.ndarray) -> None:
        """Remove all nodes but some; rule and optimiser begin anew.

        Parameters
        ----------
        nodes : ndarray of int of shape (n_kept,)
            Which nodes are left, ascending.
        """
        self.module_.keep(nodes)
        self.module_.memory = Memory()
        self.rule = None
        self.initialize_optimizer()

    def move(self, device: str) -> TrainingNet:
        """Bring all to a device; rule and optimiser are left as after a training."""
        self.device, former = device, self.optimizer_
        self.rule = copy.copy(self.rule)
        self.module_.move(device)
        self.initialize_optimizer()
        if type(former) is type(self.optimizer_):  # else options have changed, too
            self.optimizer_.remember(former.outline(), self.module_.graph)
        return self

    # What the engine asks.

    def settle(self) -> None:
        """Have the rule finish the graph, as at the end of training."""
        if self.rule is not None:
            self.rule.end(self.module_.graph)

    def end_epoch(
        self,
        table: Table,
        is_last: bool,
        of_round: int = 1,
        n_epochs: int | None = None,
    ) -> Change:
        """Have the rule look at the graph, and the optimiser follow what it changes."""
        assert self.rule is not None, "start comes first"
        self.n_epochs += 1
        graph = self.module_.graph
        values = partial(self.node_values, table)
        epoch = Epoch(self.n_epochs, is_last, values, of_round, n_epochs)
        change = self.rule.epoch(graph, epoch)
        if change.record is not None:
            self.records.append(change.record)
        if change.survivors is not None:
            at_survivors = partial(at_nodes, change.survivors)
            self.optimizer_.change(list(graph.parameters()), at_survivors)
        return change

    def node_values(self, table: Table) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Give the node values of all rows and their weights, some at a time."""
        network = self.module_
        was_training = network.training
        network.eval()
        try:
            with torch.inference_mode():
                for start in range(0, len(table), CHUNK_ROWS):
                    chunk = table.take(slice(start, start + CHUNK_ROWS))
                    values, weights = network.values(chunk.X).value, chunk.weights
                    if network.members is not None:
                        values, weights = in_turn(values, weights)
                    yield values, weights
        finally:
            network.train(was_training)

    def restore(self, snapshot: NetworkSnapshot, memory: Any = None) -> None:
        """Go back to a snapshot.

        Parameters
        ----------
        snapshot : NetworkSnapshot
            Where to.
        memory : object, optional
            Outline of what the optimiser remembered then: what it remembers now may be
            that of fewer nodes.
        """
        if not self.module_.restore(snapshot):
            self.initialize_optimizer()
            self.optimizer_.remember(memory, self.module_.graph)

    def go_back(self, snapshot: NetworkSnapshot) -> None:
        """Restore a snapshot where the optimiser can't be relied on any more."""
        # Autograd may hold on to the old parameters, and to the sizes that they had.
        for module in self.module_.modules():
            for name, p in list(module.named_parameters(recurse=False)):
                again = nn.Parameter(p.detach().clone(), p.requires_grad)
                setattr(module, name, again)
        self.module_.memory = Memory()
        self.module_.restore(snapshot)
        self.initialize_optimizer()
        self.module_.eval()

    def is_whole(self, table: Table) -> bool:
        """Whether a net that was interrupted anywhere can be used as it is."""
        try:
            self.settle()
            return self.module_.graph.is_whole and self.has_finite_loss(table)
        except (RuntimeError, ValueError, IndexError):  # half of it was changed
            return False

    def has_finite_loss(self, table: Table) -> bool:
        """Whether the loss of the first batch of the table is a finite number."""
        network, n_rows = self.module_.eval(), min(self.batch_size, len(table))
        batch = table.take(slice(n_rows))
        with torch.no_grad():
            loss = mean_loss(self.criterion_, network(batch.X), batch)
        return is_finite(loss)

    @torch.no_grad()
    def has_finite_outputs(self, table: Table) -> bool:
        """Whether the outputs of all rows of the table are finite numbers."""
        network = self.module_.eval()
        chunks = table.X.split(network.chunk_rows, network.device)
        return all(bool(network(chunk).isfinite().all()) for chunk in chunks)

    def initialize(self) -> TrainingNet:
        """Set up the optimiser and count steps from zero."""
        self.n_steps_ = 0
        super().initialize()
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> TrainingNet:
        """Set up the optimiser."""
        make = OPTIMIZERS[self.options.optimizer]
        optimizer = make(self.module_.groups(), self.options)
        # Skorch would not let it be another one than at first.
        self.__dict__["optimizer_"] = optimizer
        return self

    # What pickles hold.

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: arrays and plain objects, from which all follows."""
        return {
            "network": self.module_,
            "criterion": self.criterion_,
            "generator": _packed(self.generator),
            "options": self.options,
            "device": self.device,
            "rule": self.rule,
            "memory": self.optimizer_.memory(),
            "records": self.records,
            "n_epochs": self.n_epochs,
            "history": list(self.history),
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the net anew."""
        generator = _unpacked(state["generator"])
        network = state["network"]
        network.generator = generator  # net and network draw from the same one
        TrainingNet.__init__(
            self,
            network,
            state["criterion"],
            generator=generator,
            options=replace(state["options"], device="cpu"),
        )
        self.initialize()
        self.rule, self.records = state["rule"], state["records"]
        self.n_epochs = state["n_epochs"]
        self.optimizer_.remember(state["memory"], network.graph)
        self.history.extend(state["history"])
        device = torch.device(state["device"])
        if device.type != "cpu" and is_available(device):
            self.options = state["options"]
            self.move(state["device"])


def mean_loss(criterion: nn.Module, outputs: Tensor, batch: Batch) -> Tensor:
    """Compute the loss of a batch, of an ensemble the mean of its members'.

    Parameters
    ----------
    criterion : nn.Module
        Loss of outputs, targets and weights.
    outputs : Tensor of shape (n_samples, n_outputs) or \
(n_samples, n_members, n_outputs)
        Outputs of the rows.
    batch : Batch
        The rows.

    Returns
    -------
    Tensor
        A number.
    """
    y, weights = batch.y, batch.weights
    if outputs.ndim > 2:  # an ensemble's
        y = y.repeat_interleave(outputs.shape[1], 0)
        outputs, weights = in_turn(outputs, weights)
    loss: Tensor = criterion(outputs, y, weights)
    return loss


def _seed_by_itself(generator: torch.Generator) -> None:
    """Begin anew, so that the seed is all that is to be kept of a generator."""
    generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))


def _packed(generator: torch.Generator) -> int | np.ndarray:
    """Return the seed, or the state, which is 5 kB, once numbers were drawn."""
    seed, state = generator.initial_seed(), generator.get_state()
    is_new = torch.equal(torch.Generator("cpu").manual_seed(seed).get_state(), state)
    return seed if is_new else state.numpy()


def _unpacked(kept: int | np.ndarray) -> torch.Generator:
    """Make a generator that goes on from a seed or a state."""
    generator = torch.Generator("cpu")
    if isinstance(kept, int):
        return generator.manual_seed(kept)
    return generator.set_state(torch.tensor(kept, device="cpu"))
