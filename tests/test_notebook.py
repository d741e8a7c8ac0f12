"""What notebooks show: scikit-learn's box, and below it what a fitted model learned."""

import copy
import pickle
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknm
from sknm import NeuralModuleClassifier, NeuralModuleRegressor, URNClassifier
from sknm.inspection import topology_report
from sknm.inspection.notebook import MOST_DISCS, MOST_DOTS, facts, notebook_view
from sknm.notebook import page

SVG = "{http://www.w3.org/2000/svg}"
KINDS = [getattr(sknm, n) for n in sknm.__all__ if isinstance(getattr(sknm, n), type)]


def html_of(model):
    return model._repr_mimebundle_()["text/html"]


def view_of(model):
    """Return the part below the box as a tree; it has to be well-formed."""
    html = html_of(model)
    start = html.index('<div class="sknm-view"')
    assert html.count('<div class="sknm-view"') == 1
    return ElementTree.fromstring(html[start:])


def facts_in(view):
    names, values = view.findall(".//dt"), view.findall(".//dd")
    pairs = zip(names, values, strict=True)
    return {name.text: value.text for name, value in pairs}


def titles(view):
    return [title.text for title in view.iter(f"{SVG}title")]


def captions(view):
    """What stands below features, modules and outputs."""
    return [text.text for text in view.findall(f"{SVG}svg/{SVG}text")]


@pytest.fixture(scope="module")
def fitted(overlapping):
    X, y = overlapping
    options = {"n_nodes": 12, "max_iter": 2, "random_state": 0}
    return {kind: kind(**options).fit(X, y) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_those_of_the_model(fitted, kind):
    model = fitted[kind]
    report, told = topology_report(model), facts_in(view_of(model))
    assert told == facts(model)
    assert told["nodes"] == str(report["n_nodes"])
    assert told["epochs"] == "2"
    assert told["loss"] == f"{model.loss_:.4g}"
    n_used = model.feature_modules_.any(axis=1).sum()
    assert told["features used"] == f"{n_used} of 5"
    residual = float(told["residual"])
    assert residual == pytest.approx(model.solver_stats_["residual"], rel=0.05)
    assert ("edges between nodes" in told) == (
        "n_edges" in report and "nodes_alive" not in report
    )
    assert ("constraints" in told) == hasattr(model, "constraint_bounds_")
    assert ("modules" in told) == hasattr(model, "module_labels_")


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawing_shows_features_modules_and_outputs(fitted, kind):
    model = fitted[kind]
    view = view_of(model)
    left, middle, right = captions(view)
    used = model.feature_modules_.any(axis=1)
    assert left == f"{used.sum()} of 5 features"
    hollow = [t for t in titles(view) if t.endswith(" (not used)")]
    assert hollow == [f"x{k} (not used)" for k in np.flatnonzero(~used)]
    is_classifier = hasattr(model, "classes_")
    assert right == ("2 classes" if is_classifier else "1 output")
    names = {"0", "1"} if is_classifier else {"y"}
    assert names <= {t.text for t in view.iter(f"{SVG}text")}
    if hasattr(model, "module_sizes_"):
        assert middle == f"{model.n_modules_} module" + "s" * (model.n_modules_ > 1)
        for k, size in enumerate(model.module_sizes_):
            enters = np.flatnonzero(model.feature_modules_[:, k])
            listed = ", ".join(f"x{j}" for j in enters)
            assert f"module {k}: {size} nodes; {listed}" in titles(view)
    else:
        noun = "neuron" if hasattr(model, "active_nodes_") else "node"
        assert middle.removesuffix("s").endswith(noun)


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_that_is_not_fitted_is_scikit_learns_box(kind):
    model = kind()
    assert "sknm-view" not in html_of(model)
    assert "sk-top-container" in html_of(model)
    assert "sknm-view" not in model._repr_html_()


def test_both_ways_of_asking_give_the_same_view(fitted):
    model = fitted[NeuralModuleClassifier]
    view = notebook_view(model)
    assert html_of(model).endswith(view)
    assert model._repr_html_().endswith(view)
    assert model._repr_mimebundle_()["text/plain"] == repr(model)
    assert "sknm" not in repr(model)


def test_scikit_learns_setting_is_heeded(fitted):
    model = fitted[NeuralModuleClassifier]
    with config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
        assert set(model._repr_mimebundle_()) == {"text/plain"}


@pytest.mark.parametrize(
    "make_copy", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_show_the_same(fitted, make_copy):
    for kind in (NeuralModuleClassifier, URNClassifier):
        assert notebook_view(make_copy(fitted[kind])) == notebook_view(fitted[kind])
    assert "sknm-view" not in html_of(clone(fitted[NeuralModuleClassifier]))


def test_looking_changes_nothing(fitted, overlapping, answers):
    for kind in (NeuralModuleClassifier, URNClassifier):
        model, size = fitted[kind], len(pickle.dumps(fitted[kind]))
        before = answers(model, overlapping[0])
        html_of(model)
        np.testing.assert_array_equal(answers(model, overlapping[0]), before)
        assert len(pickle.dumps(model)) == size


def test_pipelines_and_searches_show_their_steps(overlapping):
    X, y = overlapping
    model = NeuralModuleClassifier(12, max_iter=2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    assert "NeuralModuleClassifier" in pipeline._repr_mimebundle_()["text/html"]
    assert facts_in(view_of(pipeline[-1]))["epochs"] == "2"
    search = GridSearchCV(model, {"tau": [0.0]}, cv=2).fit(X, y)
    assert "NeuralModuleClassifier" in search._repr_mimebundle_()["text/html"]
    assert facts_in(view_of(search.best_estimator_))["epochs"] == "2"


def test_names_are_escaped():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)))
    X.columns = ["<script>alert(1)</script>", 'a & "b"']
    y = np.where(X.iloc[:, 0] > 0, "<b>bold</b>", "a & b")
    model = NeuralModuleClassifier(8, max_iter=2, random_state=0, feature_fdr=None)
    view = view_of(model.fit(X, y))
    told = titles(view)
    assert [*X.columns, "<b>bold</b>", "a & b"] == [*told[:2], *told[-2:]]
    html = notebook_view(model)
    assert "<script" not in html
    assert "<b>" not in html


def test_many_features_modules_and_outputs_are_drawn_together():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(80, MOST_DOTS + 1)), rng.normal(size=(80, 14))
    options = {"module_size": 2, "max_iter": 1, "feature_fdr": None}
    model = NeuralModuleRegressor(100, random_state=0, **options).fit(X, Y)
    view = view_of(model)
    n = MOST_DOTS + 1
    assert captions(view)[0] == f"{n} of {n} features"
    assert captions(view)[1] == f"{model.n_modules_} modules, {MOST_DISCS} drawn"
    assert captions(view)[2] == "14 outputs"
    assert sum(t.startswith("module") for t in titles(view)) == MOST_DISCS
    assert any(f"and {n - 8} more" in t for t in titles(view))
    assert titles(view)[-1] == "…"
    assert len(notebook_view(model)) < 25_000


def test_areas_are_sizes_and_dead_neurons_are_missing(overlapping):
    options = {"n_nodes": 30, "max_iter": 20, "random_state": 0}
    model = URNClassifier(**options).fit(*overlapping)
    n_all, n = topology_report(model)["n_nodes"], len(model.active_nodes_)
    assert 0 < n < n_all
    (group,) = [
        g
        for g in view_of(model).iter(f"{SVG}g")
        if "neuron" in g.findtext(f"{SVG}title")
    ]
    now, before = (float(c.get("r")) for c in group.findall(f"{SVG}circle"))
    assert (now / before) ** 2 == pytest.approx(n / n_all, rel=0.05)
    assert facts(model)["neurons alive"] == f"{n} of {n_all}"


def test_one_of_each_is_in_the_singular():
    X = np.linspace(-1, 1, 40)[:, None]
    model = NeuralModuleRegressor(1, max_iter=1, random_state=0).fit(X, X[:, 0])
    assert captions(view_of(model)) == ["1 of 1 feature", "1 module", "1 output"]
    assert any(t.startswith("module 0: 1 node;") for t in titles(view_of(model)))


def test_ensembles_and_validation_are_told(overlapping):
    X, y = overlapping
    model = NeuralModuleClassifier(12, max_iter=2, n_members=2, random_state=0)
    told = facts(model.fit(X, y, X_val=X, y_val=y).sparsify())
    assert told["members"] == "2"
    assert told["validation score"] == f"{model.validation_scores_[-1]:.4g}"


# Where the link leads.


def test_the_link_leads_to_the_documentation_that_the_package_names(monkeypatch):
    assert page("") == ""
    model = NeuralModuleClassifier()
    monkeypatch.setattr(sknm.base.GraphEstimator, "_doc_link_template", page(""))
    assert model._get_doc_link() == ""
    there = page("https://sknm.example/stable")
    monkeypatch.setattr(sknm.base.GraphEstimator, "_doc_link_template", there)
    address = "https://sknm.example/stable/generated/sknm.NeuralModuleClassifier.html"
    assert model._get_doc_link() == address
    assert f'href="{address}"' in html_of(model)


def test_the_address_is_read_from_the_metadata(monkeypatch):
    class Named:
        def get_all(self, name, default):
            urls = [
                "Source, https://source.example",
                "Documentation, https://d.example/",
            ]
            return urls if name == "Project-URL" else default

    monkeypatch.setattr(sknm.notebook, "metadata", lambda name: Named())
    assert sknm.notebook.documentation() == "https://d.example"

    def missing(name):
        raise sknm.notebook.PackageNotFoundError(name)

    monkeypatch.setattr(sknm.notebook, "metadata", missing)
    assert sknm.notebook.documentation() == ""


def test_importing_the_package_does_not_import_the_inspection():
    code = "import sys, sknm; sys.exit('sknm.inspection' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no Chromium")
def test_a_browser_lays_the_view_out_within_a_narrow_page(fitted, tmp_path):
    path = tmp_path / "page.html"
    tell = (
        "const wide = [...document.querySelectorAll('.sknm-view, .sknm-view *')]"
        ".filter(e => e.getBoundingClientRect().right > 391).length;"
        "const svg = document.querySelector('svg').getBoundingClientRect();"
        "document.title = `${wide} ${Math.round(svg.width)} ${Math.round(svg.height)}`"
    )
    view = notebook_view(fitted[NeuralModuleClassifier])
    path.write_text(
        f'<meta charset="utf-8"><body style="width:390px;margin:0">{view}'
        f"<script>{tell}</script>",
        encoding="utf-8",
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    quiet = ["--disable-background-networking", "--disable-component-update"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = ["chromium", *flags, *quiet, profile, path.as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True
    )
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title == "0 360 220"
