"""Pooling: images made smaller by the largest or the mean value of each of their parts."""

from abc import ABC
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from scratchnet.layers.image import (
    Image,
    ImageLayer,
    Pair,
    check_image,
    check_pair,
    show_pair,
)
from scratchnet.layers.layer import remembered
from scratchnet.loops import run
from scratchnet.parameters import Array, Shape


class Pool(ImageLayer, ABC):
    """What one value stands for: a part of `size` pixels (height, width), the parts side by side.

    What is left over at the lower and right edges is not looked at.
    """

    def __init__(self, size: int | Pair = 2, image: Shape | None = None) -> None:
        super().__init__()
        self.size = check_pair("size", size)
        if image is not None:
            self.build(check_image("image", image))

    def _places(self, image: Image) -> Image:
        return image[0] // self.size[0], image[1] // self.size[1], image[2]

    def _covered(self, x: Array) -> Array:
        """The pixels of images (N, H, W, C) that are in any part."""
        (height, width, _), (kh, kw) = self.after, self.size
        return x[:, : height * kh, : width * kw]

    def _clear_edges(self, dx: Array) -> None:
        """No derivative for pixels (N, H, W, C) that are in no part."""
        (height, width, _), (kh, kw) = self.after, self.size
        dx[:, height * kh :] = 0
        dx[:, :, width * kw :] = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({show_pair(self.size)})"


class MaxPool(Pool):
    """y = the largest value of each part of an image, in each channel.

    dL/dx = dout at the first value that is the largest, row by row, and 0 at all others. It is
    taken along the columns of each row first, then over the rows (as `largest` and `to_largest`
    below say), which finds the same value. `size` is an integer or a pair (height, width).

    Raises ParameterError for a size below 1, ShapeError where a part does not fit into the image.
    """

    across: Array | None = None  # the largest in each row of a part (N, h KH, w, C)
    y: Array | None = None  # (N, h, w, C)
    images: Array | None = None  # x (N, H, W, C)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the largest values, (N, OH OW C)."""
        self.images, self.across = self._seen(x), None
        self.y = y = self.keep("y", (len(x), *self.after), x.dtype)
        if not run("max_pool", len(x), self.after[2], x.dtype, self.images, self._sizes, y):
            largest(every(self._largest_across(), 1, self.size[0]), y)
        return y.reshape(len(x), -1)

    @property
    def _sizes(self) -> Array:
        """Height and width of an image and of a part, for the loops."""
        return np.array([*remembered(self.image)[:2], *self.size])

    def _largest_across(self) -> Array:
        """The largest value in each row of a part."""
        if self.across is None:
            images = self._covered(remembered(self.images))
            (height, width, channels), n = self.after, len(images)
            across = self.keep("across", (n, height * self.size[0], width, channels), images.dtype)
            self.across = largest(every(images, 2, self.size[1]), across)
        return self.across

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, H W C)."""
        images, y = remembered(self.images), remembered(self.y)
        (kh, kw) = self.size
        dx = self.keep("dx", images.shape, dout.dtype)
        self._clear_edges(dx)
        left = np.empty(y.shape[-1], dout.dtype)
        arrays = (dout, images, y, self._sizes, left, dx)
        if images.dtype == dx.dtype and run("max_pool_back", len(dx), len(left), dx.dtype, *arrays):
            return dx.reshape(len(dout), -1)
        across = self._largest_across()
        dacross = self.keep("dacross", across.shape, dout.dtype)
        to_largest(dout.reshape(y.shape), every(across, 1, kh), y, every(dacross, 1, kh))
        covered = every(self._covered(images), 2, kw)
        to_largest(dacross, covered, across, every(self._covered(dx), 2, kw))
        return dx.reshape(len(dout), -1)

    def kink_pattern(self) -> Array:
        """Which value of each part is the largest: booleans in the shape of x."""
        images, y = self._covered(remembered(self.images)), remembered(self.y)
        of_part = np.repeat(np.repeat(y, self.size[0], axis=1), self.size[1], axis=2)
        pattern = self.keep("pattern", images.shape, np.bool_)
        np.equal(images, of_part, out=pattern)
        return pattern


def every(x: Array, axis: int, k: int) -> list[Array]:
    """Every k-th of x along an axis, beginning with the 1st, the 2nd, ... the k-th: views."""
    ahead = (slice(None),) * axis
    return [x[(*ahead, slice(i, None, k))] for i in range(k)]


def largest(parts: list[Array], out: Array) -> Array:
    """The largest of the values at the same place of all parts, written into `out`."""
    np.copyto(out, parts[0]) if len(parts) == 1 else np.maximum(parts[0], parts[1], out=out)
    for part in parts[2:]:
        np.maximum(out, part, out=out)
    return out


def to_largest(dout: Array, parts: list[Array], y: Array, dparts: list[Array]) -> None:
    """dout goes to the first of the parts that is y, 0 to all others."""
    for part, dpart in zip(parts[:-1], dparts[:-1], strict=True):
        np.multiply(dout, part == y, out=dpart)
        dout = np.subtract(dout, dpart, out=dparts[-1])  # what is left for those behind
    if len(parts) == 1:
        np.copyto(dparts[0], dout)


class AvgPool(Pool):
    """y = the mean of each part of an image, in each channel; dL/dx = dout / (KH KW) in the part.

    `size` is an integer or a pair (height, width).

    Raises ParameterError for a size below 1, ShapeError where a part does not fit into the image.
    """

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the means, (N, OH OW C)."""
        covered = self._covered(self._seen(x))
        y = self.keep("y", (len(x), *self.after), x.dtype)
        y[...] = 0
        for row in every(covered, 1, self.size[0]):
            for part in every(row, 2, self.size[1]):
                np.add(y, part, out=y)
        np.multiply(y, x.dtype.type(1 / (self.size[0] * self.size[1])), out=y)
        return y.reshape(len(x), -1)

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, H W C)."""
        dx = self.keep("dx", (len(dout), *remembered(self.image)), dout.dtype)
        self._clear_edges(dx)
        share = dout * dout.dtype.type(1 / (self.size[0] * self.size[1]))
        for row in every(self._covered(dx), 1, self.size[0]):
            for part in every(row, 2, self.size[1]):
                np.copyto(part, share.reshape(part.shape))
        return dx.reshape(len(dout), -1)


class GlobalAvgPool(ImageLayer):
    """y (N, C) = the mean of each channel over the whole image; dL/dx = dout / (H W) everywhere.

    (Lin, Chen, Yan 2014, section 3.2.)
    """

    def __init__(self, image: Shape | None = None) -> None:
        super().__init__()
        if image is not None:
            self.build(check_image("image", image))

    def _places(self, image: Image) -> Image:
        return 1, 1, image[2]

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C,): what is left is no image."""
        return super().output_shape(input_shape)[2:]

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the means, (N, C)."""
        images = self._seen(x)
        pixels = images.shape[1] * images.shape[2]
        y = self.keep("y", (len(x), images.shape[3]), x.dtype)
        mean = np.full(pixels, 1 / pixels, x.dtype)
        return np.matmul(mean, images.reshape(len(x), pixels, -1), out=y)

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, H W C)."""
        height, width, channels = remembered(self.image)
        dx = self.keep("dx", (len(dout), height * width, channels), dout.dtype)
        dx[...] = (dout / (height * width))[:, np.newaxis]
        return dx.reshape(len(dout), -1)


POOLS: Mapping[str, type[Pool]] = MappingProxyType({"max": MaxPool, "avg": AvgPool})
