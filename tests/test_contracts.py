"""What every layer, loss and optimizer of the tables promises, whichever it is."""

import copy
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

from scratchnet import Affine, MultiLayerNet, Network, TwoLayerNet, check_gradients
from scratchnet.errors import CallOrderError, DtypeError, ParameterError, ShapeError
from scratchnet.layers import ACTIVATIONS, LOSSES
from scratchnet.optimizers import BLOCK, OPTIMIZERS, RANGES, make_optimizer

DTYPES = ("float32", "float64")
LAYERS = {**ACTIVATIONS, "affine": None}


def make_layer(name, dtype="float32", n_in=5):
    return Affine(n_in, 4, dtype=dtype) if name == "affine" else ACTIVATIONS[name]()


def inputs(rows=7, columns=5, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)


# Layers


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_keeps_its_dtype_and_the_shape_it_documents(name, dtype):
    layer, x = make_layer(name, dtype), inputs(dtype=dtype)
    y = layer.forward(x)
    dx = layer.backward(np.ones_like(y))
    assert y.shape == (7, layer.output_size(5))
    assert dx.shape == x.shape
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", range(5))
def test_a_layer_has_the_right_gradient(name, seed):
    report = check_gradients(make_layer(name), inputs(seed=seed))
    assert report.status == "passed"
    assert all(check.error <= 1e-9 for check in report.arrays)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_never_writes_into_its_arguments(name):
    layer, x = make_layer(name), inputs()
    dout = inputs(columns=layer.output_size(5), seed=1)
    x_before, dout_before = x.copy(), dout.copy()
    layer.forward(x, train=True)
    layer.backward(dout)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dout, dout_before)


@pytest.mark.parametrize("name", set(LAYERS) - {"identity"})
def test_a_layer_alone_returns_fresh_arrays(name):
    layer = make_layer(name)
    first = layer.forward(inputs(seed=0))
    kept = first.copy()
    layer.forward(inputs(seed=1))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", LAYERS)
def test_in_a_network_a_short_batch_after_a_long_one_is_computed_on_its_own_rows(name):
    rest = Affine(make_layer(name).output_size(5), 3, rng=1)
    network = Network([make_layer(name), rest])
    x, t = inputs(rows=9), np.arange(9) % 3
    alone = Network([make_layer(name), Affine(rest.n_in, 3, rng=1)])
    network.gradient(x, t)
    small = {key: g.copy() for key, g in network.gradient(x[:2], t[:2]).items()}
    for key, g in alone.gradient(x[:2], t[:2]).items():
        np.testing.assert_array_equal(small[key], g)


@pytest.mark.parametrize("name", set(LAYERS) - {"identity"})
def test_b16_backward_before_forward_says_so(name):
    with pytest.raises(CallOrderError, match="call forward"):
        make_layer(name).backward(np.ones((2, 4), "float32"))


# Losses


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_a_loss_has_the_right_gradient(name, seed):
    t = np.arange(7) % 5
    report = check_gradients(LOSSES[name](), inputs(seed=seed), t)
    assert report.status == "passed"
    assert report.arrays[0].error <= 1e-9


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_keeps_the_dtype_and_its_arguments(name, dtype):
    loss, y, t = LOSSES[name](), inputs(dtype=dtype), np.arange(7) % 5
    before = y.copy()
    value = loss.forward(y, t)
    dy = loss.backward()
    assert type(value) is float
    assert dy.shape == y.shape
    assert dy.dtype == dtype
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize("name", LOSSES)
def test_b25_scaling_a_loss_scales_its_gradient(name):
    loss = LOSSES[name]()
    loss.forward(inputs(), np.arange(7) % 5)
    np.testing.assert_allclose(loss.backward(3.0), 3.0 * loss.backward(), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_b16_a_loss_refuses_backward_before_forward(name):
    with pytest.raises(CallOrderError, match="call forward"):
        LOSSES[name]().backward()


# Optimizers


def bowl(w):
    """The gradient of (w - 3)^2 / 2, whose minimum is at 3."""
    return w - 3


def some_params(dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"W1": (8, 6), "b1": (6,), "W2": (6, 3), "b2": (3,)}
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a01_a02_a_named_optimizer_steps_with_its_defaults(name):
    optimizer, w = make_optimizer(name), np.zeros(4)
    optimizer.update({"w": w}, {"w": np.ones(4)})
    assert (w < 0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_descends_a_bowl(name):
    optimizer, w = make_optimizer(name, lr=0.1), np.full(5, -2.0)
    for _ in range(400):
        optimizer.update({"w": w}, {"w": bowl(w)})
    assert np.abs(w - 3).max() < 0.1 if name != "adagrad" else np.abs(w - 3).max() < 2


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_optimizer_changes_arrays_in_place_and_keeps_their_dtype(name, dtype):
    params = some_params(dtype)
    same = dict(params)
    before = {key: w.copy() for key, w in params.items()}
    make_optimizer(name).update(params, {key: np.ones_like(w) for key, w in params.items()})
    for key, w in params.items():
        assert w is same[key]
        assert w.dtype == dtype
        assert (w != before[key]).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_by_name_over_a_dict_equals_the_vector_to_the_bit(name, dtype):
    # 400 x 100 = 40,000 weights: more than a block, and no whole number of blocks.
    network = TwoLayerNet(400, 100, 10, dtype=dtype)
    assert network.vector.size > BLOCK
    params = {key: w.copy() for key, w in network.params.items()}
    by_vector, by_name = make_optimizer(name), make_optimizer(name)
    rng = np.random.default_rng(0)
    for _ in range(5):
        network.gradient(rng.normal(size=(20, 400)), rng.integers(0, 10, 20))
        by_vector.update(network.params, network.grads)
        by_name.update(params, dict(network.grads))
    for key, w in params.items():
        np.testing.assert_array_equal(w, network.params[key])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_gradients_are_left_alone(name):
    params = some_params()
    grads = {key: np.full_like(w, 0.5) for key, w in params.items()}
    optimizer = make_optimizer(name)
    for _ in range(3):
        optimizer.update(params, grads)
    assert all((g == 0.5).all() for g in grads.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_b20_a_parameter_added_late_starts_as_if_it_were_the_first(name):
    late, early = make_optimizer(name), make_optimizer(name)
    w, v, alone = np.ones(3), np.ones(3), np.ones(3)
    for _ in range(10):
        late.update({"w": w}, {"w": np.ones(3)})
    late.update({"w": w, "v": v}, {"w": np.ones(3), "v": np.full(3, 0.5)})
    early.update({"v": alone}, {"v": np.full(3, 0.5)})
    np.testing.assert_array_equal(v, alone)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_b20_a_parameter_without_gradient_is_named(name):
    with pytest.raises(ParameterError, match="'b1'"):
        make_optimizer(name).update({"b1": np.ones(2)}, {})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_that_do_not_match_are_refused(name):
    optimizer = make_optimizer(name)
    with pytest.raises(ShapeError, match=r"'w' has \(3,\), its gradient \(2,\)"):
        optimizer.update({"w": np.ones(3)}, {"w": np.ones(2)})
    with pytest.raises(DtypeError, match="int64"):
        optimizer.update({"w": np.ones(3, np.int64)}, {"w": np.ones(3)})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_field_has_a_range_and_refuses_what_is_outside(name):
    optimizer = make_optimizer(name)
    for field in fields(optimizer):
        allowed = RANGES[field.name]
        for value in (float("nan"), float("inf"), -1.0, allowed.high, "0.1", True, None):
            with pytest.raises(ParameterError, match=rf"^{field.name} must be .* got"):
                replace(optimizer, **{field.name: value})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_lr_comes_first_and_has_a_default_of_its_own(name):
    kind = OPTIMIZERS[name]
    assert fields(kind)[0].name == "lr"
    assert kind(0.5).lr == 0.5
    assert make_optimizer(name).lr == kind().lr


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_b23_names_are_found_in_any_case_and_by_near_misses(name):
    assert type(make_optimizer(name.upper())) is OPTIMIZERS[name]
    with pytest.raises(ParameterError, match=f"did you mean '{name}'"):
        make_optimizer(name[:-1] + "x" + name[-1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a05_the_docstring_states_the_update_and_the_place_of_eps(name):
    text = OPTIMIZERS[name].__doc__ or ""
    assert "w <- " in text
    if "eps" in {field.name for field in fields(OPTIMIZERS[name])}:
        assert "+ eps" in text
        assert "outside" in text


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_copied_optimizer_goes_on_to_the_same_bits(name, copied):
    def steps(optimizer, w, seed):
        rng = np.random.default_rng(seed)
        for _ in range(5):
            optimizer.update({"w": w}, {"w": rng.normal(size=w.shape)})

    optimizer, w = make_optimizer(name), np.ones(9)
    steps(optimizer, w, 0)
    other, v = copied(optimizer), w.copy()
    steps(optimizer, w, 1)
    steps(other, v, 1)
    np.testing.assert_array_equal(v, w)


# Networks with every activation


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_network_has_the_right_gradient_at_the_start_and_after_training(
    activation, weight_decay, rows
):
    network = MultiLayerNet(6, [14, 11], 4, activation, weight_decay=weight_decay, seed=2)
    x, t = inputs(rows, 6, "float64", seed=3), np.arange(rows) % 4
    assert check_gradients(network, x, t).status == "passed"
    optimizer = make_optimizer("sgd", lr=0.1)
    for step in range(20):
        batch = inputs(8, 6, seed=step)
        optimizer.update(network.params, network.gradient(batch, np.arange(8) % 4))
    assert check_gradients(network, x, t).status == "passed"
