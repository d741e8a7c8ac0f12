"""Search spaces: what they hold, that searches take them, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import (
    HalvingRandomSearchCV,
    ParameterSampler,
    RandomizedSearchCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknm import (
    FeedForwardClassifier,
    FreeNetClassifier,
    NeuralModuleClassifier,
    NeuralModuleRegressor,
    URNClassifier,
    search_space,
)

BUDGETS = [1, 8, 20, 40, 100, 1000]


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def described(distribution):
    return distribution if isinstance(distribution, list) else distribution.support()


def is_inside(value, distribution):
    if isinstance(distribution, list):
        return value in distribution
    low, high = distribution.support()
    return low <= value <= high


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_candidate_is_a_valid_setting(every_estimator, budget):
    model = every_estimator()
    space = search_space(model, budget)
    for candidate in ParameterSampler(space, 50, random_state=0):
        # What fit looks at first: ranges, and combinations that can't work.
        model.set_params(**candidate)._validate_params()
        model._check_parameters()


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_settings_of_the_estimator_are_inside(every_estimator, budget):
    parameters = every_estimator().get_params()
    for name, distribution in search_space(every_estimator, budget).items():
        assert is_inside(parameters[name], distribution), name


def test_a_class_has_the_space_of_its_defaults(every_estimator):
    of_class = search_space(every_estimator)
    of_instance = search_space(every_estimator())
    assert list(of_class) == list(of_instance)
    for name, distribution in of_class.items():
        assert described(distribution) == described(of_instance[name])


def test_more_candidates_never_search_less(every_estimator):
    spaces = [search_space(every_estimator, budget) for budget in BUDGETS]
    assert len(spaces[0]) >= 1
    assert len(spaces[-1]) > len(spaces[0])
    for few, many in pairwise(spaces):
        assert few.keys() <= many.keys()
        for name, distribution in few.items():
            if isinstance(distribution, list):
                assert set(distribution) <= set(many[name]), name
            else:
                low, high = distribution.support()
                assert many[name].support()[0] <= low, name
                assert many[name].support()[1] >= high, name


def test_ranges_lie_around_what_the_estimator_has():
    narrow = search_space(NeuralModuleClassifier(learning_rate_init=1e-4))
    low, high = narrow["learning_rate_init"].support()
    assert low < 1e-4 < high < 0.01
    sizes = search_space(NeuralModuleClassifier(n_nodes=1000), 100)["n_nodes"]
    assert 1000 in sizes
    assert max(sizes) > 1000 > min(sizes)


def test_what_has_no_meaning_is_not_searched():
    everything = 1000
    without = search_space(NeuralModuleClassifier(stability=None), everything)
    assert "margin" not in without
    dense = search_space(NeuralModuleClassifier(init="dense"), everything)
    assert "module_size" not in dense
    layers = search_space(
        FeedForwardClassifier(hidden_layer_sizes=(50, 50)), everything
    )
    assert "n_nodes" not in layers
    layers = search_space(FreeNetClassifier(rule="coactivation"), everything)
    assert "activation" not in layers
    assert "activation" in search_space(NeuralModuleClassifier, everything)
    batches = search_space(NeuralModuleClassifier(optimizer="lbfgs"), everything)
    assert "learning_rate_init" not in batches
    numbers = search_space(NeuralModuleClassifier(numerical_embedding=None), everything)
    assert "numerical_embedding" not in numbers
    assert "label_smoothing" not in search_space(NeuralModuleRegressor, everything)


def test_few_candidates_differ_in_something():
    """L-BFGS has no learning rate, which else is the first to be searched."""
    assert search_space(NeuralModuleClassifier(optimizer="lbfgs"), 1)


def test_only_what_is_searched_differs_between_candidates():
    """Seeds, devices and threads are the user's."""
    never = {"random_state", "device", "n_jobs", "verbose", "warm_start", "callbacks"}
    for family in (NeuralModuleClassifier, URNClassifier):
        assert never.isdisjoint(search_space(family, 1000))


def test_pipelines_and_wrappers_give_names_with_a_prefix(every_classifier):
    plain = search_space(every_classifier)
    pipeline = make_pipeline(StandardScaler(), every_classifier())
    step = every_classifier.__name__.lower()
    assert list(search_space(pipeline)) == [f"{step}__{name}" for name in plain]
    wrapped = CalibratedClassifierCV(every_classifier())
    assert list(search_space(wrapped)) == [f"estimator__{name}" for name in plain]


def test_prefixes_are_those_of_set_params():
    inner = make_pipeline(StandardScaler(), NeuralModuleRegressor())
    model = TransformedTargetRegressor(inner)
    space = search_space(model, 100)
    assert space
    for candidate in ParameterSampler(space, 5, random_state=0):
        model.set_params(**candidate)
        name = "regressor__neuralmoduleregressor__learning_rate_init"
        rate = inner[-1].learning_rate_init
        assert rate == candidate[name]


def test_a_selector_of_features_before_is_no_matter():
    """An estimator of sknm in an earlier step is not what is searched."""
    selector = SelectFromModel(NeuralModuleClassifier())
    pipeline = make_pipeline(selector, URNClassifier())
    assert all(name.startswith("urnclassifier__") for name in search_space(pipeline))


def small(family):
    return family(n_nodes=10, max_iter=2, random_state=0)


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
def test_a_random_search_takes_it(iris, every_classifier):
    X, y = iris
    model = small(every_classifier)
    space = search_space(model, budget=4)
    search = RandomizedSearchCV(
        model, space, n_iter=3, cv=2, random_state=0, error_score="raise"
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    rates = {p["learning_rate_init"] for p in search.cv_results_["params"]}
    assert len(rates) == 3


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
def test_a_halving_search_takes_it():
    X, y = make_regression(120, 5, random_state=0)
    model = make_pipeline(StandardScaler(), small(NeuralModuleRegressor))
    search = HalvingRandomSearchCV(
        model,
        search_space(model, budget=100),
        n_candidates=4,
        min_resources=40,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_iterations_ == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore:No edge between nodes is left")
def test_epochs_may_be_what_is_halved(iris):
    """`max_iter` is left to the search, as its resource."""
    X, y = iris
    model = small(NeuralModuleClassifier)
    search = HalvingRandomSearchCV(
        model,
        search_space(model, budget=1000),
        resource="max_iter",
        max_resources=4,
        min_resources=2,
        n_candidates=2,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_resources_ == [2, 4]


def test_distributions_are_frozen_or_lists(every_estimator):
    """What other libraries can read, with a name and bounds."""
    for distribution in search_space(every_estimator, 1000).values():
        if isinstance(distribution, list):
            assert len(distribution) > 1
            assert len({*distribution}) == len(distribution)
        else:
            assert distribution.dist.name in {"uniform", "loguniform"}
            low, high = distribution.support()
            assert low < high


@pytest.mark.parametrize("budget", [True, 2.5, "many", None])
def test_a_budget_is_a_number_of_candidates(budget):
    with pytest.raises(TypeError, match=r"budget=.*must be an int.*n_iter"):
        search_space(NeuralModuleClassifier, budget)


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_is_positive(budget):
    with pytest.raises(ValueError, match=f"budget={budget} must be at least 1"):
        search_space(NeuralModuleClassifier, budget)


@pytest.mark.parametrize(
    "other",
    [
        RandomForestClassifier(),
        RandomForestClassifier,
        make_pipeline(NeuralModuleClassifier(), RandomForestClassifier()),
        CalibratedClassifierCV(RandomForestClassifier()),
        "NeuralModuleClassifier",
        None,
    ],
    ids=["estimator", "class", "last step", "wrapper", "name", "None"],
)
def test_what_is_no_estimator_of_sknm_is_refused(other):
    with pytest.raises(TypeError, match="neither is an estimator of sknm nor holds"):
        search_space(other)


def test_several_estimators_are_refused():
    votes = VotingClassifier(
        [("modules", NeuralModuleClassifier()), ("urn", URNClassifier())]
    )
    with pytest.raises(ValueError, match="several estimators of sknm, modules, urn"):
        search_space(votes)
