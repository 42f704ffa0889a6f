"""Layers of images against what torch gives in float64: outputs, derivatives, statistics.

The numbers stand in `reference/layers.npz`, with what made them; the tests need nothing but NumPy.
"""

import numpy as np
import pytest
from test_layer_references import STORED, TOLERANCE, stored

from scratchnet import Affine, Network, ReLU
from scratchnet.layers import AvgPool, BatchNorm, Conv2D, GlobalAvgPool, MaxPool

OPTIONS = {
    "stride": {"stride": (2, 3)},
    "padding": {"padding": (1, 2)},
    "far-padding": {"padding": (4, 5)},
    "dilation": {"dilation": (2, 3)},
    "same": {"padding": "same"},
    "same-dilated": {"padding": "same", "dilation": 2},
    "everything": {"stride": 2, "padding": (2, 1), "dilation": (2, 3)},
    "one-row": {"stride": (1, 2)},
    "1x1-stride": {"stride": 2},
    "same-even": {"padding": "same"},
}
CONVOLUTIONS = sorted(
    name.removeprefix("convolution-").removesuffix(".x")
    for name in STORED
    if name.startswith("convolution-") and name.endswith(".x")
)
POOLS = {
    "max-pool": MaxPool(2),
    "max-pool-odd": MaxPool((3, 2)),
    "avg-pool": AvgPool(2),
    "avg-pool-odd": AvgPool((3, 2)),
    "global-avg-pool": GlobalAvgPool(),
}


def rows(images):
    """(N, H, W, C) as the flat rows of the house."""
    return images.reshape(len(images), -1)


def assert_close(found, reference):
    np.testing.assert_allclose(found, reference, rtol=0, atol=TOLERANCE * np.abs(reference).max())


def test_there_are_at_least_twelve_shapes():
    assert len(CONVOLUTIONS) >= 12
    assert set(OPTIONS) < set(CONVOLUTIONS)


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("adopted", [False, True], ids=["alone", "in-a-network"])
def test_a_convolution_is_torch_s(case, adopted):
    reference = stored(f"convolution-{case}")
    x, W = reference["x"], reference["W"]
    layer = Conv2D(
        W.shape[3], W.shape[:2], image=x.shape[1:], dtype="float64", **OPTIONS.get(case, {})
    )
    if adopted:
        Network([ReLU(), layer, Affine(2)], input_shape=x.shape[1:], dtype="float64")
    layer.params["W"], layer.params["b"] = W, reference["b"]
    assert layer.after == reference["y"].shape[1:]
    assert_close(layer.forward(rows(x)), rows(reference["y"]))
    assert_close(layer.backward(rows(reference["dout"])), rows(reference["dx"]))
    assert_close(layer.grads["W"], reference["dW"])
    assert_close(layer.grads["b"], reference["db"])


@pytest.mark.parametrize("case", POOLS)
def test_pooling_is_torch_s_with_ties_too(case):
    reference, layer = stored(case), POOLS[case]
    layer.build(reference["x"].shape[1:])
    assert_close(layer.forward(rows(reference["x"])), rows(reference["y"]))
    assert_close(layer.backward(rows(reference["dout"])), rows(reference["dx"]))


def test_batch_normalization_of_channels_is_torch_s():
    reference = stored("channels")
    layer = BatchNorm(dtype="float64")
    layer.build(reference["x"].shape[1:])
    layer.initialize()
    layer.params["gamma"], layer.params["beta"] = (
        stored("input")[n][:3] for n in ("gamma", "beta")
    )
    assert_close(layer.forward(rows(reference["x"]), train=True), rows(reference["y"]))
    assert_close(layer.backward(rows(reference["dout"])), rows(reference["dx"]))
    for name in ("gamma", "beta"):
        assert_close(layer.grads[name], reference[f"d{name}"])
    for name in ("mean", "var"):
        assert_close(layer.statistics[f"running_{name}"], reference[name])
