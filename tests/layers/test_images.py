"""Layers of images: shapes handed on, windows, gradients, ties, memory, and what is refused."""

import tracemalloc

import numpy as np
import pytest

from scratchnet import (
    Affine,
    AvgPool,
    BatchNorm,
    Conv2D,
    GlobalAvgPool,
    LayerNorm,
    MaxPool,
    Network,
    ReLU,
    Residual,
    Sigmoid,
    Standardize,
    Tanh,
    check_gradients,
)
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.layers.windows import BLOCK, FEWEST, SMALL, pieces

CONVOLUTIONS = {
    "plain": ((7, 6, 2), {}),
    "stride": ((7, 6, 2), {"stride": 2}),
    "stride-larger-than-the-kernel": ((9, 8), {"kernel": 2, "stride": 3}),
    "same": ((7, 6, 2), {"padding": "same"}),
    "same-with-stride": ((7, 6, 2), {"padding": "same", "stride": 2}),
    "same-of-an-even-kernel": ((5, 6), {"padding": "same", "kernel": 4}),
    "valid": ((7, 6, 2), {"padding": "valid"}),
    "rectangles": ((7, 9), {"kernel": (3, 2), "stride": (2, 3), "padding": (1, 2)}),
    "dilation": ((7, 6, 2), {"dilation": 2, "padding": "same"}),
    "stride-and-dilation": ((8, 7, 2), {"stride": 2, "dilation": (2, 3), "padding": 1}),
    "1x1": ((4, 5, 3), {"kernel": 1}),
    "far-padding": ((4, 4), {"padding": 5}),
    "as-large-as-the-image": ((4, 6, 2), {"kernel": (4, 6)}),
    "one-row": ((1, 9, 2), {"kernel": (1, 4)}),
    "one-pixel": ((1, 1, 3), {"kernel": 1}),
    "without-bias": ((5, 5), {"bias": False}),
    "strips": ((7, 6, 6), {}),
    "strips-same": ((6, 7, 6), {"padding": "same", "kernel": (4, 3)}),
    "strips-dilated": ((9, 8, 6), {"dilation": (3, 2), "padding": (2, 1)}),
    "strips-with-stride-across": ((7, 8, 6), {"stride": (1, 2), "padding": 1}),
    "strips-of-dout": ((9, 8, 2), {"stride": (2, 3), "padding": 1, "kernel": (3, 4)}),
}


def images(shape, n=3, seed=0, dtype="float64"):
    made = np.random.default_rng(seed).normal(size=(n, *shape))
    return made.reshape(n, -1).astype(dtype)


def by_definition(layer, x):
    """The sum over the kernel at every place, written out, of images x (N, H, W, C)."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel, layer.stride, layer.dilation
    (top, _), (left, _) = layer.pads(layer.image)
    high, wide, filters = layer.after
    y = np.zeros((len(x), high, wide, filters))
    for r in range(high):
        for c in range(wide):
            for i in range(kh):
                for j in range(kw):
                    row, column = r * sh + i * dh - top, c * sw + j * dw - left
                    if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                        y[:, r, c] += x[:, row, column] @ layer.params["W"][i, j]
    return y + (layer.params["b"] if layer.bias else 0)


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("n", [1, 3])
def test_a_convolution_is_its_definition_and_has_the_right_gradient(case, n):
    shape, options = CONVOLUTIONS[case]
    layer = Conv2D(5, image=shape, dtype="float64", **{"kernel": 3, **options})
    if layer.bias:
        layer.params["b"] = np.arange(5.0)
    x = images(shape, n)
    y = layer.forward(x)
    expected = by_definition(layer, x.reshape(n, *layer.image))
    np.testing.assert_allclose(y, expected.reshape(n, -1), atol=1e-12)
    assert layer.output_shape(shape) == layer.after == expected.shape[1:]
    report = check_gradients(layer, x)
    assert all(check.error <= 1e-9 for check in report.arrays)


@pytest.mark.parametrize("shape", [(4, 6, 2), (5, 7, 1), (2, 3, 3), (7, 5)])
@pytest.mark.parametrize("size", [1, 2, (1, 2), (2, 3), (2, 1)])
@pytest.mark.parametrize("kind", [MaxPool, AvgPool])
def test_pooling_has_the_right_gradient_and_looks_at_whole_parts_alone(kind, size, shape):
    layer = kind(size, image=shape)
    x = images(shape)
    report = check_gradients(layer, x)
    assert report.status == "passed"
    assert all(check.error <= 1e-9 for check in report.arrays)
    (high, wide, channels), (kh, kw) = layer.after, layer.size
    seen = x.reshape(3, *layer.image)[:, : high * kh, : wide * kw]
    parts = seen.reshape(3, high, kh, wide, kw, channels)
    expected = parts.max(axis=(2, 4)) if kind is MaxPool else parts.mean(axis=(2, 4))
    np.testing.assert_allclose(layer.forward(x), expected.reshape(3, -1))


def test_of_equal_values_the_first_in_reading_order_gets_the_gradient():
    layer = MaxPool(2, image=(2, 4))
    x = np.array([[0.0, 5, 1, 1, 5, 5, 1, 1]])
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(np.array([[3.0, 7]])), [[0, 3, 7, 0, 0, 0, 0, 0]])


def test_values_that_are_equal_are_kinks_to_the_gradient_check():
    layer = MaxPool(2, image=(4, 4))
    x = images((4, 4))
    x[0, 1] = x[0, 0] = x.max()  # two largest in one part
    report = check_gradients(layer, x)
    assert report.status == "passed"
    assert report.arrays[0].excluded == 2


def test_batch_normalization_of_channels_is_that_of_columns_seen_pixel_by_pixel():
    layer, columns = BatchNorm(dtype="float64"), BatchNorm(3, dtype="float64")
    layer.build((4, 5, 3))
    layer.initialize()
    x, dout = images((4, 5, 3)), images((4, 5, 3), seed=1)
    y, expected = layer.forward(x, train=True), columns.forward(x.reshape(-1, 3), train=True)
    np.testing.assert_allclose(y, expected.reshape(3, -1), atol=1e-12)
    dx = layer.backward(dout)
    np.testing.assert_allclose(dx, columns.backward(dout.reshape(-1, 3)).reshape(3, -1), atol=1e-12)
    for name, array in columns.statistics.items():
        np.testing.assert_allclose(layer.statistics[name], array, atol=1e-12)
    assert layer.params["gamma"].shape == (3,)


def test_one_image_has_a_variance_of_its_channels():
    layer = BatchNorm(dtype="float64")
    layer.build((4, 5, 3))
    layer.initialize()
    y = layer.forward(images((4, 5, 3), n=1), train=True).reshape(20, 3)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    assert layer.statistics["batches"][0] == 1


def test_batch_normalization_of_so_many_columns_as_there_are_values_is_that_of_columns():
    network = Network([BatchNorm(12), Affine(2)], input_shape=(3, 4))
    assert network.layers[0].n_in == 12
    assert network.params["gamma0"].shape == (12,)


def of_everything(dtype="float64"):
    return Network(
        [
            Standardize(over="all"),
            Conv2D(4, 3, bias=False),
            BatchNorm(),
            Tanh(),
            Residual([Conv2D(6, 3, stride=2, padding="same"), LayerNorm(), Sigmoid()]),
            Residual([Conv2D(6, 1), Tanh()]),
            AvgPool((2, 1)),
            MaxPool((1, 2)),
            GlobalAvgPool(),
            Affine(5),
            Tanh(),
            Affine(3),
        ],
        input_shape=(9, 8, 2),
        dtype=dtype,
    )


def test_a_network_of_every_layer_hands_on_shapes_and_has_the_right_gradient():
    network = of_everything()
    assert network.output_shapes[1:9] == [
        *[(7, 6, 4)] * 3,
        *[(4, 3, 6)] * 2,
        (2, 3, 6),
        (2, 1, 6),
        (6,),
    ]
    report = check_gradients(network, images((9, 8, 2), n=4), np.array([0, 1, 2, 1]))
    assert all(check.error <= 1e-9 for check in report.arrays)
    assert report.status == "passed"


def test_no_user_computes_a_size():
    layers = [Conv2D(30, 5), ReLU(), MaxPool(2), Affine(10)]
    network = Network(layers, input_shape=(28, 28))
    assert network.output_shapes == [(24, 24, 30), (24, 24, 30), (12, 12, 30), (10,)]
    assert network.params["W1"].shape == (5, 5, 1, 30)
    assert network.params["W2"].shape == (4320, 10)


def test_float32_is_float64_to_rounding():
    one = of_everything("float64")
    other = one.copy("float32")
    x, t = images((9, 8, 2), n=6), np.arange(6) % 3
    np.testing.assert_allclose(other.predict(x), one.predict(x), atol=1e-5)
    one.gradient(x, t)
    other.gradient(x, t)
    np.testing.assert_allclose(other.gradient_vector, one.gradient_vector, atol=1e-5)


def test_every_size_of_a_batch_gives_the_same_predictions():
    network = of_everything("float32")
    x = images((9, 8, 2), n=23, dtype="float32")
    whole = network.predict(x)
    for size in (1, 2, 7, 22):
        np.testing.assert_allclose(network.predict(x, batch_size=size), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("before", "strides"), [((8, 8, 2), (2, 2)), ((7, 5, 2), (2, 2)), ((8, 4, 2), (2, 1))]
)
def test_a_residual_block_projects_where_the_shapes_differ(before, strides):
    block = Residual([Conv2D(5, 3, stride=strides, padding="same")])
    network = Network([Conv2D(2, 1), block, Affine(2)], input_shape=before)
    assert block.projection.stride == strides
    assert network.params["W3"].shape == (1, 1, 2, 5)
    assert "b3" not in network.params


def test_a_residual_block_of_one_shape_has_no_projection_and_starts_as_its_input():
    block = Residual([Conv2D(2, 3, padding="same", initializer=0.0)])
    Network([block, Affine(2)], input_shape=(4, 4, 2))
    assert block.projection is None
    x = images((4, 4, 2), dtype="float32")
    np.testing.assert_array_equal(block.forward(x), x)


REFUSED = {
    "a kernel that does not fit": (
        lambda: Network([Conv2D(3, 9), Affine(2)], input_shape=(8, 8)),
        r"Conv2D\(3, 9\) does not fit into an image of 8 x 8 pixels; take fewer",
    ),
    "pooling of nothing": (
        lambda: Network([Conv2D(3, 3), MaxPool(7), Affine(2)], input_shape=(8, 8)),
        r"MaxPool\(7\) does not fit into an image of 6 x 6 pixels",
    ),
    "rows that are no images": (
        lambda: Network([Affine(64, 9), Conv2D(3)]),
        r"Conv2D\(3, 3\) needs images .* gets rows \(9,\); give the network an input_shape",
    ),
    "another image than the layer's": (
        lambda: Network([Conv2D(3, image=(5, 5)), Affine(2)], input_shape=(8, 8)),
        r"Conv2D\(3, 3\) takes inputs of the shape \(5, 5, 1\)",
    ),
    "a block that changes the shape": (
        lambda: Network([Residual([Conv2D(3, 3)]), Affine(2)], input_shape=(8, 8, 3)),
        r"adds its input of the shape \(8, 8, 3\) to .* \(6, 6, 3\); .* padding='same'",
    ),
    "no such images": (
        lambda: Conv2D(3, image=(5, 5)).forward(np.zeros((2, 24))),
        r"Conv2D\(3, 3\) takes rows of \(5, 5, 1\), got \(2, 24\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_shape_that_does_not_fit_names_layer_shape_and_cure(case):
    make, message = REFUSED[case]
    with pytest.raises(ShapeError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(0), "filters must be an integer >= 1, got 0"),
        (lambda: Conv2D(2.5), "filters must be an integer >= 1, got 2.5"),
        (lambda: Conv2D(2, 0), "kernel must be an integer >= 1, got 0"),
        (lambda: Conv2D(2, (3, 3, 3)), r"kernel must be an integer or a pair, got \(3, 3, 3\)"),
        (lambda: Conv2D(2, stride=(1, 0)), "stride must be an integer >= 1, got 0"),
        (lambda: Conv2D(2, padding=-1), "padding must be an integer >= 0, got -1"),
        (lambda: Conv2D(2, padding="full"), "'same' or 'valid', got 'full'"),
        (lambda: Conv2D(2, dilation=0), "dilation must be an integer >= 1"),
        (lambda: Conv2D(2, max_norm=0), "max_norm must be a finite number > 0"),
        (lambda: Conv2D(2, image=(8,)), "image must be .height, width."),
        (lambda: Conv2D(2, initializer="zero"), "initializer"),
        (lambda: MaxPool(0), "size must be an integer >= 1"),
        (lambda: Residual([]), "Residual needs a list of layers"),
        (
            lambda: Network([Conv2D(3), Affine(2)]),
            r"must know their shape; .*input_shape=\(28, 28\)",
        ),
        (lambda: Network([Affine(2)]), "the size of its inputs"),
    ],
)
def test_options_are_checked_at_the_border(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_max_norm_limits_the_weights_into_each_filter():
    layer = Conv2D(4, 3, image=(5, 5, 2), max_norm=0.5, initializer=1.0)
    layer.apply_constraints()
    lengths = np.sqrt((layer.params["W"] ** 2).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(lengths, 0.5, rtol=1e-6)


def test_starting_weights_are_those_of_so_many_inputs():
    layer = Conv2D(400, 3, image=(4, 4, 16), initializer="he")
    assert layer.params["W"].std() == pytest.approx(np.sqrt(2 / 144), rel=0.02)
    assert not layer.params["b"].any()


@pytest.mark.parametrize("rows", [1, 64, 97, 5000, 100_352, 313_600])
@pytest.mark.parametrize("size", [1, 144, 750, 4608, 36_864])
def test_matrices_are_cut_into_equal_pieces_of_some_size(rows, size):
    n = pieces(rows, size)
    assert rows % n == 0
    assert n == 1 or rows // n >= FEWEST
    assert n == 1 or rows // n * size <= SMALL


def test_a_strip_has_the_rows_that_windows_share_once():
    shared, whole = Conv2D(3, 3, image=(9, 7, 8)), Conv2D(3, 3, image=(9, 7, 2))
    assert shared.windows[0].table.size == 9 * 5 * 3
    assert whole.windows[0].table.size == 7 * 5 * 9
    strided = Conv2D(3, 3, stride=2, image=(9, 7, 8))
    assert strided.windows[0].table.size == 4 * 3 * 9


def test_the_blocks_of_a_batch_add_up():
    layer = Conv2D(3, 5, image=(28, 28), dtype="float64")
    x = images((28, 28), n=60)
    assert 4 * BLOCK < 60 * 24 * 24 * 25 * 8
    dout = images(layer.after, n=60, seed=1)
    y, dx = layer.forward(x), layer.backward(dout)
    dW, db = layer.grads["W"].copy(), layer.grads["b"].copy()
    for name in ("W", "b"):
        layer.grads[name] = np.zeros_like(layer.grads[name])
    sums = {"W": 0.0, "b": 0.0}
    for k in range(60):
        one = slice(k, k + 1)
        np.testing.assert_allclose(layer.forward(x[one]), y[one], atol=1e-12)
        np.testing.assert_allclose(layer.backward(dout[one]), dx[one], atol=1e-12)
        sums = {name: sums[name] + layer.grads[name] for name in sums}
    np.testing.assert_allclose(dW, sums["W"], atol=1e-9)
    np.testing.assert_allclose(db, sums["b"], atol=1e-9)


def test_no_matrix_of_all_windows_is_made():
    layer = Conv2D(8, 5, image=(28, 28, 4))
    network = Network([Conv2D(4, 1, image=(28, 28)), layer, Affine(2)])
    x, t = images((28, 28), n=200, dtype="float32"), np.arange(200) % 2
    whole = 200 * 24 * 24 * 25 * 4 * 4  # bytes of all windows of the second layer
    tracemalloc.start()
    network.gradient(x, t)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    results = 4 * 200 * (network.input_size + 2 * sum(network.output_sizes))
    assert peak < results + 8 * BLOCK
    assert peak < whole / 2


def test_evaluation_goes_by_bytes():
    small = Network([Affine(10)], input_shape=(784,))
    large = Network([Conv2D(64, 3, padding="same"), Affine(10)], input_shape=(28, 28))
    assert small.evaluation_rows == 1000
    assert large.evaluation_rows == 2**25 // (4 * (28 * 28 * 64 + 10))
    assert large.copy("float64").evaluation_rows == large.evaluation_rows // 2
