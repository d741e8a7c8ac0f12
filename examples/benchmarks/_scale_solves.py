"""Solves of drawn graphs: with modules, the same as one block, and complete ones."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import _repeats as repeats
import torch
from torch import Tensor

from sknm.compute.parallel import Workers, open_workers
from sknm.graph.draw import draw_weights, module_sizes
from sknm.graph.equilibrium import Memory, Prepared, solve
from sknm.graph.plan import Plan
from sknm.graph.problem import Solution, SolverOptions
from sknm.graph.stability import settle
from sknm.graph.topology import Topology

#: How estimators solve while they train, for as many iterations, and to predict.
TRAINING = SolverOptions("auto", 0.0, 0.1, max_iter=60, verify=False)
TWENTY = SolverOptions("auto", 0.0, 0.0, max_iter=20, verify=False, first_check=21)
PREDICTION = SolverOptions("auto", 2e-5, 5e-6, max_iter=500, first_check=10)

#: The estimators' default margin, and weights drawn so that large blocks keep it.
MARGIN, GAIN = 0.3, 0.8

#: Solves until workers know whether sharing pays.
WARM_CALLS = 8

#: Options and preparation of a solve. "first": the reflection of the weights is an
#: inverse; "refined": it is one Newton-Schulz step from the last solve's, as in
#: training; "prepared": it is known.
VARIANTS = {
    "training tolerance, first": (TRAINING, "first"),
    "training tolerance, refined": (TRAINING, "refined"),
    "training tolerance, prepared": (TRAINING, "prepared"),
    "20 iterations, first": (TWENTY, "first"),
    "20 iterations, prepared": (TWENTY, "prepared"),
}


@dataclass(frozen=True)
class Graph:
    """A graph with inputs of its nodes.

    ``a`` is (n_samples, n_nodes), ``W`` (n_nodes, n_nodes).
    """

    a: Tensor
    W: Tensor
    plan: Plan


def draw_graph(sizes: list[int], n_samples: int, device: str = "cpu") -> Graph:
    """Draw complete modules as estimators start with, guarded, and normal inputs."""
    generator = torch.Generator().manual_seed(0)
    W = draw_weights(sizes, 0.0, GAIN, generator).to(device)
    _, plan = settle(W, 0.0, "monotone", MARGIN)
    # Samples lie side by side in memory, as they do when an estimator solves.
    a = torch.randn(len(W), n_samples, generator=generator).to(device).t()
    return Graph(a, W, plan)


def as_one_block(graph: Graph) -> Graph:
    """Return the same weights, with a plan that knows of no modules."""
    return replace(graph, plan=Plan(Topology.complete(len(graph.W)), graph.W))


# ------------------------------------------------------------------------- clocks


def solver(
    graph: Graph, options: SolverOptions, preparation: str
) -> Callable[[Workers], Solution]:
    """Return a function that solves for the node values once more."""
    prepared = Prepared() if preparation == "prepared" else None
    memory = Memory() if preparation == "refined" else None

    def run(workers: Workers) -> Solution:
        return solve(
            graph.a,
            graph.W,
            graph.plan,
            "relu",
            options,
            memory=memory,
            workers=workers,
            prepared=prepared,
        )

    return run


def time_calls(
    call: Callable[[], Solution], device: str, least_seconds: float
) -> tuple[float, Solution]:
    """Return milliseconds per call, and what it found."""
    synchronise(device)
    n_calls, seconds, start = 0, 0.0, time.perf_counter()
    while not n_calls or seconds < least_seconds:
        found = call()
        synchronise(device)
        n_calls, seconds = n_calls + 1, time.perf_counter() - start
    return 1e3 * seconds / n_calls, found


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def contestant(
    args: argparse.Namespace,
    graph: Graph,
    options: SolverOptions,
    preparation: str,
    n_jobs: int = 1,
    expected: Tensor | None = None,
) -> repeats.Contestant:
    """Return a function that measures milliseconds per solve, after a first one."""
    call = solver(graph, options, preparation)
    device = str(graph.W.device)
    call(Workers())

    def run() -> tuple[float, str]:
        with open_workers(n_jobs) as workers:
            for _ in range(WARM_CALLS if n_jobs > 1 else 0):
                call(workers)
            value, found = time_calls(lambda: call(workers), device, args.least_seconds)
        note = f"{found.n_iter} iterations"
        if expected is not None:
            note += f", values off by {(found.value - expected).abs().max():.0e}"
        return value, note

    return run


# ----------------------------------------------------------------------- measures


def measure_solves(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time solves of graphs with and without modules."""
    for n_nodes in args.nodes["solves"]:
        modules = draw_graph(module_sizes(n_nodes, args.module_size), args.batch_size)
        graphs = {}
        if n_nodes <= args.most_nodes_dense_solve:
            graphs["dense"] = as_one_block(modules)
            graphs["deq"] = draw_graph([n_nodes], args.batch_size)
        for name, (options, preparation) in VARIANTS.items():
            how = (options, preparation)
            z = solver(modules, *how)(Workers()).value
            contestants = {
                "modules": contestant(args, modules, *how),
                "modules n_jobs=2": contestant(args, modules, *how, n_jobs=2),
            }
            for other, graph in graphs.items():
                same = z if other == "dense" else None
                contestants[other] = contestant(args, graph, *how, expected=same)
            recorder.interleave(
                f"solves, {name}", contestants, n_nodes, "ms", args.repeats
            )


def measure_module_size(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time solves of one module, for one sample and for a batch."""
    for size in args.nodes["module-size"]:
        contestants = {}
        for n_samples in (1, args.batch_size):
            graph = draw_graph([size], n_samples)
            for preparation in ("first", "prepared"):
                name = f"{n_samples} samples, {preparation}"
                contestants[name.replace("1 samples", "1 sample")] = contestant(
                    args, graph, PREDICTION, preparation
                )
        recorder.interleave("module-size", contestants, size, "ms", args.repeats)


def measure_speedup(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time solves of modules against the number of threads."""
    for n_nodes in args.nodes["speedup"]:
        sizes = module_sizes(n_nodes, args.module_size)
        graph = draw_graph(sizes, args.batch_size)
        for name in ("training tolerance, refined", "20 iterations, prepared"):
            contestants = {
                f"n_jobs={n_jobs}": contestant(args, graph, *VARIANTS[name], n_jobs)
                for n_jobs in args.n_jobs
            }
            recorder.interleave(
                f"speedup, solve, {name}", contestants, n_nodes, "ms", args.repeats
            )


def measure_device(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time solves of modules on a device."""
    for n_nodes in args.nodes["gpu"]:
        sizes = module_sizes(n_nodes, args.module_size)
        graph = draw_graph(sizes, args.batch_size, args.device)
        contestants = {
            name: contestant(args, graph, *how) for name, how in VARIANTS.items()
        }
        recorder.interleave("gpu, solve", contestants, n_nodes, "ms", args.repeats)
