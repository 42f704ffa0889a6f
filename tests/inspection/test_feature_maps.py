"""Filters, feature maps, saliency and Grad-CAM, and the book's calls."""

import numpy as np
import pytest

from scratchnet import (
    Affine,
    Conv2D,
    ConvNet,
    GlobalAvgPool,
    MultiLayerNet,
    Network,
    ReLU,
    Residual,
    Samples,
    SimpleConvNet,
)
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.inspection import (
    apply_filter,
    feature_maps,
    filters,
    grad_cam,
    inspect_layers,
    saliency,
    visualize_filter,
)

RNG = np.random.default_rng(0)


def network(dtype="float64", **options):
    return ConvNet((7, 6, 2), ["4x3", "pool2", "5x2"], [], 3, dtype=dtype, **options)


X = RNG.normal(size=(7, 6, 2))


def test_filters_are_those_of_the_first_convolution_and_a_copy():
    net = network()
    found = filters(net)
    assert found.shape == (3, 3, 2, 4)
    found[:] = 0
    assert net.params["W1"].any()
    nested = Network([Residual([Conv2D(2, 3, padding="same")]), Affine(2)], input_shape=(4, 4, 2))
    assert filters(nested).shape == (3, 3, 2, 2)


def test_feature_maps_are_what_the_layers_give():
    net = network()
    found = feature_maps(net, X)
    assert [name for name, _ in found] == [
        *("1 Conv2D(4, 3)", "2 MaxPool(2)", "3 ReLU()", "4 Conv2D(5, 2)", "5 ReLU()")
    ]
    assert [values.shape for _, values in found] == [
        *((5, 4, 4), (2, 2, 4), (2, 2, 4), (1, 1, 5), (1, 1, 5))
    ]
    np.testing.assert_array_equal(
        found[0].values.ravel(), net.layers[0].forward(X.reshape(1, -1))[0]
    )


@pytest.mark.parametrize("label", [None, 0, 2])
def test_saliency_is_the_derivative_of_the_logit_by_each_pixel(label):
    net = network(activation="tanh")
    found = saliency(net, X, label)
    which = int(net.predict(X[None])[0].argmax()) if label is None else label
    h, expected = 1e-6, np.zeros((7, 6, 2))
    for place in np.ndindex(7, 6, 2):
        up, down = X.copy(), X.copy()
        up[place] += h
        down[place] -= h
        y = net.predict(np.stack([up, down]))[:, which]
        expected[place] = abs(y[0] - y[1]) / (2 * h)
    np.testing.assert_allclose(found, expected.max(axis=2), atol=1e-7)


def test_grad_cam_is_its_formula():
    net = Network(
        [Conv2D(3, 3), ReLU(), GlobalAvgPool(), Affine(2)], input_shape=(6, 6), dtype="float64"
    )
    x = RNG.normal(size=(6, 6))
    maps = feature_maps(net, x)[-1].values  # (4, 4, 3)
    # Behind the global mean the derivative of logit c by map k is W[k, c] / 16 at every pixel.
    a = net.params["W2"][:, 1] / 16
    expected = np.maximum(maps @ a, 0)
    found = grad_cam(net, x, 1)
    assert found.shape == (6, 6)
    np.testing.assert_allclose(found[0, 0], expected[0, 0], atol=1e-12)
    np.testing.assert_allclose(found[-1, -1], expected[-1, -1], atol=1e-12)
    assert found.max() <= expected.max() + 1e-12


def test_what_is_looked_at_leaves_the_network_as_it_was():
    net = network()
    net.gradient(X[None], [1])
    before = net.vector.copy(), net.gradient_vector.copy()
    saliency(net, X)
    grad_cam(net, X)
    feature_maps(net, X)
    np.testing.assert_array_equal(net.vector, before[0])
    np.testing.assert_array_equal(net.gradient_vector, before[1])


def test_one_image_may_come_in_any_of_its_shapes():
    net = network("float32")
    for shape in ((84,), (1, 84), (7, 6, 2), (1, 7, 6, 2)):
        np.testing.assert_array_equal(saliency(net, X.reshape(shape), 0), saliency(net, X, 0))
    with pytest.raises(ShapeError):
        saliency(net, X[:6])


def test_what_cannot_be_looked_at_is_refused():
    dense = MultiLayerNet(4, [3], 2)
    with pytest.raises(ParameterError, match="filters are those of a Conv2D"):
        filters(dense)
    with pytest.raises(ParameterError, match="must take images"):
        saliency(dense, np.zeros(4))
    with pytest.raises(ParameterError, match="label must be a class from 0 to 2, got 3"):
        saliency(network(), X, 3)
    with pytest.raises(ParameterError, match="label must be an integer >= 0"):
        grad_cam(network(), X, -1)
    flat = Network([ReLU(), Affine(2)], input_shape=(3, 3))
    assert grad_cam(flat, np.ones((3, 3))).shape == (3, 3)
    with pytest.raises(ParameterError, match="Grad-CAM needs a layer that gives images"):
        grad_cam(Network([Affine(2)], input_shape=(3, 3)), np.ones((3, 3)))


def test_the_book_s_calls_show_filters_and_what_they_make_of_an_image():
    net = SimpleConvNet()
    picture = visualize_filter(net)
    assert picture.shape == (4 * 6 + 1, 8 * 6 + 1)
    assert picture.min() == 0
    assert picture.max() == 1
    tile = picture[1:6, 1:6]
    first = net.params["W1"][:, :, 0, 0]
    np.testing.assert_allclose(tile, (first - first.min()) / np.ptp(first), rtol=1e-5)
    assert visualize_filter(net, columns=5).shape == (6 * 6 + 1, 5 * 6 + 1)
    made = apply_filter(net, RNG.random((28, 28)))
    assert made.shape == (30, 24, 24)
    with pytest.raises(ParameterError):
        visualize_filter(net, 0)


def test_a_channel_is_dead_where_no_pixel_of_any_image_responds():
    net = ConvNet((5, 5), ["4x3"], [], 2)
    net.params["b1"] = np.array([-100, 1, -100, 1], "float32")
    net.params["W1"] = np.zeros_like(net.params["W1"])
    rows = inspect_layers(net, Samples(np.ones((3, 25)), [0, 1, 0]))
    (relu,) = (row for row in rows if "ReLU" in row["layer"])
    assert (relu["dead"], relu["flat"]) == (0.5, 0.5)


def test_many_samples_are_looked_at_some_at_a_time():
    net, samples = network("float32"), Samples(RNG.normal(size=(40, 84)), np.arange(40) % 3)
    whole = inspect_layers(net, samples)
    net.evaluation_rows = 7
    assert inspect_layers(net, samples) == whole
