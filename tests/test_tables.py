"""Tables as people have them: every estimator takes frames as they are."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy import sparse
from sklearn.base import clone
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import sknm
from sknm.encoding import columns as columns_module
from sknm.encoding import sample

N = 300


def draw():
    """Draw a frame with columns of all kinds, and targets that depend on them."""
    rng = np.random.default_rng(0)
    age, income = rng.normal(40, 10, N), np.exp(rng.normal(8, 2, N))
    job = rng.choice(["clerk", "nurse", "smith"], N).astype(object)
    level = pd.Categorical(
        rng.choice(["low", "mid", "top"], N), ["low", "mid", "top"], ordered=True
    )
    table = pd.DataFrame(
        {
            "age": np.where(np.arange(N) % 7, age, np.nan),
            "income": income,
            "job": pd.Series(job).where(np.arange(N) % 11 > 0, None),
            "town": pd.Categorical(rng.choice([f"town{k}" for k in range(40)], N)),
            "level": level,
            "member": rng.random(N) < 0.5,
            "children": pd.array(rng.integers(0, 4, N), dtype="Int64"),
            "constant": 7,
        }
    )
    y = (age > 40) ^ (job == "clerk")
    return table, y.astype(int)


@pytest.fixture
def data():
    return draw()


@pytest.fixture
def numbers():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N, 4))
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)


def make(estimator, **parameters):
    defaults = {"n_nodes": 8, "max_iter": 3, "random_state": 0}
    return estimator(**defaults | parameters)


def same(found, expected):
    np.testing.assert_array_equal(found, expected)


# What goes in.


def test_tags_tell_what_is_taken(every_estimator):
    tags = get_tags(every_estimator()).input_tags
    assert tags.allow_nan
    assert tags.categorical
    assert tags.string
    assert tags.sparse


@pytest.mark.sweep(3)
@pytest.mark.parametrize("embedding", [None, "piecewise", "periodic"])
def test_a_frame_goes_in_as_it_is(every_estimator, data, answers, embedding):
    table, y = data
    model = make(every_estimator, numerical_embedding=embedding)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(table, y, X_val=table[:50], y_val=y[:50])
    assert np.isfinite(answers(model, table)).all()
    assert model.n_features_in_ == len(table.columns)
    same(model.feature_names_in_, table.columns)
    names = model.encoding_.get_feature_names_out()
    assert len(set(names)) == len(names) == len(model.input_weights_)
    same(model.encode(table).shape, (N, len(names)))
    owners = table.columns[model.encoding_.get_feature_indices()]
    assert all(map(str.startswith, names, owners))
    assert set(owners) == set(table.columns)


@pytest.mark.sweep(2)
def test_libraries_of_frames_make_no_difference(every_estimator, data, answers):
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    table, y = data
    table = table.drop(columns="level")  # whose order polars knows by another type
    model = make(every_estimator).fit(table, y)
    for other in (
        polars.from_pandas(table),
        pyarrow.Table.from_pandas(table),
        table.convert_dtypes(dtype_backend="pyarrow"),
        table.convert_dtypes(),
    ):
        same(answers(model, other), answers(model, table))
        again = make(every_estimator).fit(other, y)
        same(answers(again, table), answers(model, table))


def test_arrays_of_objects_are_tables_without_names(every_estimator, data, answers):
    table, y = data
    table = table.astype({"level": str, "town": str})
    objects = table.astype(object).to_numpy()
    model = make(every_estimator).fit(objects, y)
    expected = make(every_estimator).fit(table, y)
    same(answers(model, objects), answers(expected, table))
    rows = np.where(table.isna(), None, objects).tolist()
    model = make(every_estimator).fit(rows, y)
    same(answers(model, rows), answers(expected, table))
    assert model.encoding_.get_feature_names_out()[0] == "x0"


def test_numbers_in_frames_are_those_in_arrays(every_estimator, numbers, answers):
    X, y = numbers
    for dtype in (np.float32, np.float64):
        model = make(every_estimator).fit(X.astype(dtype), y)
        table = pd.DataFrame(X.astype(dtype), columns=list("abcd"))
        other = make(every_estimator).fit(table, y)
        same(answers(other, table), answers(model, X.astype(dtype)))
        assert other.input_weights_.dtype == model.input_weights_.dtype


@pytest.mark.sweep(3)
@pytest.mark.parametrize("given", [[1, 3], [-3, 3], [False, True, False, True]])
def test_users_may_say_which_columns_are_categories(every_estimator, given, answers):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (N, 4)).astype(float)
    y = (X[:, 1] % 2).astype(int)
    model = make(every_estimator, categorical_features=given).fit(X, y)
    kinds = [column.kind for column in model.encoding_.columns]
    assert kinds == ["number", "category", "number", "category"]
    table = pd.DataFrame(X, columns=list("abcd"))
    other = make(every_estimator, categorical_features=["b", "d"]).fit(table, y)
    same(answers(other, table), answers(model, X))
    assert "b_3" in other.encoding_.get_feature_names_out()


def test_categories_of_one_type_only_are_told_by_it(data):
    table, y = data
    model = make(sknm.FeedForwardClassifier, categorical_features=["job"])
    with pytest.raises(ValueError, match=r"'town' of X holds categories.*from_dtype"):
        model.fit(table, y)
    numbers = table[["age", "income", "children", "member"]]
    model = make(sknm.FeedForwardClassifier, categorical_features=None)
    model.fit(numbers, y)
    assert {column.kind for column in model.encoding_.columns} == {"number"}


# What becomes of it.


def test_scales_of_columns_make_no_difference(every_estimator, numbers):
    X, y = numbers
    scales = 10.0 ** np.array([-6, 6, 3, -2])
    model, other = make(every_estimator), make(every_estimator)
    model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.fit(X * scales, y)
    close = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(other.encode(X * scales), model.encode(X), **close)
    np.testing.assert_allclose(
        other.node_values(X * scales), model.node_values(X), **close
    )


@pytest.mark.sweep(2)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outliers_leave_no_solve_open(every_estimator, numbers, dtype):
    X, y = numbers[0].astype(dtype), numbers[1]
    X[::10] *= 50
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(every_estimator, n_nodes=30, max_iter=10).fit(X, y)
        model.predict(1e6 * X)
    assert model.solver_stats_["unconverged"] == 0


def test_without_a_scale_numbers_enter_as_they_are(every_estimator, numbers):
    X, y = numbers
    plain = {"scale": None, "numerical_embedding": None}
    model = make(every_estimator, **plain).fit(X, y)
    same(model.encode(X), X)
    scarce = sparse.csr_array(np.where(X > 1, X, 0))
    same(make(every_estimator).fit(scarce, y).encode(scarce), scarce.toarray())


def test_weights_of_rows_count_for_scales(every_estimator, numbers):
    X, y = numbers
    weights = np.arange(N) % 3
    model = make(every_estimator, numerical_embedding=None)
    encoded = model.fit(X, y, sample_weight=weights).encode(X)
    repeated = model.fit(X.repeat(weights, 0), y.repeat(weights)).encode(X)
    np.testing.assert_allclose(encoded, repeated, atol=1e-9)


def test_columns_without_information_do_no_harm(every_estimator, numbers, answers):
    X, y = numbers
    empty = np.full((N, 1), np.nan)
    table = np.hstack([X, empty, np.ones((N, 1))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(every_estimator, numerical_embedding="piecewise").fit(table, y)
        assert np.isfinite(answers(model, table)).all()
    table[:, 4:] = 5  # where there was nothing, nothing was learned
    expected = answers(model, table)
    table[:, 4:] = np.nan
    same(answers(model, table), expected)


def test_gaps_have_an_input_where_they_occur(every_estimator, data, answers):
    table, y = data
    names = make(every_estimator).fit(table, y).encoding_.get_feature_names_out()
    missing = [name for name in names if name.endswith("missing")]
    assert missing == ["age_missing", "job_missing"]


def test_gaps_at_predict_only_are_the_mean_or_the_median(every_estimator, data):
    table, y = data
    table = table.dropna()
    model = make(every_estimator, numerical_embedding=None)
    model.fit(table, y[table.index])
    gaps = pd.DataFrame(None, table.index, table.columns, dtype=object)
    same(model.encode(gaps), 0)
    plain = make(every_estimator, scale=None, numerical_embedding=None)
    plain.fit(table[["age"]], y[table.index])
    same(plain.encode(gaps[["age"]]), np.median(table["age"]))


def test_unseen_categories_are_the_mean_or_the_rare(every_estimator, data, answers):
    table, y = data
    model = make(every_estimator).fit(table, y)
    own = model.encoding_.get_feature_indices() == 2
    other = table.assign(job="pilot")
    same(model.encode(other)[:, own], 0)
    assert np.isfinite(answers(model, other)).all()
    rare = table.copy()
    rare.loc[[0, 1], "job"] = ["judge", "clown"]
    model = make(every_estimator).fit(rare, y)
    assert "job_other" in model.encoding_.get_feature_names_out()
    own = model.encoding_.get_feature_indices() == 2
    found, known = model.encode(other)[:, own], model.encode(rare)[:, own]
    same(found, np.tile(known[0], (N, 1)))
    same(known[0], known[1])


def test_inputs_of_a_urn_have_the_places_of_their_features(data):
    table, y = data
    positions = np.arange(2.0 * len(table.columns)).reshape(-1, 2)
    model = make(sknm.URNClassifier, feature_positions=positions).fit(table, y)
    places = positions[model.encoding_.get_feature_indices()]
    same(model.node_positions_[: len(places)], places)


def test_what_became_of_columns_can_be_read(data):
    table, y = data
    model = make(sknm.FeedForwardClassifier, numerical_embedding="piecewise")
    text = repr(model.fit(table, y).encoding_)
    assert text.startswith("8 columns, ")
    for line in (
        "  age       number + learned function + missing",
        "  job       3 values, one-hot + missing",
        "  level     rank + learned function + 3 values, one-hot",
        "  member    two values",
        "  constant  constant",
    ):
        assert line in text.splitlines()
    assert "\n  town      learned vectors of 8 for " in text


def test_numbers_that_are_categories_may_come_in_an_array(every_estimator, numbers):
    X, y = numbers
    codes = np.array([30, 4, 50])[np.arange(N) % 3]
    table = pd.DataFrame({"a": pd.Categorical(codes), "b": X[:, 0]})
    model = make(every_estimator, early_stopping=True)
    array = np.column_stack([codes, X[:, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of arrays that have no names
        model.fit(table, y, X_val=array, y_val=y)
        same(model.encode(array), model.encode(table))
        with pytest.raises(ValueError, match=r"X is sparse.*toarray"):
            model.predict(sparse.csr_array(array))


def test_every_row_tells_categories_and_gaps(monkeypatch):
    for name, value in (("MOST_ROWS", 50), ("LEAST_ROWS", 10), ("CHUNK_ROWS", 64)):
        monkeypatch.setattr(sample, name, value)
    monkeypatch.setattr(sample, "MOST_VALUES", 100)
    label = np.array(["a", "b"] * 100, dtype=object)
    label[:3] = "c"
    number = np.where(np.arange(200) == 3, np.nan, np.arange(200) % 2)
    table = pd.DataFrame({"label": label, "number": number})
    model = make(sknm.FeedForwardClassifier).fit(table, label == "b")
    names = model.encoding_.get_feature_names_out().tolist()
    assert names == ["number", "number_missing", "label_a", "label_b", "label_c"]


@pytest.mark.parametrize(
    "levels", [["a", 1], [0, "a", 1], ["unknown", 1, 2], [1.5, "b"], [(1, "a"), "b"]]
)
def test_categories_may_be_of_several_types(levels):
    values = [levels[-1], levels[-2], None] * 20
    table = pd.DataFrame({"a": pd.Categorical(values, levels)})
    model = make(sknm.FeedForwardClassifier).fit(table, [0, 1, 0] * 20)
    expected = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]) - 1 / 3
    found = np.sort(np.abs(model.encode(table[:3])), axis=1)
    np.testing.assert_allclose(found, np.sort(np.abs(expected), axis=1))


def test_dictionaries_of_arrow_are_categories(numbers):
    pyarrow, (X, y) = pytest.importorskip("pyarrow"), numbers
    words = pd.Series(np.where(X[:, 0] > 0, "a", "b"))
    kind = pd.ArrowDtype(pyarrow.dictionary(pyarrow.int8(), pyarrow.string()))
    plain, coded = words.to_frame("w"), words.astype(kind).to_frame("w")
    model = make(sknm.FeedForwardClassifier).fit(coded, y)
    same(model.encode(coded), model.encode(plain))
    assert model.encoding_.columns[0].levels == ("a", "b")


def test_text_without_values_is_text(every_classifier):
    empty = pd.DataFrame({"s": pd.array([pd.NA] * 20, dtype="string"), "x": range(20)})
    later = empty.assign(s=pd.array(["a", "b"] * 10, dtype="string"))
    model = make(every_classifier).partial_fit(empty, [0, 1] * 10, classes=[0, 1])
    model.partial_fit(later, [0, 1] * 10)
    same(model.encode(later)[:, 1], 0)


def test_categories_are_told_by_all_digits(numbers):
    large = np.array([2**60, 2**60 + 1] * 20)
    for X in (large[:, None], pd.DataFrame({"a": large})):
        model = make(sknm.FeedForwardClassifier, categorical_features=[0])
        codes = model.fit(X, [0, 1] * 20).encode(X)
        assert len(set(codes[:, 0])) == 2
    X = np.array([[0.1], [0.2], [0.3]] * 20)
    model = make(sknm.FeedForwardClassifier, categorical_features=[0])
    model.fit(X, [0, 1, 0] * 20)
    same(model.encode(X.astype(np.float32)), model.encode(X))


def test_masks_of_any_type_are_masks():
    X = np.random.default_rng(0).integers(0, 4, (N, 3)).astype(float)
    for mask in ([False, True, False], np.array([False, True, False], dtype=object)):
        model = make(sknm.FeedForwardClassifier, categorical_features=mask)
        model.fit(X, np.arange(N) % 2)
        kinds = [column.kind for column in model.encoding_.columns]
        assert kinds == ["number", "category", "number"]


@pytest.mark.parametrize(
    "X", [np.array([[b"1.5"], [b"2"]] * 20), np.ma.array([[1.5], [2]] * 20)]
)
def test_numbers_in_other_arrays_are_numbers(X):
    model = make(sknm.FeedForwardClassifier).fit(X, [0, 1] * 20)
    assert model.encoding_.columns[0].kind == "number"
    if isinstance(X, np.ma.MaskedArray):
        X[0] = np.ma.masked
        same(model.encode(X)[0], 0)


# What lasts.


@pytest.mark.sweep(3)
@pytest.mark.parametrize("embedding", [None, "piecewise", "periodic"])
def test_copies_encode_and_go_on_alike(every_estimator, data, answers, embedding):
    table, y = data
    model = make(every_estimator, numerical_embedding=embedding)
    first = {"classes": [0, 1]} if hasattr(model, "predict_proba") else {}
    model.partial_fit(table, y, **first)
    dumped = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=dumped)
    assert all(name.startswith(("sknm.", "builtins.")) for name in trusted)
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        skops.io.loads(dumped, trusted=trusted),
    ]
    expected = answers(model, table)
    for other in copies:
        same(answers(other, table), expected)
        same(other.encode(table), model.encode(table))
    model.partial_fit(table, y)
    for other in copies:
        other.partial_fit(table, y)
        same(answers(other, table), answers(model, table))


def test_sparsified_models_encode_as_before(every_estimator, data, answers):
    table, y = data
    model = make(every_estimator, numerical_embedding="piecewise").fit(table, y)
    expected = answers(model, table)
    model.sparsify()
    np.testing.assert_allclose(answers(model, table), expected, atol=1e-6)


def test_a_new_fit_learns_the_columns_anew(every_estimator, data, numbers, answers):
    model = make(every_estimator).fit(*data)
    model.fit(*numbers)
    expected = clone(model).fit(*numbers)
    same(answers(model, numbers[0]), answers(expected, numbers[0]))
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", None),
        ("numerical_embedding", "periodic"),
        ("categorical_features", ["children"]),
    ],
)
def test_encodings_cannot_change_while_a_network_goes_on(
    every_estimator, data, answers, name, value
):
    table, y = data
    table = table[["age", "income", "children"]]
    model = make(every_estimator, warm_start=True).fit(table, y)
    expected = answers(model, table)
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"{name}=.*warm_start=False"):
        model.fit(table, y)
    same(answers(model, table), expected)
    model.set_params(warm_start=False).fit(table, y)


def test_dates_and_text_are_for_a_transformer_before(data):
    skrub = pytest.importorskip("skrub")
    table, y = data
    words = np.where(y == 1, "good", "bad")
    table = table.assign(
        day=pd.date_range("2026-01-01", periods=N),
        text=[f"row {k} is a {word} one" for k, word in enumerate(words)],
    )
    model = make_pipeline(
        skrub.TableVectorizer(low_cardinality="passthrough"),
        make(sknm.FeedForwardClassifier, max_iter=60),
    )
    assert model.fit(table, y).score(table, y) > 0.9
    kinds = {c.name: c.kind for c in model[-1].encoding_.columns}
    assert kinds["job"] == "category"
    assert kinds["day_year"] == "number"


def test_tools_of_scikit_learn_take_frames(data):
    table, y = data
    model = make(sknm.NeuralModuleClassifier, max_iter=60).fit(table, y)
    found = permutation_importance(model, table, y, n_repeats=2, random_state=0)
    assert found.importances_mean[[0, 2]].min() > found.importances_mean[7]


# What is refused.


def refused(estimator, table, y, match, error=ValueError):
    model = make(estimator)
    with pytest.raises(error, match=match):
        model.fit(table, y)
    assert not hasattr(model, "net_")
    assert not hasattr(model, "encoding_")


@pytest.mark.sweep(5)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="age"), "age"),
        (lambda t: t.assign(new=1), "new"),
        (lambda t: t[t.columns[::-1]], "same order"),
        (lambda t: t.rename(columns={"age": "job"}), "several columns named 'job'"),
        (lambda t: t.assign(age="old"), "'age' of X holds text, but held numbers in"),
        (lambda t: t.assign(job=1.5), "'job' of X holds numbers, but held text in fit"),
        (lambda t: t.assign(town=1.5), "'town' of X holds numbers, but held text"),
        (lambda t: t.assign(income=np.inf), "infinity"),
        (lambda t: t.assign(age=pd.Timestamp("2026-01-01")), "'age' of X holds dates"),
        (lambda t: np.ones(t.shape), "'job' of X holds numbers, but held text in fit"),
    ],
)
def test_another_table_is_refused(every_estimator, data, answers, change, message):
    table, y = data
    model = make(every_estimator, warm_start=True).fit(table, y)
    expected, other = answers(model, table), change(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of arrays that have no names
        for call in (model.predict, model.node_values, model.encode):
            with pytest.raises(ValueError, match=message):
                call(other)
        for call in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match=message):
                call(other, y)
    same(answers(model, table), expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.date_range("2026-01-01", periods=N), r"dates or times.*TableVectorizer"),
        (pd.timedelta_range("1 day", periods=N), r"dates or times.*DatetimeEncoder"),
        (pd.period_range("2026", periods=N), r"type period.*neither numbers nor"),
        (["a", 1.5] * (N // 2), r"numbers and text, such as 'a'.*to_numeric"),
        ([1j] * N, "Complex data not supported"),
        ([np.inf] * N, "infinity"),
        (
            [f"the text of row {k} of them" for k in range(N)],
            r"holds text.*StringEncoder.*TfidfVectorizer",
        ),
    ],
)
def test_columns_of_no_use_are_refused(every_estimator, data, values, message):
    table, y = data
    refused(every_estimator, table.assign(new=values), y, f"(?s){message}")


def test_too_many_categories_are_refused(every_estimator, data, monkeypatch):
    table, y = data
    monkeypatch.setattr(columns_module, "MOST_CATEGORIES", 50)
    names = [f"row{k}" for k in range(N)]
    message = rf"'id' of X has {N} categories, more than 50.*Leave it out"
    refused(every_estimator, table.assign(id=names), y, message)


@pytest.mark.slow
def test_a_million_categories_are_refused_at_once():
    n = 10**6
    table = pd.DataFrame({"x": np.zeros(n), "id": np.arange(n).astype(str)})
    message = "'id' of X has 1000000 categories, more than 10000"
    refused(sknm.FeedForwardClassifier, table, np.arange(n) % 2, message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["height"], "names 'height', but X has no such feature; it has age, income"),
        ([8], "holds 8, but X has 8 features"),
        ([1.5], "holds 1.5, but X has 8 features"),
        ([True, False], "a mask of 2 entries, but X has 8 features"),
    ],
)
def test_categories_that_are_not_there_are_refused(data, given, message):
    table, y = data
    model = make(sknm.DAGClassifier, categorical_features=given)
    with pytest.raises(ValueError, match=message):
        model.fit(table, y)


def test_targets_with_gaps_are_refused(every_estimator, data):
    table, y = data
    y = np.where(np.arange(N) % 5, y, np.nan)
    refused(every_estimator, table, y, "Input y contains NaN")


def test_sparse_rows_are_not_embedded(every_estimator, numbers):
    X, y = sparse.csr_array(numbers[0]), numbers[1]
    model = make(every_estimator, categorical_features=[0])
    with pytest.raises(ValueError, match=r"Sparse X stays as it is.*toarray"):
        model.fit(X, y)
    model = make(every_estimator).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        model.predict(pd.DataFrame(X.toarray()).where(lambda t: t < 1))
    X.data[0] = np.nan
    refused(every_estimator, X, y, "NaN")


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pd.DataFrame(index=range(N)), ValueError, r"0 feature\(s\)"),
        (np.empty((N, 0), dtype=object), ValueError, r"0 feature\(s\)"),
        (pd.DataFrame({"a": ["b"] * N})[:0], ValueError, r"0 sample\(s\)"),
    ],
)
def test_tables_without_anything_are_refused(table, error, message):
    refused(sknm.FeedForwardClassifier, table, np.arange(N) % 2, message, error)
