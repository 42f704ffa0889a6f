"""Read IDX and npz files from anywhere, without believing what they claim about themselves.

An IDX file is `00 00 08 n`, then n sizes of four bytes, big-endian, then the bytes in C order.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import stat
import zlib
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from scratchnet.errors import DataError
from scratchnet.parameters import Array

if TYPE_CHECKING:
    import zipfile

Bytes = npt.NDArray[np.uint8]

GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second is an empty one
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
CONTENTS = {1: "label", 2: "table", 3: "image", 4: "colour image"}  # by number of dimensions
MAX_BYTES = 2**30
NUMBERS = "buif"  # booleans, integers, floats, as NumPy names the kinds of dtype
SMALL, RATIO = 2**26, 200
"""What unpacks to more than SMALL bytes may be RATIO times as large as it was packed."""
BLOCK = 2**20
AGAIN = "delete it and download it again"
LOOKS = (
    (GZIP, "gzip"),
    *((magic, "a zip archive, such as .npz or a PyTorch file") for magic in ZIP),
    (b"\0\0\x08", "an IDX file"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    *((bytes((0x80, protocol)), "a Python pickle") for protocol in range(2, 6)),
)


NEVER_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0)
"""How a file is opened that may be anything: Windows has neither pipes in folders nor this."""


NPY = b"\x93NUMPY"
LONGEST_NPY_HEADER = 2**16
NPY_VALUES = {
    "descr": r"[\"']descr[\"']\s*:\s*[\"']([<>|=]?[a-zA-Z]\d*(?:\[\w+\])?)[\"']",
    "fortran_order": r"[\"']fortran_order[\"']\s*:\s*(True|False)",
    "shape": r"[\"']shape[\"']\s*:\s*\(((?:\s*-?\d{1,18}L?\s*,?)*)\)",
}
"""What the header of a .npy holds, as whoever wrote it spells it."""


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


def header(shape: tuple[int, ...]) -> bytes:
    """Return the header that an IDX file of unsigned bytes of this `shape` begins with.

    >>> header((60000,)).hex(" ")
    '00 00 08 01 00 00 ea 60'
    """
    sizes = (size.to_bytes(4, "big") for size in shape)
    return bytes((0, 0, UNSIGNED_BYTE, len(shape))) + b"".join(sizes)


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> io.BufferedReader:
    """Open a regular file for reading; a folder, pipe or device is refused, never waited for.

    With follow=False a link is refused too: in a folder that may be a stranger's. Raises DataError
    with the path and what the system says, for example of a missing file.
    """
    path = os.path.expanduser(path)
    try:
        if not follow and os.path.islink(path):
            raise DataError(f"{str(path)!r} is a link; a regular file is needed there")
        descriptor = os.open(path, os.O_RDONLY | NEVER_WAIT | (0 if follow else NOT_A_LINK))
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise DataError(f"{str(path)!r} is {kind}; a regular file is needed")
        return open(descriptor, "rb")
    except OSError as error:
        link = " (a symbolic link)" if os.path.islink(path) else ""
        raise DataError(f"cannot read {str(path)!r}{link}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL character in the path
        raise DataError(f"cannot read {str(path)!r}: {error}") from error


def looks_like(start: bytes) -> str:
    """Say what a file with these first bytes (16 are enough) seems to be."""
    if not start:
        return "an empty file"
    for magic, kind in LOOKS:
        if start.startswith(magic):
            return kind
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doc", b"<html", b"<head", b"<body")):
        return "HTML"
    return "XML" if text.startswith(b"<") else f"nothing known (it starts {start[:4].hex(' ')})"


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
        _check_ratio(count, packed)
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
    _check_ratio(total, sum(member.compress_size for member in members))


def _check_ratio(unpacked: int, packed: int) -> None:
    """Refuse what unpacks to far more than it is, unless that is little."""
    if unpacked > SMALL and unpacked > RATIO * packed:
        raise DataError(
            f"its {packed} bytes unpack to {unpacked}, more than {RATIO} times as many; if that is "
            "right, unpack it first, or save it without compression"
        )


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
