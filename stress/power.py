"""Power cuts: every state that a disk may legally be in after one, and what can be read from it.

The real writer saves a run's checkpoints and best weights while every call is recorded: files made,
written, synced, renamed and removed, folders synced. Then power is cut after each of these calls.
What was not synced may be anything: of a file's bytes any beginning, zeros, or none; of the changes
to the folder since its last sync any of them may be missing. The real reader opens every such disk.
"""

import builtins
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Any

import reader
from figures import Figure, folder, run, shout
from resume import Case, finish

from scratchnet.errors import DataError
from scratchnet.storage import atomic as files
from scratchnet.storage.checkpoint import Checkpoints
from scratchnet.training.resuming import checkpoint_of, save_weights

BEST = "checkpoint-best.npz"


@dataclass
class File:
    """A file apart from its names: its bytes, and how many of them are surely on the disk."""

    content: bytes = b""
    synced: int = 0

    def after_a_cut(self) -> list[bytes]:
        """The contents that it may have: of what is unsynced all, some, zeros, holes, or none."""
        safe, rest = self.content[: self.synced], self.content[self.synced :]
        if not rest:
            return [self.content]
        half = len(rest) // 2
        ways = [rest, b"", rest[:1], rest[:half], rest[:-1], bytes(len(rest))]
        ways += [bytes(half) + rest[half:], rest[:half] + bytes(len(rest) - half)]
        return [safe + way for way in ways]


Change = tuple[str, str, "File | None"]  # "put" or "drop", a name, and the file of that name
Names = dict[str, File]


@dataclass
class Disk:
    """What is on the disk for sure, and the changes to the folder that are not."""

    names: Names = field(default_factory=dict)
    pending: list[list[Change]] = field(default_factory=list)

    def sync_folder(self) -> None:
        """All changes to the folder are on the disk now."""
        self.names = apply(self.names, self.pending)
        self.pending = []

    def after_a_cut(self) -> Iterator[dict[str, bytes]]:
        """Every legal content of the folder."""
        for n in range(len(self.pending) + 1):
            for some in combinations(self.pending, n):
                names = apply(self.names, some)
                ways = [file.after_a_cut() for file in names.values()]
                for contents in product(*ways):
                    yield dict(zip(names, contents, strict=True))


def apply(names: Names, changes: Any) -> Names:
    """The folder after these changes."""
    found = dict(names)
    for change in changes:
        for what, name, file in change:
            if what == "put":
                found[name] = file
            else:
                found.pop(name, None)
    return found


class Recorder:
    """Plays the disk while the real writer is at work, and remembers its states after each call."""

    def __init__(self, where: Path, sync_files: bool = True, sync_folders: bool = True) -> None:
        self.where = where
        self.sync_files, self.sync_folders = sync_files, sync_folders
        self.disk = Disk()
        self.now: Names = {}  # what the system shows while it runs
        self.promised: dict[str, int] = {}  # what has been saved, for sure
        self.calls: list[str] = []
        self.states: dict[tuple[Any, ...], tuple[dict[str, bytes], dict[str, int], str]] = {}

    def name(self, path: Any) -> str | None:
        """The name of a file in the folder that is watched, or None."""
        path = Path(path)
        return path.name if path.parent == self.where else None

    def change(self, call: str, *changes: Change) -> None:
        """A change to the folder, as a whole."""
        self.now = apply(self.now, [changes])
        self.disk.pending.append(list(changes))
        self.done(call)

    def done(self, call: str) -> None:
        """Remember every legal state after this call."""
        self.calls.append(call)
        for state in self.disk.after_a_cut():
            key = (*sorted(state.items()), *sorted(self.promised.items()))
            self.states.setdefault(key, (state, dict(self.promised), call))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Inside of it the calls of this process are recorded."""
        real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink", "rename")}
        os.fsync, os.replace, os.unlink = self.fsync, self.replace, self.unlink
        os.rename = self.replace
        files.open = self.open
        self.real = real
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            del files.open

    def open(self, path: Any, mode: str) -> "Recorded":
        """`open` of the writer."""
        name = self.name(path)
        opened = builtins.open(path, mode, buffering=0)  # noqa: SIM115
        if name is None:
            raise AssertionError(f"written outside of the folder: {path}")
        made = File()
        self.change(f"open {name}", ("put", name, made))
        return Recorded(self, opened, made, name)

    def fsync(self, number: int) -> None:
        """`os.fsync` of a file or of the folder."""
        self.real["fsync"](number)
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        if path == self.where:
            if self.sync_folders:
                self.disk.sync_folder()
            self.done("fsync folder")
        elif self.sync_files:
            made = self.now[path.name]
            made.synced = len(made.content)
            self.done(f"fsync {path.name}")

    def replace(self, old: Any, new: Any) -> None:
        """`os.replace`: one change, of two names."""
        self.real["replace"](old, new)
        a, b = Path(old).name, Path(new).name
        self.change(f"replace {b}", ("drop", a, None), ("put", b, self.now[a]))

    def unlink(self, path: Any, **options: Any) -> None:
        """`os.unlink`."""
        self.real["unlink"](path, **options)
        self.change(f"unlink {Path(path).name}", ("drop", Path(path).name, None))


class Recorded:
    """A file that is written to while the recorder looks on."""

    def __init__(self, recorder: Recorder, file: Any, made: File, name: str) -> None:
        self.recorder, self.file, self.made, self.name = recorder, file, made, name

    def write(self, data: Any) -> None:
        """Write in two pieces, so that a cut may come between them."""
        whole = bytes(data)
        for piece in (whole[: len(whole) // 3], whole[len(whole) // 3 :]):
            self.file.write(piece)
            self.made.content += piece
            self.recorder.done(f"write {self.name}")

    def flush(self) -> None:
        """Nothing is kept back."""

    def fileno(self) -> int:
        """Its number."""
        number: int = self.file.fileno()
        return number

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def record(where: Path, **options: bool) -> Recorder:
    """A run of three epochs that saves at every step, and its best weights at every epoch."""
    trainer, stopping = Case("momentum", "one-cycle", "float32").make()
    checkpoints = Checkpoints(where)
    recorder = Recorder(where, **options)

    def mark() -> None:
        checkpoints.save(trainer.steps, *checkpoint_of(trainer, stopping))
        recorder.promised["step"] = trainer.steps
        if trainer.epochs > recorder.promised.get("best", 0):
            save_weights(trainer.network, checkpoints.best)
            recorder.promised["best"] = trainer.epochs
        recorder.done("returned")

    with recorder.watch():
        mark()
        finish(trainer, stopping, mark)
    return recorder


def faults(
    state: Mapping[str, bytes], promised: Mapping[str, int], where: Path
) -> tuple[bool, bool]:
    """Whether nothing can be read on this disk, and whether something saved is not there."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    for name, content in state.items():
        (where / name).write_bytes(content)
    nothing = old = False
    if "step" in promised:
        try:
            header = Checkpoints(where).latest().header
            old = header["trainer"]["steps"] < promised["step"]
        except DataError:
            nothing = True
    if "best" in promised:
        nothing = nothing or reader.fault(where / BEST) is not None
    return nothing, old


def count_faults(recorder: Recorder, where: Path) -> tuple[int, int]:
    """In how many states nothing can be read, and in how many what was saved is not there."""
    nothing = old = 0
    for state, promised, call in recorder.states.values():
        a, b = faults(state, promised, where)
        nothing, old = nothing + a, old + b
        if (a or b) and recorder.sync_files and recorder.sync_folders:
            shout(f"after {call}: promised {promised}, there are {sorted(state)}")
    return nothing, old


def measure(count: int, seed: int) -> list[Figure]:
    """All states; then those of a writer that leaves out one fsync, or both."""
    figures = []
    with folder(memory=True) as where:
        for k, (name, options) in enumerate(
            {
                "": {},
                "without fsync of the file": {"sync_files": False},
                "without fsync of the folder": {"sync_folders": False},
            }.items()
        ):
            path = where / f"run-{k}"
            path.mkdir()
            recorder = record(path, **options) if k == 0 else shortened(path, options)
            nothing, old = count_faults(recorder, where / "after")
            n = len(recorder.states)
            if not name:
                figures += [
                    Figure("power cuts: a checkpoint can be read", nothing, n, complete=True),
                    Figure("power cuts: what was saved is there", old, n, complete=True),
                ]
            else:
                note = f"{nothing + old} of {n:,} states lose something"
                figures.append(Figure(f"control: {name}", int(nothing + old == 0), 1, note))
    return figures


def shortened(path: Path, options: Mapping[str, bool]) -> Recorder:
    """As `record`, but only a few saves: without a sync the states multiply."""
    trainer, stopping = Case("momentum", "one-cycle", "float32").make()
    checkpoints, recorder = Checkpoints(path), Recorder(path, **options)
    with recorder.watch():
        for _ in range(3):
            checkpoints.save(trainer.steps, *checkpoint_of(trainer, stopping))
            recorder.promised["step"] = trainer.steps
            recorder.done("returned")
            next(iter(trainer.run(1)))
    return recorder


if __name__ == "__main__":
    sys.exit(run(measure, 1, __doc__))
