"""How to undo a training that has begun in place."""

from __future__ import annotations

import copy

from sknm.training.net import TrainingNet


class Backup:
    """What is needed to undo the training of a net.

    A net that goes on is trained in place, since a copy would take as long as a short
    training.

    Parameters
    ----------
    net : TrainingNet
        The net as it is.
    """

    def __init__(self, net: TrainingNet) -> None:
        kept = "options", "batch_size", "criterion", "criterion_", "n_epochs"
        module = vars(net.module_)
        self._net = net
        self._settings = {name: vars(net)[name] for name in kept}
        self._module = {k: v for k, v in module.items() if not k.startswith("_")}
        self._snapshot = net.module_.snapshot()
        self._device = net.device
        self._history, self._records = list(net.history), list(net.records)
        self._generator = net.generator.get_state()
        self._rule, self._memory = copy.copy(net.rule), net.optimizer_.outline()

    def undo(self) -> None:
        """Bring the net back, whatever has been left of it.

        The optimiser remembers what it does after a whole training.
        """
        net = self._net
        net.__dict__.update(self._settings)
        if net.device != self._device:
            net.move(self._device)
        net.module_.__dict__.update(self._module)
        net.go_back(self._snapshot)
        net.rule = self._rule
        net.optimizer_.remember(self._memory, net.module_.graph)
        net.history[:] = self._history
        net.records[:] = self._records
        net.generator.set_state(self._generator)
