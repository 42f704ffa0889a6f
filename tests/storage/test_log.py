"""The log of a run: appended, cut where a checkpoint ends, damaged lines named and left out."""

import errno
import os
from pathlib import Path

import pytest

from scratchnet.errors import OutputError
from scratchnet.storage.log import Log


@pytest.fixture
def log(tmp_path):
    made = Log(tmp_path / "history.log")
    made.append([{"epoch": k} for k in range(4)])
    return made


def again(log):
    """The log as another process finds it, with the place that a checkpoint has noted down."""
    other = Log(log.path)
    other.expect(log.place())
    return other


def test_what_was_appended_is_read_in_order(log):
    log.append([{"epoch": 4}])
    assert [record["epoch"] for record in again(log).records()] == [0, 1, 2, 3, 4]
    log.append([])
    log.sync()
    assert log.size == log.path.stat().st_size


def test_each_line_has_the_digest_of_itself_and_all_before(log):
    lines = log.path.read_bytes().splitlines()
    assert log.digest == lines[-1].split()[0].decode()
    moved = Log(log.path)
    log.path.write_bytes(lines[1] + b"\n" + lines[0] + b"\n")
    moved.expect({"bytes": log.path.stat().st_size, "digest": ""})
    assert list(moved.records()) == []


def test_the_tail_behind_the_end_is_cut_and_the_log_goes_on(log):
    place, size = log.place(), log.size
    log.append([{"epoch": 9}])
    other = Log(log.path)
    other.expect(place)
    assert other.cut() == []
    assert other.path.stat().st_size == size
    other.append([{"epoch": 4}])
    assert [record["epoch"] for record in again(other).records()] == [0, 1, 2, 3, 4]


def test_half_a_line_that_a_full_disk_left_goes_with_the_next(log):
    with open(log.path, "ab") as file:
        file.write(b"0123")
    log.append([{"epoch": 4}])
    assert [record["epoch"] for record in again(log).records()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("line", range(4))
def test_a_damaged_line_is_named_and_the_others_stay(log, line):
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b"epoch", b"epoxy")
    log.path.write_bytes(b"".join(lines))
    other = again(log)
    assert len(list(other.records())) == 3
    (note,) = other.cut()
    assert f"is damaged in line {line + 1}, which is left out of the curves" in note
    assert [r["epoch"] for r in again(other).records()] == [k for k in range(4) if k != line]
    assert other.cut() == []


def test_of_many_damaged_lines_a_few_are_named(log):
    log.path.write_bytes(log.path.read_bytes().replace(b"epoch", b"epoxy"))
    notes = again(log).cut()
    assert len(notes) == 3
    assert notes[-1].endswith("; there may be more")


def test_a_log_that_is_gone_or_another_s_is_said(log, tmp_path):
    os.rename(log.path, tmp_path / "elsewhere")
    (note,) = again(log).cut()
    assert "No such file" in note
    assert note.endswith("; the curves begin anew")
    other = Log(tmp_path / "other.log")
    other.append([{"epoch": k} for k in range(5, 9)])
    os.replace(other.path, log.path)
    (note,) = again(log).cut()
    assert "is not the log that the checkpoint was saved with" in note or "damaged in line" in note


@pytest.mark.parametrize(
    "place", [{}, {"bytes": "3", "digest": ""}, {"bytes": -1, "digest": ""}, {"bytes": 3}]
)
def test_a_strange_place_is_refused(log, place):
    with pytest.raises(ValueError, match="is no place in a log"):
        log.expect(place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("kind", ["link", "pipe", "hard link"])
def test_nothing_but_a_regular_file_of_its_own_is_written_to(tmp_path, kind):
    theirs, path = tmp_path / "theirs", tmp_path / "folder" / "history.log"
    path.parent.mkdir()
    theirs.write_text("mine")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(theirs) if kind == "link" else os.link(theirs, path)
    log = Log(path)
    with pytest.raises(OutputError, match=r"cannot write .*history\.log"):
        log.append([{"epoch": 1}])
    log.expect({"bytes": 4, "digest": ""})
    assert list(log.records()) == []
    log.cut()
    assert theirs.read_text() == "mine"
    assert path.is_file()
    assert not path.is_symlink()


def test_a_full_disk_is_named(log, monkeypatch):
    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("scratchnet.storage.log.open_to_append", refuse)
    for write in (lambda: log.append([{"epoch": 4}]), log.sync):
        with pytest.raises(OutputError, match=r"history.log': No space left on device \(ENOSPC\)"):
            write()
