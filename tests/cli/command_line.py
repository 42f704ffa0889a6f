"""What tests of the command line share: real processes, what they print and leave."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchnet import Trainer, cli

ROOT = Path(__file__).parents[2]
TRAIN_PY = ROOT / "train.py"
UNFINISHED = [
    "config.json",
    "history.csv",
    "history.json",
    "history.log",
    "layers.csv",
    "steps.csv",
]
FILES = sorted([*UNFINISHED, "report.html", "results.json", "weights.npz"])
CHECKPOINTS = re.compile(r"checkpoint-(\d{8}|best)\.npz")


def files_in(folder: str) -> list[str]:
    """What a run left in its folder, apart from its lock and its checkpoints, at most three."""
    names = sorted(os.listdir(folder))
    assert names.pop(0) == ".lock"
    checkpoints = [name for name in names if CHECKPOINTS.fullmatch(name)]
    assert 1 <= len(checkpoints) <= 3
    return [name for name in names if name not in checkpoints]


EPOCH = re.compile(
    r"epoch +\d+/\d+  loss \d+\.\d{4}  accuracy [01]\.\d{4}"
    r"  val_loss \d+\.\d{4}  val_accuracy [01]\.\d{4}  \d+\.\d{3} s"
)
SPARK = re.compile(EPOCH.pattern + "  ([▁▂▃▄▅▆▇█]+)")
RESULT = re.compile(
    r"test accuracy [01]\.\d{4}, loss \d+\.\d{4} after \d+ epochs? in \d+\.\d\d s; see (.+)"
)


def start(*argv: str, options: Sequence[str] = (), **how: Any) -> subprocess.Popen[str]:
    """Start `python train.py ...` with its output in pipes, if not told otherwise."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
    return subprocess.Popen([sys.executable, *options, str(TRAIN_PY), *argv], **how)


def train(*argv: str, **how: Any) -> tuple[str, str]:
    """What a run that must succeed prints on stdout and stderr."""
    process = start(*argv, **how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def weights(folder: str | Path) -> dict[str, bytes]:
    with np.load(Path(folder) / "weights.npz") as members:
        return {name: members[name].tobytes() for name in members.files}


def results(folder: str | Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text("utf-8"))
    return content


def read_until_epoch(process: subprocess.Popen[str], number: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[1].startswith(f"{number}/"):
            return
    raise AssertionError("the run ended before that epoch")


def on_a_terminal(
    *argv: str, columns: int = 100, term: str = "xterm", stdout: int | None = None
) -> tuple[str, str]:
    """Train with stderr, and stdout if not told otherwise, on a pseudo-terminal: what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = os.environ | {"TERM": term}
    process = start(
        *argv, stdout=theirs if stdout is None else stdout, stderr=theirs, text=False, env=env
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other side has closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    out = process.communicate(timeout=60)[0] or b""
    assert process.returncode == 0, shown
    return out.decode(), shown.decode()


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let Ctrl-C come while a training run makes that step; once."""
    save = Trainer.step

    def stepping(self: Trainer, *batch: np.ndarray | None) -> tuple[float, int]:
        if self.steps == step - 1 and not sent:
            sent.append(step)
            os.kill(os.getpid(), signal.SIGINT)
        return save(self, *batch)

    sent: list[int] = []
    monkeypatch.setattr(Trainer, "step", stepping)


def begin(bars: str, monkeypatch: pytest.MonkeyPatch, *argv: str) -> None:
    """A run in `new` of 3 epochs of 4 steps, broken off after step 5."""
    interrupt_at(monkeypatch, 5)
    assert cli.main(["--dataset", bars, "--epochs", "3", "--out", "new", "-q", *argv]) == 130
