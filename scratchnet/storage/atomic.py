"""Write files so that a reader sees the old one or the new one, never half of either."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from scratchnet.data.opening import NEVER_WAIT, NOT_A_LINK
from scratchnet.errors import OutputError


def write_atomically(
    path: str | Path, write: Callable[[BinaryIO], object], *, follow: bool = True
) -> None:
    """Let `write` fill a temporary file beside `path`, make it durable, then put it in place.

    Temporary file, fsync, `os.replace`, fsync of the folder: after a crash or a full disk at any
    moment `path` holds its former content or the whole new one. A link at `path` is followed, or
    with follow=False replaced: in a folder that may be a stranger's.

    Raises OutputError, with path and reason, when the system refuses; the temporary file is gone.
    """
    target = Path(os.path.expanduser(path))
    if follow:
        target = Path(os.path.realpath(target))
    temporary = target.with_name(f".{target.name}.tmp.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            sync_file(file.fileno())
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


def write_text(path: str | Path, text: str, *, follow: bool = True) -> None:
    """Write `text` as UTF-8, atomically; raises OutputError.

    What UTF-8 cannot hold, as of names of files that are none, is written with backslashes.
    """
    content = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda file: file.write(content), follow=follow)


def open_to_append(path: Path) -> BinaryIO:
    """Open a regular file of our own, to append; it is made if there is none. Raises OSError.

    Neither a link nor a second name of another file is written to, nor is a pipe waited for: the
    folder may be a stranger's.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NEVER_WAIT | NOT_A_LINK
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link")
    descriptor = os.open(path, flags, 0o666)
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it must be a regular file with one name")
    return open(descriptor, "ab")


def sync_file(descriptor: int) -> None:
    """Have the disk itself keep what was written: on macOS fsync alone does not ask for that."""
    full = _full_sync()
    if full is None:
        os.fsync(descriptor)
        return
    import fcntl

    try:
        fcntl.fcntl(descriptor, full)
    except OSError:  # as some network file systems say
        os.fsync(descriptor)


def _full_sync() -> int | None:
    """The number of F_FULLFSYNC, which only macOS has."""
    try:
        import fcntl
    except ImportError:
        return None
    return getattr(fcntl, "F_FULLFSYNC", None)


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
