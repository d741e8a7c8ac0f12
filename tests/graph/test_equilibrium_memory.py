"""Memory: what one solve leaves for the next saves time and changes nothing else."""

from dataclasses import replace

import pytest
import torch

from sknm.compute.parallel import Workers
from sknm.graph.activations import ACTIVATIONS
from sknm.graph.equilibrium import REFRESH_INTERVAL, Memory, Passage, solve
from sknm.graph.plan import Plan
from sknm.graph.solvers import SolverOptions, reflection
from sknm.graph.topology import Topology

TRAINING = SolverOptions("auto", 0.0, 1e-3, max_iter=60, verify=False)
EXACT = SolverOptions("newton", 1e-12, 1e-12)


@pytest.fixture
def modules():
    """Two modules side by side: one batch."""
    return Topology.modular([4, 4])


def drifting(W, topology, n_steps, size=1e-3):
    """Weights that move a little from step to step, as in training."""
    mask = torch.from_numpy(topology.to_dense())
    generator = torch.Generator().manual_seed(0)
    for _ in range(n_steps):
        yield W
        move = torch.randn(W.shape, generator=generator, dtype=W.dtype)
        W = W + size * move * mask


def relative_error(z, exact):
    return ((z - exact).norm() / exact.norm()).item()


def error_of_reflection(memory, plan, W):
    (batch,) = plan.batches
    C, _ = memory.reflections[batch.key]
    return (C - reflection(batch.weights(W))).abs().max().item()


def test_solutions_with_memory_are_as_good_as_those_without(
    cyclic, make_weights, make_inputs
):
    a, memory = make_inputs(cyclic.n_nodes, 20), Memory()
    W = make_weights(cyclic, margin=0.3)
    plan = Plan(cyclic, W)
    for weights in drifting(W, cyclic, 30):
        exact = solve(a, weights, plan, "relu", EXACT).value
        with_memory = solve(a, weights, plan, "relu", TRAINING, memory=memory).value
        without = solve(a, weights, plan, "relu", TRAINING).value
        assert relative_error(without, exact) < 3e-3
        assert relative_error(with_memory, exact) < 3e-3


def test_gradients_with_memory_are_as_good_as_those_without(
    cyclic, make_weights, make_inputs
):
    a, memory = make_inputs(cyclic.n_nodes, 20), Memory()
    W = make_weights(cyclic, margin=0.3)
    plan = Plan(cyclic, W)
    for weights in drifting(W, cyclic, 10):
        weights = weights.clone().requires_grad_()
        found = []
        for options, given in ((EXACT, None), (TRAINING, memory)):
            z = solve(a, weights, plan, "tanh", options, memory=given).value
            found += torch.autograd.grad(z.square().sum(), weights)
        assert relative_error(found[1], found[0]) < 1e-2


def test_reflection_is_refined_while_weights_move_little(
    modules, make_weights, make_inputs
):
    a, memory = make_inputs(8), Memory()
    W = make_weights(modules)
    plan = Plan(modules, W)
    ages = []
    for weights in drifting(W, modules, 5):
        solve(a, weights, plan, options=TRAINING, memory=memory)
        ages += [age for _, age in memory.reflections.values()]
        # The error that a move of 1e-3 makes, squared.
        assert error_of_reflection(memory, plan, weights) < 1e-4
    assert ages == [0, 1, 2, 3, 4]


def test_reflection_is_computed_anew_after_some_solves(
    modules, make_weights, make_inputs
):
    a, memory = make_inputs(8), Memory()
    W = make_weights(modules)
    plan = Plan(modules, W)
    for weights in drifting(W, modules, REFRESH_INTERVAL + 2):
        solve(a, weights, plan, options=TRAINING, memory=memory)
    ((_, age),) = memory.reflections.values()
    assert age == 0
    assert error_of_reflection(memory, plan, weights) == 0


def test_reflection_is_computed_anew_after_a_large_move(
    modules, make_weights, make_inputs
):
    a, memory = make_inputs(8), Memory()
    for seed in (0, 1):
        W = make_weights(modules, seed=seed)
        plan = Plan(modules, W)
        solve(a, W, plan, options=TRAINING, memory=memory)
        assert error_of_reflection(memory, plan, W) == 0


def test_edges_that_disappear_from_a_module_are_seen(
    modules, make_weights, make_inputs
):
    # The nodes of each batch stay the same, but not the edges between them.
    a, memory = make_inputs(8, 20), Memory()
    W = make_weights(modules, margin=0.3)
    solve(a, W, modules, options=TRAINING, memory=memory)
    mask = modules.to_dense()
    mask[0, 1:3] = False
    fewer = Topology(mask)
    found = solve(a, W, fewer, options=TRAINING, memory=memory).value
    exact = solve(a, W, fewer, options=EXACT).value
    assert relative_error(found, exact) < 3e-3


def test_next_solve_is_first_tested_where_the_last_one_ended(
    modules, make_weights, make_inputs
):
    a, memory = make_inputs(8), Memory()
    W = make_weights(modules)
    plan = Plan(modules, W)
    (batch,) = plan.batches
    tight = SolverOptions("peaceman_rachford", 0.0, 1e-6, verify=False)
    first = solve(a, W, plan, "tanh", tight, memory=memory)
    assert memory.iterations == {(batch.key, False): first.n_iter}
    assert first.n_iter > tight.first_check
    assert memory.options(batch, False, tight).first_check == first.n_iter - 1
    assert memory.options(batch, True, tight) == tight


@pytest.mark.parametrize(("max_iter", "expected"), [(3, True), (500, False)])
@pytest.mark.parametrize("is_back", [True, False])
def test_passage_knows_whether_a_solve_came_to_its_limit(
    max_iter, expected, is_back, modules, make_weights, make_inputs
):
    a, W = make_inputs(8), make_weights(modules)
    forward = SolverOptions("auto", 0.0, 1e-6, 500 if is_back else max_iter, False)
    passage = Passage(
        Plan(modules, W), ACTIVATIONS["tanh"], forward, Memory(), Workers()
    )
    z = passage.run(a.t(), W)
    if is_back:
        assert not passage.is_strained
        passage.options = replace(forward, max_iter=max_iter)
        passage.back(z, W, None)
    assert passage.is_strained == expected


def test_memory_has_nothing_to_keep_of_an_acyclic_graph(
    acyclic, make_weights, make_inputs
):
    memory = Memory()
    solve(make_inputs(acyclic.n_nodes), make_weights(acyclic), acyclic, memory=memory)
    assert memory == Memory()
