"""Threads and parts change no solve."""

import pytest
import torch

from sknm.compute.parallel import open_workers
from sknm.graph import plan
from sknm.graph.equilibrium import solve
from sknm.graph.plan import Plan
from sknm.graph.problem import SolverOptions
from sknm.graph.topology import Topology

pytestmark = pytest.mark.usefixtures("nothing_is_left")

EXACT = SolverOptions("auto", 1e-12, 1e-12, max_iter=2000)
WORKERS = [1, 2, 3, 8]


@pytest.fixture
def small_parts(monkeypatch):
    """Each block is a part of its own."""
    monkeypatch.setattr(plan, "PART_VALUES", 1)


def values_and_gradients(a, W, topology, options, workers):
    a, W = a.clone().requires_grad_(), W.clone().requires_grad_()
    found = solve(a, W, Plan(topology, W), "tanh", options, workers=workers)
    return found, *torch.autograd.grad(found.value.square().sum(), (a, W))


@pytest.mark.usefixtures("small_parts", "always_share")
@pytest.mark.parametrize("n_jobs", WORKERS)
@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [4, 5, 5, 4, 4], [2, 9]])
def test_workers_do_not_change_a_bit(n_jobs, sizes, make_weights, make_inputs):
    topology = Topology.modular(sizes)
    W, a = make_weights(topology), make_inputs(sum(sizes))
    with open_workers(n_jobs) as workers:
        found = values_and_gradients(a, W, topology, EXACT, workers)
    alone = values_and_gradients(a, W, topology, EXACT, None)
    assert torch.equal(found[0].value, alone[0].value)
    assert all(map(torch.equal, found[1:], alone[1:]))
    assert found[0].converged.all()


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [4, 5, 5, 4, 4]])
def test_parts_do_not_change_results(sizes, make_weights, make_inputs, monkeypatch):
    topology = Topology.modular(sizes)
    W, a = make_weights(topology), make_inputs(sum(sizes))
    together = values_and_gradients(a, W, topology, EXACT, None)
    monkeypatch.setattr(plan, "PART_VALUES", 1)
    apart = values_and_gradients(a, W, topology, EXACT, None)
    torch.testing.assert_close(apart[0].value, together[0].value, rtol=0, atol=1e-10)
    torch.testing.assert_close(apart[1:], together[1:], rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("small_parts", "always_share")
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
