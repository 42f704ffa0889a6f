"""Schedules: known points of each curve, warm-up before any of them, and the plateau's patience."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import SGD, MultiLayerNet, Trainer
from scratchnet.errors import ParameterError
from scratchnet.schedules import SCHEDULES, Plateau, Schedule, make_schedule

POINTS = {  # factors at p = 0, 1/4, 1/2, 3/4 and 1
    "constant": (1, 1, 1, 1, 1),
    "step": (1, 1, 0.1, 0.01, 0.001),
    "multi-step": (1, 1, 0.1, 0.01, 0.01),
    "exponential": (1, 0.01**0.25, 0.1, 0.01**0.75, 0.01),
    "linear": (1, 0.75, 0.5, 0.25, 0),
    "polynomial": (1, 0.5625, 0.25, 0.0625, 0),
    "cosine": (1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0),
    "inverse-sqrt": (1, 3.5**-0.5, 6**-0.5, 8.5**-0.5, 11**-0.5),
    "one-cycle": (0, 0.25 / 0.3, 0.5 / 0.7, 0.25 / 0.7, 0),
    "plateau": (1, 1, 1, 1, 1),
}


@pytest.mark.parametrize("name", POINTS)
def test_a_schedule_goes_through_the_points_of_its_formula(name):
    schedule = make_schedule(name)
    found = [schedule(p) for p in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx(POINTS[name], abs=1e-15)


def test_cosine_restarts_begin_anew_each_time_twice_as_long():
    schedule = Schedule("cosine-restarts")  # lengths 1/7, 2/7, 4/7
    assert [schedule(p) for p in (0, 1 / 7, 3 / 7)] == pytest.approx([1, 1, 1], abs=1e-12)
    assert [schedule(p) for p in (0.5 / 7, 2 / 7, 5 / 7)] == pytest.approx([0.5] * 3)
    assert schedule(1 / 7 - 1e-9) < 1e-6
    assert schedule(1.0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@given(p=st.floats(0, 1), warmup=st.floats(0, 0.9))
def test_a_factor_is_from_0_to_1_whatever_the_warm_up(name, p, warmup):
    assert 0 <= make_schedule(name, warmup)(p) <= 1 + 1e-12


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_is_a_straight_line_from_0_to_where_the_schedule_begins(name):
    warm, plain = make_schedule(name, 0.2), make_schedule(name, 0.0)
    assert [warm(p) for p in (0, 0.05, 0.1)] == pytest.approx([0, 0.25, 0.5])
    assert warm(0.2) == pytest.approx(plain(0.0))
    assert warm(0.5) == pytest.approx(plain(0.375))
    assert warm(1.0) == pytest.approx(plain(1.0))


def test_options_are_arguments_of_the_function():
    assert Schedule("linear", end=0.5)(1.0) == 0.5
    assert Schedule("step", every=0.5, gamma=0.5)(0.9) == 0.5
    assert repr(Schedule("cosine", 0.1, end=0.2)) == "Schedule('cosine', warmup=0.1, end=0.2)"


def test_a_plateau_steps_down_after_so_many_epochs_without_a_lower_loss():
    plateau, levels = Plateau(factor=0.5, patience=2), []
    for loss in (3.0, 2.0, 2.0, 2.1, 1.9, 1.9, 1.9, 1.9, 1.9):
        plateau.observe(loss)
        levels.append(plateau(0.5))
    assert levels == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


BAD = [
    (lambda: make_schedule("cosin"), "unknown schedule 'cosin'; did you mean 'cosine'"),
    (lambda: make_schedule("linear", 1.0), "warmup must be a share of training below 1, got 1.0"),
    (lambda: make_schedule("linear", -0.1), "warmup must be a finite number >= 0, got -0.1"),
    (lambda: make_schedule("linear", power=2), "linear has no option 'power'; it has end"),
    (lambda: make_schedule("constant", end=2), "constant has no option 'end'; it has none"),
    (lambda: Plateau(factor=1.0), "factor must be a finite number > 0 and < 1, got 1.0"),
    (lambda: Plateau(patience=0), "patience must be an integer >= 1, got 0"),
    (lambda: Trainer(net(), DATA, schedule="plateau"), "plateau needs validation samples"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_what_cannot_be_used_is_named(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


DATA = np.random.default_rng(0).normal(size=(40, 3)).astype("float32"), np.arange(40) % 2


def net():
    return MultiLayerNet(3, [4], 2)


def test_the_trainer_follows_the_schedule_step_by_step_over_the_planned_run():
    rates = []
    trainer = Trainer(net(), DATA, optimizer="sgd", lr=0.5, schedule="one-cycle", batch_size=10)
    trainer.on_step = lambda step, loss: rates.append(trainer.optimizer.lr)
    epochs = list(trainer.run(5))
    schedule = Schedule("one-cycle")
    assert rates == [0.5 * schedule((k + 0.5) / 20) for k in range(20)]
    assert all(rate > 0 for rate in rates)
    assert [epoch.lr for epoch in epochs] == rates[3::4]


def test_the_trainer_tells_the_plateau_the_validation_loss():
    shuffled = (DATA[0], DATA[1][::-1].copy())
    trainer = Trainer(
        net(),
        DATA,
        shuffled,
        optimizer=SGD(0.5),
        schedule=Plateau(patience=1, factor=0.5),
        batch_size=10,
    )
    epochs = list(trainer.run(30))
    assert epochs[-1].lr < 0.5
    for k, (epoch, following) in enumerate(pairwise(epochs)):
        is_best = all(epoch.val_loss < earlier.val_loss for earlier in epochs[:k])
        assert (following.lr < epoch.lr) == (not is_best)
