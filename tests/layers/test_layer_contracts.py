"""What every layer of the tables promises, whichever it is."""

import inspect
import math

import numpy as np
import pytest
from contracts import COPIES, DTYPES, MODES, inputs

from scratchnet import Affine, Network, check_gradients, layers
from scratchnet.errors import CallOrderError
from scratchnet.layers import (
    ACTIVATIONS,
    NORMALIZATIONS,
    POOLS,
    REGULARIZERS,
    BatchNorm,
    Columns,
    Concat,
    Conv2D,
    Dropout,
    Embedding,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    MemberAffine,
    PiecewiseLinear,
    PReLU,
    Residual,
    RobustScale,
    Scale,
    Standardize,
    Tanh,
)
from scratchnet.layers.layer import walk


def adapted(kind):
    """A layer that has seen its training inputs."""

    def make(n, dtype):
        layer = kind(n, dtype=dtype)
        layer.adapt(inputs(50, n, seed=9) * 3 + 1, 0.5)
        return layer

    return make


def built(layer, *shape):
    """A layer that a network has told the shape of its inputs."""
    layer.build(shape)
    layer.initialize()
    return layer


LAYERS = {
    **{name: lambda n, dtype, kind=kind: kind() for name, kind in ACTIVATIONS.items()},
    **{
        name: lambda n, dtype, kind=kind: kind(n, dtype=dtype)
        for name, kind in NORMALIZATIONS.items()
    },
    **{name: lambda n, dtype, kind=kind: kind() for name, kind in REGULARIZERS.items()},
    "affine": lambda n, dtype: Affine(n, 4, dtype=dtype),
    "affine-in-a-network": lambda n, dtype: built(Affine(4, dtype=dtype), n),
    "affine-without-bias": lambda n, dtype: Affine(n, 4, dtype=dtype, bias=False),
    "batch-without-scale": lambda n, dtype: BatchNorm(n, scale=False, dtype=dtype),
    "dropout-0.2": lambda n, dtype: Dropout(0.2),
    "layer-without-scale": lambda n, dtype: LayerNorm(n, scale=False, dtype=dtype),
    "prelu-each": PReLU,
    # A row of five values as an image of one row, of one channel or of five.
    "channels": lambda n, dtype: built(BatchNorm(dtype=dtype), 1, n),
    "convolution": lambda n, dtype: Conv2D(4, (1, 3), image=(1, n), dtype=dtype),
    "convolution-padded": lambda n, dtype: Conv2D(
        2, 3, stride=2, padding="same", bias=False, image=(1, n), dtype=dtype
    ),
    "convolution-1x1": lambda n, dtype: Conv2D(3, 1, image=(1, 1, n), dtype=dtype),
    **{
        f"pool-{name}": lambda n, dtype, kind=kind: kind((1, 2), image=(1, n))
        for name, kind in POOLS.items()
    },
    "global-pool": lambda n, dtype: GlobalAvgPool(image=(1, n)),
    "residual": lambda n, dtype: built(
        Residual([Conv2D(1, 3, padding="same", dtype=dtype), Tanh()]), 1, n
    ),
    "residual-projected": lambda n, dtype: built(
        Residual([Conv2D(2, 3, padding="same", dtype=dtype, stride=2), Tanh()], dtype=dtype), 1, n
    ),
    "standardize": adapted(Standardize),
    "robust-scale": adapted(RobustScale),
    "piecewise-linear": adapted(lambda n, dtype: PiecewiseLinear(n, 4, dtype=dtype)),
    "scale": lambda n, dtype: Scale(n, dtype=dtype),
    "embedding": lambda n, dtype: built(Embedding([2] * n, 3, dtype=dtype), n),
    "concat": lambda n, dtype: built(Concat([Scale(dtype=dtype), Affine(3, dtype=dtype)]), n),
    "members": lambda n, dtype: MemberAffine(n, 1, 3, dtype=dtype),
    "columns": lambda n, dtype: built(
        Columns([2, n - 2], [Scale(dtype=dtype), Affine(3, dtype=dtype)]), n
    ),
}
CONSTANT_SLOPE = {"global-pool", "identity", "noise", "pool-avg", "standardize"}
"""Layers whose derivative is right without a forward pass: it depends on no input."""

IDLE = {True: {"identity"}, False: {"identity", "noise", "dropout", "dropout-0.2"}}
"""Layers that return their very input, in training and in evaluation."""


def make_layer(name, dtype="float32", n_in=5):
    return LAYERS[name](n_in, dtype)


def size_behind(layer):
    return math.prod(layer.output_shape((5,)))


def parameters_of(layer):
    """Those of a layer and of the layers within it."""
    return [array for one in walk([layer]) for array in one.params.values()]


def test_every_kind_of_layer_is_under_contract():
    kinds = {kind for kind in vars(layers).values() if inspect.isclass(kind)}
    concrete = {k for k in kinds if issubclass(k, Layer) and not inspect.isabstract(k)}
    assert {type(make_layer(name)) for name in LAYERS} == concrete


@MODES
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_keeps_its_dtype_and_the_shape_it_documents(name, dtype, train):
    layer, x = make_layer(name, dtype), inputs(dtype=dtype)
    y = layer.forward(x, train=train)
    dx = layer.backward(np.ones_like(y))
    assert y.shape == (7, size_behind(layer))
    assert dx.shape == x.shape
    assert y.dtype == dx.dtype == dtype


@MODES
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_layer_has_the_right_gradient(name, seed, train):
    layer = make_layer(name)
    for parameter in parameters_of(layer):
        parameter += np.random.default_rng(seed).uniform(-0.2, 0.2, parameter.shape)
    layer.forward(inputs(50, seed=8), train=True)  # so that statistics are none to begin with
    report = check_gradients(layer, inputs(8, seed=seed), train=train)
    assert report.status == "passed"
    assert len(report.arrays) == (not layer.takes_categories) + len(parameters_of(layer))
    assert all(check.error <= 1e-9 for check in report.arrays)


@MODES
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_never_writes_into_its_arguments(name, train):
    layer, x = make_layer(name), inputs()
    dout = inputs(columns=size_behind(layer), seed=1)
    x_before, dout_before = x.copy(), dout.copy()
    layer.forward(x, train=train)
    layer.backward(dout)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dout, dout_before)


@MODES
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_alone_returns_fresh_arrays(name, train):
    if name in IDLE[train]:
        x = inputs()
        assert make_layer(name).forward(x, train=train) is x
        return
    layer = make_layer(name)
    first = layer.forward(inputs(seed=0), train=train)
    dx = layer.backward(np.ones_like(first))
    kept, dx_kept = first.copy(), dx.copy()
    second = layer.forward(inputs(seed=1), train=train)
    layer.backward(np.full_like(second, 2))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(dx, dx_kept)


@pytest.mark.parametrize("name", LAYERS)
def test_in_a_network_a_short_batch_after_a_long_one_is_computed_on_its_own_rows(name):
    size = size_behind(make_layer(name))
    used, alone = (Network([make_layer(name), Affine(size, 3, rng=1)]) for _ in range(2))
    x, t = inputs(rows=9), np.arange(9) % 3
    used.predict(x)
    np.testing.assert_array_equal(used.predict(x[:2]), alone.predict(x[:2]))
    used.gradient(x, t)
    for network in (used, alone):
        network._set_rng(np.random.default_rng(4))
        network.gradient(x[:2], t[:2])
    for key, g in alone.grads.items():
        np.testing.assert_array_equal(used.grads[key], g)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - CONSTANT_SLOPE))
def test_b16_backward_before_forward_says_so(name):
    with pytest.raises(CallOrderError, match=r"^backward needs a forward pass before it"):
        make_layer(name, n_in=4).backward(np.ones((2, 4), "float32"))


@pytest.mark.parametrize("name", sorted(CONSTANT_SLOPE))
def test_b16_where_the_slope_is_constant_no_forward_pass_is_needed(name):
    layer, used = make_layer(name), make_layer(name)
    dout = inputs(columns=size_behind(layer), seed=1)
    used.forward(inputs(), train=True)
    np.testing.assert_array_equal(layer.backward(dout), used.backward(dout))


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_copied_layer_behaves_the_same_and_shares_nothing(name, copied):
    layer = make_layer(name)
    layer.forward(inputs(seed=3), train=True)
    other = copied(layer)
    for train in (True, False, True):
        x = inputs(seed=4 + train)
        y, same = layer.forward(x, train=train), other.forward(x, train=train)
        np.testing.assert_array_equal(y, same)
        np.testing.assert_array_equal(layer.backward(y), other.backward(y))
    for own, others in ((layer.params, other.params), (layer.statistics, other.statistics)):
        for key, value in own.items():
            np.testing.assert_array_equal(value, others[key])
            assert not np.shares_memory(value, others[key])


@pytest.mark.parametrize("copied", [Network.copy, *COPIES.values()], ids=["copy", *COPIES])
@pytest.mark.parametrize("name", LAYERS)
def test_a_copied_network_goes_on_to_the_same_bits(name, copied):
    size = size_behind(make_layer(name))
    network = Network([make_layer(name), Affine(size, 3, rng=1)])
    x, t = inputs(), np.arange(7) % 3
    network.gradient(x, t)
    other = copied(network)
    np.testing.assert_array_equal(other.predict(x), network.predict(x))
    for each in (network, other):
        each._set_rng(np.random.default_rng(4))
        each.gradient(x, t)
    np.testing.assert_array_equal(other.gradient_vector, network.gradient_vector)
    np.testing.assert_array_equal(other.state_vector, network.state_vector)
    assert not np.shares_memory(other.state_vector, network.state_vector)
