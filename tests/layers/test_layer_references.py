"""Layers and losses against what torch gives: outputs, derivatives, statistics.

The numbers stand in `reference/layers.npz`, with what made them; the tests need nothing but NumPy.
"""

from pathlib import Path

import numpy as np
import pytest

from scratchnet.layers import (
    ACTIVATIONS,
    BatchNorm,
    BinaryCrossEntropy,
    Huber,
    LayerNorm,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
    PReLU,
    SoftmaxWithLoss,
)

TOLERANCE = 1e-12

with np.load(Path(__file__).parents[1] / "reference" / "layers.npz") as file:
    STORED = dict(file)


def stored(case):
    """The arrays of a case by name."""
    return {
        key.removeprefix(f"{case}."): array
        for key, array in STORED.items()
        if key.startswith(f"{case}.")
    }


INPUT = stored("input")


def assert_close(found, reference):
    """To 1e-12 of the largest value of each column; a column of its own scale hides in no other."""
    assert found.shape == reference.shape
    scale = np.abs(reference).max(axis=0)
    assert (np.abs(found - reference) <= TOLERANCE * scale).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_slope_are_torch_s(name):
    reference, layer, x = stored(name), ACTIVATIONS[name](), INPUT["x"]
    assert {0.0, 1e-12, 30.0, -200.0, 1e4} < set(x.flat)
    y, dx = layer.forward(x), layer.backward(INPUT["dout"])
    # Value by value: what is tiny must have its digits too, until float64 itself has none.
    np.testing.assert_allclose(y, reference["y"], rtol=TOLERANCE, atol=1e-300)
    np.testing.assert_allclose(dx, reference["dx"], rtol=TOLERANCE, atol=1e-14)
    if name == "prelu":
        gradient = np.zeros(1, "float64") + layer.grads["a"]
        np.testing.assert_allclose(gradient, reference["dweight"], rtol=1e-6)  # kept in float32


def test_prelu_with_a_slope_for_each_unit_is_torch_s():
    reference, layer = stored("prelu-each"), PReLU(5, "float64")
    layer.params["a"] = INPUT["slopes"]
    assert_close(layer.forward(INPUT["x"]), reference["y"])
    assert_close(layer.backward(INPUT["dout"]), reference["dx"])
    assert_close(layer.grads["a"], reference["dweight"])


def prepared(layer):
    layer.params["gamma"], layer.params["beta"] = INPUT["gamma"], INPUT["beta"]
    return layer


def compare(layer, x, dout, reference, train):
    assert_close(layer.forward(x, train=train), reference["y"])
    # Beside a variance of 0 dx is dout / sqrt(eps), up to what rounding leaves of dout - mean.
    assert_close(layer.backward(dout), reference["dx"])
    assert_close(layer.grads["gamma"], reference["dweight"])
    assert_close(layer.grads["beta"], reference["dbias"])


def test_batch_norm_in_training_and_its_average_statistics_are_torch_s():
    reference, layer = stored("batch-norm"), prepared(BatchNorm(5, dtype="float64"))
    for k, (x, dout) in enumerate(zip(INPUT["batches"], INPUT["batches_dout"], strict=True)):
        of_batch = {
            name.removeprefix(f"{k}."): array
            for name, array in reference.items()
            if name.startswith(f"{k}.")
        }
        compare(layer, x, dout, of_batch, train=True)
        assert_close(layer.statistics["running_mean"], of_batch["running_mean"])
        assert_close(layer.statistics["running_var"], of_batch["running_var"])
    of_evaluation = {
        name.removeprefix("evaluation."): array
        for name, array in reference.items()
        if name.startswith("evaluation.")
    }
    compare(layer, INPUT["batches"][0], INPUT["batches_dout"][0], of_evaluation, train=False)


def test_layer_norm_is_torch_s():
    layer = prepared(LayerNorm(5, dtype="float64"))
    compare(layer, INPUT["rows"], INPUT["batches_dout"][0], stored("layer-norm"), train=True)


LOSSES = {
    "softmax": (SoftmaxWithLoss(), "t"),
    "smoothed": (SoftmaxWithLoss(label_smoothing=0.1), "t"),
    "smoothed-soft": (SoftmaxWithLoss("soft", label_smoothing=0.3), "distributions"),
    "weighted": (SoftmaxWithLoss(class_weight=INPUT["weights"]), "t"),
    "binary": (BinaryCrossEntropy(), "p"),
    "squares": (MeanSquaredError(), "values"),
    "absolute": (MeanAbsoluteError(), "values"),
    "huber": (Huber(delta=0.7), "values"),
    "poisson": (PoissonLoss(), "counts"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_torch_s(name):
    reference, (loss, targets) = stored(name), LOSSES[name]
    y = INPUT["values" if name == "poisson" else "y"]
    assert loss.forward(y, INPUT[targets]) == pytest.approx(reference["L"], rel=TOLERANCE)
    np.testing.assert_allclose(loss.backward(), reference["dy"], rtol=TOLERANCE, atol=1e-17)


def test_everything_stored_is_compared():
    images = ("convolution-", "max-pool", "avg-pool", "global-", "channels")  # another module's
    cases = {key.split(".")[0] for key in STORED if not key.startswith(images)}
    compared = {*ACTIVATIONS, *LOSSES, "prelu-each", "batch-norm", "layer-norm"}
    assert cases == compared | {"input", "config"}
