"""How a training has ended: what users are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sknm._warnings import warn
from sknm.training.engine import Ending

if TYPE_CHECKING:
    from sknm.base import GraphEstimator


def tell(estimator: GraphEstimator, ending: Ending) -> None:
    """Tell about a training, when nothing can be lost by it any more.

    Parameters
    ----------
    estimator : GraphEstimator
        What was trained.
    ending : {"finished", "interrupted", "diverged"}
        How it ended.

    Raises
    ------
    ValueError
        If it diverged.
    """
    estimator._stats_.warn(estimator._remedy)
    estimator._warn_of_structure()
    if ending == "diverged":
        raise divergence(estimator, "in its last finite state")
    if ending == "interrupted":
        warn(
            f"Training was interrupted after {estimator.n_iter_} epochs; the estimator "
            "is fitted as far as it got.",
            UserWarning,
        )


def divergence(estimator: GraphEstimator, left: str) -> ValueError:
    """Make the error of a loss that is no longer finite.

    Parameters
    ----------
    estimator : GraphEstimator
        What was trained.
    left : str
        How it is left.

    Returns
    -------
    ValueError
        With likely causes.
    """
    rate = f"learning_rate_init={estimator.learning_rate_init}"
    causes = [f"steps that are too large (alpha={estimator.alpha}, {rate})"]
    causes += estimator._other_causes()
    if estimator.scale is None:
        causes.append("features that are not scaled (set scale='robust')")
    elif estimator.encoding_.is_sparse:
        causes.append("features that are not scaled (put a MaxAbsScaler before)")
    kind = "causes are" if len(causes) > 1 else "cause is"
    return ValueError(
        f"The loss is no longer finite. The likely {kind} {' or '.join(causes)}. The "
        f"estimator is left {left}."
    )
