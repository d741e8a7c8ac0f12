"""Modules whose pickles hold arrays and plain objects only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sknm.compute.arrays import to_numpy
from sknm.compute.settings import own_settings

_APART = "_parameters", "_buffers", "_modules", "training"


class Stored(nn.Module):
    """A module that is made anew from arrays where it is unpickled."""

    def keep(self, name: str, values: np.typing.ArrayLike, dtype: torch.dtype) -> None:
        """Keep values that are not trained, as an attribute that moves along.

        Parameters
        ----------
        name : str
            Of the attribute.
        values : ndarray or Tensor
            Its values.
        dtype : torch.dtype
            Its type.
        """
        tensor = torch.as_tensor(values, dtype=dtype, device="cpu")
        self.register_buffer(name, tensor.clone())

    def __getstate__(self) -> dict[str, Any]:
        """Return arrays instead of tensors."""
        plain = {
            name: value
            for name, value in vars(self).items()
            if not (name.startswith("_") or name in _APART)
        }
        parameters = self._parameters.items()  # None where there is none
        buffers = self.named_buffers(recurse=False)
        return {
            "plain": plain,
            "modules": dict(self._modules),
            "parameters": {k: p if p is None else to_numpy(p) for k, p in parameters},
            "buffers": {name: to_numpy(b) for name, b in buffers},
        }

    @own_settings()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state, on the CPU, ready to predict."""
        nn.Module.__init__(self)
        for name, array in state["parameters"].items():
            values = None if array is None else torch.tensor(array, device="cpu")
            p = None if values is None else nn.Parameter(values)
            self.register_parameter(name, p)
        for name, array in state["buffers"].items():
            self.register_buffer(name, torch.tensor(array, device="cpu"))
        for name, value in (state["plain"] | state["modules"]).items():
            setattr(self, name, value)
        self.eval()
