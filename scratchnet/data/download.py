"""Fetch files whose SHA-256 is known, so that a broken or dishonest mirror can only cost time.

A partial file waits beside its target as `.NAME.part`, and the next try resumes at its end.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from scratchnet.checks import printable
from scratchnet.data.opening import NEVER_WAIT, NOT_A_LINK
from scratchnet.errors import DownloadError, OutputError

if TYPE_CHECKING:  # the network modules are slow to import and rarely needed
    from http.client import HTTPResponse

BLOCK = 2**16
MAX_BYTES = 2**28  # far above every file here; the limit for files of unknown size
TIMEOUT = 30.0  # seconds without a byte; in twice that LEAST bytes must come
LEAST = 2**10

Report = Callable[[int], object]


@dataclass(frozen=True)
class RemoteFile:
    """A published file: name, SHA-256 and, where they are known, size and unpacked SHA-256."""

    name: str
    sha256: str
    size: int | None = None
    unpacked: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a data set is published: `mirrors`, addresses that end in "/", and its `files`."""

    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]


class _Refusal(Exception):
    """Why one mirror did not deliver; the next one is tried."""


class _Watch:
    """Ends a transfer that makes no progress: fewer than LEAST bytes in twice `timeout` seconds.

    A server may send a byte now and then, or headers without end, and no single wait is long. So a
    timer shuts the connection.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = 2 * timeout
        self.reason = ""
        self._seen = self._done = 0
        self._socket: Any = None
        self._start()

    def connected(self, connection: Any) -> None:
        """Take note of the connection that is to be shut."""
        self._socket = connection

    def progress(self, done: int) -> None:
        """Take note of how many bytes there are."""
        self._done = done

    def stop(self) -> None:
        """End the watch."""
        self._timer.cancel()

    def _start(self) -> None:
        from threading import Timer

        self._timer = Timer(self.timeout, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        if self._done - self._seen >= LEAST:
            self._seen = self._done
            self._start()
            return
        self.reason = f"fewer than {LEAST} bytes in {self.timeout:g} seconds"
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(2)  # both ways; the reader gets an end of file


def fetch(
    file: RemoteFile,
    mirrors: Sequence[str],
    folder: str | os.PathLike[str],
    *,
    timeout: float = TIMEOUT,
    report: Report | None = None,
) -> bool:
    """Bring `file` into `folder` from the first mirror that has it; False if it was there already.

    The file takes its name only after its SHA-256 was found right over all of it. Until then it is
    `.NAME.part`, which stays if a transfer is interrupted and goes when its sum is wrong. No more
    than `file.size` bytes (256 MiB where it is not known) are accepted. `timeout` is in seconds
    without a byte; twice that must bring 1,024. Only https and http are spoken, behind
    redirects too. `report` is told after every block how many bytes there are.

    Raises DownloadError with the reason of each mirror; OutputError when the folder cannot be
    written or another process is fetching the same file.
    """
    target = Path(folder) / file.name
    part = target.with_name(f".{file.name}.part")
    try:
        if target.is_file() and sha256_of(target) == file.sha256:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with _open_part(part) as handle:
            _lock(handle, part)
            reasons = _deliver(
                file,
                [mirror + file.name for mirror in mirrors],
                handle,
                timeout,
                report or (lambda done: None),
            )
            os.fsync(handle.fileno())
        if not reasons:
            # The folder is not synced: a name lost with the power is only another download.
            os.replace(part, target)
            return True
        if not part.stat().st_size:
            part.unlink()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {str(target)!r}: {error.strerror or error}; "
            "choose a folder that can be written and has room"
        ) from error
    raise DownloadError(
        f"no mirror delivered {file.name}: {'; '.join(reasons)}; try again later, or put a copy of "
        f"it into {str(Path(folder))!r} by hand"
    )


def _open_part(part: Path) -> BinaryIO:
    """Open what was begun, or begin it: a regular file of its own, whatever lies in the folder."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | NEVER_WAIT | NOT_A_LINK
    descriptor = os.open(part, flags, 0o666)
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1 or part.is_symlink():
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{str(part)!r} must be a regular file with one name")
    return open(descriptor, "a+b")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 (hex) of a whole file; raises OSError."""
    with open(path, "rb") as file:
        return sha256(file)


def _lock(part: BinaryIO, path: Path) -> None:
    """Refuse to share `part` with another process; the lock ends with ours, however that ends."""
    try:
        import fcntl
    except ImportError:  # no such locks here; the sum still guards the content
        return
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Someone may have finished and renamed the file between our open and our lock.
        mine = os.path.samestat(os.fstat(part.fileno()), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise OutputError(f"another process is writing {str(path)!r}; wait for it and try again")


def _deliver(
    file: RemoteFile, urls: Sequence[str], part: BinaryIO, timeout: float, report: Report
) -> list[str]:
    """Fill `part` with the right bytes and return []; else return the reason of each address."""
    reasons: list[str] = []
    if _sha256(part) == file.sha256:  # complete, but the process ended before it was renamed
        return reasons
    for url in urls:
        resumed = part.seek(0, os.SEEK_END) > 0
        try:
            _transfer(file, url, part, timeout, report)
            found = _sha256(part)
            if resumed and found != file.sha256:  # perhaps what was there before is to blame
                part.truncate(0)
                _transfer(file, url, part, timeout, report)
                found = _sha256(part)
            if found == file.sha256:
                return []
            part.truncate(0)
            reasons.append(f"{url}: expected SHA-256 {file.sha256}, found {found}")
        except _Refusal as refusal:
            reasons.append(f"{url}: {refusal}")
    return reasons


def _transfer(file: RemoteFile, url: str, part: BinaryIO, timeout: float, report: Report) -> None:
    """Append what `part` lacks from `url`; raises _Refusal, and OSError only for the disk."""
    watch = _Watch(timeout)
    try:
        _receive(file, url, part, timeout, report, watch)
    finally:
        watch.stop()


def _receive(
    file: RemoteFile, url: str, part: BinaryIO, timeout: float, report: Report, watch: _Watch
) -> None:
    done = part.seek(0, os.SEEK_END)
    with _request(url, done, timeout, watch) as response:
        if response.status == 416:  # nothing after `done`: start over
            part.truncate(0)
            return
        if response.status != 206:
            done = part.seek(0)
            part.truncate()
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else file.size
        before = done
        while block := _next(response, watch):
            if done == 0 and block.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                raise _Refusal("got an HTML page")
            done += len(block)
            if done > (file.size or MAX_BYTES):
                part.truncate(0)
                raise _Refusal(f"sent more than the {file.size or MAX_BYTES} bytes expected")
            part.write(block)
            watch.progress(done - before)
            report(done)
    part.flush()
    if watch.reason:
        raise _Refusal(watch.reason)
    if total is not None and done < total:
        raise _Refusal(f"ended after {done} of {total} bytes")


def _request(url: str, start: int, timeout: float, watch: _Watch) -> "HTTPResponse":
    """Ask for the bytes of `url` from `start` on; an open response, or _Refusal."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request

    headers = {"User-Agent": "scratchnet", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        request = Request(url, headers=headers)
        response: HTTPResponse = _opener(watch).open(request, timeout=timeout)
    except HTTPError as error:
        if error.code != 416 or not start:
            with error:
                raise _Refusal(f"HTTP {error.code} {printable(str(error.reason))}") from error
        return error  # type: ignore[return-value]  # it has the part of the interface used here
    except (OSError, HTTPException, ValueError, AttributeError) as error:
        raise _Refusal(watch.reason or _in_words(error)) from error
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    ):
        response.close()
        raise _Refusal(f"sent another part than the one from byte {start}")
    return response


def _opener(watch: _Watch) -> Any:
    """An opener for https and http alone, also behind redirects and proxies."""
    import http.client
    from urllib import request

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            watch.connected(self.sock)

    class Encrypted(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            watch.connected(self.sock)

    class HTTP(request.HTTPHandler):
        def http_open(self, req: request.Request) -> Any:
            return self.do_open(Plain, req)

    class HTTPS(request.HTTPSHandler):
        def https_open(self, req: request.Request) -> Any:
            return self.do_open(Encrypted, req)

    opener = request.OpenerDirector()
    for handler in (
        *(request.ProxyHandler(), HTTP(), HTTPS(), request.HTTPRedirectHandler()),
        *(request.HTTPDefaultErrorHandler(), request.HTTPErrorProcessor()),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _next(response: "HTTPResponse", watch: _Watch) -> bytes:
    """Return some more bytes, none at the end; the network's faults become _Refusal."""
    from http.client import HTTPException

    try:
        return response.read1(BLOCK)
    except (OSError, HTTPException, ValueError) as error:
        raise _Refusal(watch.reason or _in_words(error)) from error


def _in_words(error: Exception) -> str:
    """Say in a few words what the network did."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return printable(str(getattr(reason, "strerror", None) or reason or type(error).__name__))


def _sha256(part: BinaryIO) -> str:
    """Return the SHA-256 (hex) of all of an open file."""
    part.seek(0)
    return sha256(part)


def sha256(file: Any) -> str:
    """SHA-256 (hex) of what is left of an open file."""
    import hashlib  # slow to import, and only needed where a file is looked at

    return hashlib.file_digest(file, "sha256").hexdigest()
