"""Parts of the work spread over joblib's threads."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed
from joblib.parallel import get_active_backend

TRIALS = 3
"""Times that work of a size is done alone, and shared, before the faster way stays."""

LONG = 0.05
"""Seconds from which on once alone is enough, as chance makes little difference."""

MOST_WORKERS = 256
"""Most threads, however many are asked for: no machine has as many cores to spare."""

Task = Callable[[], Any]


class Workers:
    """Threads that share the parts of some work.

    Whether sharing pays is measured: work of each size is done alone at first, then,
    if handing it over takes less than it can save, shared, and then whichever way was
    faster. Results don't depend on it.

    Parameters
    ----------
    n_workers : int, default=1
        Number of threads, the caller's own among them.

    Attributes
    ----------
    handover : float or None
        Seconds that it takes to share a job and to wait for its end; None before there
        was anything to share.
    """

    def __init__(self, n_workers: int = 1) -> None:
        self.n_workers = n_workers
        self.handover: float | None = None
        self._orders: SimpleQueue[_Job | None] | None = None
        self._served: Iterator[None] = iter(())
        self._times: dict[int, _Times] = {}

    def run(self, tasks: Sequence[Task], size: int) -> list[Any]:
        """Do all tasks, and return what they return.

        Parameters
        ----------
        tasks : sequence of callable
            Don't depend on each other. The largest should come first.
        size : int
            What they cost together, in any unit.

        Returns
        -------
        list
            In the order of the tasks.
        """
        n_workers = min(self.n_workers, len(tasks))
        if n_workers < 2:
            return [task() for task in tasks]
        times = self._times.setdefault(round(4 * math.log2(max(1, size))), _Times())
        is_shared = times.is_known() and self._pays(times, n_workers)
        start = time.perf_counter()
        found = self._share(tasks) if is_shared else [task() for task in tasks]
        times.add(is_shared, time.perf_counter() - start)
        return found

    def close(self) -> None:
        """Let the threads go."""
        if self._orders is None:
            return
        for _ in range(self.n_workers - 1):
            self._orders.put(None)
        for _ in self._served:
            pass
        self._orders = None

    def _pays(self, times: _Times, n_workers: int) -> bool:
        if self.handover is None:
            self.handover = self._measure_handover(n_workers)
        return times.prefer_sharing(self.handover, n_workers)

    def _measure_handover(self, n_workers: int) -> float:
        """Have threads meet, which is as long as it takes until all are there."""
        seconds = []
        for _ in range(TRIALS):
            meeting = threading.Barrier(n_workers, timeout=1)
            start = time.perf_counter()
            try:
                self._share([meeting.wait] * n_workers)
            except threading.BrokenBarrierError:  # some never came
                return math.inf
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def _share(self, tasks: Sequence[Task]) -> list[Any]:
        orders = self._orders or self._open()
        job = _Job(tasks)
        for _ in range(min(self.n_workers, len(tasks)) - 1):
            orders.put(job)
        return job.lead()

    def _open(self) -> SimpleQueue[_Job | None]:
        # A call of joblib's takes ten milliseconds, longer than most solves: so its
        # threads are asked once, and given one job after the other.
        pool = Parallel(
            self.n_workers,
            require="sharedmem",
            return_as="generator",
            pre_dispatch="all",
        )
        self._orders = SimpleQueue()
        self._served = pool([delayed(_serve)(self._orders)] * (self.n_workers - 1))
        return self._orders


@dataclass
class _Times:
    """Seconds that work of one size took, alone and shared."""

    alone: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)

    def is_known(self) -> bool:
        """Whether it has been done alone often enough to tell how long that takes."""
        return len(self.alone) >= TRIALS or max(self.alone, default=0.0) >= LONG

    def prefer_sharing(self, handover: float, n_workers: int) -> bool:
        """Compare, as far as both are known."""
        if min(self.alone) * (1 - 1 / n_workers) < handover:
            return False
        return len(self.shared) < TRIALS or min(self.shared) < min(self.alone)

    def add(self, is_shared: bool, seconds: float) -> None:
        """Remember one more, of the first few."""
        times = self.shared if is_shared else self.alone
        if len(times) < TRIALS:
            times.append(seconds)


class _Job:
    """Tasks of which each thread takes the next one that is left.

    So none waits while another still has several to do, and where no other thread
    comes, the one that leads does them all.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._found: list[Any] = [None] * len(tasks)
        self._error: BaseException | None = None
        self._next = self._n_assisting = 0
        self._state = threading.Condition()
        self._is_inference = torch.is_inference_mode_enabled()

    def lead(self) -> list[Any]:
        """Work with the others, and wait for them, whatever happens."""
        try:
            self._work()
        except BaseException as error:
            self._end(error)
            raise
        finally:
            with self._state:
                while self._n_assisting:
                    self._state.wait()
        if self._error is not None:
            raise self._error
        return self._found

    def assist(self) -> None:
        """Work in another thread; an error is the leader's."""
        with self._state:
            if self._next >= len(self._tasks):
                return
            self._n_assisting += 1
        try:
            # A setting of each thread, as the leader has it.
            with torch.inference_mode(self._is_inference), torch.no_grad():
                self._work()
        except BaseException as error:
            self._end(error)
        finally:
            with self._state:
                self._n_assisting -= 1
                self._state.notify_all()

    def _work(self) -> None:
        """Do tasks until none is left."""
        while (k := self._take()) is not None:
            self._found[k] = self._tasks[k]()

    def _take(self) -> int | None:
        with self._state:
            if self._next >= len(self._tasks):
                return None
            self._next += 1
            return self._next - 1

    def _end(self, error: BaseException) -> None:
        with self._state:
            self._error = self._error or error
            self._next = len(self._tasks)


def cut(n: int, least: int, n_parts: int, unit: int = 1) -> list[slice]:
    """Cut a range into parts that threads may share, whatever their number.

    Parameters
    ----------
    n : int
        Length of the range.
    least : int
        Least length of a part, if there are several; a multiple of `unit`.
    n_parts : int
        Most parts.
    unit : int, default=1
        Parts start at multiples of it.

    Returns
    -------
    list of slice
        At least one, of nearly equal lengths.
    """
    n_parts = max(1, min(n_parts, n // least))
    starts = [n * k // n_parts // unit * unit for k in range(n_parts)]
    return [slice(*ends) for ends in pairwise([*starts, n])]


@contextmanager
def open_workers(n_jobs: int | None) -> Iterator[Workers]:
    """Have threads ready to share work for as long as the context lasts.

    They are joblib's, and start when there is something to share. Torch computes with
    one thread inside: its own threads cost small operations more than they save, and
    would compete with the workers.

    Parameters
    ----------
    n_jobs : int or None
        Number of workers, as joblib understands it.

    Yields
    ------
    Workers
        To share work with.
    """
    with torch_threads(1):
        workers = Workers(count_workers(n_jobs))
        try:
            yield workers
        finally:
            workers.close()


def count_workers(n_jobs: int | None) -> int:
    """Count the threads that may compute at the same time.

    Parameters
    ----------
    n_jobs : int or None
        As joblib understands it; None is what ``joblib.parallel_config`` says.

    Returns
    -------
    int
        At least 1. Inside a task of joblib's that runs in a process of its own, at
        most as many as torch may use there, and 1 inside one that runs in a thread:
        the other tasks have the other cores.
    """
    backend, usual = get_active_backend()
    if (usual if n_jobs is None else n_jobs) in (None, 1):
        return 1  # what follows reads files
    threads, _ = get_active_backend(require="sharedmem")
    n_workers = threads.effective_n_jobs(usual if n_jobs is None else n_jobs)
    n_workers = min(n_workers, MOST_WORKERS)
    if n_jobs is None:  # a cluster's workers are not this machine's
        n_workers = min(n_workers, cpu_count())
    if not backend.nesting_level:
        return n_workers
    if threading.current_thread() is not threading.main_thread():
        return 1
    return min(n_workers, _usual_threads if _n_inside else torch.get_num_threads())


_lock = threading.Lock()
_here = threading.local()
_n_inside = 0
_usual_threads = 1


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Have torch itself use so many threads for as long as the context lasts.

    The number that the caller had set is restored, whatever happens. It is a setting of
    each thread, but new threads begin with the one that was set last in any of them:
    so one that comes while another is inside can't know what was usual, but by that.

    Parameters
    ----------
    n_threads : int
        Number of threads.
    """
    global _n_inside, _usual_threads
    is_nested = getattr(_here, "is_inside", False)
    with _lock:
        former = torch.get_num_threads()
        if not _n_inside:
            _usual_threads = former
        elif former == 1 and not is_nested:
            former = _usual_threads
        _n_inside += 1
    try:
        _here.is_inside = True
        torch.set_num_threads(n_threads)
        yield
    finally:
        _here.is_inside = is_nested
        with _lock:
            _n_inside -= 1
            torch.set_num_threads(former)


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a thread that held it is not there in a child
    os.register_at_fork(after_in_child=_renew_lock)


def _serve(orders: SimpleQueue[_Job | None]) -> None:
    """Assist in jobs until there is None."""
    torch.set_num_threads(1)  # is a setting of each thread
    while (job := orders.get()) is not None:
        job.assist()
