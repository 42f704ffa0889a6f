"""Lock a folder for one process: a lock dies with its process, and nobody waits for it."""

import errno
import os
import stat
from pathlib import Path

from scratchnet.data.opening import NEVER_WAIT, NOT_A_LINK
from scratchnet.errors import OutputError
from scratchnet.storage.atomic import describe

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # as some network file systems say
LOCKED_BYTE = 2**30


def lock_folder(folder: Path, fix: str) -> int | None:
    """Lock the folder until the descriptor is closed; raises OutputError if another has it.

    None where the file system knows no such locks: there nothing is watched. The lock must be a
    regular file of its own: the folder may be a stranger's.
    """
    path = folder / ".lock"
    try:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NEVER_WAIT | NOT_A_LINK, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {describe(error)}; {fix}") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise OSError(errno.EINVAL, "it must be a regular file with one name")
        _lock_file(descriptor)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    except BlockingIOError as error:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        owner = owner if owner.isdecimal() else "unknown"
        raise OutputError(f"{str(folder)!r} is in use by process {owner}; {fix}") from error
    except OSError as error:
        os.close(descriptor)
        if error.errno in NO_LOCKS:
            return None
        raise OutputError(f"cannot write {str(path)!r}: {describe(error)}; {fix}") from error
    return descriptor


def _lock_file(descriptor: int) -> None:
    """Lock an open file until it is closed; raises BlockingIOError if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows locks bytes, which may lie behind the end of the file
        try:
            import msvcrt
        except ImportError as error:
            raise OSError(errno.ENOSYS, "there are no locks") from error
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            os.lseek(descriptor, 0, os.SEEK_SET)
            raise BlockingIOError(errno.EAGAIN, "another process has it") from error
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
