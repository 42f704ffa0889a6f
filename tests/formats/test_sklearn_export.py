"""scikit-learn's classes: they predict what the network predicts, from raw values."""

import io

import exported
import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier, MLPRegressor

from scratchnet import MultiLayerNet, Network
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DivergenceError, OutputError, ParameterError
from scratchnet.formats.sklearn import ACTIVATIONS, save_sklearn, to_sklearn
from scratchnet.layers import (
    Affine,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dropout,
    GaussianNoise,
    Huber,
    MeanSquaredError,
    PoissonLoss,
    QuantileLoss,
    ReLU,
    SoftmaxWithLoss,
    Standardize,
    Tanh,
)

RNG = np.random.default_rng(0)


def network_of(loss=None, outputs=3, activation=ReLU, scale=1 / 255, dtype="float32"):
    layers = [Affine(6), activation(), Dropout(0.2), Affine(5, bias=False), activation()]
    network = Network([*layers, Affine(outputs)], loss, input_shape=(7,), dtype=dtype)
    network.preparation = Preparation(scale=scale)
    return exported.at_random(network)


def raw(n):
    return RNG.integers(0, 256, (n, 7)).astype(np.float32)


CLASSES = {
    "three": (SoftmaxWithLoss(), 3),
    "two": (SoftmaxWithLoss("soft"), 2),
    "one": (BinaryCrossEntropy("integer"), 1),
    "one-value": (BinaryCrossEntropy("values"), 1),
    "labels": (BinaryCrossEntropy("values"), 4),
    "two-labels": (BinaryCrossEntropy("values"), 2),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", CLASSES)
def test_a_classifier_predicts_alike(case, activation, dtype):
    network = network_of(*CLASSES[case], activation, dtype=dtype)
    made = to_sklearn(network)
    assert type(made) is MLPClassifier
    for n in (1, 30):
        x = raw(n)
        rows = network.preparation.rows(x)
        p = network.predict_proba(rows)
        np.testing.assert_allclose(made.predict_proba(x), p, rtol=0, atol=2e-6)
        if np.abs(p - 0.5).min() > 1e-5:
            np.testing.assert_array_equal(made.predict(x), network.predict_classes(rows))


VALUES = {
    "squares": (MeanSquaredError(), 2),
    "one": (Huber(), 1),
    "counts": (PoissonLoss(), 1),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_regressor_predicts_alike(case):
    if case == "counts" and "loss" not in MLPRegressor().get_params():
        pytest.skip("this scikit-learn has no Poisson loss")
    network = network_of(*VALUES[case])
    made, x = to_sklearn(network), raw(30)
    assert type(made) is MLPRegressor
    y = network.loss_layer.predictions(network.predict(network.preparation.rows(x)))
    found = made.predict(x).reshape(y.shape)
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)


def test_a_linear_network_has_no_hidden_layer():
    network = exported.at_random(Network([Affine(7, 3)]))
    x = raw(9) / 255
    p = to_sklearn(network).predict_proba(x)
    np.testing.assert_allclose(p, network.predict_proba(x), atol=2e-6)


def test_the_weights_are_copies_and_the_arguments_those_of_the_network():
    network = network_of(scale=1.0)
    made = to_sklearn(network)
    made.coefs_[0][...] = 0
    assert network.params["W1"].any()
    assert made.get_params()["hidden_layer_sizes"] == (6, 5)
    assert made.get_params()["activation"] == "relu"
    assert clone(made).get_params() == made.get_params()
    assert (made.n_layers_, made.n_features_in_, made.out_activation_) == (4, 7, "softmax")


def test_it_can_be_trained_further():
    made = to_sklearn(network_of())
    with pytest.warns(UserWarning, match="Stochastic|Training"):
        made.set_params(warm_start=True, max_iter=2).fit(raw(30) / 255, np.arange(30) % 3)
    made = to_sklearn(network_of(scale=1.0)).partial_fit(raw(30) / 255, np.arange(30) % 3)
    assert len(made.loss_curve_) == 1


def test_a_file_is_read_by_joblib(tmp_path):
    network = network_of()
    save_sklearn(network, tmp_path / "net.joblib")
    x = raw(5)
    p = joblib.load(tmp_path / "net.joblib").predict_proba(x)
    np.testing.assert_array_equal(p, to_sklearn(network).predict_proba(x))
    with pytest.raises(OutputError, match="no-folder"):
        save_sklearn(network, tmp_path / "no-folder" / "net.joblib")


def test_the_network_of_options_is_held():
    network = MultiLayerNet(7, [5], 3, "tanh", noise=0.1, input_dropout=0.1)
    x = raw(9) / 255
    p = to_sklearn(network).predict_proba(x)
    np.testing.assert_allclose(p, network.predict_proba(x), atol=2e-6)


# What is refused.


class Own(ReLU):
    """A layer of a user's own."""


class Noise(GaussianNoise):
    """One that looks like a layer of ours."""


class Shifted(SoftmaxWithLoss):
    """A loss of a user's own."""

    def confidences(self, y):
        return super().confidences(y + 1)


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ([Standardize(), Affine(3)], r"no Standardize\("),
        ([Affine(3), BatchNorm(), ReLU(), Affine(3)], r"no BatchNorm\(3\)"),
        ([Affine(3), Own(), Affine(3)], r"no Own\(\)"),
        ([Noise(), Affine(3)], r"no GaussianNoise\("),
        ([Affine(3), ReLU(), Affine(3), Tanh(), Affine(3)], "the same activation in all"),
        ([Affine(3), ReLU()], "none behind the last"),
        ([Affine(3), Affine(3)], r"no Affine\(3, 3\) in this place"),
    ],
)
def test_layers_that_it_cannot_hold_are_named(layers, match):
    with pytest.raises(ParameterError, match=match + ".*; keep the network, or write it as ONNX"):
        to_sklearn(Network(layers, input_shape=(4,)))


def test_convolutions_are_named():
    with pytest.raises(ParameterError, match=r"no Conv2D\(2, 3\)"):
        to_sklearn(Network([Conv2D(2, 3), Affine(3)], input_shape=(5, 5)))


@pytest.mark.parametrize(
    ("loss", "k"),
    [
        (MeanSquaredError("integer"), 3),
        (BinaryCrossEntropy("integer"), 3),
        (SoftmaxWithLoss(), 1),
        (QuantileLoss((0.1, 0.5)), 2),
        (Shifted(), 3),
    ],
)
def test_losses_that_it_cannot_hold_are_named(loss, k):
    with pytest.raises(ParameterError, match=rf"no {type(loss).__name__}\(.* of {k} output"):
        to_sklearn(Network([Affine(4, k)], loss))


def test_an_older_scikit_learn_has_no_counts(monkeypatch):
    monkeypatch.setattr(MLPRegressor, "get_params", lambda self, deep=True: {})
    with pytest.raises(ParameterError, match=r"version 1\.7 or later for PoissonLoss"):
        to_sklearn(Network([Affine(4, 1)], PoissonLoss()))


def test_values_that_are_not_finite_are_not_exported():
    network = network_of()
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="W1"):
        joblib.dump(to_sklearn(network), io.BytesIO())
