"""What a layer in a network keeps: its results are written into the same memory every time."""

import pickle

import numpy as np
import pytest
from contracts import MODES, inputs
from test_layer_contracts import CONSTANT_SLOPE, IDLE, LAYERS, make_layer

from scratchnet import Affine, ReLU
from scratchnet.errors import CallOrderError
from scratchnet.layers import (
    BatchNorm,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    PiecewiseLinear,
    PReLU,
    RobustScale,
    Scale,
    Standardize,
)
from scratchnet.layers.layer import walk


def adopted(name):
    """A layer that keeps its results, as one of a network does."""
    layer = make_layer(name)
    layer.keep_apart(train=True)
    return layer


def kept_by(layer):
    """Every array that a layer and the layers in it keep for training."""
    return [array for one in walk([layer]) for array in one._apart[True].values()]


def same_memory(one, other):
    return one.__array_interface__["data"] == other.__array_interface__["data"]


@MODES
@pytest.mark.parametrize("name", LAYERS)
def test_a_second_pass_writes_into_the_memory_of_the_first(name, train):
    layer, x = adopted(name), inputs()
    y = layer.forward(x, train=train)
    dx, pattern = layer.backward(np.ones_like(y)), layer.kink_pattern()
    second = layer.forward(inputs(seed=1), train=train)
    if name in IDLE[train]:
        assert y is x
        return
    assert same_memory(second, y)
    assert not same_memory(y, x)
    if name != "noise":  # its input gradient is its output gradient
        assert same_memory(layer.backward(np.ones_like(y)), dx)
        assert not same_memory(dx, y)
    if pattern is not None:
        assert same_memory(layer.kink_pattern(), pattern)


@MODES
@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_keeps_has_the_dtype_of_its_input(name, train):
    layer = adopted(name)
    layer.backward(np.ones_like(layer.forward(inputs(), train=train)))
    layer.kink_pattern()
    assert {array.dtype.name for array in kept_by(layer)} <= {"float32", "bool"}


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"prelu"}))  # which has float32 alone
def test_parameters_gradients_and_statistics_have_the_layer_s_dtype(name):
    for dtype in ("float32", "float64"):
        layer = make_layer(name, dtype)
        own = [*layer.params.values(), *layer.grads.values(), *layer.statistics.values()]
        assert {array.dtype.name for array in own} <= {dtype}


@pytest.mark.parametrize("kind", [PReLU, BatchNorm, LayerNorm, Standardize, RobustScale, Scale])
def test_a_layer_made_with_its_size_alone_is_float32(kind):
    layer = kind(3)
    own = [*layer.params.values(), *layer.grads.values(), *layer.statistics.values()]
    assert {array.dtype.name for array in own} == {"float32"}


@pytest.mark.parametrize("name", LAYERS)
def test_a_forward_pass_is_one_of_evaluation_unless_training_is_said(name):
    x, layer, other = inputs(), make_layer(name), make_layer(name)
    for each in (layer, other):
        each.forward(inputs(20, seed=2), train=True)
    np.testing.assert_array_equal(layer.forward(x), other.forward(x, train=False))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda n: Affine(n, 1), "n_in"),
        (lambda n: Affine(1, n), "n_out"),
        (PReLU, "n"),
        (BatchNorm, "n"),
        (LayerNorm, "n"),
        (Standardize, "n"),
        (RobustScale, "n"),
        (PiecewiseLinear, "n"),
        (lambda n: PiecewiseLinear(1, n), "bins"),
        (Scale, "n"),
        (lambda n: Embedding([n], 1), "a size"),
        (lambda n: Embedding([1], n), "width"),
    ],
)
def test_a_size_below_1_is_refused_by_its_name_and_1_is_taken(make, name):
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        make(0)
    assert make(1).params is not None


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_eps_is_refused_by_its_name(kind):
    with pytest.raises(ValueError, match=r"^eps must be"):
        kind(3, eps=0.0)


@pytest.mark.parametrize("name", LAYERS)
def test_a_pickle_has_nothing_of_the_last_batch(name):
    layer, used = adopted(name), adopted(name)
    used.statistics = layer.statistics
    empty = len(pickle.dumps(layer))
    used.backward(np.ones_like(used.forward(inputs(10_000), train=True)))
    used.kink_pattern()
    assert len(pickle.dumps(used)) < empty + 2_000
    other = pickle.loads(pickle.dumps(used))
    assert other._kept == {}
    assert pickle.loads(pickle.dumps(make_layer(name)))._kept is None
    if name not in CONSTANT_SLOPE:
        with pytest.raises(CallOrderError):
            other.backward(inputs())


def test_memory_of_another_width_or_dtype_is_made_anew():
    layer = adopted("relu")
    first = layer.keep("y", (4, 5), "float32")
    assert layer.keep("y", (4, 6), "float32").shape == (4, 6)
    assert layer.keep("y", (4, 6), "float64").dtype == "float64"
    assert layer.keep("y", (5, 6), "float64").shape == (5, 6)
    assert layer.keep("y", (4, 5), "float32") is not first


def test_affine_draws_from_the_seed_0_by_default():
    np.testing.assert_array_equal(Affine(4, 3).params["W"], Affine(4, 3, rng=0).params["W"])


class Twice(Layer):
    """Two layers in a tuple, one that stands apart, and things that are no layers."""

    def __init__(self, rate=0.5):
        super().__init__()
        self.first, self.others = ReLU(), [ReLU(), Dropout(rate)]
        self.children = (self.first, *self.others)
        self.apart = Affine(1, 1)  # no child: its owner does not call it in its passes
        self.names = ("a", "b")
        self.rate = rate

    def forward(self, x, *, train=False):
        for layer in self.children:
            x = layer.forward(x, train=train)
        return x

    def input_grad(self, dout):
        for layer in reversed(self.children):
            dout = layer.backward(dout)
        return dout


def test_a_thread_s_copy_of_a_layer_has_copies_of_its_children_and_the_same_of_all_else():
    layer, memory = Twice(), [{} for _ in range(4)]
    shared = layer.share(iter(memory))
    x = inputs()
    np.testing.assert_array_equal(shared.forward(x), layer.forward(x))
    assert (shared.names, shared.rate) == (("a", "b"), 0.5)
    assert shared.apart is layer.apart
    assert [type(one) for one in shared.others] == [ReLU, Dropout]
    assert shared.first is not layer.first
    assert shared.others[0] is not layer.others[0]
    assert all(one in (shared.first, *shared.others) for one in shared.children)
    assert memory[1].keys() == memory[2].keys() == {"y"}
    shared.keep_apart(train=False)
    assert shared._kept is memory[0]
    assert shared.first._kept is memory[1]
