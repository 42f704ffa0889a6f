"""What tests of bad input share: a small data set, a run, and what is to be answered."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchnet import (
    TwoLayerNet,
    cli,
)
from scratchnet.data.idx import header
from scratchnet.storage.archive import read_archive, write_archive
from scratchnet.training.resuming import Checkpoints, load_weights, state_digest

TRAIN_PY = Path(__file__).parents[2] / "train.py"
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (160, 4, 4), dtype=np.uint8)
LABELS = np.arange(160, dtype=np.uint8) % 3


X, T = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def write_idx(folder: Path, name: str, array: np.ndarray, content: bytes | None = None) -> None:
    packed = gzip.compress(header(array.shape) + array.tobytes(), mtime=0)
    (folder / f"{name}.gz").write_bytes(packed if content is None else content)


def write_set(folder: Path) -> None:
    folder.mkdir()
    write_idx(folder, "train-images-idx3-ubyte", IMAGES)
    write_idx(folder, "train-labels-idx1-ubyte", LABELS)
    write_idx(folder, "t10k-images-idx3-ubyte", IMAGES[:12])
    write_idx(folder, "t10k-labels-idx1-ubyte", LABELS[:12])


def look(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def run(argv: list[str]) -> int:
    try:
        return cli.main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1


@dataclass
class Row:
    """A command line, and what it is answered with."""

    number: int
    argv: list[str]
    code: int
    message: str
    prepare: Callable[[Path], object] = field(default=lambda folder: None)

    def __str__(self) -> str:
        text = " ".join(self.argv).encode("unicode_escape").decode()
        return f"{self.number} {self.prepare.__name__} {text}"[:70].replace("<lambda> ", "")


def require_answer(row: Row, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line says this in one line, ends with this code, and changes no file."""
    content = os.listdir if row.number in {62, 63} else look  # what a pipe holds is not read
    row.prepare(desk)
    capsys.readouterr()
    before = content(desk)
    assert run(row.argv) == row.code
    seen = capsys.readouterr()
    assert re.search(row.message, seen.err), seen.err
    assert re.fullmatch("train.py: error: .+\n", seen.err)
    assert seen.out == ""
    assert before == content(desk)


def require_answer_of_a_process(row: Row, desk: Path) -> None:
    """The same of `python train.py`."""
    row.prepare(desk)
    before = look(desk)
    done = subprocess.run(
        [sys.executable, TRAIN_PY, *row.argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == row.code
    assert re.search(row.message, done.stderr), done.stderr
    assert re.fullmatch("train.py: error: .+\n", done.stderr)
    assert done.stdout == ""
    assert look(desk) == before


BEGIN = ["--dataset", "./set", "--hidden", "5", "--batch-size", "100", "--save-every", "3", "-q"]
BEGIN += ["--no-report"]
"""A run of two steps an epoch: after three epochs it has checkpoints of step 3 and of step 6."""


@cache
def files_of_a_run() -> dict[str, bytes]:
    """What such a run leaves behind; it is trained once, in the folder of the first who asks."""
    assert cli.main([*BEGIN, "--epochs", "3", "--out", "first"]) == 0
    files = {path.name: path.read_bytes() for path in Path("first").iterdir()}
    shutil.rmtree("first")
    return files


def begun(name: str = "new", config: str = "", label: int = 0) -> Callable[[Path], object]:
    """A finished run in that folder; then a config file, or another first label in the data."""

    def begin(folder: Path) -> None:
        (folder / name).mkdir(parents=True)
        for file, content in files_of_a_run().items():
            (folder / name / file).write_bytes(content)
        (folder / "run.toml").write_text(config, encoding="utf-8")
        if label:  # another than that of the first sample
            write_idx(folder / "set", T, np.concatenate([np.array([label], np.uint8), LABELS[1:]]))

    return begin


TWO = ["checkpoint-00000003.npz", "checkpoint-00000006.npz"]


def again(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Write the checkpoint with other arrays or another header, and the digest that fits them."""
    arrays, header = read_archive(path)
    change(arrays, header)
    write_archive(path, arrays, header)


def refuse_to_replace(monkeypatch: pytest.MonkeyPatch, part: str, number: int) -> None:
    """Let the system refuse to put files of such names in place."""
    replace = os.replace

    def refuse(source: Any, target: Any) -> None:
        if part in Path(target).name:
            raise OSError(number, os.strerror(number))
        replace(source, target)

    monkeypatch.setattr("scratchnet.storage.atomic.os.replace", refuse)


def outcome(folder: str) -> tuple[str, bytes]:
    """The state of training in the latest checkpoint, and the weights, of a run."""
    state = state_digest(Checkpoints(Path(folder)).latest()[0])
    return state, load_weights(f"{folder}/weights.npz").vector.tobytes()


def net(**options: Any) -> TwoLayerNet:
    return TwoLayerNet(4, 5, 3, **options)


GOOD = RNG.standard_normal((6, 4))
RIGHT = np.array([0, 1, 2, 0, 1, 2])
