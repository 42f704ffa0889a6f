"""What use and attack broke in the estimators, each a case of a kind, beside scikit-learn's."""

import datetime
import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from scratchnet.errors import DataError, DivergenceError, ScratchnetError, ShapeError
from scratchnet.estimator import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
IRIS, KIND = datasets.load_iris(return_X_y=True)
SCALED = StandardScaler().fit_transform(IRIS)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)
FEATURES = StandardScaler().fit_transform(DIABETES)
LEVEL = (PROGRESS - PROGRESS.mean()) / PROGRESS.std()


def classify(**options):
    return MLPClassifier(**{"max_iter": 5, "random_state": 0, **options})


def weights_of(estimator):
    return np.concatenate([w.ravel() for w in (*estimator.coefs_, *estimator.intercepts_)])


# Weights


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("factor", [1e-300, 1e-6, 0.1, 3, 1000.0, 1e6, 1e300])
def test_b1_weights_count_by_their_ratios_alone(factor, early_stopping):
    rng = np.random.default_rng(0)
    w = rng.integers(1, 6, len(IRIS))
    kinds = {"batch_size": 20, "early_stopping": early_stopping}
    plain, scaled = (classify(**kinds).fit(IRIS, KIND, v) for v in (w, w * factor))
    assert scaled.n_iter_ == plain.n_iter_
    np.testing.assert_allclose(scaled.loss_curve_, plain.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(weights_of(scaled), weights_of(plain), rtol=1e-6, atol=1e-9)


def test_b1_whole_weights_are_no_repetitions_to_be_trained_on_one_by_one():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(500, 4)), rng.integers(0, 2, 500), rng.integers(500, 5000, 500)
    steps = []
    for weights in (w, w + 1e-9, None):
        fitted = classify().fit(x, y, weights)
        steps.append(max(fitted._optimizer.steps.values()))
        assert fitted.t_ == 5 * 500
    assert steps == [15, 15, 15]
    near = [classify().fit(x, y, v).loss_ for v in (w, w * (1 + 1e-9))]
    assert near[0] == pytest.approx(near[1], rel=1e-6)


# Large targets, L-BFGS, and fits that have learnt nothing


@pytest.mark.parametrize(
    "y", [PROGRESS * 1e7, PROGRESS / 1e7, (LEVEL + 1000) * 1e6, LEVEL], ids=str
)
def test_b2_lbfgs_is_as_good_as_scikit_learns_whatever_the_scale_of_y(y):
    make = {"solver": "lbfgs", "max_iter": 200, "random_state": 0}
    ours, theirs = (k(**make).fit(FEATURES, y) for k in (MLPRegressor, TheirRegressor))
    assert ours._network.dtype == "float64"
    reached = theirs.score(FEATURES, y)
    assert ours.score(FEATURES, y) >= reached - 0.02 * max(1, abs(reached))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_fun": 5}, "EVALUATIONS EXCEEDS LIMIT; raise max_iter .* or max_fun"),
        ({"max_iter": 3}, "ITERATIONS REACHED LIMIT; raise max_iter"),
    ],
)
def test_b2_an_early_end_of_lbfgs_says_why(options, words):
    with pytest.warns(ConvergenceWarning, match=words):
        MLPRegressor(solver="lbfgs", random_state=0, **options).fit(FEATURES, LEVEL)


@pytest.mark.parametrize(
    ("make", "y", "words"),
    [
        (MLPRegressor(dtype="float32", max_iter=20), (LEVEL + 1000) * 1e6, "y reaches 1.0"),
        (MLPRegressor(max_iter=3), PROGRESS, "of one guess for all of them"),
        (MLPRegressor("absolute_error", max_iter=1), LEVEL + 50, "without having learnt"),
        (MLPClassifier(max_iter=9, learning_rate_init=1e-9), KIND, "without having learnt"),
        (MLPClassifier(max_iter=9, learning_rate_init=1e-9), KIND == 1, "without having learnt"),
    ],
    ids=str,
)
def test_a_fit_that_ends_without_having_learnt_says_so(make, y, words):
    x = FEATURES if len(y) == len(FEATURES) else SCALED
    with pytest.warns(ConvergenceWarning, match=words):
        make.set_params(random_state=0).fit(x, y)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_fit_that_has_learnt_says_nothing(make):
    for options in ({}, {"solver": "lbfgs"}, {"early_stopping": True}):
        fitted = make(max_iter=2000, learning_rate_init=0.02, random_state=0, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted.fit(SCALED, KIND)


# Values beyond what can be computed


@pytest.mark.parametrize("dtype", ["float32", "auto"])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_b3_what_leaves_the_range_is_told_in_the_user_s_own_words(make, dtype):
    network = make(max_iter=50, dtype=dtype, random_state=0)
    y = KIND if make is MLPClassifier else KIND * 1e200
    with pytest.raises(ValueError, match="large values") as caught:
        network.fit(SCALED * (1e30 if dtype == "float32" else 1e200), y)
    assert isinstance(caught.value, DivergenceError)
    assert isinstance(caught.value, ScratchnetError)
    assert "X reaches" in str(caught.value)
    assert "lr" not in str(caught.value).replace("large", "")


def test_b3_a_rate_that_is_too_high_is_named_by_its_argument():
    with pytest.raises(ValueError, match="lower learning_rate_init, which is 1e\\+160"):
        classify(solver="sgd", learning_rate_init=1e160).fit(SCALED, KIND)
    with pytest.raises(TypeError, match="X must fit into float32"):
        classify(dtype="float32").fit(SCALED * 1e40, KIND)


def test_b3_early_stopping_keeps_the_weights_from_before_a_divergence():
    network = MLPRegressor(
        activation="identity", solver="sgd", learning_rate_init=1.0, early_stopping=True
    )
    with pytest.warns(ConvergenceWarning, match="the weights of the best epoch before are kept"):
        network.fit(IRIS, KIND)
    assert np.isnan(network.validation_scores_[-1])
    assert np.isfinite(network.predict(IRIS)).all()


# The weights by scikit-learn's names


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_b4_weights_that_are_assigned_take_effect(make):
    fitted = make(max_iter=3, random_state=0).fit(IRIS, KIND)
    assert isinstance(fitted.coefs_, list)
    before = fitted.predict(IRIS)
    given = [w.copy() for w in fitted.coefs_], [b.copy() for b in fitted.intercepts_]
    fitted.coefs_[0] = fitted.coefs_[0] * 0
    fitted.intercepts_[-1] = fitted.intercepts_[-1] + 3
    assert not fitted._network.params["W1"].any()
    assert (fitted.predict(IRIS) != before).any()
    fitted.coefs_, fitted.intercepts_ = given
    np.testing.assert_array_equal(fitted.predict(IRIS), before)
    fitted.coefs_[:] = given[0]
    np.testing.assert_array_equal(fitted.predict(IRIS), before)
    for wrong in (np.ones((3, 3)), np.full_like(given[0][0], np.nan), "weights"):
        with pytest.raises(ShapeError):
            fitted.coefs_[0] = wrong
    for wrong in ([], given[0][:1], [given[0][1], given[0][0]]):
        with pytest.raises(ShapeError, match="there must be 2 arrays of the shapes"):
            fitted.coefs_ = wrong
    with pytest.raises(TypeError, match="stay as many as they are"):
        fitted.coefs_.append(given[0][0])
    np.testing.assert_array_equal(fitted.predict(IRIS), before)
    assert type(pickle.loads(pickle.dumps(fitted.coefs_))) is list


# Sparse X


WAYS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_matrix,
    "csr array": sparse.csr_array,
    "csc array": sparse.csc_array,
    "coo array": sparse.coo_array,
    "pandas": lambda x: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(x)),
}
HOLES = np.where(np.random.default_rng(0).random(SCALED.shape) < 0.6, 0.0, SCALED)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_b5_a_sparse_x_comes_to_the_same_as_a_dense_one(make, dtype, way):
    x = HOLES.astype(dtype)
    options = {"max_iter": 20, "batch_size": 30, "random_state": 0, "early_stopping": True}
    dense = make(**options).fit(x, KIND)
    fitted = make(**options).fit(WAYS[way](x), KIND)
    assert fitted.coefs_[0].dtype == dtype
    close = {"rtol": 1e-3 if dtype == np.float32 else 1e-9, "atol": 1e-5}
    np.testing.assert_allclose(fitted.loss_curve_, dense.loss_curve_, **close)
    np.testing.assert_allclose(fitted.predict(WAYS[way](x)), dense.predict(x), **close)
    np.testing.assert_allclose(fitted.predict(x), dense.predict(WAYS[way](x)), **close)
    if make is MLPClassifier:
        p = fitted.predict_proba(WAYS[way](x))
        np.testing.assert_allclose(p, dense.predict_proba(x), **close)
        np.testing.assert_allclose(fitted.predict_log_proba(WAYS[way](x)), np.log(p), rtol=1e-6)
    assert fitted.score(WAYS[way](x), KIND) == pytest.approx(dense.score(x, KIND), abs=1e-4)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    "options", [{"solver": "lbfgs"}, {"warm_start": True}, {"input_dropout": 0.2}, {"alpha": 1.0}]
)
def test_b5_sparse_x_goes_through_every_door(make, options):
    x = sparse.csr_array(HOLES)
    fitted = make(max_iter=5, random_state=0, **options)
    fitted.fit(x, KIND, np.arange(1.0, 151), X_val=x[:50], y_val=KIND[:50])
    assert len(fitted.validation_scores_) == (1 if "solver" in options else 5)
    fitted.fit(x, KIND)
    if "solver" not in options:
        first = {"classes": [0, 1, 2]} if make is MLPClassifier else {}
        parts = make(random_state=0, **options)
        for rows in (slice(50), slice(50, 150)):
            parts.partial_fit(x[rows], KIND[rows], X_val=x, y_val=KIND, **first)
        assert len(parts.validation_scores_) == 2
    for copied in (pickle.loads(pickle.dumps(fitted)),):
        np.testing.assert_array_equal(copied.predict(x), fitted.predict(x))


@pytest.mark.parametrize("options", [{"standardize": "features"}, {"input_noise": 0.1}])
def test_b5_what_would_make_x_dense_is_refused_by_name(options):
    x = sparse.csr_array(HOLES)
    with pytest.raises(TypeError, match=r"would be made dense by (Standardize|GaussianNoise)"):
        classify(**options).fit(x, KIND)
    fitted = classify(**options).fit(HOLES, KIND)
    with pytest.raises(TypeError, match="would be made dense"):
        fitted.predict(x)


def test_b5_zeros_that_are_stored_and_entries_that_come_twice_make_no_difference():
    x = sparse.coo_array(HOLES)
    row, col = np.r_[x.row, x.row, 0], np.r_[x.col, x.col, 0]
    doubled = sparse.coo_array((np.r_[x.data / 2, x.data / 2, 0], (row, col)), shape=x.shape)
    before = doubled.data.copy()
    given = sparse.csr_array((doubled.data, (row, col)), shape=x.shape)
    np.testing.assert_allclose(
        weights_of(classify().fit(given, KIND)), weights_of(classify().fit(HOLES, KIND)), rtol=1e-9
    )
    np.testing.assert_array_equal(doubled.data, before)


def test_b5_pipelines_with_text_and_categories():
    texts = [f"{'good' if k % 3 else 'bad'} word{k % 7} thing{k % 11}" for k in range(90)]
    y = np.array([k % 3 > 0 for k in range(90)])
    text = make_pipeline(TfidfVectorizer(), classify(max_iter=100, learning_rate_init=0.02))
    assert text.fit(texts, y).score(texts, y) == 1.0
    frame = pd.DataFrame({"a": list("xyz") * 30, "b": list("uv") * 45})
    kinds = make_pipeline(OneHotEncoder(), classify(max_iter=100, learning_rate_init=0.02))
    assert kinds.fit(frame, frame["a"] == "x").score(frame, frame["a"] == "x") == 1.0


# Arguments and targets of every kind


@pytest.mark.parametrize("sizes", [np.array([5, 4]), [5, 4], (5, 4), np.int64(5), 5])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_b6_sizes_of_any_kind_go_on_after_a_fit(make, sizes):
    fitted = make(hidden_layer_sizes=sizes, max_iter=2, warm_start=True, random_state=0).fit(
        IRIS, KIND
    )
    fitted.fit(IRIS, KIND).partial_fit(IRIS, KIND)
    assert len(fitted.loss_curve_) == 5


def test_b8_other_training_data_start_the_count_of_epochs_anew():
    fitted = MLPRegressor(warm_start=True, max_iter=100, learning_rate_init=0.01, random_state=0)
    for k in range(8):
        y = np.sin(FEATURES[:, 0]) * (1 + 10 * k)
        fitted.fit(FEATURES, y)
        assert r2_score(y, fitted.predict(FEATURES)) > 0.9
    short = MLPRegressor(warm_start=True, max_iter=10, n_iter_no_change=99, random_state=0)
    assert short.fit(FEATURES, LEVEL).n_iter_ == 10
    assert short.set_params(max_iter=20).fit(FEATURES, LEVEL).n_iter_ == 20
    assert len(short.loss_curve_) == 30


def test_b9_dates_and_numbers_of_numpy_are_saved_and_what_cannot_be_is_named(tmp_path):
    days = np.array(["2020-01-01", "2021-05-05", "2022-02-02"], "datetime64[D]")[KIND]
    fitted = classify(alpha=np.float32(0.1), tol=np.float64(1e-4), max_iter=np.int64(3))
    fitted.fit(IRIS, days).save(tmp_path / "a.npz")
    read = MLPClassifier.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.predict(IRIS), fitted.predict(IRIS))
    assert read.classes_.dtype == days.dtype
    fitted.classes_ = np.array([datetime.date(2020, 1, 1 + k) for k in range(3)], object)
    with pytest.raises(DataError, match="they are of date; convert the labels"):
        fitted.save(tmp_path / "b.npz")
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(pd.date_range("2020", periods=20)),
        pd.Series(pd.to_timedelta(np.arange(20), unit="D")),
        np.arange(20).astype("datetime64[D]"),
        np.arange(20) * 1j,
        [f"text {k}" for k in range(20)],
    ],
    ids=["dates", "durations", "datetime64", "complex", "text"],
)
def test_b10_targets_that_are_no_numbers_are_refused(y):
    with pytest.raises((TypeError, ValueError)):
        MLPRegressor().fit(FEATURES[:20], y)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("rows", [1, 2])
def test_b11_too_few_samples_to_hold_out_are_one_error(make, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="The validation set is too small"):
            make(early_stopping=True).fit(FEATURES[:rows], np.arange(rows))


def test_b11_a_regressor_holds_out_two_or_more():
    with pytest.raises(ValueError, match="The validation set is too small"):
        MLPRegressor(early_stopping=True).fit(FEATURES[:10], LEVEL[:10])
    MLPRegressor(early_stopping=True, validation_fraction=0.2).fit(FEATURES[:10], LEVEL[:10])


@pytest.mark.parametrize("dtype", ["auto", "float32", "float64"])
def test_b12_the_mean_is_taken_off_in_the_precision_of_the_input(dtype):
    fitted = MLPClassifier(
        standardize="features", max_iter=200, random_state=0, dtype=dtype, learning_rate_init=0.01
    )
    assert fitted.fit(SCALED + 1e8, KIND).score(SCALED + 1e8, KIND) > 0.9


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(np.array(["setosa", "versicolor", "virginica"])[KIND]),
        pd.Series(np.array(["a", "b", "c"])[KIND], dtype="category"),
        np.array(["a", "bb", "ccc"], object)[KIND],
        pd.Series(KIND, dtype="Int64"),
        KIND.astype(np.int8),
        KIND == 1,
        KIND.astype(float),
        list("abc") * 50,
    ],
    ids=str,
)
def test_b15_classes_are_as_there(y):
    theirs = TheirClassifier(max_iter=2).fit(IRIS, y)
    ours = classify().fit(IRIS, y)
    assert ours.classes_.dtype == theirs.classes_.dtype
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.predict(IRIS).dtype == theirs.predict(IRIS).dtype
    with pytest.raises(ValueError, match="classes not in"):
        ours.partial_fit(IRIS[:2], np.array(["long unknown", "a"], object))


def test_b15_verbose_says_why_it_stopped(capsys):
    for kind, words in ((MLPClassifier, "Training loss"), (TheirClassifier, "Training loss")):
        kind(tol=1.0, max_iter=30, verbose=True, random_state=0).fit(SCALED, KIND)
        out = capsys.readouterr().out
        assert f"{words} did not improve more than tol=1.000000 for 10 consecutive epochs" in out
        assert "Stopping." in out
    MLPClassifier(solver="sgd", learning_rate="adaptive", tol=1.0, max_iter=15, verbose=True).fit(
        SCALED, KIND
    )
    assert "Setting learning rate to 0.000200" in capsys.readouterr().out


@pytest.mark.parametrize("given", [np.float32, np.float64, np.int64, np.uint8, bool, np.float16])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_b16_the_dtype_follows_x_as_there(make, given):
    theirs = {MLPClassifier: TheirClassifier, MLPRegressor: TheirRegressor}[make]
    x = (IRIS * 3).astype(given)
    ours, other = (k(max_iter=3, random_state=0).fit(x, KIND) for k in (make, theirs))
    assert [w.dtype for w in ours.coefs_] == [w.dtype for w in other.coefs_]
    assert ours.predict(x).dtype == other.predict(x).dtype
    if make is MLPClassifier:
        assert ours.predict_proba(x).dtype == other.predict_proba(x).dtype


def test_a_pickle_of_another_version_is_refused_by_one_sentence():
    fitted = classify().fit(IRIS, KIND)
    state = fitted.__getstate__()
    assert pickle.loads(pickle.dumps(fitted)).score(IRIS, KIND) == fitted.score(IRIS, KIND)
    for wrong in ({k: v for k, v in state.items() if k != "_form_of_pickle"}, {}):
        with pytest.raises(DataError, match="is of another version of scratchnet; read it with"):
            MLPClassifier().__setstate__(dict(wrong))


def test_multilabel_targets_that_are_sparse_give_sparse_predictions_as_there():
    x, y = datasets.make_multilabel_classification(60, random_state=0)
    for kind in (MLPClassifier, TheirClassifier):
        fitted = kind(max_iter=3, random_state=0).fit(x, sparse.csr_matrix(y))
        assert sparse.issparse(fitted.predict(x))
        assert not sparse.issparse(kind(max_iter=3).fit(x, y).predict(x))


def test_starting_weights_are_scikit_learns_own():
    for state in (0, 7, np.random.RandomState(3)):
        ours, theirs = (
            kind(
                hidden_layer_sizes=(9, 5),
                max_iter=30,
                n_iter_no_change=99,
                random_state=pickle.loads(pickle.dumps(state)),
            ).fit(FEATURES[:150], LEVEL[:150])
            for kind in (MLPRegressor, TheirRegressor)
        )
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)


def test_joblib_writes_what_it_reads():
    import joblib

    file = io.BytesIO()
    fitted = classify().fit(sparse.csr_array(HOLES), KIND)
    joblib.dump(fitted, file)
    file.seek(0)
    np.testing.assert_array_equal(joblib.load(file).predict(HOLES), fitted.predict(HOLES))


def test_validation_targets_do_not_decide_about_the_form_of_predictions():
    x, y = datasets.make_multilabel_classification(60, random_state=0)
    fitted = classify().fit(x, y, X_val=x, y_val=sparse.csr_matrix(y))
    assert not sparse.issparse(fitted.predict(x))


@pytest.mark.parametrize("way", [{"solver": "lbfgs"}, {"optimizer": "lbfgs"}])
@pytest.mark.parametrize("more", [{"ema": 0.9}, {"clip_norm": 1.0}, {"clip_value": 1.0}])
def test_lbfgs_takes_no_average_and_no_clipping_whichever_argument_asks(way, more):
    with pytest.raises(ValueError, match=f"lbfgs .*{next(iter(more))}|{next(iter(more))} .*lbfgs"):
        classify(**way, **more).fit(IRIS, KIND)
