"""The best guess that knows nothing of x: how far below its loss a network is, it has learnt."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from scratchnet.layers.losses import (
    BinaryCrossEntropy,
    ElementwiseLoss,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
)
from scratchnet.layers.quantiles import QuantileLoss
from scratchnet.layers.softmax import Loss, SoftmaxWithLoss
from scratchnet.parameters import Array

LEAST = 1e-12
"""No share, mean or distance is taken for less, so that its logarithm is finite."""


def best_constant(loss: Loss, t: Array, n_outputs: int) -> Array | None:
    """The outputs (K,) that are best for targets t if they cannot depend on x; None if unknown."""
    if isinstance(loss, SoftmaxWithLoss):
        shares = np.bincount(t, minlength=n_outputs) / len(t) if t.ndim == 1 else t.mean(axis=0)
        return np.asarray(np.log(np.maximum(shares, LEAST)))
    if isinstance(loss, QuantileLoss):
        return _roots(loss, t)
    rule = RULES.get(type(loss))
    if rule is None or not isinstance(loss, ElementwiseLoss):
        return None
    return rule(loss.spread(np.empty((1, n_outputs)), t))


def _logits_of_means(t: Array) -> Array:
    p = np.clip(t.mean(axis=0), LEAST, 1 - LEAST)
    return np.asarray(np.log(p) - np.log1p(-p))


def _roots(loss: QuantileLoss, t: Array) -> Array:
    """The outputs whose quantiles are those of the targets: log(1 + exp(y)) is a distance."""
    z = (np.quantile(t, loss.quantiles) - (loss.center or 0.0)) / (loss.scale or 1.0)
    m, gaps = loss.middle, np.maximum(np.diff(z), LEAST)
    roots = gaps + np.log(-np.expm1(-gaps))
    return np.concatenate([roots[:m], z[m : m + 1], roots[m:]])


RULES: Mapping[type[Loss], Callable[[Array], Array]] = MappingProxyType(
    {
        MeanSquaredError: lambda t: np.asarray(t.mean(axis=0)),
        MeanAbsoluteError: lambda t: np.asarray(np.median(t, axis=0)),
        Huber: lambda t: np.asarray(np.median(t, axis=0)),
        BinaryCrossEntropy: _logits_of_means,
        PoissonLoss: lambda t: np.asarray(np.log(np.maximum(t.mean(axis=0), LEAST))),
    }
)
"""From targets (N, K), by the kind of loss; under Huber's the median is near the best."""
