"""One definition of a weight: the vector, by name and a plain dict decay the same values."""

import numpy as np
import pytest

from scratchnet import SGD, Affine, Layer, Network
from scratchnet.optimizers import OPTIMIZERS, make_optimizer

SHRINKS = [name for name in OPTIMIZERS if name != "lbfgs"]


class Scale(Layer):
    """y = s x, with a scale s (1, n) of two dimensions."""

    def __init__(self, n):
        super().__init__({"s": (1, n)}, "float64")
        self.params["s"] = np.ones((1, n))

    def forward(self, x, *, train=False):
        """Scale every column."""
        self.x = x
        return x * self.params["s"]

    def param_grads(self, dout):
        """Sum over the rows."""
        self.grads["s"] = (dout * self.x).sum(axis=0, keepdims=True)

    def input_grad(self, dout):
        """Scale every column."""
        return dout * self.params["s"]


def network():
    rng = np.random.default_rng(0)
    options = {"rng": rng, "dtype": "float64"}
    return Network([Affine(4, 3, **options), Scale(3), Affine(3, 2, **options)], dtype="float64")


@pytest.mark.parametrize("name", SHRINKS)
def test_the_vector_and_a_plain_dict_agree_to_the_bit(name):
    one, other = network(), network()
    plain = {key: array.copy() for key, array in other.params.items()}
    by_vector, by_dict = (make_optimizer(name, weight_decay=0.1) for _ in range(2))
    rng = np.random.default_rng(1)
    for _ in range(5):
        grads = {key: rng.normal(size=array.shape) for key, array in plain.items()}
        for key, g in grads.items():
            one.grads[key] = g
        by_vector.update(one.params, one.grads, lambda: 0.0)
        by_dict.update(plain, grads, lambda: 0.0)
    for key, array in plain.items():
        assert np.array_equal(one.params[key], array), key


@pytest.mark.parametrize("as_dict", [False, True])
def test_arrays_of_two_dimensions_decay_and_no_others(as_dict):
    net = network()
    for array in net.params.values():
        array[...] = 1.0
    params = dict(net.params) if as_dict else net.params
    SGD(0.1, weight_decay=0.5).update(params, net.grads)
    assert {key: array.flat[0] for key, array in params.items()} == {
        "W1": 0.95,
        "s1": 0.95,
        "W2": 0.95,
        "b1": 1.0,
        "b2": 1.0,
    }


def test_the_penalty_counts_the_same_weights():
    net = network()
    net.l2 = 0.2
    weights = [array for array in net.params.values() if array.ndim > 1]
    assert net.penalty() == pytest.approx(0.1 * sum((w * w).sum() for w in weights))
    assert net._n_weights == sum(w.size for w in weights)
