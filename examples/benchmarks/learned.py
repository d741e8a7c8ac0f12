"""Do learned modules and links from features pay? The controls that decide.

Each estimator is fitted, with and without columns of noise beside the features, as

learned   it is by default: links are found before training, and wake in it; modules of
          Neural Modules merge;
frozen    Neural Modules only: the same, with the modules that it starts with;
all       the default with ``feature_fdr=None``: all features enter all modules;
random    modules of the sizes that were learned, with as many features each, but other
          features, trained from new weights; they stay as they are;
again     the modules and links that were learned, trained from new weights, and kept;
first     the first version's default: modules of 25 that don't merge, all features,
          without functions of numbers.

One thread; splits as in ``accuracy.py``. Results go to a CSV file that is resumed; the
report gives mean errors, and of each control the sets on which ``learned`` is better or
worse by more than a standard error of the paired difference.

    python learned.py --data DIR
    python learned.py --data DIR --family FreeNetClassifier --seeds 0 1 2
    python learned.py --data DIR --report-only
    python learned.py --planted
    python learned.py --thresholds
    python learned.py --data DIR --beside

With ``--planted`` instead, on targets that are sums of functions of groups of
features, beside gradient boosting: errors (1 - R² of numbers), the share of the links
from useless features that are absent, and of a module's weight from one group. With
``--thresholds``, on targets that are made of them: two classes by a sum of steps of
single features, by a sum of intervals, and by the leaf of a tree, among ten features.
With ``--beside``, by how much 30 columns of noise raise the errors of trees.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import _common as common
import _former as former
import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)

import sknm
from sknm.datasets import make_planted_modules
from sknm.graph.draw import draw_weights
from sknm.neural_module import NeuralModules
from sknm.plasticity.entering import begin_with

KEYS = ("family", "data", "n_useless", "variant", "seed")
COLUMNS = (*KEYS, "session", "error", "cpu", "links", "useless", "sizes")
VARIANTS = ("learned", "frozen", "all", "random", "again", "first")
KEPT_MODULES = {"lambda_NM": 1e9}
LEAST_ERROR = 1e-3


def with_noise(data: common.Split, n_useless: int, seed: int) -> common.Split:
    """Add columns of noise to the features."""
    rng = np.random.default_rng(1000 + seed)
    tables = []
    for X in (data.X_train, data.X_test):
        noise = rng.normal(size=(len(X), n_useless)).astype(X.dtype)
        tables.append(np.hstack([X, noise]))
    return common.Split(*tables, data.y_train, data.y_test)


def links_of(model: Any) -> np.ndarray:
    """Which columns enter which nodes, bool of shape (n_columns, n_inlets)."""
    return model.net_.module_.graph.entries.by_columns()


def shuffled(links: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Give each module as many columns as it has, but others."""
    rng, other = np.random.default_rng(seed), np.zeros_like(links)
    for module in np.unique(labels):
        nodes = labels == module
        other[:, nodes] = links[rng.permutation(len(links))][:, nodes]
    return other


@contextlib.contextmanager
def given(links: np.ndarray, sizes: np.ndarray | None) -> Iterator[None]:
    """Have all fits inside start with some modules and links, and keep the links."""

    def begin(entries: Any, *_: Any) -> None:
        begin_with(entries, links[entries.columns])

    def draw(model: Any, generator: Any) -> Any:
        return draw_weights(list(sizes), model.tau, 1.0, generator)

    with contextlib.ExitStack() as stack:
        for patch in (
            mock.patch("sknm.fitting.find_links", begin),
            mock.patch("sknm.plasticity.entering.wake", return_value=None),
        ):
            stack.enter_context(patch)
        if sizes is not None:
            stack.enter_context(
                mock.patch.object(NeuralModules, "_draw_node_weights", draw)
            )
        yield


def variants_of(family: str) -> list[str]:
    """Return the variants that a family has."""
    is_modular = issubclass(getattr(sknm, family), NeuralModules)
    return [v for v in VARIANTS if v != "frozen" or is_modular]


def measure(args: argparse.Namespace, name: str, n_useless: int, seed: int) -> None:
    """Fit all variants to one split, but those whose results are there."""
    there = common.done(common.read_rows(args.csv), KEYS)
    variants = variants_of(args.family)
    keys = {v: (args.family, name, str(n_useless), v, str(seed)) for v in variants}
    if all(key in there for key in keys.values()):
        return
    data = common.split(args.data, name, seed)
    n_features = data.n_features
    data = with_noise(data, n_useless, seed) if n_useless else data
    kind = getattr(sknm, args.family)
    is_modular = issubclass(kind, NeuralModules)
    kept = KEPT_MODULES if is_modular else {}
    plain = {
        "learned": kind(),
        "all": kind(feature_fdr=None),
        "first": former.first(args.family),
    }
    if is_modular:
        plain["frozen"] = kind(**kept)
    for variant, model in plain.items():
        model.set_params(random_state=seed)
        record(args, keys[variant], model, data, n_features)
        if variant == "learned":
            learned = model
    links, sizes = links_of(learned), None
    labels = np.zeros(links.shape[1], dtype=int)
    if is_modular:  # nodes module by module, as they are drawn
        order = np.argsort(learned.module_labels_, kind="stable")
        links, labels = links[:, order], learned.module_labels_[order]
        sizes = learned.module_sizes_
    other = shuffled(links, labels, seed)
    for variant, own in (("random", other), ("again", links)):
        with given(own, sizes):
            model = kind(random_state=seed + 100, **kept)
            record(args, keys[variant], model, data, n_features)


def record(
    args: argparse.Namespace,
    key: tuple[str, ...],
    model: Any,
    data: common.Split,
    n_features: int,
) -> None:
    """Fit a model, and add a row of what came out."""
    with common.Stopwatch() as watch:
        model.fit(data.X_train, data.y_train)
    links = links_of(model)
    row = dict(zip(KEYS, key, strict=True)) | {
        "session": common.session(),
        "error": float(np.mean(model.predict(data.X_test) != data.y_test)),
        "cpu": watch.cpu,
        "links": float(links[:n_features].mean()),
        "useless": float(links[n_features:].mean()) if len(links) > n_features else 0.0,
        "sizes": " ".join(map(str, sorted(getattr(model, "module_sizes_", ()))[::-1])),
    }
    common.append_row(args.csv, COLUMNS, row)
    print(*key, f"{row['error']:.4f}", f"{watch.cpu:.1f} s", flush=True)


def report(args: argparse.Namespace) -> None:
    """Print tables of errors, and what the differences are worth."""
    rows = [r for r in common.read_rows(args.csv) if r["family"] == args.family]
    variants = variants_of(args.family)
    values = {
        tuple(r[k] for k in KEYS[1:]): (float(r["error"]), float(r["cpu"]))
        for r in rows
    }
    shares = {
        tuple(r[k] for k in KEYS[1:]): (float(r["links"]), float(r["useless"]))
        for r in rows
        if r["variant"] == "learned"
    }
    for n_useless in map(str, args.n_useless):
        body, means = [], []
        for name in args.data_sets:
            seeds = [k[3] for k in shares if k[:2] == (name, n_useless)]
            keys = [[(name, n_useless, v, s) for s in seeds] for v in variants]
            if not seeds or not all(k in values for own in keys for k in own):
                continue
            errors = np.array([[values[k][0] for k in own] for own in keys])
            seconds = np.array([[values[k][1] for k in own] for own in keys])
            means.append(errors)
            awake = np.mean([shares[k] for k in keys[0]], axis=0)
            ratio = np.median(seconds[0] / seconds[-1])
            cells = [f"{e.mean():.4f}" for e in errors]
            body.append([name, *cells, *(f"{a:.2f}" for a in awake), f"{ratio:.2f}"])
        header = ["data", *variants, "links", "useless links", "`fit`, to first"]
        print(f"\n{args.family}, {n_useless} columns of noise\n")
        print(common.markdown_table(header, body))
        summary(means, variants)


def summary(means: list[np.ndarray], variants: list[str]) -> None:
    """Say on how many sets the learned links are better than each control, or worse."""
    for k, variant in enumerate(variants[1:], 1):
        differences = [errors[0] - errors[k] for errors in means]
        ends = [
            (d.mean(), d.std(ddof=1) / len(d) ** 0.5 if len(d) > 1 else 0.0)
            for d in differences
        ]
        lower = sum(mean < 0 for mean, _ in ends)
        better = sum(mean < -spread for mean, spread in ends)
        worse = sum(mean > spread for mean, spread in ends)
        logs = [
            np.log(max(e[0].mean(), LEAST_ERROR) / max(e[k].mean(), LEAST_ERROR))
            for e in means
        ]
        print(
            f"learned / {variant}: geometric mean {np.exp(np.mean(logs)):.3f}; lower "
            f"on {lower} of {len(ends)}, by more than a standard error on {better}, "
            f"higher by more than one on {worse}"
        )


def planted(args: argparse.Namespace) -> None:
    """Print a table for data whose modules are known."""
    body = []
    for name, n_classes in (("2 classes", 2), ("3 classes", 3), ("numbers", None)):
        for n in (3000, 10_000):
            found = [planted_once(n, n_classes, seed) for seed in args.seeds]
            cells = [f"{value:.3f}" for value in np.mean(found, axis=0)]
            body.append([f"{name}, {n}", *cells])
    header = ["target, rows", "learned", "all", "boosting", "absent", "one group"]
    print(common.markdown_table(header, body))


def planted_once(n: int, n_classes: int | None, seed: int) -> list[float]:
    """Return three errors, the share of absent links, and that of one group."""
    X, y, groups = make_planted_modules(
        n + 3000, n_classes=n_classes, random_state=seed
    )
    kind, other = sknm.NeuralModuleClassifier, HistGradientBoostingClassifier
    if n_classes is None:
        kind, other = sknm.NeuralModuleRegressor, HistGradientBoostingRegressor
    learned = kind(random_state=seed)
    every = kind(random_state=seed, feature_fdr=None)
    models = [learned, every, other(random_state=seed)]
    errors = [1 - m.fit(X[:n], y[:n]).score(X[n:], y[n:]) for m in models]
    columns = learned.encoding_.get_feature_indices()
    weights = np.zeros(learned.feature_modules_.shape)
    for module in range(learned.n_modules_):
        nodes = learned.module_labels_ == module
        own = abs(learned.input_weights_[:, nodes]).mean(axis=1)
        np.add.at(weights[:, module], columns, own)
    of_groups = np.array([weights[group].sum(axis=0) for group in groups])
    shares = of_groups.max(axis=0) / weights.sum(axis=0)
    useless = np.setdiff1d(np.arange(X.shape[1]), np.concatenate(groups))
    absent = 1 - learned.feature_modules_[useless].mean()
    return [*errors, absent, shares.mean()]


def threshold_data(kind: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows, and classes that only thresholds of single features decide."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    if kind == "tree":
        nodes = np.zeros(n, dtype=int)
        for _ in range(5):  # levels; each node has a feature and a threshold
            features = rng.integers(0, 5, nodes.max() + 1)
            places = rng.normal(scale=0.5, size=nodes.max() + 1)
            right = X[np.arange(n), features[nodes]] > places[nodes]
            nodes = np.unique(2 * nodes + right, return_inverse=True)[1]
        leaves = rng.permutation(np.arange(nodes.max() + 1) % 2)
        return X, leaves[nodes]
    total = np.zeros(n)
    for feature in range(5):
        for _ in range(3):
            low = rng.normal()
            high = np.inf if kind == "steps" else low + rng.uniform(0.2, 1)
            inside = (X[:, feature] > low) & (X[:, feature] <= high)
            total += rng.normal() * inside
    return X, (total > np.median(total)).astype(int)


def thresholds(args: argparse.Namespace) -> None:
    """Print a table for targets that are made of thresholds."""
    kind, body = sknm.NeuralModuleClassifier, []
    for name in ("steps", "intervals", "tree"):
        errors = []
        for seed in args.seeds:
            n = 5000
            X, y = threshold_data(name, n + 3000, seed)
            models = [
                kind(random_state=seed),
                kind(random_state=seed, **KEPT_MODULES),
                former.first("NeuralModuleClassifier", random_state=seed),
                HistGradientBoostingClassifier(random_state=seed),
            ]
            found = [
                m.fit(X[:5000], y[:5000]).score(X[5000:], y[5000:]) for m in models
            ]
            errors.append(1 - np.array(found))
        means = np.mean(errors, axis=0)
        body.append([name, *(f"{e:.4f}" for e in means), f"{means[0] / means[2]:.2f}"])
    header = ["target", "learned", "frozen", "first", "boosting", "learned / first"]
    print(common.markdown_table(header, body))


def beside(args: argparse.Namespace) -> None:
    """Print what noise costs models of trees, which choose their features, too."""
    kinds = HistGradientBoostingClassifier, RandomForestClassifier
    body = []
    for name in args.data_sets:
        errors = np.zeros((2, 2))
        for seed in args.seeds:
            plain = common.split(args.data, name, seed)
            for k, data in enumerate((plain, with_noise(plain, 30, seed))):
                for j, kind in enumerate(kinds):
                    model = kind(random_state=seed).fit(data.X_train, data.y_train)
                    errors[j, k] += 1 - model.score(data.X_test, data.y_test)
        cells = (errors / len(args.seeds)).ravel()
        ratios = errors[:, 1] / errors[:, 0]
        body.append([name, *(f"{e:.4f}" for e in cells), *(f"{r:.2f}" for r in ratios)])
        print(*body[-1], flush=True)
    names = ["boosting", "boosting, noise", "forest", "forest, noise"]
    header = ["data", *names, "noise costs boosting", "noise costs the forest"]
    print(common.markdown_table(header, body))


def main(argv: list[str] | None = None) -> None:
    """Measure what is missing, and report."""
    parser = common.parser(__doc__, "learned.csv")
    add = parser.add_argument
    add("--data", type=Path, help="directory of the .npz files")
    add("--data-sets", nargs="+", default=list(common.DATA_SETS), metavar="NAME")
    add("--family", default="NeuralModuleClassifier", help="a classifier of sknm")
    add("--n-useless", nargs="+", type=int, default=[0, 30])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    add("--planted", action="store_true", help="on data whose modules are known")
    add("--thresholds", action="store_true", help="on targets made of thresholds")
    add("--beside", action="store_true", help="what noise costs trees")
    add("--report-only", action="store_true", help="measure nothing")
    args = parser.parse_args(argv)
    if args.planted or args.thresholds:
        with common.one_thread():
            (planted if args.planted else thresholds)(args)
        return
    if args.beside:
        with common.one_thread():
            beside(args)
        return
    if not args.report_only:
        with common.one_thread():
            for seed in args.seeds:
                for n_useless in args.n_useless:
                    for name in args.data_sets:
                        measure(args, name, n_useless, seed)
    report(args)


if __name__ == "__main__":
    main()
