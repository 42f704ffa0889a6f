"""Rows are flat, with an image's shape beside them."""

import numpy as np
import pytest

from scratchnet import Affine, Layer, MultiLayerNet, Network, ReLU, load, load_network
from scratchnet.errors import ParameterError, ShapeError


class Channels(Layer):
    """The mean of each channel of an image (C, H, W)."""

    def __init__(self, shape):
        super().__init__()
        self.shape = tuple(shape)

    @property
    def input_shape(self):
        """Images of one shape."""
        return self.shape

    def output_shape(self, input_shape):
        """One value for each channel."""
        super().output_shape(input_shape)
        return (self.shape[0],)

    def forward(self, x, *, train=False):
        """Return the means (N, C)."""
        return x.reshape(len(x), self.shape[0], -1).mean(axis=2)

    def input_grad(self, dout):
        """The same share for every value of a channel."""
        n = int(np.prod(self.shape[1:]))
        return np.repeat(dout / n, n, axis=1)


def of_images(shape=(3, 4, 5)):
    return Network([Channels(shape), Affine(shape[0], 2), ReLU(), Affine(2, 2)])


def test_a_network_knows_the_shape_of_a_row_before_and_behind_every_layer():
    network = of_images()
    assert network.input_shape == (3, 4, 5)
    assert network.input_size == 60
    assert network.output_shapes == [(3,), (2,), (2,), (2,)]
    dense = MultiLayerNet(6, [5], 4)
    assert (dense.input_shape, dense.output_shapes[-1]) == ((6,), (4,))
    assert Network([ReLU(), Affine(4, 3)], input_shape=(1, 2, 2)).output_shapes[0] == (1, 2, 2)


@pytest.mark.parametrize("shape", [(60,), (3, 4, 5)])
def test_images_come_flat_or_in_their_shape(shape):
    network = of_images()
    x = np.random.default_rng(0).normal(size=(7, 60)).astype("float32")
    assert np.array_equal(network.predict(x.reshape(7, *shape)), network.predict(x))


def test_images_of_one_channel_need_not_say_so():
    network = of_images((1, 4, 5))
    x = np.ones((2, 4, 5), np.float32)
    assert np.array_equal(network.predict(x), network.predict(x.reshape(2, 1, 4, 5)))


@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 5, 3), (12, 5), (61,), (3, 4)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape):
    message = r"x must have the shape \(N, 60\) or \(N, 3, 4, 5\), got \(2, "
    with pytest.raises(ShapeError, match=message):
        of_images().predict(np.ones((2, *shape), np.float32))


def test_layers_that_do_not_fit_are_named_with_their_shapes():
    with pytest.raises(ShapeError, match=r"takes inputs of the shape \(3, 4, 5\), .* 61 inputs"):
        Network([Affine(4, 61), Channels((3, 4, 5)), Affine(3, 2)])
    with pytest.raises(ShapeError, match=r"takes 4 inputs, .* inputs of the shape \(1, 2, 3\)"):
        Network([ReLU(), Affine(4, 3)], input_shape=(1, 2, 3))
    with pytest.raises(ParameterError, match="input_shape must be an integer >= 1, got 0"):
        Network([Affine(4, 3)], input_shape=(0,))


def test_the_shape_is_saved_with_the_network(tmp_path):
    of_images().save(tmp_path / "net.npz")
    assert load_network(tmp_path / "net.npz", classes=[Channels]).input_shape == (3, 4, 5)


def test_data_sets_know_the_shape_of_a_row():
    assert load("digits").input_shape == (8, 8)


@pytest.mark.parametrize("call", ["loss", "gradient", "accuracy"])
def test_inputs_in_the_place_of_targets_are_told_from_targets(call):
    network, x, t = MultiLayerNet(6, [3], 2), np.ones((5, 6), "float32"), np.zeros(5, int)
    with pytest.raises(ShapeError, match=r"^t has the shape of x, \(5, 6\): are they swapped\?"):
        getattr(network, call)(x, x)
    with pytest.raises(ShapeError, match=r"^x has the shape \(5,\), t has \(5, 6\): are they swap"):
        getattr(network, call)(t, x)
    images = MultiLayerNet(6, [3], 2), x.reshape(5, 2, 3)
    with pytest.raises(ShapeError, match="are they swapped"):
        images[0].loss(t, images[1])


def test_a_network_that_gives_back_its_inputs_takes_them_as_targets():
    network = MultiLayerNet(6, [3], 6, loss="mean-squared-error", labels="values")
    x = np.ones((5, 6), "float32")
    assert network.loss(x, x) > 0


@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 8, 8), (64, 1)])
def test_one_sample_is_one_row_or_is_told_how_to_become_one(shape):
    network, x = MultiLayerNet(64, [5], 10), np.zeros(shape)
    if len(x) == 1:
        assert network.predict(x).shape == (1, 10)
        return
    with pytest.raises(ShapeError, match=r"for a single sample use x.reshape\(1, -1\)"):
        network.predict(x)


def test_many_rows_of_another_width_are_not_taken_for_one_sample():
    with pytest.raises(ShapeError, match=r"got \(6, 63\)$"):
        MultiLayerNet(64, [5], 10).predict(np.zeros((6, 63)))
