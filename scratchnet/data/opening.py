"""Open files that may be anything: regular files alone, and what their first bytes say they are."""

import io
import os
import stat

from scratchnet.errors import DataError

GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second is an empty one
MAX_BYTES = 2**30
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


def check_ratio(unpacked: int, packed: int) -> None:
    """Refuse what unpacks to far more than it is, unless that is little."""
    if unpacked > SMALL and unpacked > RATIO * packed:
        raise DataError(
            f"its {packed} bytes unpack to {unpacked}, more than {RATIO} times as many; if that is "
            "right, unpack it first, or save it without compression"
        )
