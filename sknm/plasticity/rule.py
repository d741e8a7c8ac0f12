"""What a rule is: how it changes a graph while the graph is trained.

A rule is the only thing that changes a graph, beside the optimiser that moves the
weights. It is asked four times: at the start of a training, after each step of the
optimiser, after each epoch, and at the end. Its parameters are the fields of a
dataclass, so that two rules that do the same are equal. Whatever else it keeps follows
from the graph, or from the steps that it has seen: a pickle holds what going on at once
needs, and :func:`copy.copy` gives the rule as it is between two trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from torch import Tensor

from sknm.graph.state import GraphState
from sknm.graph.trace import Ends, Flow

G = TypeVar("G", bound=GraphState, contravariant=True)


@dataclass(frozen=True)
class Step:
    """What a step of the optimiser offers.

    Attributes
    ----------
    size : float
        The optimiser's step size for the weights.
    is_strained : bool, default=False
        Whether the solves of the step came to their limit, or may next time.
    flow : Flow or None
        What the gradient of any weight follows from.
    ends : Ends or None
        What there was at both ends of the graph; of the first member of an ensemble.
    activity : Tensor of shape (n_nodes,) or None
        How active each node was, summed over the rows of the step.
    n_passes : int, default=0
        How often this was summed up.
    weights : Tensor of shape (n_samples,) or None
        Weights of the rows of the step.
    progress : float or None
        Share of the training that is over; None if nobody knows how long it is.
    """

    size: float
    is_strained: bool = False
    flow: Flow | None = None
    ends: Ends | None = None
    activity: Tensor | None = None
    n_passes: int = 0
    weights: Tensor | None = None
    progress: float | None = None

    @property
    def seen(self) -> tuple[Flow, Ends] | None:
        """What there was inside and at both ends, of rows that are all different.

        They are what counts as evidence: what the other members of an ensemble make of
        the same rows is not independent of it.
        """
        if self.flow is None or self.ends is None:
            return None
        return self.flow.first(len(self.ends.errors)), self.ends


@dataclass(frozen=True)
class Epoch:
    """What an epoch offers.

    Attributes
    ----------
    number : int
        Which epoch of the network it is, from 1 on, all trainings counted.
    is_last : bool, default=False
        Whether it is the last of a whole training; none is if another may follow.
    node_values : callable, optional
        Gives the node values of the training rows and their weights, or None without,
        some rows at a time.
    of_round : int, default=1
        Which epoch of the present round of training it is, from 1 on.
    n_epochs : int or None
        Most epochs of a round; None if nobody knows how many follow.
    """

    number: int
    is_last: bool = False
    node_values: Callable[[], Iterator[tuple[Tensor, Tensor | None]]] | None = None
    of_round: int = 1
    n_epochs: int | None = None


@dataclass(frozen=True)
class Change:
    """What a rule made of an epoch.

    Attributes
    ----------
    survivors : Tensor of int or None
        The nodes that are left; None for all of them.
    record : object
        What is to be remembered of the epoch, if anything.
    goes_on : bool, default=False
        Whether another round of training is wanted, after the last epoch.
    summary : str, default=""
        How the graph looks, in a few words.
    """

    survivors: Tensor | None = None
    record: Any = None
    goes_on: bool = False
    summary: str = ""


class Rule(Protocol[G]):
    """Changes a graph while it is trained."""

    def start(self, graph: G, /) -> None:
        """Bring a graph in order, and say which of its weights are trained.

        It may have been trained before, by this rule or another.

        Parameters
        ----------
        graph : GraphState
            The graph.
        """

    def step(self, graph: G, step: Step, /) -> None:
        """Follow a step of the optimiser.

        Parameters
        ----------
        graph : GraphState
            The graph, whose weights have moved.
        step : Step
            What is known of it.
        """

    def epoch(self, graph: G, epoch: Epoch, /) -> Change:
        """Look at the graph after an epoch.

        Parameters
        ----------
        graph : GraphState
            The graph.
        epoch : Epoch
            What is known of it.

        Returns
        -------
        Change
            What has changed.
        """

    def end(self, graph: G, /) -> None:
        """Bring the graph into the state in which a training leaves it.

        Training may go on from before, with the graph as it was: the rule itself is not
        to be changed.

        Parameters
        ----------
        graph : GraphState
            The graph.
        """


class Remade:
    """A rule of which only the parameters are copied: a start makes the rest."""

    def __post_init__(self) -> None:
        """Set what is kept beside the parameters."""

    def __copy__(self) -> Any:
        """Return the same rule as it is between two trainings."""
        other = object.__new__(type(self))
        other.__setstate__(self._parameters())
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: the parameters."""
        return self._parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled state."""
        vars(self).update(state)
        self.__post_init__()  # which may look at the parameters
        vars(self).update(state)

    def _parameters(self) -> dict[str, Any]:
        own: Any = self
        return {f.name: getattr(self, f.name) for f in fields(own)}
