"""Test errors of Neural Modules and of layers against the number of nodes."""

from __future__ import annotations

import argparse
from pathlib import Path

import _common as common
import _estimators as estimators
import _measure as measure
import _repeats as repeats
import _scale_steps as steps

#: Most nodes of Neural Modules on the pages, as in the paper.
MOST_NODES_PAGES = 1000
PAGES = "facebook_pages"
#: Neural Modules, and one layer in our loop and in scikit-learn's.
KINDS = ("nm", "ff", "mlp")


def specs(
    args: argparse.Namespace, n_nodes: int, with_modules: bool = True
) -> list[estimators.Spec]:
    """Return the estimators that are compared."""
    params = {} if args.max_iter is None else {"max_iter": args.max_iter}
    found = {k: estimators.Spec(k, k, n_nodes, params) for k in KINDS}
    found["nm"] = steps.modular(n_nodes, args.module_size, **params)
    left_out = () if with_modules else ("nm",)
    return [found[k] for k in args.estimators if k not in left_out]


def measure_error(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Fit and test on standardised splits."""
    for seed in range(args.seeds):
        for name in args.error_sets:
            data = common.split(args.data, name, seed)
            for n_nodes in args.nodes["error"]:
                for spec in specs(args, n_nodes):
                    fit_once(recorder, f"error, {name}", spec, data, seed)


def measure_facebook(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Fit and test on sparse features, as they are."""
    for seed in range(args.seeds):
        data = split_pages(args.data, seed)
        for n_nodes in args.nodes["facebook"]:
            for spec in specs(args, n_nodes, n_nodes <= MOST_NODES_PAGES):
                fit_once(recorder, "facebook", spec, data, seed)


def split_pages(data_dir: Path, seed: int) -> common.Split:
    """Load and cut the pages; their features stay a CSR matrix of zeros and ones."""
    X, y = common.load_sparse(data_dir, PAGES)
    train, test = common.train_test_rows(y, seed)
    return common.Split(X[train], X[test], y[train], y[test])


def fit_once(
    recorder: repeats.Recorder,
    name: str,
    spec: estimators.Spec,
    data: common.Split,
    seed: int,
) -> None:
    """Record error and seconds of one fit, unless the CSV file has them."""
    note = f"seed {seed}"
    keys = ("measure", "contestant", "n_nodes", "note")
    present = common.done(common.read_rows(recorder.path), keys)
    if (name, spec.name, str(spec.n_nodes), note) in present:
        return
    estimator = spec.build(seed, data.n_features, data.n_classes)
    found = measure.fit_and_time(estimator, data)
    seconds, error = found["fit_seconds"], found["error"]
    title = f"{name}, fit"
    recorder.add(title, spec.name, spec.n_nodes, seconds, "s", note)
    recorder.add(name, spec.name, spec.n_nodes, error, "", note)
