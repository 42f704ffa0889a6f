"""find_lr trains as the Trainer does: it takes the same options, and hands all of them on."""

import inspect

import numpy as np
import pytest

from scratchnet import MultiLayerNet, Samples, Trainer, find_lr
from scratchnet.errors import ParameterError
from scratchnet.optimizers import SGD
from scratchnet.training import trainer as module
from scratchnet.training.trials import make_trial

RNG = np.random.default_rng(0)
TRAIN = Samples(RNG.normal(size=(120, 6)).astype("float32"), RNG.integers(0, 3, 120))
DECIDED = {"validation", "optimizer", "lr", "schedule", "on_step", "parallel"}
"""The range test has no validation, sets the rate by itself, and runs in one process."""


def network():
    return MultiLayerNet(6, [8], 3, batch_norm=True)


def test_every_option_of_the_trainer_is_one_of_the_range_test():
    trainer, finder = (set(inspect.signature(each).parameters) for each in (Trainer, find_lr))
    assert trainer - DECIDED <= finder


def test_remeasure_is_done_after_each_epoch_and_changes_no_loss(monkeypatch):
    counts = []
    remeasure = module.remeasure

    def counted(*arguments):
        counts.append(arguments[-1])
        remeasure(*arguments)

    monkeypatch.setattr(module, "remeasure", counted)
    options = {"lowest": 1e-4, "highest": 1e-2, "steps": 60, "batch_size": 20}
    found = find_lr(network(), TRAIN, "sgd", remeasure=50, **options)
    assert len(found.rates) == 60
    assert counts == [50] * 9  # the 60th step, the last of the tenth epoch, ends the test
    assert found == find_lr(network(), TRAIN, "sgd", **options)


def test_one_sample_has_no_variance_to_remeasure():
    with pytest.raises(ParameterError, match="remeasure must be 0, or 2 samples or more"):
        find_lr(network(), TRAIN, "sgd", remeasure=1)


def test_a_trial_leaves_the_optimizer_that_it_was_given_as_it_is():
    optimizer = SGD(0.5)
    trial = make_trial(network(), TRAIN, None, optimizer, 0.1, batch_size=20)
    list(trial.run(1))
    assert (trial.lr, trial.optimizer) == (0.1, SGD(0.1))
    assert (optimizer, optimizer.step) == (SGD(0.5), 0)
