"""Training that diverged: the first value that is not finite, and a rate to try instead."""

import math
from typing import Any

import numpy as np

from scratchnet.errors import DivergenceError
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer
from scratchnet.parameters import Array, first_not_finite


def check_step(loss: float, network: Network, x: Array, optimizer: Optimizer, step: int) -> None:
    """Raise DivergenceError unless the loss and the gradient of step number `step` are finite.

    The message names the first value that is not finite in the forward pass of `x`: a parameter,
    the output of a layer, or a gradient.
    """
    if not math.isfinite(loss):
        what = f"the loss is {loss}"
    # One product of the gradient with itself is not finite if any part of it is not.
    elif not math.isfinite(np.dot(network.gradient_vector, network.gradient_vector)):
        what = "the gradient is not finite or beyond 1e19"
    else:
        return
    raise DivergenceError(
        f"training diverged at step {step}: {what}, {_place(network, x)} is not finite",
        _advice(optimizer),
    )


def check_result(name: str, value: float, optimizer: Optimizer, steps: int) -> None:
    """Raise DivergenceError unless `value`, a result after so many steps, is finite."""
    if not math.isfinite(value):
        raise DivergenceError(
            f"training diverged by step {steps}: the {name} is {value}", _advice(optimizer)
        )


def _place(network: Network, x: Array) -> str:
    """The first place with a value that is not finite."""
    if parameter := first_not_finite(network.params):
        return f"the parameter {parameter}"
    for k, layer in enumerate(network.layers, 1):
        x = layer.forward(x)
        if not np.isfinite(x).all():
            return f"the output of layer {k}, {layer!r},"
    if gradient := first_not_finite(network.grads):
        return f"the gradient of {gradient}"
    return "their sum of squares"


def _advice(optimizer: Optimizer) -> str:
    default: Any = type(optimizer).__dataclass_fields__["lr"].default
    usual = optimizer.lr / 10
    if default is not None:  # a wrapper has none of its own
        usual = min(default, usual)
    return f"try an lr below {optimizer.lr:g}, such as {usual:g}"
