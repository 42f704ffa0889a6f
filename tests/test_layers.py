"""Each layer against its formula, worked by hand or by another library."""

import numpy as np
import pytest
from scipy.special import expit

from scratchnet import Affine, Identity, ReLU, Sigmoid, Tanh, functions
from scratchnet.errors import ParameterError, ShapeError

X = np.array([[1.0, -2.0, 0.0], [-0.5, 3.0, -1e4]])
DOUT = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_affine_is_x_w_plus_b_and_its_derivatives():
    layer = Affine(3, 2, dtype="float64")
    layer.params["W"] = [[1, 2], [3, 4], [5, 6]]
    layer.params["b"] = [10, 20]
    x, dout = np.array([[1.0, 2, 3]]), np.array([[1.0, -1]])
    np.testing.assert_array_equal(layer.forward(x), [[32, 48]])
    np.testing.assert_array_equal(layer.backward(dout), [[-1, -1, -1]])
    np.testing.assert_array_equal(layer.grads["W"], [[1, -1], [2, -2], [3, -3]])
    np.testing.assert_array_equal(layer.grads["b"], [1, -1])


def test_affine_sums_the_bias_gradient_over_the_batch():
    layer = Affine(3, 2)
    layer.forward(np.ones((4, 3), "float32"))
    layer.backward(np.ones((4, 2), "float32"))
    np.testing.assert_array_equal(layer.grads["b"], [4, 4])


def test_affine_starts_with_zero_biases_and_seeded_weights():
    assert not Affine(3, 2).params["b"].any()
    np.testing.assert_array_equal(Affine(3, 2, rng=1).params["W"], Affine(3, 2, rng=1).params["W"])
    assert (Affine(3, 2, rng=1).params["W"] != Affine(3, 2, rng=2).params["W"]).all()


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1)])
def test_affine_names_the_shape_it_takes(shape):
    with pytest.raises(ShapeError, match=r"\(N, 3\), got"):
        Affine(3, 2).forward(np.ones(shape, "float32"))


@pytest.mark.parametrize("n_in", [0, -1, 2.0, "3", True, None])
def test_affine_takes_whole_sizes_only(n_in):
    with pytest.raises(ParameterError, match="n_in must be an integer >= 1, got"):
        Affine(n_in, 2)


def test_a06_relu_is_max_x_0_and_passes_gradient_where_x_is_above_0():
    layer = ReLU()
    np.testing.assert_array_equal(layer.forward(X), [[1, 0, 0], [0, 3, 0]])
    np.testing.assert_array_equal(layer.backward(DOUT), [[1, 0, 0], [0, 5, 0]])


def test_b17_relu_has_the_gradient_0_at_0():
    layer = ReLU()
    layer.forward(np.zeros((1, 2)))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 2))), [[0, 0]])


def test_relu_lets_nan_through_so_that_it_is_noticed():
    assert np.isnan(ReLU().forward(np.array([[np.nan]]))[0, 0])


def test_sigmoid_agrees_with_scipy_and_its_gradient_is_y_times_1_minus_y():
    layer = Sigmoid()
    y = layer.forward(X)
    np.testing.assert_allclose(y, expit(X), rtol=1e-14)
    np.testing.assert_array_equal(y, functions.sigmoid(X))
    np.testing.assert_allclose(layer.backward(DOUT), DOUT * expit(X) * (1 - expit(X)), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [Sigmoid(), Tanh(), ReLU()])
def test_b29_activations_are_right_at_the_ends_of_the_range(layer, dtype):
    x = np.array([[-1e30, -1e4, 1e4, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, dx = layer.forward(x), layer.backward(np.ones_like(x))
    limits = {Sigmoid: [0, 0, 1, 1], Tanh: [-1, -1, 1, 1], ReLU: [0, 0, x[0, 2], x[0, 3]]}
    np.testing.assert_array_equal(y[0], limits[type(layer)])
    np.testing.assert_array_equal(dx[0], [0, 0, 1, 1] if type(layer) is ReLU else [0, 0, 0, 0])


def test_tanh_has_the_gradient_1_minus_y_squared():
    layer = Tanh()
    np.testing.assert_array_equal(layer.forward(X), np.tanh(X))
    np.testing.assert_allclose(layer.backward(DOUT), DOUT * (1 - np.tanh(X) ** 2), rtol=1e-12)


def test_identity_passes_everything_on():
    layer = Identity()
    assert layer.forward(X) is X
    assert layer.backward(DOUT) is DOUT


def test_layers_say_what_they_are():
    assert [repr(layer) for layer in (Affine(3, 2), ReLU())] == ["Affine(3, 2)", "ReLU()"]
