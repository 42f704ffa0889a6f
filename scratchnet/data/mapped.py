"""Arrays that stay in their file: rows come into memory when they are used, and go when done.

A file of any size is trained on in the memory of one pool of its rows. In shuffled order single
rows would be read from all over the file, far slower than the file can be read. So blocks of rows
that lie together are read together: an epoch takes blocks in random order, POOL_BLOCKS at a time,
and shuffles the rows of such a pool.
"""

import math
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.data.idx import read_idx, read_idx_shape
from scratchnet.data.npz import read_npy_layout
from scratchnet.data.opening import looks_like, open_regular
from scratchnet.errors import DataError
from scratchnet.parameters import Array
from scratchnet.randomness import permutation

BLOCK_BYTES = 2**21
"""A block is as many rows as fit, at least one: 2,674 images of 28x28 bytes."""
POOL_BLOCKS = 32
"""So many blocks are shuffled together: 64 MiB, or 85,568 such images.

They may take three times that in memory: systems bring in what lies around them, up to 2 MiB at
once, and at the change of pools there are two.
"""
MAPPED_DTYPES = ("uint8", "float32", "float64")
"""Arrays that a batch can be made of without another copy of the file."""

_GRAIN = 2**21
"""Around a page that is used the system brings in others, so more is let go than was used."""
_DONE, _SOON = getattr(mmap, "MADV_DONTNEED", None), getattr(mmap, "MADV_WILLNEED", None)
"""Advice about memory that systems take; None if they have no word for it."""


class Pages(mmap.mmap):
    """A file mapped read-only, that knows where it is."""

    place: "FileArray"
    address: int


@dataclass(frozen=True)
class FileArray:
    """Where an array lies: from byte `offset` on in a file of `size` bytes, in C order."""

    path: str
    size: int
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def open(self) -> Array:
        """The array, read-only, of which nothing has been read yet.

        The file must stay as it is for as long as the array is used: where it is cut short the
        system ends the process. Raises DataError where it is not there or of another size.
        """
        with open_regular(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.size:
                raise DataError(
                    f"{self.path!r} had {self.size} bytes and now has {size}; open it anew"
                )
            try:
                pages = Pages(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise DataError(f"cannot map {self.path!r} into memory: {error}") from error
        pages.place, pages.address = self, _address(np.frombuffer(pages, np.uint8))
        return np.ndarray(self.shape, self.dtype, buffer=pages, offset=self.offset)


def find_array(path: str | os.PathLike[str]) -> FileArray:
    """The array in a .npy or an IDX file that is not packed; its header is checked, no more.

    Raises DataError where the file is missing, too short or too long, packed, or holds what cannot
    be used as it lies there.
    """
    name = os.path.abspath(path)
    with open_regular(path) as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(16)
        file.seek(0)
        kind = looks_like(start)
        try:
            if kind == "an IDX file":
                shape = read_idx_shape(file, size)
                return FileArray(name, size, file.tell(), "uint8", shape)
            if kind != "a NumPy .npy file":
                fix = "unpack it first" if kind.startswith(("gzip", "a zip")) else "convert it"
                raise DataError(
                    f"it must be .npy or IDX to be mapped, but looks like {kind}; {fix}"
                )
            shape, dtype, fortran = read_npy_layout(file, size)
        except DataError as error:
            raise DataError(f"{str(path)!r}: {error}") from error.__cause__
        if fortran:
            raise DataError(
                f"{str(path)!r} must hold row after row (C order), got Fortran order; "
                "save np.ascontiguousarray(x)"
            )
        return FileArray(name, size, file.tell(), dtype.str, shape)


def map_rows(path: str | os.PathLike[str]) -> Array:
    """The rows (N, D) of a .npy or IDX file, images flattened, as `FileArray.open` gives them.

    Raises DataError for what `find_array` refuses, for numbers that a batch would have to be
    converted from, and for fewer than two dimensions or nothing in them.
    """
    found = find_array(path)
    dtype = np.dtype(found.dtype)
    if dtype.name not in MAPPED_DTYPES or not dtype.isnative:
        raise DataError(
            f"{str(path)!r} must hold {', '.join(MAPPED_DTYPES)} of this machine's byte order to "
            f"be mapped, got {dtype.str!r} ({dtype.name}); save it anew as one of these"
        )
    if len(found.shape) < 2 or 0 in found.shape:
        raise DataError(
            f"{str(path)!r} must have the shape (samples, features), none of them 0, "
            f"got {found.shape}"
        )
    return found.open().reshape(found.shape[0], -1)


def read_targets(path: str | os.PathLike[str]) -> Array:
    """The targets in a .npy, mapped, or in an IDX file, packed or not; raises DataError."""
    with open_regular(path) as file:
        kind = looks_like(file.read(16))
    return read_idx(path) if kind in ("an IDX file", "gzip") else find_array(path).open()


def place_of(x: Array) -> FileArray:
    """Where consecutive rows of what `map_rows` gave lie, by which another process finds them."""
    pages = _pages_of(x)
    if pages is None:
        raise TypeError("x is no part of a mapped file")
    whole = pages.place
    return FileArray(whole.path, whole.size, _address(x) - pages.address, whole.dtype, x.shape)


def advise_dontneed(x: Array) -> None:
    """Take rows that lie in a mapped file out of memory; any other array stays as it is.

    The values are the same ever after: they are read again when they are used.
    """
    _advise(x, _DONE, _GRAIN)


def advise_willneed(x: Array) -> None:
    """Have rows that lie in a mapped file read in the background."""
    _advise(x, _SOON, mmap.PAGESIZE)


def blocks_of(x: Array) -> Iterator[tuple[int, Array]]:
    """x (N, D) by blocks of BLOCK_BYTES: (first row, block); each is let go after its use."""
    step = rows_in_block(x)
    for start in range(0, len(x), step):
        block = x[start : start + step]
        yield start, block
        advise_dontneed(block)


def rows_in_block(x: Array) -> int:
    """How many rows of x (N, D) fit into BLOCK_BYTES, at least one."""
    row = x.itemsize * math.prod(x.shape[1:])
    return max(1, BLOCK_BYTES // row)


def mapped_batches(
    x: Array, block_rows: int, batch_size: int, seed: int | None, epoch: int, done: int = 0
) -> Iterator[npt.NDArray[np.intp]]:
    """The row numbers of an epoch's batches, from batch `done` on, each of 0..N-1 once.

    Blocks of block_rows rows of the mapped x (N, D), POOL_BLOCKS of them at a time, in the order
    drawn from (seed, "shuffle", epoch); the rows of pool k in that of (seed, "shuffle", epoch, k).
    Where all are one pool the order is that of samples in memory. With seed None the rows come as
    they stand. A batch may take the last rows of one pool and the first of the next.

    The next pool is announced while one is used, and one that is done is let go.
    """
    pools = _pools(len(x), block_rows, seed, epoch)
    ends = np.cumsum([sum(len(rows) for rows in pool) for pool in pools])
    first = int(np.searchsorted(ends, done * batch_size, side="right"))
    if first == len(pools):
        return
    skipped = done * batch_size - (int(ends[first - 1]) if first else 0)
    for rows in pools[first]:
        advise_willneed(x[rows.start : rows.stop])
    spent: list[Array] = []
    rest = np.empty(0, np.intp)
    for k in range(first, len(pools)):
        index = np.concatenate([np.arange(rows.start, rows.stop) for rows in pools[k]])
        if seed is not None:
            drawn = (epoch,) if len(pools) == 1 else (epoch, k)
            index = index[permutation(len(index), seed, "shuffle", *drawn)]
        waiting = np.concatenate([rest, index[skipped:]])
        skipped = 0
        n_batches = len(waiting) // batch_size
        if k == len(pools) - 1 and len(waiting) % batch_size:
            n_batches += 1
        following = pools[k + 1] if k + 1 < len(pools) else []
        for i in range(n_batches):
            yield waiting[i * batch_size : (i + 1) * batch_size]
            while spent:  # the batch had the last of their rows
                advise_dontneed(spent.pop())
            # Block by block, so that the disk is at work all the time and nobody waits for it.
            for rows in following[
                i * len(following) // n_batches : (i + 1) * len(following) // n_batches
            ]:
                advise_willneed(x[rows.start : rows.stop])
        rest = waiting[n_batches * batch_size :]
        spent += [x[rows.start : rows.stop] for rows in pools[k]]
    for block in spent:
        advise_dontneed(block)


def _pools(n: int, block_rows: int, seed: int | None, epoch: int) -> list[list[range]]:
    """The row numbers 0..n-1 as pools of blocks, blocks of a pool in the order of the file."""
    blocks = [range(start, min(start + block_rows, n)) for start in range(0, n, block_rows)]
    order = np.arange(len(blocks))
    if seed is not None:
        order = permutation(len(blocks), seed, "shuffle", epoch)
    parts = [order[k : k + POOL_BLOCKS] for k in range(0, len(order), POOL_BLOCKS)]
    return [[blocks[number] for number in np.sort(part)] for part in parts]


def _advise(x: Array, advice: int | None, grain: int) -> None:
    """Tell the system this of the pages under x, C-ordered, and out to multiples of `grain`."""
    pages = _pages_of(x)
    if sys.platform == "win32" or advice is None or pages is None:
        return
    begin = _address(x) - pages.address
    start, stop = begin // grain * grain, -(-(begin + x.nbytes) // grain) * grain
    with suppress(OSError):  # where it is not taken, all is as if it had not been given
        pages.madvise(advice, start, min(stop, len(pages)) - start)


def _pages_of(x: Any) -> Pages | None:
    """The map that the memory of x belongs to, if it does."""
    while isinstance(x, np.ndarray):
        x = x.base
    return x if isinstance(x, Pages) else None


def _address(x: Array) -> int:
    address: int = x.__array_interface__["data"][0]
    return address
