"""One definition of a weight: the vector, by name and a plain dict decay the same values."""

import numpy as np
import pytest

from scratchnet import SGD, Affine, Layer, Network
from scratchnet.errors import ParameterError
from scratchnet.optimizers import EMA, OPTIMIZERS, Lookahead, make_optimizer
from scratchnet.parameters import is_weight

DECAYING = [name for name in OPTIMIZERS if name != "lbfgs"]
BY_NORMS = {"sam"}  # the norm of a vector is rounded otherwise than that of its pieces
WAYS = {
    "vector": lambda network: (network.params, network.grads),
    "by name": lambda network: (network.params, dict(network.grads)),
    "plain dict": lambda network: (dict(network.params), dict(network.grads)),
}


class Scale(Layer):
    """y = s x + c x^2, with a scale and a vector of any names; s has two dimensions."""

    def __init__(self, scale, vector, n=3, dtype="float32"):
        super().__init__({vector: (n,), scale: (1, n)}, dtype)
        self.scale, self.vector = scale, vector
        self.params[scale] = np.full((1, n), 0.7)
        self.params[vector] = np.full(n, 0.1)

    def forward(self, x, *, train=False):
        self.x = x
        return self.params[self.scale] * x + self.params[self.vector] * x * x

    def param_grads(self, dout):
        self.grads[self.scale] = (dout * self.x).sum(axis=0, keepdims=True)
        self.grads[self.vector] = (dout * self.x * self.x).sum(axis=0)

    def input_grad(self, dout):
        return dout * (self.params[self.scale] + 2 * self.params[self.vector] * self.x)


def network_with(scale="scale", vector="shift"):
    return Network([Affine(4, 3, rng=0), Scale(scale, vector), Affine(3, 2, rng=1)])


def trained(optimizer, way, names):
    """The parameters after four steps with gradients that are not 0."""
    network, rng = network_with(*names), np.random.default_rng(0)
    for _ in range(4):
        x, t = rng.normal(size=(8, 4)), rng.integers(0, 2, 8)
        network.gradient(x, t)
        params, grads = WAYS[way](network)
        optimizer.update(params, grads, lambda x=x, t=t: network.loss_and_gradient(x, t))
    return network.vector


@pytest.mark.parametrize("names", [("scale", "shift"), ("W_scale", "w_shift"), ("scale", "w")])
@pytest.mark.parametrize("name", DECAYING)
def test_the_vector_by_name_and_a_plain_dict_decay_the_same(name, names):
    made = [trained(make_optimizer(name, weight_decay=0.5), way, names) for way in WAYS]
    for vector in made[1:]:
        if name in BY_NORMS:
            np.testing.assert_allclose(vector, made[0], rtol=1e-5)
        else:
            np.testing.assert_array_equal(vector, made[0])


@pytest.mark.parametrize("wrapper", [EMA, Lookahead])
@pytest.mark.parametrize("name", [name for name in DECAYING if name != "sam"])
def test_wrappers_around_every_optimizer_decay_the_same(wrapper, name):
    made = [
        trained(wrapper(inner=make_optimizer(name), weight_decay=0.5), way, ("scale", "w"))
        for way in WAYS
    ]
    for vector in made[1:]:
        np.testing.assert_array_equal(vector, made[0])


@pytest.mark.parametrize("names", [("scale", "shift"), ("W_scale", "w_shift"), ("scale", "w")])
@pytest.mark.parametrize("name", [name for name in DECAYING if name != "sam"])
def test_names_alone_say_what_decays(name, names):
    ends = []
    for weight_decay in (0.0, 0.5):
        network = network_with(*names)
        network.gradient_vector[:] = np.linspace(0.01, 0.02, network.vector.size)
        make_optimizer(name, weight_decay=weight_decay).update(network.params, network.grads)
        ends.append(network.params)
    decayed = {key for key, w in ends[0].items() if not np.array_equal(w, ends[1][key])}
    assert decayed == {key for key in ends[0] if key[0] in "Ww"}


@pytest.mark.parametrize("way", WAYS)
def test_a_scale_of_two_dimensions_and_a_bias_do_not_decay(way):
    network = network_with("scale", "w")
    network.vector[:] = 1.0
    network.gradient_vector[:] = 0.0
    SGD(0.1, weight_decay=0.5).update(*WAYS[way](network))
    ends = {name: float(array.flat[0]) for name, array in network.params.items()}
    kept = {"scale1": 1.0, "b1": 1.0, "b2": 1.0}
    assert ends == pytest.approx({"W1": 0.95, "W2": 0.95, "w1": 0.95, **kept})


def test_a_layer_alone_decays_its_weights_wherever_they_stand():
    layer = Scale("W_scale", "shift")  # the vector stands first
    layer.params["shift"], layer.params["W_scale"] = np.ones(3), np.ones((1, 3))
    SGD(0.1, weight_decay=0.5).update(layer.params, layer.grads)
    np.testing.assert_allclose(layer.params["W_scale"], 0.95)
    np.testing.assert_array_equal(layer.params["shift"], 1)


def test_the_penalty_counts_the_weights_that_decay():
    network = network_with("scale", "w")
    network.l2 = 0.2
    weights = [array for name, array in network.params.items() if is_weight(name)]
    assert network.n_weights == sum(w.size for w in weights) == 12 + 6 + 3
    assert network.penalty() == pytest.approx(0.1 * sum(float((w * w).sum()) for w in weights))


def test_muon_moves_no_scale_as_if_it_were_a_hidden_matrix():
    params = network_with().params
    assert make_optimizer("muon").hidden_matrices(params) == []


@pytest.mark.parametrize(("decays", "scale"), [(("s",), "s"), ((), "W"), (("shift",), "s")])
def test_decays_of_an_older_layer_that_its_names_contradict_are_refused(decays, scale):
    older = type("Older", (Scale,), {"decays": decays})
    with pytest.raises(ParameterError, match="rename the parameter and remove decays"):
        older(scale, "shift")
    type("Older", (Scale,), {"decays": ("W",)})("W", "b")
