"""What every layer, loss and optimizer of the tables promises, whichever it is."""

import copy
import inspect
import pickle
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from scratchnet import Affine, MultiLayerNet, Network, check_gradients, layers
from scratchnet.errors import CallOrderError, DtypeError, ParameterError, ShapeError
from scratchnet.layers import (
    ACTIVATIONS,
    LOSSES,
    NORMALIZATIONS,
    REGULARIZERS,
    BatchNorm,
    BinaryCrossEntropy,
    Dropout,
    Layer,
    LayerNorm,
    MeanSquaredError,
    PoissonLoss,
    PReLU,
    SoftmaxWithLoss,
    Standardize,
)
from scratchnet.optimizers import OPTIMIZERS, make_optimizer
from scratchnet.optimizers.optimizer import BLOCK

DTYPES = ("float32", "float64")
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda o: pickle.loads(pickle.dumps(o))}


def inputs(rows=7, columns=5, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)


# Layers


def standardize(n, dtype):
    """A Standardize that has seen its training inputs."""
    layer = Standardize(n, dtype=dtype)
    layer.observe(inputs(50, n, seed=9) * 3 + 1, 0.5)
    return layer


LAYERS = {
    **{name: lambda n, dtype, kind=kind: kind() for name, kind in ACTIVATIONS.items()},
    **{
        name: lambda n, dtype, kind=kind: kind(n, dtype=dtype)
        for name, kind in NORMALIZATIONS.items()
    },
    **{name: lambda n, dtype, kind=kind: kind() for name, kind in REGULARIZERS.items()},
    "affine": lambda n, dtype: Affine(n, 4, dtype=dtype),
    "affine-without-bias": lambda n, dtype: Affine(n, 4, dtype=dtype, bias=False),
    "batch-without-scale": lambda n, dtype: BatchNorm(n, scale=False, dtype=dtype),
    "dropout-0.2": lambda n, dtype: Dropout(0.2),
    "layer-without-scale": lambda n, dtype: LayerNorm(n, scale=False, dtype=dtype),
    "prelu-each": PReLU,
    "standardize": standardize,
}
CONSTANT_SLOPE = {"identity", "noise", "standardize"}
"""Layers whose derivative is right without a forward pass: it depends on no input."""

IDLE = {True: {"identity"}, False: {"identity", "noise", "dropout", "dropout-0.2"}}
"""Layers that return their very input, in training and in evaluation."""

MODES = pytest.mark.parametrize("train", [True, False], ids=["train", "evaluation"])


def make_layer(name, dtype="float32", n_in=5):
    return LAYERS[name](n_in, dtype)


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
    assert y.shape == (7, layer.output_size(5))
    assert dx.shape == x.shape
    assert y.dtype == dx.dtype == dtype


@MODES
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_layer_has_the_right_gradient(name, seed, train):
    layer = make_layer(name)
    for parameter in layer.params.values():
        parameter += np.random.default_rng(seed).uniform(-0.2, 0.2, parameter.shape)
    layer.forward(inputs(50, seed=8), train=True)  # so that statistics are none to begin with
    report = check_gradients(layer, inputs(8, seed=seed), train=train)
    assert report.status == "passed"
    assert {"x", *layer.shapes} == {check.name for check in report.arrays}
    assert all(check.error <= 1e-9 for check in report.arrays)


@MODES
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_never_writes_into_its_arguments(name, train):
    layer, x = make_layer(name), inputs()
    dout = inputs(columns=layer.output_size(5), seed=1)
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
    size = make_layer(name).output_size(5)
    used, alone = (Network([make_layer(name), Affine(size, 3, rng=1)]) for _ in range(2))
    x, t = inputs(rows=9), np.arange(9) % 3
    used.predict(x)
    np.testing.assert_array_equal(used.predict(x[:2]), alone.predict(x[:2]))
    used.gradient(x, t)
    for network in (used, alone):
        network.set_rng(np.random.default_rng(4))
        network.gradient(x[:2], t[:2])
    for key, g in alone.grads.items():
        np.testing.assert_array_equal(used.grads[key], g)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - CONSTANT_SLOPE))
def test_b16_backward_before_forward_says_so(name):
    with pytest.raises(CallOrderError, match="call forward"):
        make_layer(name, n_in=4).backward(np.ones((2, 4), "float32"))


@pytest.mark.parametrize("name", sorted(CONSTANT_SLOPE))
def test_b16_where_the_slope_is_constant_no_forward_pass_is_needed(name):
    dout, layer, used = inputs(seed=1), make_layer(name), make_layer(name)
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
    size = make_layer(name).output_size(5)
    network = Network([make_layer(name), Affine(size, 3, rng=1)])
    x, t = inputs(), np.arange(7) % 3
    network.gradient(x, t)
    other = copied(network)
    np.testing.assert_array_equal(other.predict(x), network.predict(x))
    for each in (network, other):
        each.set_rng(np.random.default_rng(4))
        each.gradient(x, t)
    np.testing.assert_array_equal(other.gradient_vector, network.gradient_vector)
    np.testing.assert_array_equal(other.state_vector, network.state_vector)
    assert not np.shares_memory(other.state_vector, network.state_vector)


# Losses


CLASSES = np.arange(7) % 5
ONE_HOT = np.eye(5)[CLASSES]
SOFT = np.random.default_rng(5).dirichlet(np.ones(5), 7)
WEIGHTS = (0.5, 2.0, 0.0, 1.0, 3.0)
LOSS_CASES = {
    "softmax": (lambda: SoftmaxWithLoss(), CLASSES),
    "softmax-onehot": (lambda: SoftmaxWithLoss("onehot"), ONE_HOT),
    "softmax-soft": (lambda: SoftmaxWithLoss("soft"), SOFT),
    "smoothed": (lambda: SoftmaxWithLoss(label_smoothing=0.1), CLASSES),
    "smoothed-soft": (lambda: SoftmaxWithLoss("soft", label_smoothing=0.3), SOFT),
    "weighted": (lambda: SoftmaxWithLoss(class_weight=WEIGHTS), CLASSES),
    "weighted-soft": (lambda: SoftmaxWithLoss("soft", class_weight=WEIGHTS), SOFT),
    "smoothed-weighted": (
        lambda: SoftmaxWithLoss("onehot", label_smoothing=0.2, class_weight=WEIGHTS),
        ONE_HOT,
    ),
    "squares": (lambda: MeanSquaredError(), SOFT * 3 - 1),
    "squares-integer": (lambda: MeanSquaredError("integer"), CLASSES),
    "binary": (lambda: BinaryCrossEntropy(), SOFT),
    "binary-integer": (lambda: BinaryCrossEntropy("integer"), CLASSES),
    "poisson": (lambda: PoissonLoss(), np.floor(SOFT * 8)),
    "poisson-integer": (lambda: PoissonLoss("integer"), CLASSES),
    "squares-single": (lambda: MeanSquaredError("integer"), CLASSES % 2),
    "binary-single": (lambda: BinaryCrossEntropy("integer"), CLASSES % 2),
}
LOSS_NAMES = pytest.mark.parametrize("name", LOSS_CASES)


def make_loss_case(name, dtype="float32", seed=0):
    """A loss, outputs for it, and targets."""
    make, t = LOSS_CASES[name]
    return make(), inputs(columns=1 if name.endswith("single") else 5, dtype=dtype, seed=seed), t


def test_every_loss_is_under_contract_and_made_by_its_name_alone():
    assert {type(make()) for make, _ in LOSS_CASES.values()} == set(LOSSES.values())
    for kind in LOSSES.values():
        assert kind().labels == kind.known_labels[0]


@LOSS_NAMES
@pytest.mark.parametrize("seed", range(3))
def test_a_loss_has_the_right_gradient(name, seed):
    loss, y, t = make_loss_case(name, seed=seed)
    report = check_gradients(loss, y, t)
    assert report.status == "passed"
    assert report.arrays[0].error <= 1e-9


@LOSS_NAMES
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_keeps_the_dtype_and_its_arguments(name, dtype):
    loss, y, t = make_loss_case(name, dtype)
    y_before, t_before = y.copy(), t.copy()
    value = loss.forward(y, t)
    dy = loss.backward()
    assert type(value) is float
    assert value >= 0
    assert dy.shape == y.shape
    assert dy.dtype == dtype
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(t, t_before)


@LOSS_NAMES
def test_b25_scaling_a_loss_scales_its_gradient(name):
    loss, y, t = make_loss_case(name)
    loss.forward(y, t)
    once = loss.backward()
    assert np.abs(once).max() > 0
    np.testing.assert_allclose(loss.backward(3.0), 3.0 * once, rtol=1e-6)


@LOSS_NAMES
def test_b16_a_loss_refuses_backward_before_forward(name):
    loss = LOSS_CASES[name][0]()
    for method in (loss.backward, loss.count_correct):
        with pytest.raises(CallOrderError, match="call forward"):
            method()


@LOSS_NAMES
def test_a_loss_is_a_mean_over_rows(name):
    loss, y, t = make_loss_case(name, "float64")
    whole, dy = loss.forward(y, t), loss.backward()
    rows = [(loss.forward(y[k : k + 1], t[k : k + 1]), loss.backward()) for k in range(7)]
    assert whole == pytest.approx(np.mean([value for value, _ in rows]), rel=1e-14)
    np.testing.assert_allclose(dy, np.concatenate([g for _, g in rows]) / 7, rtol=1e-13, atol=1e-16)


@LOSS_NAMES
def test_a_row_of_weight_2_counts_as_if_it_stood_there_twice_and_one_of_0_not_at_all(name):
    loss, y, t = make_loss_case(name, "float64")
    w = np.array([2.0, 1, 0, 2, 1, 0, 1])  # of mean 1
    twice = np.repeat(np.arange(7), w.astype(int))
    expected, dy = loss.forward(y[twice], t[twice]), loss.backward()
    assert loss.compute(y, loss.check_targets(t, *y.shape), w) == pytest.approx(expected, rel=1e-13)
    for row, slope in enumerate(loss.backward()):
        np.testing.assert_allclose(slope, dy[twice == row].sum(axis=0), rtol=1e-12, atol=1e-16)
    assert loss.compute(y, loss.check_targets(t, *y.shape), 0 * w) == 0
    assert not loss.backward().any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_float32_outputs_is_summed_in_float64(name):
    n = 10_000
    y, t = np.zeros((n + 1, 2), "float32"), np.ones(n + 1, int)
    # Beside a loss of 1e8 a float32 has steps of 8, and 10,000 small ones are lost.
    y[0, 0] = 18.5 if name == "poisson" else 2.0**27
    y[1:] = (0.25, 0.5)
    loss = LOSSES[name]("integer")
    first, small = loss.forward(y[:1], t[:1]), loss.forward(y[1:2], t[1:2])
    assert loss.forward(y, t) * (n + 1) - first == pytest.approx(
        n * small, abs=0.01 + 1e-15 * first
    )


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@LOSS_NAMES
def test_a_copied_loss_behaves_the_same(name, copied):
    loss, y, t = make_loss_case(name)
    loss.forward(y, t)
    again = type(loss)(**loss.config())
    for other in (copied(loss), again):
        assert other.forward(y[::-1], t[::-1]) == loss.forward(y[::-1], t[::-1])
        np.testing.assert_array_equal(other.backward(), loss.backward())
    assert repr(again) == repr(loss)


# Optimizers


NAMES = list(OPTIMIZERS)
SEES_ALL_TOGETHER = {"sam", "lbfgs"}  # what one parameter does depends on the others
LR_FOR_A_BOWL = {
    "sgd": 0.1,
    "adagrad": 1.0,
    "adadelta": 30.0,
    "radam": 0.1,
    "adafactor": 0.01,
    "lamb": 0.01,
    "lars": 20.0,
    "muon": 1.0,
    "schedule-free-sgd": 0.5,
    "schedule-free-adamw": 0.3,
    "lookahead": 0.1,
    "lbfgs": 1.0,
}


class Bowl:
    """(w - 3)^2 / 2 over named arrays: its gradients, and what computes them again."""

    def __init__(self, **params):
        self.params = params
        self.grads = {name: np.empty_like(w) for name, w in params.items()}
        self.again()

    def again(self):
        for name, w in self.params.items():
            self.grads[name][...] = w - 3
        return sum(float(((w - 3) ** 2).sum()) / 2 for w in self.params.values())

    def descend(self, optimizer, steps=1):
        for _ in range(steps):
            self.again()
            optimizer.update(self.params, self.grads, self.again)
        return self


def some_params(dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"W1": (8, 6), "b1": (6,), "W2": (6, 6), "b2": (6,), "W3": (6, 3), "b3": (3,)}
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a01_a02_a_named_optimizer_steps_with_its_defaults(name):
    bowl = Bowl(w=np.zeros(4)).descend(make_optimizer(name))
    assert (bowl.params["w"] > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_descends_a_bowl(name):
    bowl = Bowl(W=np.full((3, 2), 8.0), b=np.full(3, 5.0))
    bowl.descend(make_optimizer(name, lr=LR_FOR_A_BOWL.get(name, 0.03)), 600)
    assert max(np.abs(w - 3).max() for w in bowl.params.values()) < 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_optimizer_changes_arrays_in_place_and_keeps_their_dtype(name, dtype):
    params = some_params(dtype)
    same = dict(params)
    before = {key: w.copy() for key, w in params.items()}
    optimizer = make_optimizer(name)
    Bowl(**params).descend(optimizer, 5)
    for key, w in params.items():
        assert w is same[key]
        assert w.dtype == dtype
        assert (w != before[key]).all()
    kept = [array for arrays in optimizer.memory.values() for array in arrays.values()]
    assert {array.dtype.name for array in kept} <= {dtype}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_by_name_over_a_dict_equals_the_vector_to_the_bit(name, dtype, weight_decay):
    # 40,000 weights and more: more than a block, and no whole number of blocks.
    network = MultiLayerNet(400, [100, 20], 10, dtype=dtype)
    assert network.vector.size > BLOCK
    params = {key: w.copy() for key, w in network.params.items()}
    options = {} if name == "lbfgs" else {"weight_decay": weight_decay}
    by_vector, by_name = make_optimizer(name, **options), make_optimizer(name, **options)
    rng = np.random.default_rng(0)
    for _ in range(6):
        x, t = rng.normal(size=(20, 400)), rng.integers(0, 10, 20)
        other = network.copy()

        def again_by_name(other=other, x=x, t=t):
            for key, w in params.items():
                other.params[key] = w
            return other.loss_and_gradient(x, t)

        again_by_name()
        by_name.update(params, dict(other.grads), again_by_name)
        network.gradient(x, t)
        by_vector.update(
            network.params, network.grads, lambda x=x, t=t: network.loss_and_gradient(x, t)
        )
    for key, w in params.items():
        if name in SEES_ALL_TOGETHER:
            np.testing.assert_allclose(w, network.params[key], rtol=1e-2, atol=1e-4)
        else:
            np.testing.assert_array_equal(w, network.params[key])


@pytest.mark.parametrize("name", [name for name in NAMES if not OPTIMIZERS[name].looks_again])
def test_the_gradients_are_left_alone(name):
    if name == "sam":
        return  # it asks the caller to overwrite them
    params = some_params()
    grads = {key: np.full_like(w, 0.5) for key, w in params.items()}
    optimizer = make_optimizer(name, weight_decay=0.1, clip_norm=0.1, clip_value=0.01)
    for _ in range(3):
        optimizer.update(params, grads)
    assert all((g == 0.5).all() for g in grads.values())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SEES_ALL_TOGETHER])
def test_b20_a_parameter_added_late_starts_as_if_it_were_the_first(name):
    late, early = make_optimizer(name), make_optimizer(name)
    w, v, alone = np.ones(3), np.ones(3), np.ones(3)
    for _ in range(10):
        late.update({"w": w}, {"w": np.ones(3)})
    late.update({"w": w, "v": v}, {"w": np.ones(3), "v": np.full(3, 0.5)})
    early.update({"v": alone}, {"v": np.full(3, 0.5)})
    np.testing.assert_array_equal(v, alone)


@pytest.mark.parametrize("name", NAMES)
def test_b20_a_parameter_without_gradient_is_named(name):
    with pytest.raises(ParameterError, match="'b1'"):
        make_optimizer(name).update({"b1": np.ones(2)}, {}, lambda: 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_that_do_not_match_are_refused(name):
    optimizer = make_optimizer(name)
    with pytest.raises(ShapeError, match=r"'w' has \(3,\), its gradient \(2,\)"):
        optimizer.update({"w": np.ones(3)}, {"w": np.ones(2)}, lambda: 0.0)
    with pytest.raises(DtypeError, match="int64"):
        optimizer.update({"w": np.ones(3, np.int64)}, {"w": np.ones(3)}, lambda: 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_range_and_refuses_what_is_outside(name):
    optimizer = make_optimizer(name)
    for field in fields(optimizer):
        if field.name == "inner":
            continue
        allowed = field.metadata["range"]
        outside = [float("nan"), float("inf"), -1.0, "0.1", True]
        outside += [] if allowed.optional else [None]
        outside += [allowed.below] if allowed.below < float("inf") else []
        outside += [2 * allowed.at_most] if allowed.at_most < float("inf") else []
        outside += [1.5] if allowed.integer else []
        for value in outside:
            with pytest.raises(ParameterError, match=rf"^{field.name} must be .* got"):
                replace(optimizer, **{field.name: value})


@pytest.mark.parametrize("name", NAMES)
def test_lr_comes_first_and_has_a_default_of_its_own(name):
    kind = OPTIMIZERS[name]
    assert fields(kind)[0].name == "lr"
    assert kind(1.0).lr == 1.0
    assert make_optimizer(name).lr == kind().lr > 0


@pytest.mark.parametrize("name", NAMES)
def test_b23_names_are_found_in_any_case_and_by_near_misses(name):
    assert type(make_optimizer(name.upper())) is OPTIMIZERS[name]
    with pytest.raises(ParameterError, match=f"did you mean '{name}'"):
        make_optimizer(name[:-1] + "x" + name[-1])


@pytest.mark.parametrize("name", NAMES)
def test_a05_the_docstring_states_the_update_the_place_of_eps_the_use_and_the_paper(name):
    text = " ".join((OPTIMIZERS[name].__doc__ or "").split())
    assert " <- " in text
    assert "Use it" in text
    assert re.search(r"(19|20)\d\d", text.split("Use it")[1])
    if "eps" in {field.name for field in fields(OPTIMIZERS[name])}:
        assert "eps" in text
        assert "outside" in text or "inside" in text


def again_and_again(optimizer, w, seed):
    rng = np.random.default_rng(seed)
    grads = {"w": np.empty_like(w)}

    def again():
        grads["w"][...] = w + noise
        return float((w * w).sum() / 2 + (w * noise).sum())

    for _ in range(5):
        noise = rng.normal(size=w.shape)
        again()
        optimizer.update({"w": w}, grads, again)


def restored(optimizer):
    other = copy.deepcopy(optimizer)
    other.memory, other.steps, other.numbers = {}, {}, {}
    state = optimizer.state()
    other.restore(state)
    return other


@pytest.mark.parametrize("copied", [*COPIES.values(), restored], ids=[*COPIES, "state"])
@pytest.mark.parametrize("name", NAMES)
def test_a_copied_optimizer_goes_on_to_the_same_bits(name, copied):
    optimizer, w = make_optimizer(name), np.ones((3, 3))
    again_and_again(optimizer, w, 0)
    other, v = copied(optimizer), w.copy()
    again_and_again(optimizer, w, 1)
    again_and_again(other, v, 1)
    np.testing.assert_array_equal(v, w)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_weights_come_and_go_without_a_trace(name):
    optimizer, plain = make_optimizer(name), make_optimizer(name)
    w, v = np.ones((3, 3)), np.ones((3, 3))
    again_and_again(optimizer, w, 0)
    again_and_again(plain, v, 0)
    optimizer.to_evaluation({"w": w})
    optimizer.to_training({"w": w})
    np.testing.assert_array_equal(w, v)
    again_and_again(optimizer, w, 1)
    again_and_again(plain, v, 1)
    np.testing.assert_array_equal(w, v)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lbfgs"])
def test_weight_decay_shrinks_matrices_and_spares_vectors(name):
    plain, decayed = some_params("float64"), some_params("float64")
    grads = {key: np.full_like(w, 0.5) for key, w in plain.items()}
    make_optimizer(name, weight_decay=0.0).update(plain, grads, lambda: 0.0)
    make_optimizer(name, weight_decay=0.1).update(decayed, grads, lambda: 0.0)
    for key, w in plain.items():
        assert (decayed[key] != w).any() == (w.ndim > 1), key


# Networks of every kind


SMALL = pytest.mark.parametrize(("rows", "weight_decay"), [(1, 0.1), (3, 0.0)])


def train_a_little(network, steps=10):
    optimizer = make_optimizer("sgd", lr=0.1)
    for step in range(steps):
        x = inputs(8, 6, seed=step)
        network.observe(x, CLASSES[:1], 1.0)
        optimizer.update(network.params, network.gradient(x, np.arange(8) % 4))
        network.constrain()
    return network


@SMALL
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_has_the_right_gradient_at_the_start_and_after_training(
    activation, rows, weight_decay
):
    network = MultiLayerNet(6, [9, 7], 4, activation, weight_decay=weight_decay, seed=2)
    x, t = inputs(rows, 6, "float64", seed=3), np.arange(rows) % 4
    assert check_gradients(network, x, t).status == "passed"
    assert check_gradients(train_a_little(network), x, t).status == "passed"


OPTIONS = {
    "batch norm": {"batch_norm": True},
    "layer norm": {"layer_norm": True},
    "norm without gamma": {"batch_norm": True, "gamma": False},
    "noise": {"noise": 0.2, "input_noise": 0.1},
    "dropout": {"dropout": [0.2, 0.3], "input_dropout": 0.1},
    "standardize": {"standardize": "features"},
    "max norm": {"max_norm": 0.5},
    "label smoothing": {"label_smoothing": 0.1},
    "class weights": {"class_weight": [1.0, 0.5, 3.0, 2.0]},
    "squares": {"loss": "mean-squared-error"},
    "binary": {"loss": "binary-cross-entropy"},
    "counts": {"loss": "poisson"},
    "all": {
        "activation": ["prelu", "gelu"],
        "batch_norm": True,
        "noise": [0.1, 0.0],
        "dropout": 0.2,
        "input_noise": 0.1,
        "input_dropout": 0.1,
        "max_norm": 1.0,
        "standardize": "all",
        "label_smoothing": 0.1,
        "class_weight": "balanced",
        "weight_decay": 0.01,
    },
}


@MODES
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_network_with_every_option_has_the_right_gradient(options, train):
    network = MultiLayerNet(6, [9, 7], 4, **{"activation": "tanh", "seed": 2, **options})
    x, t = inputs(8, 6, "float64", seed=3), np.arange(8) % 4
    report = check_gradients(train_a_little(network), x, t, train=train)
    assert report.status == "passed"
    assert max(check.error for check in report.arrays) <= 1e-9
