"""What is said about a network's predictions and layers, against scikit-learn, SciPy and counts."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support

from scratchnet import Affine, MultiLayerNet, Network, ReLU, Samples, Trainer, load
from scratchnet.inspection import (
    confusion_matrix,
    inspect_layers,
    inspect_predictions,
    wilson_interval,
)
from scratchnet.inspection.layers import FLAT
from scratchnet.layers import LOSSES


@pytest.fixture(scope="module")
def trained():
    """A network for the digits that still gets some of them wrong, and the test samples."""
    train, test = load("digits")
    network = MultiLayerNet(64, [20], 10)
    list(Trainer(network, train, lr=0.003).run(6))
    return network, test


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (7, 10), (9_812, 10_000), (1, 1)])
def test_the_interval_of_an_accuracy_is_wilsons(right, n):
    other = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson_interval(right, n) == pytest.approx((other.low, other.high), abs=1e-12)


def test_the_confusion_matrix_is_scikit_learns():
    rng = np.random.default_rng(0)
    t, y = rng.integers(0, 7, 500), rng.integers(0, 6, 500)
    found = confusion_matrix(t, y, 7)
    np.testing.assert_array_equal(found, sklearn_confusion(t, y, labels=range(7)))


def test_precision_and_recall_of_each_class_are_scikit_learns(trained):
    network, test = trained
    found = inspect_predictions(network, test, 10)
    y = network.predict(test[:][0]).argmax(axis=1)
    np.testing.assert_array_equal(found["confusion"], sklearn_confusion(test.t, y))
    columns = precision_recall_fscore_support(test.t, y)
    for name, values in zip(("precision", "recall", "f1", "count"), columns, strict=True):
        np.testing.assert_allclose([row[name] for row in found["per_class"]], values, rtol=1e-12)
    right = int(np.trace(found["confusion"]))
    assert found["interval"] == list(wilson_interval(right, len(test)))
    assert right / len(test) == network.accuracy(*test[:])


def test_a_class_that_nobody_predicted_has_no_precision():
    network = Network([Affine(2, 3)])
    network.params["W1"][:] = 0
    network.params["b1"][:] = [1, 0, 0]  # always class 0
    found = inspect_predictions(network, Samples(np.ones((4, 2)), [0, 0, 1, 1]), 3)
    assert found["per_class"][0]["precision"] == 0.5
    assert found["per_class"][0]["recall"] == 1.0
    assert found["per_class"][1]["precision"] is None
    assert found["per_class"][1]["recall"] == 0.0
    assert found["per_class"][2] == {
        "class": 2,
        "precision": None,
        "recall": None,
        "f1": None,
        "count": 0,
    }


def test_calibration_compares_confidence_with_how_often_it_was_right(trained):
    network, test = trained
    found = inspect_predictions(network, test, 10)
    logits = network.predict(test[:][0]).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sure, right = p.max(axis=1), p.argmax(axis=1) == test.t
    assert sum(b["count"] for b in found["calibration"]) == len(test)
    total = 0.0
    for b in found["calibration"]:
        inside = (sure >= b["from"]) & ((sure < b["to"]) | (b["to"] == 1))
        assert inside.sum() == b["count"]
        assert b["accuracy"] == right[inside].mean()
        assert b["confidence"] == pytest.approx(sure[inside].mean(), rel=1e-5)
        total += inside.sum() * abs(right[inside].mean() - sure[inside].mean())
    assert found["calibration_error"] == pytest.approx(total / len(test), rel=1e-4)


def test_mistakes_are_the_wrong_ones_with_the_most_confidence_first(trained):
    network, test = trained
    found = inspect_predictions(network, test, 10)
    y = network.predict(test[:][0]).argmax(axis=1)
    sure = [m["confidence"] for m in found["mistakes"]]
    assert sure == sorted(sure, reverse=True)
    assert 1 <= len(sure) <= 24
    for m in found["mistakes"]:
        assert (m["label"], m["prediction"]) == (test.t[m["row"]], y[m["row"]])
        assert m["label"] != m["prediction"]


@pytest.mark.parametrize("loss", LOSSES)
def test_confidences_lie_between_0_and_1_and_predictions_are_those_that_accuracy_counts(loss):
    network = MultiLayerNet(3, [4], 5, loss=loss, labels="integer")
    rng = np.random.default_rng(0)
    network.vector[:] = 3 * rng.normal(size=network.vector.size)
    samples = Samples(rng.normal(size=(200, 3)), rng.integers(0, 5, 200))
    found = inspect_predictions(network, samples, 5)
    assert np.trace(found["confusion"]) / 200 == network.accuracy(*samples[:])
    for b in found["calibration"]:
        assert 0 <= b["from"] <= b["confidence"] <= b["to"] + 1e-6 <= 1 + 1e-6


def test_layers_have_the_norms_of_their_parameters_and_gradients():
    network = MultiLayerNet(3, [4], 2, dtype="float64")
    x, t = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 1, 0])
    network.gradient(x, t)
    first, relu, last = inspect_layers(network, Samples(x, t))
    for k, row in ((1, first), (2, last)):
        w, b = network.params[f"W{k}"], network.params[f"b{k}"]
        dw, db = network.grads[f"W{k}"], network.grads[f"b{k}"]
        assert row["weight_norm"] == pytest.approx(np.hypot(np.linalg.norm(w), np.linalg.norm(b)))
        assert row["gradient_norm"] == pytest.approx(
            np.hypot(np.linalg.norm(dw), np.linalg.norm(db))
        )
        assert row["flat"] is row["dead"] is None
    assert relu["weight_norm"] is relu["gradient_norm"] is None
    assert relu["layer"] == "2 ReLU()"


def test_dead_units_are_those_that_are_flat_for_every_sample():
    network = MultiLayerNet(2, [4], 2)
    network.params["W1"][:] = [[1, 0, -1, 0], [0, 1, 0, -1]]
    network.params["b1"][:] = 0
    samples = Samples(np.array([[1.0, 2.0], [3.0, -1.0]]), [0, 1])
    (relu,) = [r for r in inspect_layers(network, samples) if r["flat"] is not None]
    assert relu["dead"] == 0.25  # the third is off for both, the fourth on for the second
    assert relu["flat"] == 0.5


@pytest.mark.parametrize(("activation", "large"), [("sigmoid", 20.0), ("tanh", 20.0)])
def test_saturated_units_are_flat_too(activation, large):
    network = MultiLayerNet(1, [2], 2, activation=activation)
    network.params["W1"][:] = [[large, 0.1]]
    (row,) = [
        r
        for r in inspect_layers(network, Samples(np.array([[1.0], [-1.0]]), [0, 1]))
        if r["flat"] is not None
    ]
    assert row["dead"] == row["flat"] == 0.5
    assert FLAT == 0.01


def test_looking_changes_nothing():
    train, test = load("digits")
    network = MultiLayerNet(64, [20], 10, batch_norm=True, dropout=0.2)
    trainer = Trainer(network, train)
    list(trainer.run(1))
    before, grads = network.state_vector.copy(), network.gradient_vector.copy()
    inspect_layers(network, train.first(200))
    inspect_predictions(network, test, 10)
    np.testing.assert_array_equal(before, network.state_vector)
    np.testing.assert_array_equal(grads, network.gradient_vector)


def test_an_identity_is_never_called_flat():
    network = Network([Affine(2, 3), ReLU(), Affine(3, 2)])
    names = [r["layer"] for r in inspect_layers(network, Samples(np.ones((1, 2)), [0]))]
    assert names == ["1 Affine(2, 3)", "2 ReLU()", "3 Affine(3, 2)"]
    plain = MultiLayerNet(2, [3], 2, activation="identity")
    found = inspect_layers(plain, Samples(np.ones((1, 2)), [0]))
    assert all(r["flat"] is None for r in found)
