"""Every optimizer against a trajectory that another library computed, step by step.

The trajectories stand in `reference/`, with what made them; the tests need nothing but NumPy.
"""

import copy

import numpy as np
import pytest
from reference import problem

from scratchnet import optimizers
from scratchnet.optimizers import OPTIMIZERS, Adam, Momentum

TOLERANCE = 1e-12

CASES = {
    "sgd": ("SGD", {}),
    "sgd_clip": ("SGD", {"clip_norm": 1.0}),
    "momentum": ("Momentum", {}),
    "nesterov": ("Nesterov", {}),
    "adagrad": ("AdaGrad", {}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_centered": ("CenteredRMSprop", {}),
    "adadelta": ("AdaDelta", {}),
    "adam": ("Adam", {}),
    "amsgrad": ("AMSGrad", {}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "radam": ("RAdam", {}),
    "adamw": ("AdamW", {}),
    "adafactor": ("Adafactor", {}),
    "rprop": ("Rprop", {}),
    "asgd": ("ASGD", {}),
    "asgd_t0": ("ASGD", {"start": 20}),
    "lion": ("Lion", {}),
    "lion_wd": ("Lion", {"lr": 1e-3, "weight_decay": 0.1}),
    "lamb": ("LAMB", {"lr": 0.01}),
    "lamb_wd": ("LAMB", {"lr": 0.01, "weight_decay": 0.01}),
    "lars": ("LARS", {"lr": 1.0}),
    "lars_wd": ("LARS", {"lr": 1.0, "weight_decay": 1e-4}),
    "muon": ("Muon", {}),
    "muon_all": ("Muon", {}),
    "lookahead": ("Lookahead", {"inner": Adam(0.01)}),
    "schedule_free_sgd": ("ScheduleFreeSGD", {}),
    "schedule_free_adamw": ("ScheduleFreeAdamW", {}),
    "sam": ("SAM", {"inner": Momentum()}),
}
"""The trajectories by name, and the optimizer that has to follow each."""


def make(name, module=optimizers):
    """The optimizer of a case, its class from `module`."""
    kind, options = CASES[name]
    optimizer = getattr(module, kind)(**copy.deepcopy(options))
    if name == "muon_all":  # every matrix of this reference counts as hidden
        optimizer.hidden_matrices = lambda params: ["W1", "W2", "W3"]
    return optimizer


def follow(optimizer, dtype, each_step):
    """Take the problem's steps, calling `each_step(step, params)` after each."""
    params = {name: w.astype(dtype) for name, w in problem.start().items()}
    for step in range(1, problem.STEPS + 1):
        grads = {n: g.astype(dtype) for n, g in problem.gradient(step, params).items()}

        def closure(grads=grads, step=step):
            for name, g in problem.gradient(step, params).items():
                grads[name][...] = g
            return 0.0

        optimizer.update(params, grads, closure)
        each_step(step, params)


def largest_deviation(optimizer, name, dtype="float64"):
    """The largest difference to the stored path, over the largest weight of the array then."""
    path = {}
    follow(
        optimizer,
        dtype,
        lambda step, params: path.update({step: {n: w.copy() for n, w in params.items()}}),
    )
    reference = problem.load(name)
    assert len(reference.steps) == problem.STEPS >= 100
    worst = 0.0
    for row, step in enumerate(reference.steps):
        for key, stored in reference.path.items():
            scale = np.abs(stored[row]).max()
            worst = max(worst, float(np.abs(path[step][key] - stored[row]).max() / scale))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_an_optimizer_follows_its_reference_to_1e_12_over_all_steps(name):
    assert largest_deviation(make(name), name) <= TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_in_float32_it_follows_to_1e_5(name):
    assert largest_deviation(make(name), name, "float32") <= 1e-5


@pytest.mark.parametrize("name", [n for n in CASES if len(problem.load(n).evaluation_steps)])
def test_the_weights_for_evaluation_are_the_reference_s(name):
    reference, optimizer, compared = problem.load(name), make(name), []

    def compare(step, params):
        if step in reference.evaluation_steps:
            row = list(reference.evaluation_steps).index(step)
            optimizer.to_evaluation(params)
            for key, stored in reference.evaluation.items():
                scale = np.abs(stored[row]).max()
                assert np.abs(params[key] - stored[row]).max() <= TOLERANCE * scale
            optimizer.to_training(params)
            compared.append(step)

    follow(optimizer, "float64", compare)
    assert compared == list(reference.evaluation_steps)


def test_every_stored_trajectory_is_compared_and_every_optimizer_has_one():
    assert set(problem.names()) == set(CASES) | {"sgd_l2"}
    by_other_means = {"ema", "lbfgs"}  # a mean in closed form, and a known minimum
    found = {getattr(optimizers, kind) for kind, _ in CASES.values()}
    assert {name for name, kind in OPTIMIZERS.items() if kind not in found} == by_other_means
