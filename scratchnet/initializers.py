"""Starting weights by name: how far apart the units of a layer begin.

Each function draws an array W (n_in, n_out) in float64 from `rng`; a layer casts it to its dtype,
so the same seed gives the same weights, up to rounding, whatever the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from scratchnet.checks import check_not_negative
from scratchnet.parameters import Array, Shape
from scratchnet.registry import pick

# A text, as numpy.random takes a tenth of the time of all imports.
Initializer: TypeAlias = "Callable[[np.random.Generator, Shape], Array]"


def he_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """W ~ N(0, 2 / n_in): keeps the variance through ReLU (He et al. 2015, eq. 10)."""
    return rng.normal(0.0, math.sqrt(2.0 / shape[0]), shape)


def he_uniform(rng: np.random.Generator, shape: Shape) -> Array:
    """W ~ U(-a, a), a = sqrt(6 / n_in): the variance of `he_normal` (He et al. 2015)."""
    return _uniform(rng, shape, math.sqrt(6.0 / shape[0]))


def xavier_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """W ~ N(0, 2 / (n_in + n_out)): for tanh and sigmoid (Glorot and Bengio 2010, eq. 12).

    The book calls N(0, 1 / n_in) "Xavier"; that one is `lecun-normal` here.
    """
    return rng.normal(0.0, math.sqrt(2.0 / sum(shape)), shape)


def xavier_uniform(rng: np.random.Generator, shape: Shape) -> Array:
    """W ~ U(-a, a), a = sqrt(6 / (n_in + n_out)) (Glorot and Bengio 2010, eq. 16)."""
    return _uniform(rng, shape, math.sqrt(6.0 / sum(shape)))


def lecun_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """W ~ N(0, 1 / n_in): unit variance forward (LeCun et al. 1998, Efficient BackProp, eq. 16)."""
    return rng.normal(0.0, math.sqrt(1.0 / shape[0]), shape)


def lecun_uniform(rng: np.random.Generator, shape: Shape) -> Array:
    """W ~ U(-a, a), a = sqrt(3 / n_in): the variance of `lecun_normal`."""
    return _uniform(rng, shape, math.sqrt(3.0 / shape[0]))


def orthogonal(rng: np.random.Generator, shape: Shape) -> Array:
    """W with orthonormal columns, or rows where n_in < n_out (Saxe et al. 2014).

    The Q of a QR decomposition of normal numbers, its columns signed by R's diagonal so that
    every orthogonal matrix is equally likely (Mezzadri 2007).
    """
    tall = max(shape), min(shape)
    q, r = np.linalg.qr(rng.normal(size=tall))
    q = q * np.copysign(1.0, np.diagonal(r))
    return q if shape == tall else np.asarray(q.T)


def normal(std: float) -> Initializer:
    """W ~ N(0, std^2) with a given standard deviation, the book's `weight_init_std`.

    Raises ParameterError unless std is a finite number, 0 or more.
    """
    check_not_negative("an initializer's std", std)
    return lambda rng, shape: rng.normal(0.0, std, shape)


def _uniform(rng: np.random.Generator, shape: Shape, limit: float) -> Array:
    return rng.uniform(-limit, limit, shape)


def find_initializer(which: str | float | Initializer) -> Initializer:
    """The initializer by name, by standard deviation (0.01), or itself; raises ParameterError."""
    if callable(which):
        return which
    if isinstance(which, int | float):
        return normal(which)
    return pick(INITIALIZERS, which, "initializer")


INITIALIZERS: Mapping[str, Initializer] = MappingProxyType(
    {
        "he": he_normal,
        "he-uniform": he_uniform,
        "xavier": xavier_normal,
        "xavier-uniform": xavier_uniform,
        "lecun": lecun_normal,
        "lecun-uniform": lecun_uniform,
        "orthogonal": orthogonal,
        "relu": he_normal,  # the book's words: the activation that they are for
        "sigmoid": lecun_normal,
    }
)
