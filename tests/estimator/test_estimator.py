"""The scikit-learn estimators: its own checks, and a test for each request that it turned away.

The numbers in the names of tests are those of issues and pull requests of scikit-learn.
"""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from scratchnet.errors import DataError, DivergenceError, ParameterError
from scratchnet.estimator import ConvClassifier, MLPClassifier, MLPRegressor
from scratchnet.layers import Dropout, Mish
from scratchnet.optimizers import OPTIMIZERS, Adam, Momentum
from scratchnet.storage.archive import read_archive, write_archive

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = datasets.load_digits(return_X_y=True)
X = X / 16
IRIS, KIND = datasets.load_iris(return_X_y=True)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)


def classify(**options):
    return MLPClassifier(**{"max_iter": 5, "random_state": 0, **options})


def weights_of(estimator):
    return np.concatenate([w.ravel() for w in (*estimator.coefs_, *estimator.intercepts_)])


# scikit-learn's own checks; the whole grid is in bench/estimator_checks.py


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier(max_iter=100),
        MLPClassifier(early_stopping=True, max_iter=100),
        MLPClassifier(solver="lbfgs", max_iter=100, dtype="float64"),
        MLPClassifier(batch_size=8, optimizer="rmsprop", batch_norm=True, max_iter=40),
        ConvClassifier(max_iter=100, random_state=0),
        ConvClassifier(max_iter=60, solver="sgd", learning_rate_init=0.01, random_state=0),
        ConvClassifier(None, ["4x1"], (10,), max_iter=100, random_state=0, layer_norm=True),
        MLPRegressor(max_iter=100),
        MLPRegressor(optimizer="adagrad", batch_size=8, max_iter=40),
    ],
    ids=str,
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_check_of_scikit_learn_fails(estimator):
    checks = check_estimator(estimator, on_skip=None, on_fail=None)
    assert not [c for c in checks if c["status"] not in ("passed", "skipped")]
    assert len(checks) > 55


@pytest.mark.parametrize(
    ("ours", "theirs"), [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)]
)
def test_every_argument_of_scikit_learns_class_is_there_with_its_default(ours, theirs):
    mine, defaults = ours().get_params(), theirs().get_params()
    assert {name: mine[name] for name in defaults} == defaults


@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}, {"early_stopping": True}])
def test_every_fitted_attribute_of_scikit_learns_class_is_there(options):
    theirs = TheirClassifier(max_iter=5, **options).fit(
        pd.DataFrame(IRIS, columns=list("abcd")), KIND
    )
    ours = classify(**options).fit(pd.DataFrame(IRIS, columns=list("abcd")), KIND)
    names = {n for n in dir(theirs) if n.endswith("_") and not n.startswith("_")}
    assert names <= {n for n in dir(ours) if n.endswith("_")}
    assert [w.shape for w in ours.coefs_] == [w.shape for w in theirs.coefs_]
    assert [b.shape for b in ours.intercepts_] == [b.shape for b in theirs.intercepts_]
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "n_iter_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.feature_names_in_, theirs.feature_names_in_)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_)


@pytest.mark.parametrize(
    ("X", "y"), [(X[:600], Y[:600]), (IRIS, KIND), (IRIS[:100], KIND[:100])], ids=str
)
def test_it_classifies_about_as_well_as_scikit_learns_class(X, y):
    options = {"max_iter": 100, "learning_rate_init": 0.01, "random_state": 0}
    scores = [
        cross_val_score(make_pipeline(StandardScaler(), kind(**options)), X, y, cv=3).mean()
        for kind in (MLPClassifier, TheirClassifier)
    ]
    assert scores[0] >= scores[1] - 0.03


def test_lbfgs_regression_finds_what_scikit_learns_finds():
    options = {"solver": "lbfgs", "hidden_layer_sizes": (), "alpha": 1.0, "max_iter": 1000}
    ours = MLPRegressor(**options, tol=1e-7, dtype="float64").fit(DIABETES, PROGRESS)
    theirs = TheirRegressor(**options, tol=1e-7).fit(DIABETES, PROGRESS)
    np.testing.assert_allclose(ours.predict(DIABETES), theirs.predict(DIABETES), rtol=1e-3)


def test_multilabel_targets_are_learnt():
    x, y = datasets.make_multilabel_classification(200, random_state=0)
    x = StandardScaler().fit_transform(x)
    fitted = classify(max_iter=200, learning_rate_init=0.01).fit(x, y)
    assert fitted.score(x, y) > 0.9
    assert fitted.predict_proba(x).shape == y.shape
    assert fitted.n_outputs_ == 5


def test_probabilities_sum_to_one_and_their_logarithms_agree():
    for y in (KIND, KIND == 1):
        fitted = classify(max_iter=20).fit(IRIS, y)
        p = fitted.predict_proba(IRIS)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_allclose(np.exp(fitted.predict_log_proba(IRIS)), p)
        np.testing.assert_array_equal(fitted.classes_[p.argmax(axis=1)], fitted.predict(IRIS))


def test_counts_are_regressed_with_the_poisson_loss():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 2))
    y = rng.poisson(np.exp(1 + x[:, 0]))
    fitted = MLPRegressor("poisson", max_iter=200, random_state=0, learning_rate_init=0.01).fit(
        x, y
    )
    assert fitted.out_activation_ == "exp"
    assert (fitted.predict(x) > 0).all()
    np.testing.assert_allclose(fitted.predict(x), np.exp(1 + x[:, 0]), rtol=0.5)


# What scikit-learn turned away


def test_6175_pr7407_dropout():
    fitted = classify(dropout=0.5, input_dropout=0.1).fit(X[:300], Y[:300])
    rates = [layer.rate for layer in fitted._network.layers if isinstance(layer, Dropout)]
    assert rates == [0.1, 0.5]


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "lbfgs"])
def test_pr16169_any_optimizer_by_name_or_object(name):
    rate = OPTIMIZERS[name]().lr
    by_name = classify(optimizer=name, learning_rate_init=rate).fit(IRIS, KIND)
    as_object = classify(optimizer=OPTIMIZERS[name]()).fit(IRIS, KIND)
    np.testing.assert_array_equal(weights_of(by_name), weights_of(as_object))
    assert np.isfinite(by_name.loss_)


def test_pr16169_an_optimizer_that_is_handed_in_is_left_as_it_was():
    optimizer = Momentum(0.01, 0.5)
    classify(optimizer=optimizer).fit(IRIS, KIND)
    assert optimizer.slot_values == {}
    assert clone(classify(optimizer=optimizer)).optimizer.momentum == 0.5


def test_11952_26912_activations_beyond_four():
    for name in ("leaky-relu", "mish", "gelu", "prelu"):
        assert classify(activation=name).fit(IRIS, KIND).n_iter_ == 5
    with pytest.raises(ParameterError, match="did you mean 'mish'"):
        classify(activation="mihs").fit(IRIS, KIND)


def test_pr10097_an_activation_for_each_layer():
    fitted = classify(hidden_layer_sizes=(5, 4), activation=["mish", "logistic"]).fit(IRIS, KIND)
    kinds = [type(layer).__name__ for layer in fitted._network.layers]
    assert kinds == ["Affine", "Mish", "Affine", "Sigmoid", "Affine"]
    assert isinstance(fitted._network.layers[1], Mish)


def test_9113_pr11723_class_weight():
    rare = np.flatnonzero(Y < 2)
    chosen = np.concatenate([np.flatnonzero(Y[rare] == 0), np.flatnonzero(Y[rare] == 1)[:9]])
    x, y = X[rare][chosen], Y[rare][chosen]
    plain = classify(max_iter=10).fit(x, y).predict_proba(x)[:, 1].mean()
    balanced = (
        classify(max_iter=10, class_weight="balanced").fit(x, y).predict_proba(x)[:, 1].mean()
    )
    assert balanced > plain + 0.03
    by_hand = classify(max_iter=10, class_weight={0: 1.0, 1: 20.0}).fit(x, y)
    assert by_hand.predict_proba(x)[:, 1].mean() > plain + 0.03


@pytest.mark.parametrize("batch_size", [1, 7, "auto"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_pr25646_a_sample_of_weight_k_counts_exactly_as_k_samples(kind, batch_size):
    rng = np.random.default_rng(0)
    w = rng.integers(0, 4, len(IRIS))
    order = rng.permutation(len(IRIS))
    make = {"max_iter": 3, "random_state": 0, "batch_size": batch_size, "early_stopping": True}
    weighted = kind(**make).fit(IRIS[order], KIND[order], w[order])
    repeated = kind(**make).fit(IRIS.repeat(w, axis=0), KIND.repeat(w))
    np.testing.assert_array_equal(weights_of(weighted), weights_of(repeated))


def test_weights_may_be_any_numbers_and_none_of_them_is_the_same_as_all_alike():
    np.testing.assert_array_equal(
        weights_of(classify().fit(X[:99], Y[:99])),
        weights_of(classify().fit(X[:99], Y[:99], np.full(99, 2.5))),
    )
    for bad in (-np.ones(99), np.zeros(99), np.ones(98)):
        with pytest.raises(ValueError, match=r"(?i)weight"):
            classify().fit(X[:99], Y[:99], bad)


def test_18748_validation_data_of_ones_own():
    fitted = classify(early_stopping=True, max_iter=30)
    fitted.fit(X[:800], Y[:800], X_val=X[800:1000], y_val=Y[800:1000])
    assert fitted.best_validation_score_ == fitted.score(X[800:1000], Y[800:1000])
    alone = classify(max_iter=30, n_iter_no_change=99).fit(X[:800], Y[:800])
    assert fitted.loss_curve_ == alone.loss_curve_[: len(fitted.loss_curve_)]  # none held out
    with pytest.raises(ValueError, match="must come together"):
        classify().fit(X, Y, X_val=X)


def test_18507_a_curve_of_the_validation_loss():
    fitted = classify().fit(X[:800], Y[:800], X_val=X[800:], y_val=Y[800:])
    assert len(fitted.validation_loss_curve_) == len(fitted.validation_scores_) == 5
    p = fitted.predict_proba(X[800:])[np.arange(len(X) - 800), Y[800:]]
    assert fitted.validation_loss_curve_[-1] == pytest.approx(-np.log(p).mean(), rel=1e-5)


@pytest.mark.parametrize("scoring", ["loss", "f1_macro", "neg_log_loss", None])
def test_24411_early_stopping_on_the_loss_or_any_scorer_with_the_best_weights(scoring):
    validation = X[600:900], Y[600:900]
    fitted = classify(
        early_stopping=True,
        scoring=scoring,
        max_iter=100,
        n_iter_no_change=3,
        learning_rate_init=0.02,
    ).fit(X[:600], Y[:600], X_val=validation[0], y_val=validation[1])
    assert fitted.stopped_
    assert fitted.n_iter_ < 100
    highest = max(fitted.validation_scores_)
    assert highest - fitted.tol <= fitted.best_validation_score_ <= highest
    if scoring == "loss":
        assert fitted.best_validation_score_ == highest == -min(fitted.validation_loss_curve_)
    else:
        scorer = sklearn.metrics.get_scorer(scoring or "accuracy")
        assert scorer(fitted, *validation) == pytest.approx(fitted.best_validation_score_, abs=1e-6)


def test_25693_partial_fit_with_early_stopping():
    fitted = classify(early_stopping=True, n_iter_no_change=2, learning_rate_init=0.05)
    calls = 0
    while calls < 100 and not getattr(fitted, "stopped_", False):
        fitted.partial_fit(X[:600], Y[:600], classes=range(10), X_val=X[600:900], y_val=Y[600:900])
        calls += 1
    assert 3 < calls < 100
    assert fitted.score(X[600:900], Y[600:900]) == fitted.best_validation_score_
    before = weights_of(fitted)
    fitted.partial_fit(X[:600], Y[:600])
    np.testing.assert_array_equal(weights_of(fitted), before)


def test_partial_fit_goes_on_epoch_by_epoch_as_fit_does():
    whole = classify(max_iter=4, n_iter_no_change=99).fit(X[:500], Y[:500])
    parts = classify()
    for _ in range(4):
        parts.partial_fit(X[:500], Y[:500], classes=np.arange(10))
    np.testing.assert_array_equal(weights_of(parts), weights_of(whole))
    assert parts.loss_curve_ == whole.loss_curve_
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classify().partial_fit(X, Y)
    with pytest.raises(ValueError, match="classes not in"):
        parts.partial_fit(X[:3], [0, 1, 11])
    assert not hasattr(classify(solver="lbfgs"), "partial_fit")


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_6091_13656_warm_start_goes_on_so_that_fit_10_twice_is_fit_20(solver):
    options = {"solver": solver, "dropout": 0.2, "batch_norm": True, "n_iter_no_change": 99}
    twice = classify(max_iter=10, warm_start=True, **options)
    twice.fit(X[:400], Y[:400]).fit(X[:400], Y[:400])
    once = classify(max_iter=20, **options).fit(X[:400], Y[:400])
    np.testing.assert_array_equal(weights_of(twice), weights_of(once))
    assert twice.loss_curve_ == once.loss_curve_
    assert (twice.n_iter_, once.n_iter_) == (10, 20)  # of the last fit


def test_partial_fit_follows_a_schedule_over_max_iter_calls_as_fit_does():
    whole = classify(max_iter=6, schedule="linear", n_iter_no_change=99).fit(X[:200], Y[:200])
    parts = classify(max_iter=6, schedule="linear")
    for _ in range(6):
        parts.partial_fit(X[:200], Y[:200], classes=np.arange(10))
    np.testing.assert_array_equal(weights_of(parts), weights_of(whole))


def test_bytes_are_taken_without_a_word_in_validation_too():
    pixels = (X[:300] * 16).astype("uint8")
    assert classify(early_stopping=True).fit(pixels, Y[:300]).n_iter_ == 5


def test_lbfgs_by_name_needs_no_rate():
    assert classify(optimizer="lbfgs").fit(IRIS, KIND).score(IRIS, KIND) > 0.9


def test_6780_10477_the_penalty_does_not_depend_on_the_batch_size():
    for batch_size in (10, 100):
        fitted = classify(alpha=2.0, batch_size=batch_size).fit(X[:400], Y[:400])
        assert fitted._network.l2 == 2.0 / 400


def test_15596_an_adaptive_rate_is_lowered_but_once_for_one_lucky_epoch():
    fitted = classify(solver="sgd", learning_rate="adaptive", n_iter_no_change=2, max_iter=1)
    fitted.fit(IRIS, KIND)
    rates = []
    for loss in (0.1, 1.0, 0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):  # the first was luck

        class FakeTrainer:
            lr = fitted._rate

        fitted.loss_ = loss
        fitted._watch_loss()
        if fitted._no_improvement_count > fitted.n_iter_no_change:
            fitted._slow_down_or_stop(FakeTrainer)
        rates.append(fitted._rate)
    assert rates[-1] == pytest.approx(0.001 / 5)
    assert not fitted.stopped_


def test_an_adaptive_rate_ends_the_training_once_it_is_lowest_and_invscaling_falls():
    fitted = classify(
        solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=1e9, max_iter=500
    ).fit(IRIS, KIND)
    assert fitted.stopped_
    assert fitted._rate <= 1e-6
    falling = classify(solver="sgd", learning_rate="invscaling", power_t=0.5).fit(IRIS, KIND)
    assert falling._rate == pytest.approx(0.001 / (falling.t_ + 1) ** 0.5)


def test_6021_7574_18773_callbacks_see_each_epoch_and_may_stop():
    seen = []

    def callback(estimator, epoch):
        seen.append((estimator.n_iter_, epoch.number, epoch.loss))
        return epoch.number == 3

    fitted = classify(max_iter=10, callbacks=[callback]).fit(IRIS, KIND)
    assert [number for number, _, _ in seen] == [1, 2, 3]
    assert fitted.n_iter_ == 3


def test_24524_a_progress_bar_and_verbose_lines(capsys):
    classify(progress_bar=True, verbose=True, early_stopping=True).fit(IRIS, KIND)
    out, err = capsys.readouterr()
    assert "5/5" in err
    assert out.count("Iteration") == 5
    assert out.count("Validation score:") == 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_17700_float32_inside_whatever_comes(dtype):
    fitted = classify(dtype=dtype).fit(X.astype("float64"), Y)
    assert {w.dtype for w in fitted.coefs_} == {np.dtype(dtype)}
    with pytest.raises(ParameterError, match=r"'dtype' parameter .* must be a str among"):
        classify(dtype="float16").fit(X, Y)


def test_inputs_of_any_number_type_order_or_memory_map_give_the_same(tmp_path):
    pixels = (X[:300] * 16).astype("uint8")
    expected = weights_of(classify().fit(pixels.astype("float64"), Y[:300]))
    np.save(tmp_path / "x.npy", pixels)
    kinds = [pixels, pixels.astype("int64"), np.asfortranarray(pixels.astype("float64"))]
    kinds += [np.load(tmp_path / "x.npy", mmap_mode="r"), pixels.tolist()]
    for x in kinds:
        np.testing.assert_array_equal(weights_of(classify().fit(x, Y[:300])), expected)
    narrow = classify(dtype="float64").fit(pixels.astype("float32"), Y[:300])
    np.testing.assert_array_equal(weights_of(narrow), expected)


def test_20516_the_same_seed_gives_the_same_bits_on_one_or_two_jobs():
    grid = {"alpha": [1e-4, 1e-2], "hidden_layer_sizes": [(10,), (20,)]}
    found = [
        GridSearchCV(classify(), grid, cv=2, n_jobs=jobs).fit(X[:300], Y[:300]) for jobs in (1, 2)
    ]
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(found[0].cv_results_[name], found[1].cv_results_[name])
    np.testing.assert_array_equal(*(weights_of(each.best_estimator_) for each in found))


def test_29504_a_run_that_diverges_says_so_at_once_and_nan_is_refused():
    with pytest.raises(DivergenceError, match="training diverged at step"):
        classify(solver="sgd", learning_rate_init=1e30).fit(X, Y)
    with pytest.raises(ValueError, match="NaN"):
        classify().fit(np.where(X > 0.9, np.nan, X), Y)


def test_31143_a_model_file_without_pickle(tmp_path):
    frame = pd.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    names = np.array(["setosa", "versicolor", "virginica"])[KIND]
    for fitted in (
        classify(batch_norm=True, early_stopping=True, standardize="features").fit(frame, names),
        classify(optimizer=Adam(0.01), callbacks=[print]).fit(frame, KIND == 1),
    ):
        fitted.save(tmp_path / "model.npz")
        read = MLPClassifier.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(read.predict_proba(frame), fitted.predict_proba(frame))
        np.testing.assert_array_equal(read.predict(frame), fitted.predict(frame))
        assert read.loss_curve_ == fitted.loss_curve_
        read.partial_fit(frame, names if names.dtype == read.classes_.dtype else KIND == 1)
        assert len(read.loss_curve_) == len(fitted.loss_curve_) + 1
    with pytest.raises(DataError, match=r"must be a file of MLPRegressor\.save"):
        MLPRegressor.load(tmp_path / "model.npz")
    arrays, header = read_archive(tmp_path / "model.npz")
    for change in ({"params": {"nonsense": 1}}, {"network": 3}, {"fitted": None}):
        write_archive(tmp_path / "bad.npz", arrays, {**header, **change})
        with pytest.raises(DataError, match="take another copy"):
            MLPClassifier.load(tmp_path / "bad.npz")
    with pytest.raises(NotFittedError):
        classify().save(tmp_path / "none.npz")


def test_a_regressor_is_saved_too(tmp_path):
    fitted = MLPRegressor(max_iter=5, random_state=0).fit(DIABETES, np.c_[PROGRESS, PROGRESS])
    fitted.save(tmp_path / "model.npz")
    read = MLPRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(read.predict(DIABETES), fitted.predict(DIABETES))
