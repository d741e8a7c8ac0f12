"""Torch's settings belong to the caller: how the package sets them aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from sknm.compute.parallel import torch_threads


@contextmanager
def own_settings() -> Iterator[None]:
    """Compute as if the caller had set nothing, for as long as the context lasts.

    Serving code turns gradients off for good, training code sets a device or autocast:
    neither may reach into a fit or a prediction. One thread is enough for the small
    operations that are not spread over workers; and where torch has started threads of
    its own, a forked child waits for them for ever.

    What torch sets for all threads at once, such as the default type, is left alone:
    nothing in the package depends on it.
    """
    with torch_threads(1), torch.inference_mode(False), torch.enable_grad():
        modes = _neutral_modes()
        if not modes:  # the usual case
            yield
            return
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            yield


def _neutral_modes() -> list[Any]:
    """Find the modes that have to be set against those of the caller."""
    modes: list[Any] = [
        torch.autocast(kind, enabled=False)
        for kind in ("cpu", "cuda", "mps")
        if torch.is_autocast_enabled(kind)
    ]
    if torch.get_default_device().type != "cpu":
        modes.append(torch.device("cpu"))
    return modes
