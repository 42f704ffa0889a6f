"""The book's own loop, typed as its readers type it, with every optimizer that it names."""

import numpy as np
import pytest

from scratchnet import (
    SGD,
    AdaGrad,
    Adam,
    Momentum,
    Nesterov,
    RMSprop,
    TwoLayerNet,
    load,
)
from scratchnet.errors import ParameterError
from scratchnet.optimizers import OPTIMIZERS, make_optimizer


@pytest.mark.parametrize("optimizer_class", [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam])
def test_a04_the_seed_s_loop_runs_literally_and_learns_digits(optimizer_class):
    train, test = load("digits")
    rng = np.random.default_rng(0)

    network = TwoLayerNet(64, 50, 10)
    optimizer = optimizer_class()

    for _ in range(1500):
        x_batch, t_batch = train[rng.choice(len(train), 100)]

        grads = network.gradient(x_batch, t_batch)
        params = network.params
        optimizer.update(params, grads)

    floor = {SGD: 0.85}.get(optimizer_class, 0.93)
    assert network.accuracy(*test[:]) >= floor


def test_the_book_s_update_by_hand_equals_sgd_to_the_bit():
    train, _ = load("digits")
    by_hand, by_class = TwoLayerNet(64, 50, 10), TwoLayerNet(64, 50, 10)
    optimizer = SGD(0.1)
    x_train, t_train = train[:]
    for step in range(20):
        x, t = x_train[step * 50 : step * 50 + 50], t_train[step * 50 : step * 50 + 50]
        grad = by_hand.gradient(x, t)
        for key in ("W1", "b1", "W2", "b2"):
            by_hand.params[key] -= 0.1 * grad[key]
        optimizer.update(by_class.params, by_class.gradient(x, t))
    np.testing.assert_array_equal(by_hand.vector, by_class.vector)


def df(x, y):
    return x / 10.0, 2.0 * y


@pytest.mark.parametrize("number", [float, np.float64, np.array], ids=["float", "float64", "0-d"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_book_s_walk_over_two_numbers_runs_literally(name, number):
    params, grads = {"x": number(-7.0), "y": number(2.0)}, {"x": 0.0, "y": 0.0}
    arrays = {"x": np.array([-7.0]), "y": np.array([2.0])}
    of_arrays = {"x": np.zeros(1), "y": np.zeros(1)}
    optimizer, other = make_optimizer(name), make_optimizer(name)

    def closure():
        grads["x"], grads["y"] = df(params["x"], params["y"])
        return float(params["x"] ** 2 / 20.0 + params["y"] ** 2)

    def closure_of_arrays():
        of_arrays["x"][...], of_arrays["y"][...] = df(arrays["x"], arrays["y"])
        return float((arrays["x"] ** 2 / 20.0 + arrays["y"] ** 2)[0])

    for _ in range(7):
        grads["x"], grads["y"] = df(params["x"], params["y"])
        optimizer.update(params, grads, closure)
        closure_of_arrays()
        other.update(arrays, of_arrays, closure_of_arrays)
        assert [float(w) for w in params.values()] == [w[0] for w in arrays.values()]
    optimizer.to_evaluation(params)
    other.to_evaluation(arrays)
    assert [float(w) for w in params.values()] == [w[0] for w in arrays.values()]
    optimizer.to_training(params)
    other.to_training(arrays)
    assert [float(w) for w in params.values()] == [w[0] for w in arrays.values()]
    assert {type(w) for w in params.values()} == {type(number(0.0))}


def test_whole_numbers_are_refused_with_their_name():
    with pytest.raises(TypeError, match="arrays of floats, 'x' is <class 'int'>"):
        SGD().update({"x": 7}, {"x": 1.0})


def test_plain_numbers_may_have_whole_slopes():
    params = {"x": 2.0}
    SGD(lr=0.1, weight_decay=0).update(params, {"x": 4})
    assert params["x"] == pytest.approx(1.6)
    slopes = {"x": 4}

    def closure():  # of x^2 / 4, which is no whole number elsewhere
        slopes["x"] = params["x"] / 2
        return params["x"] ** 2 / 4

    make_optimizer("sam", lr=1.0, inner=SGD(lr=1.0), rho=0.05).update(params, slopes, closure)
    assert params["x"] == pytest.approx(1.6 - (1.6 + 0.05) / 2)


def test_plain_numbers_without_a_closure_are_refused_as_arrays_are():
    for params in ({"x": 2.0}, {"x": np.array([[2.0]])}):
        with pytest.raises(ParameterError, match="lbfgs needs the gradient at other points"):
            make_optimizer("lbfgs").update(params, {"x": params["x"]})
