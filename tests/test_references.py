"""Every optimizer against a trajectory that another library computed, step by step.

The trajectories stand in `reference/`, with what made them; the tests need nothing but NumPy.
"""

import numpy as np
import pytest
from reference import problem

from scratchnet.optimizers import (
    ASGD,
    LAMB,
    LARS,
    OPTIMIZERS,
    SAM,
    SGD,
    Adam,
    Lion,
    Lookahead,
    Momentum,
    Muon,
    make_optimizer,
)


class AllMuon(Muon):
    """Muon for every matrix, so that tall and wide ones are in the reference too."""

    def update(self, params, grads, again=None):
        super().update(params, grads, again)

    @property
    def hidden(self):
        return ["W1", "W2", "W3"]

    @hidden.setter
    def hidden(self, names):
        pass


CASES = {
    "sgd": lambda: SGD(),
    "sgd_clip": lambda: SGD(clip_norm=1.0),
    "momentum": lambda: Momentum(),
    "nesterov": lambda: make_optimizer("nesterov"),
    "adagrad": lambda: make_optimizer("adagrad"),
    "rmsprop": lambda: make_optimizer("rmsprop"),
    "rmsprop_centered": lambda: make_optimizer("rmsprop-centered"),
    "adadelta": lambda: make_optimizer("adadelta"),
    "adam": lambda: Adam(),
    "amsgrad": lambda: make_optimizer("amsgrad"),
    "adamax": lambda: make_optimizer("adamax"),
    "nadam": lambda: make_optimizer("nadam"),
    "radam": lambda: make_optimizer("radam"),
    "adamw": lambda: make_optimizer("adamw"),
    "adafactor": lambda: make_optimizer("adafactor"),
    "rprop": lambda: make_optimizer("rprop"),
    "asgd": lambda: ASGD(),
    "asgd_t0": lambda: ASGD(start=20),
    "lion": lambda: Lion(),
    "lion_wd": lambda: Lion(1e-3, weight_decay=0.1),
    "lamb": lambda: LAMB(0.01),
    "lamb_wd": lambda: LAMB(0.01, weight_decay=0.01),
    "lars": lambda: LARS(1.0),
    "lars_wd": lambda: LARS(1.0, weight_decay=1e-4),
    "muon": lambda: Muon(),
    "muon_all": lambda: AllMuon(),
    "lookahead": lambda: Lookahead(inner=Adam(0.01)),
    "schedule_free_sgd": lambda: make_optimizer("schedule-free-sgd"),
    "schedule_free_adamw": lambda: make_optimizer("schedule-free-adamw"),
    "sam": lambda: SAM(inner=Momentum()),
}
"""The trajectories by name, and the optimizer that has to follow each."""


def follow(optimizer, dtype, each_step):
    """Take the problem's steps, calling `each_step(step, params)` after each."""
    params = {name: w.astype(dtype) for name, w in problem.start().items()}
    for step in range(1, problem.STEPS + 1):
        grads = {n: g.astype(dtype) for n, g in problem.gradient(step, params).items()}

        def again(grads=grads, step=step):
            for name, g in problem.gradient(step, params).items():
                grads[name][...] = g
            return 0.0

        optimizer.update(params, grads, again)
        each_step(step, params)


def largest_deviation(path, name, dtype):
    """The largest difference to the stored path, over the largest weight of the array then."""
    reference = problem.load(name)
    assert len(reference.steps) == problem.STEPS >= 100
    worst = 0.0
    for row, step in enumerate(reference.steps):
        for key, stored in reference.path.items():
            scale = np.abs(stored[row]).max()
            worst = max(worst, float(np.abs(path[step][key] - stored[row]).max() / scale))
    return worst


def path_of(name, dtype):
    path = {}
    follow(
        CASES[name](),
        dtype,
        lambda step, params: path.update({step: {n: w.copy() for n, w in params.items()}}),
    )
    return path


@pytest.mark.parametrize("name", CASES)
def test_an_optimizer_follows_its_reference_to_1e_12_over_all_steps(name):
    assert largest_deviation(path_of(name, "float64"), name, "float64") <= 1e-12


@pytest.mark.parametrize("name", CASES)
def test_in_float32_it_follows_to_1e_5(name):
    assert largest_deviation(path_of(name, "float32"), name, "float32") <= 1e-5


@pytest.mark.parametrize("name", [n for n in CASES if len(problem.load(n).evaluation_steps)])
def test_the_weights_for_evaluation_are_the_reference_s(name):
    reference, optimizer, compared = problem.load(name), CASES[name](), []

    def compare(step, params):
        if step in reference.evaluation_steps:
            row = list(reference.evaluation_steps).index(step)
            optimizer.to_evaluation(params)
            for key, stored in reference.evaluation.items():
                scale = np.abs(stored[row]).max()
                assert np.abs(params[key] - stored[row]).max() <= 1e-12 * scale
            optimizer.to_training(params)
            compared.append(step)

    follow(optimizer, "float64", compare)
    assert compared == list(reference.evaluation_steps)


def test_every_stored_trajectory_is_compared_and_every_optimizer_has_one():
    assert set(problem.names()) == set(CASES) | {"sgd_l2"}
    by_other_means = {"ema", "lbfgs"}  # a mean in closed form, and a known minimum
    found = {type(make()) for make in CASES.values()} | {Muon}
    assert {name for name, kind in OPTIMIZERS.items() if kind not in found} == by_other_means
