"""Runs of every form can be diagnosed: optimizers, schedules, losses, samples, layers."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import scratchnet as sn
from scratchnet.data import Samples
from scratchnet.diagnosis import diagnose
from scratchnet.diagnosis.case import FEWEST, Case, affordable_rows
from scratchnet.layers import (
    Affine,
    BinaryCrossEntropy,
    Columns,
    Embedding,
    Identity,
    ReLU,
    SoftmaxWithLoss,
)
from scratchnet.networks import Network
from scratchnet.optimizers import OPTIMIZERS, Adam, make_optimizer


@pytest.fixture(scope="module")
def digits():
    data = sn.load("digits")
    return data.train.first(400), data.test.first(200)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name, digits):
    optimizer = make_optimizer(name)
    found = diagnose(sn.MultiLayerNet(64, [20], 10), *digits, optimizer, epochs=3)
    assert 0 <= found.score <= 1
    assert found.reference > 0.7


@pytest.mark.parametrize("schedule", ["plateau", "one-cycle", "cosine"])
def test_schedules(schedule, digits):
    network = sn.MultiLayerNet(64, [20], 10)
    found = diagnose(network, *digits, "adam", lr=0.01, epochs=30, schedule=schedule)
    assert found.findings == ()


def test_samples_that_stay_in_their_file(tmp_path, digits):
    train, _ = digits
    x = np.asarray(train.x * train.scale, np.float32)
    np.save(tmp_path / "x.npy", x)
    samples = Samples.open(tmp_path / "x.npy", train.t)
    found = diagnose(sn.MultiLayerNet(64, [20], 10), samples, optimizer="sgd", lr=1e-7, epochs=30)
    assert found.findings[0].name == "rate too low"


def test_sparse_samples(digits):
    train, _ = digits
    x = csr_array(np.asarray(train.x * train.scale, np.float32))
    samples = Samples.checked(x, train.t)
    found = diagnose(sn.MultiLayerNet(64, [20], 10), samples, optimizer="sgd", lr=1e-7, epochs=30)
    assert found.findings[0].name == "rate too low"


def test_bytes_with_a_scale(digits):
    train, _ = digits
    x = np.rint(255 * train.x * train.scale).astype(np.uint8)
    samples = Samples(x, train.t, scale=1 / 255)
    good = diagnose(sn.MultiLayerNet(64, [40], 10), samples, lr=0.02, epochs=40)
    assert good.findings == ()
    raw = Samples(x, train.t)
    bad = diagnose(sn.MultiLayerNet(64, [40], 10), raw, optimizer="sgd", lr=0.1, epochs=40)
    assert bad.findings[0].name == "inputs unscaled"


def test_labels_as_one_hot_rows_and_labels_that_do_not_exclude_each_other(digits):
    train, _ = digits
    t = np.eye(10, dtype=np.float32)[train.t]
    x = np.asarray(train.x * train.scale, np.float32)
    for loss in (SoftmaxWithLoss("onehot"), BinaryCrossEntropy("values")):
        network = Network([Affine(64, 30), ReLU(), Affine(30, 10)], loss)
        slow = diagnose(network, (x, t), optimizer="adam", lr=1e-7, epochs=30)
        assert slow.findings[0].name == "rate too low"


def test_columns_of_categories():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 5, 300), rng.normal(size=300)]).astype(np.float32)
    t = ((x[:, 0] > 2) ^ (x[:, 1] > 0)).astype(int)
    layers = [Columns([1, 1], [Embedding([5], 4), Identity()]), Affine(16), ReLU(), Affine(2)]
    network = Network(layers, SoftmaxWithLoss(), input_shape=(2,))
    slow = diagnose(network, (x, t), optimizer="adam", lr=1e-7, epochs=40)
    assert slow.findings[0].name == "rate too low"


def test_wide_samples_are_few_so_that_memory_is_bounded():
    wide = sn.MultiLayerNet(200_000, [2], 2)
    assert affordable_rows(wide, 100) == 200
    assert affordable_rows(sn.MultiLayerNet(10_000_000, [1], 2), 100) == FEWEST


def test_a_trial_has_the_steps_of_the_run_as_far_as_it_may(digits):
    train, test = digits
    case = Case(sn.MultiLayerNet(64, [20], 10), train, test, None, Adam(), 0.1, 5, {}, stretch=3.0)
    assert case.all_epochs == case.trial_epochs == 15
    assert case.samples == 1200
    assert case.lengthen(400).all_epochs * case.steps_of_epoch >= 400
