"""Convolution of images: the same weighted sum of neighbouring pixels at every place."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.environment import limit_threads
from scratchnet.errors import ShapeError
from scratchnet.initializers import Initializer, find_initializer
from scratchnet.layers.affine import MAX_NORM, shorten_columns
from scratchnet.layers.image import Image, ImageLayer, Pair, check_image, check_pair, show_pair
from scratchnet.layers.layer import remembered
from scratchnet.layers.windows import Line, Windows, check_padding, pads_for
from scratchnet.parameters import Array, Shape

MOST = 2**27
"""Pixels, each as often as it is looked at, up to which an image is convolved."""


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
        looked_at = math.prod(self.after[:2]) * math.prod(self.kernel)
        if looked_at > MOST:
            raise ShapeError(
                f"{self!r} would look at {looked_at:,} pixels of each image {self.image}; take a "
                "smaller kernel, a larger stride, or smaller images"
            )
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
        reach, pads = self._reach, self.pads(image)
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

    def pads(self, image: Image) -> list[Pair]:
        """Zeros before and after the pixels of such an image: down, then across."""
        return pads_for(self.padding, image[:2], self._reach, self.stride)

    @property
    def windows(self) -> tuple[Windows, Windows]:
        """Of x for the kernel, and of dout for the kernel turned round."""
        if self._windows is None:
            image, after = remembered(self.image), self.after
            pads = [before for before, _ in self.pads(image)]
            each = list(
                zip(image, after, self.kernel, self.stride, self.dilation, pads, strict=False)
            )
            down, across = (Line(n, k, p, -zeros, s, d) for n, p, k, s, d, zeros in each)
            of_x = Windows("x", image, down, across, self.filters)
            # Pixel i of x has a part in the places (i + zeros - d q) / s.
            down, across = (
                Line(p, k, n, zeros - d * (k - 1), 1, d, s) for n, p, k, s, d, zeros in each
            )
            self._windows = of_x, Windows("dout", after, down, across, image[2])
        return self._windows

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return X W + b as images, (N, OH OW F); raises ShapeError unless x is (N, H W C)."""
        images = self._seen(x)
        self.initialize()
        self.x = x = images.reshape(len(x), -1)
        y = self.keep("y", (len(x), self.n_out), self.params["W"].dtype)
        b = np.tile(self.params["b"], self.n_out // self.filters) if self.bias else None
        with limit_threads(1):  # threads of BLAS lose on products of this size
            for rows, stacks in self.windows[0].of(x, self):
                self._multiply(stacks, self.params["W"], y[rows])  # y = X W
                if b is not None:
                    np.add(y[rows], b, out=y[rows])  # y = X W + b
        return y

    def param_grads(self, dout: Array) -> None:
        """Write dW = X^T dout and db = sum of dout over batch and places."""
        dW = self.grads["W"]
        dW[...] = 0
        with limit_threads(1):
            for rows, stacks in self.windows[0].of(remembered(self.x), self):
                of_rows = dW.reshape(len(stacks), -1, self.filters)  # a view
                for X, piece in zip(stacks, of_rows, strict=True):
                    each = np.matmul(X.swapaxes(1, 2), dout[rows].reshape(len(X), -1, self.filters))
                    piece += each.sum(axis=0)  # dW = X^T dout
        if self.bias:
            per_place = np.ones(len(dout), dout.dtype) @ dout
            self.grads["b"] = per_place.reshape(-1, self.filters).sum(axis=0)  # db = sum of dout

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, H W C): dout, spread out, convolved with the kernel turned round."""
        turned = self.params["W"][::-1, ::-1].swapaxes(2, 3)
        dx = self.keep("dx", remembered(self.x).shape, dout.dtype)
        with limit_threads(1):
            for rows, stacks in self.windows[1].of(dout, self):
                self._multiply(stacks, turned, dx[rows])
        return dx

    def _multiply(self, stacks: list[Array], W: Array, out: Array) -> None:
        """The sum over stacks of X times the rows of W (KH, KW, C, F) that are theirs."""
        pieces = W.reshape(len(stacks), -1, W.shape[3])
        out = out.reshape(len(stacks[0]), -1, W.shape[3])
        np.matmul(stacks[0], pieces[0], out=out)
        for X, piece in zip(stacks[1:], pieces[1:], strict=True):
            part = self.keep("part", out.shape, out.dtype)
            np.add(out, np.matmul(X, piece, out=part), out=out)

    def multiplications(self) -> int:
        """Each weight once at every place."""
        return super().multiplications() * (self.n_out // self.filters)

    def apply_constraints(self) -> None:
        """Shorten the weights into each filter that are longer than `max_norm`."""
        shorten_columns(self.params["W"].reshape(-1, self.filters), self.max_norm)

    def __repr__(self) -> str:
        given = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
        more = "".join(
            f", {name}={value if isinstance(value, str) else show_pair(value)}"
            for name, value in given.items()
            if value != usual[name]
        )
        return f"Conv2D({self.filters}, {show_pair(self.kernel)}{more})"
