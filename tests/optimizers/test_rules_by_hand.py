"""What the reference trajectories do not reach: limits, other shapes, decay, and what is kept."""

from dataclasses import dataclass

import numpy as np
import pytest

from scratchnet import MultiLayerNet
from scratchnet.optimizers import (
    ASGD,
    EMA,
    LBFGS,
    SAM,
    SGD,
    Adafactor,
    Adam,
    Lookahead,
    Momentum,
    Muon,
    Optimizer,
    Rprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)

# Schedule-free


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight_decay_of_schedule_free_sgd_is_that_of_the_gradient_where_it_is_taken(dtype):
    rng = np.random.default_rng(0)
    decayed, plain = ScheduleFreeSGD(0.3, weight_decay=0.2), ScheduleFreeSGD(0.3)
    one = {"W": rng.normal(size=(3, 2)).astype(dtype)}
    other = {"W": one["W"].copy()}
    for _ in range(5):
        g = rng.normal(size=(3, 2)).astype(dtype)
        decayed.update(one, {"W": g})
        plain.update(other, {"W": g + np.float32(0.2) * other["W"]})
        kept, same = (optimizer.slot_values["W"]["z"] for optimizer in (decayed, plain))
        for a, b in ((one["W"], other["W"]), (kept, same)):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-5 if dtype == "float32" else 1e-8)


def test_weight_decay_of_schedule_free_adamw_is_apart_from_its_scaled_gradient():
    optimizer = ScheduleFreeAdamW(0.1, weight_decay=0.5, momentum=0.8)
    w = np.full((1, 1), 2.0)
    optimizer.update({"w": w}, {"w": np.zeros((1, 1))})
    z = 2.0 - 0.1 * 0.5 * 2.0
    assert optimizer.slot_values["w"]["z"][0, 0] == pytest.approx(z)
    assert w[0, 0] == pytest.approx(z)  # c is 1 at the first step


def test_steps_of_schedule_free_sgd_count_by_the_square_of_the_largest_rate_so_far():
    optimizer, w, g = ScheduleFreeSGD(0.2, momentum=0.5), np.array([1.0]), np.array([1.0])
    x = z = 1.0
    total = 0.0
    for lr, largest in ((0.2, 0.2), (0.1, 0.2), (0.4, 0.4), (0.3, 0.4)):
        optimizer.lr = lr
        optimizer.update({"w": w}, {"w": g})
        total += largest**2
        z -= lr
        x += largest**2 / total * (z - x)
        assert w[0] == pytest.approx(0.5 * z + 0.5 * x)


# Adafactor


def test_adafactor_keeps_the_means_of_rows_and_columns_of_the_last_two_axes():
    optimizer = Adafactor()
    params = {"b": np.ones(4), "W": np.ones((3, 4)), "K": np.ones((2, 3, 4))}
    optimizer.update(params, {name: np.ones_like(w) for name, w in params.items()})
    shapes = {
        name: {slot: array.shape for slot, array in slots.items()}
        for name, slots in optimizer.slot_values.items()
    }
    assert shapes == {
        "b": {"v": (4,)},
        "W": {"r": (3, 1), "c": (1, 4)},
        "K": {"r": (2, 3, 1), "c": (2, 1, 4)},
    }


def test_adafactor_of_three_axes_takes_each_matrix_by_itself():
    g, w = np.random.default_rng(0).normal(size=(2, 2, 3, 4))
    r, c = (g * g).mean(axis=-1, keepdims=True), (g * g).mean(axis=-2, keepdims=True)
    V = np.stack([r[k] @ c[k] / r[k].mean() for k in range(2)])
    u = g / np.sqrt(V)
    u /= max(1.0, np.sqrt((u * u).mean()))
    expected = w - np.sqrt((w * w).mean()) * 0.01 * u
    params = {"K": w.copy()}
    Adafactor(0.01).update(params, {"K": g})
    np.testing.assert_allclose(params["K"], expected, rtol=1e-10)


def test_adafactor_limits_its_rate_by_the_root_of_the_step_and_its_update_by_clip():
    for clip in (1.0, 0.25):
        optimizer, w = Adafactor(10.0, clip=clip), np.full(4, 2.0)
        for step in range(1, 5):
            before = w[0]
            optimizer.update({"w": w}, {"w": np.ones(4)})  # the root of the mean square is 1
            assert w[0] == pytest.approx(before - abs(before) * clip / np.sqrt(step))
            w[:] = 2.0
    slow, w = Adafactor(0.1), np.full(4, 2.0)
    slow.update({"w": w}, {"w": np.ones(4)})
    assert w[0] == pytest.approx(2.0 - 2.0 * 0.1)


def test_muon_leaves_vectors_to_adam_with_its_own_eps():
    one, other = np.ones(3), np.ones(3)
    for _ in range(2):
        Muon(0.2, eps=0.5).update({"b": one}, {"b": np.full(3, 0.1)})
        Adam(0.2 * 0.05, eps=0.5).update({"b": other}, {"b": np.full(3, 0.1)})
    np.testing.assert_array_equal(one, other)


# Rprop


def test_the_steps_of_rprop_stay_between_a_millionth_and_50():
    optimizer, w = Rprop(45.0), np.array([0.0, 0.0])
    for step in range(1, 4):
        before = w.copy()
        optimizer.update({"w": w}, {"w": np.array([1.0, 1.0])})
        assert before[0] - w[0] == pytest.approx(45.0 if step == 1 else 50.0)
    small, w = Rprop(1.5e-6), np.array([0.0])
    for sign in (1.0, -1.0, -1.0, 1.0, 1.0):
        small.update({"w": w}, {"w": np.array([sign])})
    assert small.slot_values["w"]["step_size"][0] == pytest.approx(1e-6)


# Wrappers


def quadratic(optimizer, steps=4):
    """The path on |w|^2 of an optimizer that may look at other points."""
    params = {"w": np.array([[3.0, -4.0]])}
    grads = {"w": 2 * params["w"]}

    def closure():
        grads["w"][...] = 2 * params["w"]
        return float((params["w"] ** 2).sum())

    for _ in range(steps):
        closure()
        optimizer.update(params, grads, closure)
    return params


@pytest.mark.parametrize("wrap", [EMA, lambda inner: Lookahead(inner=inner, k=100)])
def test_a_wrapper_hands_the_closure_on(wrap):
    inner = SAM(inner=SGD(0.05))
    alone = quadratic(SAM(inner=SGD(0.05)))
    wrapped = quadratic(wrap(inner=inner) if wrap is EMA else wrap(inner))
    np.testing.assert_array_equal(wrapped["w"], alone["w"])
    nested = quadratic(SAM(inner=EMA(inner=SGD(0.05))))
    np.testing.assert_array_equal(nested["w"], alone["w"])


def test_a_wrapper_needs_what_its_inner_optimizer_needs():
    assert EMA(inner=SAM()).uses_closure is True
    assert EMA(inner=SGD()).uses_closure is False
    assert SAM().uses_closure is True
    assert EMA(inner=Rprop()).full_batch is True
    assert EMA(inner=SGD()).full_batch is False


def test_a_wrapper_evaluates_with_the_weights_of_its_inner_optimizer():
    wrapped, alone = SAM(inner=ASGD(0.1, start=0)), ASGD(0.1, start=0)
    params, grads = {"w": np.array([[1.0, 2.0]])}, {"w": np.array([[1.0, -1.0]])}
    other = {"w": params["w"].copy()}
    for _ in range(4):
        wrapped.update(params, grads, lambda: 0.0)  # the gradient is the same everywhere
        alone.update(other, grads)
    path = params["w"].copy()
    wrapped.to_evaluation(params)
    alone.to_evaluation(other)
    np.testing.assert_array_equal(params["w"], other["w"])
    assert (params["w"] != path).all()
    wrapped.to_training(params)
    np.testing.assert_array_equal(params["w"], path)


def test_the_rule_of_a_wrapper_is_its_inner_optimizer_s():
    w, v = np.array([1.0, 2.0]), np.array([0.5, 0.5])
    same, also = w.copy(), v.copy()
    EMA(inner=Momentum(0.1)).rule(w, np.ones(2), v)
    Momentum(0.1).rule(same, np.ones(2), also)
    np.testing.assert_array_equal(w, same)
    np.testing.assert_array_equal(v, also)


def test_a_wrapper_counts_the_arrays_that_it_and_its_inner_optimizer_keep():
    assert EMA(inner=Adam()).arrays_kept() == 3
    assert SAM(inner=Adam()).arrays_kept() == 2
    assert SGD().arrays_kept() == 0


def test_lbfgs_counts_its_iterations():
    optimizer, params = LBFGS(iterations=3), {"w": np.array([[1.0, 3.0]])}
    assert optimizer.iterated == 0
    grads = {"w": np.zeros((1, 2))}

    def closure():
        grads["w"][...] = 4 * params["w"] ** 3
        return float((params["w"] ** 4).sum())

    optimizer.update(params, grads, closure)
    assert optimizer.iterated == 3


# The base


@dataclass(repr=False)
class Mean(Optimizer):
    """Descent by whole arrays, whose answer is the mean of its path: both at once."""

    slots = ("sum",)
    elementwise = False

    def rule(self, w, g, total):
        w -= self.lr * g
        total += w

    def evaluation_weights(self, w, total):
        return total.ravel() / self.step  # flat: the base puts it into the shape of w


def test_weights_for_evaluation_by_name_come_and_go_once():
    network, optimizer = MultiLayerNet(4, [3], 2, dtype="float64"), Mean(0.1)
    unseen = network.copy()
    optimizer.to_evaluation(unseen.params)
    np.testing.assert_array_equal(unseen.vector, network.vector)
    start = network.vector.copy()
    network.gradient_vector[:] = 1.0
    for _ in range(3):
        optimizer.update(network.params, network.grads)
    for _ in range(2):  # the second call finds them there
        optimizer.to_evaluation(network.params)
        np.testing.assert_allclose(network.vector, start - 0.2)
    with pytest.raises(RuntimeError, match=r"^the weights are those for evaluation; call"):
        optimizer.update(network.params, network.grads)
    optimizer.to_training(network.params)
    np.testing.assert_allclose(network.vector, start - 0.3)


def test_an_optimizer_says_what_it_is_and_has_made_no_step():
    assert repr(Momentum(0.1)) == "Momentum(lr=0.1, momentum=0.9)"
    assert repr(SGD(0.1, weight_decay=0.5, clip_norm=2)) == (
        "SGD(lr=0.1, weight_decay=0.5, clip_norm=2)"
    )
    assert SGD().step == 0
