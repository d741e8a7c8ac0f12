"""One training of an estimator: take in, make ready, train, read out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sknm._scikit_callbacks import EpochTasks, told_by_us
from sknm.calibration import calibrate, withhold
from sknm.checks import (
    Samples,
    as_rows,
    check_callbacks,
    check_weights,
    draw_seed,
    memory_for,
    weighted_samples,
)
from sknm.compute.devices import choose_device
from sknm.endings import divergence
from sknm.graph.activations import ACTIVATIONS
from sknm.plasticity.entering import EnteringRule
from sknm.prediction import compute
from sknm.scouts import find_links, to_scout
from sknm.tables import some_rows, take_pair
from sknm.training.backup import Backup
from sknm.training.callbacks import Monitor
from sknm.training.engine import Ending, train
from sknm.training.holdout import Holdout
from sknm.training.net import KEPT_HISTORY, TrainingNet
from sknm.training.network import at_work
from sknm.training.optimizers import OPTIMIZERS
from sknm.training.progress import Telling
from sknm.training.recipe import (
    FULL_BATCH_EPOCHS,
    LEAST_DECAY,
    Course,
    Options,
    choose_batch_size,
    choose_decay,
    choose_max_iter,
)
from sknm.validation import Validation

if TYPE_CHECKING:
    from sknm.base import GraphEstimator

LEAST_CHUNK = 512
"""Fewest rows of a first chunk in which it is looked for features that are of use."""

STATS_ROWS = 2000
"""Training rows on which a fitted model's solves are measured."""


class Fitting:
    """A training of an estimator, by which it gets its fitted attributes.

    Parameters
    ----------
    estimator : GraphEstimator
        What is trained: as if for the first time, unless it has a network already.
    """

    def __init__(self, estimator: GraphEstimator) -> None:
        self.estimator = estimator
        self.goes_on = hasattr(estimator, "net_")
        self.is_stochastic = OPTIMIZERS[estimator.optimizer].is_stochastic

    # Take in.

    def take_in(self, X: Any, y: Any, sample_weight: Any) -> Samples:
        """Check rows, and learn what encoding their targets needs.

        Parameters
        ----------
        X, y, sample_weight : object
            What the user gave.

        Returns
        -------
        Samples
            Checked rows.
        """
        estimator, self._given = self.estimator, X
        estimator._check_parameters()
        check_callbacks(estimator.callbacks)
        choose_device(estimator.device)
        target = estimator._make_target().suited_to(y)
        if self.goes_on:
            target.go_on_from(estimator._target_)
        estimator._target_ = target
        X, y = self._check_pair(X, y)
        self._targets = y
        weights = check_weights(sample_weight, X)
        if not self.goes_on:
            target.learn(y, weights)
            estimator.__dict__.update(target.attributes())
        dtype = X.dtype
        if self.goes_on:
            dtype = estimator.net_.module_.numpy_dtype
        return self._as_samples(X, dtype, y, weights)

    def take_in_validation(
        self, X_val: Any, y_val: Any, sample_weight_val: Any, dtype: np.dtype
    ) -> Samples | None:
        """Check validation data.

        Parameters
        ----------
        X_val, y_val, sample_weight_val : object
            What the user gave, None for none.
        dtype : dtype
            Precision of the training rows.

        Returns
        -------
        Samples or None
            Checked rows.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: give both, or neither.")
        if X_val is None:
            if sample_weight_val is not None:
                raise ValueError(
                    "sample_weight_val weighs the rows of X_val: give X_val and y_val, "
                    "too, or leave it out."
                )
            return None
        least = self.estimator._target_.least_validation
        try:
            X, y = self._check_pair(X_val, y_val)
            weights = check_weights(sample_weight_val, X)
            samples = self._as_samples(X, dtype, y, weights)
            if len(samples) < least:
                raise ValueError(
                    f"there are {len(samples)} rows, which can't be scored; give at "
                    f"least {least}."
                )
        except ValueError as error:
            weighted = "" if sample_weight_val is None else " with sample_weight_val"
            raise ValueError(
                f"X_val and y_val can't be used for validation{weighted}: {error}"
            ) from error
        self._given, self._targets = X_val, y
        return samples

    def split(
        self, samples: Samples, validation: Samples | None
    ) -> tuple[Samples, Samples | None]:
        """Set rows aside for early stopping, if there are no others.

        Parameters
        ----------
        samples : Samples
            Training rows.
        validation : Samples or None
            Rows for validation.

        Returns
        -------
        samples : Samples
            Those to train on.
        validation : Samples or None
            Those to validate with.
        """
        estimator = self.estimator
        if validation is not None or not estimator.early_stopping:
            return samples, validation
        return samples.set_aside(
            estimator.validation_fraction,
            draw_seed(estimator.random_state),
            estimator._target_.strata(samples.y),
            estimator._target_.least_validation,
        )

    def _check_pair(self, X: Any, y: Any) -> tuple[Any, Any]:
        target = self.estimator._target_
        X, y = take_pair(
            self.estimator,
            X,
            target.prepare(y),
            dtype=(np.float64, np.float32),
            multi_output=target.multi_output,
        )
        return X, target.check(y)

    def _as_samples(
        self, X: Any, dtype: np.dtype, y: Any, weights: np.ndarray | None
    ) -> Samples:
        rows, target = as_rows(X, dtype), self.estimator._target_
        codes = target.encode(y)
        return weighted_samples(rows, codes, target.weigh(codes, weights))

    # Make ready.

    def prepare(self, samples: Samples, is_part: bool = False) -> None:
        """Make the net, or have the one there is heed what has changed.

        Parameters
        ----------
        samples : Samples
            Training rows.
        is_part : bool, default=False
            Whether others will follow.
        """
        estimator = self.estimator
        batch_size = self.batch_size(len(samples))
        options = Options(
            estimator.optimizer,
            self.weight_decay(len(samples), is_part),
            batch_size,
            choose_device(estimator.device),
            estimator._memory,
        )
        if self.goes_on:
            estimator._check_members()
            estimator._check_size(samples)
            estimator._backup = Backup(estimator.net_)
            estimator.net_.follow(options, estimator._target_.make_loss())
        else:
            self._build(samples, options, LEAST_CHUNK if is_part else 0)
        network = estimator.net_.module_
        network.sigma = ACTIVATIONS[estimator.activation]
        network.dropout = estimator.dropout if self.is_stochastic else 0.0
        estimator._set_options(network, samples, is_noisy=len(samples) > batch_size)
        estimator.net_.start(
            EnteringRule(estimator._make_rule(), estimator.feature_fdr, estimator._unit)
        )

    def batch_size(self, n_samples: int) -> int:
        """Count the rows of a batch.

        Parameters
        ----------
        n_samples : int
            Rows to train on.

        Returns
        -------
        int
            Rows of a training step.
        """
        if not self.is_stochastic:
            return n_samples
        if self.estimator.batch_size == "auto":
            return choose_batch_size(n_samples)
        return min(int(self.estimator.batch_size), n_samples)

    def weight_decay(self, n_samples: int, is_part: bool) -> float:
        """Choose how fast weights shrink.

        Parameters
        ----------
        n_samples : int
            Rows to train on.
        is_part : bool
            Whether others will follow, so that nobody knows how long.

        Returns
        -------
        float
            ``alpha``, or what it is if it follows from the training.
        """
        alpha = self.estimator.alpha
        if alpha != "auto":
            return float(alpha)
        is_adamw = self.estimator.optimizer == "adamw"
        if is_part or not (is_adamw and self.estimator._decays_by_rows):
            return LEAST_DECAY
        return choose_decay(n_samples, self.batch_size(n_samples))

    def whole_course(self, n_samples: int) -> Course:
        """Plan a whole training.

        Parameters
        ----------
        n_samples : int
            Rows to train on.

        Returns
        -------
        Course
            As the parameters and the number of rows ask.
        """
        estimator = self.estimator
        n_epochs = estimator.max_iter
        if n_epochs is None:
            n_epochs = FULL_BATCH_EPOCHS
            if self.is_stochastic:
                batch_size, n_bits = (
                    self.batch_size(n_samples),
                    estimator._target_.n_bits,
                )
                n_epochs = choose_max_iter(n_samples, batch_size, n_bits)
        return Course(n_epochs, estimator.learning_rate_init)

    def _build(self, samples: Samples, options: Options, least_rows: int) -> None:
        estimator = self.estimator
        generator = torch.Generator().manual_seed(draw_seed(estimator.random_state))
        encoder = estimator._make_encoder()
        encoder.fit(samples.X, samples.y, samples.weights, generator)
        estimator.encoding_.describe(encoder.labels(), encoder.forms())
        with memory_for(estimator._n_nodes()):
            network = estimator._make_network(samples, encoder, generator)
            if estimator.n_members > 1:
                network.multiply(int(estimator.n_members))
        loss = estimator._target_.make_loss()
        entries, rate = network.graph.entries, estimator.feature_fdr
        is_left = estimator.encoding_.is_sparse or len(samples) < least_rows
        if entries is not None and rate is not None and not is_left:
            n_outputs = estimator._target_.n_outputs
            # So that how many numbers are drawn doesn't depend on the rows.
            seed = int(torch.randint(2**62, (), generator=generator))
            own = torch.Generator().manual_seed(seed)
            rows, used = to_scout(samples, encoder, entries.columns, n_outputs, own)
            find_links(entries, rows, used, loss, rate, own)
        if options.device != "cpu":
            with memory_for(estimator._n_nodes()):
                network.move(options.device)
        estimator.net_ = TrainingNet(
            network,
            loss,
            generator=generator,
            options=options,
        ).initialize()
        estimator.validation_scores_ = estimator.validation_loss_curve_ = None

    # Train, and read out.

    def run(
        self,
        samples: Samples,
        validation: Samples | None,
        course: Course,
        listeners: Sequence[EpochTasks] = (),
    ) -> Ending:
        """Train the net, and set the fitted attributes.

        Parameters
        ----------
        samples : Samples
            Training rows.
        validation : Samples or None
            Rows to validate with.
        course : Course
            How long, and with which rate.
        listeners : sequence of EpochTasks
            Told of epochs, beside the callbacks of the user.

        Returns
        -------
        {"finished", "interrupted", "diverged"}
            How it ended.

        Raises
        ------
        ValueError
            If no state after the first step is finite.
        """
        estimator = self.estimator
        net, table = estimator.net_, samples.table(estimator.device_)
        measure = self.scoring(validation)
        monitor = Monitor(
            measure,
            estimator.early_stopping and course.is_whole,
            estimator.tol,
            estimator.n_iter_no_change,
        )
        callbacks = estimator.callbacks or ()
        with at_work(estimator.n_jobs):
            curves = partial(self._curves, len(net.history), monitor, measure)
            for listener in listeners:
                listener.curves = curves
            telling = Telling(told_by_us(estimator), type(estimator).__name__)
            own = [*listeners, *self._holdouts(samples, validation, course)]
            ending = train(net, table, course, monitor, callbacks, telling, own)
            if ending == "lost":
                state = "as it was before: no later state is finite"
                raise divergence(estimator, state)
            estimator.__dict__.update(curves())
            net.finish(course.is_whole)
            if validation is not None and course.is_whole:
                calibrate(estimator, validation)
            self._read_out(samples)
            estimator._measure_features(samples if course.is_whole else None)
        for listener in listeners:
            listener.end_fit()
        return ending

    def _holdouts(
        self, samples: Samples, validation: Samples | None, course: Course
    ) -> list[Holdout]:
        """Withhold rows of a first training, where each step takes some of them."""
        is_first = course.is_whole and not self.goes_on and self.is_stochastic
        has_one_round = self.estimator._has_one_round()
        is_small = len(samples) <= self.batch_size(len(samples))
        if validation is not None or is_small or not (is_first and has_one_round):
            return []
        holdout = withhold(self.estimator, samples, course.n_epochs)
        return [] if holdout is None else [holdout]

    def scoring(self, samples: Samples | None) -> Validation | None:
        """Make what scores the network after an epoch, if there are rows for it."""
        if samples is None:
            return None
        X, y, numbers = self._given, self._targets, samples.numbers
        if numbers is not None and self.estimator.scoring not in (None, "loss"):
            X, y = some_rows(X, numbers), y[numbers]
        return Validation(self.estimator, samples, X, y)

    def _read_out(self, samples: Samples) -> None:
        """Measure the solves, and read attributes from the network."""
        estimator, network = self.estimator, self.estimator.net_.module_
        seen = samples.X.keep(np.arange(min(len(samples), STATS_ROWS)))
        _, stats = compute(network, seen, network.outputs, estimator.n_jobs)
        estimator.solver_stats_ = stats.as_dict()
        estimator._stats_ = stats
        estimator._read(network, samples)

    def _curves(
        self, n_before: int, monitor: Monitor, validation: Validation | None
    ) -> dict[str, Any]:
        """Join records of epochs with those of earlier calls, as fitted attributes."""
        epochs = self.estimator.net_.history[n_before:]
        losses = [epoch["train_loss"] for epoch in epochs if "train_loss" in epoch]
        before, none = vars(self.estimator), float("nan")

        def known(name: str) -> list[float]:
            return (before.get(name) or [])[-KEPT_HISTORY:]

        curve = known("loss_curve_") + losses
        curves: dict[str, Any] = {
            "n_iter_": before.get("n_iter_", 0) + len(losses),
            # A loss is not less than NaN, but comes before it.
            "best_loss_": min([*losses, before.get("best_loss_", none)]),
            "loss_curve_": curve,
            "loss_": curve[-1] if curve else none,
        }
        if validation is not None:
            scores, n = "validation_scores_", len(monitor.scores)
            curves[scores] = known(scores) + monitor.scores
            of_losses = "validation_loss_curve_"
            curves[of_losses] = known(of_losses) + validation.losses[:n]
        return curves
