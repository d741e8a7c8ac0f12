"""Optimisers move each group as it says, and keep what they know as graphs change."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from sknm.compute.groups import ParameterGroup
from sknm.graph.blocks import ModuleWeights
from sknm.graph.state import EquationState, GraphState
from sknm.training.optimizers import OPTIMIZERS
from sknm.training.recipe import Options

N = 6
EVERY = pytest.mark.parametrize("name", OPTIMIZERS)
STOCHASTIC = pytest.mark.parametrize("name", ["adamw", "sgd"])
TWO = np.array([0, 0, 0, 1, 1, 1])
TURNED = np.array([1, 1, 1, 0, 0, 0])
ONE = np.zeros(N, int)
ACROSS = np.array([0, 1, 0, 1, 0, 1])


def make(name, groups, alpha, **options):
    return OPTIMIZERS[name](groups, Options(name, alpha, 1, "cpu", **options))


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


def parameter(*shape, seed=0):
    return draw(*shape, seed=seed).requires_grad_()


def same_gradients(params, gradients, loss=0.0):
    """A loss whose gradients are always these."""

    def closure():
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = gradient.clone()
        return torch.tensor(loss, dtype=torch.float64)

    return closure


def bowl(*params):
    """A loss with its minimum where every parameter is 1, and its gradients."""

    def closure():
        loss = sum((p - 1).square().sum() for p in params)
        loss.backward()
        return loss.detach()

    return closure


def without_gradient(*params):
    return same_gradients(params, [torch.zeros_like(p) for p in params])


@pytest.mark.parametrize("options", [{}, {"memory": 0.999}])
def test_adamw_remembers_as_long_as_it_is_told(options):
    p, q = parameter(4), parameter(4)
    beta_2 = options.get("memory", 0.95)
    peer = torch.optim.AdamW([q], 0.1, betas=(0.9, beta_2), weight_decay=0.2)
    optimizer = make("adamw", [ParameterGroup([p])], 0.2, **options)
    for size in 1.0, 100.0, 0.01, 1.0:
        optimizer.step(same_gradients([p], [draw(4) * size]), 0.1)
        same_gradients([q], [draw(4) * size])()
        peer.step()
    torch.testing.assert_close(p, q, rtol=1e-12, atol=0)


@EVERY
def test_steps_go_downhill(name):
    p, q = parameter(3), parameter(2, 2)
    groups = [ParameterGroup([p]), ParameterGroup([q], step_scale=0.5)]
    optimizer = make(name, groups, 0.0)
    first = bowl(p, q)()
    for _ in range(20):
        optimizer.step(bowl(p, q), 0.05)
    assert bowl(p, q)() < 0.7 * first


def test_first_step_of_adam_is_the_rate_times_the_scale_of_the_group():
    p, q = parameter(4), parameter(4)
    before = p.detach().clone()
    groups = [ParameterGroup([p]), ParameterGroup([q], step_scale=0.25)]
    closure = same_gradients([p, q], [torch.ones(4).double()] * 2)
    make("adamw", groups, 0.0).step(closure, 0.1)
    torch.testing.assert_close(p.detach(), before - 0.1)
    torch.testing.assert_close(q.detach(), before - 0.025)


@pytest.mark.parametrize(("name", "factor"), [("adamw", 1.0), ("sgd", 1.9)])
def test_each_group_decays_as_it_says(name, factor):
    # Nesterov's momentum adds 0.9 of the first step to itself.
    shares = [(1.0, 1.0), (1.0, 0.5), (0.5, 1.0), (1.0, 0.0)]
    params = [parameter(3) for _ in shares]
    groups = [
        ParameterGroup([p], step_scale, decay)
        for p, (step_scale, decay) in zip(params, shares, strict=True)
    ]
    before = params[0].detach().clone()
    make(name, groups, 0.2).step(without_gradient(*params), 0.1)
    for p, (step_scale, decay) in zip(params, shares, strict=True):
        kept = 1 - factor * 0.1 * step_scale * 0.2 * decay
        torch.testing.assert_close(p.detach(), before * kept)


@EVERY
def test_decay_can_change(name):
    p, expected = parameter(3), parameter(3)
    optimizer = make(name, [ParameterGroup([p])], 0.9)
    optimizer.set_decay(0.1)
    optimizer.step(bowl(p), 0.1)
    make(name, [ParameterGroup([expected])], 0.1).step(bowl(expected), 0.1)
    assert torch.equal(p, expected)


@STOCHASTIC
def test_groups_that_are_treated_alike_move_as_they_would_alone(name):
    together = [parameter(3, seed=k) for k in range(4)]
    alone = [parameter(3, seed=k) for k in range(4)]
    scales = [0.5, 1.0, 0.5, 1.0]
    optimizer = make(name, groups_of(together, scales), 0.1)
    assert len(optimizer.param_groups) == 2
    others = [
        make(name, groups_of([p], [scale]), 0.1)
        for p, scale in zip(alone, scales, strict=True)
    ]
    for _ in range(3):
        optimizer.step(bowl(*together), 0.1)
        for other, p in zip(others, alone, strict=True):
            other.step(bowl(p), 0.1)
    for p, expected in zip(together, alone, strict=True):
        assert torch.equal(p, expected)


def groups_of(params, scales):
    return [
        ParameterGroup([p], step_scale=scale)
        for p, scale in zip(params, scales, strict=True)
    ]


@EVERY
def test_groups_that_are_given_are_left_as_they_are(name):
    # An encoder may keep its group, and give it to one optimiser after another.
    groups = [ParameterGroup([parameter(2)]), ParameterGroup([parameter(3)])]
    for _ in range(2):
        make(name, groups, 0.1)
    assert [len(group.params) for group in groups] == [1, 1]


@STOCHASTIC
def test_parameters_of_two_precisions_are_moved(name):
    p, q = parameter(2), draw(2, dtype=torch.float32).requires_grad_()
    expected = p.detach().clone()
    optimizer = make(name, [ParameterGroup([p]), ParameterGroup([q])], 0.0)
    assert len(optimizer.param_groups) == 2
    for _ in range(3):
        optimizer.step(bowl(p, q), 0.1)
    assert (p - 1).norm() < (expected - 1).norm()


@EVERY
def test_held_weights_stay(name):
    p, free = parameter(4, 4), parameter(3)
    held = torch.eye(4, dtype=torch.bool)
    before = p.detach().clone()
    groups = [ParameterGroup([p], held=held), ParameterGroup([free])]
    optimizer = make(name, groups, 0.0)
    for _ in range(3):
        optimizer.step(bowl(p, free), 0.1)
    assert torch.equal(p[held], before[held])
    assert (p[~held] != before[~held]).all()
    assert (free != draw(3)).all()


# L-BFGS


def test_lbfgs_finds_the_minimum_of_a_bowl():
    p, q = parameter(3), parameter(2, 2)
    optimizer = make("lbfgs", [ParameterGroup([p, q])], 0.0)
    optimizer.step(bowl(p, q), 0.0)  # no rate is asked for
    torch.testing.assert_close(p.detach(), torch.ones(3).double())
    torch.testing.assert_close(q.detach(), torch.ones(2, 2).double())


def test_lbfgs_has_a_ridge_for_weights_only():
    # Of (w - 1)² + α r w² / 2, the minimum is at 1 / (1 + α r / 2).
    weight, bias, half = parameter(2), parameter(2), parameter(2)
    groups = [
        ParameterGroup([weight]),
        ParameterGroup([bias], ridge=0.0),
        ParameterGroup([half], ridge=0.5),
    ]
    optimizer = make("lbfgs", groups, 2.0)
    for _ in range(5):
        optimizer.step(bowl(weight, bias, half), 0.0)
    for p, minimum in [(weight, 1 / 2), (bias, 1.0), (half, 1 / 1.5)]:
        torch.testing.assert_close(
            p.detach(), torch.full((2,), minimum).double(), atol=1e-5, rtol=0
        )


def test_lbfgs_forgets_curvature_from_step_to_step():
    p, other = parameter(3), parameter(3, seed=1)
    optimizer = make("lbfgs", [ParameterGroup([p])], 0.0)
    optimizer.step(bowl(p), 0.0)
    p.data.copy_(other.data)
    optimizer.step(bowl(p), 0.0)
    make("lbfgs", [ParameterGroup([other])], 0.0).step(bowl(other), 0.0)
    assert torch.equal(p, other)
    assert optimizer.memory() is None


def test_lbfgs_moves_parameters_whose_number_has_changed():
    p = parameter(5)
    optimizer = make("lbfgs", [ParameterGroup([p])], 0.0)
    optimizer.step(bowl(p), 0.0)
    p.data, p.grad = draw(2), None
    optimizer.change([p], lambda values: values[:2])
    optimizer.step(bowl(p), 0.0)
    torch.testing.assert_close(p.detach(), torch.ones(2).double())


def test_only_lbfgs_takes_all_rows():
    assert [k for k, kind in OPTIMIZERS.items() if not kind.is_stochastic] == ["lbfgs"]


# Graphs that change


class Descent:
    """Steps of a graph's weights and biases against gradients that are given."""

    def __init__(self, name, labels=None):
        self.graph = EquationState(0.1 * draw(N, N), draw(N))
        self.optimizer = make(name, self.graph.groups(), 0.0)
        self.train(labels)

    def train(self, labels, is_known=True):
        """Have the weights inside modules trained from now on, or all of them."""
        graph = self.graph
        trained = "all"
        if labels is not None:
            trained = ModuleWeights(labels, graph.weights.detach())
        graph.train_on(trained, 1.0)
        self.optimizer.follow(graph, is_known)

    def run(self, seeds):
        """A step with the gradient of each of these seeds."""
        graph = self.graph
        for seed in seeds:
            gradient, modules = draw(N, N, seed=seed), None
            params, gradients = [graph.weights], [gradient]
            if isinstance(graph.trained, ModuleWeights):
                modules = graph.trained
                gradients = ModuleWeights(modules.labels, gradient).values
                params = modules.values
            params = [*params, graph.biases]
            gradients = [*gradients, draw(N, seed=100 + seed)]
            self.optimizer.step(same_gradients(params, gradients), 0.01)
            if modules is not None:
                modules.write(graph.weights.data)
        return graph.weights.detach().clone()


def inside(labels):
    return torch.from_numpy(labels[:, None] == labels)


@STOCHASTIC
def test_modules_are_trained_apart(name):
    descent = Descent(name, TWO)
    before = descent.graph.weights.detach().clone()
    after = descent.run([1, 2])
    assert torch.equal(after[~inside(TWO)], before[~inside(TWO)])
    assert (after != before)[inside(TWO)].all()
    assert descent.graph.group.params is descent.graph.trained.values


@STOCHASTIC
@pytest.mark.parametrize("labels", [TURNED, TWO], ids=["turned", "the same"])
def test_modules_in_another_order_go_on_as_they_were(name, labels):
    descent, expected = Descent(name, TWO), Descent(name, TWO)
    descent.run([1, 2, 3])
    descent.train(labels)
    found = descent.run([4, 5])
    torch.testing.assert_close(found, expected.run([1, 2, 3, 4, 5]))
    torch.testing.assert_close(descent.graph.biases, expected.graph.biases)


@STOCHASTIC
@pytest.mark.parametrize("way", [[ONE], [ACROSS, ONE]], ids=["merge", "regroup"])
def test_pairs_that_are_in_a_module_all_the_time_go_on_as_they_were(name, way):
    descent, expected = Descent(name, TWO), Descent(name, TWO)
    seeds, always = iter(range(1, 20)), inside(TWO)
    for labels in [*way, TWO]:
        always &= inside(labels)
        used = [next(seeds), next(seeds)]
        descent.run(used)
        expected.run(used)
        descent.train(labels)
    found = descent.run([20, 21])
    assert always.any()
    torch.testing.assert_close(found[always], expected.run([20, 21])[always])


@STOCHASTIC
def test_pairs_that_come_into_a_module_have_no_momentum(name):
    descent = Descent(name, TWO)
    before = descent.run([1, 2])
    descent.train(ONE)
    gradient = torch.zeros(N, N, dtype=torch.float64)
    values = descent.graph.trained.values
    params = [*values, descent.graph.biases]
    gradients = [*ModuleWeights(ONE, gradient).values, draw(N)]
    descent.optimizer.step(same_gradients(params, gradients), 0.01)
    descent.graph.trained.write(descent.graph.weights.data)
    moved = descent.graph.weights.detach() != before
    assert torch.equal(moved, inside(TWO))


@STOCHASTIC
def test_momentum_that_no_longer_holds_is_forgotten(name):
    descent = Descent(name, TWO)
    descent.run([1, 2, 3])
    fresh = Descent(name, TWO)
    fresh.graph.weights.data.copy_(descent.graph.weights.data)
    fresh.train(TWO)
    descent.train(TWO, is_known=False)
    torch.testing.assert_close(descent.run([4]), fresh.run([4]))


@STOCHASTIC
def test_biases_remember_as_the_weights_are_followed(name):
    descent, expected = Descent(name), Descent(name)
    descent.run([1, 2])
    descent.train(TWO)
    descent.run([3])
    descent.train(None)
    descent.run([4])
    expected.run([1, 2, 3, 4])
    torch.testing.assert_close(descent.graph.biases, expected.graph.biases)
    assert descent.graph.group.params == [descent.graph.weights]


@STOCHASTIC
def test_step_scale_of_the_weights_is_that_of_now(name):
    descent = Descent(name)
    before = descent.graph.weights.detach().clone()
    descent.graph.train_on("all", 0.0)
    descent.optimizer.follow(descent.graph)
    assert torch.equal(descent.run([1]), before)


@STOCHASTIC
@pytest.mark.parametrize("labels", [None, TWO], ids=["all", "modules"])
@pytest.mark.parametrize("n_steps", [0, 3])
def test_other_optimiser_goes_on_from_a_pickled_memory(name, labels, n_steps):
    descent = Descent(name, labels)
    descent.run(range(n_steps))
    memory = pickle.loads(pickle.dumps(descent.optimizer.memory()))
    other = Descent(name)
    other.graph.weights.data.copy_(descent.graph.weights.data)
    other.graph.biases.data.copy_(descent.graph.biases.data)
    other.optimizer.remember(memory, other.graph)
    assert torch.equal(other.run([7, 8]), descent.run([7, 8]))
    assert torch.equal(other.graph.biases, descent.graph.biases)


@STOCHASTIC
def test_what_is_remembered_shrinks_with_the_graph(name):
    # Nodes that are left move as they would have moved beside the others.
    kept, rows = [0, 2, 3], torch.tensor([0, 2, 3])
    descent, expected = Descent(name), Descent(name)
    descent.run([1, 2])
    expected.run([1, 2])
    graph = descent.graph
    for p in graph.parameters():
        p.data = at(rows, p.data)
    descent.optimizer.change(list(graph.parameters()), lambda t: at(rows, t))
    gradients = [draw(N, N, seed=3), draw(N, seed=103)]
    params = [graph.weights, graph.biases]
    closure = same_gradients(params, [at(rows, g) for g in gradients])
    descent.optimizer.step(closure, 0.01)
    W = expected.run([3])
    torch.testing.assert_close(graph.weights.detach(), W[kept][:, kept])
    torch.testing.assert_close(graph.biases, expected.graph.biases[kept])


def at(rows, tensor):
    for dim in range(tensor.ndim):
        tensor = tensor.index_select(dim, rows)
    return tensor


@EVERY
def test_variable_group_is_never_joined(name):
    graph = GraphState(draw(3, 3), draw(3))
    alike = replace(graph.group, params=[parameter(2)], is_variable=False)
    optimizer = make(name, [alike, *graph.groups()], 0.1)
    optimizer.follow(graph, is_known=False)
    before = alike.params[0].detach().clone()
    params = [*alike.params, graph.weights, graph.biases]
    optimizer.step(bowl(*params), 0.1)
    assert (alike.params[0] != before).all()
    assert (graph.weights != draw(3, 3)).all()
