"""URN: at which step of the recursion a neuron matters, and what layers that makes."""

from __future__ import annotations

import numpy as np


def reached_from_inputs(
    mask: np.ndarray, n_inputs: int, n_steps: int, always: np.ndarray | None = None
) -> np.ndarray:
    """At which steps neurons depend on the inputs.

    Parameters
    ----------
    mask : ndarray of bool of shape (n_neurons, n_neurons)
        The edges; the first neurons are the inputs.
    n_inputs : int
        Number of the inputs.
    n_steps : int
        ``I``.
    always : ndarray of bool of shape (n_neurons,), optional
        Neurons that count as reached at each step but 0, and what they lead to.

    Returns
    -------
    ndarray of bool of shape (n_steps + 1, n_neurons)
        Whether a path of exactly t edges leads from an input to the neuron.
    """
    reached = np.zeros((n_steps + 1, len(mask)), dtype=bool)
    reached[0, :n_inputs] = True
    for t in range(n_steps):
        reached[t + 1] = mask[reached[t]].any(axis=0)
        if always is not None:
            reached[t + 1] |= always
    return reached


def reaches_outputs(mask: np.ndarray, n_outputs: int, n_steps: int) -> np.ndarray:
    """At which steps neurons can still act on the outputs.

    Parameters
    ----------
    mask : ndarray of bool of shape (n_neurons, n_neurons)
        The edges; the last neurons are the outputs.
    n_outputs : int
        Number of the outputs.
    n_steps : int
        ``I``.

    Returns
    -------
    ndarray of bool of shape (n_steps + 1, n_neurons)
        Whether a path of exactly I - t edges leads from the neuron to an output.
    """
    reaching = np.zeros((n_steps + 1, len(mask)), dtype=bool)
    reaching[n_steps, len(mask) - n_outputs :] = True
    for t in range(n_steps, 0, -1):
        reaching[t - 1] = mask[:, reaching[t]].any(axis=1)
    return reaching


def steps_that_matter(
    mask: np.ndarray, n_inputs: int, n_outputs: int, n_steps: int
) -> np.ndarray:
    """At which steps neurons both depend on inputs and act on outputs.

    Parameters
    ----------
    mask : ndarray of bool of shape (n_neurons, n_neurons)
        The edges; the first neurons are the inputs, the last the outputs.
    n_inputs, n_outputs : int
        Their numbers.
    n_steps : int
        ``I``.

    Returns
    -------
    ndarray of bool of shape (n_steps + 1, n_neurons)
        Whether the neuron matters at step t.
    """
    reached = reached_from_inputs(mask, n_inputs, n_steps)
    return reached & reaches_outputs(mask, n_outputs, n_steps)


def active_neurons(
    mask: np.ndarray, always: np.ndarray, n_inputs: int, n_outputs: int, n_steps: int
) -> np.ndarray:
    """Find the neurons that act on the outputs, if only as a constant.

    Parameters
    ----------
    mask : ndarray of bool of shape (n_neurons, n_neurons)
        The edges; the first neurons are the inputs, the last the outputs.
    always : ndarray of bool of shape (n_neurons,)
        Neurons that are not zero even if nothing enters them.
    n_inputs, n_outputs : int
        Numbers of inputs and outputs.
    n_steps : int
        ``I``.

    Returns
    -------
    ndarray of bool of shape (n_neurons,)
        Whether the neuron may differ from zero at a step at which it still can act on
        the outputs; the others can be removed, and nothing changes.
    """
    reached = reached_from_inputs(mask, n_inputs, n_steps, always)
    return (reached & reaches_outputs(mask, n_outputs, n_steps)).any(axis=0)


def main_depths(
    W: np.ndarray, n_inputs: int, n_outputs: int, n_steps: int
) -> np.ndarray:
    """Put each neuron at one of the steps at which it matters.

    Of several, it is the one for which most of the neuron's absolute weight comes from
    the step before or leads to the step after. Where these are is settled by turns,
    beginning with the steps at which the paths through the neurons are strongest.

    Parameters
    ----------
    W : ndarray of shape (n_neurons, n_neurons)
        Weights; the first neurons are the inputs, the last the outputs.
    n_inputs, n_outputs : int
        Their numbers.
    n_steps : int
        ``I``.

    Returns
    -------
    ndarray of int of shape (n_neurons,)
        A step for each neuron; -1 for those that never matter.
    """
    A = np.abs(W).astype(np.float64)
    strength = _path_strength(A, n_inputs, n_outputs, n_steps)
    depths = np.where(strength.any(axis=0), strength.argmax(axis=0), -1)
    several = np.flatnonzero((strength > 0).sum(axis=0) > 1)
    np.fill_diagonal(A, 0)
    for _ in range(10):
        before = depths.copy()
        for i in several:
            steps = np.flatnonzero(strength[:, i])
            fits = [
                A[i, depths == t + 1].sum() + A[depths == t - 1, i].sum() for t in steps
            ]
            if max(fits) > fits[int(np.searchsorted(steps, depths[i]))]:
                depths[i] = steps[int(np.argmax(fits))]
        if (depths == before).all():
            break
    return depths


def _path_strength(
    A: np.ndarray, n_inputs: int, n_outputs: int, n_steps: int
) -> np.ndarray:
    """Sum, over all paths through a neuron at step t, of their weights' products."""
    ahead = np.zeros((n_steps + 1, len(A)))
    ahead[0, :n_inputs] = 1
    behind = np.zeros_like(ahead)
    behind[n_steps, len(A) - n_outputs :] = 1
    for t in range(n_steps):
        ahead[t + 1] = ahead[t] @ A
        behind[n_steps - 1 - t] = A @ behind[n_steps - t]
    return ahead * behind


def layered_share(W: np.ndarray, depths: np.ndarray) -> float:
    """Share of the absolute weight that leads from one depth to the next.

    In the order of the depths, that is the share in the block sub-diagonal of W.

    Parameters
    ----------
    W : ndarray of shape (n_neurons, n_neurons)
        Weights.
    depths : ndarray of int of shape (n_neurons,)
        Depth of each neuron, -1 for those that are left out.

    Returns
    -------
    float
        In [0, 1]; NaN if there is no weight at all.
    """
    matters = np.flatnonzero(depths >= 0)
    A = np.abs(W[np.ix_(matters, matters)].astype(np.float64))
    depths = depths[matters]
    total = A.sum()
    if total == 0:
        return float("nan")
    return float(A[depths[:, None] + 1 == depths].sum() / total)
