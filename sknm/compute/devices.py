"""Where to compute: the devices that users name, and those that are there."""

from __future__ import annotations

import torch


def choose_device(name: str) -> str:
    """Find the device that a user's `device` means.

    Parameters
    ----------
    name : str
        What the user gave.

    Returns
    -------
    str
        Name of a device that is there.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else _mps_or_cpu()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device={name!r} is not the name of a device; use 'cpu', 'cuda', "
            "'cuda:1', 'mps' or 'auto'."
        ) from error
    if not is_available(device):
        raise ValueError(
            f"device={name!r} is not available on this machine; use device='cpu', or "
            "device='auto' for the best one there is."
        )
    return "cpu" if device.type == "cpu" else name


def is_available(device: torch.device) -> bool:
    """Whether tensors can be made on a device."""
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"


def _mps_or_cpu() -> str:
    return "mps" if torch.backends.mps.is_available() else "cpu"
