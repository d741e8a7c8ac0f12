"""Groups of parameters, which say themselves how an optimiser is to treat them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class ParameterGroup:
    """Parameters that an optimiser treats alike.

    Attributes
    ----------
    params : list of Tensor
        The parameters.
    step_scale : float, default=1.0
        Share of the learning rate that they get.
    decay : float, default=1.0
        Share of the weight decay that they get.
    ridge : float, default=1.0
        The same for optimisers that have the weight decay in the loss: none for biases,
        say, to which it may not matter where zero is.
    is_variable : bool, default=False
        Whether parameters and step scale may change while they are trained.
    held : Tensor of bool or None
        Where the only parameter of the group is left alone.
    """

    params: list[Tensor]
    step_scale: float = 1.0
    decay: float = 1.0
    ridge: float = 1.0
    is_variable: bool = False
    held: Tensor | None = None


def step_share(full_step_edges: int, fan_in: float) -> float:
    """Share of the learning rate for weights of edges that lead to the same place.

    Adam moves all weights by about the same amount, so that what a step adds to what
    enters a node grows with the number of edges. With more of them than bear the whole
    step, it is kept to what it is for so many independent ones.

    Parameters
    ----------
    full_step_edges : int
        Most edges that bear the whole step.
    fan_in : float
        Edges that lead to one place.

    Returns
    -------
    float
        At most 1.
    """
    return min(1.0, (full_step_edges / fan_in) ** 0.5)
