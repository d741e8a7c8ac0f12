"""How graphs start: their edges, and the weights that these are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sknm.graph.activations import ACTIVATIONS
from sknm.graph.topology import Topology

FULL_LEVELS = 8
"""Most levels of a graph of squares that starts and is trained like others: see
`restraint`. In a complete graph few paths pass through all levels."""


def module_sizes(n_nodes: int, module_size: int) -> list[int]:
    """Sizes of the modules of a modular start: as even as they can be.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    module_size : int
        Number of nodes that a module should have.

    Returns
    -------
    list of int
        At least one module; all together `n_nodes`.
    """
    n_modules = max(1, round(n_nodes / module_size))
    share, rest = divmod(n_nodes, n_modules)
    return [share + (k < rest) for k in range(n_modules)]


def draw_weights(
    sizes: Sequence[int], tau: float, gain: float, generator: torch.Generator
) -> Tensor:
    """Weights of dense modules, and of bridges between them that start below `tau`.

    Parameters
    ----------
    sizes : sequence of int
        Nodes of each module.
    tau : float
        Bridges are drawn from ``(-tau/2, tau/2)``: bounded, since one of them above the
        threshold would merge two modules before the training starts.
    gain : float
        Inner edges are drawn from ``±gain / sqrt(module size)``.
    generator : torch.Generator
        Source of randomness, which also says on which device.

    Returns
    -------
    Tensor of shape (n_nodes, n_nodes)
        The diagonal is zero.
    """
    n_nodes = sum(sizes)
    bound = min(tau / 2, torch.finfo(torch.float32).max / 4)
    W = _uniform((n_nodes, n_nodes), bound, generator)
    start = 0
    for size in sizes:
        block = slice(start, start + size)
        W[block, block] = _uniform((size, size), gain / size**0.5, generator)
        start += size
    return W.fill_diagonal_(0)


def draw_edges(
    topology: Topology, generator: torch.Generator, restraint: float = 1.0
) -> Tensor:
    """Weights of the edges of an acyclic graph (Glorot & Bengio 2010).

    Parameters
    ----------
    topology : Topology
        The graph.
    generator : torch.Generator
        Source of randomness.
    restraint : float, default=1.0
        Below 1 for long chains of squares, see `restraint`.

    Returns
    -------
    Tensor of shape (n_nodes, n_nodes)
        Uniform in ``±sqrt(6 / (in-degree of the target + out-degree of the source))``
        times `restraint` squared, zero where there is no edge.
    """
    n = topology.n_nodes
    bounds = edge_bounds(topology) * topology.to_dense() * restraint**2
    uniform = torch.empty(n, n, dtype=torch.float32)
    uniform.uniform_(-1, 1, generator=generator)
    return uniform * torch.as_tensor(bounds, dtype=torch.float32)


def edge_bounds(topology: Topology) -> np.ndarray:
    """Bound the weights that edges are drawn with (Glorot & Bengio 2010).

    Parameters
    ----------
    topology : Topology
        The graph.

    Returns
    -------
    ndarray of shape (n_nodes, n_nodes)
        ``sqrt(6 / (in-degree of the target + out-degree of the source))``, also where
        there is no edge.
    """
    degrees = topology.in_degrees + np.diff(topology.edges.indptr)[:, None]
    bounds: np.ndarray = np.sqrt(6 / np.maximum(1, degrees))
    return bounds


def random_part(
    topology: Topology, density: float, generator: torch.Generator
) -> Topology:
    """Keep a random share of the edges.

    Parameters
    ----------
    topology : Topology
        All edges.
    density : float
        Share of them to keep, in [0, 1].
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Topology
        As many edges as that share, rounded.
    """
    n_kept = round(density * topology.n_edges)
    kept = torch.randperm(topology.n_edges, generator=generator)[:n_kept].numpy()
    source, target = topology.edges.nonzero()
    mask = np.zeros((topology.n_nodes, topology.n_nodes), dtype=bool)
    mask[source[kept], target[kept]] = True
    return Topology(mask)


def restraint(n_levels: int, activation: str, full_levels: int = FULL_LEVELS) -> float:
    """How much more carefully a chain of squares has to be trained than others.

    With degree 2, a value that enters at ``s`` standard deviations is of the order
    ``s ** 2 ** L`` after L levels: let edges add a little too much to one row, and the
    rest of the chain overflows. What a level may add to the next therefore has to
    become small as there are more of them; the features, which enter at each node,
    don't vanish with it.

    Parameters
    ----------
    n_levels : int
        Nodes on the longest path of an acyclic graph.
    activation : str
        Name of the activation of its nodes.
    full_levels : int, default=FULL_LEVELS
        Most levels that need no restraint.

    Returns
    -------
    float
        Share of the optimiser's steps that the weights should get, and the square root
        of the share of what they are otherwise drawn as: 1 unless the activation has a
        degree above 1.
    """
    if ACTIVATIONS[activation].degree == 1:
        return 1.0
    return min(1.0, full_levels / n_levels)


def draw_inputs(
    n_inputs: int,
    n_inlets: int,
    fan_in: float,
    gain: float,
    generator: torch.Generator,
) -> Tensor:
    """Weights of inputs.

    Parameters
    ----------
    n_inputs, n_inlets : int
        Number of inputs, and of the nodes that they enter.
    fan_in : float
        Number of inputs of unit variance that they count for.
    gain : float
        Standard deviation of what enters a node from standardised inputs.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Tensor of shape (n_inputs, n_inlets)
        Normal.
    """
    return _normal(n_inputs, n_inlets, generator) * (gain / fan_in**0.5)


def draw_outputs(n_outlets: int, n_outputs: int, generator: torch.Generator) -> Tensor:
    """Weights of outputs.

    Parameters
    ----------
    n_outlets, n_outputs : int
        Number of nodes that are read, and of outputs.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Tensor of shape (n_outlets, n_outputs)
        Normal, with a variance of one over the number of nodes.
    """
    return _normal(n_outlets, n_outputs, generator) / n_outlets**0.5


def draw_biases(n_nodes: int, generator: torch.Generator) -> Tensor:
    """Biases of nodes.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Tensor of shape (n_nodes,)
        Uniform in (-0.1, 0.1).
    """
    biases = torch.empty(n_nodes, dtype=torch.float32)
    return biases.uniform_(-0.1, 0.1, generator=generator)


def _normal(n_rows: int, n_columns: int, generator: torch.Generator) -> Tensor:
    shape = n_rows, n_columns
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def _uniform(
    shape: tuple[int, int], bound: float, generator: torch.Generator
) -> Tensor:
    drawn = torch.empty(shape, dtype=torch.float32)
    return drawn.uniform_(-bound, bound, generator=generator)
