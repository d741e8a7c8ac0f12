"""The estimator shell: fit, predict, pickling; the same for every estimator."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sknm._scikit_callbacks import CallbackSupport, listeners
from sknm.attempt import attempt
from sknm.checks import Samples, as_rows
from sknm.encoding.encoder import Encoder, Identity
from sknm.encoding.encoding import Encoding
from sknm.encoding.table import TableEncoder
from sknm.endings import tell
from sknm.fitted import device, feature_modules, shown
from sknm.fitting import Fitting
from sknm.forecast import Forecast, forecast
from sknm.notebook import documentation, page, view
from sknm.parameters import SHARED_ATTRIBUTES, SharedParameters
from sknm.plasticity.rule import Rule
from sknm.prediction import SolveStats, compute
from sknm.tables import take_rows
from sknm.targets import Target, combined
from sknm.training.backup import Backup
from sknm.training.net import TrainingNet
from sknm.training.network import Network
from sknm.training.recipe import SHORT_MEMORY, Course


class GraphEstimator(CallbackSupport, SharedParameters, BaseEstimator):
    """What all estimators have in common.

    `sknm.supervised` adds what a kind of target needs, `sknm.solved` what networks
    whose node values solve an equation have; an estimator says how its weights start,
    and which rule changes them.
    """

    net_: TrainingNet
    encoding_: Encoding
    _doc_parts: ClassVar[dict[str, str]] = {"attributes": SHARED_ATTRIBUTES}

    input_weights_ = shown("input_weights")
    node_weights_ = shown("node_weights")
    node_biases_ = shown("node_biases")
    output_weights_ = shown("output_weights")
    output_biases_ = shown("output_biases")
    feature_modules_ = feature_modules()
    device_ = device()

    _remedy: ClassVar[str] = "Scale the features (scale='robust')."
    """What to do about node values that are not found."""

    _unit: ClassVar[str] = "graph"
    """Whose nodes get the same features: "node", "module" or "graph"."""

    _decays_by_rows: ClassVar[bool] = True
    """Whether ``alpha="auto"`` is more for fewer rows."""

    _memory: ClassVar[float] = SHORT_MEMORY
    """What AdamW keeps of its average of squared gradients at each step."""

    _for_study: ClassVar[tuple[str, ...]] = ()
    """Fitted attributes that no prediction needs, and that take much memory."""

    _doc_link_module: ClassVar[str] = "sknm"
    _doc_link_template: ClassVar[str] = page(documentation())

    _target_: Target
    _stats_: SolveStats
    _backup: Backup

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn what X and y may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        target = self._make_target()
        tags.target_tags.multi_output = target.multi_output
        tags.target_tags.positive_only = target.positive_only
        return tags

    # What an estimator says.

    @abstractmethod
    def _make_network(
        self, samples: Samples, encoder: Encoder, generator: torch.Generator
    ) -> Network:
        """Make the network as it is before training."""

    @abstractmethod
    def _make_rule(self) -> Rule[Any]:
        """Make what changes the graph while training, with the parameters as they are.

        Its parameters are to be equal to those of the last training if it does the
        same.
        """

    @abstractmethod
    def _make_target(self) -> Target:
        """Make what the targets are taken for, with the parameters as they are."""

    def _make_encoder(self) -> Encoder:
        """Make what turns rows into what enters the graph."""
        if self.encoding_.is_sparse:
            return Identity()
        return TableEncoder(
            self.encoding_.columns, self.scale, self.numerical_embedding
        )

    def _modules_of_nodes(self, graph: Any) -> np.ndarray | None:
        """Tell the module of each node; None if all are in one."""
        return None

    def _n_nodes(self) -> int:
        return self.n_nodes

    def _has_one_round(self) -> bool:
        """Whether a fit is one round of training."""
        return True

    def _check_parameters(self) -> None:
        """Raise for combinations of parameters that can't work."""

    def _check_size(self, samples: Samples) -> None:
        """Raise if the network that is to go on has not the size asked for."""
        n_nodes = self.net_.module_.graph.n_nodes
        if n_nodes != self._n_nodes():
            raise ValueError(
                f"n_nodes={self._n_nodes()}, but the fitted network has {n_nodes} "
                f"nodes and is to go on; set n_nodes={n_nodes}, or set warm_start="
                "False and call fit to start anew."
            )

    def _check_members(self) -> None:
        """Raise if the network that is to go on has not as many members as asked."""
        n_members = self.net_.module_.n_members
        if n_members != self.n_members:
            raise ValueError(
                f"n_members={self.n_members}, but the fitted network has n_members="
                f"{n_members} and is to go on; set warm_start=False and call fit to "
                "start anew."
            )

    def _set_options(self, network: Any, samples: Samples, is_noisy: bool) -> None:
        """Tell a network how to compute from now on."""

    def _read(self, network: Any, samples: Samples) -> None:
        """Set further fitted attributes."""

    def _measure_features(self, samples: Samples | None) -> None:
        """Measure, or forget, how much outputs depend on features."""

    def _other_causes(self) -> list[str]:
        """Name what else can make a loss infinite."""
        return []

    def _warn_of_structure(self) -> None:
        """Tell if nothing is left of what the method is about."""

    # What users call.

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training data; float32 stays float32, anything else becomes float64. A
            frame is float32 if all its numbers are.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_outputs)
            Targets: numbers, class labels, or an indicator matrix of labels, which may
            be sparse.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        X_val : {array-like, sparse matrix, data frame} of shape \
(n_validation, n_features), default=None
            Validation data, whose score is recorded after each epoch and, with
            `early_stopping`, decides when to stop.
        y_val : array-like of shape (n_validation,) or (n_validation, n_outputs), \
default=None
            Targets of the validation data.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Weights of the rows of the validation data.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter can't be used, or the loss is no longer finite.
        """
        with attempt(self, goes_on=self.warm_start) as work:
            fitting = Fitting(work)
            samples = fitting.take_in(X, y, sample_weight)
            validation = fitting.take_in_validation(
                X_val, y_val, sample_weight_val, samples.X.dtype
            )
            samples, validation = fitting.split(samples, validation)
            fitting.prepare(samples)
            course = fitting.whole_course(len(samples))
            n_epochs = course.n_epochs if self._has_one_round() else None
            told = listeners(self, work, n_epochs, X, y)
            ending = fitting.run(samples, validation, course, told)
        tell(self, ending)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, **learned: Any) -> Any:
        """Train for an epoch; `learned` is what is known of the targets beforehand."""
        with attempt(self, goes_on=True) as work:
            vars(work).update(learned)
            fitting = Fitting(work)
            samples = fitting.take_in(X, y, sample_weight)
            fitting.prepare(samples, is_part=True)
            course = Course(1, self.learning_rate_init, is_whole=False)
            ending = fitting.run(samples, None, course)
        if ending == "interrupted":  # a loop over chunks has to end
            raise KeyboardInterrupt
        tell(self, ending)
        return self

    def estimate_cost(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Forecast:
        """Tell what a fit with these data will cost, from a few steps of it.

        All that a fit does before it trains is done, and then an epoch, or about half a
        second of it. The estimator stays as it is, and no callback is told.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training data.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        X_val : {array-like, sparse matrix, data frame} of shape \
(n_validation, n_features), default=None
            Validation data.
        y_val : array-like of shape (n_validation,) or (n_validation, n_outputs), \
default=None
            Targets of the validation data.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Weights of the rows of the validation data.

        Returns
        -------
        Forecast
            Has the attributes ``seconds``, ``bytes``, ``n_epochs`` and ``n_steps``.

        Raises
        ------
        ValueError
            If the data or a parameter can't be used: whatever `fit` would refuse.
        """
        self._validate_params()
        rows = X, y, sample_weight
        return forecast(self, *rows, X_val, y_val, sample_weight_val)

    def encode(self, X: Any) -> np.ndarray:
        """Compute what enters the graph: scaled numbers, categories, functions.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_inputs)
            The x of ``z = σ(zW + xU + b)``, whose columns are named by
            ``encoding_.get_feature_names_out()``.
        """
        return self._compute("inputs", X)[0]

    def node_values(self, X: Any, *, return_stats: bool = False) -> Any:
        """Compute the values of all nodes.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.
        return_stats : bool, default=False
            Whether to say how well the values were found, too.

        Returns
        -------
        z : ndarray of shape (n_samples, n_nodes)
            Node values. Of a URN, the values of all neurons after each step, ``N_0`` to
            ``N_I``, of shape (n_samples, n_steps + 1, n_neurons), all after the
            activation; neurons that have died have the value 0. With several members,
            of shape (n_samples, n_members, n_nodes), or (n_samples, n_members,
            n_steps + 1, n_neurons).
        stats : dict
            Only with `return_stats`: "iterations", "residual" (the largest by which a
            value fails to be what defines it, such as ``|z - σ(zW + xU + b)|``) and
            "unconverged" (share of the rows).
        """
        z, stats = self._compute("values", X)
        return (z, stats.as_dict()) if return_stats else z

    @available_if(lambda self: hasattr(self, "net_"))
    def sparsify(self) -> Any:
        """Drop what only training needs, such as weights of edges that don't exist.

        The predictions stay the same. A later warm start begins from what is left.

        Returns
        -------
        object
            The estimator itself.
        """
        with attempt(self, goes_on=True, is_copy=True) as work:
            work.net_.sparsify()
            for name in self._for_study:
                vars(work).pop(name, None)
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        """Compute one output of each row, which is that of all members together."""
        check_is_fitted(self)
        return self._compute("outputs", X, partial(combined, self._target_))[0]

    def _compute(
        self,
        what: str,
        X: Any,
        finish: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, SolveStats]:
        """Compute a network's inputs, values or outputs, and tell how well."""
        check_is_fitted(self)
        network = self.net_.module_
        dtypes = network.numpy_dtype, np.float64, np.float32
        rows = take_rows(self, X, dtype=dtypes)
        rows = as_rows(rows, network.numpy_dtype)
        evaluate = getattr(network, what)
        values, stats = compute(network, rows, evaluate, self.n_jobs, finish)
        stats.warn(self._remedy)
        return values, stats

    def __copy__(self) -> Any:
        """Copy all but the fitted attributes, and the network: it changes in place."""
        other = object.__new__(type(self))
        other.__dict__.update(vars(self))
        if hasattr(self, "net_"):
            other.net_ = copy.deepcopy(self.net_)
        return other

    # What notebooks show.

    @property
    def _repr_html_(self) -> Callable[[], str]:
        """HTML; scikit-learn has none where its ``display`` is "text"."""
        box: Callable[[], str] = super()._repr_html_
        return lambda: box() + view(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Text, and HTML."""
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += view(self)
        return bundle
