"""How much predictions depend on each feature, on average over some training rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sknm.checks import Samples
from sknm.compute.rows import CHUNK_INPUTS, Inputs, SparseBatch
from sknm.training.equation import EquationNetwork

MOST_ROWS = 64
"""Training rows that are looked at."""

MOST_SUMS = 4
"""Outputs up to which each is looked at, and random sums of more."""


def importances(
    network: EquationNetwork,
    samples: Samples,
    columns: np.ndarray,
    n_features: int,
    is_of_classes: bool,
) -> np.ndarray:
    """Measure the share of each feature in how outputs change with the inputs.

    Parameters
    ----------
    network : EquationNetwork
        A trained network.
    samples : Samples
        Training rows.
    columns : ndarray of int of shape (n_inputs,)
        The feature that each input is made of, -1 for several.
    n_features : int
        Number of features.
    is_of_classes : bool
        Whether what all outputs get alike decides nothing.

    Returns
    -------
    ndarray of shape (n_features,)
        Root mean squares of the gradients of the outputs, in standard deviations of the
        inputs. Their sum is 1, or 0 if nothing depends on anything.
    """
    n_rows = max(2, min(MOST_ROWS, CHUNK_INPUTS // max(1, len(columns))))
    chosen = np.unique(np.linspace(0, len(samples) - 1, n_rows).astype(int))
    weights = np.ones(len(chosen))
    if samples.weights is not None:
        weights = samples.weights[chosen]
    weights = weights / max(weights.sum(), 1e-300)
    rows = samples.X.keep(chosen)
    (batch,) = rows.split(len(chosen), network.device)
    weigh = torch.from_numpy(weights).to(network.device)
    with torch.no_grad():
        x = network._encode(batch)
        sums = _sums(network, is_of_classes).to(network.input_weights)
        squares = network.gradients(x, sums).double().square_().sum(0)
        of_inputs = ((weigh @ squares) * _variances(x, weigh)).cpu().numpy()
    found = np.zeros(n_features)
    np.add.at(found, columns[columns >= 0], of_inputs[columns >= 0])
    found = np.sqrt(found)
    total = found.sum()
    return found / total if np.isfinite(total) and total > 0 else np.zeros(n_features)


def _variances(x: Inputs, weights: torch.Tensor) -> torch.Tensor:
    """Compute those of the columns, in double precision; sparse rows stay sparse."""
    if not isinstance(x, SparseBatch):
        values = x.double()
        return weights @ (values - weights @ values).square()
    values = x.values.double()
    mean, square = (
        replace(x, values=v).transposed_times(weights[:, None])[:, 0]
        for v in (values, values.square())
    )
    return (square - mean.square()).clamp_min(0)


def _sums(network: EquationNetwork, is_of_classes: bool) -> torch.Tensor:
    """Choose sums of the outputs: their squares are those of all outputs on average."""
    n_outputs = network.output_weights.shape[-1]
    sums = torch.eye(n_outputs, dtype=torch.float64)
    if is_of_classes:
        sums -= 1 / n_outputs
    if n_outputs <= MOST_SUMS:
        return sums
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (n_outputs, MOST_SUMS), generator=generator)
    return sums @ (signs.double() * 2 - 1) / MOST_SUMS**0.5
