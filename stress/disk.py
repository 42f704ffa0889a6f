"""Disks that refuse: every system call of a save fails in turn, and disks that are really full.

No checkpoint may be lost, no failure may go unheard, and nothing half-written may stay.
"""

import errno
import io
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import reader
import worker
from figures import Figure, folder, run, shout
from resume import Case, finish

from scratchnet import cli
from scratchnet.errors import OutputError
from scratchnet.storage import archive
from scratchnet.storage import atomic as files
from scratchnet.storage.checkpoint import Checkpoints
from scratchnet.training.resuming import checkpoint_of

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.EFBIG)


class Calls:
    """Counts the system calls of `scratchnet.storage.atomic`, and lets one of them fail."""

    def __init__(self, number: int, error: int) -> None:
        self.number, self.error = number, error
        self.made: list[str] = []

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Make the call, or fail in its place."""
        self.made.append(name)
        if len(self.made) == self.number:
            raise OSError(self.error, os.strerror(self.error))
        return function(*arguments)

    @property
    def failed(self) -> bool:
        """True where there were as many calls."""
        return len(self.made) >= self.number

    def open(self, path: Path, mode: str) -> "File":
        """A file whose calls are counted."""
        return self.call("open", lambda: File(self, open(path, mode)))


class File:
    """A file, of which half is written where writing fails."""

    def __init__(self, calls: Calls, file: Any) -> None:
        self.calls, self.file = calls, file

    def write(self, data: Any) -> None:
        """Write all of it, or fail half way."""
        half = len(data) // 2
        self.file.write(data[:half])
        self.calls.call("write", self.file.write, data[half:])

    def flush(self) -> None:
        """Flush it."""
        self.calls.call("flush", self.file.flush)

    def fileno(self) -> int:
        """Its number."""
        number: int = self.file.fileno()
        return number

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.calls.call("close", int)


class System:
    """The module os, of which some calls are counted."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name in ("fsync", "replace", "open", "close"):
            return lambda *arguments: self.calls.call(f"os.{name}", function, *arguments)
        return function


@contextmanager
def failing(number: int, error: int) -> Iterator[Calls]:
    """Inside of it the call of that number, by `scratchnet.storage.atomic`, fails; 0 for none."""
    calls = Calls(number, error)
    files.os, files.open = System(calls), calls.open
    try:
        yield calls
    finally:
        files.os = os
        del files.open


@contextmanager
def in_place() -> Iterator[None]:
    """Inside of it files are written over those that were there: a control."""

    def write_in_place(path: str | Path, write: Callable[[Any], object], **_: Any) -> None:
        try:
            with getattr(files, "open", open)(path, "wb") as file:
                write(file)
        except OSError as error:
            raise OutputError(f"cannot write {str(path)!r}: {files.describe(error)}") from error

    before = archive.write_atomically
    archive.write_atomically = write_in_place
    try:
        yield
    finally:
        archive.write_atomically = before


def save_failing(where: Path, number: int, error: int) -> tuple[str | None, list[str]]:
    """Let one call of a save fail: what went wrong, or None, and the calls that were made."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    trainer, stopping = Case("adam", "one-cycle", "float32").make()
    checkpoints = Checkpoints(where)
    finish(
        trainer,
        stopping,
        lambda: (
            trainer.steps < 3 and checkpoints.save(trainer.steps, *checkpoint_of(trainer, stopping))
        ),
    )
    before = {path.name: path.read_bytes() for path in checkpoints.numbered()}
    heard = None
    with failing(number, error) as calls:
        try:
            checkpoints.save(trainer.steps, *checkpoint_of(trainer, stopping))
        except OutputError as caught:
            heard = str(caught)
    path = where / f"checkpoint-{trainer.steps:08d}.npz"
    if len(before) != 2:
        return f"there were {sorted(before)}", calls.made
    if number and not calls.failed:
        return "there are not as many calls", calls.made
    if number and heard is None:
        return "silent", calls.made
    if heard and (repr(str(path)) not in heard or errno.errorcode[error] not in heard):
        return f"path or error are not named: {heard}", calls.made
    if worker.temporary(where):
        return f"left: {worker.temporary(where)}", calls.made
    kept = checkpoints.numbered()
    for other in kept:
        why = reader.fault(other)
        if why or before.get(other.name, other.read_bytes()) != other.read_bytes():
            return f"damaged: {other.name}: {why}", calls.made
    if heard and not set(before) <= {other.name for other in kept}:
        return f"lost: {sorted(other.name for other in kept)} of {sorted(before)}", calls.made
    checkpoints.save(trainer.steps, *checkpoint_of(trainer, stopping))
    checkpoints.latest()
    return None, calls.made


def overwrite_failing(where: Path, number: int, error: int) -> str | None:
    """Let one call of writing over the best weights fail: the old or the new ones must be there."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    path = where / "best.npz"
    trainer, _ = Case("adam", "one-cycle", "float32").make()
    archive.write_archive(path, trainer.network.params, {"number": 1})
    trainer.network.vector[:] = 7
    with failing(number, error):
        try:
            archive.write_archive(path, trainer.network.params, {"number": 2})
        except OutputError:
            return reader.fault(path)
    return "silent"


def run_failing(where: Path, number: int, error: int) -> tuple[str | None, list[str]]:
    """Let one call of a whole run of the command line fail; as `save_failing`."""
    path = where / "run"
    shutil.rmtree(path, ignore_errors=True)
    arguments = ["--epochs", "1", "--save-every", "8", "--out", str(path), "--quiet"]
    said = io.StringIO()
    sys.argv = ["train.py"]
    options = [*worker.COMMON[:4], "--batch-size", "40", *arguments]
    options[options.index("set.npz")] = str(where / "set.npz")
    with failing(number, error) as calls, redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = cli.main(options)
    heard = said.getvalue()
    if number == 0 or not calls.failed:
        return None if code == 0 else f"exit status {code}: {heard}", calls.made
    if code != 4 or heard.count("\n") != 1:
        return f"exit status {code}: {heard}", calls.made
    if str(path) not in heard or errno.errorcode[error] not in heard:
        return f"path or error are not named: {heard}", calls.made
    if worker.temporary(path):
        return f"left: {worker.temporary(path)}", calls.made
    faults = [why for file in path.glob("*.npz") if (why := reader.fault(file))]
    return "; ".join(faults) or None, calls.made


def try_all(
    attempt: Callable[[int, int], tuple[str | None, list[str]]], every: int = 1
) -> tuple[list[str], int, list[str]]:
    """Each call with each error, or every so many pairs: what failed, how many, the calls."""
    why, calls = attempt(0, 0)
    failed = [f"with nothing failing: {why}"] if why else []
    pairs = [(k, error) for k in range(1, len(calls) + 1) for error in ERRORS][::every]
    for k, error in pairs:
        why, _ = attempt(k, error)
        if why:
            failed.append(f"call {k}, {calls[k - 1]}, {errno.errorcode[error]}: {why}")
    return failed, len(pairs), calls


def limited(where: Path) -> tuple[list[str], int]:
    """Runs whose files may not be larger than so many bytes: what failed, how many were tried."""
    failed, sizes = [], (0, 1, 4096, 10_000, 16_384, 20_000)
    for size in sizes:
        out = where / f"limit-{size}"
        code, said = _run_apart(where, out, lambda size=size: _limit(size))
        if out.is_dir() and (worker.temporary(out) or any(map(reader.fault, out.glob("*.npz")))):
            failed.append(f"RLIMIT_FSIZE {size}: {sorted(os.listdir(out))}")
        if code != 4 or "EFBIG" not in said or said.count("\n") != 1:
            failed.append(f"RLIMIT_FSIZE {size}: exit status {code}: {said}")
    return failed, len(sizes)


def full(where: Path) -> tuple[list[str], int]:
    """Runs on small file systems that fill up; none where this user cannot mount one."""
    failed = []
    sizes = (16, 32, 48, 64, 96)
    mounted = where / "small"
    mounted.mkdir()
    for tried, size in enumerate(sizes):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(mounted)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            return failed, tried
        try:
            out = mounted / "run"
            code, said = _run_apart(where, out, int)
            if out.is_dir() and (worker.temporary(out) or any(map(reader.fault, numbered(out)))):
                failed.append(f"tmpfs of {size} kB: {sorted(os.listdir(out))}")
            if code != 4 or "ENOSPC" not in said or said.count("\n") != 1:
                failed.append(f"tmpfs of {size} kB: exit status {code}: {said}")
        finally:
            subprocess.run(["umount", str(mounted)], check=True)
    return failed, len(sizes)


def numbered(out: Path) -> list[Path]:
    """All archives of a run."""
    return [path for path in out.glob("*.npz") if not path.name.startswith(".")]


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _run_apart(where: Path, out: Path, prepare: Callable[[], object]) -> tuple[int, str]:
    """Exit status and stderr of a run in a process of its own."""
    said, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.dup2(theirs, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.chdir(where)
            sys.argv = ["train.py"]
            prepare()
            code = cli.main([*worker.COMMON, "--save-every", "1", "--quiet", "--out", str(out)])
        finally:
            os._exit(code)
    os.close(theirs)
    with open(said, "rb") as pipe:
        text = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), re.sub(r"\s+\Z", "\n", text)


def measure(count: int, seed: int) -> list[Figure]:
    """Everything; of the calls of a whole run only some where `count` is small."""
    with folder() as where:
        worker.prepare(where)
        saves, n_saves, calls = try_all(lambda k, error: save_failing(where / "s", k, error))
        every = max(1, 600 // max(count, 1))
        runs, n_runs, run_calls = try_all(lambda k, error: run_failing(where, k, error), every)
        limits, n_limits = limited(where)
        fulls, n_fulls = full(where)
        with in_place():
            lost = sum(
                overwrite_failing(where / "s", k, errno.ENOSPC) is not None for k in range(2, 4)
            )
        kept = sum(
            overwrite_failing(where / "s", k, errno.ENOSPC) is not None
            for k in range(1, len(calls) + 1)
        )
    for why in (*saves, *runs, *limits, *fulls):
        shout(why)
    names = ", ".join(errno.errorcode[error] for error in ERRORS)
    return [
        Figure(f"a call of a save fails ({', '.join(calls)})", len(saves), n_saves, names, 1, True),
        Figure("a call of writing over the best weights fails", kept, len(calls), complete=True),
        Figure(
            f"a call of a whole run fails, of {len(run_calls)}",
            len(runs),
            n_runs,
            "exit 4",
            complete=every == 1,
        ),
        Figure(
            "files may not be larger (RLIMIT_FSIZE)", len(limits), n_limits, "exit 4", complete=True
        ),
        Figure("file systems that fill up (tmpfs)", len(fulls), n_fulls, "exit 4", 0, True),
        Figure("control: a writer in place loses the old file", int(not lost), 1),
    ]


if __name__ == "__main__":
    sys.exit(run(measure, 600, __doc__))
