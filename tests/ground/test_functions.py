"""Softmax, cross-entropy and sigmoid at ordinary values and at the ends of the number range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.special import expit, log_softmax, softmax

from scratchnet import functions

logits = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e30, 1e30, allow_subnormal=True),
)


@given(logits)
def test_softmax_and_log_softmax_agree_with_scipy(x):
    np.testing.assert_allclose(functions.softmax(x), softmax(x, axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        functions.log_softmax(x), log_softmax(x, axis=1), rtol=1e-12, atol=1e-15
    )


@given(logits)
def test_a08_every_row_of_a_softmax_sums_to_one_and_does_not_depend_on_the_others(x):
    y = functions.softmax(x)
    np.testing.assert_allclose(y.sum(axis=1), 1.0, rtol=1e-12)
    for row in range(len(x)):
        np.testing.assert_array_equal(functions.softmax(x[row : row + 1])[0], y[row])


def test_rows_are_along_the_last_axis_whatever_the_number_of_axes():
    for shape in ((5,), (2, 5), (2, 3, 5)):
        x = np.random.default_rng(0).normal(size=shape)
        np.testing.assert_allclose(functions.softmax(x), softmax(x, axis=-1), rtol=1e-13)
        np.testing.assert_allclose(functions.log_softmax(x), log_softmax(x, axis=-1), rtol=1e-13)


def test_cross_entropy_is_the_mean_of_minus_log_softmax_at_the_label():
    x = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    by_hand = [np.log(1 + np.exp(-1) + np.exp(-2)), np.log(3)]
    assert functions.cross_entropy(x, np.array([0, 2])) == pytest.approx(np.mean(by_hand))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_b29_sigmoid_does_not_overflow_and_has_the_right_limits(dtype):
    x = np.array([-1e4, -1000, -88, -1, 0, 1, 88, 1000, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise"):
        y = functions.sigmoid(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expit(x.astype("float64")).astype(dtype), rtol=3e-7, atol=1e-38)
    assert y[0] == 0
    assert y[-1] == 1


def test_the_book_s_activations():
    x = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(functions.step_function(x), [0, 0, 1])
    assert functions.step_function(3.0) == functions.step_function(0.5) == 1
    assert functions.step_function(x).dtype == np.int64
    np.testing.assert_array_equal(functions.relu(x), [0, 0, 2])
    assert functions.identity_function(x) is x


def test_the_book_s_errors_of_its_own_example():
    t = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    right = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0])
    wrong = np.array([0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0])
    for y, squares, entropy in ((right, 0.0975, -np.log(0.6)), (wrong, 0.5975, -np.log(0.1))):
        assert functions.sum_squared_error(y, t) == pytest.approx(squares)
        assert functions.cross_entropy_error(y, t) == pytest.approx(entropy)
        both = functions.cross_entropy_error(np.stack([y, y]), np.array([2, 2]))
        assert both == pytest.approx(entropy)
        assert functions.cross_entropy_error(np.stack([y, y]), np.stack([t, t])) == both
    y, rows = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[1, 0], [0, 1]])
    each = -(np.log(0.9) + np.log(0.8)) / 2
    assert functions.cross_entropy_error(y, rows) == pytest.approx(each)
    assert functions.cross_entropy_error(y, np.array([0, 1])) == pytest.approx(each)
    assert functions.cross_entropy_error(np.array([[1.0, 0.0]]), np.array([1])) == np.inf


def test_a_numerical_gradient_is_right_and_leaves_x_as_it_was():
    x = np.array([[3.0, 4.0], [0.0, -1.0]])
    before = x.copy()
    found = functions.numerical_gradient(lambda x: float((x**2).sum()), x)
    np.testing.assert_allclose(found, 2 * x, atol=1e-9)
    np.testing.assert_array_equal(x, before)
    slopes = functions.numerical_gradient(lambda x: float((x**4).sum()), x)
    np.testing.assert_allclose(slopes, 4 * x**3, atol=1e-5)


def test_a_smoothed_curve_is_the_book_s():
    x = np.random.default_rng(0).normal(size=40)
    window = np.kaiser(11, 2)
    whole = np.concatenate([x[10:0:-1], x, x[-1:-11:-1]])  # ten on each side; five are cut again
    expected = np.convolve(window / window.sum(), whole, mode="valid")[5:-5]
    np.testing.assert_allclose(functions.smooth_curve(x), expected, rtol=1e-12)
    np.testing.assert_allclose(functions.smooth_curve(np.ones(11)), np.ones(11), rtol=1e-12)
