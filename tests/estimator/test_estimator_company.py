"""The estimators in the company of scikit-learn: copies, pipelines, wrong input, repetitions."""

import ast
import copy
import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scratchnet import estimator as estimator_module
from scratchnet.estimator import MLPClassifier, MLPRegressor, fitting, intake, watching
from scratchnet.estimator.multiplicity import merge_repeated, row_keys
from scratchnet.layers import SoftmaxWithLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = datasets.load_digits(return_X_y=True)
X = X / 16
IRIS, KIND = datasets.load_iris(return_X_y=True)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)


def classify(**options):
    return MLPClassifier(**{"max_iter": 5, "random_state": 0, **options})


def weights_of(estimator):
    return np.concatenate([w.ravel() for w in (*estimator.coefs_, *estimator.intercepts_)])


# In the company of scikit-learn


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))], ids=["deepcopy", "pickle"]
)
def test_a_copy_predicts_the_same_and_goes_on_alike(copied):
    fitted = classify(warm_start=True, batch_norm=True, dropout=0.2).fit(X[:300], Y[:300])
    other = copied(fitted)
    np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(
        weights_of(other.fit(X[:300], Y[:300])), weights_of(fitted.fit(X[:300], Y[:300]))
    )


def test_joblib_and_clone(tmp_path):
    fitted = classify().fit(IRIS, KIND)
    joblib.dump(fitted, tmp_path / "model.joblib")
    read = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(read.predict_proba(IRIS), fitted.predict_proba(IRIS))
    fresh = clone(fitted)
    assert not hasattr(fresh, "coefs_")
    assert fresh.get_params() == fitted.get_params()


def test_sample_weights_are_routed_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        inner = classify().set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        w = np.where(KIND == 0, 3.0, 1.0)
        routed = make_pipeline(scaler, inner).fit(IRIS, KIND, sample_weight=w)
    scaled = StandardScaler().fit_transform(IRIS)
    direct = classify().fit(scaled, KIND, w)
    np.testing.assert_array_equal(weights_of(routed[-1]), weights_of(direct))


def test_the_last_epoch_without_convergence_is_warned_of_and_ctrl_c_keeps_the_model():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        classify(max_iter=2).fit(IRIS, KIND)

    def interrupt(estimator, epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted by user"):
        fitted = classify(callbacks=[interrupt]).fit(IRIS, KIND)
    assert fitted.n_iter_ == 2
    assert fitted.predict(IRIS).shape == KIND.shape


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"solver": "newton"}, "'solver' parameter of MLPClassifier must be a str among"),
        ({"learning_rate": "fast"}, "'learning_rate' parameter of MLPClassifier must be"),
        ({"alpha": -1}, r"'alpha' .* must be a float in the range \[0.0, inf\)"),
        ({"max_iter": 0}, r"'max_iter' .* must be an int in the range \[1, inf\)"),
        ({"batch_size": 0}, "'batch_size' .* must be a str among .* or an int in the range"),
        ({"validation_fraction": 1.5}, "'validation_fraction' .* must be a float in the range"),
        ({"hidden_layer_sizes": (0,)}, r"hidden_layer_sizes must be > 0 .*got \[0\]"),
        ({"hidden_layer_sizes": "100"}, "'hidden_layer_sizes' .* must be an array-like"),
        ({"hidden_layer_sizes": (5.5,)}, "hidden_layer_sizes must be .*whole numbers"),
        ({"early_stopping": "no"}, "'early_stopping' .* Got 'no' instead"),
        ({"shuffle": "yes"}, "'shuffle' .* Got 'yes' instead"),
        ({"label_smoothing": 1.0}, "'label_smoothing' parameter .* must be"),
        ({"optimizer": "adma"}, "did you mean 'adam'"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"epsilon": 0}, "'epsilon' parameter"),
        ({"beta_1": 1}, "'beta_1' parameter"),
        ({"learning_rate_init": 0}, "'learning_rate_init' parameter"),
        ({"max_fun": 0}, "'max_fun' parameter"),
        ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
    ],
)
def test_arguments_that_cannot_be_are_refused_at_fit(options, words):
    with pytest.raises(ValueError, match=words):
        classify(**options).fit(IRIS, KIND)


def test_rows_38_40_labels_and_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="Unknown label type"):
        classify().fit(IRIS, KIND + 0.5)
    fitted = classify().fit(IRIS, KIND)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        fitted.predict(IRIS[:, :3])
    with pytest.raises(ValueError, match="label_smoothing is an option of 'log_loss'"):
        classify(label_smoothing=0.1, loss=SoftmaxWithLoss()).fit(IRIS, KIND)
    with pytest.raises(ValueError, match="'loss' parameter of MLPRegressor must be"):
        MLPRegressor("absolute").fit(IRIS, KIND)


def test_rows_37_to_41_one_class_mixed_labels_no_fit_and_other_columns():
    alone = classify().fit(IRIS, np.full(len(IRIS), "only"))
    assert set(alone.predict(IRIS)) == {"only"}
    assert alone.predict_proba(IRIS).shape == (len(IRIS), 1)
    for labels in (["a"] * 75 + [1] * 75, [None] * 150, ["a"] * 149 + [np.nan]):
        with pytest.raises((TypeError, ValueError), match=r"(?i)label|NaN|type"):
            classify().fit(IRIS, np.array(labels, dtype=object))
    with pytest.raises(NotFittedError):
        classify().predict(IRIS)
    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    with pytest.raises(ValueError, match="feature names should match"):
        classify().fit(frame, KIND).predict(frame.rename(columns={"a": "e"}))


def test_a_large_batch_size_is_warned_of():
    with pytest.warns(UserWarning, match="batch_size 1000 is more than the 150 samples"):
        classify(batch_size=1000).fit(IRIS, KIND)


def test_there_is_no_second_training_loop():
    for module in (fitting, intake, watching, estimator_module):
        names = {
            node.attr
            for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.Attribute)
        }
        assert not names & {"backward", "gradient", "update_params", "loss_and_gradient", "step"}


# Repetitions


def test_rows_have_one_key_wherever_they_stand_and_others_have_others():
    for dtype in ("float64", "float32", "uint8", "int64", "int16"):
        x = np.random.default_rng(0).integers(0, 9, (3000, 5)).astype(dtype)
        keys = row_keys(x)
        unique = np.unique(x, axis=0)
        assert len(np.unique(keys)) == len(unique)
        np.testing.assert_array_equal(row_keys(x[::-1])[::-1], keys)


def test_without_repetitions_nothing_is_copied_or_put_in_another_order():
    x, t = np.arange(12.0).reshape(6, 2), np.arange(6)
    merged = merge_repeated(x, t, None)
    assert np.shares_memory(merged.samples.x, x)
    np.testing.assert_array_equal(merged.samples.x, x)
    assert np.shares_memory(merged.samples.t, t)
    assert (merged.samples.weights, merged.came) == (None, 6)


@pytest.mark.parametrize("weights", [np.zeros(3), np.array([1.0, -1.0, 1.0]), -np.ones(3)])
def test_weights_below_0_and_none_above_it_are_refused(weights):
    with pytest.raises(ValueError, match=r"must be >= 0 and not all 0|non-zero number"):
        classify().fit(np.arange(6.0).reshape(3, 2), np.arange(3), weights)


def test_equal_rows_with_other_targets_stay_apart():
    weights = np.array([1.0, 2.0, 3.0, 0.0]) / 1.5  # the mean is 1
    merged = merge_repeated(np.ones((4, 2)), np.array([0, 0, 1, 1]), weights)
    samples = merged.samples
    assert sorted(zip(samples.t.tolist(), samples.weights.tolist(), strict=True)) == [
        (0, 1.0),
        (1, 1.0),
    ]
    assert (len(samples), merged.came) == (2, 4)


def test_weights_keep_a_mean_of_1_and_equal_ones_are_none():
    merged = merge_repeated(np.eye(3), np.arange(3), np.array([0.75, 0.75, 1.5]))
    found = zip(merged.samples.t.tolist(), merged.samples.weights.tolist(), strict=True)
    assert dict(found) == pytest.approx({0: 0.75, 1: 0.75, 2: 1.5})
    assert merge_repeated(np.eye(3), np.arange(3), np.ones(3)).samples.weights is None


def test_sparse_rows_have_the_keys_of_their_values_whatever_zeros_are_stored():
    x = np.random.default_rng(0).integers(0, 2, (300, 6)) * 1.5
    keys = row_keys(sparse.csr_array(x))
    assert len(np.unique(keys)) == len(np.unique(x, axis=0))
    stored = sparse.csr_array(np.ones_like(x))
    stored.data[:] = x.ravel()
    np.testing.assert_array_equal(row_keys(stored), keys)
    np.testing.assert_array_equal(row_keys(sparse.csr_array(x[::-1]))[::-1], keys)


def test_samples_that_occur_often_are_left_as_they_are():
    x, t = np.repeat(np.eye(3), 4, axis=0), np.repeat(np.arange(3), 4)
    samples = merge_repeated(x, t, None).samples
    assert (len(samples), samples.weights) == (12, None)
    assert len(merge_repeated(x[:11], t[:11], None).samples) == 3
    w = np.r_[np.zeros(4), np.full(8, 1.5)]
    samples = merge_repeated(x, t, w).samples
    assert (len(samples), samples.weights.tolist()) == (8, [1.0] * 8)


def test_data_of_many_repetitions_gets_as_many_updates_as_without_merging():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (4000, 6)).astype(float)
    y = (x[:, :4].sum(axis=1) % 2) != (rng.random(4000) < 0.1)
    for stops, n in ((False, 4000), (True, 3600)):
        network = MLPClassifier(max_iter=150, random_state=0, n_iter_no_change=150)
        fitted = network.set_params(early_stopping=stops).fit(x, y)
        assert fitted.score(x, y) > 0.87
        assert fitted.t_ == n * fitted.n_iter_
    features = MLPClassifier(max_iter=1, standardize="features").fit(x[:, [0, 0]] + 9, y)
    layer = features._network.layers[0]
    np.testing.assert_allclose(
        layer.statistics["input_mean"], 9 + x[:, [0, 0]].mean(axis=0), rtol=1e-6
    )


def test_partial_fit_is_frozen_by_early_stopping_alone():
    fitted = classify(tol=1e9, n_iter_no_change=1)
    for _ in range(5):
        fitted.partial_fit(X[:100], Y[:100], classes=range(10))
    assert len(fitted.loss_curve_) == 5
    stopped = classify(max_iter=100, tol=1e9, n_iter_no_change=1).fit(X[:100], Y[:100])
    before = weights_of(stopped)
    stopped.partial_fit(X[:100], Y[:100])
    assert (weights_of(stopped) != before).any()


def test_a_warm_start_on_other_validation_data_forgets_what_was_best_on_the_first():
    fitted = classify(early_stopping=True, warm_start=True, max_iter=20).fit(X[:600], Y[:600])
    before = fitted.predict_proba(X[:3])
    seen = len(fitted.validation_scores_)
    fitted.fit(1 - X[:600], Y[:600], X_val=1 - X[600:800], y_val=Y[600:800])
    assert (fitted.predict_proba(X[:3]) != before).any()
    assert fitted.best_validation_score_ in fitted.validation_scores_[seen:]


def test_a_warm_start_takes_over_the_rate_and_warns_of_what_it_cannot():
    fitted = classify(warm_start=True).fit(IRIS, KIND)
    before = weights_of(fitted)
    fitted.set_params(learning_rate_init=1e-12).fit(IRIS, KIND)
    np.testing.assert_allclose(weights_of(fitted), before, atol=1e-6)
    with pytest.warns(UserWarning, match="hidden_layer_sizes, dropout changed"):
        fitted.set_params(hidden_layer_sizes=(7,), dropout=0.5).fit(IRIS, KIND)


def test_classes_stay_those_of_the_first_call():
    fitted = classify().partial_fit(IRIS, KIND, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        fitted.partial_fit(IRIS, KIND, classes=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="'balanced' needs all samples at once"):
        classify(class_weight="balanced").partial_fit(IRIS, KIND, classes=[0, 1, 2])


def test_class_weights_hold_in_partial_fit_of_one_class_at_a_time():
    def trained(weights):
        fitted = classify(class_weight=weights)
        for k in range(3):
            fitted.partial_fit(IRIS[k == KIND], KIND[k == KIND], classes=[0, 1, 2])
        return weights_of(fitted)

    assert (trained(None) != trained({0: 1.0, 1: 50.0, 2: 1.0})).any()


def test_infinite_patience_a_refused_refit_and_an_early_interrupt_leave_it_usable():
    assert classify(n_iter_no_change=np.inf, tol=1e9).fit(IRIS, KIND).n_iter_ == 5
    fitted = classify().fit(IRIS, KIND)
    before = fitted.predict_proba(IRIS)
    with pytest.raises(ValueError, match="dropout"):
        fitted.set_params(dropout=2).fit(IRIS, KIND == 1)
    np.testing.assert_array_equal(fitted.predict_proba(IRIS), before)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        fitted.set_params(dropout=0, hidden_layer_sizes=(0,)).fit(IRIS, KIND == 1)
    with pytest.raises(NotFittedError):
        fitted.predict(IRIS)

    def interrupt(estimator, epoch):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted by user"):
        assert classify(callbacks=[interrupt]).fit(IRIS, KIND).n_iter_ == 1


def test_what_is_saved_comes_back_as_it_was(tmp_path):
    kinds = KIND.astype(np.int8)
    fitted = classify(
        class_weight={0: 1.0, 1: 2.0, 2: 3.0},
        dtype=np.float64,
        early_stopping=True,
        n_iter_no_change=np.inf,
    ).fit(IRIS, kinds)
    fitted.save(tmp_path / "a.npz")
    read = MLPClassifier.load(tmp_path / "a.npz")
    assert read.class_weight == fitted.class_weight
    assert read.dtype == "float64"
    assert read.n_iter_no_change == np.inf
    assert read.classes_.dtype == np.int8
    assert read._best == fitted._best
    assert read._no_improvement_count == fitted._no_improvement_count
    slow = classify(solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=10.0)
    slow.fit(IRIS, KIND).save(tmp_path / "b.npz")
    again = MLPClassifier.load(tmp_path / "b.npz").partial_fit(IRIS, KIND)
    assert len(again.loss_curve_) == 6


def test_sparse_multilabel_targets_and_a_plateau_schedule_are_taken():
    x, y = datasets.make_multilabel_classification(100, random_state=0)
    dense = classify().fit(x, y)
    np.testing.assert_array_equal(
        weights_of(classify().fit(x, sparse.csr_matrix(y))), weights_of(dense)
    )
    assert classify(schedule="plateau", early_stopping=True).fit(IRIS, KIND).n_iter_ == 5


def test_warnings_are_as_few_as_scikit_learns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify(max_iter=300, learning_rate_init=0.05).fit(IRIS, KIND)
