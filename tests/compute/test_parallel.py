"""Workers: threads change neither results nor settings, and none is left behind."""

import threading
import time

import joblib
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sknm.compute import parallel
from sknm.compute.parallel import count_workers, cut, open_workers, torch_threads

pytestmark = pytest.mark.usefixtures("nothing_is_left")

WORKERS = [1, 2, 3, 8]


@given(
    n=st.integers(0, 500),
    n_units=st.integers(1, 60),
    unit=st.integers(1, 20),
    n_parts=st.integers(-1, 40),
)
def test_parts_of_a_range_are_all_of_it_and_long_enough(n, n_units, unit, n_parts):
    least = n_units * unit
    parts = cut(n, least, n_parts, unit)
    assert [k for part in parts for k in range(n)[part]] == list(range(n))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 2 * unit
    assert all(part.start % unit == 0 for part in parts)
    assert 1 <= len(parts) <= max(1, n_parts)
    assert min(lengths) >= least or len(parts) == 1


@pytest.mark.usefixtures("always_share")
def test_tasks_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=10)
    with open_workers(3) as workers:
        assert len({*workers.run([meeting.wait] * 3, 1)}) == 3


@pytest.mark.usefixtures("always_share")
def test_each_task_is_done_once_and_in_its_place():
    with open_workers(4) as workers:
        for n in range(12):
            tasks = [lambda k=k: k for k in range(n)]
            assert workers.run(tasks, 1) == list(range(n))


@pytest.mark.usefixtures("always_share")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("n_tasks", [2, 20])
def test_error_in_any_thread_is_the_callers(error, n_tasks):
    def fail_elsewhere():
        if threading.current_thread() is not threading.main_thread():
            raise error
        time.sleep(0.02)

    def fail_here():
        if threading.current_thread() is threading.main_thread():
            raise error
        time.sleep(0.02)

    with open_workers(2) as workers:
        for task in (fail_elsewhere, fail_here):
            with pytest.raises(error):
                workers.run([task] * n_tasks, 1)
        assert workers.run([lambda: 1] * 3, 1) == [1, 1, 1]


@pytest.mark.usefixtures("always_share")
def test_tasks_run_in_the_mode_of_the_caller():
    def mode():
        time.sleep(0.01)
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    with open_workers(2) as workers:
        with torch.inference_mode():
            assert {*workers.run([mode] * 4, 1)} == {(True, False)}
        with torch.no_grad():
            assert {*workers.run([mode] * 4, 1)} == {(False, False)}


@pytest.mark.usefixtures("always_share")
def test_torch_uses_one_thread_in_each_worker():
    def threads():
        time.sleep(0.01)
        return torch.get_num_threads()

    with open_workers(3) as workers:
        assert {*workers.run([threads] * 6, 1)} == {1}


# Whether sharing pays


def count_threads(workers, seconds, n_calls):
    """Threads that took part in each of several calls of two tasks."""
    taking_part = []
    for _ in range(n_calls):
        threads = set()

        def task(threads=threads):
            time.sleep(seconds)
            threads.add(threading.get_ident())

        workers.run([task] * 2, 1)
        taking_part.append(len(threads))
    return taking_part


def test_work_is_shared_where_that_was_faster():
    with open_workers(2) as workers:
        workers.handover = 1e-4
        counts = count_threads(workers, 0.01, parallel.TRIALS + 4)
    assert counts == [1] * parallel.TRIALS + [2] * 4


def test_long_work_is_done_alone_only_once():
    with open_workers(2) as workers:
        workers.handover = 1e-4
        assert count_threads(workers, parallel.LONG, 3) == [1, 2, 2]


def test_work_is_not_shared_where_that_takes_longer_than_it_saves():
    with open_workers(2) as workers:
        workers.handover = 1.0
        assert set(count_threads(workers, 0.001, parallel.TRIALS + 4)) == {1}


def test_work_that_sharing_made_slower_is_shared_no_more():
    lock = threading.Lock()

    def in_turns():
        # Tasks that wait for each other, and more so where there are several threads.
        with lock:
            alone = threading.current_thread() is threading.main_thread()
            time.sleep(0.002 if alone else 0.02)

    with open_workers(2) as workers:
        workers.handover = 1e-4
        for _ in range(2 * parallel.TRIALS):
            workers.run([in_turns] * 2, 1)
        assert set(count_threads(workers, 0.0, 3)) == {1}


def test_threads_start_where_there_is_something_to_share():
    before = threading.active_count()
    with open_workers(3) as workers:
        for n_tasks in [0, 1, 1, 1, 1, 2, 2, 2]:
            workers.run([lambda: None] * n_tasks, 1)
        assert threading.active_count() == before
        assert workers.handover is None
        workers.run([lambda: None] * 2, 1)
        assert threading.active_count() > before
        assert 0 < workers.handover < 0.1


# How many threads


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_thread_count_is_restored(n_jobs):
    with open_workers(n_jobs):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), open_workers(n_jobs):
        raise KeyError
    assert torch.get_num_threads() == 2


def test_thread_count_is_restored_where_contexts_overlap():
    entered, may_end, found = threading.Event(), threading.Event(), []

    def overlap():
        with torch_threads(1):
            entered.set()
            may_end.wait(10)
        found.append(torch.get_num_threads())

    with torch_threads(1):
        thread = threading.Thread(target=overlap)
        thread.start()
        entered.wait(10)
    may_end.set()
    thread.join()
    assert found == [2]


def test_thread_count_is_restored_where_contexts_are_nested():
    with torch_threads(1):
        with torch_threads(1), torch_threads(2):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_number_of_workers_follows_joblib():
    assert count_workers(None) == 1
    assert count_workers(3) == 3
    assert count_workers(-1) == joblib.cpu_count()
    with joblib.parallel_config("threading", n_jobs=2):
        assert count_workers(None) == min(2, joblib.cpu_count())
        assert count_workers(5) == 5
    with joblib.parallel_config(n_jobs=2):
        assert count_workers(None) == min(2, joblib.cpu_count())
    with joblib.parallel_config("sequential"):
        assert count_workers(4) == 1


def test_tasks_of_joblib_have_their_own_cores_only():
    in_threads = joblib.Parallel(2, backend="threading")(
        joblib.delayed(count_workers)(n_jobs) for n_jobs in (2, -1, None)
    )
    assert in_threads == [1, 1, 1]


def test_solve_without_its_workers_ends_all_the_same():
    # Where nobody comes to help, the caller does all tasks.
    assert parallel._Job([lambda: 1, lambda: 2]).lead() == [1, 2]


def test_where_nobody_comes_nothing_is_shared(monkeypatch):
    monkeypatch.setattr(parallel, "_serve", lambda orders: None)
    monkeypatch.setattr(parallel.threading, "Barrier", ShortBarrier)
    with open_workers(2) as workers:
        assert set(count_threads(workers, 0.001, parallel.TRIALS + 2)) == {1}


class ShortBarrier(threading.Barrier):
    def __init__(self, parties, timeout):
        super().__init__(parties, timeout=0.05)
