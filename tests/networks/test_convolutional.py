"""Networks of images that words describe, and the book's two."""

import numpy as np
import pytest

from scratchnet import (
    ConvNet,
    DeepConvNet,
    GlobalAvgPool,
    MultiLayerNet,
    Network,
    SimpleConvNet,
    Trainer,
    check_gradients,
    load_network,
)
from scratchnet.errors import DataError, ParameterError, ShapeError
from scratchnet.layers import ACTIVATIONS, Affine, AvgPool, Conv2D, Dropout, MaxPool, ReLU
from scratchnet.networks import PRESETS, plan
from scratchnet.networks.convolutional import image_units, read_convolution, word_of
from scratchnet.optimizers import OPTIMIZERS, make_optimizer
from scratchnet.storage.archive import read_archive, write_archive

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (24, 6, 7)).astype("float32") / 255
T = np.arange(24) % 3


def small(**options):
    return ConvNet((6, 7), ["4x3p", "pool2", "5x2"], [6], 3, **options)


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_words_describe_layers_and_no_size_is_computed():
    network = ConvNet((28, 28), ["16x5/2", "32x3", "pool2"], [], 10, batch_norm=True)
    assert network.vector.size == 13_114
    assert kinds(network) == [
        *("Conv2D", "BatchNorm", "ReLU", "Conv2D", "BatchNorm", "MaxPool", "ReLU", "Affine"),
    ]
    assert network.outline == "28x28 16x5/2 32x3 pool2 10"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("16x3", {"filters": 16, "kernel": (3, 3), "stride": 1, "padding": 0, "dilation": 1}),
        ("8x5/2", {"filters": 8, "kernel": (5, 5), "stride": 2, "padding": 0, "dilation": 1}),
        ("8x3x5p", {"filters": 8, "kernel": (3, 5), "stride": 1, "padding": "same", "dilation": 1}),
        ("8x3/2p1d2", {"filters": 8, "kernel": (3, 3), "stride": 2, "padding": 1, "dilation": 2}),
        ("pool2", None),
    ],
)
def test_a_word_is_read(word, expected):
    assert read_convolution(word) == expected


@pytest.mark.parametrize(
    "word",
    ["", "16", "x3", "16x", "16x3/", "16x3q", "pool", "pool0x", "16x3 ", "1234567x3", 16, "16x3d"],
)
def test_a_word_that_means_nothing_is_named(word):
    with pytest.raises(ParameterError, match=r"must be a word, for example 16x3, .* got"):
        ConvNet((9, 9), [word], [], 3)


@pytest.mark.parametrize("word", ["0x3", "4x0", "4x3/0", "4x3d0", "pool0", "avg2x0"])
def test_a_word_of_a_number_that_cannot_be_is_refused(word):
    with pytest.raises(ParameterError, match="must be an integer >= 1, got 0"):
        ConvNet((9, 9), [word], [], 3)


def test_pooling_belongs_to_the_convolution_before():
    units = image_units(["pool2", "4x3", "5x3", "avg2", "pool2"])
    assert [unit.pools for unit in units] == [("pool2",), (), ("avg2", "pool2")]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_pooling_changes_places_with_relu_alone_and_that_changes_nothing(activation):
    network = small(activation=activation)
    at = kinds(network).index("MaxPool")
    first = type(network.layers[at - 1]) is Conv2D
    assert first == (activation == "relu")
    if not first:
        return
    layers = list(network.layers)
    layers[at], layers[at + 1] = layers[at + 1], layers[at]
    other = small(activation=activation)
    other.layers = tuple(layers)
    np.testing.assert_array_equal(other.predict(X), network.predict(X))


def test_a_mean_stays_behind_relu():
    network = ConvNet((6, 6), ["4x3", "avg2"], [], 3)
    assert [type(layer) for layer in network.layers[1:3]] == [ReLU, AvgPool]


def test_one_dropout_is_that_of_the_fully_connected_layers():
    network = small(dropout=0.5)
    assert [type(layer).__name__ for layer in network.layers[-4:]] == [
        *("Affine", "ReLU", "Dropout", "Affine")
    ]
    assert sum(isinstance(layer, Dropout) for layer in network.layers) == 1
    without = ConvNet((6, 7), ["4x3", "pool2"], [], 3, dropout=0.5)
    assert kinds(without) == ["Conv2D", "MaxPool", "ReLU", "Dropout", "Affine"]
    each = small(dropout=[0.1, 0.2, 0.3])
    assert [layer.rate for layer in each.layers if isinstance(layer, Dropout)] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("name", ["activation", "noise", "dropout"])
def test_a_list_has_a_value_for_each_convolution_and_hidden_layer(name):
    value = {"activation": "tanh"}.get(name, 0.1)
    assert getattr(small(**{name: [value] * 3}).options, name) == [value] * 3
    with pytest.raises(ParameterError, match=f"{name} must be .* here 3, got 2"):
        small(**{name: [value] * 2})


OPTIONS = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "batch norm without gamma": {"batch_norm": True, "gamma": False},
    "layer norm": {"layer_norm": True},
    "noise": {"noise": 0.1, "input_noise": 0.1},
    "dropout": {"dropout": 0.4, "input_dropout": 0.1},
    "standardized": {"standardize": "all"},
    "max norm": {"max_norm": 1.0},
    "l2": {"l2": 0.1},
    "mish": {"activation": "mish"},
    "prelu": {"activation": "prelu"},
    "orthogonal": {"initializer": "orthogonal"},
    "mean squares": {"loss": "mean-squared-error", "labels": "integer"},
    "smoothed": {"label_smoothing": 0.1, "class_weight": [1, 2, 1]},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_of_a_network_holds_for_images(options, tmp_path):
    network = small(seed=3, **options)
    report = check_gradients(
        network, np.random.default_rng(1).normal(size=(5, 42)), T[:5], raises=False
    )
    assert all(check.error <= 1e-9 for check in report.arrays)
    trainer = Trainer(network, (X, T), optimizer="adam", lr=0.02, batch_size=8)
    losses = [epoch.loss for epoch in trainer.run(12)]
    assert losses[-1] < losses[0]
    network.save(tmp_path / "net.npz")
    other = load_network(tmp_path / "net.npz")
    assert isinstance(other, ConvNet)
    assert other.config() == network.config()
    np.testing.assert_array_equal(other.predict(X), network.predict(X))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_images(name):
    network = ConvNet((6, 7), ["4x3p", "pool2"], [6], 3, seed=1)
    full = make_optimizer(name).full_batch
    before = network.loss(X, T)
    trainer = Trainer(network, (X, T), optimizer=name, batch_size=None if full else 8)
    for _ in trainer.run(8):
        pass
    assert network.loss(X, T) < before


def test_the_book_s_networks_take_the_book_s_arguments():
    simple = SimpleConvNet(
        input_dim=(1, 28, 28),
        conv_param={"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1},
        hidden_size=100,
        output_size=10,
        weight_init_std=0.01,
    )
    assert list(simple.params) == ["W1", "W2", "W3", "b1", "b2", "b3"]
    assert simple.vector.size == 433_890
    assert simple.params["W1"].std() == pytest.approx(0.01, rel=0.1)
    deep = DeepConvNet()
    assert deep.vector.size == 123_552
    assert deep.output_shapes[-5] == (4, 4, 64) or deep.output_shapes[-6] == (4, 4, 64)
    assert [layer.rate for layer in deep.layers if isinstance(layer, Dropout)] == [0.5]
    assert isinstance(deep.layers[-1], Affine)
    assert (
        DeepConvNet(conv_param_2={"filter_num": 8, "filter_size": 3, "pad": 1}).conv[1] == "8x3p1"
    )
    assert SimpleConvNet((3, 9, 8), {"filter_num": 2, "filter_size": 3}).input_shape == (9, 8, 3)


@pytest.mark.parametrize("kind", [SimpleConvNet, DeepConvNet])
def test_the_book_s_images_may_come_channels_first(kind):
    network = kind((2, 9, 8))
    x = RNG.normal(size=(3, 2, 9, 8)).astype("float32")
    turned = x.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(network.predict(x), network.predict(turned))
    np.testing.assert_array_equal(network.predict(turned.reshape(3, -1)), network.predict(turned))
    grey = kind((1, 9, 8))
    for shape in ((3, 9, 8), (3, 1, 9, 8), (3, 9, 8, 1), (3, 72)):
        assert grey.predict(x[:, 0].reshape(shape)).shape == (3, 10)
    with pytest.raises(ShapeError, match=r"\(N, 9, 8, 2\), got \(3, 8, 9, 2\)"):
        network.predict(x.reshape(3, 8, 9, 2))


@pytest.mark.parametrize(
    "param", [{}, {"filter_num": 3}, {"filter_num": 3, "filter_size": 3, "padding": 1}, 30]
)
def test_another_description_of_a_convolution_is_refused(param):
    with pytest.raises(ParameterError, match="conv_param must have filter_num and filter_size"):
        word_of(param)


def test_a_number_of_sizes_that_is_no_image_is_refused():
    with pytest.raises(ParameterError, match="channels, height, width"):
        SimpleConvNet((28, 28))


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"mlp"}))
def test_a_preset_is_the_network_of_its_words(name):
    preset = PRESETS[name]
    weights, sizes = plan((28, 28), preset["conv"], preset.get("hidden", [100]), 10)
    network = ConvNet((28, 28), preset["conv"], preset.get("hidden", [100]), 10)
    assert weights == sum(w.size for key, w in network.params.items() if key[0] == "W")
    assert sizes[-1] == 10


def test_the_presets_of_the_book_are_the_book_s_classes():
    for name, kind in (("simple-convnet", SimpleConvNet), ("deep-convnet", DeepConvNet)):
        assert list(kind().conv) == list(PRESETS[name]["conv"])
    assert DeepConvNet().sizes[1:-1] == tuple(PRESETS["deep-convnet"]["hidden"])


def test_colours_are_channels():
    network = ConvNet((6, 5, 3), ["4x3", "global"], [], 2)
    assert network.params["W1"].shape == (3, 3, 3, 4)
    assert network.params["W2"].shape == (4, 2)


def altered(path, **changes):
    """The file with another header, as somebody may write it."""
    arrays, header = read_archive(path)
    header["network"] |= changes
    write_archive(path, arrays, header)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"image": [10**6, 10**6]},
        {"image": [10**9, 10**9, 10**9]},
        {"image": "28"},
        {"image": None},
        {"conv": ["999999x99"]},
        {"conv": ["4x999999p999999"]},
        {"conv": [["4x3"]]},
        {"conv": None},
        {"conv": ["4x3"] * 3},
        {"hidden_sizes": [10**9]},
        {"output_size": 10**12},
        {"conv": ["4x1p99999", "global"], "hidden_sizes": [6]},
    ],
)
def test_a_file_that_describes_another_network_is_refused_before_anything_is_allocated(
    changes, tmp_path
):
    small().save(tmp_path / "net.npz")
    with pytest.raises(DataError):
        load_network(altered(tmp_path / "net.npz", **changes))


def test_a_multi_layer_net_is_what_it_was():
    network = MultiLayerNet(4, [3], 2)
    assert network.outline == "4-3-2"
    assert not network.takes_images
    assert isinstance(small(), MultiLayerNet)
    assert any(isinstance(layer, MaxPool) for layer in small().layers)


def test_layers_in_a_file_that_give_huge_images_are_refused(tmp_path):
    layers = [Conv2D(2, 1, padding=2), GlobalAvgPool(), Affine(2)]
    Network(layers, input_shape=(3, 3)).save(tmp_path / "net.npz")
    arrays, header = read_archive(tmp_path / "net.npz")
    header["network"]["layers"][0]["padding"] = [10**6, 10**6]
    write_archive(tmp_path / "net.npz", arrays, header)
    with pytest.raises(DataError):
        load_network(tmp_path / "net.npz")


def test_a_kernel_that_looks_at_too_much_is_refused_before_its_table_is_made():
    with pytest.raises(ShapeError, match=r"would look at [0-9,]+ pixels of each image"):
        ConvNet((999, 999), ["1x999p", "global"], [], 2)
