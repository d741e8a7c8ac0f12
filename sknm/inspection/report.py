"""How learned a topology is, in a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sknm.graph.origin import Origin


def topology_report(estimator: Any) -> dict[str, int | float]:
    """Compare the topology of a fitted model with the one that it started with.

    A graph that ends as it began has learned no topology, however well it predicts.

    Parameters
    ----------
    estimator : estimator of sknm
        A fitted one; it may have been fitted several times, going on from before.

    Returns
    -------
    dict of str to int or float
        "n_nodes". Where there is a `topology_`: "n_edges" and "n_edges_start" (between
        nodes), and but for URN "n_modules" and "n_modules_start" (weakly connected
        components), "nodes_regrouped" (share of the nodes that are not together with
        the same nodes as at the start), "largest_share" (of the nodes, in the largest
        module). Where features enter by links: "links" and "links_start" (shares of
        those between features and nodes that exist), "links_woken" (share of those that
        exist which didn't at the start), "features_used" (number of features that enter
        at least one node). Where there is a log of evolutions: "edges_pruned" and
        "edges_added", in all of them. Of a URN: "nodes_alive".

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    TypeError
        If it is no estimator of sknm.

    See Also
    --------
    TopologyDisplay : The graph of a fitted model, drawn.
    EvolutionDisplay : What was in between.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknm import NeuralModuleClassifier
    >>> from sknm.inspection import topology_report
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> report = topology_report(NeuralModuleClassifier(random_state=0).fit(X, y))
    >>> report["n_modules"] < report["n_modules_start"]
    True
    """
    if not hasattr(estimator, "feature_fdr"):
        raise TypeError(
            f"{type(estimator).__name__} is no estimator of sknm; give the last step "
            "of a pipeline, or best_estimator_ of a search."
        )
    check_is_fitted(estimator)
    graph = estimator.net_.module_.graph
    origin: Origin = graph.origin
    report: dict[str, int | float] = {"n_nodes": len(origin.labels)}
    if hasattr(estimator, "topology_"):
        report |= _edges(estimator, origin)
    if graph.entries is not None:
        now = graph.entries.by_columns()
        before = origin.links(now.shape)
        report |= {
            "links": float(now.mean()),
            "links_start": float(before.mean()),
            "links_woken": float((now & ~before).sum() / max(1, now.sum())),
            "features_used": int(estimator.feature_modules_.any(axis=1).sum()),
        }
    return report


def _edges(estimator: Any, origin: Origin) -> dict[str, int | float]:
    topology = estimator.topology_
    found: dict[str, int | float] = {
        "n_edges": topology.n_edges,
        "n_edges_start": origin.n_edges,
    }
    if hasattr(estimator, "active_nodes_"):
        return found | {"nodes_alive": len(estimator.active_nodes_)}
    labels, before = topology.weak_labels, origin.labels
    pairs = np.column_stack([labels, before])
    _, both, n_both = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    n_common = n_both[both.reshape(-1)]
    n_now, n_before = np.bincount(labels)[labels], np.bincount(before)[before]
    is_as_before = (n_common == n_now) & (n_common == n_before)
    found |= {
        "n_modules": topology.n_weak,
        "n_modules_start": int(before.max()) + 1,
        "nodes_regrouped": float(1 - is_as_before.mean()),
        "largest_share": float(topology.sizes("weak").max() / topology.n_nodes),
    }
    evolution = [r for r in getattr(estimator, "evolution_", ()) if "pruned" in r]
    if hasattr(estimator, "evolution_"):
        found |= {
            "edges_pruned": int(np.sum([r["pruned"] for r in evolution])),
            "edges_added": int(np.sum([r["added"] for r in evolution])),
        }
    return found
