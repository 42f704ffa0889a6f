"""Checkpoints that are damaged, planted, of another program or of another network."""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desk import BEGIN, TWO, again, begun, look, outcome, run

from scratchnet.training.resuming import load_weights, save_weights


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
     "its header says 'scratchnet weights'; it has weights, but nothing to resume from"),
    (67, "newer", lambda path: again(path, lambda a, h: h.update(version=2, scratchnet="9.1")),
     "has version 2 of its format, this scratchnet .* up to version 1; it needs scratchnet >= 9.1"),
]  # fmt: skip


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
        (lambda a, h: h.update(times=[1.0]) or h["trainer"].update(history=[{"x": 1}]),
         "a header that does not fit: an epoch must have the values"),
        (lambda a, h: h["run"].update(seconds=None), "a header that does not fit: "),
        (lambda a, h: h["run"].update(log=3), "a header that does not fit: "),
        (lambda a, h: h["run"].update(log={"bytes": -1, "digest": ""}), "is no place in a log"),
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
    assert seen == ("new is finished: epoch 3 of 3; raise --epochs to resume it\n", "")
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
    assert re.search("epoch [0-9]+ of 60; raise --patience to resume it\n", capsys.readouterr().out)
    assert run(["--resume", "new", "-q", "--patience", "3"]) == 0
    assert "test accuracy" in capsys.readouterr().out
