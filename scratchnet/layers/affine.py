"""The fully connected layer: every output is a weighted sum of all inputs plus a bias."""

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.errors import ShapeError
from scratchnet.initializers import Initializer, find_initializer
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array


class Affine(Layer):
    """y = x W + b for x (N, n_in), W (n_in, n_out), b (n_out,); returns y (N, n_out).

    Its derivatives, from dout = dL/dy (N, n_out):
    dL/dW = x^T dout, dL/db = sum of dout over the batch, dL/dx = dout W^T.

    W starts as `initializer` draws it (a name, a standard deviation or a function), b at 0.
    `rng` is a Generator, or a seed for one.

    >>> layer = Affine(2, 3)
    >>> layer.params["W"].shape, layer.params["b"].shape
    ((2, 3), (3,))
    """

    decays = ("W",)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        initializer: str | float | Initializer = "he",
        rng: np.random.Generator | int = 0,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        n_in, n_out = check_integer("n_in", n_in, 1), check_integer("n_out", n_out, 1)
        super().__init__({"W": (n_in, n_out), "b": (n_out,)}, dtype)
        self.n_in: int = n_in
        self.n_out: int = n_out
        draw = find_initializer(initializer)
        self.params["W"] = draw(np.random.default_rng(rng), (n_in, n_out))
        self.x: Array | None = None

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x W + b, (N, n_out), in the layer's dtype.

        Raises ShapeError unless x is (N, n_in).
        """
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ShapeError(f"x must have the shape (N, {self.n_in}), got {x.shape}")
        self.x = x
        W, b = self.params["W"], self.params["b"]
        y = self.keep("y", (len(x), self.n_out), W.dtype)
        np.matmul(x, W, out=y)  # y = x W
        np.add(y, b, out=y)  # y = x W + b
        return y

    def param_grads(self, dout: Array) -> None:
        """Write dW = x^T dout and db = sum of dout over the batch."""
        np.matmul(remembered(self.x).T, dout, out=self.grads["W"])  # dW = x^T dout
        np.sum(dout, axis=0, out=self.grads["b"])  # db = sum_n dout_n

    def input_grad(self, dout: Array) -> Array:
        """Return dx = dout W^T, (N, n_in)."""
        W = self.params["W"]
        dx = self.keep("dx", (len(dout), self.n_in), W.dtype)
        return np.matmul(dout, W.T, out=dx)  # dx = dout W^T

    def output_size(self, n_in: int) -> int:
        """n_out; raises ShapeError where the layer before has another size."""
        if n_in != self.n_in:
            raise ShapeError(f"{self!r} takes {self.n_in} inputs, the layer before gives {n_in}")
        return self.n_out

    def __repr__(self) -> str:
        return f"Affine({self.n_in}, {self.n_out})"
