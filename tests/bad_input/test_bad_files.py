"""Data files that are missing, damaged, of another kind."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desk import (
    IMAGES,
    LABELS,
    Row,
    T,
    X,
    require_answer,
    require_answer_of_a_process,
    write_idx,
)

from scratchnet.data.idx import header


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
    Row(52, ["--dataset", "./nowhere"], 3, "cannot read './nowhere': No such file.*give a .csv"),
    Row(52, NPZ, 3, "cannot read 'set.npz': No such file.*give a .csv, an .npz, a folder"),
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
    Row(57, SET, 3, "has more than the 2576 bytes that its header declares; delete it",
        put(X, IMAGES, gzip.compress(header(IMAGES.shape) + bytes(2561)))),
    Row(58, SET, 3, "dimension 1 of .0, 4, 4. is 0", put(X, IMAGES, DECLARES[0, 4, 4])),
    Row(58, SET, 3, "declares 4294967295 x .* = 79228162458924105385300197375 bytes, over",
        put(X, IMAGES, HUGE)),
    Row(58, SET, 3, "type code .* 0x0E .*; only 0x08", put(X, IMAGES, DOUBLES)),
    Row(58, SET, 3, "type code .* 0x0A .*; only 0x08", put(X, IMAGES, UNKNOWN)),
    Row(59, SET, 3, "160 images, 159 labels: files of different sets", put(T, LABELS[1:])),
    Row(60, NPZ, 3, "set.npz': t has the label -1 at row 1; labels must be 0, 1, 2",
        save_npz(x=IMAGES[:3], t=np.array([0, -1, 1]))),
    Row(60, NPZ, 3, "set.npz' must hold x_train, .*or x and t.*it holds 'images'",
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
    Row(62, ["--dataset", "./file"], 3, "'./file' looks like .*give a .csv, an .npz, a folder"),
    Row(63, SET, 3, "symbolic link.: No such file",
        in_place_of(X, lambda p: p.symlink_to("nowhere"))),
    Row(63, SET, 3, "symbolic link.: Too many levels",
        in_place_of(X, lambda p: p.symlink_to(p.name))),
]  # fmt: skip


@pytest.mark.parametrize("row", FILES, ids=str)
def test_a_bad_file_is_answered_by_one_line_and_nothing_is_written(row, desk, capsys):
    require_answer(row, desk, capsys)


@pytest.mark.parametrize("row", [row for row in FILES if row.number in {54, 59}], ids=str)
def test_a_real_process_answers_a_bad_file_in_the_same_way(row, desk):
    require_answer_of_a_process(row, desk)
