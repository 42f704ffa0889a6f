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
from scratchnet.errors import ParameterError
from scratchnet.estimator import MLPClassifier, MLPRegressor, fitting
from scratchnet.estimator.multiplicity import deduplicate, row_keys

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
        ({"solver": "newton"}, "solver must be one of lbfgs, sgd, adam, got 'newton'"),
        ({"learning_rate": "fast"}, "learning_rate must be one of"),
        ({"alpha": -1}, "alpha must be a finite number >= 0"),
        ({"max_iter": 0}, "max_iter must be an integer >= 1"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"validation_fraction": 1.5, "early_stopping": True}, "validation_fraction must be"),
        ({"hidden_layer_sizes": (0,)}, r"hidden_sizes\[0\] must be an integer >= 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"optimizer": "adma"}, "did you mean 'adam'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be an integer >= 1"),
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
    with pytest.raises(ValueError, match="label_smoothing needs more than two classes"):
        classify(label_smoothing=0.1).fit(IRIS, KIND == 1)
    with pytest.raises(ValueError, match="loss must be one of squared_error, poisson"):
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
    for module in (fitting, estimator_module):
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
    merged = deduplicate(x, t, None)
    assert merged[0] is x
    assert merged[1] is t
    assert merged[2:] == (None, 6)


@pytest.mark.parametrize("weights", [np.zeros(3), np.array([1.0, -1.0, 1.0]), -np.ones(3)])
def test_weights_below_0_and_none_above_it_are_refused(weights):
    with pytest.raises(ParameterError, match="must be >= 0 and not all 0"):
        deduplicate(np.arange(6.0).reshape(3, 2), np.arange(3), weights)


def test_equal_rows_with_other_targets_stay_apart():
    x, t, w, n = deduplicate(np.ones((4, 2)), np.array([0, 0, 1, 1]), np.array([1, 2, 3, 0]))
    assert sorted(zip(t.tolist(), w.tolist(), strict=True)) == [(0, 3.0), (1, 3.0)]
    assert (len(x), n) == (2, 6)


def test_weights_that_are_not_whole_are_shares_of_the_rows_that_came():
    _, t, w, n = deduplicate(np.eye(3), np.arange(3), np.array([0.1, 0.1, 0.2]))
    assert n == 3
    assert dict(zip(t.tolist(), w.tolist(), strict=True)) == pytest.approx(
        {0: 0.75, 1: 0.75, 2: 1.5}
    )
    assert deduplicate(np.eye(3), np.arange(3), np.full(3, 1 / 3))[2] is None


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
    fitted.fit(1 - X[:600], Y[:600], X_val=1 - X[600:800], y_val=Y[600:800])
    assert (fitted.predict_proba(X[:3]) != before).any()
    assert fitted.best_validation_score_ in fitted.validation_scores_[20:]


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
    with pytest.raises(ValueError, match="dropout"):
        fitted.set_params(dropout=2).fit(IRIS, KIND == 1)
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
    slow = classify(solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=10.0)
    slow.fit(IRIS, KIND).save(tmp_path / "b.npz")
    assert MLPClassifier.load(tmp_path / "b.npz").partial_fit(IRIS, KIND).n_iter_ == 6


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
