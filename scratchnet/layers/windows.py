"""Windows of images: what a kernel sees at each of its places, a few images at a time."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.layers.image import Image, Pair, check_pair
from scratchnet.parameters import Array

BLOCK = 2**20
"""Bytes of windows that are written out at a time: they stay in the cache until the product has
used them. A constant, because the order of sums, and so the last bits, depend on it."""
PADDINGS = ("same", "valid")


class Windows:
    """What a kernel sees of images (H, W, C) at each of its places, as rows of a matrix.

    `rows` (OH, KH) and `columns` (OW, KW) say which row and column of pixels each value of a
    window is, -1 where it lies outside: there a pixel of zeros is taken. A matrix of all windows
    would be KH KW times the images. So windows are written for a few images at a time, and anew
    in the backward pass.
    """

    def __init__(self, name: str, image: Image, rows: Array, columns: Array) -> None:
        self.name = name
        self.n_pixels, self.channels = image[0] * image[1], image[2]
        self.row_size = rows.shape[1] * columns.shape[1] * image[2]  # KH KW C, values of a window
        self.places = len(rows) * len(columns)  # OH OW
        at_row, at_column = rows[:, None, :, None], columns[None, :, None, :]
        inside = (at_row >= 0) & (at_column >= 0)  # (OH, OW, KH, KW)
        table = np.where(inside, at_row * image[1] + at_column, self.n_pixels)
        self.table = table.reshape(-1)
        self.padded = not inside.all()

    def of(self, x: Array, memory: Any) -> Iterator[tuple[slice, Array]]:
        """Blocks of rows of x (N, H W C), each with its windows (n OH OW, KH KW C).

        A block overwrites the one before; `memory.keep(name, shape, dtype)` gives the place.
        """
        n = max(1, BLOCK // (self.places * self.row_size * x.dtype.itemsize))
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
            # With another mode `out` would be buffered.
            np.take(block, self.table, axis=1, out=windows[: len(block)], mode="clip")
            rows = slice(start, start + len(block))
            yield rows, windows[: len(block)].reshape(-1, self.row_size)


def seen(
    n: int, kernel: int, places: int, first: int, stride: int, dilation: int, spread: int = 1
) -> Array:
    """Which of n pixels in a line a kernel sees at each of its places (places, kernel); -1: none.

    Value q at place p is at first + stride p + dilation q, with the pixels `spread` apart.
    """
    at = first + stride * np.arange(places)[:, None] + dilation * np.arange(kernel)
    pixel, between = np.divmod(at, spread)
    return np.where((between == 0) & (pixel >= 0) & (pixel < n), pixel, -1)


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
