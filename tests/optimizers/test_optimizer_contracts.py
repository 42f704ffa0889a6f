"""What every optimizer of the table promises, whichever it is."""

import copy
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from contracts import COPIES, DTYPES

from scratchnet import MultiLayerNet
from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.optimizers import OPTIMIZERS, make_optimizer
from scratchnet.parameters import BLOCK

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
        self.closure()

    def closure(self):
        for name, w in self.params.items():
            self.grads[name][...] = w - 3
        return sum(float(((w - 3) ** 2).sum()) / 2 for w in self.params.values())

    def descend(self, optimizer, steps=1):
        for _ in range(steps):
            self.closure()
            optimizer.update(self.params, self.grads, self.closure)
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
    kept = [array for arrays in optimizer.slot_values.values() for array in arrays.values()]
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


@pytest.mark.parametrize("name", [name for name in NAMES if not OPTIMIZERS[name].uses_closure])
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

    def closure():
        grads["w"][...] = w + noise
        return float((w * w).sum() / 2 + (w * noise).sum())

    for _ in range(5):
        noise = rng.normal(size=w.shape)
        closure()
        optimizer.update({"w": w}, grads, closure)


def restored(optimizer):
    other = copy.deepcopy(optimizer)
    other.slot_values, other.steps, other.scalars = {}, {}, {}
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
