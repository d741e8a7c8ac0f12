"""Training steps and epochs of large graphs."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import _common as common
import _estimators as estimators
import _repeats as repeats
import baselines
import costs

#: Steps per epoch, and how many of the first ones aren't timed: those that are left of
#: a single epoch are as many as there are between two guards.
EPOCH_STEPS, WARM_STEPS = 15, 5
#: Nodes times epochs: the larger a graph, the fewer of its steps are timed.
EPOCH_NODES_MODULAR, EPOCH_NODES_DENSE = 15_000, 5_000


def modular(n_nodes: int, module_size: int, **params: Any) -> estimators.Spec:
    """Return Neural Modules that stay as large as they start."""
    fixed = {
        "penalty": "bridge",
        "module_size": module_size,
        "lambda_NM": max(1.0, n_nodes / module_size),
    }
    return estimators.Spec("nm", "nm", n_nodes, fixed | params)


def dense(n_nodes: int, module_size: int) -> estimators.Spec:
    """Return the papers' start: one complete graph, all edges priced.

    Its weights are drawn from ``±1 / sqrt(n_nodes)``: the threshold goes with them, so
    that it leaves out the same share of the edges as in a module.
    """
    tau = 0.05 * (module_size / n_nodes) ** 0.5
    params = {"init": "dense", "penalty": "nm", "lambda_NM": 1.0, "tau": tau}
    return estimators.Spec("nm-dense", "nm", n_nodes, params)


def contestant(
    args: argparse.Namespace,
    spec: estimators.Spec,
    data: common.Split,
    epoch_nodes: int = EPOCH_NODES_MODULAR,
) -> repeats.Contestant:
    """Return a function that measures milliseconds per step.

    Steps are clocked one by one: to guard a complete graph of thousands of nodes before
    and after them takes longer than they do, and not twice as long. A GPU may still
    work on a step when the next one begins; what that takes from the last step timed,
    it adds to the first.
    """
    epochs = max(1, min(args.most_epochs, epoch_nodes // spec.n_nodes))
    fixed = {"batch_size": args.batch_size, "max_iter": epochs}
    spec = dataclasses.replace(spec, params=spec.params | fixed)
    rows = baselines.first_rows(data, EPOCH_STEPS * args.batch_size)

    def run() -> tuple[float, str]:
        estimator = spec.build(0, rows.n_features, rows.n_classes)
        with costs.clocked(*costs.STEP_METHOD) as seconds:
            repeats.time_fit(estimator, rows)
        timed = seconds[WARM_STEPS:]
        note = f"{len(timed)} steps"
        facts = estimators.module_facts(estimator)
        if facts:
            share = facts["largest_share"]
            note += f", modules: {facts['n_modules']}, the largest {share:.0%}"
        return 1e3 * sum(timed) / len(timed), note

    return run


# ----------------------------------------------------------------------- measures


def measure_step(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time training steps with modules, from a dense start, and of a DEQ."""
    data = common.split(args.data, args.data_set, 0)
    for n_nodes in args.nodes["step"]:
        contestants = {
            "nm": contestant(args, modular(n_nodes, args.module_size), data),
            "nm n_jobs=2": contestant(
                args, modular(n_nodes, args.module_size, n_jobs=2), data
            ),
        }
        if n_nodes <= args.most_nodes_dense:
            complete = {
                "nm-dense": dense(n_nodes, args.module_size),
                "deq": estimators.Spec("deq", "deq", n_nodes, {}),
            }
            for name, spec in complete.items():
                contestants[name] = contestant(args, spec, data, EPOCH_NODES_DENSE)
        recorder.interleave("step", contestants, n_nodes, "ms", args.repeats)


def measure_speedup(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time training steps with modules against the number of threads."""
    data = common.split(args.data, args.data_set, 0)
    for n_nodes in args.nodes["speedup"]:
        contestants = {
            f"n_jobs={n_jobs}": contestant(
                args, modular(n_nodes, args.module_size, n_jobs=n_jobs), data
            )
            for n_jobs in args.n_jobs
        }
        recorder.interleave("speedup, step", contestants, n_nodes, "ms", args.repeats)


def measure_device(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time training steps with modules on a device."""
    data = common.split(args.data, args.data_set, 0)
    for n_nodes in args.nodes["gpu"]:
        spec = modular(n_nodes, args.module_size, device=args.device)
        contestants = {"step": contestant(args, spec, data)}
        recorder.interleave("gpu, step", contestants, n_nodes, "ms", args.repeats)


def measure_epoch(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Measure seconds and peak memory of fits of one epoch, in fresh processes."""
    script = str(Path(__file__).with_name("_scale_epoch.py"))
    fixed = ["--data", args.data, "--rows", args.epoch_rows]
    fixed += ["--module-size", args.module_size, "--n-jobs"]
    for n_nodes in args.nodes["epoch"]:
        for _ in range(args.repeats):
            for n_jobs in args.epoch_n_jobs:
                options = map(str, (n_nodes, *fixed, n_jobs))
                found = json.loads(costs.child(script, *options))
                row = (f"nm n_jobs={n_jobs}", n_nodes)
                seconds, peak, note = found["seconds"], found["peak"], found["note"]
                recorder.add("epoch, seconds", *row, seconds, "s", note)
                recorder.add("epoch, memory", *row, peak, "MiB", note)
