"""Every bad input has one clear answer: what must hold, what came and the fix, in one line.

The numbers are those of the project's table of bad inputs; `ELSEWHERE` says where the rest is.
Rows of `COMMANDS` and `FILES` are command lines, of `CALLS` calls, of `BROKEN` checkpoints.
"""

import errno
import gzip
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from scratchnet import (
    SGD,
    AdaGrad,
    Adam,
    MultiLayerNet,
    Nesterov,
    Network,
    RMSprop,
    Samples,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    cli,
)
from scratchnet.cli.interrupts import SIGNALS
from scratchnet.data.idx import header
from scratchnet.errors import DataError, DtypeError, ParameterError, ScratchnetError, ShapeError
from scratchnet.layers import Affine
from scratchnet.optimizers import Momentum
from scratchnet.storage.archive import read_archive, write_archive
from scratchnet.storage.checkpoint import Checkpoints, load_weights, save_weights, state_digest
from scratchnet.training import EarlyStopping

TRAIN_PY = Path(__file__).parents[1] / "train.py"
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (160, 4, 4), dtype=np.uint8)
LABELS = np.arange(160, dtype=np.uint8) % 3

ELSEWHERE = {
    2: "accepted: test_what_is_fine_is_accepted",
    22: "test_cli.py: the reader of a pipe that goes away",
    23: "test_cli.py: no terminal, a dumb one, a narrow one",
    37: "test_estimator.py: one class, by scikit-learn's check classifiers_one_label",
    38: "test_estimator.py: labels of other kinds; here in row 29 for a network",
    39: "test_estimator.py: weights that cannot be",
    40: "test_estimator.py: predict before fit, other columns; here in row 40 for a network",
    41: "test_estimator.py: other column names",
    42: "test_estimator.py: partial_fit with an unseen class or without classes",
    61: "test_download.py: the network; nothing is fetched from OpenML",
    78: "test_mpi.py: no mpi4py, no MPI, too many ranks, other data or arguments on one of them",
}


def write_idx(folder: Path, name: str, array: np.ndarray, content: bytes | None = None) -> None:
    packed = gzip.compress(header(array.shape) + array.tobytes(), mtime=0)
    (folder / f"{name}.gz").write_bytes(packed if content is None else content)


def write_set(folder: Path) -> None:
    folder.mkdir()
    write_idx(folder, "train-images-idx3-ubyte", IMAGES)
    write_idx(folder, "train-labels-idx1-ubyte", LABELS)
    write_idx(folder, "t10k-images-idx3-ubyte", IMAGES[:12])
    write_idx(folder, "t10k-labels-idx1-ubyte", LABELS[:12])


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A working folder with a small data set, a file, and a folder that is in use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    for name in ("SCRATCHNET_DATA", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    write_set(tmp_path / "set")
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "results.json").write_text("{}", encoding="utf-8")
    return tmp_path


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


BEGIN = ["--dataset", "./set", "--hidden", "5", "--batch-size", "100", "--save-every", "3", "-q"]
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


X, T = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
COMMANDS = [
    Row(1, ["--optimizer", "adaam"], 2, "unknown optimizer 'adaam'; did you mean 'adam'.*sgd"),
    Row(1, ["--activation", "rellu"], 2, "unknown activation 'rellu'; did you mean 'relu'"),
    Row(1, ["--initializer", "hi"], 2, "unknown initializer 'hi'.*the names are: he,|'he'"),
    Row(1, ["--initializer", "-0.1"], 2, "std must be a finite number >= 0, got -0.1"),
    Row(3, ["--lr", "0"], 2, "--lr: must be a finite number > 0, got 0"),
    Row(3, ["--lr", "-1"], 2, "--lr: must be a finite number > 0, got -1"),
    Row(3, ["--lr", "nan"], 2, "--lr: must be a finite number > 0, got nan"),
    Row(3, ["--lr", "inf"], 2, "--lr: must be a finite number > 0, got inf"),
    Row(3, ["--lr", "1e-400"], 2, "--lr: must be a finite number > 0, got 1e-400"),
    Row(3, ["--lr", "-inf"], 2, "--lr: expected one argument; .*written --flag=-value"),
    Row(3, ["--lr=-inf"], 2, "--lr: must be a finite number > 0, got -inf"),
    Row(3, ["--lr", "nan\n"], 2, "--lr: must be a finite number > 0, got nan"),
    Row(3, ["--weight-decay", "-1"], 2, "--weight-decay: must be a finite number >= 0, got -1"),
    Row(3, ["--val-split", "1"], 2, "--val-split: must be a number from 0 to below 1, got 1"),
    Row(5, ["--lr", "0,001"], 2, "--lr: .*got '0,001'; use a point, 0.001"),
    Row(5, ["--lr", "fast"], 2, "--lr: must be a finite number > 0, got 'fast'"),
    Row(6, ["--epochs", "0"], 2, "--epochs: must be an integer >= 1, got '0'"),
    Row(6, ["--epochs", "-5"], 2, "--epochs: must be an integer >= 1, got '-5'"),
    Row(6, ["--epochs", "1.5"], 2, "--epochs: must be an integer >= 1, got '1.5'"),
    Row(6, ["--epochs", "1e3"], 2, "--epochs: must be an integer >= 1, got '1e3'"),
    Row(6, ["--patience", "0"], 2, "--patience: must be an integer >= 1, got '0'"),
    Row(6, ["--patience", "2", "--val-split", "0"], 2, "--patience needs .* --val-split above 0"),
    Row(7, ["--batch-size", "0"], 2, "--batch-size: must be an integer >= 1, got '0'"),
    Row(7, ["--batch-size", "2.5"], 2, "--batch-size: must be an integer >= 1, got '2.5'"),
    Row(8, ["--hidden", "50,abc"], 2, "--hidden: .*as --hidden 50,20, got 'abc' in '50,abc'"),
    Row(8, ["--hidden", "50,-3"], 2, "--hidden: .*as --hidden 50,20, got '-3' in '50,-3'"),
    Row(8, ["--hidden", ""], 2, "--hidden: .*as --hidden 50,20, got '' in ''"),
    Row(8, ["--hidden", "50,,20"], 2, "--hidden: .*as --hidden 50,20, got '' in '50,,20'"),
    Row(8, ["--hidden", "50,0"], 2, "--hidden: .*as --hidden 50,20, got '0' in '50,0'"),
    Row(8, ["--hidden", "9" * 400], 2, "--hidden: .*below 10.12 .*got '999"),
    Row(9, ["--hidden", "100000000000"], 2, "--hidden must fit .*GiB are free; choose smaller"),
    *(
        Row(11, [flag, value], 2, f"{flag}: must be a number from 0 to below 1, got {came}")
        for flag in ("--dropout", "--input-dropout", "--label-smoothing")
        for value, came in (("1.0", "1.0"), ("nan", "nan"), ("x", "'x'"))
    ),
    Row(11, ["--dropout=-0.1"], 2, "--dropout: must be a number from 0 to below 1, got -0.1"),
    Row(11, ["--dropout", "0.1", "0.2", "0.3"], 2,
        "dropout must be one value, or one for each hidden layer, here 1, got 3: "
        r"\[0.1, 0.2, 0.3\]"),
    Row(10, ["--seed", "-1"], 2, "--seed: must be an integer >= 0, got '-1'"),
    Row(10, ["--seed", "abc"], 2, "--seed: must be an integer >= 0, got 'abc'"),
    Row(10, ["--seed", "9" * 5000], 2, "--seed: must be an integer >= 0, got '9999"),
    Row(12, ["--dataset", "mnits"], 2, "unknown data set 'mnits'; did you mean 'mnist'.*digits"),
    Row(12, ["--dataset", ""], 2, "unknown data set ''; the names are: digits"),
    Row(13, ["--resume", "nofile"], 3,
        "there is none in 'nofile'; runs that can be gone on with: runs/mine$", begun("runs/mine")),
    Row(13, ["--resume", "nofile"], 3, "there is none in 'nofile'; runs .*gone on with: none"),
    Row(13, ["--resume"], 3, "there is none in 'runs'; runs that can be gone on with: none"),
    Row(13, ["--resume", "taken"], 3, "there is none in 'taken'; runs that can"),
    Row(13, ["--resume", ""], 2, "--resume: must be the path of a folder, got ''"),
    Row(13, ["--resume", "a\0b"], 2, r"--resume: must be the path of a folder, got 'a\\x00b'"),
    Row(13, ["--resume", "new/checkpoint-00000006.npz"], 3,
        "is one checkpoint; --resume takes the folder of the run, 'new'", begun("new")),
    Row(14, ["--resume", "new", "--optimizer", "sgd", "--hidden", "50", "--seed", "3"], 2,
        r"--hidden: the run has \[5\], here is \[50\]; --optimizer: the run has 'adam', here is "
        "'sgd'; --seed: the run has 0, here is 3; leave them out, or add --override", begun("new")),
    Row(14, ["--resume", "new", "--lr", "0.5"], 2, "--lr: the run has None, here is 0.5", begun()),
    Row(14, ["--resume", "new", "--config", "run.toml"], 2,
        "--batch-size: the run has 100, here is 7; .*--override", begun("new", "batch-size = 7")),
    Row(14, ["--resume", "new"], 2, "with other settings: train was '[0-9a-f]+', is '[0-9a-f]+'",
        begun("new", label=1)),
    Row(14, ["--resume", "new", "--hidden", "7", "--override"], 3,
        r"must hold W1 .*\(16, 7\) .*; must hold W2 .*; must hold b1 .*; make the", begun("new")),
    Row(14, ["--resume", "new", "--out", "other"], 2,
        "--out 'other': a run that .* stays in its folder, 'new'; leave it out", begun("new")),
    Row(16, ["--out", "new"], 4, "'new' already holds files; .*, or go on with it by --resume",
        begun("new")),
    Row(16, ["--out", "taken"], 4, "'taken' already holds files; choose another --out"),
    Row(16, ["--out", "taken", "--dry-run"], 4, "'taken' already holds files; choose another"),
    Row(17, ["--out", "file"], 4, "'file' must be a folder; choose another --out"),
    Row(17, ["--out", "file/below"], 4, "'file' must be a folder; choose another --out"),
    Row(17, [], 4, "'runs' must be a folder; choose", lambda f: (f / "runs").write_text("")),
    Row(18, ["--out", ""], 2, "--out: must be the path of a folder, got ''"),
    Row(18, ["--out", "a\0b"], 2, r"--out: must be the path of a folder, got 'a\\x00b'"),
    Row(18, ["--out", "-x"], 2, "--out: expected one argument; .*written --flag=-value"),
    Row(18, ["--out", "x" * 300], 4,
        r"cannot write 'xxx.*File name too long \(ENAMETOOLONG\); choose another"),
    Row(18, ["--data-dir", ""], 2, "--data-dir: must be the path of a folder, got ''"),
    Row(19, ["--save-every", "0"], 2, "--save-every: must be an integer >= 1, got '0'"),
    Row(19, ["--save-every", "-3"], 2, "--save-every: must be an integer >= 1, got '-3'"),
    Row(19, ["--save-every", "1.5"], 2, "--save-every: must be an integer >= 1, got '1.5'"),
    Row(20, ["--optimzer", "adam"], 2, "'--optimzer'; did you mean --optimizer"),
    Row(20, ["--opt", "adam"], 2, "'--opt'; did you mean --optimizer"),
    Row(20, ["adam"], 2, "unknown argument 'adam'; --help lists"),
    Row(20, ["a\nb"], 2, r"unknown argument 'a\\nb'; --help lists"),
    Row(20, ["--lr", "1", "--lr", "2"], 2, "--lr must be given once, it came twice; remove one"),
    Row(20, ["--lr"], 2, "--lr: expected one argument"),
    Row(20, ["--json=yes"], 2, "--json: ignored explicit argument 'yes'"),
    Row(20, ["--dtype", "float8"], 2, "--dtype: invalid choice: 'float8'.*float32.*float64"),
    Row(20, ["--config", "none.toml"], 2, "'none.toml': cannot read it: No such file.*epochs = 20"),
    Row(20, ["--config", "set"], 2, "'set': cannot read it: Is a directory"),
    Row(20, ["--config", "/dev/zero"], 2, "'/dev/zero': must be TOML: it is longer than 1,048,576"),
    Row(20, ["--config", "a\0b"], 2, r"'a\\x00b': must be TOML: embedded null byte"),
    Row(21, ["--threads", "0"], 2, "--threads: must be an integer >= 1, got '0'"),
]  # fmt: skip


def cut(name: str, start: int, stop: int | None) -> Callable[[Path], object]:
    def cut_short(folder: Path) -> None:
        path = folder / "set" / f"{name}.gz"
        path.write_bytes(path.read_bytes()[start:stop])

    return cut_short


def put(name: str, array: np.ndarray, content: bytes | None = None) -> Callable[[Path], object]:
    return lambda folder: write_idx(folder / "set", name, array, content)


def in_place_of(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / "set" / f"{name}.gz").unlink()
        make(folder / "set" / f"{name}.gz")

    return change


def save_npz(**arrays: Any) -> Callable[[Path], object]:
    return lambda folder: np.savez(folder / "set.npz", **arrays)


SET, NPZ = ["--dataset", "./set"], ["--dataset", "set.npz"]
PACKED = gzip.compress(header(IMAGES.shape) + IMAGES.tobytes(), mtime=0)
BAD_CRC = PACKED[:-8] + bytes(4) + PACKED[-4:]
DECLARES = {
    n: gzip.compress(header(n) + bytes(2560), mtime=0) for n in [(2_000_000, 28, 28), (0, 4, 4)]
}
HUGE = gzip.compress(header((2**32 - 1,) * 3), mtime=0)
DOUBLES = gzip.compress(b"\0\0\x0e\x03" + bytes(20), mtime=0)
UNKNOWN = gzip.compress(b"\0\0\x0a\x03" + bytes(20), mtime=0)

FILES = [
    Row(52, ["--dataset", "mnist", "--data-dir", "empty"], 3,
        "needs the four files train-images.*/empty'.*fetch it with python -m scratchnet.data mni"),
    Row(52, SET, 3, f"no {T}", lambda f: (f / "set" / f"{T}.gz").unlink()),
    Row(52, ["--dataset", "./nowhere"], 3, "cannot read './nowhere': No such file.*give an .npz"),
    Row(52, NPZ, 3, "cannot read 'set.npz': No such file.*give an .npz or the folder"),
    Row(53, SET, 3, f"{X}.gz': .*ended after .* of .*bytes; delete it and", cut(X, 0, 200)),
    Row(54, SET, 3, f"{X}.gz': .*damaged .*CRC.*; delete it", put(X, IMAGES, BAD_CRC)),
    Row(54, SET, 3, f"{X}.gz': other bytes follow", put(X, IMAGES, PACKED + b"junk")),
    Row(54, SET, 3, f"{X}.gz': it looks like HTML", put(X, IMAGES, b"<html>login</html>")),
    Row(54, SET, 3, f"{X}.gz': it looks like an empty file", put(X, IMAGES, b"")),
    Row(55, SET, 3, "is a label file .magic 0x00000801.*images .0x00000803. exp", put(X, LABELS)),
    Row(55, SET, 3, "is an image file .magic 0x00000803.*labels .0x00000801. exp", put(T, IMAGES)),
    Row(56, SET, 3, "declares 2000000 x 28 x 28 = 1568000000 bytes, over the limit of .*raise",
        put(X, IMAGES, DECLARES[2_000_000, 28, 28])),
    Row(57, SET, 3, "ended after 2476 of 2576 bytes; delete it",
        put(X, IMAGES, gzip.compress(header(IMAGES.shape) + bytes(2460)))),
    Row(57, SET, 3, "goes on after the 2576 bytes that its header declares; delete it",
        put(X, IMAGES, gzip.compress(header(IMAGES.shape) + bytes(2561)))),
    Row(58, SET, 3, "dimension 1 of .0, 4, 4. is 0", put(X, IMAGES, DECLARES[0, 4, 4])),
    Row(58, SET, 3, "declares 4294967295 x .* = 79228162458924105385300197375 bytes, over",
        put(X, IMAGES, HUGE)),
    Row(58, SET, 3, "type code .* 0x0E .*; only 0x08", put(X, IMAGES, DOUBLES)),
    Row(58, SET, 3, "type code .* 0x0A .*; only 0x08", put(X, IMAGES, UNKNOWN)),
    Row(59, SET, 3, "160 images, 159 labels: files of different sets", put(T, LABELS[1:])),
    Row(60, NPZ, 3, "set.npz': t has the label -1 at row 1; labels must be 0, 1, 2",
        save_npz(x=IMAGES[:3], t=np.array([0, -1, 1]))),
    Row(60, NPZ, 3, "set.npz' must hold x_train, .*or x and t.*it holds images",
        save_npz(images=IMAGES)),
    Row(24, NPZ, 3, "set.npz': x has NaN at row 1, column 0",
        save_npz(x=[[0.0], [np.nan]], t=[0, 1])),
    Row(43, NPZ, 2, "--val-split 0.1: .*holds out none", save_npz(
        x_train=np.eye(3), t_train=[0, 1, 2], x_test=np.eye(3), t_test=[0, 1, 2])),
    Row(29, NPZ, 3, "set.npz': .*dtype object; only numbers are read",
        save_npz(x=np.array([{}, None], dtype=object), t=[0, 1])),
    Row(62, SET, 3, "is a folder; a regular file is needed", in_place_of(X, Path.mkdir)),
    Row(62, SET, 3, "is a pipe, socket or device; a regular file", in_place_of(X, os.mkfifo)),
    Row(62, ["--dataset", "/dev/zero"], 3, "'/dev/zero' is a pipe, socket or device; a regular"),
    Row(62, ["--dataset", "./file"], 3, "'./file' looks like .*give an .npz or the folder"),
    Row(63, SET, 3, "symbolic link.: No such file",
        in_place_of(X, lambda p: p.symlink_to("nowhere"))),
    Row(63, SET, 3, "symbolic link.: Too many levels",
        in_place_of(X, lambda p: p.symlink_to(p.name))),
]  # fmt: skip


@pytest.mark.parametrize("row", COMMANDS + FILES, ids=str)
def test_a_bad_command_line_or_file_is_answered_by_one_line_and_nothing_is_written(
    row, desk, capsys
):
    row.prepare(desk)
    capsys.readouterr()
    before = look(desk) if row.number not in {62, 63} else os.listdir(desk)
    assert run(row.argv) == row.code
    seen = capsys.readouterr()
    assert re.search(row.message, seen.err), seen.err
    assert re.fullmatch("train.py: error: .+\n", seen.err)
    assert seen.out == ""
    assert before == (look(desk) if row.number not in {62, 63} else os.listdir(desk))


@pytest.mark.parametrize(
    "row",
    [row for row in COMMANDS + FILES if row.number in {5, 12, 16, 19, 54, 59}],
    ids=str,
)
def test_a_real_process_answers_in_the_same_way(row, desk):
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


CONFIGS = {
    "epochz = 3": "unknown key 'epochz'; did you mean 'epochs'",
    "batch_sise = 3": "unknown key 'batch_sise'; did you mean 'batch-size'",
    "qqq = 3": "unknown key 'qqq'; the keys are dataset, .*optimizer",
    "config = 'other.toml'": "unknown key 'config'",
    "help = true": "unknown key 'help'",
    "[training]\nepochs = 3": "unknown key 'training'",
    "[hidden]\nsizes = 3": "hidden must be a number, a text or a list of these, got {'sizes': 3}",
    "lr = true": "lr must be a number, a text or a list of these, got True",
    "epochs = false": "epochs must be a number, a text or a list of these, got False",
    "epochs = 1979-05-27": "epochs must be a number, a text or a list",
    "json = 'yes'": "json must be true or false, got 'yes'",
    "lr = nan": "--lr: must be a finite number > 0, got nan",
    "epochs = 2.0": "--epochs: must be an integer >= 1, got '2.0'",
    "hidden = [30, -1]": "--hidden: .*got '-1' in '30,-1'",
    "hidden = []": "--hidden: must be none, or integers .*got ''",
    "batch-size = 3\nbatch_size = 4": "--batch-size must be given once, it came twice",
    "epochs: 3": "must be TOML: .*line 1.*; write lines as `epochs = 20`",
    "epochs = 1\nepochs = 2": "must be TOML: Cannot overwrite a value",
    "x = " + "[" * 5000: "must be TOML: .*recursion",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text[:30])
def test_a_bad_config_file_is_answered_with_its_name_and_the_key(text, desk, capsys):
    (desk / "run.toml").write_text(text, encoding="utf-8")
    before = look(desk)
    assert run(["--config", "run.toml"]) == 2
    seen = capsys.readouterr()
    assert re.fullmatch("train.py: error: --config 'run.toml': .+\n", seen.err)
    assert re.search(CONFIGS[text], seen.err), seen.err
    assert look(desk) == before


def test_a_config_file_that_is_no_utf8_is_refused(desk, capsys):
    (desk / "run.toml").write_bytes(b"optimizer = '\xff'")
    assert run(["--config", "run.toml"]) == 2
    assert re.fullmatch(".*'run.toml': must be TOML: .*utf-8.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("argv", "note"),
    [
        (["--optimizer", "ADAM", "--activation", "Tanh", "--initializer", "he_uniform"], ""),
        (["--batch-size", "5000"], "note: --batch-size 5000 is more than the 14. training samples"),
        (["--batch-size", str(10**30)], "note: --batch-size 1000.* every update uses all of them"),
        (["--seed", str(2**200)], ""),
        (["--threads", "999"], "note: --threads 999 is more than the [0-9]+ processors"),
        (["--threads", str(10**30)], "note: --threads 1000.* processors"),
        (["--out", "ein Ordner/ü 数\n字"], ""),
        (["--out=-x"], ""),
        (["--hidden", "none"], ""),
        (["--hidden", " 5 , 004"], ""),
        (["--val-split", "0"], ""),
        (["--lr", "1e-300"], ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_fine_is_accepted(argv, note, capsys):
    assert run(["--dataset", "./set", "--epochs", "1", *argv]) == 0
    seen = capsys.readouterr()
    assert re.fullmatch(f"{note}.*\n" if note else "", seen.err), seen.err
    assert all("accuracy" in line for line in seen.out.splitlines()[4:])


# Divergence, resources, surroundings


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_a_huge_lr_diverges_with_step_place_and_a_usual_lr(optimizer, desk, capsys):
    argv = ["--dataset", "./set", "--batch-size", "9", "--lr", "1e20", "--optimizer", optimizer]
    assert run([*argv, "--out", "new"]) == 5
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: training diverged at step [0-9]+: the .+\n", error)
    assert re.search("the (output of layer [1-3], .*|parameter [Wb][12]) is not finite", error)
    assert re.search("try an lr below 1e.20, such as 0.0?01", error)
    assert (desk / "new" / "history.json").read_text(encoding="utf-8") == "[]\n"
    assert not (desk / "new" / "weights.npz").exists()


@pytest.mark.parametrize("split", ["0", "0.2"])
def test_a_divergence_that_only_the_evaluation_sees_is_one_too(split, desk, capsys):
    argv = ["--batch-size", "160", "--epochs", "1", "--lr", "1e30", "--val-split", split]
    assert run(["--dataset", "./set", "--out", "new", *argv]) == 5
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search("diverged by step 1: the loss is (nan|inf)", error)
    assert "try an lr below 1e+30, such as 0.001" in error
    assert not (desk / "new" / "weights.npz").exists()
    assert not (desk / "new" / "results.json").exists()


def test_no_memory_is_one_line_with_what_to_do(monkeypatch, capsys):
    def refuse(*args: object, **options: object) -> None:
        np.empty(2**50, dtype=np.float64)

    monkeypatch.setattr("scratchnet.cli.entry.load", refuse)
    assert run([]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        "train.py: error: out of memory: Unable to allocate .*; choose smaller layers or batches\n",
        error,
    )


@pytest.mark.parametrize("file", ["config.json", "history.json", "weights.npz", "results.json"])
def test_a_disk_that_fills_during_the_run_is_one_line_and_exit_4(file, desk, monkeypatch, capsys):
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == file:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("scratchnet.storage.atomic.os.replace", full)
    assert run(["--dataset", "./set", "--epochs", "2", "--out", "new"]) == 4
    error = capsys.readouterr().err
    assert re.fullmatch(f"train.py: error: cannot write '.*{file}': No space left.*; .+\n", error)
    assert [path.name for path in (desk / "new").glob(".*")] == [".lock"]
    assert file not in os.listdir(desk / "new")
    lines = (desk / "new" / "history.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == (1 if file == "config.json" else 3)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_place_that_cannot_be_written_to_is_found_before_training(
    number, desk, monkeypatch, capsys
):
    refuse_to_replace(monkeypatch, "checkpoint", number)
    assert run([*BEGIN, "--out", "new", "--verbose"]) == 4
    seen = capsys.readouterr()
    reason = re.escape(f"{os.strerror(number)} ({errno.errorcode[number]})")
    assert re.fullmatch(f"train.py: error: cannot write 'new/check.*': {reason}; .+\n", seen.err)
    assert "epoch" not in seen.out
    assert len((desk / "new" / "history.csv").read_text(encoding="utf-8").splitlines()) == 1


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


def test_a_disk_that_fills_between_two_saves_keeps_what_was_saved(monkeypatch, capsys):
    begun("whole")(Path())
    with monkeypatch.context() as patch:
        refuse_to_replace(patch, "checkpoint-00000006", errno.ENOSPC)
        assert run([*BEGIN, "--epochs", "3", "--out", "new"]) == 4
    error = capsys.readouterr().err
    assert re.fullmatch(r"train.py: error: cannot write 'new/.*6.npz': No space .*; .+\n", error)
    assert Checkpoints(Path("new")).latest()[0].name == "checkpoint-00000003.npz"
    assert run(["--resume", "new", "-q"]) == 0
    assert outcome("new") == outcome("whole")


def test_memory_that_runs_out_in_training_leaves_the_last_checkpoint(monkeypatch, capsys):
    begun("whole")(Path())
    step = Trainer.step

    def hungry(self: Trainer, *batch: np.ndarray | None) -> tuple[float, int]:
        if self.steps == 4:
            np.empty(2**50, dtype=np.float64)
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", hungry)
        assert run([*BEGIN, "--epochs", "3", "--out", "new"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: out of memory: .*; choose smaller .*batches\n", error)
    assert run(["--resume", "new", "-q"]) == 0
    assert outcome("new") == outcome("whole")


def test_no_name_and_no_decision_comes_from_the_clock_on_the_wall(monkeypatch):
    begun("whole")(Path())

    def no_clock() -> float:
        raise AssertionError("the wall clock was asked")

    monkeypatch.setattr("time.time", no_clock)
    for n in (1, 2):
        assert run([*BEGIN, "--epochs", "3"]) == 0
        assert outcome(f"runs/set-adam-{n}") == outcome("whole")


def test_a_second_process_is_refused_by_the_pid_of_the_first_whose_death_frees_the_folder(capsys):
    argv = [sys.executable, TRAIN_PY, *BEGIN, "--epochs", "1000000", "--out", "new"]
    with subprocess.Popen(argv) as first:
        while not list(Path("new").glob("checkpoint-*")):
            assert first.poll() is None
            time.sleep(0.01)
        before = sorted(os.listdir("set"))
        assert run(["--resume", "new"]) == 4
        lock = f"train.py: error: 'new' is in use by process {first.pid}; wait until it ends, .+\n"
        assert re.fullmatch(lock, capsys.readouterr().err)
        assert run([*BEGIN, "--out", "new"]) == 4
        assert "'new' already holds files; choose another" in capsys.readouterr().err
        assert sorted(os.listdir("set")) == before
        first.kill()
    assert run(["--resume", "new", "--epochs", "1", "-q"]) == 0


def test_a_numpy_that_is_too_old_is_named_with_both_versions(monkeypatch, capsys):
    monkeypatch.setattr(np, "__version__", "1.26.4")
    assert run(["--dataset", "./set", "--out", "new"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: NumPy 1.26.4 is installed, .* 2.0 or newer; .+\n", error)
    assert not Path("new").exists()


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert run([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: sklearn.datasets is not installed; run `make train`")
    assert error.count("\n") == 1


def test_without_numpy_train_py_says_so():
    done = subprocess.run(
        [sys.executable, "-S", TRAIN_PY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch("train.py: error: numpy is not installed; run `make .+\n", done.stderr)


def test_no_home_and_no_temporary_folder_have_no_effect(desk):
    env = {k: v for k, v in os.environ.items() if k != "HOME"} | {"TMPDIR": "/nowhere"}
    argv = [sys.executable, TRAIN_PY, "--dataset", "./set", "--epochs", "1", "--out", "new"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (desk / "new" / "results.json").exists()


def test_a_working_folder_that_is_gone_is_one_line(desk):
    (desk / "gone").mkdir()
    train = f"'{sys.executable}' '{TRAIN_PY}' --dataset '{desk}/set'"
    done = subprocess.run(
        f"cd gone && rmdir ../gone && {train}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert re.fullmatch("train.py: error: cannot write 'runs/set-adam-1': .+\n", done.stderr)


# Checkpoints


def again(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Write the checkpoint with other arrays or another header, and the digest that fits them."""
    arrays, header = read_archive(path)
    change(arrays, header)
    write_archive(path, arrays, header)


def members_of(path: Path) -> dict[str, Any]:
    with np.load(path) as members:
        return {name: members[name] for name in members.files}


def as_header(text: Callable[[str], str]) -> Callable[[Path], object]:
    """Write the checkpoint with another text as its header."""

    def change(path: Path) -> None:
        members = members_of(path)
        np.savez(path, **members | {"header": np.array(text(str(members["header"])))})

    return change


def with_zip(change: Callable[[zipfile.ZipFile], object]) -> Callable[[Path], object]:
    def append(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")  # a name that is there twice
            change(archive)

    return append


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"\x93NUMPY") + 200] ^= 4
    path.write_bytes(content)


def overlap(path: Path) -> None:
    """Let the directory say that the second member lies where the first does."""
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\1\2")
    second = content.index(b"PK\1\2", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    path.write_bytes(content)


def npz(**arrays: Any) -> Callable[[Path], object]:
    return lambda path: np.savez(path, **arrays)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def zipped(*names: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"{}")

    return write


ONLY_OURS = ".*; only .npz files that scratchnet wrote are read, and nothing is unpickled"
BROKEN: list[tuple[int, str, Callable[[Path], object], str]] = [
    (64, "pickle", content(pickle.dumps({"W1": [1.0]})), "a Python pickle, not an" + ONLY_OURS),
    (64, "PyTorch", zipped("archive/data.pkl", "archive/data/0"), "is a PyTorch file" + ONLY_OURS),
    (64, "HDF5", content(b"\x89HDF\r\n\x1a\n" + bytes(64)), "an HDF5 file, not an" + ONLY_OURS),
    (64, "Keras", zipped("metadata.json", "config.json", "model.weights.h5"),
     "'metadata.json', so it is no .npz of arrays" + ONLY_OURS),
    (64, "safetensors", content(b"\x08\0\0\0\0\0\0\0{}      "), "nothing known" + ONLY_OURS),
    (64, "objects", npz(W1=np.array([{}, None], object)), "dtype object" + ONLY_OURS),
    (64, "empty", content(b""), "an empty file, not an" + ONLY_OURS),
    (64, "HTML", content(b"<html>sign in</html>"), "HTML, not an" + ONLY_OURS),
    (65, "cut short", lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged .npz"),
    (65, "cut shorter", lambda path: path.write_bytes(path.read_bytes()[:99]), "damaged .npz"),
    (65, "flipped bit", flip, "damaged .npz .*CRC"),
    (65, "large header", as_header(lambda text: text[:-1] + ', "x": "' + "x" * 20_000 + '"}'),
     "header of 2[0-9]{4} characters, over 20000"),
    (65, "overlapping", overlap, "in the place of another" + ONLY_OURS),
    (65, "compressed", lambda path: np.savez_compressed(path, **members_of(path)), "compressed"),
    (65, "twice", with_zip(lambda z: z.writestr("W1.npy", b"")), "'W1.npy' twice" + ONLY_OURS),
    (65, "other member", with_zip(lambda z: z.writestr("../x", b"")), r"'\.\./x', so it is no"),
    (65, "bomb", lambda path: np.savez_compressed(path, W1=np.zeros(10**7)), "'W1.npy' compressed"),
    (65, "complex", lambda path: np.savez(path, **members_of(path), c=np.ones(2, "c8")),
     "'c.npy' is of dtype complex64"),
    (65, "dates", lambda path: np.savez(path, **members_of(path), c=np.ones(2, "M8[s]")),
     r"'c.npy' is of dtype datetime64\[s\]"),
    (65, "text", lambda path: np.savez(path, **members_of(path), c=np.array(["a"])), "without the"),
    (65, "other weight", lambda path: np.savez(path, **members_of(path) | {"b1": np.ones(5, "f4")}),
     "is damaged: its content has the SHA-256 [0-9a-f]+, its header says [0-9a-f]+; take another"),
    (65, "no digest", as_header(lambda text: text.replace('"sha256"', '"sha1"')), "says None"),
    (65, "NaN", lambda path: again(path, lambda a, h: a["W2"].fill(np.nan)),
     "holds W2 with values that are not finite"),
    (65, "inf in memory", lambda path: again(
        path, lambda a, h: a["trainer.optimizer.memory.vector.v"].fill(np.inf)),
     "holds trainer.optimizer.memory.vector.v with values that are not finite"),
    (65, "no JSON", as_header(lambda text: text[:-1]), "a damaged header .*; take another copy"),
    (65, "NaN in JSON", as_header(lambda text: text.replace('"seed": 0', '"seed": NaN')),
     "a damaged header .NaN is no number"),
    (65, "inf in JSON", as_header(lambda text: text.replace('"seed": 0', '"seed": 1e999')),
     "a damaged header .1e999 is no number"),
    (65, "key twice", as_header(lambda text: '{"format": "x", ' + text[1:]),
     "a damaged header .a key stands there twice"),
    (65, "list", as_header(lambda text: f"[{text}]"), "header that is no JSON object; take"),
    (65, "deep", as_header(lambda text: "[" * 10_000), "a damaged header .*recursion"),
    (66, "plain arrays", npz(W1=np.eye(3)), "an .npz without the header of scratchnet's files"),
    (66, "weights", lambda path: save_weights(load_weights(path), path),
     "its header says 'scratchnet weights'; it has weights, but nothing to go on from"),
    (67, "newer", lambda path: again(path, lambda a, h: h.update(version=2, scratchnet="9.1")),
     "has version 2 of its format, this scratchnet .* up to version 1; it needs scratchnet >= 9.1"),
]  # fmt: skip
TWO = ["checkpoint-00000003.npz", "checkpoint-00000006.npz"]


@pytest.fixture
def small_headers(monkeypatch):
    monkeypatch.setattr("scratchnet.storage.archive.LARGEST_HEADER", 20_000)


broken = pytest.mark.parametrize(
    ("make", "message"), [row[2:] for row in BROKEN], ids=[f"{row[0]} {row[1]}" for row in BROKEN]
)


@broken
def test_a_file_that_is_no_checkpoint_is_named_for_what_it_is(
    make, message, desk, small_headers, capsys
):
    begun("new")(desk)
    make(desk / "new" / TWO[1])
    os.rename(desk / "new" / TWO[1], desk / "one.npz")
    before = look(desk)
    capsys.readouterr()
    assert run(["--resume", "one.npz"]) == 3
    seen = capsys.readouterr()
    assert re.fullmatch("train.py: error: 'one.npz'.+\n", seen.err)
    assert re.search(message, seen.err), seen.err
    assert seen.out == ""
    assert look(desk) == before


@broken
def test_where_the_latest_checkpoint_is_bad_the_one_before_is_gone_on_with_aloud(
    make, message, desk, small_headers, capsys
):
    begun("new")(desk)
    before = outcome("new")
    os.remove("new/results.json")
    make(desk / "new" / TWO[1])
    capsys.readouterr()
    assert run(["--resume", "new", "-q"]) == 0
    error = capsys.readouterr().err
    back = re.escape(f"; going back to the one before, '{TWO[0]}'")
    assert re.fullmatch(f"note: 'new/{TWO[1]}'.+{back}\n", error), error
    assert re.search(message, error), error
    assert outcome("new") == before


@broken
def test_where_all_checkpoints_are_bad_none_is_deleted(make, message, desk, small_headers, capsys):
    begun("new")(desk)
    for name in TWO:
        make(desk / "new" / name)
    before = look(desk)
    capsys.readouterr()
    assert run(["--resume", "new"]) == 3
    error = capsys.readouterr().err
    assert re.fullmatch(
        "train.py: error: there is no checkpoint that can be read in 'new': 'new/checkpoint-0+6.npz"
        "'.+; nothing was deleted, start anew\n",
        error,
    )
    assert re.search(message, error), error
    assert look(desk) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, h: a.pop("W1"), r"must hold W1 .*\(16, 5\) float32, got nothing; make the net"),
        (lambda a, h: a.update(W1=a["W1"].T.copy(), W3=a.pop("W2")),
         r"must hold W1 .*got \(5, 16\) float32; must hold W2 .*got nothing; holds W3, which the"),
        (lambda a, h: a.update(b1=a["b1"].astype("f8")), "must hold b1 .*float32, got .*float64"),
        (lambda a, h: h.pop("trainer"), "a header that lacks 'trainer'; take another copy"),
        (lambda a, h: a.pop("trainer.optimizer.memory.vector.m"), "lacks 'trainer.opt.*vector.m'"),
        (lambda a, h: h["trainer"].update(history=[{"x": 1}]), "a header that does not fit: "),
        (lambda a, h: h.update(times=[]), "a header that does not fit: "),
        (lambda a, h: h.update(run={}), "was not saved by a run of the command line"),
        (lambda a, h: h.update(run=None), "was not saved by a run of the command line"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_network_or_program_is_named(change, message, desk, capsys):
    begun("new")(desk)
    again(desk / "new" / TWO[1], change)
    before = look(desk)
    capsys.readouterr()
    assert run(["--resume", "new", "-q"]) == 3
    error = capsys.readouterr().err
    assert re.fullmatch(f"train.py: error: 'new/{TWO[1]}' .+\n", error)
    assert re.search(message, error), error
    assert look(desk) == before


def test_a_finished_run_is_left_as_it_is_and_says_how_to_go_on(desk, capsys):
    begun("new")(desk)
    before = look(desk)
    capsys.readouterr()
    assert run(["--resume", "new", "-q"]) == 0
    seen = capsys.readouterr()
    assert seen == ("new is finished: epoch 3 of 3; raise --epochs to go on\n", "")
    assert run(["--resume", "new", "-q", "--json"]) == 0
    assert capsys.readouterr().out == (desk / "new" / "results.json").read_text(encoding="utf-8")
    assert look(desk) == before
    assert run(["--resume", "new", "-q", "--epochs", "4"]) == 0
    assert "after 4 epochs in" in capsys.readouterr().out


def test_a_run_that_its_patience_ended_says_that_it_was_that(desk, capsys):
    argv = [*BEGIN, "--epochs", "50", "--patience", "1", "--lr", "5", "--out", "new"]
    assert run(argv) == 0
    capsys.readouterr()
    assert run(["--resume", "new", "-q", "--epochs", "60"]) == 0
    assert re.search("epoch [0-9]+ of 60; raise --patience to go on\n", capsys.readouterr().out)
    assert run(["--resume", "new", "-q", "--patience", "3"]) == 0
    assert "test accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_system_without_rename_or_fsync_is_named(call, number, desk, monkeypatch, capsys):
    begun("new")(desk)
    before = look(desk)

    def refuse(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"scratchnet.storage.atomic.os.{call}", refuse)
    capsys.readouterr()
    assert run(["--resume", "new", "--epochs", "4", "-q"]) == 4
    error = capsys.readouterr().err
    reason = re.escape(f"{os.strerror(number)} ({errno.errorcode[number]})")
    assert re.fullmatch(f"train.py: error: cannot write 'new/.+': {reason}; choose .+\n", error)
    assert look(desk) == before


# Notebooks and other systems


def test_only_the_command_line_has_signal_handlers_and_only_while_it_trains(monkeypatch):
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []
    monkeypatch.setattr(Trainer, "evaluate", lambda *_: seen.append(handlers()) or (1.0, 0.5))

    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in SIGNALS]

    list(Trainer(net(), (GOOD, RIGHT), (GOOD, RIGHT), batch_size=4).run(1))
    assert seen == [before]
    assert run([*BEGIN, "--epochs", "1"]) == 0
    assert seen[1] != before
    thread = threading.Thread(target=run, args=([*BEGIN, "--epochs", "1"],))
    thread.start()
    thread.join()
    assert before in seen[-2:]
    assert handlers() == before


def test_training_that_ctrl_c_broke_off_in_a_cell_goes_on_in_the_next():
    def interrupt(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    network, other = net(), net()
    trainer = Trainer(network, (GOOD, RIGHT), batch_size=4, on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(trainer.run(3))
    trainer.on_step = None
    assert [epoch.number for epoch in trainer.run(2)] == [2, 3]
    list(Trainer(other, (GOOD, RIGHT), batch_size=4).run(3))
    np.testing.assert_array_equal(network.vector, other.vector)


def train_here(seed: int) -> bytes:
    network = net(seed=seed)
    list(Trainer(network, (GOOD, RIGHT), batch_size=4).run(2))
    return network.vector.tobytes()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_train_as_their_parent_does():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(train_here, range(4)) == [train_here(seed) for seed in range(4)]


def test_a_system_without_such_locks_or_folders_that_can_be_synced_trains_as_well(
    desk, monkeypatch, capsys
):
    begun("whole")(desk)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(
        "scratchnet.storage.atomic.os", SimpleNamespace(**vars(os) | {"name": "nt"})
    )
    assert run([*BEGIN, "--epochs", "3", "--out", "new"]) == 0
    assert not (desk / "new" / ".lock").exists()
    assert outcome("new") == outcome("whole")


def test_a_file_that_another_program_holds_open_is_named(desk, monkeypatch, capsys):
    begun("new")(desk)
    refuse_to_replace(monkeypatch, "history.csv", errno.EACCES)  # what Windows says
    capsys.readouterr()
    assert run(["--resume", "new", "--epochs", "4", "-q"]) == 4
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: cannot write 'new/history.csv': Permission .+\n", error)
    assert Checkpoints(desk / "new").latest()[0].name == TWO[1]


# Arrays and hyper-parameters in Python


def net(**options: Any) -> TwoLayerNet:
    return TwoLayerNet(4, 5, 3, **options)


GOOD = RNG.standard_normal((6, 4))
RIGHT = np.array([0, 1, 2, 0, 1, 2])


def cell(value: float, dtype: str = "float64") -> np.ndarray:
    x = GOOD.astype(dtype)
    x[2, 3] = value
    return x


def with_label(value: Any) -> np.ndarray:
    t = RIGHT.astype(type(value))
    t[5] = value
    return t


def onehot_net() -> Network:
    return Network([Affine(4, 3, rng=np.random.default_rng(0))], SoftmaxWithLoss(labels="onehot"))


CALLS: list[tuple[int, Callable[[], object], type[ScratchnetError], str]] = [
    (24, lambda: Samples(cell(np.nan), RIGHT), DataError,
     "x has NaN at row 2, column 3 .1 of 6 rows.; drop these rows or fill them in"),
    (24, lambda: Trainer(net(), (cell(np.nan), RIGHT)), DataError, "x has NaN at row 2, column 3"),
    (24, lambda: net().loss(cell(np.nan), RIGHT), ShapeError,
     "x must hold finite numbers, got nan at row 2, column 3; remove or replace"),
    (25, lambda: Samples(cell(-np.inf), RIGHT), DataError, "x has -inf at row 2, column 3"),
    (25, lambda: Samples(cell(1e300), RIGHT), DataError,
     "x has 1e.300 .beyond float32. at row 2, column 3"),
    (25, lambda: net().predict(cell(np.inf)), ShapeError, "finite.* inf at row 2, column 3"),
    (26, lambda: Samples(GOOD[0], [0]), ShapeError, r"got \(4,\); write x.reshape\(1, -1\)"),
    (26, lambda: net().predict(GOOD[0]), ShapeError,
     r"x must have the shape \(N, 4\), got \(4,\); .*x.reshape\(1, -1\)"),
    (28, lambda: Samples(GOOD[:0], []), ShapeError, r"at least 1 sample .*got shape \(0, 4\)"),
    (28, lambda: Samples(GOOD[:, :0], RIGHT), ShapeError, r"1 feature, got shape \(6, 0\)"),
    (28, lambda: net().predict(GOOD[:0]), ShapeError, r"\(N, 4\), got \(0, 4\)"),
    (29, lambda: Samples([["a", "b"]], [0]), DtypeError, "x must hold real numbers, got .*<U1"),
    (29, lambda: Samples(np.array([[None]]), [0]), DtypeError, "real numbers, got .*object"),
    (29, lambda: Samples(GOOD * 1j, RIGHT), DtypeError, "real numbers, got .*complex128"),
    (29, lambda: Samples([[1, 2], [3]], [0, 1]), ShapeError, "x must be an array with rows of one"),
    (29, lambda: Samples(sparse.eye(3).tocsr(), [0, 1, 2]), DtypeError, r"sparse.*x.toarray\(\)"),
    (29, lambda: Samples(np.ma.masked_less(GOOD, 0), RIGHT), DtypeError, r"masked.*x.filled\("),
    (29, lambda: Samples(np.zeros((2, 1), "M8[s]"), [0, 1]), DtypeError, r"datetime64\[s\]"),
    (29, lambda: net().predict(GOOD * 1j), DtypeError, "real numbers, got dtype complex128"),
    (31, lambda: Samples(GOOD, RIGHT[1:]), ShapeError, "x has 6 rows, t has 5; give one label"),
    (31, lambda: net().loss(GOOD, RIGHT[1:]), ShapeError, "as many rows, x has 6, t has 5"),
    (32, lambda: Samples(GOOD, with_label(0.5)), DtypeError,
     r"integer labels, got float64 \(0.5 at row 5\); number the classes 0, 1, 2"),
    (32, lambda: Samples(GOOD, RIGHT * 1.0), DtypeError, r"got float64 .*write t.astype\(int\)"),
    (32, lambda: net().loss(GOOD, RIGHT * 1.0), DtypeError,
     r"labels must be integers, got .*float64.*use t.astype\(int\)"),
    (33, lambda: Samples(GOOD, with_label(-1)), ShapeError,
     r"t has the label -1 at row 5; labels must be 0, 1, 2.*np.unique\(t, return_inverse"),
    (33, lambda: net().gradient(GOOD, with_label(-1)), ShapeError,
     "labels must be from 0 to 2, the outputs of the network, got -1 at row 5"),
    (34, lambda: Trainer(net(), (GOOD, with_label(3))), ShapeError,
     "labels must be from 0 to 2, the outputs of the network, got 3 at row 5"),
    (34, lambda: Trainer(net(), (GOOD, RIGHT), (GOOD, with_label(3))), ShapeError, "3 at row 5"),
    (34, lambda: net().accuracy(GOOD, with_label(3)), ShapeError, "from 0 to 2.* got 3 at row 5"),
    (35, lambda: Samples(GOOD, RIGHT[:, None]), ShapeError, r"got \(6, 1\); try t.ravel\(\)"),
    (35, lambda: net().loss(GOOD, RIGHT[:, None]), ShapeError, r"got \(6, 1\); use t.ravel\(\)"),
    (36, lambda: Trainer(net(), (GOOD, np.eye(3)[RIGHT])), ShapeError,
     r"got \(6, 3\); use SoftmaxWithLoss\(labels='onehot'\)"),
    (36, lambda: Samples(GOOD, np.eye(3, dtype=int)[RIGHT]), ShapeError,
     r"t must have the shape \(samples,\), got \(6, 3\); try t.argmax\(axis=1\)"),
    (36, lambda: net().loss(GOOD, np.eye(3)[RIGHT]), ShapeError,
     r"got \(6, 3\); use SoftmaxWithLoss\(labels='onehot'\)"),
    (36, lambda: net().loss(GOOD[:3], np.eye(3)), ShapeError, r"\(3, 3\); use SoftmaxWithLoss"),
    (36, lambda: onehot_net().loss(GOOD, RIGHT), ShapeError,
     r"onehot labels must have the shape \(6, 3\), got \(6,\)"),
    (36, lambda: onehot_net().loss(GOOD, np.full((6, 3), 1 / 3)), ShapeError,
     "one 1 and else 0, got .*at row 0"),
    (40, lambda: net().predict(GOOD[:, :3]), ShapeError, r"shape \(N, 4\), got \(6, 3\)"),
    (40, lambda: Trainer(net(), (GOOD[:, :3], RIGHT)), ShapeError,
     "train must have the 4 columns that the network takes, got 3"),
    (43, lambda: Samples(np.eye(3), [0, 1, 2]).split(0.1, 0), ParameterError,
     "fraction=0.1 of 3 samples holds out none: .*give at least one class two"),
    (43, lambda: Samples(GOOD, RIGHT).split(1.5, 0), ParameterError,
     "fraction must lie between 0 and 1, got 1.5"),
    (45, lambda: MultiLayerNet(4, (50.0,), 3), ParameterError, r"hidden_sizes\[0\] must.*got 50.0"),
    (45, lambda: MultiLayerNet(4, (5, 0), 3), ParameterError, r"hidden_sizes\[1\] must.*got 0"),
    (45, lambda: TwoLayerNet(4, True, 3), ParameterError, "hidden_size must.*got True"),
    (46, lambda: MultiLayerNet(4, "50", 3), ParameterError, "hidden_sizes.* must.*, got '5"),
    (46, lambda: MultiLayerNet(4, None, 3), ParameterError, r"as \[100, 50\], got None"),
    (47, lambda: net(activation=np.tanh), ParameterError,
     "activation must be one of the names relu, .*got <ufunc 'tanh'>"),
    (47, lambda: net(activation="tahn"), ParameterError, "unknown activation 'tahn'; did you mean"),
    (47, lambda: Trainer(net(), (GOOD, RIGHT), optimizer="adma"), ParameterError,
     "unknown optimizer 'adma'; did you mean 'adam'.*sgd"),
    (47, lambda: net(initializer="hee"), ParameterError, "unknown initializer 'hee'.*'he'"),
    (48, lambda: Momentum(momentum=1.5), ParameterError, "momentum must .*>= 0 and < 1, got 1.5"),
    (48, lambda: Nesterov(momentum=-0.1), ParameterError, "momentum must .*< 1, got -0.1"),
    (48, lambda: Adam(beta1=1.0), ParameterError, "beta1 must be .*>= 0 and < 1, got 1.0"),
    (48, lambda: Adam(beta2=float("nan")), ParameterError, "beta2 must .*< 1, got nan"),
    (48, lambda: RMSprop(decay=1), ParameterError, "decay must be .*>= 0 and < 1, got 1"),
    (48, lambda: AdaGrad(eps=0), ParameterError, "eps must be a finite number > 0, got 0"),
    (48, lambda: SGD(lr="fast"), ParameterError, "lr must be a finite number > 0, got 'fast'"),
    (48, lambda: SGD(True), ParameterError, "lr must be a finite number > 0, got True"),
    (48, lambda: net(weight_decay=-1), ParameterError, "weight_decay must .*>= 0, got -1"),
    (48, lambda: net(initializer=-0.1), ParameterError, "std must be .*>= 0, got -0.1"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), batch_size=0), ParameterError,
     "batch_size must be .* got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), batch_size=2.5), ParameterError,
     "batch_size must be .* got 2.5"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), lr=0), ParameterError, "lr must .*> 0, got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), threads=0), ParameterError, "threads .*>= 1, got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT)).run(0), ParameterError, "epochs .*>= 1, got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT)).run(1.5), ParameterError, "epochs .*>= 1, got 1.5"),
    (48, lambda: EarlyStopping(net(), 0), ParameterError, "patience must be .*>= 1, got 0"),
    (48, lambda: Samples(GOOD, RIGHT, scale=0), ParameterError, "scale must be .*above 0, got 0"),
    (49, lambda: net(seed=-1), ParameterError, "seed must be an integer >= 0, got -1"),
    (49, lambda: net(seed="a"), ParameterError, "seed must be an integer >= 0, got 'a'"),
    (49, lambda: Trainer(net(), (GOOD, RIGHT), seed=RNG), ParameterError,
     "seed must be an integer >= 0, got Generator"),
    (50, lambda: net(dtype="float8"), ParameterError, "dtype must be .*float32, float64, got"),
    (50, lambda: net(dtype="int32"), ParameterError, "dtype must .*float64, got '?int32"),
    (51, lambda: Trainer(net(), (GOOD, RIGHT), optimizer="sgd", beta1=0.9), ParameterError,
     "sgd has no option 'beta1'; it has lr"),
    (51, lambda: Trainer(net(), (GOOD, RIGHT), optimizer=SGD(), lr=1.0), ParameterError,
     "to the optimizer itself, or give its name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "call", "kind", "message"), CALLS, ids=[f"{row[0]} {row[3][:40]}" for row in CALLS]
)
def test_a_bad_array_or_hyper_parameter_is_an_error_that_names_it(number, call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert issubclass(kind, ScratchnetError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x",
    [
        GOOD.astype("float16"),
        GOOD.astype(">f8"),
        np.asfortranarray(GOOD),
        GOOD > 0,
        GOOD.tolist(),
        (GOOD * 9).astype(int),
        GOOD.reshape(6, 2, 2),
        np.ma.masked_array(GOOD),
    ],
    ids=["float16", "big-endian", "F-order", "bool", "list", "int", "images", "unmasked"],
)
def test_numbers_of_every_kind_train_and_are_never_written_to(x):
    before = np.array(x)
    plain = before.reshape(6, 4).astype(np.float32)
    network, other = net(), net()
    list(Trainer(network, (x, RIGHT), batch_size=4).run(3))
    list(Trainer(other, (plain, RIGHT), batch_size=4).run(3))
    np.testing.assert_array_equal(np.array(x), before)
    np.testing.assert_array_equal(network.vector, other.vector)


def test_a_read_only_array_trains_and_a_later_change_by_the_caller_is_no_crash():
    x = GOOD.copy()
    x.flags.writeable = False
    list(Trainer(net(), (x, RIGHT), batch_size=4).run(2))
    same = RNG.standard_normal((6, 4))
    trainer = Trainer(net(), (same, RIGHT), (same, RIGHT), batch_size=4)
    for _ in trainer.run(2):
        same[:] = 0


def test_bytes_that_are_not_scaled_are_accepted_with_a_hint():
    pixels = RNG.integers(0, 256, (6, 4), dtype=np.uint8)
    with pytest.warns(UserWarning, match="x holds integers up to 2.*for pixels divide by 255"):
        assert net().predict(pixels).shape == (6, 3)


@pytest.mark.parametrize("sizes", [(np.int64(5),), [5], 5, np.int32(5), (5 for _ in range(1))])
def test_sizes_of_hidden_layers_may_be_any_integers(sizes):
    assert MultiLayerNet(4, sizes, 3).sizes == (4, 5, 3)


HERE = {4, 15, 27, 30, 44, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 79, 80}  # by tests of their own


def test_every_row_of_the_table_is_here_or_has_a_reason_not_to_be():
    covered = {row.number for row in COMMANDS + FILES} | {row[0] for row in CALLS} | HERE
    covered |= {row[0] for row in BROKEN}
    assert covered | set(ELSEWHERE) == set(range(1, 81))
    assert not {number for number in ELSEWHERE if number in covered} - {40}
