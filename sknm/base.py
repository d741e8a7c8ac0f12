"""The estimator shell: fit, predict, pickling; the same for every estimator."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sknm.graph.equilibrium import Memory
from sknm.parameters import SharedParameters
from sknm.prediction import compute
from sknm.training.engine import Options, build_net, choose_device, is_available, train
from sknm.training.monitor import Monitor
from sknm.training.net import NonFiniteLoss, TrainingNet
from sknm.training.network import Network
from sknm.training.recipe import choose_batch_size, choose_max_iter
from sknm.training.rows import Rows
from sknm.validation import (
    Samples,
    as_rows,
    check_weights,
    draw_seed,
    leave_out_unweighted,
    weighted_samples,
)

STATS_ROWS = 2000
"""Training rows on which a fitted model's solves are measured."""


class GraphEstimator(SharedParameters, BaseEstimator):
    """What all estimators have in common.

    `sknm.targets` adds what classes and numbers need, `sknm.solved` what networks
    whose node values solve an equation have; an estimator says how its weights start,
    and what changes them.
    """

    net_: TrainingNet

    _remedy: ClassVar[str] = "Scale the features."
    """What to do about node values that are not found."""

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _make_network(
        self, samples: Samples, batch_size: int, generator: torch.Generator
    ) -> Network:
        """Make the network as it is before training."""

    @abstractmethod
    def _read_weights(self, network: Network) -> None:
        """Set the fitted attributes that show topology and weights."""

    @abstractmethod
    def _make_organiser(self, generator: torch.Generator) -> Any:
        """Make what changes the topology while training."""

    @abstractmethod
    def _make_criterion(self) -> nn.Module:
        """Make the loss of outputs, targets and weights."""

    @abstractmethod
    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn from the targets of a first fit what `_transform` needs."""

    @abstractmethod
    def _transform(self, y: np.ndarray) -> np.ndarray:
        """Encode targets for the loss."""

    @abstractmethod
    def _n_outputs(self) -> int:
        """Count the outputs of the network."""

    @abstractmethod
    def _score_outputs(self, y: np.ndarray, outputs: np.ndarray) -> float:
        """Score raw outputs against encoded targets; larger is better."""

    def _n_nodes(self) -> int:
        return self.n_nodes

    def _check_parameters(self) -> None:
        """Raise for combinations of parameters that can't work."""

    def _other_cause(self) -> str:
        """Name what else can make a loss infinite, followed by a comma."""
        return ""

    def _target_rules(self) -> dict[str, Any]:
        return {}

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        return None

    def _weights(self, sample_weight: Any, X: Any, y: Any) -> np.ndarray | None:
        return check_weights(sample_weight, X)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Any:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; float32 stays float32, anything else becomes float64.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), \
default=None
            Validation data, whose score is recorded after each epoch and, with
            `early_stopping`, decides when to stop.
        y_val : array-like of shape (n_validation,) or (n_validation, n_outputs), \
default=None
            Targets of the validation data.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter can't be used, or the loss is no longer finite.
        """
        first = not (self.warm_start and hasattr(self, "net_"))
        samples = self._take_in(X, y, sample_weight, first)
        validation = self._take_in_validation(X_val, y_val, samples.X.dtype)
        if validation is None and self.early_stopping:
            samples, validation = samples.set_aside(
                self.validation_fraction,
                draw_seed(self.random_state),
                self._strata(samples.y),
            )
        batch_size = self._batch_size(len(samples))
        n_epochs = self.max_iter or choose_max_iter(len(samples), batch_size)
        self._prepare(samples, batch_size, first)
        return self._run(samples, validation, n_epochs, one_cycle=True)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> Any:
        first = not hasattr(self, "net_")
        samples = self._take_in(X, y, sample_weight, first)
        self._prepare(samples, self._batch_size(len(samples)), first)
        return self._run(samples, None, 1, one_cycle=False)

    # What fit is made of.

    def _take_in(self, X: Any, y: Any, sample_weight: Any, first: bool) -> Samples:
        self._check_parameters()
        choose_device(self.device)
        X, y = self._validate_pair(X, y, reset=first)
        weights = self._weights(sample_weight, X, y)
        rows = as_rows(X, X.dtype if first else self.input_weights_.dtype)
        rows, y, weights = leave_out_unweighted(rows, y, weights)
        if first:
            self._encode(y, weights)
        return weighted_samples(rows, self._transform(y), weights)

    def _take_in_validation(
        self, X_val: Any, y_val: Any, dtype: np.dtype
    ) -> Samples | None:
        if (X_val is None) != (y_val is None):
            raise ValueError(
                "X_val and y_val belong together: give both, or neither of them."
            )
        if X_val is None:
            return None
        try:
            X, y = self._validate_pair(X_val, y_val, reset=False)
            return weighted_samples(as_rows(X, dtype), self._transform(y))
        except ValueError as error:
            raise ValueError(
                f"X_val and y_val can't be used for validation: {error}"
            ) from error

    def _validate_pair(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        return validate_data(
            self,
            X,
            y,
            reset=reset,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            order="C",
            **self._target_rules(),
        )

    def _batch_size(self, n_samples: int) -> int:
        if self.optimizer == "lbfgs":
            return n_samples
        if self.batch_size == "auto":
            return choose_batch_size(n_samples)
        return min(int(self.batch_size), n_samples)

    def _prepare(self, samples: Samples, batch_size: int, first: bool) -> None:
        """Make the net, or make sure that the one there is can go on."""
        if first:
            self._build(samples, batch_size)
        elif self.net_.module_.n_nodes != self._n_nodes():
            raise ValueError(
                f"n_nodes={self._n_nodes()}, but the fitted network has "
                f"{self.net_.module_.n_nodes} nodes and is to go on; set "
                "warm_start=False and call fit to start anew."
            )
        self.net_.batch_size = batch_size
        network = self.net_.module_
        with torch.no_grad():
            network.plan = self.net_.organiser.start(network.node_weights.data)

    def _build(self, samples: Samples, batch_size: int) -> None:
        self.device_ = choose_device(self.device)
        generator = torch.Generator().manual_seed(draw_seed(self.random_state))
        network = self._make_network(samples, batch_size, generator)
        options = Options(
            self.optimizer,
            self.learning_rate_init,
            self.alpha,
            batch_size,
            self.device_,
        )
        self.net_ = build_net(
            network.to(self.device_),
            self._make_criterion(),
            self._make_organiser(generator),
            generator,
            options,
        )
        self.validation_scores_: list[float] | None = None

    def _run(
        self,
        samples: Samples,
        validation: Samples | None,
        n_epochs: int,
        one_cycle: bool,
    ) -> Any:
        monitor = Monitor(
            self._scorer(validation),
            self.early_stopping and one_cycle,
            self.tol,
            self.n_iter_no_change,
            int(self.verbose),
            n_epochs if one_cycle else None,
        )
        table = samples.table(self.device_)
        with self.net_.module_.at_work(self.n_jobs):
            ending = train(
                self.net_, table, n_epochs, self.learning_rate_init, monitor, one_cycle
            )
            self._finish(monitor, samples)
        if ending == "diverged":
            raise ValueError(
                "The loss is no longer finite. The likely causes are a learning rate "
                f"that is too large (learning_rate_init={self.learning_rate_init}), "
                f"{self._other_cause()}or features that are not scaled (put a "
                "StandardScaler before). The estimator is left in its last finite "
                "state."
            )
        if ending == "interrupted":
            warnings.warn(
                f"Training was interrupted after {self.n_iter_} epochs; the estimator "
                "is fitted as far as it got.",
                stacklevel=3,
            )
        return self

    def _scorer(self, validation: Samples | None) -> Callable[[], float] | None:
        if validation is None:
            return None
        network, X = self.net_.module_, validation.X.move(self.device_)

        def score() -> float:
            network.eval()
            outputs, _ = compute(network, X, network.read, self.n_jobs)
            if not np.isfinite(outputs).all():
                raise NonFiniteLoss
            return self._score_outputs(validation.y, outputs)

        return score

    def _finish(self, monitor: Monitor, samples: Samples) -> None:
        """Settle the graph and set the fitted attributes."""
        net, network = self.net_, self.net_.module_
        net.settle()
        network.memory = Memory()
        network.eval()
        net.callbacks_ = []
        self._set_weights(network)
        self._set_curves(net, monitor)
        seen = samples.X.keep(np.arange(min(len(samples), STATS_ROWS)))
        _, stats = compute(network, seen, n_jobs=self.n_jobs)
        self.solver_stats_ = stats.as_dict()
        stats.warn(self._remedy)

    def _set_weights(self, network: Network) -> None:
        self._read_weights(network)

    def _set_curves(self, net: TrainingNet, monitor: Monitor) -> None:
        losses = [e["train_loss"] for e in net.history if "train_loss" in e]
        self.loss_curve_ = losses
        self.n_iter_ = len(losses)
        self.loss_ = losses[-1] if losses else float("nan")
        self.best_loss_ = min(losses, default=float("nan"))
        if monitor.score is not None:
            earlier = self.validation_scores_ or []
            self.validation_scores_ = [*earlier, *monitor.scores]

    # What predictions are made of.

    def _check_X(self, X: Any) -> Rows:
        dtype = self.input_weights_.dtype
        X = validate_data(
            self,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=(dtype, np.float64, np.float32),
            order="C",
        )
        return as_rows(X, dtype)

    def _node_values(self, X: Any, return_stats: bool) -> Any:
        """Find node values, and tell how well."""
        check_is_fitted(self)
        z, stats = compute(self.net_.module_, self._check_X(X), n_jobs=self.n_jobs)
        stats.warn(self._remedy)
        return (z, stats.as_dict()) if return_stats else z

    def _outputs(self, X: Any) -> np.ndarray:
        """Compute the outputs of the network, (n_samples, n_outputs)."""
        check_is_fitted(self)
        network = self.net_.module_
        X = self._check_X(X)
        outputs, stats = compute(network, X, network.read, self.n_jobs)
        stats.warn(self._remedy)
        return outputs

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, on the CPU."""
        state = dict(super().__getstate__())
        if torch.device(state.get("device_", "cpu")).type != "cpu":
            state["net_"] = _moved(copy.deepcopy(self.net_), "cpu")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on its former device if there is one."""
        super().__setstate__(state)
        device = state.get("device_", "cpu")
        if torch.device(device).type == "cpu":
            return
        self.device_ = device if is_available(torch.device(device)) else "cpu"
        _moved(self.net_, self.device_)


def _moved(net: TrainingNet, device: str) -> TrainingNet:
    net.device = device
    net.module_.move(device)
    net.organiser.forget()
    net.organiser.resume(net.module_.plan)
    net.initialize_optimizer()
    return net
