"""The parameters and attributes that all estimators share, and what they mean."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, StrOptions

from sknm.encoding.embeddings import EMBEDDINGS
from sknm.graph.activations import ACTIVATIONS
from sknm.training.optimizers import OPTIMIZERS

MOST_NODES = 100_000
"""Most nodes that a graph may be asked for: all pairs of them are 40 GB of weights."""


MOST_MEMBERS = 1000
"""Most members of an ensemble: a batch has so many times its rows."""


class Number(Interval):
    """An interval of numbers, of which True and False are none."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether a value is a number in the interval.

        Parameters
        ----------
        val : object
            What the user gave.

        Returns
        -------
        bool
            False for True and False.
        """
        return not isinstance(val, bool) and super().is_satisfied_by(val)


SHARED_PARAMETERS = """
n_nodes : int, default=400
    Number of nodes.

activation : {"relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", \
"identity", "squared_relu"}, default="relu"
    Activation function of the nodes.

optimizer : {"adamw", "sgd", "lbfgs"}, default="adamw"
    How weights are fitted: AdamW, stochastic gradient descent with Nesterov's
    momentum, or L-BFGS, which takes all rows at once and suits small data. AdamW's
    averages keep 0.9 (gradients) and 0.95 (their squares; of a URN, 0.999) at a step.

learning_rate_init : float, default=0.02
    Peak of the learning rate, which rises from a 25th of it and falls to almost
    nothing in the course of ``fit``. ``partial_fit`` keeps it constant.

alpha : float or "auto", default="auto"
    Weight decay: the share of a weight that a step takes away, over the learning rate.
    "auto": ``330 / n_samples``, but from 0.01 to 0.66, and 0.33 if a batch holds all
    rows; 0.01 in ``partial_fit``, with other optimisers than AdamW, and of a URN, whose
    weights have prices.

batch_size : int or "auto", default="auto"
    Rows per training step; "auto" takes 128, or 256 from 2000 rows on.

max_iter : int, default=None
    Number of epochs. None takes 32, 28 below 8000 rows, and of small data as many as
    make a step for four rows (two rows of four classes, one row of sixteen), up to 300
    steps; 100 if a batch holds all rows, and 300 with "lbfgs".

dropout : float, default=0.1
    Share of nodes whose output is left out of a training step, drawn anew for
    each step.

early_stopping : bool, default=False
    Whether to stop when the validation score no longer improves, and to
    return to the weights that had the best one. Rows count in the score by their
    weights.

scoring : str or callable, default=None
    What the validation score is. None: accuracy, or R², but with another `loss` than
    "squared_error" the negative loss; "loss": that in any case; a name that is known to
    :func:`sklearn.metrics.get_scorer_names`; or a callable with the signature
    ``scorer(estimator, X, y)``, and ``sample_weight`` where rows are weighted.

validation_fraction : float, default=0.1
    Share of the training rows that is set aside as validation data when
    `early_stopping` is set and ``fit`` gets none.

n_iter_no_change : int, default=10
    Epochs without improvement after which early stopping ends the training.

tol : float, default=1e-4
    Least change of the validation score that counts as an improvement.

warm_start : bool, default=False
    Whether ``fit`` goes on from the weights of the last call, with the parameters as
    they are then. Sizes can't change, and how a graph starts is looked at in the first
    call only, as `random_state` is.

random_state : int, RandomState instance or None, default=None
    Seed of the weights, the order of the rows and the dropout. An int gives the
    same model, bit for bit, at each call; None draws the seed from numpy's global
    generator, so that ``numpy.random.seed`` makes it reproducible.

device : str, default="cpu"
    Where to compute: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best one
    there is.

n_jobs : int, default=None
    Number of threads that share the modules of a large graph, the neurons of a URN that
    has 1024 or more of them, or the rows of an OptNet with the solver "admm"; all else
    is done by one. None is 1 unless in a :obj:`joblib.parallel_config` context, -1 is
    all processors. Work is shared where that is measured to pay; results are the same
    for any number.

verbose : int, default=0
    How much is told of a training. 0: nothing. 1: a bar on a terminal or in a notebook,
    with the epoch, the time that is left, the loss, the validation score, and what has
    become of the graph; a line at the end of ``fit`` where no bar can be drawn, which
    is in files and in workers of a search. 2: a line for each epoch at the level INFO
    of the logger "sknm"; to stderr, if no handlers of logging are set up.

callbacks : list of skorch.callbacks.Callback, default=None
    They are told of the training, its epochs and batches, and may stop it: such as
    :class:`skorch.callbacks.EarlyStopping` with ``monitor="train_loss"``. Those that
    need a net that predicts, or an optimiser of torch's, are not for this.

scale : {"robust"} or None, default="robust"
    How numbers are scaled. "robust": by median and quartiles, with smooth clipping at
    five times the range between these, so that outliers do no harm, and then to mean 0
    and variance 1; nothing needs to be scaled before. None: not at all, for data that
    are scaled already. Sparse matrices stay as they are.

numerical_embedding : {"piecewise", "piecewise_tree", "periodic"} or None, \
default="piecewise"
    A function of each number that is learned, and enters the graph beside the number
    itself: piecewise linear between quantiles, or between the splits of a tree on the
    targets, which suits thresholds; or a sum of waves. More than 256 numbers have none.

categorical_features : "from_dtype", array-like of shape (n_features,) or \
(n_categories,), or None, default="from_dtype"
    Which columns are categories: those whose type says so, which are text, truth
    values and categorical types; or a mask, numbers or names of columns, which are all
    then, and no other may hold text; None for none. A few values get an input each, of
    many a vector is learned.

feature_fdr : float or None, default=0.05
    False discovery rate of features: before training, those are chosen that tell
    something of the targets, by themselves or in pairs; a share of about `feature_fdr`
    of them may be there by chance. They enter the modules of features that they
    interact with; other links wake in training when there is evidence for them. Lower
    it if there are many useless features. None has all of them enter everything, as
    those of sparse matrices and of more than 1024 inputs do: also for features that
    tell something only three or more together, which are not found.

n_members : int, default=1
    Number of members of an ensemble in one network, whose probabilities or predictions
    are averaged. They share the graph and its weights; each has signs of its own by
    which inputs enter most of the nodes, biases, and a readout. Eight take three to
    four times as long as one, and seven times for predictions.
"""

SHARED_ATTRIBUTES = """
n_features_in_ : int
    Number of features seen in ``fit``.

feature_names_in_ : ndarray of shape (n_features,)
    Names of the features, if all of them are strings.

n_iter_ : int
    Number of epochs done.

loss_ : float
    Loss of the last epoch.

loss_curve_ : list of float
    Loss of each epoch. Of earlier calls, the last 1000 epochs are kept, here and in all
    other records of a training.

best_loss_ : float
    Smallest loss of an epoch.

validation_scores_ : list of float or None
    Score on the validation data, weighted as they are, after each epoch, as `scoring`
    says; None without such data.

validation_loss_curve_ : list of float or None
    Loss on the validation data after each epoch, without what dropout and prices add;
    None without such data.

device_ : str
    Where the model was fitted.

encoding_ : Encoding
    What became of each column: print it. ``get_feature_names_out()`` names what enters
    the graph, ``get_feature_indices()`` says which column each of these is made of, and
    the method ``encode`` computes it.

feature_modules_ : ndarray of bool of shape (n_features, n_modules)
    Which features enter which modules; a graph that is no set of modules counts as one.

input_weights_ : ndarray of shape (n_inputs, n_nodes)
    ``U``: edges from what enters the graph, which are the features as they are encoded,
    to the nodes.

node_weights_ : ndarray of shape (n_nodes, n_nodes)
    ``W``: ``W[i, j]`` is the edge from node i to node j; 0 where there is none.

node_biases_ : ndarray of shape (n_nodes,)
    ``b``.

output_weights_ : ndarray of shape (n_nodes, n_outputs)
    ``V``: edges from the nodes to the outputs.

output_biases_ : ndarray of shape (n_outputs,)
    ``c``. With several `n_members`, ``U``, ``b``, ``V`` and ``c`` are of shape
    (n_members, …): each member has its own.

solver_stats_ : dict
    How well the node values of (up to 2000) training rows were found by
    the fitted model: "iterations", "residual" (the largest) and
    "unconverged" (share of the rows).

net_ : TrainingNet
    The net that was trained, with its ``history``: of each epoch the "train_loss" and,
    if node values are searched for, the "iterations" (mean of its steps). It is a
    :class:`skorch.NeuralNet` that trains for the estimator only, whose own methods are
    to be used.
"""


@dataclass(repr=False, eq=False)
class SharedParameters:
    """Constructor of all estimators, to which families and classifiers add theirs.

    Each class says what is allowed of its own parameters, in `_constraints`.
    """

    n_nodes: int = 400
    _: KW_ONLY
    activation: str = "relu"
    optimizer: str = "adamw"
    learning_rate_init: float = 0.02
    alpha: float | str = "auto"
    batch_size: int | str = "auto"
    max_iter: int | None = None
    dropout: float = 0.1
    early_stopping: bool = False
    scoring: Any = None
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    device: str = "cpu"
    n_jobs: int | None = None
    verbose: int | bool = 0
    callbacks: Any = None
    scale: str | None = "robust"
    numerical_embedding: str | None = "piecewise"
    categorical_features: Any = "from_dtype"
    feature_fdr: float | None = 0.05
    n_members: int = 1

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "n_nodes": [Number(Integral, 1, MOST_NODES, closed="both")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "learning_rate_init": [Number(Real, 0, None, closed="neither")],
        "alpha": [Number(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [
            StrOptions({"auto"}),
            Number(Integral, 1, None, closed="left"),
        ],
        "max_iter": [Number(Integral, 1, None, closed="left"), None],
        "dropout": [Number(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
        "validation_fraction": [Number(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Number(Integral, 1, None, closed="left")],
        "tol": [Number(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "n_jobs": [
            Number(Integral, None, -1, closed="right"),
            Number(Integral, 1, None, closed="left"),
            None,
        ],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
        "scale": [StrOptions({"robust"}), None],
        "numerical_embedding": [StrOptions(set(EMBEDDINGS)), None],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "feature_fdr": [Number(Real, 0, 1, closed="neither"), None],
        "n_members": [Number(Integral, 1, MOST_MEMBERS, closed="both")],
    }

    _doc_parts: ClassVar[dict[str, str]] = {"parameters": SHARED_PARAMETERS}

    _parameter_constraints: ClassVar[dict[str, list[Any]]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Merge what a class says of its own parameters with what others say."""
        super().__init_subclass__(**options)
        if "_parameter_constraints" in vars(cls):  # as scikit-learn has it
            cls._constraints = cls._parameter_constraints
        cls._parameter_constraints = {
            name: allowed
            for ancestor in reversed(cls.__mro__)
            for name, allowed in vars(ancestor).get("_constraints", {}).items()
        }
