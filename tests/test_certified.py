"""What is proved of fitted models: one solution, and decisions that stay."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import sknm
from sknm.explanations.proof import Weights
from sknm.graph.equilibrium import solve
from sknm.graph.problem import SolverOptions
from sknm.solved import SolvedGraph

PUBLIC = [getattr(sknm, name) for name in sknm.__all__]
SOLVED = [e for e in PUBLIC if isinstance(e, type) and issubclass(e, SolvedGraph)]
CLASSIFIERS = [e for e in SOLVED if e.__name__.endswith("Classifier")]
SMALL = {"n_nodes": 20, "max_iter": 4, "random_state": 0}
EXACT = SolverOptions("auto", 1e-12, 1e-12, 1000)


def by_name(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=lambda e: e.__name__)


@pytest.fixture(scope="module")
def iris():
    """Rows in double precision, three classes, of which two overlap."""
    X, y = load_iris(return_X_y=True)
    return X[::3], y[::3]


@pytest.fixture(scope="module")
def model(iris):
    return sknm.NeuralModuleClassifier(module_size=5, **SMALL).fit(*iris)


def decide(model, x):
    """Decisions of encoded rows, differentiable, in double precision."""
    own = Weights(model)
    W, U, b, V, c = map(torch.from_numpy, (own.W, own.U, own.b, own.V, own.c))
    z = solve(x @ U + b, W, own.topology, own.sigma, EXACT).value
    return z @ V + c


def attack(model, X, radii, n_steps=8):
    """Move encoded rows by gradients, no farther than the radii; tell which change."""
    start = torch.from_numpy(model.encode(X).astype(np.float64))
    first = decide(model, start).detach()
    is_one = first.shape[1] > 1 and not model._target_.multi_output
    k = first.argmax(1) if is_one else first.abs().argmin(1)
    signs, rows = first.sign(), torch.arange(len(X))
    far = torch.from_numpy(radii)[:, None]
    changed, x = torch.zeros(len(X), dtype=bool), start.clone()
    for _ in range(n_steps):
        x.requires_grad_()
        y = decide(model, x)
        if is_one:
            others = y.masked_fill(torch.eye(y.shape[1], dtype=bool)[k], -torch.inf)
            gap = y[rows, k] - others.max(1).values
        else:
            gap = (y * signs)[rows, k]
        changed |= (gap < 0).detach()
        (g,) = torch.autograd.grad(gap.sum(), x)
        with torch.no_grad():
            step = -g / g.norm(dim=1, keepdim=True).clamp_min(1e-300)
            moved = x - start + 0.3 * far * step
            size = moved.norm(dim=1, keepdim=True).clamp_min(1e-300)
            x = start + moved * (far / size)  # where most changes
    return changed.numpy()


@pytest.mark.sweep(3)
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
@by_name(CLASSIFIERS)
def test_no_step_within_the_radius_changes_a_decision(estimator, kind, iris):
    X, y = iris
    if kind == "two":
        X, y = X[y > 0], y[y > 0]
    elif kind == "labels":
        y = np.eye(3, dtype=int)[y]
    model = estimator(**SMALL).fit(X, y)
    radii = model.certified_radius(X)
    assert radii.shape == (len(X),)
    assert (radii > 0).mean() > 0.9
    assert not attack(model, X, 0.999 * radii).any()
    assert attack(model, X, 12 * radii).any()  # so that the attack can succeed at all


def test_the_radius_of_a_line_is_its_distance(iris):
    X, y = iris
    X, y = X[y > 0], y[y > 0]
    model = sknm.FeedForwardClassifier(activation="identity", **SMALL).fit(X, y)
    w = model.input_weights_ @ model.output_weights_ @ [-1, 1] / model.temperature_
    expected = abs(model.decision_function(X)) / np.linalg.norm(w)
    np.testing.assert_allclose(model.certified_radius(X), expected, rtol=1e-9)
    assert attack(model, X, 1.001 * expected).all()


def test_radii_are_gaps_by_what_the_certificate_tells(model, iris):
    X, _ = iris
    decisions = model.decision_function(X)
    predicted = decisions.argmax(axis=1)
    gaps = decisions.max(axis=1, keepdims=True) - decisions
    pairs = model.certificate_.of_pairs[predicted] + np.diag([np.inf] * 3)[predicted]
    with np.errstate(invalid="ignore"):
        expected = np.where(np.isinf(pairs), np.inf, gaps / pairs).min(axis=1)
    np.testing.assert_allclose(model.certified_radius(X), expected, rtol=1e-5)
    np.testing.assert_array_equal(model.certificate_.of_pairs.diagonal(), 0)


def test_outputs_move_by_no_more_than_is_certified(model, iris):
    X, _ = iris
    rng, x = np.random.default_rng(0), model.encode(X)
    moved = x + rng.normal(size=x.shape) * rng.exponential(size=(len(x), 1))
    y, there = (decide(model, torch.from_numpy(rows)).numpy() for rows in (x, moved))
    distances = np.linalg.norm(moved - x, axis=1)
    certificate = model.certificate_
    assert (
        np.linalg.norm(y - there, axis=1) <= certificate.lipschitz * distances
    ).all()
    assert (abs(y - there) <= certificate.of_outputs * distances[:, None]).all()
    assert certificate.lipschitz == min(certificate.bounds.values())
    assert certificate.bounds["multipliers"] < certificate.bounds["norms"]


@by_name(SOLVED)
def test_what_is_certified_of_all_estimators(estimator, iris):
    X, y = iris
    model = estimator(**SMALL).fit(X, y)
    certificate = model.certificate_
    assert certificate.is_unique
    assert np.isfinite(certificate.lipschitz)
    assert 0 <= certificate.solve_error < 1e-4
    is_cyclic = not model.topology_.is_acyclic
    assert (certificate.margin is not None) == is_cyclic
    if is_cyclic:
        assert certificate.margin >= model.margin - 1e-6
    assert (certificate.of_pairs is None) == estimator.__name__.endswith("Regressor")


def test_predictions_of_regressors_move_in_units_of_the_targets(iris):
    X, _ = iris
    model = sknm.NeuralModuleRegressor(**SMALL).fit(X, X[:, 0])
    other = sknm.NeuralModuleRegressor(**SMALL).fit(X, 1000 * X[:, 0])
    ratio = other.certificate_.lipschitz / model.certificate_.lipschitz
    assert ratio == pytest.approx(1000, rel=1e-2)
    assert not hasattr(model, "certified_radius")


def test_errors_of_node_values_are_taken_off(model, iris, monkeypatch):
    X, _ = iris
    radii = model.certified_radius(X)
    monkeypatch.setattr(Weights, "residuals", lambda *args: np.full(len(X), 1e-3))
    less = model.certified_radius(X)
    assert (less < radii)[radii > 0].all()
    assert (less > 0).any()


def test_squares_have_no_certificate_but_one_solution(iris):
    model = sknm.FreeNetClassifier(activation="squared_relu", **SMALL).fit(*iris)
    certificate = model.certificate_
    assert certificate.is_unique
    assert certificate.lipschitz == np.inf
    np.testing.assert_array_equal(model.certified_radius(iris[0]), 0)


@pytest.mark.filterwarnings("ignore:.*have not converged")
def test_without_a_guarantee_nothing_is_proved(iris):
    X, y = iris
    model = sknm.DEQClassifier(stability=None, **SMALL).fit(X, y)
    assert model.certificate_.is_unique == (model.certificate_.margin > 0)
    with torch.no_grad():
        model.net_.module_.graph.weights.mul_(100)
    certificate = model.certificate_
    assert not certificate.is_unique
    assert certificate.margin < 0
    assert certificate.lipschitz == np.inf
    np.testing.assert_array_equal(model.certified_radius(X), 0)


def test_the_certificate_is_of_the_weights_as_they_are(model, iris):
    X, y = iris
    before = model.certificate_
    assert model.certificate_ is before
    again = pickle.loads(pickle.dumps(model))
    assert again.certificate_.lipschitz == before.lipschitz
    again.partial_fit(X, y)
    assert again.certificate_.lipschitz != before.lipschitz
    smaller = model.drop_modules([0])
    assert smaller.certificate_.lipschitz != before.lipschitz
    assert b"Certificate" not in pickle.dumps(model)


def test_ensembles_and_what_is_not_fitted_have_none(iris):
    with pytest.raises(AttributeError, match="before fit"):
        sknm.DEQClassifier().certificate_  # noqa: B018
    model = sknm.DEQClassifier(n_members=2, **SMALL).fit(*iris)
    assert not hasattr(model, "certificate_")
    with pytest.raises(ValueError, match=r"n_members=2: set n_members=1"):
        model.certified_radius(iris[0])


@by_name([e for e in PUBLIC if isinstance(e, type) and e not in SOLVED])
def test_where_nodes_solve_no_equation_there_is_none(estimator):
    assert not hasattr(estimator, "certificate_")
    assert not hasattr(estimator, "certified_radius")
