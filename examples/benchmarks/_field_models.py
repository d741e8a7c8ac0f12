"""The models of ``field.py``, each fed as its users would feed it.

All are at their defaults, on one thread. What takes frames with categories and gaps
gets them: HistGradientBoosting, LightGBM, XGBoost, CatBoost, RealMLP, TabM and the
estimators of sknm. Linear models, MLPClassifier, SVC and the forest stand behind a
pipeline that fills gaps by the median and makes indicators of categories; but for the
forest, numbers are standardised. Pixels are given as parts of one, and sparse rows as
they are, to those models that take such.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import _estimators as estimators
import numpy as np
from _field_data import Task

Maker = Callable[..., Any]


@dataclass(frozen=True)
class Model:
    """A model of the field.

    ``make(task, seed, **params)`` returns it unfitted; ``seconds(task)`` estimates how
    long a fit takes, on a core of the machine that the page names: 0 for what is never
    so dear that it has to be left out.
    """

    name: str
    package: str
    make: Maker
    seconds: Callable[[Task], float] = lambda task: 0.0
    takes_sparse: bool = True

    def version(self) -> str:
        """Return the version of the package, the commit for what is developed here."""
        if self.package == "sknm":
            return commit()
        try:
            return version(self.package)
        except PackageNotFoundError as error:
            raise SystemExit(
                f"{self.name} needs {self.package}, which is not installed: install "
                "it, or name the --models that there are"
            ) from error


@cache
def commit() -> str:
    """Return the commit of the sknm that is imported, its version if it has none."""
    import sknm

    folder = Path(sknm.__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or sknm.__version__


# ------------------------------------------------------------------------ adapters


@dataclass
class Adapted:
    """A model that gets the rows, labels and options that it asks for.

    ``prepare`` makes of rows what the model takes, ``options`` what is given to its
    ``fit`` besides; with ``codes``, labels are handed on as 0, 1, ....
    """

    model: Any
    prepare: Callable[[Any], Any] = lambda X: X
    options: Callable[[Any], dict[str, Any]] = lambda X: {}
    codes: bool = False
    classes_: np.ndarray = field(init=False)

    def fit(self, X: Any, y: np.ndarray) -> Adapted:
        """Fit."""
        X = self.prepare(X)
        if self.codes:
            self.classes_, y = np.unique(y, return_inverse=True)
        self.model.fit(X, y, **self.options(X))
        if not self.codes and hasattr(self.model, "classes_"):
            self.classes_ = self.model.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels or numbers."""
        predicted = np.ravel(self.model.predict(self.prepare(X)))
        return self.classes_[predicted] if self.codes else predicted

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities."""
        return np.asarray(self.model.predict_proba(self.prepare(X)))


def categories_of(X: Any) -> list[str]:
    """Return the names of a frame's categorical columns."""
    if not hasattr(X, "columns"):
        return []
    return [name for name in X.columns if X[name].dtype == "category"]


def with_plain_names(X: Any) -> Any:
    """Return a frame whose columns have names without punctuation.

    LightGBM and XGBoost refuse brackets and the like.
    """
    if not hasattr(X, "columns"):
        return X
    plain = [re.sub(r"\W", "_", name) for name in X.columns]
    return X.set_axis([f"{name}_{k}" for k, name in enumerate(plain)], axis=1)


def with_named_gaps(X: Any) -> Any:
    """Return a frame with categories as text, of which a gap is one (CatBoost)."""
    texts = {c: X[c].astype(object).fillna("missing") for c in categories_of(X)}
    return X.assign(**texts) if texts else X


def _indicated(task: Task, is_scaled: bool) -> list[Any]:
    """Return the steps before models that take numbers without gaps only."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    if task.kind != "table":
        return []
    numbers = [SimpleImputer(strategy="median")]
    if is_scaled:
        numbers.append(StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    is_category = make_column_selector(dtype_include="category")
    columns = make_column_transformer(
        (encoder, is_category), remainder=make_pipeline(*numbers)
    )
    return [columns]


def _behind_pipeline(
    names: tuple[str, str], fixed: dict[str, Any], is_scaled: bool = True
) -> Maker:
    """Return a maker of a model of scikit-learn's behind a pipeline.

    ``names`` are dotted paths of classifier and regressor; where features are scaled,
    numeric targets are, too.
    """

    def make(task: Task, seed: int, **params: Any) -> Any:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        is_regression = task.classes is None
        model = _of_scikit_learn(names[is_regression], seed, {**fixed, **params})
        result = make_pipeline(*_indicated(task, is_scaled), model)
        if not (is_regression and is_scaled):
            return result
        return TransformedTargetRegressor(result, transformer=StandardScaler())

    return make


def _of_scikit_learn(name: str, seed: int, params: dict[str, Any]) -> Any:
    """Return a model by its dotted path, with those of the parameters that it has."""
    cls = estimators.find_class(name)
    known = cls().get_params()
    params = {"random_state": seed, **params}
    return cls(**{key: value for key, value in params.items() if key in known})


# ------------------------------------------------------------------------- makers


def _boosting(task: Task, seed: int, **params: Any) -> Any:
    """Return HistGradientBoosting."""
    kind = "Regressor" if task.classes is None else "Classifier"
    name = f"sklearn.ensemble.HistGradientBoosting{kind}"
    return _of_scikit_learn(name, seed, {"categorical_features": "from_dtype"} | params)


def _lightgbm(task: Task, seed: int, **params: Any) -> Adapted:
    """Return LightGBM, which takes categories of pandas."""
    import lightgbm

    cls = lightgbm.LGBMRegressor if task.classes is None else lightgbm.LGBMClassifier
    fixed = {"n_jobs": 1, "random_state": seed, "verbose": -1}
    return Adapted(cls(**fixed | params), with_plain_names)


def _xgboost(task: Task, seed: int, **params: Any) -> Adapted:
    """Return XGBoost, told to take categories of pandas."""
    import xgboost

    is_regression = task.classes is None
    cls = xgboost.XGBRegressor if is_regression else xgboost.XGBClassifier
    fixed = {"n_jobs": 1, "random_state": seed, "enable_categorical": True}
    return Adapted(cls(**fixed | params), with_plain_names, codes=not is_regression)


def _catboost(task: Task, seed: int, **params: Any) -> Adapted:
    """Return CatBoost, told which columns are categories."""
    import catboost

    is_regression = task.classes is None
    cls = catboost.CatBoostRegressor if is_regression else catboost.CatBoostClassifier
    fixed = {"thread_count": 1, "verbose": 0, "allow_writing_files": False}
    model = cls(random_seed=seed, **fixed | params)
    names = categories_of(task.X_train)
    return Adapted(model, with_named_gaps, lambda X: {"cat_features": names or None})


def _pytabkit(name: str) -> Maker:
    """Return a maker of a model of pytabkit's, told which columns are categories."""

    def make(task: Task, seed: int, **params: Any) -> Adapted:
        import pytabkit

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        kind = "Regressor" if task.classes is None else "Classifier"
        fixed = {"device": "cpu", "n_threads": 1, "verbosity": 0, "random_state": seed}
        model = getattr(pytabkit, f"{name}_{kind}")(**fixed | params)
        return Adapted(model, options=_named_categories)

    return make


def _named_categories(X: Any) -> dict[str, Any]:
    """Return pytabkit's option for the columns that are categories."""
    names = categories_of(X)
    return {"cat_col_names": names} if names else {}


def _sknm(name: str) -> Maker:
    """Return a maker of an estimator of sknm's, given rows as they are."""

    def make(task: Task, seed: int, **params: Any) -> Any:
        import sknm

        kind = "Regressor" if task.classes is None else "Classifier"
        return getattr(sknm, f"{name}{kind}")(**{"random_state": seed} | params)

    return make


def _first_modules(task: Task, seed: int, **params: Any) -> Any:
    """Return the first version's model, but for the epochs of small data."""
    import _former as former

    kind = "Regressor" if task.classes is None else "Classifier"
    return former.first(f"NeuralModule{kind}", random_state=seed, **params)


def _equal_layers(task: Task, seed: int, **params: Any) -> Any:
    """Return two layers with as many parameters as 400 nodes in modules of 25."""
    n_outputs = 1 if task.classes is None else len(task.classes)
    sizes = (estimators.EQUAL_NODES, estimators.EQUAL_MODULE_SIZE)
    width = estimators.equal_width(task.n_inputs, n_outputs, *sizes)
    layers = {"hidden_layer_sizes": (width, width)}
    return _sknm("FeedForward")(task, seed, **layers | params)


def _seconds_of_catboost(task: Task) -> float:
    """Estimate 1000 rounds: for each column, and each output, some time for each row.

    A category of several outputs, whose statistics are combined with others', takes as
    much as a dozen numbers. Measured with 30 rounds on 19 sets.
    """
    n_rows, n_columns = task.X_train.shape
    n_outputs = 1 if task.classes is None else len(task.classes)
    n_categories = len(categories_of(task.X_train)) if n_outputs > 2 else 0
    n_outputs = 1 if n_outputs == 2 else n_outputs
    each = (0.05 + 3e-5 * n_rows) * n_outputs
    return each * (n_columns + 11 * n_categories)


def _seconds_of_tabm(task: Task) -> float:
    """Estimate TabM: its 32 networks need 100 s for 634 rows of few columns."""
    return 0.16 * len(task.y_train)


def _model(name: str, package: str, make: Maker, **facts: Any) -> tuple[str, Model]:
    return name, Model(name, package, make, **facts)


_LINEAR = ("sklearn.linear_model.LogisticRegression", "sklearn.linear_model.Ridge")
_SVM = ("sklearn.svm.SVC", "sklearn.svm.SVR")
_MLP = ("sklearn.neural_network.MLPClassifier", "sklearn.neural_network.MLPRegressor")
_FOREST = (
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.RandomForestRegressor",
)

#: Those that are developed elsewhere, from cheap to dear. Logistic regression gets the
#: iterations it needs; SVC's probabilities are those of its own five-fold calibration.
PEERS = dict(
    [
        _model("linear", "scikit-learn", _behind_pipeline(_LINEAR, {"max_iter": 1000})),
        _model("svm", "scikit-learn", _behind_pipeline(_SVM, {"probability": True})),
        _model("forest", "scikit-learn", _behind_pipeline(_FOREST, {}, False)),
        _model("mlp", "scikit-learn", _behind_pipeline(_MLP, {})),
        _model("hgb", "scikit-learn", _boosting, takes_sparse=False),
        _model("xgboost", "xgboost", _xgboost),
        _model("lightgbm", "lightgbm", _lightgbm),
        _model("realmlp", "pytabkit", _pytabkit("RealMLP_TD"), takes_sparse=False),
        _model("catboost", "catboost", _catboost, seconds=_seconds_of_catboost),
        _model(
            "tabm",
            "pytabkit",
            _pytabkit("TabM_D"),
            takes_sparse=False,
            seconds=_seconds_of_tabm,
        ),
    ]
)

#: Those that are developed here, from cheap to dear.
OURS = dict(
    [
        _model("ff2-eq", "sknm", _equal_layers),
        _model("feed-forward", "sknm", _sknm("FeedForward")),
        _model("nm-first", "sknm", _first_modules),
        _model("neural-modules", "sknm", _sknm("NeuralModule")),
        _model("urn", "sknm", _sknm("URN")),
        _model("dag", "sknm", _sknm("DAG")),
        _model("freenet", "sknm", _sknm("FreeNet")),
        _model("deq", "sknm", _sknm("DEQ")),
        _model("optnet", "sknm", _sknm("OptNet")),
    ]
)

MODELS = OURS | PEERS
