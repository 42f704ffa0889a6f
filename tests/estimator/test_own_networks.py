"""Losses and layers of one's own in the estimators, quantiles, and what scikit-learn can hold."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.preprocessing import StandardScaler

from scratchnet import check_gradients
from scratchnet.errors import CallOrderError, DataError, ParameterError
from scratchnet.estimator import (
    MLPClassifier,
    MLPRegressor,
    NetworkClassifier,
    NetworkRegressor,
)
from scratchnet.layers import (
    Affine,
    BatchNorm,
    Dropout,
    ElementwiseLoss,
    Huber,
    Layer,
    LayerNorm,
    MeanSquaredError,
    QuantileLoss,
    ReLU,
    SoftmaxWithLoss,
    Tanh,
)
from scratchnet.layers.guess import best_constant

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
IRIS, KIND = datasets.load_iris(return_X_y=True)
SCALED = StandardScaler().fit_transform(IRIS)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)
FEATURES = StandardScaler().fit_transform(DIABETES)
LEVEL = (PROGRESS - PROGRESS.mean()) / PROGRESS.std()


class LogCosh(ElementwiseLoss):
    """L = sum_nk log cosh(s (y_nk - t_nk)) / s^2 N; dL/dy = tanh(s (y - t)) / s N."""

    def __init__(self, labels="values", *, steepness=1.0):
        super().__init__(labels)
        self.steepness = steepness

    def config(self):
        return {**super().config(), "steepness": self.steepness}

    def per_sample_loss(self, y, t):
        s, e = self.steepness, self.difference(y, t)
        return (np.logaddexp(s * e, -s * e) - np.log(2)).sum(axis=1) / s**2

    def per_sample_gradient(self):
        s = self.steepness
        return np.tanh(s * (self.y - self.t)) / s


class Focal(SoftmaxWithLoss):
    """(1 - p_t)^2 times the cross-entropy; its gradient by the chain rule through p."""

    def per_sample_loss(self, y, t):
        self.losses = super().per_sample_loss(y, t)
        self.p_t = self.p[np.arange(len(t)), t]
        return (1 - self.p_t) ** 2 * self.losses

    def per_sample_gradient(self):
        q, d = 1 - self.p_t, super().per_sample_gradient()  # d = -d(log p_t)/dy ... of each row
        # d/dy q^2 L = q^2 dL/dy - 2 q L dp_t/dy, and dp_t/dy = -p_t dL/dy
        return d * (q**2 + 2 * q * self.losses * self.p_t)[:, np.newaxis]


class Square(Layer):
    """y = x^2; dL/dx = 2 x dout."""

    x = None

    def forward(self, x, *, train=False):
        self.x = x
        return x**2

    def input_grad(self, dout):
        return 2 * self.x * dout


def stack(n_features, n_outputs, rng):
    """Layers whose sizes the estimator knows."""
    hidden = Affine(n_features, 12, rng=rng)
    return [hidden, LayerNorm(12), Tanh(), Affine(12, n_outputs, rng=rng)]


# Losses


@pytest.mark.parametrize("loss", [LogCosh(), LogCosh(steepness=3.0), Huber(delta=0.5)])
def test_a_loss_of_one_s_own_is_checked_by_one_call(loss):
    rng = np.random.default_rng(0)
    check_gradients(loss, rng.normal(size=(7, 3)), rng.normal(size=(7, 3)))  # raises if it fails
    check_gradients(Focal(), rng.normal(size=(7, 3)), np.arange(7) % 3)


def test_a_loss_of_one_s_own_goes_through_clone_search_pickle_and_a_file(tmp_path):
    made = MLPRegressor(LogCosh(steepness=2.0), max_iter=60, random_state=0)
    assert clone(made).loss.steepness == 2.0
    grid = {"loss": [LogCosh(), LogCosh(steepness=4.0)], "alpha": [0.0, 1.0]}
    search = GridSearchCV(made, grid, cv=2, n_jobs=2).fit(FEATURES, LEVEL)
    assert search.best_score_ > 0.2
    fitted = search.best_estimator_
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict(FEATURES), fitted.predict(FEATURES))
    fitted.save(tmp_path / "a.npz")
    read = MLPRegressor.load(tmp_path / "a.npz", classes=[LogCosh])
    np.testing.assert_array_equal(read.predict(FEATURES), fitted.predict(FEATURES))
    assert read.loss.steepness == fitted.loss.steepness
    read.partial_fit(FEATURES, LEVEL)
    with pytest.raises(DataError, match=r"load_network\(path, classes=\[LogCosh\]\)|LogCosh"):
        MLPRegressor.load(tmp_path / "a.npz")


@pytest.mark.parametrize("y", [KIND, KIND == 1, np.array(["a", "b", "c"])[KIND]], ids=str)
def test_a_loss_of_classes_gives_probabilities_and_classes(y):
    fitted = MLPClassifier(loss=Focal(), max_iter=300, learning_rate_init=0.01, random_state=0)
    fitted.fit(SCALED, y)
    assert fitted.score(SCALED, y) > 0.9
    p = fitted.predict_proba(SCALED)
    assert p.shape == (150, len(np.unique(y)))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    of_values = MLPClassifier(loss=MeanSquaredError(), max_iter=300, random_state=0)
    assert of_values.fit(SCALED, y).score(SCALED, y) > 0.85
    np.testing.assert_allclose(of_values.predict_proba(SCALED).sum(axis=1), 1)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", Huber(delta=0.3)], ids=str)
def test_outliers_move_absolute_and_huber_losses_less_than_squares(loss):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    truth = x @ [1.0, -2.0]
    y = truth + 0.1 * rng.normal(size=600)
    y[:60] += 50.0
    make = {"hidden_layer_sizes": (), "max_iter": 500, "learning_rate_init": 0.02}
    errors = [
        np.abs(MLPRegressor(one, **make, random_state=0).fit(x, y).predict(x) - truth).mean()
        for one in (loss, "squared_error")
    ]
    assert errors[0] < 0.3 < 2 < errors[1]


def test_the_absolute_loss_finds_the_median_and_lbfgs_the_line():
    y = np.random.default_rng(0).permutation(np.r_[np.zeros(70), np.full(30, 9.0)])
    x = np.zeros((100, 1)) + 1e-3 * np.arange(100)[:, np.newaxis]
    options = {"max_iter": 2000, "schedule": "cosine", "n_iter_no_change": 2000}
    fitted = MLPRegressor("absolute_error", (), learning_rate_init=0.05, random_state=0, **options)
    assert abs(np.median(fitted.fit(x, y).predict(x))) < 1.0
    line = MLPRegressor("huber", (), solver="lbfgs", alpha=0, max_iter=500, random_state=0)
    exact = LinearRegression().fit(FEATURES, FEATURES[:, 0] * 0.3 + 0.1)
    line.fit(FEATURES, exact.predict(FEATURES))
    np.testing.assert_allclose(line.predict(FEATURES), exact.predict(FEATURES), atol=1e-2)


@pytest.mark.parametrize(
    ("loss", "t", "k"),
    [
        (SoftmaxWithLoss(), KIND[:120], 3),
        (MeanSquaredError(), PROGRESS[:, np.newaxis], 1),
        (Huber(), np.c_[PROGRESS, -PROGRESS], 2),
        (QuantileLoss((0.1, 0.5, 0.7)), PROGRESS[:, np.newaxis], 3),
        (LogCosh(), PROGRESS[:, np.newaxis], 1),
    ],
    ids=str,
)
def test_no_other_constant_is_better_than_the_best(loss, t, k):
    loss.adapt(t, k)
    best = best_constant(loss, t, k)
    if isinstance(loss, LogCosh):
        assert best is None
        return

    def of(y):
        return loss.compute(np.broadcast_to(y, (len(t), k)).astype(float), t)

    rng = np.random.default_rng(0)
    step = 1.0 if isinstance(loss, Huber) else 0.05
    assert all(of(best) <= of(best + step * rng.normal(size=k)) + 2e-3 for _ in range(30))


# Layers


@pytest.mark.parametrize(
    ("make", "y"), [(NetworkClassifier, KIND), (NetworkClassifier, KIND == 1)], ids=str
)
def test_given_layers_classify_and_a_function_knows_the_sizes(make, y):
    network = make(stack, max_iter=300, learning_rate_init=0.01, random_state=0)
    fitted = network.fit(SCALED, y)
    assert fitted.score(SCALED, y) > 0.95
    assert fitted.predict_proba(SCALED).shape == (150, len(np.unique(y)))
    again = clone(network).fit(SCALED, y)
    np.testing.assert_array_equal(again.coefs_[0], fitted.coefs_[0])
    other = clone(network).set_params(random_state=1).fit(SCALED, y)
    assert (other.coefs_[0] != fitted.coefs_[0]).any()
    assert cross_val_score(network, SCALED, y, cv=3).mean() > 0.9


def test_given_layers_start_from_their_weights_and_are_left_as_they_were():
    layers = [Affine(10, 8, rng=3), ReLU(), Dropout(0.1), Square(), Affine(8, 1, rng=4)]
    before = layers[0].params["W"].copy()
    network = NetworkRegressor(layers, max_iter=3, random_state=0)
    fitted = network.fit(FEATURES, LEVEL)
    np.testing.assert_array_equal(layers[0].params["W"], before)
    assert fitted.layers is layers
    assert np.abs(fitted.coefs_[0] - before).max() < 0.1
    again = clone(network).fit(FEATURES, LEVEL)
    np.testing.assert_array_equal(again.coefs_[0], fitted.coefs_[0])


def test_a_network_of_own_layers_is_saved_and_read(tmp_path):
    layers = [Affine(10, 8), Square(), BatchNorm(8), Affine(8, 1)]
    fitted = NetworkRegressor(layers, "huber", max_iter=5, random_state=0).fit(FEATURES, LEVEL)
    fitted.save(tmp_path / "a.npz")
    read = NetworkRegressor.load(tmp_path / "a.npz", classes=[Square])
    np.testing.assert_array_equal(read.predict(FEATURES), fitted.predict(FEATURES))
    read.partial_fit(FEATURES, LEVEL).fit(FEATURES, LEVEL)
    with pytest.raises(DataError, match="Square"):
        NetworkRegressor.load(tmp_path / "a.npz")
    made = NetworkClassifier(stack, max_iter=3, random_state=0).fit(IRIS, KIND)
    made.save(tmp_path / "b.npz")
    again = NetworkClassifier.load(tmp_path / "b.npz")
    np.testing.assert_array_equal(again.predict_proba(IRIS), made.predict_proba(IRIS))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (None, "layers must be a list of layers"),
        ([], "layers must be a list of layers"),
        ("mlp", "'layers' parameter of NetworkClassifier must be"),
        ([Affine(4, 2), "relu"], "layers must be a list of layers"),
        ([Affine(4, 5)], "must take the 4 features and give 3 outputs, they take 4 and give 5"),
        ([Affine(3, 3)], "must take the 4 features"),
        ([Affine(4, 2), Affine(3, 3)], "takes 3 inputs, the layer before gives 2"),
    ],
    ids=str,
)
def test_layers_that_do_not_fit_are_named(layers, words):
    with pytest.raises(ValueError, match=words):
        NetworkClassifier(layers).fit(IRIS, KIND)


# Quantiles


def noisy(n=600, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, 1))
    return x, 1000 + 100 * (x[:, 0] + (0.2 + 0.3 * np.abs(x[:, 0])) * rng.normal(size=n))


QUANTILE = {"max_iter": 150, "learning_rate_init": 0.01, "random_state": 0}


def test_quantiles_of_one_network_never_cross_and_are_near_the_true_ones():
    x, y = noisy(3000)
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    fitted = MLPRegressor("quantile", quantiles=quantiles, **QUANTILE, schedule="cosine")
    fitted.set_params(n_iter_no_change=150).fit(x, y)
    assert fitted.n_outputs_ == 1
    far = np.linspace(-50, 50, 999)[:, np.newaxis]
    q = fitted.predict_quantiles(far)
    assert q.shape == (999, 5)
    assert (np.diff(q, axis=1) >= 0).all()
    np.testing.assert_array_equal(fitted.predict(far), q[:, 2])
    x, y = noisy(5000, 1)
    q = fitted.predict_quantiles(x)
    for k, a in enumerate(quantiles):
        assert (y <= q[:, k]).mean() == pytest.approx(a, abs=0.03)
        guess = np.full(len(y), np.quantile(y, a))
        ours = mean_pinball_loss(y, q[:, k], alpha=a)
        assert ours < 0.5 * mean_pinball_loss(y, guess, alpha=a)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_intervals_from_held_out_samples_cover_what_they_should(coverage):
    found = []
    for seed in range(4):
        x, y = noisy(900, seed)
        fitted = MLPRegressor("quantile", early_stopping=True, validation_fraction=0.3, **QUANTILE)
        fitted.set_params(random_state=seed).fit(x, y)
        x, y = noisy(4000, seed + 100)
        bounds = fitted.predict_interval(x, coverage)
        assert (bounds[:, 0] <= bounds[:, 1]).all()
        found.append(((bounds[:, 0] <= y) & (y <= bounds[:, 1])).mean())
    assert np.mean(found) == pytest.approx(coverage, abs=0.04)


def test_intervals_without_held_out_samples_are_the_quantiles_themselves(tmp_path):
    x, y = noisy()
    fitted = MLPRegressor("quantile", quantiles=[0.1, 0.5, 0.9], **QUANTILE).fit(x, y)
    q = fitted.predict_quantiles(x)
    np.testing.assert_array_equal(fitted.predict_interval(x, 0.8), q[:, [0, 2]])
    with pytest.raises(ParameterError, match=r"needs the quantiles 0\.05 and 0\.95, or 9 held-out"):
        fitted.predict_interval(x, 0.9)
    for wrong in (0, 1, 1.5, "much"):
        with pytest.raises(ParameterError, match="coverage must be"):
            fitted.predict_interval(x, wrong)
    held = MLPRegressor("quantile", **QUANTILE).fit(x, y, X_val=x[:100], y_val=y[:100])
    held.save(tmp_path / "a.npz")
    read = MLPRegressor.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.predict_interval(x, 0.7), held.predict_interval(x, 0.7))
    assert read.quantiles == [0.05, 0.5, 0.95]


def test_quantiles_that_cannot_be_are_refused():
    for wrong in ([], [0.5, 0.5], [0.9, 0.1], [0.0, 0.5], [0.5, 1.0], ["a"]):
        with pytest.raises(ValueError, match="quantiles must be numbers that rise"):
            MLPRegressor("quantile", quantiles=wrong).fit(FEATURES, LEVEL)
    with pytest.raises(ValueError, match="'quantiles' parameter"):
        MLPRegressor("quantile", quantiles=0.5).fit(FEATURES, LEVEL)
    with pytest.raises(ParameterError, match="of one target, y has 2 columns"):
        MLPRegressor("quantile").fit(FEATURES, np.c_[LEVEL, LEVEL])
    fitted = MLPRegressor(max_iter=2).fit(FEATURES, LEVEL)
    with pytest.raises(CallOrderError, match="after fit with loss='quantile'"):
        fitted.predict_quantiles(FEATURES)
    with pytest.raises(NotFittedError):
        MLPRegressor("quantile").predict_interval(FEATURES)
    single = MLPRegressor("quantile", quantiles=[0.9], max_iter=2).fit(FEATURES, LEVEL)
    with pytest.raises(ParameterError, match="an interval needs two quantiles"):
        single.predict_interval(FEATURES)


# scikit-learn's own estimators


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
@pytest.mark.parametrize("sizes", [(), (7,), (9, 5)])
def test_scikit_learns_estimator_predicts_the_same(activation, sizes, dtype):
    make = {"hidden_layer_sizes": sizes, "activation": activation, "random_state": 0}
    make["max_iter"] = 20
    x = SCALED.astype(dtype)
    cases = [
        (MLPClassifier(**make), KIND),
        (MLPClassifier(**make), np.array(["a", "b"])[(KIND == 1).astype(int)]),
        (MLPClassifier(**make, dropout=0.1), np.eye(3, dtype=int)[KIND]),
        (MLPRegressor(**make), KIND * 1.0),
        (MLPRegressor("poisson", **make), KIND),
        (MLPRegressor("huber", **make), np.c_[KIND, -KIND]),
    ]
    for ours, y in cases:
        ours.fit(x, y)
        theirs = ours.to_sklearn()
        assert type(theirs).__module__.startswith("sklearn.")
        exact = activation in {"relu", "identity"} or not sizes
        last = partial(np.testing.assert_allclose, rtol=1e-4 if dtype == np.float32 else 1e-12)
        same = np.testing.assert_array_equal if exact else last
        if isinstance(ours, MLPRegressor):
            same(theirs.predict(x), ours.predict(x))
            same(theirs.predict(x[:1]), ours.predict(x[:1]))
        else:
            np.testing.assert_array_equal(theirs.predict(x), ours.predict(x))
            tolerance = 1e-5 if dtype == np.float32 else 1e-12
            np.testing.assert_allclose(
                theirs.predict_proba(x), ours.predict_proba(x), rtol=tolerance, atol=1e-7
            )
            if ours.out_activation_ == "softmax" and exact:
                np.testing.assert_array_equal(theirs.predict_proba(x), ours.predict_proba(x))
        assert theirs.predict(x).dtype == ours.predict(x).dtype
        assert theirs.score(x, y) == pytest.approx(ours.score(x, y), abs=1e-6)
        assert theirs.loss_curve_ == ours.loss_curve_
        back = type(ours).from_sklearn(theirs)
        np.testing.assert_array_equal(back.predict(x), ours.predict(x))
        theirs.partial_fit(x, y)
        back.partial_fit(x, y)
        assert pickle.loads(pickle.dumps(back)).score(x, y) == back.score(x, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_network_of_scikit_learns_comes_here(solver, tmp_path):
    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    for theirs, ours, y in (
        (TheirClassifier, MLPClassifier, KIND),
        (TheirClassifier, MLPClassifier, np.array(["a", "b"])[(KIND == 1).astype(int)]),
        (TheirClassifier, MLPClassifier, np.eye(3, dtype=int)[KIND]),
        (TheirRegressor, MLPRegressor, KIND),
        (TheirRegressor, MLPRegressor, np.c_[KIND, KIND]),
    ):
        fitted = (
            theirs((6, 5), max_iter=20, solver=solver)
            if theirs is TheirClassifier
            else (theirs(hidden_layer_sizes=(6, 5), max_iter=20, solver=solver))
        )
        fitted.fit(frame, y)
        mine = ours.from_sklearn(fitted)
        np.testing.assert_array_equal(mine.predict(frame), fitted.predict(frame))
        assert list(mine.feature_names_in_) == list("abcd")
        assert mine.get_params().items() >= fitted.get_params().items()
        mine.save(tmp_path / "a.npz")
        np.testing.assert_array_equal(
            ours.load(tmp_path / "a.npz").predict(frame), fitted.predict(frame)
        )
        mine.set_params(warm_start=True).fit(frame, y)


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (MLPRegressor(batch_norm=True), "no BatchNorm"),
        (MLPRegressor(standardize="features"), "no Standardize"),
        (MLPRegressor(activation="mish"), "no Mish"),
        (MLPRegressor(hidden_layer_sizes=(3, 2), activation=["relu", "tanh"]), "same activation"),
        (MLPRegressor("quantile"), "no QuantileLoss"),
        (MLPClassifier(loss=Focal()), "by log_loss alone"),
        (NetworkRegressor([Affine(10, 3), Affine(3, 1)]), "no Affine"),
    ],
    ids=str,
)
def test_what_scikit_learns_class_cannot_hold_is_named(ours, words):
    y = KIND[:150] if isinstance(ours, MLPClassifier) else LEVEL[:150]
    with pytest.raises(ParameterError, match=words):
        ours.set_params(max_iter=2).fit(FEATURES[:150], y).to_sklearn()
    with pytest.raises(NotFittedError):
        clone(ours).to_sklearn()


def test_from_sklearn_takes_the_class_of_its_name_alone():
    with pytest.raises(TypeError, match="takes scikit-learn's MLPClassifier, got MLPRegressor"):
        MLPClassifier.from_sklearn(TheirRegressor())
    with pytest.raises(NotFittedError):
        MLPClassifier.from_sklearn(TheirClassifier())


def test_intervals_follow_the_weights_that_there_are():
    x, y = noisy()
    fitted = MLPRegressor("quantile", **QUANTILE).partial_fit(x, y)
    np.testing.assert_array_equal(
        fitted.predict_interval(x, 0.9), fitted.predict_quantiles(x)[:, [0, 2]]
    )
    fitted.partial_fit(x, y, X_val=x[:100], y_val=y[:100])
    before = fitted._conformity
    fitted.partial_fit(x, y, X_val=x[:100], y_val=y[:100])
    assert fitted._conformity != before
    fitted.partial_fit(x, y)
    assert fitted._conformity == []
