"""Workers: threads change neither results nor settings."""

import pytest
import torch

from sknm.graph import parallel
from sknm.graph.equilibrium import solve
from sknm.graph.parallel import open_workers
from sknm.graph.plan import Plan
from sknm.graph.solvers import SolverOptions
from sknm.graph.topology import Topology

EXACT = SolverOptions("auto", 1e-12, 1e-12, max_iter=2000)


@pytest.fixture
def _no_work_is_too_little(monkeypatch):
    monkeypatch.setattr(parallel, "LEAST_OPERATIONS", 1)


def values_and_gradients(a, W, topology, options, workers):
    a, W = a.clone().requires_grad_(), W.clone().requires_grad_()
    found = solve(a, W, Plan(topology, W), "tanh", options, workers=workers)
    return found, *torch.autograd.grad(found.value.square().sum(), (a, W))


@pytest.mark.usefixtures("_no_work_is_too_little")
@pytest.mark.parametrize("n_jobs", [2, 3, 8])
@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [4, 5, 5, 4, 4]])
def test_workers_do_not_change_results(n_jobs, sizes, make_weights, make_inputs):
    topology = Topology.modular(sizes)
    W, a = make_weights(topology), make_inputs(sum(sizes))
    with open_workers(n_jobs) as workers:
        found = values_and_gradients(a, W, topology, EXACT, workers)
    alone = values_and_gradients(a, W, topology, EXACT, None)
    torch.testing.assert_close(found[0].value, alone[0].value, rtol=0, atol=1e-10)
    torch.testing.assert_close(found[1:], alone[1:], rtol=1e-9, atol=1e-9)
    assert found[0].converged.all()


@pytest.mark.usefixtures("_no_work_is_too_little")
def test_sample_is_open_when_any_of_its_modules_is():
    # The last module doubles its values in each iteration, but not of sample 1.
    W = torch.zeros(6, 6, dtype=torch.float64)
    W[0, 1] = W[1, 0] = W[2, 3] = W[3, 2] = 0.1
    W[4, 5] = W[5, 4] = 2
    a = torch.ones(2, 6, dtype=torch.float64)
    a[1, 4:] = -1
    topology = Topology.from_weights(W.numpy())
    with open_workers(3) as workers:
        found = solve(
            a, W, topology, "relu", SolverOptions("picard", max_iter=9), workers=workers
        )
    error = (found.value - torch.relu(found.value @ W + a)).abs().max().item()
    assert found.converged.tolist() == [False, True]
    assert found.residual == pytest.approx(error)


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_thread_count_is_restored(n_jobs):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with open_workers(n_jobs):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), open_workers(n_jobs):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_little_work_is_not_handed_over(make_weights, make_inputs, monkeypatch):
    def refuse(*args):
        raise AssertionError("handed over")

    monkeypatch.setattr(parallel, "_solve_bin", refuse)
    topology = Topology.modular([3, 3])
    with open_workers(2) as workers:
        found = solve(make_inputs(6), make_weights(topology), topology, workers=workers)
    assert found.converged.all()
