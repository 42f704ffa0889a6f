"""Optimizers around others, L-BFGS and Muon against what is known in closed form."""

import math

import numpy as np
import pytest

from scratchnet import MultiLayerNet
from scratchnet.errors import ParameterError
from scratchnet.optimizers import EMA, LBFGS, SAM, SGD, Adam, Lookahead, Momentum, Muon
from scratchnet.optimizers.layerwise import orthogonalized

# The average of the path


def straight_path(optimizer, steps):
    """Walk with a gradient that stays the same; returns the parameters."""
    params, grads = {"w": np.array([5.0, -2.0])}, {"w": np.array([1.0, -4.0])}
    for _ in range(steps):
        optimizer.update(params, grads)
    return params


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_ema_evaluates_with_the_weighted_mean_of_a_known_path(decay, steps):
    optimizer = EMA(inner=SGD(0.1), decay=decay)
    params = straight_path(optimizer, steps)
    optimizer.to_evaluation(params)
    path = [np.array([5.0, -2.0]) - 0.1 * k * np.array([1.0, -4.0]) for k in range(1, steps + 1)]
    weights = [decay ** (steps - k) for k in range(1, steps + 1)]
    expected = sum(a * w for a, w in zip(weights, path, strict=True)) / sum(weights)
    np.testing.assert_allclose(params["w"], expected, rtol=1e-12)


def test_ema_of_a_point_that_stands_still_is_that_point_from_the_first_step_on():
    optimizer, params = EMA(inner=SGD(0.1), decay=0.999), {"w": np.array([5.0])}
    for _ in range(3):
        optimizer.update(params, {"w": np.zeros(1)})
        optimizer.to_evaluation(params)
        assert params["w"][0] == pytest.approx(5.0, rel=1e-12)
        optimizer.to_training(params)


def test_ema_leaves_the_path_of_its_inner_optimizer_alone():
    alone, averaged = Adam(0.1), EMA(inner=Adam(0.1))
    np.testing.assert_array_equal(straight_path(alone, 7)["w"], straight_path(averaged, 7)["w"])


def test_lookahead_goes_part_of_the_way_every_k_steps():
    optimizer = Lookahead(inner=SGD(0.1), k=5, alpha=0.25)
    for steps, gone in {4: 4, 5: 1.25, 6: 2.25, 10: 2.5}.items():
        params = straight_path(Lookahead(inner=SGD(0.1), k=5, alpha=0.25), steps)
        np.testing.assert_allclose(params["w"], [5 - 0.1 * gone, -2 + 0.4 * gone])
    params = straight_path(optimizer, 9)
    optimizer.to_evaluation(params)
    np.testing.assert_allclose(params["w"], [5 - 0.125, -2 + 0.5])


def test_what_a_wrapper_is_given_is_its_inner_optimizer_s():
    assert EMA(inner=SGD(0.5)).lr == 0.5
    outer, params = (
        EMA(0.2, inner=SGD(0.5), weight_decay=0.1, clip_norm=3.0),
        {"w": np.ones((1, 1))},
    )
    outer.update(params, {"w": np.full((1, 1), 100.0)})
    assert params["w"][0, 0] == pytest.approx(1 - 0.2 * 0.1 - 0.2 * 3.0)


def test_what_a_wrapper_is_given_goes_through_another_wrapper():
    outer = Lookahead(0.2, inner=EMA(inner=SGD(0.5)), weight_decay=0.1, clip_norm=3.0)
    params = {"w": np.ones((1, 1))}
    outer.update(params, {"w": np.full((1, 1), 100.0)})
    assert params["w"][0, 0] == pytest.approx(1 - 0.2 * 0.1 - 0.2 * 3.0)


@pytest.mark.parametrize("options", [{"weight_decay": 0.1}, {"clip_norm": 1.0}, {"lr": 0.5}])
def test_a_wrapper_takes_only_what_its_inner_optimizer_takes(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        EMA(inner=LBFGS(), **options)


@pytest.mark.parametrize("inner", [LBFGS(), SAM(), EMA(inner=SAM())])
def test_sam_refuses_an_inner_optimizer_that_looks_for_its_own_gradient(inner):
    with pytest.raises(ParameterError, match=r"^inner of sam must step by the gradient"):
        SAM(inner=inner)


@pytest.mark.parametrize("kind", [EMA, Lookahead, SAM])
def test_a_wrapper_takes_an_optimizer_only(kind):
    with pytest.raises(ParameterError, match="inner must be an optimizer, for example Adam"):
        kind(inner="adam")


# Sharpness-aware minimisation


def test_sam_steps_by_the_gradient_of_the_worst_point_nearby():
    params = {"a": np.array([3.0]), "b": np.array([[4.0]])}
    grads = {name: 2 * w for name, w in params.items()}  # of a^2 + b^2
    SAM(inner=SGD(0.1), rho=0.5).update(params, grads, lambda: refill(grads, params))
    # The gradient points from (0, 0) to (3, 4): the worst point is (3, 4) + 0.5 (0.6, 0.8).
    assert params["a"][0] == pytest.approx(3 - 0.1 * 2 * 3.3)
    assert params["b"][0, 0] == pytest.approx(4 - 0.1 * 2 * 4.4)


def refill(grads, params):
    """The gradients of a^2 + b^2 where the parameters are, in the same arrays."""
    for name, w in params.items():
        grads[name][...] = 2 * w
    return sum(float((w * w).sum()) for w in params.values())


def test_sam_stays_where_the_gradient_is_0():
    params, grads = {"w": np.ones(2)}, {"w": np.zeros(2)}
    SAM(inner=SGD(0.1)).update(params, grads, lambda: pytest.fail("nowhere to look"))
    assert (params["w"] == 1).all()


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [(SAM(), "sam"), (LBFGS(), "lbfgs"), (EMA(inner=SAM()), "sam")],
)
def test_what_needs_another_look_says_how_to_give_it(optimizer, name):
    with pytest.raises(ParameterError, match=rf"^{name} needs the gradient at .* closure = lambda"):
        optimizer.update({"w": np.ones(2)}, {"w": np.ones(2)})


# L-BFGS


def minimize(optimizer, params, value_and_gradient, updates=1):
    """Update so many times with a function of the arrays; returns the loss at the end."""
    grads = {name: np.empty_like(w) for name, w in params.items()}

    def closure():
        loss, found = value_and_gradient(**params)
        for name, g in found.items():
            grads[name][...] = g
        return loss

    for _ in range(updates):
        closure()
        optimizer.update(params, grads, closure)
    return closure()


def rosenbrock(x, y):
    d = y - x * x
    loss = float(((1 - x) ** 2 + 100 * d * d).sum())
    return loss, {"x": -2 * (1 - x) - 400 * x * d, "y": 200 * d}


def test_lbfgs_finds_the_minimum_of_a_quadratic_that_spans_two_arrays():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, 9))
    A, b = root @ root.T + np.eye(9), rng.normal(size=9)

    def quadratic(W, v):
        w = np.concatenate([W.ravel(), v])
        g = A @ w - b
        return float(w @ A @ w / 2 - b @ w), {"W": g[:6].reshape(2, 3), "v": g[6:]}

    params = {"W": np.zeros((2, 3)), "v": np.zeros(3)}
    minimize(LBFGS(iterations=200), params, quadratic, updates=3)
    expected = np.linalg.solve(A, b)
    found = np.concatenate([params["W"].ravel(), params["v"]])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-4), ("float32", 5e-3)])
def test_lbfgs_finds_the_minimum_of_rosenbrock_s_valley(dtype, atol):
    params = {"x": np.array([-1.2], dtype), "y": np.array([1.0], dtype)}
    loss = minimize(LBFGS(), params, rosenbrock, updates=5)
    assert loss < atol**2
    np.testing.assert_allclose([params["x"][0], params["y"][0]], [1, 1], atol=atol)
    assert params["x"].dtype == dtype


def test_lbfgs_takes_no_more_iterations_than_it_is_given():
    short = {"x": np.array([-1.2]), "y": np.array([1.0])}
    long = {"x": np.array([-1.2]), "y": np.array([1.0])}
    few = minimize(LBFGS(iterations=2), short, rosenbrock)
    many = minimize(LBFGS(iterations=50), long, rosenbrock)
    assert many < 1e-6 < few < rosenbrock(np.array([-1.2]), np.array([1.0]))[0]


def test_lbfgs_brings_a_convex_network_to_where_its_gradient_is_0():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    network = MultiLayerNet(4, [], 3, l2=0.1, dtype="float64")
    optimizer = LBFGS(iterations=100)
    for _ in range(3):
        network.gradient(x, t)
        optimizer.update(network.params, network.grads, lambda: network.loss_and_gradient(x, t))
    network.gradient(x, t)
    assert np.abs(network.gradient_vector).max() < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_decay": 0.1}, "takes no weight_decay; put an L2 penalty"),
        ({"clip_norm": 1.0}, "takes no clip_norm"),
        ({"clip_value": 1.0}, "takes no clip_value"),
        ({"lr": 0.5}, "lr must be .* got 0.5"),
        ({"lr": 2.0}, "lr must be .* got 2.0"),
        ({"iterations": 0}, "iterations must be an integer >= 1, got 0"),
    ],
)
def test_lbfgs_refuses_what_it_has_no_place_for(options, message):
    with pytest.raises(ParameterError, match=message):
        LBFGS(**options)


def test_lbfgs_has_no_rule_for_a_piece_of_the_parameters():
    with pytest.raises(ParameterError, match=r"^lbfgs has no rule for single arrays; call update$"):
        LBFGS().rule(np.ones(2), np.ones(2))


# Muon


@pytest.mark.parametrize("shape", [(12, 3), (5, 5), (3, 12), (4, 8)])
def test_a_step_of_muon_has_singular_values_near_lr_times_the_root_of_how_wide_it_is(shape):
    rng = np.random.default_rng(0)
    params = {"W1": np.ones((2, 2)), "W2": np.zeros(shape), "W3": np.ones((2, 2))}
    grads = {name: rng.normal(size=w.shape) for name, w in params.items()}
    Muon(0.1).update(params, grads)
    factor = math.sqrt(max(1.0, shape[1] / shape[0]))  # n_out / n_in
    values = np.linalg.svd(params["W2"], compute_uv=False) / (0.1 * factor)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_keeps_the_directions_of_the_gradient():
    g = np.random.default_rng(1).normal(size=(4, 9))
    u, _, vt = np.linalg.svd(g, full_matrices=False)
    turned = u.T @ orthogonalized(g) @ vt.T
    np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-10)
    np.testing.assert_allclose(orthogonalized(g.T), orthogonalized(g).T, atol=1e-14)


def test_muon_leaves_the_first_and_the_last_matrix_and_the_biases_to_adam():
    rng = np.random.default_rng(0)
    shapes = {"W1": (4, 3), "W2": (3, 3), "W3": (3, 2), "b1": (3,), "b2": (3,), "b3": (2,)}
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    by_adam = {name: w.copy() for name, w in params.items()}
    muon, adam = Muon(0.1, adam_share=0.3), Adam(0.1 * 0.3)
    for _ in range(3):
        grads = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        muon.update(params, grads)
        adam.update(by_adam, grads)
    for name in shapes:
        assert np.allclose(params[name], by_adam[name], rtol=1e-12) == (name != "W2"), name


def test_momentum_inside_of_a_wrapper_follows_the_lr_that_a_schedule_gives_the_wrapper():
    outer = EMA(inner=Momentum(0.5))
    outer.lr = 0.25
    straight_path(outer, 1)
    assert outer.inner.lr == 0.25
