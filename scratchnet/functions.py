"""The mathematics of classification as plain functions: arrays in, fresh arrays out.

They are the readable reference for the layers, which compute the same into kept memory.
"""

import numpy as np

from scratchnet.parameters import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) elementwise, any shape; values in [0, 1] for every finite x.

    Written as exp(min(x, 0)) / (1 + exp(-|x|)), the same function, in which no exp overflows.
    """
    return np.asarray(np.exp(np.minimum(x, 0)) / (1.0 + np.exp(-np.abs(x))))


def log_softmax(x: Array) -> Array:
    """x - max(x) - log(sum(exp(x - max(x)))) over each row of x (N, K); returns (N, K).

    Subtracting the row's maximum changes nothing in the result and keeps exp within range.
    """
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def softmax(x: Array) -> Array:
    """exp(x) / sum(exp(x)) over each row of x (N, K); returns (N, K), every row summing to 1."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(y / y.sum(axis=-1, keepdims=True))


def cross_entropy(x: Array, t: Array) -> float:
    """Mean over the rows of -log softmax(x)[t] for logits x (N, K), integer labels t (N,).

    Takes logits, not probabilities: a probability that has underflowed to 0 has lost the loss.
    """
    return float(-log_softmax(x)[np.arange(len(t)), t].mean())
