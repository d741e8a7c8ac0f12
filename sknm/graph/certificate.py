"""What can be proved of the solutions of ``z = σ(zW + xU + b)``, ``y = zV + c``.

Two inputs that differ by δ have node values that differ by ``d`` with ``d = e ∘ s``,
where ``e = dW + δU`` is by how much differs what enters the nodes, and the slopes s are
between 0 and the largest slope β of the activation. With β drawn into W and V, slopes
are in [0, 1]. How much outputs can differ is bounded in two ways, of which the better
one counts:

"norms"
    ``|d_b| m_b <= |δ| |U_b| + Σ_a |d_a| |W_ab|`` of each strong component b, where m is
    its margin, ``1 - λmax((W + Wᵀ)/2)``; of one component, it is ``|U| |V| / m``
    (Pabbaraju, Winston & Kolter 2021).
"multipliers"
    ``d_i (e_i - d_i) >= 0`` of each node, with weights Λ: see
    :mod:`sknm.graph.multipliers`.

All is computed in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solve_triangular

from sknm.graph.components import members
from sknm.graph.multipliers import Multipliers, find_multipliers
from sknm.graph.topology import Topology

POWERS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
"""Powers p of the weights with which Λ is proposed."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is proved of a fitted network: one solution, and how far outputs can move.

    Attributes
    ----------
    is_unique : bool
        Whether each input has exactly one solution.
    margin : float or None
        Least margin of the blocks with cycles, ``1 - β λmax((W + Wᵀ)/2)`` with the
        largest slope β of the activation, which has to be above 0; None where there
        are no cycles, for which nothing is needed.
    lipschitz : float
        By how much ``decision_function`` or ``predict`` (its logarithm with the losses
        "poisson" and "gamma"), in the norm of all outputs, can differ at most where
        encoded inputs differ by 1 in norm; infinite if nothing is known.
    of_outputs : ndarray of shape (n_outputs,)
        The same of single outputs.
    of_pairs : ndarray of shape (n_classes, n_classes) or None
        The same of differences of the outputs of two classes; None where there are not
        several classes with an output each.
    solve_error : float
        By how much a single output differs at most from that of the exact solution,
        because of how well node values were found on the training rows of
        ``solver_stats_``.
    bounds : dict of str to float
        `lipschitz` by how it was found: "norms" of the weights, "multipliers" of
        nodes, or "exact" if the activation is the identity.

    See Also
    --------
    sknm.NeuralModuleClassifier : Has it as ``certificate_``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknm import NeuralModuleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralModuleClassifier(50, max_iter=5, random_state=0).fit(X, y)
    >>> certificate = model.certificate_
    >>> certificate.is_unique, certificate.margin > 0.29
    (True, True)
    >>> certificate.of_pairs.shape
    (3, 3)
    """

    is_unique: bool
    margin: float | None
    lipschitz: float
    of_outputs: np.ndarray = field(repr=False)
    of_pairs: np.ndarray | None = field(repr=False)
    solve_error: float
    bounds: dict[str, float]


@dataclass(frozen=True)
class System:
    """A network whose outputs are to be bounded, the slope drawn in.

    Attributes
    ----------
    W : ndarray of shape (n_nodes, n_nodes)
        Weights between nodes, times the largest slope.
    U : ndarray of shape (n_inputs, n_nodes)
        Weights of inputs.
    V : ndarray of shape (n_nodes, n_outputs)
        Weights of outputs, times the largest slope.
    nodes : list of ndarray of int
        The nodes of each strong component, in topological order.
    margins : ndarray of shape (n_components,)
        That of each component, 1 of nodes on no cycle.
    is_linear : bool
        Whether the slope is always the largest.
    """

    W: np.ndarray
    U: np.ndarray
    V: np.ndarray
    nodes: list[np.ndarray]
    margins: np.ndarray
    is_linear: bool = False

    @classmethod
    def of(
        cls,
        W: np.ndarray,
        U: np.ndarray,
        V: np.ndarray,
        topology: Topology,
        slope: float = 1.0,
        is_linear: bool = False,
    ) -> System:
        """Take apart a network.

        Parameters
        ----------
        W : ndarray of shape (n_nodes, n_nodes)
            Weights between nodes, zero where there is no edge.
        U : ndarray of shape (n_inputs, n_nodes)
            Weights of inputs.
        V : ndarray of shape (n_nodes, n_outputs)
            Weights of outputs.
        topology : Topology
            The edges.
        slope : float, default=1.0
            Largest slope of the activation.
        is_linear : bool, default=False
            Whether it has no other.

        Returns
        -------
        System
            The same network with slopes up to 1.
        """
        W, U, V = (np.asarray(M, dtype=np.float64) for M in (W, U, V))
        W, V = slope * W, slope * V
        nodes = members(topology.strong_labels)
        margins = np.array([margin_of(W, own) for own in nodes])
        return cls(W, U, V, nodes, margins, is_linear)


def margin_of(W: np.ndarray, nodes: np.ndarray) -> float:
    """Compute how far a component is from having several solutions.

    Parameters
    ----------
    W : ndarray of shape (n_nodes, n_nodes)
        Weights between nodes.
    nodes : ndarray of int
        Those of the component.

    Returns
    -------
    float
        ``1 - λmax((W + Wᵀ)/2)``, 1 of a single node.
    """
    if len(nodes) < 2:
        return 1.0
    block = W[np.ix_(nodes, nodes)]
    return float(1 - np.linalg.eigvalsh((block + block.T) / 2)[-1])


def component_norms(matrix: np.ndarray, nodes: list[np.ndarray]) -> np.ndarray:
    """Compute Frobenius norms of the rows of each component.

    Parameters
    ----------
    matrix : ndarray of shape (n_nodes, k)
        Rows of nodes.
    nodes : list of ndarray of int
        The nodes of each component.

    Returns
    -------
    ndarray of shape (n_components,)
        At least the spectral norms.
    """
    return np.array([np.linalg.norm(matrix[own]) for own in nodes])


def comparison(system: System) -> np.ndarray:
    """Make the matrix ``A`` of components with ``|d| A <= |δ| |U|``, triangular.

    Parameters
    ----------
    system : System
        The network, with margins above 0.

    Returns
    -------
    ndarray of shape (n_components, n_components)
        Margins on the diagonal, less norms of the weights between components.
    """
    joins = np.stack([np.square(system.W[own]).sum(axis=0) for own in system.nodes])
    norms = [np.sqrt(joins[:, own].sum(axis=1)) for own in system.nodes]
    A: np.ndarray = -np.triu(np.stack(norms, axis=1), 1)
    np.fill_diagonal(A, system.margins)
    return A


class Gains:
    """Bounds of how much outputs can differ, for inputs that differ by 1.

    Parameters
    ----------
    system : System
        The network. If a margin is not above 0, nothing is bounded.
    aims : ndarray of shape (n_outputs, n_aims)
        Which sums of the outputs are to be bounded well.
    """

    def __init__(self, system: System, aims: np.ndarray) -> None:
        self.system = system
        self.is_bounded = bool(
            (system.margins > 0).all() and np.isfinite(system.V).all()
        )
        self._multipliers: Multipliers | None = None
        if not self.is_bounded or system.is_linear:
            return
        self._A = comparison(system)
        scalings = self._scalings(system.V @ aims)
        self._multipliers = find_multipliers(
            system.W, system.U, system.V @ aims, scalings
        )

    def of(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Bound how much some sums of the outputs can differ.

        Parameters
        ----------
        sums : ndarray of shape (n_outputs, n_sums)
            Weights of the outputs in each.

        Returns
        -------
        dict of str to ndarray of shape (n_sums,)
            Bounds, by how they were found; those that were not are infinite.
        """
        return self._bounds(self.system.U, self.system.V @ sums)

    def of_errors(self, sums: np.ndarray) -> np.ndarray:
        """Bound how much some sums of the outputs differ from those of the solution.

        Parameters
        ----------
        sums : ndarray of shape (n_outputs, n_sums)
            Weights of the outputs in each.

        Returns
        -------
        ndarray of shape (n_sums,)
            Bounds for node values that fail to be ``σ(zW + a)`` by 1, in their norm:
            for it is as if what enters differed by as much, times W.
        """
        system = self.system
        bounds = self._bounds(system.W, system.V @ sums)
        return least(bounds) + np.linalg.norm(system.V @ sums, axis=0)

    def jointly(self) -> dict[str, float]:
        """Bound how much all outputs can differ, in their norm.

        Returns
        -------
        dict of str to float
            Bounds, by how they were found; those that were not are infinite.
        """
        system = self.system
        if not self.is_bounded:
            return {"norms": np.inf}
        if system.is_linear:
            return {"exact": float(np.linalg.norm(self._linear(system.U, system.V), 2))}
        entering = component_norms(system.U.T, system.nodes)
        leaving = component_norms(system.V, system.nodes)
        found = {"norms": float(self._by_norms(entering, leaving))}
        if self._multipliers is not None:
            found["multipliers"] = self._multipliers.joint_gain(system.U, system.V)
        return found

    def _bounds(self, U: np.ndarray, V: np.ndarray) -> dict[str, np.ndarray]:
        if not self.is_bounded:
            return {"norms": np.full(V.shape[1], np.inf)}
        if self.system.is_linear:
            return {"exact": np.linalg.norm(self._linear(U, V), axis=0)}
        nodes = self.system.nodes
        leaving = np.stack([np.linalg.norm(V[own], axis=0) for own in nodes])
        found = {"norms": self._by_norms(component_norms(U.T, nodes), leaving)}
        if self._multipliers is not None:
            found["multipliers"] = self._multipliers.gains(U, V)
        return found

    def _linear(self, U: np.ndarray, V: np.ndarray) -> np.ndarray:
        found: np.ndarray = U @ np.linalg.solve(np.eye(len(V)) - self.system.W, V)
        return found

    def _by_norms(self, entering: np.ndarray, leaving: np.ndarray) -> np.ndarray:
        found: np.ndarray = solve_triangular(self._A.T, entering, lower=True) @ leaving
        return found

    def _scalings(self, V: np.ndarray) -> list[np.ndarray]:
        """Propose Λ: what comes of a node, by what comes to it, over all paths.

        With ``p = 1`` it makes P diagonally dominant. With larger p, paths are added up
        as if they had any sign, which is nearer the truth as long as P is positive
        definite.
        """
        nodes, proposals = self.system.nodes, []
        entering = component_norms(self.system.U.T, nodes)
        leaving = component_norms(V, nodes)
        for p in POWERS:
            A = np.sign(self._A) * abs(self._A) ** p
            to = solve_triangular(A.T, entering**p, lower=True) ** (1 / p)
            out = solve_triangular(A, leaving**p, lower=False) ** (1 / p)
            scaling = np.empty(len(V))
            for own, above, below in zip(
                nodes, _floored(out), _floored(to), strict=True
            ):
                scaling[own] = above / below
            proposals.append(scaling)
        return proposals


def least(bounds: dict[str, np.ndarray]) -> np.ndarray:
    """Take the least of several bounds, which all hold."""
    found: np.ndarray = np.min(list(bounds.values()), axis=0)
    return found


def _floored(values: np.ndarray) -> np.ndarray:
    """Lift what is next to zero, as of nodes that no input enters."""
    floored: np.ndarray = np.maximum(values, max(1e-6 * values.max(initial=0), 1e-300))
    return floored
