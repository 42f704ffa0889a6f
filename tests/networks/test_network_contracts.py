"""What a network promises, whichever layers, losses and options of the tables it is made of."""

import numpy as np
import pytest
from contracts import CLASSES, MODES, inputs

from scratchnet import MultiLayerNet, check_gradients
from scratchnet.layers import (
    ACTIVATIONS,
)
from scratchnet.optimizers import make_optimizer

SMALL = pytest.mark.parametrize(("rows", "l2"), [(1, 0.1), (3, 0.0)])


def train_a_little(network, steps=10):
    optimizer = make_optimizer("sgd", lr=0.1)
    for step in range(steps):
        x = inputs(8, 6, seed=step)
        network.adapt(x, CLASSES[:1], 1.0)
        optimizer.update(network.params, network.gradient(x, np.arange(8) % 4))
        network._apply_constraints()
    return network


@SMALL
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_has_the_right_gradient_at_the_start_and_after_training(activation, rows, l2):
    network = MultiLayerNet(6, [5, 4], 4, activation, l2=l2, seed=2)
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
        "l2": 0.01,
    },
}


@MODES
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_network_with_every_option_has_the_right_gradient(options, train):
    network = MultiLayerNet(6, [5, 4], 4, **{"activation": "tanh", "seed": 2, **options})
    x, t = inputs(8, 6, "float64", seed=3), np.arange(8) % 4
    report = check_gradients(train_a_little(network), x, t, train=train)
    assert report.status == "passed"
    assert max(check.error for check in report.arrays) <= 1e-9
