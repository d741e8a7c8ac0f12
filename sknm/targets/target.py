"""What a kind of target is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp
from torch import nn

from sknm.targets.temperature import best_temperature


class Target(ABC):
    """What an estimator has to know of its targets, as of a likelihood.

    A new one is made for each fit, with the parameters as they are then. What it learns
    are attributes whose names end in an underscore; it has to be plain data.
    """

    kind: ClassVar[str] = "other targets"
    """What the targets are learned as, to tell it from other kinds."""

    multi_output: ClassVar[bool] = False
    """Whether there may be several targets."""

    positive_only: ClassVar[bool] = False
    """Whether targets can't be negative."""

    least_validation: ClassVar[int] = 1
    """Fewest rows that can be scored."""

    has_linear_mean: ClassVar[bool] = True
    """Whether the output of an ensemble is the mean of its members' outputs."""

    def suited_to(self, y: Any) -> Target:
        """Choose the kind of target, where targets can be of several kinds.

        Parameters
        ----------
        y : object
            What the user gave.

        Returns
        -------
        Target
            This one, or one of another kind with its parameters.
        """
        return self

    def prepare(self, y: Any) -> Any:
        """Refuse or convert what scikit-learn has no clear word for.

        Parameters
        ----------
        y : object
            What the user gave.

        Returns
        -------
        object
            What scikit-learn is to check.
        """
        return y

    def check(self, y: np.ndarray) -> np.ndarray:
        """Check what scikit-learn has let through.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        ndarray of the same shape
            Targets that can be learned and encoded.
        """
        return y

    @abstractmethod
    def learn(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn from the targets of a first fit what encoding them needs.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Checked targets.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.
        """

    def go_on_from(self, former: Target) -> None:
        """Take over what was learned, but not the parameters.

        Parameters
        ----------
        former : Target
            That of the fit before.

        Raises
        ------
        ValueError
            If it is of another kind.
        """
        if type(former) is not type(self):
            raise ValueError(
                f"The targets are to be learned as {self.kind}, but the network that "
                f"is to go on has learned {former.kind}; set warm_start=False and call "
                "fit to start anew."
            )
        learned = {k: v for k, v in vars(former).items() if k.endswith("_")}
        vars(self).update(learned)

    def attributes(self) -> dict[str, Any]:
        """Return what users see of what was learned.

        Returns
        -------
        dict
            Fitted attributes of the estimator.
        """
        return {}

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of outputs of the network."""

    @property
    def output_names(self) -> list[str]:
        """What the outputs are called: the labels, or y0, y1, …; one alone is y."""
        labels = self.attributes().get("classes_")
        if labels is not None:
            return [str(label) for label in labels]
        n = self.n_outputs
        return ["y"] if n == 1 else [f"y{k}" for k in range(n)]

    @property
    def n_bits(self) -> float:
        """About as many bits as a target tells, by which small data are trained."""
        return 1.0

    @abstractmethod
    def encode(self, y: np.ndarray) -> np.ndarray:
        """Make of targets what the loss takes.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Checked targets.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        """

    def weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weigh rows by their targets, too.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.

        Returns
        -------
        ndarray of shape (n_samples,) or None
            Weights of the rows.
        """
        return weights

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        """Tell of what both parts of a split are to get their share.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.

        Returns
        -------
        ndarray of shape (n_samples,) or None
            Labels; None for a split at random.
        """
        return None

    @abstractmethod
    def make_loss(self) -> nn.Module:
        """Make the loss of outputs, encoded targets and weights.

        Returns
        -------
        nn.Module
            A mean over the rows, whose weights are None or 1 on average.
        """

    def combine(self, outputs: np.ndarray) -> np.ndarray:
        """Make one output of those of the members of an ensemble.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_members, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            That of the mean prediction, or of the mean probabilities.
        """
        return outputs.mean(axis=1)

    def score(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> float | None:
        """Score raw outputs; larger is better.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.

        Returns
        -------
        float or None
            The score; None for targets of which nothing tells more than the loss.
        """
        return None

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Make predictions of raw outputs.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, in the shape of the targets.
        """

    def terms(self, parts: np.ndarray) -> np.ndarray:
        """Make of parts of the outputs parts of what users have explained.

        Parameters
        ----------
        parts : ndarray of shape (..., n_outputs)
            Numbers that add up to raw outputs.

        Returns
        -------
        ndarray of shape (..., n_terms)
            Numbers that add up to decisions, or to predictions (their logarithms, if
            the outputs are such) less the :attr:`origin`.
        """
        return parts

    @property
    def origin(self) -> np.ndarray:
        """What is predicted where the outputs are zero, of shape (n_terms,)."""
        return self.terms(np.zeros(self.n_outputs))

    def show(self, name: str, values: np.ndarray) -> np.ndarray:
        """Bring an attribute that the network shows into the terms of the targets.

        Parameters
        ----------
        name : str
            "output_weights", "output_biases", or another one.
        values : ndarray
            The network's.

        Returns
        -------
        ndarray
            Of the same shape.
        """
        return values


class LabelTarget(Target):
    """Targets that are labels, of which the outputs give probabilities.

    Attributes
    ----------
    temperature_ : float
        By which outputs are divided before they become probabilities (Guo et al. 2017,
        "On calibration of modern neural networks"); 1 until it is found.
    """

    label_smoothing: float
    temperature_: float = 1.0

    has_linear_mean: ClassVar[bool] = False

    def make_loss(self) -> nn.Module:
        """Make the loss with the smoothing of the labels that is asked for."""
        return self._make_loss(self.label_smoothing)

    @abstractmethod
    def _make_loss(self, smoothing: float) -> nn.Module:
        """Make the loss with some smoothing of the labels."""

    def calibrate(
        self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> None:
        """Find the temperature by rows that the network has not been trained on.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Encoded targets.
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network for the rows.
        weights : ndarray of shape (n_samples,) or None
            Weights of the rows.
        """
        if len(y) and np.isfinite(outputs).all():
            # That all of n rows are right leaves a chance of 1 in n + 2 that the next
            # is not (Platt 1999).
            loss = self._make_loss(1 / (len(y) + 2))
            self.temperature_ = best_temperature(loss, y, outputs, weights)

    def terms(self, parts: np.ndarray) -> np.ndarray:
        """Divide by the temperature."""
        return parts / self.temperature_

    def decisions(self, outputs: np.ndarray) -> np.ndarray:
        """Make of raw outputs what decides: logits, or their difference.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs) or (n_samples,)
            Of two classes one number, positive for the second.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # which is told
            terms = self.terms(outputs)
        return terms[:, 0] if terms.shape[1] == 1 else terms

    @abstractmethod
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Make probabilities of raw outputs.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities of the labels, in the precision of the outputs.
        """

    @abstractmethod
    def log_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Make logarithms of probabilities of raw outputs.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            More exact than the logarithms of rounded probabilities.
        """


def combined(target: Target, outputs: np.ndarray) -> np.ndarray:
    """Make one output for each row, if there is one of each member.

    Parameters
    ----------
    target : Target
        What the outputs are of.
    outputs : ndarray of shape (n_samples, n_outputs) or \
(n_samples, n_members, n_outputs)
        Outputs of a network.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        Those of one network as they are.
    """
    return outputs if outputs.ndim < 3 else target.combine(outputs)


def log_mean_exp(logarithms: np.ndarray) -> np.ndarray:
    """Compute the logarithm of what members have on average, given its logarithms.

    Parameters
    ----------
    logarithms : ndarray of shape (n_samples, n_members, n_outputs)
        Of each member.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        In their precision.
    """
    total: np.ndarray = logsumexp(logarithms, axis=1)
    return total - math.log(logarithms.shape[1])
