"""Arrays become tensors, and tensors arrays."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Copy a tensor to an array of its own.

    Parameters
    ----------
    tensor : Tensor
        On any device.

    Returns
    -------
    ndarray
        Shares no memory with the tensor.
    """
    return tensor.detach().cpu().numpy().copy()


def to_tensor(array: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """Put an array on a device, without a copy where torch can do without one.

    Parameters
    ----------
    array : ndarray
        What to put there; it may be read-only: nothing in sknm writes into it.
    device : str or torch.device, default="cpu"
        Where.

    Returns
    -------
    Tensor
        May share the array's memory.
    """
    if array.flags.writeable:
        return torch.as_tensor(array, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch can't protect the memory
        return torch.as_tensor(array, device=device)


def padded(
    values: np.ndarray, axis: int, before: int = 0, after: int = 0
) -> np.ndarray:
    """Put zeros before or after values, along one of the axes.

    Parameters
    ----------
    values : ndarray
        The values.
    axis : int
        Which axis.
    before, after : int, default=0
        How many zeros.

    Returns
    -------
    ndarray
        A copy.
    """
    widths = [(0, 0)] * values.ndim
    widths[axis] = before, after
    return np.pad(values, widths)
