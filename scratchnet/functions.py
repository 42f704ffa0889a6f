"""The mathematics of classification as plain functions: arrays in, fresh arrays out.

They are the readable reference for the layers, which compute the same into kept memory. Some have
the names of *Deep Learning from Scratch*: see docs/book.md.
"""

from collections.abc import Callable, Sequence

import numpy as np

from scratchnet.checks import is_sparse
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


def multiply(a: Array, b: Array, out: Array) -> Array:
    """The matrix product a b, written into `out`; a may be sparse, whose zeros take no time."""
    if is_sparse(a):
        out[...] = a @ b
        return out
    return np.matmul(a, b, out=out)


def step_function(x: Array) -> Array:
    """1 where x > 0, else 0: the perceptron's activation, as integers, any shape."""
    return np.asarray(np.asarray(x) > 0, dtype=np.int64)


def relu(x: Array) -> Array:
    """max(x, 0) elementwise, any shape."""
    return np.asarray(np.maximum(x, 0))


def identity_function(x: Array) -> Array:
    """x itself: the output of a network that predicts values."""
    return x


def sum_squared_error(y: Array, t: Array) -> float:
    """sum (y - t)^2 / 2 over all values of outputs y and targets t of one shape."""
    return 0.5 * float(np.sum(np.square(np.subtract(y, t))))


def cross_entropy_error(y: Array, t: Array) -> float:
    """Mean over the rows of -sum_k t_k log y_k for probabilities y (K,) or (N, K).

    t are one-hot rows of the shape of y, or integer labels (N,). A probability of 0 at the label
    gives infinity: `cross_entropy` takes logits and has no such end.
    """
    y = np.atleast_2d(y)
    labels = np.asarray(t)
    if labels.size == y.size:
        labels = labels.reshape(y.shape).argmax(axis=1)
    with np.errstate(divide="ignore"):
        return float(-np.log(y[np.arange(len(y)), labels]).mean())


def numerical_gradient(f: Callable[[Array], float], x: Array) -> Array:
    """df/dx by central differences, (f(x + h) - f(x - h)) / 2h with h = 1e-4, the shape of x.

    f takes x, an array of floats, whose values are changed one by one and put back.
    `check_gradients` compares with a difference that is right to O(h^4).
    """
    h = 1e-4
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        middle = x[place]
        x[place] = middle + h
        above = f(x)
        x[place] = middle - h
        below = f(x)
        x[place] = middle
        gradient[place] = (above - below) / (2 * h)
    return gradient


def smooth_curve(x: Sequence[float] | Array) -> Array:
    """x (N,) averaged over 11 neighbours with the weights of a Kaiser window, beta = 2; (N,).

    Both ends are continued by their mirror images, the last value twice, as in the book. N must be
    6 or more.
    """
    values = np.asarray(x)
    weights = np.kaiser(11, 2)
    mirrored = np.concatenate([values[5:0:-1], values, values[:-6:-1]])
    return np.convolve(mirrored, weights / weights.sum(), mode="valid")
