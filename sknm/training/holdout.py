"""Rows that join a training late, and say before how far its outputs can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback
from torch import Tensor

from sknm.training.net import TrainingNet

JOIN = 0.85
"""Share of a training's epochs after which the rows join it. The rate is so low then
that the outputs are nearly those of the end, and high enough to learn from the rows."""

FEWEST_EPOCHS = 5
"""Least epochs of a training that rows are withheld from."""


class Holdout(Callback):
    """Keeps some rows from a training until its last part.

    Parameters
    ----------
    rows : Tensor of int of shape (n_withheld,)
        Which rows of the table.
    n_epochs : int
        Epochs of the training, at most.
    ask : callable
        Is called before they join, when the network has not been trained on them: once,
        in the last part of the training or where it ends before. It sees the network as
        it would be left now.
    """

    def __init__(self, rows: Tensor, n_epochs: int, ask: Callable[[], None]) -> None:
        self.rows, self._ask = rows, ask
        self._n_without = int(JOIN * n_epochs)

    def on_train_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Withhold the rows."""
        net.withheld, self._n_begun = self.rows, 0

    def on_epoch_begin(self, net: TrainingNet, **kwargs: Any) -> None:
        """Have them join if it is time."""
        if self._n_begun == self._n_without:
            self._join(net)
        self._n_begun += 1

    def on_train_end(self, net: TrainingNet, **kwargs: Any) -> None:
        """Ask them at least, if they have not joined."""
        self._join(net)

    def _join(self, net: TrainingNet) -> None:
        if net.withheld is None:
            return
        state = net.module_.snapshot()
        if state.is_finite():
            net.settle()
            self._ask()
            net.restore(state)  # training sees none of it
        net.withheld = None  # at last: who is interrupted while asking is asked again
