"""Runs of the command line in processes that can be killed, made quickly: forked, not started.

Importing NumPy and the rest takes ten times as long as the runs that are killed here, so this
process imports once and forks for every run. A run says through a pipe when it begins ("b"), when
it enters a save ("s") and when it has left it ("e"), and when it has made a step (".").
"""

import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import reader

from scratchnet import cli, environment
from scratchnet.cli.train import Job
from scratchnet.storage import archive
from scratchnet.training.resuming import Checkpoints, state_digest

CASES: tuple[tuple[str, ...], ...] = (
    ("--optimizer", "adam"),
    ("--optimizer", "momentum", "--schedule", "cosine", "--dtype", "float64"),
    ("--optimizer", "adam", "--ema", "0.9", "--schedule", "one-cycle"),
    ("--optimizer", "schedule-free-sgd", "--lr", "0.1"),
    ("--optimizer", "nadam", "--schedule", "plateau", "--schedule-set", "patience=1"),
    (
        "--optimizer",
        "adam",
        "--batch-norm",
        "--dropout",
        "0.3",
        "--noise",
        "0.2",
        "--remeasure",
        "99",
    ),
    ("--optimizer", "lookahead", "--patience", "2", "--dtype", "float64"),
    ("--conv", "4x3p", "pool2", "--batch-norm", "--dropout", "0.2", "--threads", "2"),
)
COMMON = ("--dataset", "set.npz", "--hidden", "30,20", "--batch-size", "20", "--epochs", "3")
TEMPORARY = re.compile(r"\..+\.tmp\..+")
STEPS = 48
"""How many steps the longest of these runs takes."""


def prepare(where: Path) -> None:
    """Write the data set, and import what runs import."""
    rng = np.random.default_rng(5)
    x = rng.random((360, 16)).astype(np.float32)
    t = (x @ rng.standard_normal((16, 4))).argmax(axis=1)
    x = x.reshape(-1, 4, 4)  # images, for those that take them
    np.savez(where / "set.npz", x_train=x[:350], t_train=t[:350], x_test=x[350:], t_test=t[350:])
    environment.describe()


@dataclass
class Run:
    """A process that trains, and what it has said so far."""

    pid: int
    pipe: int
    said: str = ""
    began: float = field(default_factory=time.perf_counter)
    status: int | None = None

    def listen(self, seconds: float) -> bool:
        """Wait so long for news; True where there were any, False also when it has ended."""
        if not select.select([self.pipe], [], [], max(seconds, 0))[0]:
            return False
        news = os.read(self.pipe, 4096).decode()
        self.said += news
        return bool(news)

    def has_said(self, what: str, times: int, seconds: float) -> bool:
        """Wait until it has said that so many times, or has ended, or the time is over."""
        end = time.perf_counter() + seconds
        while self.said.count(what) < times:
            if not self.listen(end - time.perf_counter()):
                return False
        return True

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens where it has ended."""
        if self.status is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end: its exit status, or minus the signal that ended it."""
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            while self.listen(0):
                pass
            os.close(self.pipe)
        return self.status

    @property
    def is_saving(self) -> bool:
        """True where it was inside of a save when it was last heard of."""
        return self.said.count("s") > self.said.count("e")


def start(where: Path, arguments: Sequence[str], *, in_place: bool = False) -> Run:
    """A run of the command line in the folder `where`, as a process of its own.

    `in_place` is for controls: files are written as others do it, over the one that was there.
    """
    ours, theirs = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return Run(pid, ours)
    code = 70
    try:
        os.close(ours)
        os.chdir(where)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["train.py"]
        _report(theirs)
        if in_place:
            archive.write_atomically = _write_in_place
        os.write(theirs, b"b")
        code = cli.main([*COMMON, *arguments] if "--resume" not in arguments else arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:  # as the interpreter does it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(code)


def _report(pipe: int) -> None:
    """Make saves and steps of this process known through the pipe."""
    save, after_step = Checkpoints.save, Job._after_step

    def reporting(self: Checkpoints, *arguments: Any) -> None:
        os.write(pipe, b"s")
        save(self, *arguments)
        os.write(pipe, b"e")

    def stepping(self: Job, step: int, loss: float) -> None:
        os.write(pipe, b".")
        after_step(self, step, loss)

    Checkpoints.save = reporting  # type: ignore[method-assign]
    Job._after_step = stepping  # type: ignore[method-assign]


def _write_in_place(
    path: str | Path, write: Callable[[BinaryIO], object], *, follow: bool = True
) -> None:
    with open(path, "wb", buffering=0) as file:
        write(Slow(file))  # type: ignore[arg-type]
        os.fsync(file.fileno())


class Slow:
    """A file that is written to in small pieces."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: Any) -> None:
        """Write all of it."""
        for start in range(0, len(data), 256):
            self.file.write(data[start : start + 256])


def temporary(folder: Path) -> set[str]:
    """The temporary files in the folder of a run."""
    return {name for name in os.listdir(folder) if TEMPORARY.fullmatch(name)}


def numbered(folder: Path) -> list[Path]:
    """The numbered checkpoints, the last one last."""
    return sorted(folder.glob("checkpoint-0*.npz"))


def ending(folder: Path) -> tuple[Any, ...]:
    """All that must be equal at the end of a run: state, early stopping, weights, best, history."""
    last = numbered(folder)[-1]
    _, header = reader.read(last)
    found: list[Any] = [last.name, state_digest(last)]
    found += [{k: v for k, v in header["stopping"].items() if k != "weights"}]
    for name in ("weights.npz", "checkpoint-best.npz"):
        arrays, header = reader.read(folder / name)
        found += [{key: array.tobytes() for key, array in arrays.items()}, header]
    rows = (folder / "history.csv").read_text("utf-8").split("\n")
    timed = {"seconds", "samples_per_second"}
    keep = [k for k, column in enumerate(rows[0].strip().split(",")) if column not in timed]
    found += [[line.split(",")[k].strip() for k in keep] for line in rows if line]
    found += [(folder / "layers.csv").read_text("utf-8"), (folder / "steps.csv").read_text("utf-8")]
    return tuple(found)


def reference(where: Path, case: int) -> tuple[tuple[Any, ...], float]:
    """The ending of a run that nothing interrupts, and how long it took."""
    name = f"whole-{case}"
    one = start(where, [*CASES[case], "--out", name])
    if one.wait() != 0:
        raise RuntimeError((where / "log").read_text("utf-8"))
    return ending(where / name), time.perf_counter() - one.began
