"""Each layer against its formula, worked by hand or by another library."""

import mpmath
import numpy as np
import pytest
from scipy.special import expit

from scratchnet import Affine, Identity, MultiLayerNet, ReLU, Sigmoid, Tanh, functions
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.layers import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    Mish,
    PReLU,
    SiLU,
    Softplus,
)

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


# Far from 0 an activation and its slope are: left a x + b and a, right c x + d and c.
LINES = {
    "relu": (0, 0, 1, 0),
    "sigmoid": (0, 0, 0, 1),
    "tanh": (0, -1, 0, 1),
    "identity": (1, 0, 1, 0),
    "leaky-relu": (0.01, 0, 1, 0),
    "prelu": (0.25, 0, 1, 0),
    "elu": (0, -1, 1, 0),
    "selu": (0, -SELU.scale * SELU.alpha, SELU.scale, 0),
    "gelu": (0, 0, 1, 0),
    "silu": (0, 0, 1, 0),
    "softplus": (0, 0, 1, 0),
    "mish": (0, 0, 1, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_b29_activations_are_right_at_the_ends_of_the_range(name, dtype):
    layer, x = ACTIVATIONS[name](), np.array([[-1e30, -1e4, 1e4, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, dx = layer.forward(x), layer.backward(np.ones_like(x))
    a, b, c, d = LINES[name]
    left, right = x[0] < 0, x[0] > 0
    exact = {"float32": 1e-6, "float64": 1e-15}[dtype]
    np.testing.assert_allclose(y[0], left * (a * x[0] + b) + right * (c * x[0] + d), rtol=exact)
    np.testing.assert_allclose(dx[0], left * a + right * c, rtol=exact)


def test_tanh_has_the_gradient_1_minus_y_squared():
    layer = Tanh()
    np.testing.assert_allclose(layer.forward(X), np.tanh(X), rtol=1e-14)
    np.testing.assert_allclose(layer.backward(DOUT), DOUT * (1 - np.tanh(X) ** 2), rtol=1e-12)


def test_identity_passes_everything_on():
    layer = Identity()
    assert layer.forward(X) is X
    assert layer.backward(DOUT) is DOUT


FORMULAS = {
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "selu": lambda x: SELU.scale * (x if x > 0 else SELU.alpha * mpmath.expm1(x)),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_smooth_activations_and_their_slopes_are_exact_to_the_last_digits(name):
    x = np.array([[-40.0, -5.3, -1.0, -1e-3, -1e-9, 1e-9, 0.4, 1.0, 3.7, 40.0]])
    layer, formula = ACTIVATIONS[name](), FORMULAS[name]
    y, dx = layer.forward(x), layer.backward(np.ones_like(x))
    with mpmath.workdps(40):
        values = [float(formula(mpmath.mpf(v))) for v in x[0]]
        slopes = [float(mpmath.diff(formula, mpmath.mpf(v))) for v in x[0]]
    tails = 1e-16 if name == "gelu" else 0  # P(x) = (1 + erf) / 2 has no digits of its own there
    np.testing.assert_allclose(y[0], values, rtol=1e-13, atol=40 * tails)
    np.testing.assert_allclose(dx[0], slopes, rtol=1e-12, atol=1e-15)


def test_selu_keeps_mean_0_and_variance_1():
    x = np.random.default_rng(0).normal(size=(1000, 1000))
    y = SELU().forward(x)
    assert abs(y.mean()) < 0.005
    assert y.var() == pytest.approx(1, abs=0.01)


def test_leaky_relu_has_its_slope_where_x_is_not_above_0():
    layer = LeakyReLU(0.25)
    np.testing.assert_array_equal(layer.forward(X), [[1, -0.5, 0], [-0.125, 3, -2500]])
    np.testing.assert_array_equal(layer.backward(DOUT), [[1, 0.5, 0.75], [1, 5, 1.5]])


@pytest.mark.parametrize("slope", [-0.1, 1.1, float("nan"), "0.1"])
def test_leaky_relu_takes_a_slope_from_0_to_1(slope):
    with pytest.raises(ParameterError, match="slope must be"):
        LeakyReLU(slope)


def test_prelu_learns_a_slope_for_each_unit_or_one_for_all():
    x, dout = (
        np.array([[1.0, -2.0], [-3.0, -4.0], [0.0, 5.0]]),
        np.array([[1.0, 10], [2, 20], [3, 30]]),
    )
    each = PReLU(2, "float64")
    each.params["a"] = [0.5, -1.0]
    np.testing.assert_array_equal(each.forward(x), [[1, 2], [-1.5, 4], [0, 5]])
    np.testing.assert_array_equal(each.backward(dout), [[1, -10], [1, -20], [1.5, 30]])
    np.testing.assert_array_equal(each.grads["a"], [-6, -100])
    shared = PReLU()
    assert shared.params["a"] == 0.25
    shared.forward(x)
    shared.backward(dout)
    np.testing.assert_array_equal(shared.grads["a"], [-106])
    assert (shared.output_shape((7,)), each.output_shape((2,))) == ((7,), (2,))
    with pytest.raises(ShapeError, match=r"PReLU\(2\) takes 2 inputs"):
        each.output_shape((3,))


def test_weight_decay_spares_the_slope_of_prelu():
    network = MultiLayerNet(3, [4], 2, "prelu", l2=1e6)
    plain = MultiLayerNet(3, [4], 2, "prelu")
    x, t = np.ones((2, 3)), np.array([0, 1])
    np.testing.assert_array_equal(network.gradient(x, t)["a1"], plain.gradient(x, t)["a1"])
    assert (network.grads["W1"] != plain.grads["W1"]).all()


def test_nan_goes_through_every_activation_so_that_it_is_noticed():
    for name, kind in ACTIVATIONS.items():
        assert np.isnan(kind().forward(np.array([[np.nan]]))[0, 0]), name


def test_affine_without_bias_has_none():
    layer, biased = Affine(3, 2, bias=False), Affine(3, 2)
    assert list(layer.params) == list(layer.grads) == ["W"]
    x = X.astype("float32")
    np.testing.assert_array_equal(layer.forward(x), biased.forward(x))
    np.testing.assert_array_equal(layer.backward(x[:, :2]), biased.backward(x[:, :2]))


def test_layers_say_what_they_are():
    layers = (Affine(3, 2), ReLU(), LeakyReLU(), PReLU(), PReLU(4), ELU(), SELU(), GELU())
    assert [repr(layer) for layer in (*layers, SiLU(), Softplus(), Mish())] == [
        "Affine(3, 2)",
        "ReLU()",
        "LeakyReLU(0.01)",
        "PReLU(1)",
        "PReLU(4)",
        "ELU()",
        "SELU()",
        "GELU()",
        "SiLU()",
        "Softplus()",
        "Mish()",
    ]
