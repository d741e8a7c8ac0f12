"""The estimators that the benchmarks compare, and what to read from fitted ones.

A specification is ``FAMILY[-NODES][:KEY=VALUE,...]``, for example ``mlp-100``,
``nm:n_nodes=200,tau=0.03`` or ``mlp:hidden_layer_sizes=(50,50)``. A family is

- a name of ``FAMILIES`` below,
- the name of an estimator of sknm (``NeuralModuleClassifier``, ...), or
- a dotted path of any other (``sklearn.svm.SVC:C=10``).
"""

from __future__ import annotations

import ast
import importlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

#: A fixed point counts as found below this residual.
RESIDUAL_TOLERANCE = 1e-4
#: Nodes and module size that ``mlp2-eq`` has to match in number of parameters.
EQUAL_NODES, EQUAL_MODULE_SIZE = 400, 25


@dataclass(frozen=True)
class Spec:
    """One estimator of a benchmark: how it is called and how it is built."""

    name: str
    family: str
    n_nodes: int | None
    params: dict[str, Any]

    def build(self, seed: int, n_features: int, n_classes: int) -> Any:
        """Return the unfitted estimator for a data set of this shape."""
        params = dict(self.params)
        if self.family in FAMILIES:
            make = FAMILIES[self.family]
            return make(seed, n_features, n_classes, self.n_nodes, params)
        if self.n_nodes is not None:
            params.setdefault("n_nodes", self.n_nodes)
        return _seeded(find_class(self.family), seed, params)


# ----------------------------------------------------------------- specifications


def parse_spec(text: str) -> Spec:
    """Read ``FAMILY[-NODES][:KEY=VALUE,...]``."""
    head, _, tail = text.partition(":")
    match = re.fullmatch(r"(.+?)(?:-(\d+))?", head)
    nodes = int(match[2]) if match[2] else None
    return Spec(text, match[1], nodes, parse_params(tail))


def parse_params(text: str) -> dict[str, Any]:
    """Read ``KEY=VALUE,...``; commas within brackets belong to the value."""
    params = {}
    for part in filter(None, re.split(r",(?![^(\[]*[)\]])", text)):
        key, equals, value = part.partition("=")
        if not equals:
            raise SystemExit(f"{part!r}: expected KEY=VALUE, as in n_nodes=100")
        params[key.strip()] = _literal(value.strip())
    return params


def _literal(text: str) -> Any:
    """Read a Python literal; anything else is a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def find_class(name: str) -> type:
    """Return an estimator class of sknm, or the one at a dotted path."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module or "sknm"), attribute)
    except (ImportError, AttributeError) as error:
        known = ", ".join(FAMILIES)
        raise SystemExit(
            f"no estimator {name!r} ({error}); families: {known}, the estimators of "
            "sknm, and dotted paths"
        ) from error


def _seeded(cls: type, seed: int, params: dict[str, Any]) -> Any:
    """Return an estimator with ``random_state=seed`` if it has one."""
    estimator = cls(**params)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=params.get("random_state", seed))
    return estimator


# ------------------------------------------------------------------------ families


def _neural_module(**fixed: Any) -> Callable[..., Any]:
    """Return a maker of NeuralModuleClassifier with some parameters fixed."""

    def make(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
        params = {**fixed, **params}
        if n_nodes is not None:
            params.setdefault("n_nodes", n_nodes)
        return _seeded(find_class("NeuralModuleClassifier"), seed, params)

    return make


def _first_modules(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
    """Return NeuralModuleClassifier as in its first version, but for its epochs."""
    import _former as former

    if n_nodes is not None:
        params = {"n_nodes": n_nodes, **params}
    return former.first("NeuralModuleClassifier", random_state=seed, **params)


def _plain(name: str) -> Callable[..., Any]:
    """Return a maker of an estimator of sknm, all else at its defaults."""

    def make(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
        if n_nodes is not None:
            params = {"n_nodes": n_nodes, **params}
        return _seeded(find_class(name), seed, params)

    return make


def _mlp(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
    """Return MLPClassifier with one hidden layer, all else at its defaults."""
    from sklearn.neural_network import MLPClassifier

    layers = {"hidden_layer_sizes": (n_nodes or 100,)}
    return _seeded(MLPClassifier, seed, {**layers, **params})


def _mlp_two_layers(
    seed: int, d: int, c: int, n_nodes: int | None, params: dict
) -> Any:
    """Return MLPClassifier with two equal layers and the modules' parameter count."""
    width = equal_width(d, c, n_nodes or EQUAL_NODES, EQUAL_MODULE_SIZE)
    return _mlp(seed, d, c, None, {"hidden_layer_sizes": (width, width), **params})


def equal_width(d: int, c: int, n_nodes: int, module_size: int) -> int:
    """Return h such that d-h-h-c has the parameters of dense modules.

    Modules: ``d n + n module_size + n + n c + c``. Layers: ``d h + h + h h + h + h c
    + c``, a quadratic in h.
    """
    target = n_nodes * (d + module_size + 1 + c) + c
    linear = d + 2 + c
    return round((-linear + math.sqrt(linear**2 + 4 * (target - c))) / 2)


def _layers_in_our_loop(
    seed: int, d: int, c: int, n_nodes: int | None, params: dict
) -> Any:
    """Return FeedForwardClassifier with the layers of ``mlp2-eq``."""
    width = equal_width(d, c, n_nodes or EQUAL_NODES, EQUAL_MODULE_SIZE)
    layers = {"hidden_layer_sizes": (width, width)}
    return _seeded(find_class("FeedForwardClassifier"), seed, {**layers, **params})


def _boosting(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
    """Return HistGradientBoostingClassifier at its defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    params = {"categorical_features": "from_dtype", **params}
    return _seeded(HistGradientBoostingClassifier, seed, params)


def _realmlp(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
    """Return RealMLP with its tuned defaults, on one thread."""
    try:
        from pytabkit import RealMLP_TD_Classifier
    except ImportError as error:
        raise SystemExit(
            f"realmlp needs pytabkit, which cannot be imported ({error}): "
            "pip install pytabkit"
        ) from error
    fixed = {"device": "cpu", "n_threads": 1, "verbosity": 0}
    return _seeded(RealMLP_TD_Classifier, seed, {**fixed, **params})


def _catboost(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
    """Return CatBoost at its defaults, on one thread, told which are categories."""
    try:
        from catboost import CatBoostClassifier
    except ImportError as error:
        raise SystemExit(
            f"catboost cannot be imported ({error}): pip install catboost"
        ) from error
    fixed = {"thread_count": 1, "verbose": 0, "allow_writing_files": False}
    return _OfFrames(CatBoostClassifier(random_seed=seed, **{**fixed, **params}))


class _OfFrames:
    """A model of CatBoost's that is given frames as the others are."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: np.ndarray) -> _OfFrames:
        """Fit, with gaps among categories as one of them."""
        self.categories = [c for c in X.columns if X[c].dtype == "category"]
        self.model.fit(self._filled(X), y, cat_features=self.categories)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels."""
        return self.model.predict(self._filled(X)).ravel()

    def _filled(self, X: Any) -> Any:
        texts = {c: X[c].astype(object).fillna("missing") for c in self.categories}
        return X.assign(**texts)


def _pipeline(seed: int, d: int, c: int, n_nodes: int | None, params: dict) -> Any:
    """Return Neural Modules behind imputation, one-hot encoding and scaling."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encoder = OneHotEncoder(
        handle_unknown="ignore", sparse_output=False, dtype=np.float32
    )
    columns = make_column_transformer(
        (encoder, make_column_selector(dtype_include="category")),
        remainder=SimpleImputer(strategy="median"),
    )
    make = FAMILIES["nm"]
    model = make(seed, d, c, n_nodes, {"scale": None, **params})
    return make_pipeline(columns, StandardScaler(), model)


#: name -> maker(seed, n_features, n_classes, n_nodes, params)
FAMILIES: dict[str, Callable[..., Any]] = {
    "nm": _neural_module(),
    "nm-first": _first_modules,
    "nm-none": _neural_module(penalty=None),
    "nm-l1": _neural_module(penalty="l1"),
    "nm-dense": _neural_module(init="dense", penalty=None),
    "nm-dense-nm": _neural_module(init="dense", penalty="nm"),
    "nm-dense-l1": _neural_module(init="dense", penalty="l1"),
    "mlp": _mlp,
    "mlp2-eq": _mlp_two_layers,
    "ff2-eq": _layers_in_our_loop,
    "freenet": _plain("FreeNetClassifier"),
    "dag": _plain("DAGClassifier"),
    "ff": _plain("FeedForwardClassifier"),
    "deq": _plain("DEQClassifier"),
    "optnet": _plain("OptNetClassifier"),
    "nm-pipeline": _pipeline,
    "hgb": _boosting,
    "catboost": _catboost,
    "realmlp": _realmlp,
}


# --------------------------------------------------------------- fitted estimators


def is_sknm(estimator: Any) -> bool:
    """Tell whether an estimator comes from sknm."""
    return type(estimator).__module__.partition(".")[0] == "sknm"


def n_iter(estimator: Any) -> int | None:
    """Return the epochs (or boosting rounds) a fit took, None if it doesn't say."""
    value = getattr(estimator, "n_iter_", None)
    return None if value is None else int(np.max(value))


def n_parameters(estimator: Any) -> int | None:
    """Return the weights and biases in use; edges below tau don't count."""
    if hasattr(estimator, "coefs_"):
        arrays = [*estimator.coefs_, *estimator.intercepts_]
    elif hasattr(estimator, "input_weights_"):
        names = ("input_weights_", "node_biases_", "output_weights_", "output_biases_")
        arrays = [getattr(estimator, name) for name in names]
        # Zeros are padding: in layers, where nothing enters or is read.
        arrays = [array[array != 0] for array in arrays]
        arrays.append(estimator.topology_.edges.data)
    else:
        return None
    return int(sum(np.size(array) for array in arrays))


def active_edges(estimator: Any) -> np.ndarray:
    """Return the node weights (n, n), zero where the topology has no edge."""
    weights = np.asarray(estimator.node_weights_)
    return np.where(estimator.topology_.edges.toarray(), weights, 0)


def module_facts(estimator: Any) -> dict[str, Any]:
    """Return number of modules and the largest one's share of the nodes."""
    sizes = getattr(estimator, "module_sizes_", None)
    if sizes is None:
        return {}
    share = float(np.max(sizes) / np.sum(sizes))
    return {"n_modules": int(estimator.n_modules_), "largest_share": share}


def module_history(estimator: Any) -> np.ndarray:
    """Return the number of modules after each epoch."""
    history = estimator.module_history_
    if isinstance(history, dict):
        return np.asarray(history["n_modules"])
    return np.asarray([entry["n_modules"] for entry in history])


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda a: np.maximum(a, 0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "identity": lambda a: a,
}


def residual_facts(estimator: Any, X: np.ndarray) -> dict[str, float]:
    """Return how well ``node_values`` solves ``z = σ(zW + xU + b)`` on these rows.

    Computed here in float64 from the fitted weights, not taken from the estimator's
    own report: the largest residual, and the share of rows above the tolerance.
    """
    sigma = ACTIVATIONS.get(getattr(estimator, "activation", ""))
    if sigma is None or not hasattr(estimator, "node_values"):
        return {}
    z = np.asarray(estimator.node_values(X), np.float64)
    entering = estimator.encode(X).astype(np.float64)
    a = entering @ estimator.input_weights_ + estimator.node_biases_
    error = np.abs(z - sigma(z @ active_edges(estimator) + a)).max(axis=1)
    share = float(np.mean(~(error <= RESIDUAL_TOLERANCE)))
    return {"residual": float(error.max()), "unconverged": share}
