"""One vector, many names: writing to either is writing to both."""

import copy
import pickle

import numpy as np
import pytest

from scratchnet import Affine, MultiLayerNet, Network, ReLU
from scratchnet.errors import ShapeError
from scratchnet.loops.pages import HUGE_PAGE, zeros
from scratchnet.parameters import Arrays, allocate

SHAPES = {"W": (3, 2), "b": (2,)}


def test_the_views_cover_the_vector_in_the_order_of_the_shapes():
    vector, arrays = allocate(SHAPES, "float32")
    vector[:] = range(8)
    np.testing.assert_array_equal(arrays["W"], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(arrays["b"], [6, 7])
    assert list(arrays) == ["W", "b"]
    assert arrays.vector is vector
    assert all(view.flags.c_contiguous for view in arrays.values())


def test_b20_assigning_an_array_writes_through_instead_of_detaching_it():
    vector, arrays = allocate(SHAPES, "float32")
    arrays["b"] = arrays["b"] + 1
    arrays["b"] -= 3
    np.testing.assert_array_equal(vector, [0, 0, 0, 0, 0, 0, -2, -2])


@pytest.mark.parametrize("value", [1.0, np.ones(1), np.ones((2, 3)), np.ones((1, 3, 2))])
def test_another_shape_is_refused_and_nothing_is_broadcast(value):
    vector, arrays = allocate(SHAPES, "float32")
    with pytest.raises(ShapeError, match=r"W has the shape \(3, 2\) and keeps it, got"):
        arrays["W"] = value
    assert not vector.any()


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        allocate(SHAPES, "float32")[1]["W2"] = np.ones(2)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError):
        allocate(SHAPES, "float32")[1]["b"] = np.ones(2, complex)


def test_select_gives_the_same_memory_another_name():
    _, arrays = allocate(SHAPES, "float64")
    assert arrays.select({"bias": "b"})["bias"] is arrays["b"]


def test_the_representation_names_the_shapes():
    assert repr(Arrays({"b": np.ones(2)})) == "Arrays(b: (2,))"


def test_weights_come_before_biases_so_that_decay_is_one_slice():
    network = MultiLayerNet(3, [4, 5], 2)
    assert list(network.params) == ["W1", "W2", "W3", "b1", "b2", "b3"]
    assert network._n_weights == 3 * 4 + 4 * 5 + 5 * 2
    network.vector[: network._n_weights] = 7
    assert all((network.params[f"W{k}"] == 7).all() for k in (1, 2, 3))
    assert all((network.params[f"b{k}"] == 0).all() for k in (1, 2, 3))


def test_a_layer_sees_what_is_written_by_name():
    network = MultiLayerNet(3, [4], 2)
    network.params["W1"] = np.zeros((3, 4))
    assert not network.layers[0].params["W"].any()
    network.layers[0].params["b"][:] = 5
    assert (network.params["b1"] == 5).all()


def test_a_layer_keeps_its_values_when_a_network_adopts_it():
    layer = Affine(3, 4, rng=5)
    before = layer.params["W"].copy()
    network = Network([layer, ReLU(), Affine(4, 2)])
    np.testing.assert_array_equal(network.params["W1"], before)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, MultiLayerNet.copy, lambda n: pickle.loads(pickle.dumps(n))],
)
def test_a_copied_network_is_whole_and_apart(copied):
    network = MultiLayerNet(3, [4], 2)
    x, t = np.ones((2, 3)), np.array([0, 1])
    network.gradient(x, t)
    other = copied(network)
    np.testing.assert_array_equal(other.predict(x), network.predict(x))
    other.params["W1"] = np.zeros((3, 4))
    assert not other.layers[0].params["W"].any()
    assert network.params["W1"].any()
    assert other.params.vector is other.vector
    network.vector[:] = 0  # and the original is as whole as it was
    assert not network.predict(x).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 7, 262_143, 262_144, 600_001])
def test_parameters_are_zeros_and_large_ones_begin_at_a_huge_page(n, dtype):
    np.full(n, 7, dtype)  # memory that may be used again
    array = zeros((n, 1), dtype)
    assert array.shape == (n, 1)
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert not array.any()
    if array.nbytes >= HUGE_PAGE // 2:
        assert array.ctypes.data % HUGE_PAGE == 0
