"""Write files so that a reader sees the old one or the new one, never half of either."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from scratchnet.errors import OutputError


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, make it durable, then put it in place.

    Temporary file, fsync, `os.replace`, fsync of the folder: after a crash or a full disk at any
    moment `path` holds its former content or the whole new one.

    Raises OutputError, with path and reason, when the system refuses; the temporary file is gone.
    """
    target = Path(os.path.realpath(os.path.expanduser(path)))
    temporary = target.with_name(f".{target.name}.tmp.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        _remove(temporary)
        raise OutputError(
            f"cannot write {str(path)!r}: {describe(error)}; "
            "choose a folder that can be written and has room"
        ) from error
    except BaseException:
        _remove(temporary)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically; raises OutputError."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def describe(error: OSError) -> str:
    """The system's message and the name of its number: "No space left on device (ENOSPC)"."""
    name = errno.errorcode.get(error.errno or 0)
    return f"{error.strerror or error}" + (f" ({name})" if name else "")


def _remove(temporary: Path) -> None:
    """Remove what was begun, if there is anything: the error that led here is the one to report."""
    with suppress(OSError):
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can open a folder at all."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
