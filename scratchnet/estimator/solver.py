"""Scikit-learn's solvers as our optimizers, and its starting weights."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchnet.estimator.arguments import CLIPS
from scratchnet.estimator.constraints import ArgumentError
from scratchnet.layers import Layer, MemberAffine
from scratchnet.optimizers import (
    EMA,
    LBFGS,
    OPTIMIZERS,
    SGD,
    Adam,
    Momentum,
    Nesterov,
    Optimizer,
    make_optimizer,
)
from scratchnet.registry import canonical

MOST = float(np.nextafter(1.0, 0.0))
"""The momentum in the place of 1, which scikit-learn allows."""


def draw_weights(layers: Iterable[Layer], rng: np.random.RandomState, activation: Any) -> None:
    """Weights and biases from U(-a, a), a^2 = 6 / (n_in + n_out), or 2 / ... under logistic.

    From the state that `random_state` means they are the very numbers that scikit-learn's class
    starts from.
    """
    factor = 2.0 if activation == "logistic" else 6.0
    for layer in layers:
        *n_in, n_out = layer.shapes["W"]
        if isinstance(layer, MemberAffine):
            n_in = n_in[1:]  # each has its own
        limit = math.sqrt(factor / (math.prod(n_in) + n_out))
        for name, array in layer.params.items():
            layer.params[name] = rng.uniform(-limit, limit, array.shape)


def choose_optimizer(of: Any) -> Optimizer:
    """The optimizer that `optimizer`, or else `solver` and its arguments, ask for."""
    around = {n: getattr(of, n) for n in CLIPS if getattr(of, n) is not None}
    rate = of.learning_rate_init
    made: Optimizer
    if minimizes(of) and of.ema is not None:
        raise ArgumentError("ema is a mean over steps, of which lbfgs makes one; leave ema out")
    if isinstance(of.optimizer, Optimizer):
        made = copy.deepcopy(of.optimizer)
    elif of.optimizer is not None:
        has_rate = canonical(OPTIMIZERS, of.optimizer, "optimizer") != "lbfgs"
        own = {"beta2": of.beta_2} if of.optimizer == of._optimizer_with_betas else {}
        made = make_optimizer(of.optimizer, rate if has_rate else None, **own, **around)
    elif of.solver == "lbfgs":
        made = LBFGS(iterations=of.max_iter, tolerance=of.tol, evaluations=of.max_fun, **around)
    elif of.solver == "adam":
        made = Adam(rate, of.beta_1, of.beta_2, of.epsilon, **around)
    elif not of.momentum:
        made = SGD(rate, **around)
    else:
        kind = Nesterov if of.nesterovs_momentum else Momentum
        made = kind(rate, min(of.momentum, MOST), **around)
    return made if of.ema is None else EMA(inner=made, decay=of.ema)


def minimizes(of: Any) -> bool:
    """Whether L-BFGS trains the estimator, with all samples at once."""
    which = of.solver if of.optimizer is None else of.optimizer
    return isinstance(which, LBFGS) or (isinstance(which, str) and which.lower() == "lbfgs")
