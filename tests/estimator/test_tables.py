"""Tables as they come: what each column becomes, and networks that learn from them."""

import datetime
import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from scratchnet.errors import DataError
from scratchnet.estimator import TableClassifier, TableRegressor
from scratchnet.estimator.frames import CATEGORY, DATE, NUMBER, TablePreparation, read_values

RNG = np.random.default_rng(0)
N = 60
DAYS = pd.date_range("2020-01-30", periods=N, freq="D")
QUICK = {"hidden_layer_sizes": (16,), "dropout": 0, "learning_rate_init": 0.01, "random_state": 0}
NUMBERS = RNG.standard_normal(N)
TEXTS = np.array(["red", "green", "blue"], dtype=object)[np.arange(N) % 3]


def with_gaps(values, gap):
    found = list(values)
    found[3] = found[17] = gap
    return found


COLUMNS = {
    "floats": (NUMBERS, NUMBER),
    "float32": (NUMBERS.astype("float32"), NUMBER),
    "float16": (NUMBERS.astype("float16"), NUMBER),
    "integers": (np.arange(N), NUMBER),
    "unsigned": (np.arange(N, dtype="uint8"), NUMBER),
    "huge": (NUMBERS * 1e300, NUMBER),
    "tiny": (NUMBERS * 1e-300, NUMBER),
    "infinite": (with_gaps(NUMBERS, np.inf), NUMBER),
    "gaps": (with_gaps(NUMBERS, np.nan), NUMBER),
    "none-in-numbers": (pd.Series(with_gaps(NUMBERS, None), dtype=object), NUMBER),
    "nullable-integers": (pd.array(with_gaps(range(N), None), dtype="Int64"), NUMBER),
    "nullable-floats": (pd.array(with_gaps(NUMBERS, None), dtype="Float64"), NUMBER),
    "truth": (np.arange(N) % 2 == 0, NUMBER),
    "nullable-truth": (
        pd.array(with_gaps([True, False] * (N // 2), None), dtype="boolean"),
        NUMBER,
    ),
    "decimals": (pd.Series([Decimal(k) / 7 for k in range(N)], dtype=object), NUMBER),
    "durations": (pd.to_timedelta(np.arange(N), unit="h"), NUMBER),
    "constant": (np.full(N, 3.5), NUMBER),
    "all-missing": (np.full(N, np.nan), NUMBER),
    "none-alone": (pd.Series([None] * N, dtype=object), NUMBER),
    "texts": (TEXTS, CATEGORY),
    "texts-with-gaps": (pd.Series(with_gaps(TEXTS, None), dtype=object), CATEGORY),
    "string-dtype": (pd.array(with_gaps(TEXTS, None), dtype="string"), CATEGORY),
    "categorical": (pd.Categorical(with_gaps(TEXTS, None)), CATEGORY),
    "categories-of-numbers": (pd.Categorical(np.arange(N) % 4), CATEGORY),
    "one-text": (np.array(["same"] * N, dtype=object), CATEGORY),
    "many-levels": (np.array([f"id {k}" for k in range(N)], dtype=object), CATEGORY),
    "mixed": (pd.Series([k if k % 2 else f"{k}" for k in range(N)], dtype=object), CATEGORY),
    "bytes": (pd.Series([b"a", b"b"] * (N // 2), dtype=object), CATEGORY),
    "dates": (DAYS, DATE),
    "dates-with-gaps": (pd.Series(with_gaps(DAYS, pd.NaT)), DATE),
    "dates-with-zone": (DAYS.tz_localize("Asia/Seoul"), DATE),
    "python-dates": (pd.Series([d.date() for d in DAYS], dtype=object), DATE),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_kind_is_learnt_from_and_predicted_with(name):
    values, kind = COLUMNS[name]
    X = pd.DataFrame({"column": values, "other": NUMBERS})
    y = (NUMBERS > 0).astype(int)
    with np.errstate(all="raise", under="ignore"):
        network = TableClassifier(**QUICK).fit(X, y)
        p = network.predict_proba(X)
    assert network._preparation.columns[0].kind == kind
    assert np.isfinite(p).all()
    assert network.summary().splitlines()[1].startswith("column")
    prepared = network._preparation.apply(X, "float32")
    assert np.isfinite(prepared).all()
    sizes = network._preparation.sizes
    assert prepared.shape == (N, sizes[0] + sizes[1] + len(sizes[2]))


@pytest.mark.parametrize("name", COLUMNS)
def test_the_page_says_what_becomes_of_a_column_of_any_kind(name):
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    frame = pd.DataFrame({"column": COLUMNS[name][0]})
    _, kind, what = TablePreparation.learn(frame).columns[0].describe()
    start, end = f"| {name.replace('-', ' ')} | ", f" | {kind} | {what} |"
    assert any(row.startswith(start) and row.endswith(end) for row in page.splitlines())


def test_whole_numbers_beyond_all_floats_are_infinite():
    made = prepared([-(10**400), 0, 1, 2, 10**400])
    np.testing.assert_allclose(made[:, 0], [-0.5, -0.5, 0, 0.5, 0.5])


@pytest.mark.parametrize("size", [(0, 2), (5, 0)])
def test_a_table_without_rows_or_columns_is_refused(size):
    with pytest.raises(ValueError, match="Found a table with 0"):
        TableClassifier().fit(pd.DataFrame(np.zeros(size)), np.zeros(size[0]))


@pytest.mark.parametrize("values", [[[1, 2]] * N, [{"a": 1}] * N, [1j] * N, [{1}] * N])
def test_what_no_table_holds_is_refused_by_the_name_of_its_column(values):
    X = pd.DataFrame({"strange": pd.Series(values, dtype=object), "other": NUMBERS})
    with pytest.raises(TypeError, match=r"column 'strange' must hold numbers, texts or dates"):
        TableClassifier(**QUICK).fit(X, NUMBERS > 0)


def prepared(column, later=None):
    frame = pd.DataFrame({"c": column})
    later = frame if later is None else pd.DataFrame({"c": later})
    return TablePreparation.learn(frame).apply(later, "float64")


def test_numbers_are_scaled_by_quartiles_and_stay_in_the_range_of_training():
    made = prepared([0.0, 1, 2, 3, 4], [2, 4, 99, np.inf, -np.inf, np.nan])
    np.testing.assert_allclose(made[:, 0], [0, 1, 1, 1, -1, 0])
    assert made.shape == (6, 1)


def test_a_gap_has_a_flag_where_training_had_gaps():
    made = prepared([0.0, 1, np.nan, 3, 4], [np.nan, 1])
    np.testing.assert_array_equal(made[:, 1], [1, 0])


def test_a_number_loses_nothing_by_its_distance_from_zero():
    times = 1.7e9 + np.arange(100) / 10
    frame = pd.DataFrame({"c": times})
    made = TablePreparation.learn(frame).apply(frame, "float32")
    assert len(np.unique(made)) == 100


def test_categories_have_flags_and_an_unknown_one_has_none():
    made = prepared(["b", "a", "b", None], ["a", "b", None, "c"])
    np.testing.assert_array_equal(made, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_many_categories_are_numbers_by_how_frequent_they_are_and_0_is_unknown():
    levels = [f"l{k}" for k in range(40) for _ in range(40 - k)]
    made = prepared(levels, ["l0", "l39", "new", None])
    np.testing.assert_array_equal(made[:, 0], [1, 40, 0, 0])


def test_numbers_may_be_written_as_texts_of_a_category_later():
    column = pd.Series([1, 2, "x", 1], dtype=object)
    made = prepared(column, [1.0, 2.0])
    np.testing.assert_array_equal(made, [[1, 0, 0], [0, 1, 0]])


def test_a_date_is_days_month_weekday_and_hour():
    kind, seconds = read_values(np.array(["1970-01-01", "2026-11-28T18"], "M8[h]"), "c")
    assert kind == DATE
    frame = pd.DataFrame({"c": pd.to_datetime(["2026-11-28T18", "1970-01-01T00", "2000-02-29T00"])})
    column = TablePreparation.learn(frame).columns[0]
    assert [one.highest for one in column.numbers] == [seconds[1] / 86400, 11, 5, 18]
    assert [one.lowest for one in column.numbers] == [0, 1, 1, 0]


def test_a_date_is_the_same_moment_in_every_zone_and_form():
    moment = datetime.datetime(2026, 11, 28, 9, 30, tzinfo=datetime.UTC)
    forms = [
        np.array(["2026-11-28T09:30"], "M8[ns]"),
        pd.Series([pd.Timestamp(moment).tz_convert("Asia/Seoul")]).to_numpy(),
        np.array([moment], dtype=object),
    ]
    assert {read_values(form, "c")[1][0] for form in forms} == {moment.timestamp()}


def test_another_kind_than_in_training_is_refused():
    network = TableClassifier(**QUICK).fit(pd.DataFrame({"a": NUMBERS, "b": TEXTS}), NUMBERS > 0)
    for column, values in (("a", TEXTS), ("b", DAYS), ("a", DAYS)):
        X = pd.DataFrame({"a": NUMBERS, "b": TEXTS})
        X[column] = values
        with pytest.raises(TypeError, match=f"column '{column}' must hold a .* as in training"):
            network.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        network.predict(pd.DataFrame({"b": NUMBERS, "a": TEXTS}))


def test_categories_that_are_numbers_are_no_numbers():
    made = prepared(pd.Categorical([3, 1, 3, 2]), pd.Categorical([1, 3]))
    np.testing.assert_array_equal(made, [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(prepared(pd.Categorical([3, 1, 3, 2]), [1.0, 3.0]), made)


def test_a_table_is_not_standardized_a_second_time():
    with pytest.raises(TypeError, match="standardize"):
        TableClassifier(standardize="features")


def test_a_refit_forgets_the_columns_of_the_first():
    network = TableClassifier(**QUICK).fit(FRAME, TEXTS)
    network.predict(FRAME)
    network.fit(FRAME[["b"]], TEXTS)
    assert len(network._preparation.columns) == 1
    assert network.score(FRAME[["b"]], TEXTS) == 1


def test_columns_of_one_name_are_columns_each():
    X = pd.DataFrame(np.column_stack([NUMBERS, NUMBERS**2]), columns=["a", "a"])
    network = TableClassifier(**QUICK).fit(X, NUMBERS > 0)
    assert len(network._preparation.columns) == 2
    assert network.predict(X).shape == (N,)
    with pytest.raises(ValueError, match="feature names"):
        network.predict(X.set_axis(["b", "b"], axis=1))


def test_a_table_of_which_nothing_varies_gives_the_share_of_each_class():
    X = pd.DataFrame({"a": np.ones(N), "b": ["same"] * N})
    with pytest.warns(ConvergenceWarning, match="without having learnt"):
        network = TableClassifier(max_iter=100, random_state=0).fit(X, np.arange(N) % 3 == 0)
    assert network.predict_proba(X)[0, 1] == pytest.approx(1 / 3, abs=0.1)


def test_ten_thousand_levels_are_learnt_from():
    ids = np.array([f"id {k}" for k in range(10_000)], dtype=object)
    X, y = pd.DataFrame({"id": ids}), np.arange(10_000) % 2
    network = TableClassifier(**QUICK | {"max_iter": 5}).fit(X, y)
    assert network._network.params["E0"].shape == (10_001, 8)
    assert "10,000 levels" in network.summary()


def test_categories_and_curves_are_learnt():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(
        {
            "area": rng.lognormal(4, 2, 1500),
            "town": rng.choice([f"town {k}" for k in range(15)], 1500),
            "sold": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, 1500), "D"),
        }
    )
    steps = np.sin(3 * X.town.str[5:].astype(int))
    y = 1e6 + 1e5 * (np.minimum(np.log(X.area), 5) + steps + (X.sold.dt.month == 12))
    network = TableRegressor(random_state=0).fit(X[:1000], y[:1000])
    assert network.score(X[1000:], y[1000:]) > 0.95


def test_targets_of_any_scale_are_learnt_alike():
    X, y = load_diabetes(return_X_y=True)
    scores = [
        TableRegressor(random_state=0, dtype="float64")
        .fit(X, factor * y + shift)
        .score(X, factor * y + shift)
        for factor, shift in ((1, 0), (1e-6, 0), (1e6, 1e7))
    ]
    assert min(scores) > 0.5
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TableClassifier(**QUICK).fit(FRAME, TEXTS),
        lambda: TableRegressor(**QUICK).fit(FRAME, NUMBERS),
        lambda: TableRegressor("quantile", **QUICK).fit(FRAME, NUMBERS),
    ],
)
def test_it_is_saved_pickled_and_made_again(make, tmp_path):
    network = make()
    network.save(tmp_path / "net.npz")
    for other in (
        type(network).load(tmp_path / "net.npz"),
        pickle.loads(pickle.dumps(network)),
        clone(network).fit(FRAME, TEXTS if hasattr(network, "classes_") else NUMBERS),
    ):
        np.testing.assert_array_equal(other.predict(FRAME), network.predict(FRAME))
        assert other.summary() == network.summary()


FRAME = pd.DataFrame(
    {
        "a": with_gaps(NUMBERS, np.nan),
        "b": TEXTS,
        "c": DAYS,
        "d": [f"id {k % 30}" for k in range(N)],
    }
)


def test_a_file_with_other_columns_is_refused(tmp_path):
    from scratchnet.storage.archive import read_archive, write_archive

    TableClassifier(**QUICK).fit(FRAME, TEXTS).save(tmp_path / "net.npz")
    arrays, header = read_archive(tmp_path / "net.npz")
    for change in (
        lambda columns: columns.pop(),
        lambda columns: columns[0].pop("kind"),
        lambda columns: columns[0].update(kind="none"),
        lambda columns: columns.append(1),
        lambda columns: columns.clear(),
    ):
        other = {**header, "preparation": {**header["preparation"]}}
        other["preparation"]["table"] = pickle.loads(pickle.dumps(header["preparation"]["table"]))
        change(other["preparation"]["table"])
        write_archive(tmp_path / "other.npz", arrays, other)
        with pytest.raises(DataError):
            TableClassifier.load(tmp_path / "other.npz")


def test_quantiles_and_intervals_are_in_the_units_of_y():
    X, y = load_diabetes(return_X_y=True)
    network = TableRegressor("quantile", random_state=0).fit(X[:300], y[:300])
    low, high = network.predict_interval(X[300:]).T
    assert 0.75 < ((low <= y[300:]) & (y[300:] <= high)).mean() <= 1
    assert 20 < (high - low).mean() < 400


@pytest.mark.parametrize("scoring", ["loss", "balanced_accuracy", "neg_log_loss"])
def test_early_stopping_may_go_by_any_scorer(scoring):
    network = TableClassifier(scoring=scoring, **QUICK).fit(FRAME, TEXTS)
    assert len(network.validation_scores_) == network.n_iter_


def test_training_goes_on_where_it_ended():
    whole = TableClassifier(**QUICK | {"early_stopping": False, "schedule": "constant"})
    whole.set_params(max_iter=6).fit(FRAME, TEXTS)
    parts = clone(whole).set_params(max_iter=3, warm_start=True).fit(FRAME, TEXTS).fit(FRAME, TEXTS)
    np.testing.assert_array_equal(parts.predict_proba(FRAME), whole.predict_proba(FRAME))
    by_calls = TableClassifier(**QUICK)
    for _ in range(3):
        by_calls.partial_fit(FRAME, TEXTS, classes=np.unique(TEXTS))
    assert by_calls.predict(FRAME).shape == (N,)


def test_it_goes_through_validation_and_lists_are_tables():
    X, y = load_wine(return_X_y=True)
    assert cross_val_score(TableClassifier(random_state=0), X, y, cv=3).mean() > 0.93
    rows = [[k, "abc"[k % 3]] for k in range(30)]
    network = TableClassifier(**QUICK).fit(rows, [k % 3 for k in range(30)])
    assert [one.kind for one in network._preparation.columns] == [NUMBER, CATEGORY]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [TableClassifier(), TableRegressor()], ids=repr)
def test_scikit_learns_checks_pass(estimator):
    checks = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = [(c["check_name"], str(c["exception"])) for c in checks if c["status"] == "failed"]
    assert failed == []
