"""Read .npz and .npy files from anywhere, without believing what they claim about themselves."""

from __future__ import annotations

import io
import math
import os
import re
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scratchnet.data.opening import (
    AGAIN,
    BLOCK,
    MAX_BYTES,
    ZIP,
    check_ratio,
    looks_like,
    open_regular,
)
from scratchnet.errors import DataError
from scratchnet.parameters import Array

if TYPE_CHECKING:
    import zipfile

NUMBERS = "buif"  # booleans, integers, floats, as NumPy names the kinds of dtype
NPY = b"\x93NUMPY"
LONGEST_NPY_HEADER = 2**16
NPY_VALUES = {
    "descr": r"[\"']descr[\"']\s*:\s*[\"']([<>|=]?[a-zA-Z]\d*(?:\[\w+\])?)[\"']",
    "fortran_order": r"[\"']fortran_order[\"']\s*:\s*(True|False)",
    "shape": r"[\"']shape[\"']\s*:\s*\(((?:\s*-?\d{1,18}L?\s*,?)*)\)",
}
"""What the header of a .npy holds, as whoever wrote it spells it."""


def read_npy_layout(
    file: io.BufferedReader, size: int
) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, dtype and whether in Fortran order of a .npy of `size` bytes; `file` is left behind.

    Raises DataError, naming no path, where the header is not sound, the size is another, or it
    holds Python objects.
    """
    try:
        shape, fortran, dtype = _read_npy_header(file)
    # On damaged bytes NumPy's header parser raises a dozen kinds of exceptions.
    except Exception as error:
        raise DataError(f"it is a damaged .npy ({error}); {AGAIN}") from error
    if dtype.hasobject:
        raise DataError("it must hold numbers, got Python objects, which are never unpickled")
    need = file.tell() + math.prod(shape) * dtype.itemsize
    if need != size or min(shape, default=0) < 0:
        raise DataError(
            f"its header says {shape} of {dtype}, which makes {need} bytes, but the file has "
            f"{size}; {AGAIN}"
        )
    return shape, dtype, fortran


def read_npy(path: str | os.PathLike[str], *, max_bytes: int = 2 * MAX_BYTES) -> Array:
    """Read the array of numbers in a .npy; raises DataError, naming the file, for all else."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if size > max_bytes:
                raise DataError(f"it has {size} bytes, over the limit of {max_bytes}")
            shape, dtype, fortran = read_npy_layout(file, size)
            if dtype.kind not in NUMBERS:
                raise DataError(f"it is of dtype {dtype}; only numbers are read")
            return _read_npy_data(file, shape, fortran, dtype)
        except DataError as error:
            raise DataError(f"{str(path)!r}: {error}") from error.__cause__


def read_npz(
    path: str | os.PathLike[str], *, max_bytes: int = 2 * MAX_BYTES, kinds: str = NUMBERS
) -> dict[str, Array]:
    """Read an .npz of arrays of these kinds of dtype, by default numbers: its arrays by name.

    The zip's directory is checked first - no name twice, only .npy members, together at most
    `max_bytes` - then each array's header (plain numbers, as many bytes as the member has), and
    only then is it read. Nothing is ever unpickled.

    Raises DataError, naming the file and the member, for everything else.
    """
    with open_regular(path) as file:
        return read_npz_file(path, file, max_bytes=max_bytes, kinds=kinds)


def read_npz_file(
    path: str | os.PathLike[str], file: io.BufferedReader, *, max_bytes: int, kinds: str
) -> dict[str, Array]:
    """The arrays of an open file, as `read_npz` reads them; `path` is for its messages."""
    import zipfile  # only here, as it is slow to import

    file.seek(0)
    start = file.read(16)
    if not start.startswith(ZIP):
        raise DataError(f"{str(path)!r} looks like {looks_like(start)}, not an .npz")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_directory(archive, max_bytes)
            return {
                member.filename.removesuffix(".npy"): _read_member(archive, member, kinds)
                for member in archive.infolist()
            }
    except DataError as error:
        raise DataError(f"{str(path)!r}: {error}") from error.__cause__
    # On damaged bytes zipfile and NumPy's header parser raise a dozen kinds of exceptions.
    except Exception as error:
        raise DataError(f"{str(path)!r} is a damaged .npz ({error}); {AGAIN}") from error


def _check_directory(archive: zipfile.ZipFile, max_bytes: int) -> None:
    """Refuse a zip whose directory does not list one .npy per name, within `max_bytes` in all."""
    members = archive.infolist()
    seen: set[str] = set()
    for name in (member.filename for member in members):
        if not name.endswith(".npy"):
            what = "a PyTorch file" if name.endswith("/data.pkl") else "no .npz of arrays"
            raise DataError(f"it holds {name!r}, so it is {what}; members must be .npy arrays")
        if name in seen:
            raise DataError(f"it holds {name!r} twice; each array must be there once")
        seen.add(name)
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise DataError(
            f"its members unpack to {total} bytes, over the limit of {max_bytes}; "
            "if that is right, raise max_bytes"
        )
    check_ratio(total, sum(member.compress_size for member in members))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, kinds: str) -> Array:
    """Read one array, after its header was checked; zipfile checks its CRC at the last byte."""
    with archive.open(member) as file:
        shape, fortran, dtype = _read_npy_header(file)
        start = file.tell()
    if dtype.kind not in kinds:
        raise DataError(f"{member.filename!r} is of dtype {dtype}; only numbers are read")
    need = start + math.prod(shape) * dtype.itemsize
    if need != member.file_size or min(shape, default=0) < 0:
        raise DataError(
            f"{member.filename!r} of shape {shape} and {dtype} needs {need} bytes, "
            f"but has {member.file_size}; {AGAIN}"
        )
    with archive.open(member) as file:
        file.read(start)
        return _read_npy_data(file, shape, fortran, dtype)


def _read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype, as a .npy begins with them; raises ValueError.

    NumPy's reader compiles the header, which Python 3.11 cannot do in two threads at once, and
    takes True for a size.
    """
    start = file.read(len(NPY) + 2)
    if start[: len(NPY)] != NPY or len(start) != len(NPY) + 2:
        raise ValueError("it does not start as a .npy does")
    width = 2 if start[-2] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > LONGEST_NPY_HEADER:
        raise ValueError(f"its header has {length} bytes")
    text = file.read(length).decode("utf-8" if start[-2] > 2 else "latin-1")
    found = {name: re.search(pattern, text) for name, pattern in NPY_VALUES.items()}
    if found["descr"] is None and found["shape"] is not None and "[(" in text:
        raise DataError("it holds rows of several fields; only arrays of numbers are read")
    if len(text) < length or not all(found.values()) or not text.startswith("{"):
        raise ValueError(f"its header is {text.strip()[:80]!r}")
    descr, fortran, sizes = (match[1] for match in found.values() if match is not None)
    shape = tuple(int(size.rstrip("L")) for size in sizes.split(",") if size.strip())
    return shape, fortran == "True", np.dtype(descr)


def _read_npy_data(
    file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> Array:
    """The array behind a header, whose size was checked."""
    flat: Array = np.empty(math.prod(shape), dtype)
    if flat.nbytes:
        view = memoryview(flat.view(np.uint8).data)
        done = 0
        while done < len(view):
            block = file.read(min(BLOCK, len(view) - done))
            if not block:
                raise DataError(f"it ended after {done} of {len(view)} bytes; {AGAIN}")
            view[done : done + len(block)] = block
            done += len(block)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
