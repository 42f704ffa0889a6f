"""Read IDX and npz files from anywhere, without believing what they claim about themselves.

An IDX file is `00 00 08 n`, then n sizes of four bytes, big-endian, then the bytes in C order.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from scratchnet.data.opening import (
    AGAIN,
    BLOCK,
    GZIP,
    MAX_BYTES,
    check_ratio,
    looks_like,
    open_regular,
)
from scratchnet.errors import DataError

if TYPE_CHECKING:
    pass

Bytes = npt.NDArray[np.uint8]

UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
CONTENTS = {1: "label", 2: "table", 3: "image", 4: "colour image"}  # by number of dimensions


class Stream(Protocol):
    """A file as the reader needs it: the next bytes, at most so many; none at its end."""

    def read1(self, size: int, /) -> bytes:
        """Return at least one of the next `size` bytes, or none at the end."""


def read_idx(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, ndim: int | None = None
) -> Bytes:
    """Read an IDX file of unsigned bytes: a writable uint8 array of the shape in its header.

    Gzip is known by its first two bytes, not by the name; its CRC is checked. `ndim`, when given,
    is the number of dimensions wanted: 1 for labels, 3 for images. The header is checked against
    `max_bytes` and, in a plain file, the size of the file before any memory is taken, and never
    more is read than it allows, so a file that unpacks to gigabytes costs nothing.

    Raises DataError, naming the file, what was expected and what was found, for everything that
    is not a regular, readable, whole and sound IDX file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return read_stream(file, size, max_bytes=max_bytes, ndim=ndim)
        except DataError as error:
            raise DataError(f"{str(path)!r}: {error}") from error.__cause__
        except OSError as error:
            raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def read_images(path: str | os.PathLike[str]) -> Bytes:
    """Read an IDX file of images, uint8 (N, height, width); raises DataError as `read_idx` does."""
    return read_idx(path, ndim=3)


def read_labels(path: str | os.PathLike[str]) -> Bytes:
    """Read an IDX file of labels, uint8 (N,); raises DataError as `read_idx` does."""
    return read_idx(path, ndim=1)


def read_idx_shape(file: io.BufferedReader, size: int) -> tuple[int, ...]:
    """The shape in the header of a plain IDX file of `size` bytes; `file` is left behind it.

    Raises DataError, naming no path, where the header is not sound or the size is another.
    """
    shape = _read_shape(file, None)
    _check_size(shape, size)
    return shape


def header(shape: tuple[int, ...]) -> bytes:
    """Return the header that an IDX file of unsigned bytes of this `shape` begins with.

    >>> header((60000,)).hex(" ")
    '00 00 08 01 00 00 ea 60'
    """
    sizes = (size.to_bytes(4, "big") for size in shape)
    return bytes((0, 0, UNSIGNED_BYTE, len(shape))) + b"".join(sizes)


def read_stream(
    file: io.BufferedReader | io.BytesIO,
    size: int,
    *,
    max_bytes: int = MAX_BYTES,
    ndim: int | None = None,
) -> Bytes:
    """Read IDX from an open file of `size` bytes, as `read_idx` does; its errors name no path."""
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    if not packed:
        return _read_array(file, max_bytes, ndim, file_size=size)
    with gzip.GzipFile(fileobj=file) as unpacked:
        return _read_array(unpacked, max_bytes, ndim, file_size=None, packed=size)


def _read_array(
    file: Stream, max_bytes: int, ndim: int | None, file_size: int | None, packed: int = 0
) -> Bytes:
    """Header, checks, data, and proof that nothing follows; `file_size` is None for gzip."""
    shape = _read_shape(file, ndim)
    count = math.prod(shape)  # Python's integers: np.prod would wrap at 64 bits
    sizes = " x ".join(map(str, shape))
    if count > max_bytes:
        raise DataError(
            f"its header declares {sizes} = {count} bytes, over the limit of {max_bytes}; "
            "if that is right, raise max_bytes"
        )
    total = len(header(shape)) + count
    if file_size is not None:
        _check_size(shape, file_size)
    else:
        check_ratio(count, packed)
    try:
        array = np.empty(count, dtype=np.uint8)
    except MemoryError as error:
        raise DataError(f"there is no memory for the {count} bytes that it declares") from error
    done = _fill(file, array.data, total - count, total)
    if done < total:
        raise DataError(f"it ended after {done} of {total} bytes; {AGAIN}")
    if _next(file, 1, total, total):
        raise DataError(f"it has more than the {total} bytes that its header declares; {AGAIN}")
    return array.reshape(shape)


def _check_size(shape: tuple[int, ...], file_size: int) -> None:
    """Refuse a plain file that is longer or shorter than header and bytes of this shape."""
    total = len(header(shape)) + math.prod(shape)
    if file_size != total:
        raise DataError(
            f"{' x '.join(map(str, shape))} bytes and the header make {total} bytes, but the file "
            f"has {file_size} ({abs(file_size - total)} too "
            f"{'many' if file_size > total else 'few'}); {AGAIN}"
        )


def _read_shape(file: Stream, ndim: int | None) -> tuple[int, ...]:
    """Read and check the header; return the sizes."""
    start = _exactly(file, 4, 0)
    if len(start) < 4 or start[:2] != b"\0\0":
        start += _exactly(file, 12, len(start))
        raise DataError(f"it looks like {looks_like(start)}, not IDX or gzip; {AGAIN}")
    kind, dimensions = start[2], start[3]
    if kind != UNSIGNED_BYTE:
        other = OTHER_TYPES.get(kind, "an unknown type")
        raise DataError(
            f"its type code at byte 2 is 0x{kind:02X} ({other}); "
            f"only 0x{UNSIGNED_BYTE:02X} (unsigned bytes) can be read"
        )
    if dimensions not in CONTENTS:
        raise DataError(f"it declares {dimensions} dimensions at byte 3; 1 to 4 can be read")
    if ndim is not None and dimensions != ndim:
        article = "an" if dimensions == 3 else "a"
        raise DataError(
            f"it is {article} {CONTENTS[dimensions]} file (magic 0x{start.hex()}); "
            f"{CONTENTS[ndim]}s (0x{header((0,) * ndim)[:4].hex()}) expected: are files swapped?"
        )
    sizes = _exactly(file, 4 * dimensions, 4)
    if len(sizes) < 4 * dimensions:
        length = 4 + 4 * dimensions
        raise DataError(f"it ended after {4 + len(sizes)} of {length} header bytes; {AGAIN}")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    if 0 in shape:
        raise DataError(f"dimension {shape.index(0) + 1} of {shape} is 0, so it holds nothing")
    return shape


def _exactly(file: Stream, size: int, done: int) -> bytes:
    """Return the next `size` bytes, fewer only at the end; `done` were read before."""
    found = b""
    while len(found) < size:
        more = _next(file, size - len(found), done + len(found))
        if not more:
            break
        found += more
    return found


def _fill(file: Stream, view: memoryview, done: int, total: int) -> int:
    """Read into `view` until it is full or the file ends; returns `done` plus what was read."""
    start = done
    while done < total:
        block = _next(file, min(BLOCK, total - done), done, total)
        if not block:
            break
        view[done - start : done - start + len(block)] = block
        done += len(block)
    return done


def _next(file: Stream, size: int, done: int, total: int | None = None) -> bytes:
    """Return up to `size` more bytes, with the faults of gzip put into words."""
    of_total = f"{done} of {total} bytes" if total is not None else f"{done} bytes"
    try:
        return file.read1(size)
    except EOFError as error:
        raise DataError(f"its gzip data ended after {of_total}; {AGAIN}") from error
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" in str(error):
            raise DataError(f"other bytes follow its gzip data; {AGAIN}") from error
        raise DataError(
            f"its gzip data is damaged ({error}) by byte {of_total}; {AGAIN}"
        ) from error
    except zlib.error as error:
        raise DataError(f"its gzip data is damaged after {of_total} ({error}); {AGAIN}") from error
