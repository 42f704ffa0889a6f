"""The rules against numbers that others computed: the book's paths, and steps worked by hand."""

import copy
import math

import numpy as np
import pytest

from scratchnet import SGD, AdaGrad, Adam, Momentum, MultiLayerNet, Nesterov, RMSprop
from scratchnet.errors import ParameterError
from scratchnet.optimizers import EMA, make_optimizer
from scratchnet.parameters import BLOCK, blocks

# End points after 30 updates on f(x, y) = x^2 / 20 + y^2 from (-7, 2), in float64, computed with
# independent programs; and the point after the first update.
PATHS = [
    (SGD(0.95), -0.3503929957523197, 0.0847823165504322, (-6.335, -1.8)),
    (Momentum(0.1), 0.896413858493733, 0.08808560171506971, (-6.93, 1.6)),
    (Nesterov(0.1), 0.6896149016966209, -0.0006799058361171969, (-6.867, 1.24)),
    (
        AdaGrad(1.5),
        -0.12016232231416045,
        2.486389893984459e-17,
        (-5.500000214285683, 0.5000000374999991),
    ),
    (
        RMSprop(0.1),
        -0.6974203096807907,
        1.4834621508315574e-08,
        (-6.000001428569388, 1.000000249999938),
    ),
    (
        RMSprop(0.3),
        -5.351327040428192e-06,
        1.5085100037516103e-11,
        (-4.000004285708164, -0.9999992500001857),
    ),
    (Adam(0.3), 0.13601461732623255, 0.31824538889630966, None),
]


def descend(optimizer, updates):
    optimizer = copy.deepcopy(optimizer)  # the one of the table has made no step, and makes none
    point = {"x": np.array([-7.0]), "y": np.array([2.0])}
    for _ in range(updates):
        optimizer.update(point, {"x": point["x"] / 10, "y": 2 * point["y"]})
    return float(point["x"][0]), float(point["y"][0])


@pytest.mark.parametrize(("optimizer", "x", "y", "first"), PATHS, ids=lambda v: repr(v)[:14])
def test_the_book_s_path_ends_where_it_is_known_to_end(optimizer, x, y, first):
    assert descend(make_optimizer(optimizer), 30) == pytest.approx((x, y), abs=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "first"),
    [(type(o)(o.lr), first) for o, _, _, first in PATHS if first is not None],
    ids=lambda v: repr(v)[:14],
)
def test_the_first_update_is_the_one_worked_by_hand(optimizer, first):
    assert descend(optimizer, 1) == pytest.approx(first, abs=1e-12)


def test_sgd_follows_the_closed_form():
    assert descend(SGD(0.95), 30) == pytest.approx((-7 * 0.905**30, 2 * (-0.9) ** 30), abs=1e-13)


def test_b21_adam_is_the_paper_s_form_not_the_book_s():
    book_x, book_y = 0.13600685239498186, 0.31824537553721943  # eps after folding the corrections
    x, y = descend(Adam(0.3), 30)
    assert abs(x - book_x) > 1e-6
    assert abs(y - book_y) > 1e-9


def test_b21_adam_s_first_step_is_lr_however_small_the_gradient():
    w = np.zeros(1)
    Adam(0.3).update({"w": w}, {"w": np.array([1e-7])})
    assert w[0] == pytest.approx(-0.3 * 1e-7 / (1e-7 + 1e-8), rel=1e-12)


def test_b22_nesterov_looks_ahead_and_is_not_the_old_order():
    x, y = descend(Nesterov(0.1), 1)
    assert (x + 7, y - 2) == pytest.approx((0.133, -0.76), abs=1e-12)
    assert x + 7 != pytest.approx(0.1897, abs=1e-3)


def test_adam_by_hand_for_three_steps():
    w, m, v = 1.0, 0.0, 0.0
    optimizer, array = Adam(), np.array([1.0])
    for t, g in enumerate((0.5, -2.0, 1e-3), start=1):
        optimizer.update({"w": array}, {"w": np.array([g])})
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= 0.001 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert array[0] == pytest.approx(w, rel=1e-14)


def test_the_defaults_are_the_seed_s():
    assert SGD() == SGD(lr=0.01)
    assert Momentum() == Momentum(lr=0.01, momentum=0.9)
    assert Nesterov() == Nesterov(lr=0.01, momentum=0.9)
    assert AdaGrad() == AdaGrad(lr=0.01, eps=1e-7)
    assert RMSprop() == RMSprop(lr=0.01, decay=0.99, eps=1e-7)
    assert Adam() == Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8)


def test_blocks_give_the_bits_of_the_whole():
    rng = np.random.default_rng(0)
    start, g = rng.normal(size=2 * BLOCK + 17), rng.normal(size=2 * BLOCK + 17)
    blocked, whole = start.copy(), start.copy()
    Adam().update({"w": blocked}, {"w": g})
    optimizer = Adam()
    optimizer.step = 1
    optimizer.rule(whole, g, np.zeros_like(g), np.zeros_like(g))
    np.testing.assert_array_equal(blocked, whole)


def test_a_matrix_in_a_dict_is_updated_through_its_own_memory():
    w = np.ones((3, 2))
    SGD(1.0).update({"w": w}, {"w": np.ones((3, 2))})
    assert not w.any()


def test_a_matrix_that_is_not_contiguous_is_updated_too():
    memory = np.ones((3, 4))
    optimizer = Momentum(1.0)
    for _ in range(2):
        optimizer.update({"w": memory.T[::2]}, {"w": np.ones((2, 3))})
    np.testing.assert_allclose(memory, [[-1.9, 1, -1.9, 1]] * 3)


def test_a_gradient_of_a_network_may_be_a_plain_dict():
    network = MultiLayerNet(3, [4], 2)
    before = network.params["W1"].copy()
    SGD(1.0).update(network.params, {name: np.ones_like(w) for name, w in network.params.items()})
    np.testing.assert_array_equal(network.params["W1"], before - 1)


def test_an_optimizer_object_brings_its_own_lr():
    optimizer = Momentum(0.5)
    assert make_optimizer(optimizer) is optimizer
    message = r"^give lr and options to the optimizer itself, or give its name$"
    with pytest.raises(ParameterError, match=message):
        make_optimizer(optimizer, lr=0.1)


def test_the_inner_optimizer_may_be_a_name_too():
    assert make_optimizer("ema", inner="adam") == EMA(inner=Adam())
    with pytest.raises(ParameterError, match=r"^unknown inner optimizer 'adan'; did you mean"):
        make_optimizer("ema", inner="adan")


def test_clip_value_limits_each_derivative():
    params = {"w": np.zeros(3)}
    SGD(1.0, clip_value=0.5).update(params, {"w": np.array([3.0, -4.0, 0.25])})
    np.testing.assert_array_equal(params["w"], [-0.5, 0.5, -0.25])


def test_what_is_no_array_of_floats_is_named_with_its_type():
    for value, kind in (([1.0], "<class 'list'>"), (np.ones(1, int), "int64")):
        message = rf"^parameters must be arrays of floats, 'w' is {kind}$"
        with pytest.raises(TypeError, match=message):
            SGD(0.1).update({"w": value}, {"w": np.ones(1)})


def test_blocks_cover_arrays_once_a_few_values_at_a_time():
    array = np.arange(300.0 * 250).reshape(300, 250)
    pieces = [piece for (piece,) in blocks(array)]
    assert max(piece.size for piece in pieces) == BLOCK
    np.testing.assert_array_equal(np.concatenate(pieces), array.ravel())
    assert all(np.shares_memory(piece, array) for piece in pieces)


def test_options_by_name_are_checked():
    assert make_optimizer("momentum", lr=0.5, momentum=0.8) == Momentum(0.5, 0.8)
    with pytest.raises(
        ParameterError, match="momentum has no option 'beta1'; it has lr, momentum, "
    ):
        make_optimizer("momentum", beta1=0.8)
    with pytest.raises(ParameterError, match=r"^optimizer must be one of the names sgd, .*None"):
        make_optimizer(None)
