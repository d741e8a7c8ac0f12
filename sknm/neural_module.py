"""Neural Modules: cyclic graphs that organise themselves into independent modules."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknm._docstrings import document
from sknm.checks import Samples
from sknm.graph.draw import draw_weights, module_sizes
from sknm.graph.state import EquationState
from sknm.parameters import (
    Number,
)
from sknm.plasticity.modular import ModularRule
from sknm.plasticity.modules import PENALTIES, ModulePenalty
from sknm.solved import CyclicGraph
from sknm.supervised import GraphClassifier, GraphRegressor
from sknm.training.equation import EquationNetwork

STRENGTHS: dict[str | None, float] = {
    "evidence": 10.0,
    "bridge": 10.0,
    "nm": 0.6,
    "l1": 0.1,
    "l2": 0.1,
    None: 0.0,
}
"""What `lambda_NM` is if it follows from the penalty. What the papers' rule makes of a
complete graph has modules with it, and most nodes are in one."""

PARAMETERS = """
init : {"modular", "dense"}, default="modular"
    How the graph starts: as dense modules of `module_size` nodes, with edges between
    them below the threshold; or as one complete graph, as in the papers. With the
    penalty "evidence", that is cut into modules of `module_size` nodes after 50 steps,
    where its weights are least.

module_size : int, default=20
    Number of nodes of a module at first, as nearly as `n_nodes` allows.

tau : float, default=0.05
    Threshold: edges with an absolute weight of at most `tau` are left out of the
    graph. They keep being trained and can come back, but with the penalty "evidence"
    those between modules, which merging brings. It should be several steps of the
    optimiser wide; from 0.77 on, modules don't merge by evidence.

lambda_NM : float or "auto", default="auto"
    Strength of the penalty. With "evidence", two modules merge if nodes of one explain
    more than ``1 + lambda_NM * share`` times what they would by chance of what the
    other asks for, where `share` is that of all nodes in both of them; they don't merge
    to more than 64 nodes (``640 / lambda_NM`` below 10), nor to more than 0.4 of all
    nodes unless ``1 / lambda_NM`` is more. With other penalties it
    is in steps of the optimiser: an edge of price 1 shrinks by `lambda_NM` times the
    learning rate at each step; with "bridge", modules don't merge to more than the
    share ``1 / lambda_NM`` of the nodes. "auto" is 10 for "evidence" and "bridge",
    0.6 for "nm" and 0.1 for "l1" and "l2".

penalty : {"evidence", "bridge", "nm", "l1", "l2"} or None, default="evidence"
    What keeps edges from existing. "evidence": nothing inside a module; those between
    two modules are left out until it is shown that the modules have a use for each
    other, which is looked for after epochs. "bridge": a price of those between two
    modules, the share of all nodes that the module has which the edge would make. "nm":
    a price of all, the size of the module of the node that an edge leads to
    (NM eq. 6-8). "l1" and "l2": the same for all, with the L1 or L2 norm.

norm : {"l1", "l2"}, default="l1"
    Whether the penalties "bridge" and "nm" act on absolute or squared weights; only
    the first makes edges vanish.

measure : {"share", "edges"}, default="share"
    What the size of a module is in the penalties "bridge" and "nm": its share of
    the nodes, so that `lambda_NM` keeps its meaning as `n_nodes` changes, or its
    number of edges.

connection : {"weak", "strong"}, default="weak"
    Whether modules are the weakly or the strongly connected components of the graph.
"""

ATTRIBUTES = """
topology_ : Topology
    The edges above the threshold, and what follows from them.

module_labels_ : ndarray of shape (n_nodes,)
    Module of each node.

n_modules_ : int
    Number of modules.

module_sizes_ : ndarray of shape (n_modules,)
    Nodes of each module, in the order of the labels.

module_history_ : list of dict
    After each epoch: "n_modules", "largest_share" (of the nodes, in the largest
    module), "sizes" (of the modules, largest first), "density" (share of the possible
    edges that exist), "links" (share of the edges from inputs to nodes that exist) and
    "labels" (the module of each node, a tuple that epochs share if nothing changes).
"""

REFERENCES = """
.. [1] "Automatic Organization of Neural Modules for Enhanced Collaboration in
   Neural Networks", arXiv:2005.04088.

.. [2] "Automated Architecture Synthesis for Arbitrarily Structured Neural
   Networks", arXiv:2306.02157.

.. [3] E. Winston and J. Z. Kolter, "Monotone operator equilibrium networks",
   NeurIPS 2020.
"""


@dataclass(repr=False, eq=False)
class NeuralModules(CyclicGraph):
    """The graph of both estimators: how it starts, and what changes it."""

    _: KW_ONLY
    init: str = "modular"
    module_size: int = 20
    tau: float = 0.05
    lambda_NM: float | str = "auto"
    penalty: str | None = "evidence"
    norm: str = "l1"
    measure: str = "share"
    connection: str = "weak"

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "init": [StrOptions({"modular", "dense"})],
        "module_size": [Number(Integral, 1, None, closed="left")],
        "tau": [Number(Real, 0, None, closed="left")],
        "lambda_NM": [Number(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "penalty": [StrOptions(set(PENALTIES)), None],
        "norm": [StrOptions({"l1", "l2"})],
        "measure": [StrOptions({"share", "edges"})],
        "connection": [StrOptions({"weak", "strong"})],
    }

    _doc_parts: ClassVar[dict[str, str]] = {
        "parameters": PARAMETERS,
        "attributes": ATTRIBUTES,
        "references": REFERENCES,
    }

    def _draw_node_weights(self, generator: torch.Generator) -> Tensor:
        sizes = [self.n_nodes]
        if self.init == "modular":
            sizes = module_sizes(self.n_nodes, self.module_size)
        return draw_weights(sizes, self.tau, 1.0, generator)

    def _make_rule(self) -> ModularRule:
        is_cut = self.init == "dense" and self.penalty == "evidence"
        return replace(
            super()._make_rule(),
            tau=self.tau,
            penalty=ModulePenalty(
                self.penalty, self._strength(), self.norm, self.measure
            ),
            connection=self.connection,
            cut_size=int(self.module_size) if is_cut else None,
            rate=self.learning_rate_init if self.penalty == "evidence" else 0.0,
        )

    @property
    def _unit(self) -> str:  # type: ignore[override]
        """A complete graph has no modules yet that features could enter."""
        return "module" if self.init == "modular" else "graph"

    def _strength(self) -> float:
        if self.lambda_NM == "auto":
            return STRENGTHS[self.penalty]
        return float(self.lambda_NM)

    def _modules_of_nodes(self, graph: EquationState) -> np.ndarray:
        return graph.topology.labels(self.connection)

    def _what_ends_edges(self) -> str | None:
        size = self.module_size if self.init == "modular" else self.n_nodes
        if min(size, self.n_nodes) < 2:
            return None
        price = f", lambda_NM={self._strength():g}"
        return f"tau={self.tau}" + price * (self.penalty != "evidence")

    def _read(self, network: EquationNetwork, samples: Samples) -> None:
        self._read_nodes(np.arange(network.graph.n_nodes))
        self.module_history_ = list(self.net_.records)

    def _read_nodes(self, kept: np.ndarray) -> None:
        self.module_labels_ = self.topology_.labels(self.connection).copy()
        self.module_sizes_ = self.topology_.sizes(self.connection)
        self.n_modules_ = len(self.module_sizes_)


@document
@dataclass(repr=False, eq=False)
class NeuralModuleClassifier(NeuralModules, GraphClassifier):
    """Classifier whose nodes form a cyclic graph that organises itself into modules.

    The values ``z`` of all nodes solve ``z = σ(zW + xU + b)``; the classes'
    logits are ``zV + c``. Edges of W below a threshold are left out, and the graph is
    in modules that don't know of each other and are solved at the same time [1]_.
    Modules merge while the graph is trained, and features enter those that have a use
    for them. Each solution is unique, and found [3]_.

    Read more in the :ref:`User Guide <modules>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    NeuralModuleRegressor : The same for numbers.
    sklearn.neural_network.MLPClassifier : A layered network.

    Notes
    -----
    Time and memory of a training step grow with the
    number of nodes times the size of the modules.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sknm import NeuralModuleClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = NeuralModuleClassifier(n_nodes=100, random_state=0)
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    >>> int(model.module_sizes_.sum())
    100
    """


@document
@dataclass(repr=False, eq=False)
class NeuralModuleRegressor(NeuralModules, GraphRegressor):
    """Regressor whose nodes form a cyclic graph that organises itself into modules.

    The values ``z`` of all nodes solve ``z = σ(zW + xU + b)``; the predictions
    are ``zV + c``. Edges of W below a threshold are left out, and the graph is in
    modules that don't know of each other and are solved at the same time [1]_. Modules
    merge while the graph is trained, and features enter those that have a use for them.
    Each solution is unique, and found [3]_. The `loss` is minimised; several targets
    are fitted at once.

    Read more in the :ref:`User Guide <modules>`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    NeuralModuleClassifier : The same for classes.
    sklearn.neural_network.MLPRegressor : A layered network.

    Notes
    -----
    Time and memory of a training step grow with the
    number of nodes times the size of the modules.

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknm import NeuralModuleRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NeuralModuleRegressor(n_nodes=100, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """
