"""Windows of images: what a kernel sees at each of its places, a few images at a time."""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.layers.image import Image, Pair, check_pair
from scratchnet.parameters import Array

BLOCK = 2**20
"""Bytes of windows that are written out at a time: they stay in the cache until the product has
used them. A constant, because the order of sums, and so the last bits, depend on it."""
PADDINGS = ("same", "valid")


LEAST = 16
"""Values in a row of a window from which strips pay."""
SMALL = 10**6
"""Multiplications of a matrix product up to which OpenBLAS does not copy its factors first."""
FEWEST = 64
"""Rows of a matrix, below which it is not cut into smaller ones."""


class Line(NamedTuple):
    """How a kernel goes along one axis of an image."""

    n: int
    """Pixels that there are."""
    kernel: int
    """Values of the kernel."""
    places: int
    """Places that it goes to."""
    first: int
    """Where its first value is at the first place; below 0 it lies outside."""
    stride: int
    """Pixels from place to place."""
    dilation: int
    """Pixels from value to value."""
    spread: int = 1
    """Steps from one pixel to the next: between them there is nothing but zeros."""

    def seen(self) -> Array:
        """Which pixel each value is at each place, (places, kernel); -1 for none."""
        value = self.dilation * np.arange(self.kernel)
        at = self.first + self.stride * np.arange(self.places)[:, None] + value
        pixel, between = np.divmod(at, self.spread)
        return np.where((between == 0) & (pixel >= 0) & (pixel < self.n), pixel, -1)


class Windows:
    """What a kernel sees of images (H, W, C) at each of its places, as rows of matrices.

    A table says which pixel each value of each window is; one of zeros is taken for what lies
    outside. A matrix of all windows would be KH KW times the images. So they are written for a few
    images at a time, in memory that stays in the cache, and anew in the backward pass.

    Windows that begin in neighbouring rows share all of their rows but one. Where it pays, every
    row of the kernel has matrices of its own, and all of these are views of one strip of memory,
    which is KW times the images and not KH KW times. `columns` are those of the weights.
    """

    def __init__(self, name: str, image: Image, down: Line, across: Line, columns: int) -> None:
        self.name, self.columns = name, columns
        self.n_pixels, self.channels = image[0] * image[1], image[2]
        self.shape = down.places, across.places  # OH, OW
        strips = down.stride == 1 and down.kernel > 1 and across.kernel * image[2] >= LEAST
        self.starts = [0]  # the rows of the strip where those of each row of the kernel begin
        if strips:
            self.starts = [down.dilation * k for k in range(down.kernel)]
            height = down.places + self.starts[-1]
            down = down._replace(kernel=1, places=height, dilation=1)
        self.row_size = down.kernel * across.kernel * image[2]  # values of a row of a matrix
        row, column = down.seen()[:, None, :, None], across.seen()[None, :, None, :]
        inside = (row >= 0) & (column >= 0)
        self.table = np.where(inside, row * image[1] + column, self.n_pixels).reshape(-1)
        self.padded = not inside.all()

    def of(self, x: Array, memory: Any) -> Iterator[tuple[slice, list[Array]]]:
        """Blocks of rows of x (N, H W C), each with stacks of matrices (m, places, values).

        There is one stack, whose rows are windows (KH KW C), or one for each row of the kernel,
        with windows of (KW C). A block overwrites the one before; `memory.keep(name, shape, dtype)`
        gives the place.
        """
        n = max(1, BLOCK // (self.table.size * self.channels * x.dtype.itemsize))
        n = min(n, max(len(x), 1))
        windows = memory.keep(self.name, (n, self.table.size, self.channels), x.dtype)
        if self.padded:
            pixels = memory.keep(
                f"padded {self.name}", (n, self.n_pixels + 1, self.channels), x.dtype
            )
            pixels[:, -1] = 0
        for start in range(0, len(x), n):
            block = x[start : start + n].reshape(-1, self.n_pixels, self.channels)
            if self.padded:
                pixels[: len(block), :-1] = block
                block = pixels[: len(block)]
            found = windows[: len(block)]
            # With another mode `out` would be buffered.
            np.take(block, self.table, axis=1, out=found, mode="clip")
            yield slice(start, start + len(block)), self._matrices(found)

    def _matrices(self, windows: Array) -> list[Array]:
        """The stacks of a block of n images."""
        n, (height, width) = len(windows), self.shape
        if len(self.starts) > 1:
            strip = windows.reshape(n, -1, width, self.row_size)
            each = (strip[:, start : start + height] for start in self.starts)
            return [matrices.reshape(n, -1, self.row_size) for matrices in each]
        rows = n * height * width
        return [windows.reshape(pieces(rows, self.row_size * self.columns), -1, self.row_size)]


@cache
def pieces(rows: int, size: int) -> int:
    """Into how many equal matrices to cut one of so many rows, to multiply by so many weights.

    A product of at most SMALL multiplications takes two thirds of the time on processors for which
    OpenBLAS has kernels for it; elsewhere as long as the whole.
    """
    least = -(-rows * size // SMALL)
    found = next((n for n in range(least, 2 * least + 8) if rows % n == 0), 1)
    return found if rows // found >= FEWEST else 1


def check_padding(value: Any) -> Pair | str:
    """A number or a pair of zeros on each side, or a word of PADDINGS; raises ParameterError."""
    if isinstance(value, str):
        if value in PADDINGS:
            return value
        raise ParameterError(
            f"padding must be an integer, a pair, 'same' or 'valid', got {value!r}"
        )
    return check_pair("padding", value, 0)


def pads_for(
    padding: Pair | str, lengths: Sequence[int], reach: Sequence[int], stride: Pair
) -> list[Pair]:
    """Zeros before and behind each axis of these lengths, for a kernel that reaches so far.

    "same" gives ceil(length / stride) places, and where the number of zeros is odd one more
    behind, as TensorFlow has it.
    """
    if padding == "same":
        each = zip(lengths, reach, stride, strict=True)
        totals = [max((math.ceil(n / s) - 1) * s + r - n, 0) for n, r, s in each]
        return [(total // 2, total - total // 2) for total in totals]
    before = (0, 0) if isinstance(padding, str) else padding
    return [(zeros, zeros) for zeros in before]
