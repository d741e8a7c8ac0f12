"""What is told of fitted models."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

import sknm
from sknm.datasets import make_planted_modules
from sknm.inspection import topology_report


@pytest.fixture(scope="module")
def planted():
    X, y, _ = make_planted_modules(1000, n_classes=2, random_state=0)
    return X, y


def regrouped(before, after):
    """Nodes that are together with others, one by one."""
    changed = [
        set(np.flatnonzero(before == before[i])) != set(np.flatnonzero(after == k))
        for i, k in enumerate(after)
    ]
    return np.mean(changed)


def test_a_graph_that_learns_nothing_is_told_as_such(planted):
    model = sknm.NeuralModuleClassifier(
        60, lambda_NM=1e6, feature_fdr=None, max_iter=5, random_state=0
    ).fit(*planted)
    report = topology_report(model)
    assert report["n_modules"] == report["n_modules_start"] == 3
    assert report["nodes_regrouped"] == 0
    assert report["links"] == report["links_start"] == 1
    assert report["links_woken"] == 0
    assert report["largest_share"] == 1 / 3
    assert report["n_edges"] == model.topology_.n_edges


def test_modules_that_merged_are_told():
    X, y = load_digits(return_X_y=True)
    model = sknm.NeuralModuleClassifier(random_state=0).fit(X, y)
    report = topology_report(model)
    start = np.repeat(np.arange(20), 20)
    assert report["n_modules_start"] == 20
    assert report["n_modules"] == model.n_modules_ < 20
    assert report["nodes_regrouped"] == regrouped(start, model.module_labels_) > 0


def test_links_that_woke_are_told(planted):
    X, y = planted
    model = sknm.NeuralModuleClassifier(random_state=0).fit(X, y)
    report, history = topology_report(model), model.module_history_
    assert report["links_start"] <= history[0]["links"]
    assert report["links"] == pytest.approx(history[-1]["links"])
    assert report["features_used"] == model.feature_modules_.any(axis=1).sum()
    woken = (report["links"] - report["links_start"]) / report["links"]
    assert report["links_woken"] == pytest.approx(woken)


def test_all_estimators_tell(every_estimator, planted):
    X, y = planted
    model = every_estimator(10, max_iter=3, random_state=0).fit(X[:200], y[:200])
    report = topology_report(model)
    assert all(np.isfinite(value) for value in report.values())
    assert report == topology_report(pickle.loads(pickle.dumps(model)))
    if hasattr(model, "topology_"):
        assert report["n_edges"] == model.topology_.n_edges
    if hasattr(model, "active_nodes_"):
        assert report["nodes_alive"] == len(model.active_nodes_)


def test_it_is_compared_with_the_first_start(planted):
    X, y = planted
    model = sknm.NeuralModuleClassifier(60, max_iter=4, random_state=0)
    first = topology_report(model.fit(X, y))
    model.set_params(warm_start=True).fit(X, y)
    again = topology_report(model)
    assert again["links_start"] == first["links_start"]
    assert again["n_edges_start"] == first["n_edges_start"]


def test_what_is_not_fitted_is_refused(planted):
    with pytest.raises(NotFittedError):
        topology_report(sknm.FreeNetClassifier())
    with pytest.raises(TypeError, match=r"no estimator of sknm.*pipeline"):
        topology_report(BaseEstimator())
