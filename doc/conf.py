"""Configuration of the documentation: builds without a network."""

from importlib.metadata import version as installed_version

from docutils import nodes
from numpydoc.xref import DEFAULT_LINKS

# The gallery looks up names of the examples, of which one is hidden without this.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

project = "sknm"
author = "the sknm developers"
project_copyright = "2026, the sknm developers"
release = installed_version("sknm")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "changes.d"]

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
# The class template lists the members; numpydoc would list them once more.
numpydoc_show_class_members = False
# Types that have a page here become links. Those of other projects, of which numpydoc
# knows some, stay plain text: their inventories would need the network.
DEFAULT_LINKS.clear()
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {"Topology": "sknm.graph.topology.Topology"}
numpydoc_xref_ignore = "all"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    # Scripts such as the benchmarks are run by hand and are no part of the gallery:
    # their folder must not have a README, which would make it a section of it.
    "ignore_pattern": r"^(?!plot_)",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sknm",),
    "reference_url": {"sknm": None},
    "remove_config_comments": True,
    "show_memory": False,
    "matplotlib_animations": True,
}

html_theme = "pydata_sphinx_theme"
html_title = f"sknm {release}"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}

SKLEARN = "https://scikit-learn.org/stable"
SKLEARN_LABELS = {
    "accuracy_score": "modules/model_evaluation.html#accuracy-score",
    "metadata_routing": "metadata_routing.html#metadata-routing",
    "r2_score": "modules/model_evaluation.html#r2-score",
}


def link_to_sklearn(app, env, node, contnode):
    """Resolve scikit-learn's glossary and labels without its inventory.

    Docstrings inherited from scikit-learn refer to them, and intersphinx would need
    the network for each build.
    """
    kind, target = node["reftype"], node["reftarget"]
    if kind == "term":
        page = f"glossary.html#term-{target.replace(' ', '-')}"
    elif kind == "ref" and target in SKLEARN_LABELS:
        page = SKLEARN_LABELS[target]
    else:
        return None
    return nodes.reference("", "", contnode, refuri=f"{SKLEARN}/{page}")


def setup(app):
    app.connect("missing-reference", link_to_sklearn)
