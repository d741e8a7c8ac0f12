"""The estimator shell: fit, predict, pickling; the same for every estimator."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sknm._warnings import warn
from sknm.attempt import attempt
from sknm.checks import (
    Samples,
    as_rows,
    check_weights,
    draw_seed,
    memory_for,
    weighted_samples,
)
from sknm.compute.devices import choose_device
from sknm.compute.rows import Rows
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import Memory
from sknm.parameters import SharedParameters
from sknm.prediction import SolveStats, are_finite, compute, warn_of_infinite
from sknm.training.engine import Ending, train
from sknm.training.monitor import Monitor
from sknm.training.net import KEPT_HISTORY, NonFiniteLoss, TrainingNet
from sknm.training.network import Network
from sknm.training.optimizers import Options
from sknm.training.recipe import choose_batch_size, choose_max_iter

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

    _least_validation: ClassVar[int] = 1
    """Fewest rows that can be scored."""

    _stats_: SolveStats

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _make_network(self, samples: Samples, generator: torch.Generator) -> Network:
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
    def _learn_targets(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn from the targets of a first fit what `_transform` needs."""

    @abstractmethod
    def _transform(self, y: np.ndarray) -> np.ndarray:
        """Encode targets for the loss."""

    @abstractmethod
    def _n_outputs(self) -> int:
        """Count the outputs of the network."""

    @abstractmethod
    def _score_outputs(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float:
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

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weigh rows by their encoded targets, too."""
        return weights

    def _decode(self, outputs: np.ndarray) -> np.ndarray:
        """Turn raw outputs into what is predicted."""
        return outputs

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
        with attempt(self, goes_on=self.warm_start) as work:
            ending = work._fit(X, y, sample_weight, X_val, y_val)
        self._tell(ending)
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any
    ) -> Ending:
        samples = self._take_in(X, y, sample_weight)
        validation = self._take_in_validation(X_val, y_val, samples.X.dtype)
        if validation is None and self.early_stopping:
            samples, validation = samples.set_aside(
                self.validation_fraction,
                draw_seed(self.random_state),
                self._strata(samples.y),
                self._least_validation,
            )
        self._prepare(samples)
        n_epochs = self.max_iter or choose_max_iter(
            len(samples), self._batch_size(len(samples))
        )
        return self._run(samples, validation, n_epochs, one_cycle=True)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, **learned: Any) -> Any:
        """Train for an epoch; `learned` is what is known of the targets beforehand."""
        with attempt(self, goes_on=True) as work:
            vars(work).update(learned)
            samples = work._take_in(X, y, sample_weight)
            work._prepare(samples)
            ending = work._run(samples, None, 1, one_cycle=False)
        if ending == "interrupted":  # a loop over chunks has to end
            raise KeyboardInterrupt
        self._tell(ending)
        return self

    # What fit is made of.

    @property
    def _goes_on(self) -> bool:
        return hasattr(self, "net_")

    def _take_in(self, X: Any, y: Any, sample_weight: Any) -> Samples:
        self._check_parameters()
        choose_device(self.device)
        X, y = self._validate_pair(X, y, reset=not self._goes_on)
        weights = check_weights(sample_weight, X)
        if not self._goes_on:
            self._learn_targets(y, weights)
        dtype = self.input_weights_.dtype if self._goes_on else X.dtype
        return self._as_samples(as_rows(X, dtype), y, weights)

    def _as_samples(self, X: Rows, y: Any, weights: np.ndarray | None) -> Samples:
        y = self._transform(y)
        return weighted_samples(X, y, self._weigh(y, weights))

    def _take_in_validation(
        self, X_val: Any, y_val: Any, dtype: np.dtype
    ) -> Samples | None:
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: give both, or neither.")
        if X_val is None:
            return None
        try:
            X, y = self._validate_pair(X_val, y_val, reset=False)
            samples = self._as_samples(as_rows(X, dtype), y, None)
            if len(samples) < self._least_validation:
                raise ValueError(
                    f"there are {len(samples)} rows, which can't be scored; give at "
                    f"least {self._least_validation}."
                )
        except ValueError as error:
            raise ValueError(
                f"X_val and y_val can't be used for validation: {error}"
            ) from error
        return samples

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

    def _prepare(self, samples: Samples) -> None:
        """Make the net, or have the one there is heed what has changed."""
        batch_size = self._batch_size(len(samples))
        options = Options(
            self.optimizer,
            self.learning_rate_init,
            self.alpha,
            batch_size,
            choose_device(self.device),
        )
        if self._goes_on:
            self._check_size(samples)
            self.net_.back_up()
            self.net_.follow(options, self._make_criterion())
        else:
            self._build(samples, options)
        self.device_ = options.device
        self._set_options(self.net_.module_, samples, batch_size)
        self.net_.start(self._set_rule)

    def _build(self, samples: Samples, options: Options) -> None:
        generator = torch.Generator().manual_seed(draw_seed(self.random_state))
        with memory_for(self._n_nodes()):
            network = self._make_network(samples, generator).to(options.device)
        self.net_ = TrainingNet(
            network,
            self._make_criterion(),
            organiser=self._make_organiser(generator),
            generator=generator,
            options=options,
        ).initialize()
        self.validation_scores_: list[float] | None = None

    def _check_size(self, samples: Samples) -> None:
        """Raise if the network that is to go on has not the size asked for."""
        if self.net_.module_.n_nodes != self._n_nodes():
            raise ValueError(
                f"n_nodes={self._n_nodes()}, but the fitted network has "
                f"{self.net_.module_.n_nodes} nodes and is to go on; set "
                "warm_start=False and call fit to start anew."
            )

    def _set_options(self, network: Any, samples: Samples, batch_size: int) -> None:
        """Tell a network how to compute from now on."""
        network.sigma = ACTIVATIONS[self.activation]
        network.dropout = 0.0 if self.optimizer == "lbfgs" else self.dropout

    def _set_rule(self, organiser: Any) -> None:
        """Tell an organiser how to change the topology from now on."""

    def _run(
        self,
        samples: Samples,
        validation: Samples | None,
        n_epochs: int,
        one_cycle: bool,
    ) -> Ending:
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
            n_before = len(self.net_.history)
            ending = train(
                self.net_, table, n_epochs, self.learning_rate_init, monitor, one_cycle
            )
            if ending == "lost":
                raise self._divergence("as it was before: no later state is finite")
            self._set_curves(self.net_.history[n_before:], monitor)
            self._finish(samples)
        return ending

    def _scorer(self, validation: Samples | None) -> Callable[[], float] | None:
        if validation is None:
            return None
        network, X = self.net_.module_, validation.X.move(self.device_)

        def score() -> float:
            network.eval()
            outputs, _ = compute(network, X, network.read, self.n_jobs)
            if not np.isfinite(outputs).all():
                raise NonFiniteLoss
            return self._score_outputs(validation.y, outputs, validation.weights)

        return score

    def _finish(self, samples: Samples) -> None:
        """Settle the graph and set the fitted attributes."""
        net, network = self.net_, self.net_.module_
        net.settle()
        network.memory = Memory()
        network.eval()
        net.callbacks_ = []
        self._set_weights(network)
        seen = samples.X.keep(np.arange(min(len(samples), STATS_ROWS)))
        _, stats = compute(network, seen, n_jobs=self.n_jobs)
        self.solver_stats_ = stats.as_dict()
        self._stats_ = stats

    def _set_weights(self, network: Network) -> None:
        self._read_weights(network)

    def _set_curves(self, epochs: list[dict[str, Any]], monitor: Monitor) -> None:
        losses = [epoch["train_loss"] for epoch in epochs if "train_loss" in epoch]
        before, none = vars(self), float("nan")
        self.n_iter_ = before.get("n_iter_", 0) + len(losses)
        # A loss is not less than NaN, but comes before it.
        self.best_loss_ = min([*losses, before.get("best_loss_", none)])
        self.loss_curve_ = before.get("loss_curve_", [])[-KEPT_HISTORY:] + losses
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else none
        if monitor.score is not None:
            earlier = (self.validation_scores_ or [])[-KEPT_HISTORY:]
            self.validation_scores_ = earlier + monitor.scores

    # What is told about a fit, when nothing can be lost by it any more.

    def _tell(self, ending: Ending) -> None:
        self._stats_.warn(self._remedy)
        self._warn_of_structure()
        if ending == "diverged":
            raise self._divergence("in its last finite state")
        if ending == "interrupted":
            warn(
                f"Training was interrupted after {self.n_iter_} epochs; the estimator "
                "is fitted as far as it got.",
                UserWarning,
            )

    def _divergence(self, left: str) -> ValueError:
        sizes = f"alpha={self.alpha}, learning_rate_init={self.learning_rate_init}"
        return ValueError(
            "The loss is no longer finite. The likely causes are steps that are too "
            f"large ({sizes}), {self._other_cause()}or features that are not scaled "
            f"(put a StandardScaler before). The estimator is left {left}."
        )

    def _warn_of_structure(self) -> None:
        """Tell if nothing is left of what the method is about."""

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
        """Compute what is predicted, (n_samples, n_outputs)."""
        check_is_fitted(self)
        network = self.net_.module_
        X = self._check_X(X)
        outputs, stats = compute(network, X, network.read, self.n_jobs)
        stats.warn(self._remedy)
        values = self._decode(outputs)
        n_infinite = int((~are_finite(values)).sum())
        if n_infinite > stats.n_infinite:
            warn_of_infinite(n_infinite, len(values))
        return values

    def __copy__(self) -> Any:
        """Copy all but the fitted attributes, and the network: it changes in place."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        if self._goes_on:
            other.net_ = copy.deepcopy(self.net_)
        return other

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on its former device if there is one."""
        super().__setstate__(state)
        if self._goes_on:
            self.device_ = self.net_.device
