"""Convolution of images: the same weighted sum of neighbouring pixels at every place."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.initializers import Initializer, find_initializer
from scratchnet.layers.affine import MAX_NORM, shorten_columns
from scratchnet.layers.image import Image, ImageLayer, Pair, check_image, check_pair, show_pair
from scratchnet.layers.layer import remembered
from scratchnet.layers.windows import Windows, check_padding, pads_for, seen
from scratchnet.parameters import Array, Shape


class Conv2D(ImageLayer):
    """y[p] = sum over q of x[s p + d q - pad] W[q] + b: a product with what the kernel sees.

    x (N, H W C) are images (H, W, C), y (N, OH OW F) images (OH, OW, F), with
    OH = floor((H + zeros - d (KH - 1) - 1) / s) + 1. With the windows of x, what the kernel sees at
    each place, as the rows of X (N OH OW, KH KW C), and W (KH, KW, C, F) as (KH KW C, F):

        y = X W + b,  dL/dW = X^T dout,  dL/db = sum of dout,

    and dL/dx is a convolution again: of dout, its pixels s apart with zeros between them, with the
    kernel turned round. (LeCun et al. 1989; as in signal processing it would be a correlation.)

    `filters` F; `kernel`, `stride` s and `dilation` d are integers or pairs (height, width), from
    1; `padding` is the zeros on each side, an integer or a pair, or "valid" (none), or "same"
    (OH = ceil(H / s)). `image` is the shape of x, which a network knows by itself. `initializer`,
    `rng`, `bias` and `max_norm` are as in Affine, for KH KW C inputs.

    Raises ParameterError for an option out of its range, ShapeError where the kernel does not fit.

    >>> layer = Conv2D(30, 5, image=(28, 28))
    >>> layer.params["W"].shape, layer.after
    ((5, 5, 1, 30), (24, 24, 30))
    """

    x: Array | None = None

    def __init__(
        self,
        filters: int,
        kernel: int | Pair = 3,
        *,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        image: Shape | None = None,
        initializer: str | float | Initializer = "he",
        rng: np.random.Generator | int = 0,
        dtype: npt.DTypeLike = "float32",
        bias: bool = True,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.filters = check_integer("filters", filters, 1)
        self.kernel, self.stride = check_pair("kernel", kernel), check_pair("stride", stride)
        self.dilation, self.padding = check_pair("dilation", dilation), check_padding(padding)
        self.bias, self.max_norm = bias, MAX_NORM.check("max_norm", max_norm)
        self._draw = find_initializer(initializer), rng
        self._windows: tuple[Windows, Windows] | None = None
        if image is not None:
            self.build(check_image("image", image))
            self.initialize()

    def build(self, input_shape: Shape) -> None:
        """Take the shape of an image; raises ShapeError where the kernel does not fit into it."""
        super().build(input_shape)
        assert self.image is not None
        W = (*self.kernel, self.image[2], self.filters)
        self.declare({"W": W} | ({"b": (self.filters,)} if self.bias else {}))

    def initialize(self) -> None:
        """Draw W, (KH KW C, F) as the initializer sees it; b is 0."""
        if self.params:
            return
        self.allocate()
        draw, rng = self._draw
        W = self.params["W"]
        W[...] = draw(np.random.default_rng(rng), (W.size // self.filters, self.filters)).reshape(
            W.shape
        )

    def _places(self, image: Image) -> Image:
        reach, pads = self._reach, self._pads(image)
        height, width = (
            (n + sum(zeros) - r) // s + 1
            for n, zeros, r, s in zip(image[:2], pads, reach, self.stride, strict=True)
        )
        return height, width, self.filters

    @property
    def _reach(self) -> Pair:
        """How many pixels the kernel spans, (height, width)."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def _pads(self, image: Image) -> list[Pair]:
        return pads_for(self.padding, image[:2], self._reach, self.stride)

    @property
    def windows(self) -> tuple[Windows, Windows]:
        """Of x for the kernel, and of dout for the kernel turned round."""
        if self._windows is None:
            image, after = remembered(self.image), self.after
            of_x, of_dout = [], []
            for axis, (before, _) in enumerate(self._pads(image)):
                n, places, k = image[axis], after[axis], self.kernel[axis]
                s, d = self.stride[axis], self.dilation[axis]
                of_x.append(seen(n, k, places, -before, s, d))
                # Pixel i of x has a part in the places (i + before - d q) / s.
                of_dout.append(seen(places, k, n, before - d * (k - 1), 1, d, s))
            self._windows = Windows("x", image, *of_x), Windows("dout", after, *of_dout)
        return self._windows

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return X W + b as images, (N, OH OW F); raises ShapeError unless x is (N, H W C)."""
        images = self._seen(x)
        self.initialize()
        self.x = x = images.reshape(len(x), -1)
        W = self.params["W"].reshape(-1, self.filters)
        y = self.keep("y", (len(x), self.n_out), W.dtype)
        b = np.tile(self.params["b"], self.n_out // self.filters) if self.bias else None
        for rows, X in self.windows[0].of(x, self):
            multiply_tall(X, W, out=y[rows].reshape(-1, self.filters))  # y = X W
            if b is not None:
                np.add(y[rows], b, out=y[rows])  # y = X W + b
        return y

    def param_grads(self, dout: Array) -> None:
        """Write dW = X^T dout and db = sum of dout over batch and places."""
        dW = self.grads["W"].reshape(-1, self.filters)
        dW[...] = 0
        for rows, X in self.windows[0].of(remembered(self.x), self):
            dW += multiply_wide(X.T, dout[rows].reshape(-1, self.filters))  # dW = X^T dout
        if self.bias:
            per_place = np.ones(len(dout), dout.dtype) @ dout
            self.grads["b"] = per_place.reshape(-1, self.filters).sum(axis=0)  # db = sum of dout

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, H W C): dout, spread out, convolved with the kernel turned round."""
        channels = remembered(self.image)[2]
        turned = self.params["W"][::-1, ::-1].swapaxes(2, 3).reshape(-1, channels)
        dx = self.keep("dx", remembered(self.x).shape, dout.dtype)
        for rows, D in self.windows[1].of(dout, self):
            multiply_tall(D, turned, out=dx[rows].reshape(-1, channels))
        return dx

    def multiplications(self) -> int:
        """Each weight once at every place."""
        return super().multiplications() * (self.n_out // self.filters)

    def apply_constraints(self) -> None:
        """Shorten the weights into each filter that are longer than `max_norm`."""
        shorten_columns(self.params["W"].reshape(-1, self.filters), self.max_norm)

    def __repr__(self) -> str:
        return f"Conv2D({self.filters}, {show_pair(self.kernel)})"


SMALL = 10**6
"""Multiplications of a matrix product up to which OpenBLAS does not copy its factors first."""
FEWEST = 64


@cache
def pieces(rows: int, size: int) -> int:
    """In how many equal pieces to multiply a matrix of so many rows by one of so many values.

    A product of at most SMALL multiplications takes two thirds of the time on processors for which
    OpenBLAS has kernels for it; elsewhere as long as the whole.
    """
    least = -(-rows * size // SMALL)
    found = next((n for n in range(least, 2 * least + 8) if rows % n == 0), 1)
    return found if rows // found >= FEWEST else 1


def multiply_tall(X: Array, W: Array, out: Array) -> Array:
    """X W for X (n, k) of many more rows than W (k, m) has values; written into `out`."""
    n = pieces(len(X), W.size)
    stacked = X.reshape(n, -1, X.shape[1])
    np.matmul(stacked, W, out=out.reshape(n, -1, W.shape[1]))
    return out


def multiply_wide(X: Array, D: Array) -> Array:
    """X D for X (k, n) and D (n, m), n being much larger than k and m."""
    n = pieces(len(D), len(X) * D.shape[1])
    rows = X.T.reshape(n, -1, len(X))
    each = np.matmul(rows.swapaxes(1, 2), D.reshape(n, -1, D.shape[1]))
    return np.asarray(each.sum(axis=0))
