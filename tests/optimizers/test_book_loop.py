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
