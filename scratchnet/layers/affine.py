"""The fully connected layer: every output is a weighted sum of all inputs plus a bias."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scratchnet.checks import Range, check_integer
from scratchnet.errors import ShapeError
from scratchnet.functions import multiply
from scratchnet.initializers import Initializer, find_initializer
from scratchnet.layers.layer import Layer, remembered
from scratchnet.loops import kernels
from scratchnet.parameters import Array, Shape

MAX_NORM = Range(above=0, optional=True)


class Affine(Layer):
    """y = x W + b for x (N, n_in), W (n_in, n_out), b (n_out,); returns y (N, n_out).

    `Affine(n_out)` takes n_in from the layer before, once it is in a network.
    Its derivatives, from dout = dL/dy (N, n_out):
    dL/dW = x^T dout, dL/db = sum of dout over the batch, dL/dx = dout W^T.

    W starts as `initializer` draws it (a name, a standard deviation or a function), b at 0.
    `rng` is a Generator, or a seed for one. `bias=False` leaves b out, as in front of a layer that
    subtracts the mean, where it would have no effect. `max_norm` c keeps the weights into each
    output unit, a column of W, at a length of at most c: after an update, w <- w min(1, c / |w|)
    (Hinton et al. 2012, section 2).

    >>> layer = Affine(2, 3)
    >>> layer.params["W"].shape, layer.params["b"].shape
    ((2, 3), (3,))
    """

    takes_sparse = True
    x: Array | None = None

    def __init__(
        self,
        n_in: int,
        n_out: int | None = None,
        *,
        initializer: str | float | Initializer = "he",
        rng: np.random.Generator | int = 0,
        dtype: npt.DTypeLike = "float32",
        bias: bool = True,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.n_out = check_integer("n_out", n_in if n_out is None else n_out, 1)
        self.bias, self.max_norm = bias, MAX_NORM.check("max_norm", max_norm)
        self._draw = find_initializer(initializer), rng
        if n_out is not None:
            self.build((check_integer("n_in", n_in, 1),))
            self.initialize()

    def build(self, input_shape: Shape) -> None:
        """Take the size of a row, if the layer was made without it."""
        if self.n_in is None:
            self.n_in = math.prod(input_shape)
            shapes: dict[str, Shape] = {"W": (self.n_in, self.n_out)}
            self.declare(shapes | ({"b": (self.n_out,)} if self.bias else {}))

    def initialize(self) -> None:
        """Draw W; b is 0."""
        if not self.params:
            self.allocate()
            draw, rng = self._draw
            self.params["W"] = draw(np.random.default_rng(rng), self.shapes["W"])

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x W + b, (N, n_out), in the layer's dtype; x may be sparse.

        Raises ShapeError unless x is (N, n_in).
        """
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ShapeError(f"x must have the shape (N, {self.n_in}), got {x.shape}")
        self.x = x
        W = self.params["W"]
        y = self.keep("y", (x.shape[0], self.n_out), W.dtype)
        multiply(x, W, out=y)  # y = x W
        if self.bias:
            kernels.add_bias(y, self.params["b"])  # y = x W + b
        return y

    def param_grads(self, dout: Array) -> None:
        """Write dW = x^T dout and db = sum of dout over the batch."""
        multiply(remembered(self.x).T, dout, out=self.grads["W"])  # dW = x^T dout
        if self.bias:
            kernels.column_sums(dout, out=self.grads["b"])  # db = sum_n dout_n

    def input_grad(self, dout: Array) -> Array:
        """Return dx = dout W^T, (N, n_in)."""
        W = self.params["W"]
        dx = self.keep("dx", (len(dout), len(W)), W.dtype)
        return np.matmul(dout, W.T, out=dx)  # dx = dout W^T

    def apply_constraints(self) -> None:
        """Shorten each column of W that is longer than `max_norm`."""
        shorten_columns(self.params["W"], self.max_norm)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(n_out,); raises ShapeError if the layer before has another size."""
        super().output_shape(input_shape)
        return (self.n_out,)

    def __repr__(self) -> str:
        return f"Affine({self.n_in}, {self.n_out})" if self.n_in else f"Affine({self.n_out})"


def shorten_columns(W: Array, most: float | None) -> None:
    """w <- w min(1, most / |w|) for each column of W (n_in, n_out), unless `most` is None."""
    if most is not None:
        lengths = np.sqrt(np.einsum("ij,ij->j", W, W))
        if lengths.max() > most:
            np.multiply(W, most / np.maximum(lengths, most), out=W)
