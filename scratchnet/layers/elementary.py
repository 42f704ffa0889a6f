"""The first activations: identity, ReLU, sigmoid and tanh, applied to each value alone."""

import numpy as np

from scratchnet.layers.elementwise import Elementwise
from scratchnet.layers.layer import Layer
from scratchnet.parameters import Array


class Identity(Layer):
    """y = x, dL/dx = dout: a network of affine layers alone is one affine layer."""

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x itself."""
        return x

    def input_grad(self, dout: Array) -> Array:
        """Return dout itself."""
        return dout


class ReLU(Elementwise):
    """y = max(x, 0); dL/dx = dout where x > 0, else 0, so 0 at x = 0 itself (Nair, Hinton 2010)."""

    kinked = True

    def value(self, x: Array, y: Array) -> None:
        np.maximum(x, 0, out=y)

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array) -> None:
        dx[...] = dout * (x > 0)


class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x)), in [0, 1]; dL/dx = dout y (1 - y).

    Computed as exp(min(x, 0)) / (1 + exp(-|x|)), in which no exp overflows.
    """

    def value(self, x: Array, y: Array) -> None:
        y[...] = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array) -> None:
        dx[...] = (1 - y) * y * dout


class Tanh(Elementwise):
    """y = tanh(x), in [-1, 1]; dL/dx = dout (1 - y^2)."""

    def value(self, x: Array, y: Array) -> None:
        np.tanh(x, out=y)

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array) -> None:
        dx[...] = (1 - y * y) * dout
