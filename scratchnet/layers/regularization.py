"""Regularization by randomness: layers that disturb training, and do nothing in evaluation.

What they draw comes from `rng`. In a network that a Trainer trains that is, anew at every step, the
stream of (seed, "noise", step): a resumed run draws the same, and nothing has to be remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from scratchnet.checks import check_not_negative, check_share, is_sparse
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parallel import Shard
from scratchnet.parameters import Array

LEVELS = 2**16
"""Different values of the 16 random bits that are drawn for each unit."""


class Dropout(Layer):
    """y = x m / (1 - p), each m being 0 with probability p, else 1; dL/dx = dout m / (1 - p).

    In evaluation y = x: since training divides by 1 - p, the mean of y is x in both ("inverted"
    dropout; Srivastava et al. 2014). p, `rate`, is from 0 to below 1, taken to 16 bits. `rng` is a
    Generator, or a seed for one.

    Raises ParameterError for a rate outside of that.
    """

    takes_sparse = True
    factor: Array | None = None  # m / (1 - p) (N, n), of the last pass that disturbed
    disturbed: bool | None = None  # whether the last forward pass did anything

    def __init__(self, rate: float = 0.5, rng: np.random.Generator | int = 0) -> None:
        super().__init__()
        self.rate = check_share("dropout", rate)
        self.rng: np.random.Generator = np.random.default_rng(rng)
        # Of LEVELS values, how many mean "off": never all, which would leave nothing to scale up.
        self.dropped = min(round(self.rate * LEVELS), LEVELS - 1)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x m / (1 - p) in training, else x itself."""
        self.disturbed = train and self.noisy and self.dropped > 0
        if not self.disturbed:
            return x
        if is_sparse(x):  # of a sparse x, zeros stay what they are
            rows: Any = x.copy()
            rows.data = self.forward(rows.data[np.newaxis], train=True)[0].copy()
            return cast(Array, rows)
        on = bits_for(x, self.rng, self.shard) >= self.dropped
        factor = self.keep("factor", x.shape, x.dtype)
        self.factor = np.multiply(on, x.dtype.type(LEVELS / (LEVELS - self.dropped)), out=factor)
        return np.multiply(x, factor, out=self.keep("y", x.shape, x.dtype))  # y = x m / (1 - p)

    def input_grad(self, dout: Array) -> Array:
        """Return dout m / (1 - p) after a forward pass in training, else dout itself."""
        if not remembered(self.disturbed):
            return dout
        dx = self.keep("dx", dout.shape, dout.dtype)
        return np.multiply(dout, remembered(self.factor), out=dx)

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"


class GaussianNoise(Layer):
    """y = x + e, e ~ N(0, std^2) drawn for each value; dL/dx = dout. In evaluation y = x.

    (Sietsma and Dow 1991; between normalization and activation as in Rasmus et al. 2015.) e takes
    65,536 equally likely values, the quantiles of the normal distribution: a look-up for 16 random
    bits, which takes a quarter of the time of an exact draw. `rng` is a Generator, or a seed.

    Raises ParameterError unless std is a finite number, 0 or more.
    """

    def __init__(self, std: float = 0.1, rng: np.random.Generator | int = 0) -> None:
        super().__init__()
        self.std = check_not_negative("noise", std)
        self.rng: np.random.Generator = np.random.default_rng(rng)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x + e in training, else x itself."""
        if not (train and self.noisy and self.std):
            return x
        y = self.keep("y", x.shape, x.dtype)
        np.take(
            _quantiles(x.dtype.name, self.std),
            bits_for(x, self.rng, self.shard),
            out=y,
            mode="clip",
        )
        return np.add(x, y, out=y)  # y = x + e

    def input_grad(self, dout: Array) -> Array:
        """Return dout itself."""
        return dout

    def __repr__(self) -> str:
        return f"GaussianNoise({self.std:g})"


def bits_for(x: Array, rng: np.random.Generator, shard: Shard | None) -> Array:
    """16 random bits for each value of x (N, n); where ranks share a batch, those of x's rows.

    All ranks draw the bits of the whole batch from equal streams, so that each row gets the same
    ones however many ranks there are.
    """
    if shard is None:
        return random_bits(rng, x.size).reshape(x.shape)
    return random_bits(rng, shard.total * x.shape[1]).reshape(shard.total, -1)[shard.rows]


def random_bits(rng: np.random.Generator, n: int) -> Array:
    """n random numbers of 16 bits, four from each raw 64-bit word: the cheapest there are."""
    if isinstance(rng.bit_generator, np.random.MT19937):  # the one whose raw words have 32 bits
        return rng.integers(0, LEVELS, n, np.uint16)
    return rng.bit_generator.random_raw(-(-n // 4)).view(np.uint16)[:n]


@cache
def _quantiles(dtype: str, std: float) -> Array:
    """N(0, std^2) as LEVELS equally likely values: its quantiles at (k + 1/2) / LEVELS."""
    from statistics import NormalDist

    inverse = NormalDist(0.0, std).inv_cdf
    half = np.array([inverse((k + 0.5) / LEVELS) for k in range(LEVELS // 2)])
    values = np.concatenate([half, -half[::-1]]).astype(dtype)
    values.flags.writeable = False
    return values


REGULARIZERS: Mapping[str, type[Dropout | GaussianNoise]] = MappingProxyType(
    {"dropout": Dropout, "noise": GaussianNoise}
)
