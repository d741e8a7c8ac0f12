"""Large graphs: what modules save, in solves, steps and epochs, and what they cost.

The Neural Modules paper's figures 4A, 4B, 5, 16A, 16B and 17B, and the aims of this
package. Modules have `--module-size` nodes, and don't merge. Times are float32, on one
thread where no other number is named; repetitions are interleaved; the report has
medians with the smallest and largest, and the aims. Measures:

solves       A forward solve, batch 128, of modules; of the same graph taken as one
             block ("dense", same weights, same answer); and of a complete graph with
             weights of its own ("deq"). To the tolerance of training, and for 20
             iterations. "first" includes the inverse of the weights that the splitting
             iterates with, "refined" a Newton-Schulz step from the last one (as in
             training), "prepared" neither.
module-size  A solve of one module to the tolerance of predictions, one sample and 128
             (fig. 17B).
step         Milliseconds per training step, the mean of one fit's on the first rows,
             without its first five; the note says how many were timed, the fewer the
             larger the graph (fig. 4A). "nm-dense" starts complete, with the papers'
             penalty.
profile      Where the time of a training step with modules goes.
speedup      Solves and steps against the number of threads (fig. 4B).
epoch        Seconds and peak memory of a fit of one epoch, in a fresh process.
error        Test errors of modules and of one layer with as many nodes, means and
             standard errors over seeds (figs. 5, 16B).
facebook     The same on sparse features of pages (fig. 16A), which aren't scaled.
gpu          Solves and steps of modules on `--device`; without one it is passed over.

Errors that the CSV file has are not measured again: other settings need another file.
The report is of the whole file; of times it takes the last run of each measure and
number of nodes.

    python scale.py --measures solves module-size
    python scale.py --data DIR --measures step profile speedup epoch
    python scale.py --data DIR --measures error facebook
    python scale.py --data DIR --measures gpu --device cuda
    python scale.py --measures solves --n-nodes 10000
    python scale.py --data DIR --n-nodes 60 120 --module-size 20 --repeats 1 \
--least-seconds 0 --max-iter 1 --seeds 1 --most-epochs 2 --epoch-rows 500 \
--profile-epochs 1
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import _common as common
import _repeats as repeats
import _scale_errors as errors
import _scale_profile as profile
import _scale_report as report
import _scale_solves as solves
import _scale_steps as steps

#: Numbers of nodes of each measure, unless the command line has others.
NODES = {
    "solves": [300, 1000, 3000, 6000],
    "module-size": [10, 25, 50, 100, 200, 300],
    "step": [100, 300, 1000, 3000],
    "profile": [100, 1000, 3000, 10000],
    "speedup": [3000],
    "epoch": [3000],
    "error": [50, 100, 200, 400, 1000, 2000, 3000],
    "facebook": [500, 1000, 2000, 4000],
    "gpu": [100, 300, 1000, 3000, 6000, 10000],
}
#: Measures that need no data.
DRAWN = ("solves", "module-size")


def measure_speedup(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time solves and steps against the number of threads."""
    solves.measure_speedup(args, recorder)
    steps.measure_speedup(args, recorder)


def measure_gpu(args: argparse.Namespace, recorder: repeats.Recorder) -> None:
    """Time solves and steps on a device, if it is there."""
    import torch

    if torch.device(args.device).type == "cuda" and not torch.cuda.is_available():
        print(f"gpu: there is no device {args.device!r} on this machine: left out")
        return
    solves.measure_device(args, recorder)
    steps.measure_device(args, recorder)


MEASURES = {
    "solves": solves.measure_solves,
    "module-size": solves.measure_module_size,
    "step": steps.measure_step,
    "profile": profile.measure_profile,
    "speedup": measure_speedup,
    "epoch": steps.measure_epoch,
    "error": errors.measure_error,
    "facebook": errors.measure_facebook,
    "gpu": measure_gpu,
}


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = common.parser(__doc__, "scale.csv")
    add = parser.add_argument
    add("--data", type=Path, help="directory of the .npz files")
    add("--measures", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    add("--n-nodes", nargs="+", type=int, help="(default: each measure's own)")
    add("--module-size", type=int, default=50)
    add("--batch-size", type=int, default=128)
    add("--repeats", type=int, default=5)
    add("--least-seconds", type=float, default=0.2, help="a solve is repeated for")
    add("--most-nodes-dense-solve", type=int, default=6000, help="in solves")
    add("--most-nodes-dense", type=int, default=3000, help="in step")
    add("--data-set", default="codon_usage_5kingdoms", help="of the steps")
    add("--most-epochs", type=int, default=20, help="of 15 steps, to time steps")
    add("--profile-epochs", type=int, default=4)
    threads = list(range(1, 1 + max(2, os.cpu_count() or 1)))
    add("--n-jobs", nargs="+", type=int, default=threads, help="of speedup")
    add("--epoch-rows", type=int, default=13_000)
    add("--epoch-n-jobs", nargs="+", type=int, default=[1, 2])
    sets = ["codon_usage_5kingdoms", "gas_drift_batchz"]
    add("--error-sets", nargs="+", default=sets, metavar="NAME")
    add("--seeds", type=int, default=3)
    kinds = list(errors.KINDS)
    add(
        "--estimators",
        nargs="+",
        choices=kinds,
        default=kinds,
        help="of error, facebook",
    )
    add("--max-iter", type=int, help="of error and facebook (default: estimators')")
    add("--device", default="cuda", help="of gpu")
    add("--report-only", action="store_true", help="measure nothing")
    args = parser.parse_args(argv)
    if not (args.report_only or args.data or set(args.measures) <= set(DRAWN)):
        parser.error(f"--data is needed for all measures but {' and '.join(DRAWN)}")
    args.nodes = {name: args.n_nodes or nodes for name, nodes in NODES.items()}
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure what was asked for, then report the whole file."""
    args = get_args(argv)
    recorder = repeats.Recorder(args.csv)
    if not args.report_only:
        with common.one_thread():
            for name in args.measures:
                MEASURES[name](args, recorder)
    rows = report.read(args.csv)
    text = report.markdown(rows, list(MEASURES))
    args.csv.with_suffix(".md").write_text(text)
    print(f"\n{text}")
    for name in MEASURES:
        report.draw(rows, name, common.figure_path(args, f"_{name}"))


if __name__ == "__main__":
    main()
