"""Does it pay to learn the edges of a FreeNet? The controls that decide.

FreeNets of some nodes are fitted to the twelve sets of the benchmarks, as

learned    it is by default: dense, pruned and rewired until few edges are left;
dense      the complete acyclic graph, which stays (``max_evolutions=0``);
random     a random graph of as many edges as were learned, which stays;
again      the edges that were learned, trained from the start with new weights;
set        random at first, the smallest weights replaced by random edges (SET);
rigl       random at first, the smallest weights replaced by the edges with the largest
           gradients (RigL): ``density`` and ``target_density`` are the same;
magnitude  as learned, but that no edge is ever replaced (gradual magnitude pruning);
coactive   ``rule="coactivation"``, which was the only rule before.

All have the same options, epochs and batches, and as many edges as were learned, but
for `dense` and `coactive`. The CSV file is resumed, and a summary is printed.

    python rewired.py --data DIR
    python rewired.py --data DIR --rows 3000 --variants learned dense random
    python rewired.py --report-only
"""

from __future__ import annotations

import argparse
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

import _common as common
import numpy as np
import torch

from sknm import FreeNetClassifier
from sknm.graph.state import EquationState
from sknm.graph.topology import Topology
from sknm.plasticity.rewiring import RewiringRule
from sknm.plasticity.rule import Change, Epoch

VARIANTS = (
    "learned",
    "dense",
    "random",
    "again",
    "set",
    "rigl",
    "magnitude",
    "coactive",
)
KEYS = ("data", "rows", "nodes", "variant", "seed")
COLUMNS = (*KEYS, "session", "error", "cpu", "n_edges", "n_levels", "pruned", "added")
LEAST_ERROR = 1e-3
"""Smaller errors count as this in geometric means."""


@dataclass
class RandomRegrowth(RewiringRule):
    """Adds random edges instead of those with the largest gradients (SET)."""

    seed: int = 0

    @torch.no_grad()
    def epoch(self, graph: EquationState, epoch: Epoch) -> Change:
        """Evolve if it is time."""
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch.number)
        self._gradient = torch.rand(graph.weights.shape, generator=generator)
        return super().epoch(graph, epoch)


@dataclass(repr=False, eq=False)
class SETClassifier(FreeNetClassifier):
    """A FreeNet that is rewired at random."""

    def _make_rule(self) -> RandomRegrowth:
        return RandomRegrowth(
            density=self.target_density,
            epsilon=self.epsilon,
            interval=int(self.evolve_interval),
            max_evolutions=self.max_evolutions,
            seed=self.random_state,
        )


@dataclass(repr=False, eq=False)
class GivenClassifier(FreeNetClassifier):
    """A FreeNet that starts with the edges of another."""

    _: KW_ONLY
    edges: Any = None

    _constraints: ClassVar[dict[str, Any]] = {"edges": "no_validation"}

    def _first_topology(self, generator: torch.Generator) -> Topology:
        return Topology(self.edges)


def build(
    args: argparse.Namespace, variant: str, seed: int, edges: np.ndarray | None
) -> Any:
    """Return an unfitted model; most need the edges that were learned."""
    shared = {"n_nodes": args.nodes, "random_state": seed}
    if variant == "learned":
        return FreeNetClassifier(**shared)
    if variant == "dense":
        return FreeNetClassifier(**shared, max_evolutions=0)
    if variant == "coactive":
        return FreeNetClassifier(**shared, rule="coactivation")
    if variant == "magnitude":
        return FreeNetClassifier(**shared, epsilon=1e-9)
    assert edges is not None, "learned comes first"
    share = edges.sum() / (args.nodes * (args.nodes - 1) / 2)
    if variant == "random":
        return FreeNetClassifier(**shared, density=share, max_evolutions=0)
    if variant == "again":
        shared["random_state"] = seed + 100
        return GivenClassifier(**shared, edges=edges, density=share, max_evolutions=0)
    kind = SETClassifier if variant == "set" else FreeNetClassifier
    return kind(**shared, density=share, target_density=share)


def measure(args: argparse.Namespace, name: str, seed: int) -> None:
    """Fit the variants to one split, but those whose results are there."""
    there = common.done(common.read_rows(args.csv), KEYS)
    keys = {
        v: (name, str(args.rows), str(args.nodes), v, str(seed)) for v in args.variants
    }
    missing = [v for v in VARIANTS if v in keys and keys[v] not in there]
    if not missing:
        return
    data = common.split(args.data, name, seed)
    X, y = data.X_train, data.y_train
    if 0 < args.rows < len(X):
        kept = np.random.default_rng(seed).permutation(len(X))[: args.rows]
        X, y = X[kept], y[kept]
    edges = None
    for variant in dict.fromkeys(["learned", *missing]):
        is_wanted = variant in missing
        if not is_wanted and not {"random", "again", "set", "rigl"} & {*missing}:
            continue
        model = build(args, variant, seed, edges)
        with common.Stopwatch() as watch:
            model.fit(X, y)
        if variant == "learned":
            edges = model.topology_.to_dense()
        if is_wanted:
            error = float(np.mean(model.predict(data.X_test) != data.y_test))
            record(args, keys[variant], model, error, watch.cpu)


def record(
    args: argparse.Namespace, key: tuple[str, ...], model: Any, error: float, cpu: float
) -> None:
    """Add a row of what came out."""
    topology, evolution = model.topology_, model.evolution_
    row = dict(zip(KEYS, key, strict=True)) | {
        "session": common.session(),
        "error": error,
        "cpu": cpu,
        "n_edges": topology.n_edges,
        "n_levels": int(topology.node_levels.max()) + 1,
        "pruned": sum(e["pruned"] for e in evolution),
        "added": sum(e["added"] for e in evolution),
    }
    common.append_row(args.csv, COLUMNS, row)
    print(*key, f"{error:.4f}", f"{cpu:.1f} s", flush=True)


def report(args: argparse.Namespace) -> None:
    """Print a table of errors, and what the differences are worth."""
    rows = {
        (r["data"], r["variant"], r["seed"]): r
        for r in common.read_rows(args.csv)
        if (r["rows"], r["nodes"]) == (str(args.rows), str(args.nodes))
    }
    body, errors, facts = [], [], []
    compared = range(1, min(3, len(args.variants)))
    for name in args.data_sets:
        own = [(name, v) for v in args.variants]
        seeds = [s for s in map(str, args.seeds) if all((*k, s) in rows for k in own)]
        if not seeds:
            continue
        found = [[rows[(*k, s)] for s in seeds] for k in own]
        errors.append(np.array([[float(r["error"]) for r in rs] for rs in found]))
        facts.append(
            [[means(rs, c) for c in ("n_edges", "n_levels", "cpu")] for rs in found]
        )
        cells = [f"{mean:.4f}" for mean in errors[-1].mean(axis=1)]
        body.append([name, *cells, *(difference(errors[-1], k) for k in compared)])
    names = args.variants
    header = ["data", *names, *(f"{names[0]} - {names[k]}" for k in compared)]
    print(common.markdown_table(header, body), "\n")
    print(common.markdown_table(*summary(args, errors, np.array(facts))))


def means(rows: list[dict[str, str]], column: str) -> float:
    """Return the mean of a column."""
    return float(np.mean([float(row[column]) for row in rows]))


def difference(errors: np.ndarray, k: int) -> str:
    """Return by how much the first variant has more errors, and its standard error."""
    mean, spread = paired(errors[0] - errors[k])
    return f"{mean:+.4f} ± {spread:.4f}"


def paired(differences: np.ndarray) -> tuple[float, float]:
    """Return mean and standard error."""
    n = len(differences)
    spread = differences.std(ddof=1) / n**0.5 if n > 1 else 0.0
    return float(differences.mean()), float(spread)


def summary(
    args: argparse.Namespace, errors: list[np.ndarray], facts: np.ndarray
) -> tuple[list[str], list[list[str]]]:
    """Say of each variant how the first one compares with it, over all sets."""
    body = []
    for k, variant in enumerate(args.variants):
        ends = [paired(e[0] - e[k]) for e in errors]
        sizes = [np.maximum(e.mean(axis=1), LEAST_ERROR) for e in errors]
        ratio = np.exp(np.mean([np.log(size[0] / size[k]) for size in sizes]))
        edges, levels = facts[:, k, 0].mean(), facts[:, k, 1].mean()
        time = np.median(facts[:, k, 2] / facts[:, 0, 2])
        better = sum(mean < -spread for mean, spread in ends)
        worse = sum(mean > spread for mean, spread in ends)
        cells = [f"{edges:.0f}", f"{levels:.0f}", f"{time:.2f}", f"{ratio:.3f}"]
        body.append([variant, *cells, f"{better}", f"{worse}"])
    first = args.variants[0]
    header = ["", "edges", "levels", "`fit`, relative", f"{first} / it"]
    return [*header, f"{first} better", "worse"], body


def main(argv: list[str] | None = None) -> None:
    """Measure what is missing, and report."""
    parser = common.parser(__doc__, "rewired.csv")
    add = parser.add_argument
    add("--data", type=Path, help="directory of the .npz files")
    add("--data-sets", nargs="+", default=list(common.DATA_SETS), metavar="NAME")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--nodes", type=int, default=100)
    add("--rows", type=int, default=0, help="most training rows; 0 takes all")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    add("--report-only", action="store_true", help="measure nothing")
    args = parser.parse_args(argv)
    if not args.report_only:
        if args.data is None:
            parser.error("--data is needed to measure")
        with common.one_thread():
            for seed in args.seeds:
                for name in args.data_sets:
                    measure(args, name, seed)
    report(args)


if __name__ == "__main__":
    main()
