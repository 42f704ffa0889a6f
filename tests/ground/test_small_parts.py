"""Names, checks of values, random streams and files written whole."""

import errno
import os

import numpy as np
import pytest

from scratchnet.checks import check_integer, check_not_negative
from scratchnet.errors import OutputError, ParameterError
from scratchnet.randomness import PURPOSES, generator, permutation
from scratchnet.registry import canonical, pick
from scratchnet.storage.atomic import write_atomically, write_text

TABLE = {"sgd": 1, "fashion-mnist": 2, "adam": 3}


@pytest.mark.parametrize("name", ["fashion-mnist", "Fashion_MNIST", " FASHION-MNIST "])
def test_a_name_is_found_whatever_its_case(name):
    assert pick(TABLE, name, "data set") == 2
    assert canonical(TABLE, name, "data set") == "fashion-mnist"


def test_an_unknown_name_is_met_with_the_nearest_and_the_list():
    with pytest.raises(ParameterError) as caught:
        pick(TABLE, "adaam", "optimizer")
    assert str(caught.value) == (
        "unknown optimizer 'adaam'; did you mean 'adam'? The names are: sgd, fashion-mnist, adam"
    )
    with pytest.raises(ParameterError, match="'zzz'; the names are: sgd"):
        pick(TABLE, "zzz", "optimizer")


@pytest.mark.parametrize("value", [np.int64(3), 3, np.uint8(3)])
def test_integers_of_any_kind_are_taken(value):
    assert check_integer("n", value, 1) == 3
    assert type(check_integer("n", value, 1)) is int


@pytest.mark.parametrize("value", [0, 1.0, "1", None, True, np.float64(2)])
def test_what_is_no_integer_in_range_is_named(value):
    with pytest.raises(ParameterError, match=r"^n must be an integer >= 1, got "):
        check_integer("n", value, 1)


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), "0", None, True])
def test_what_is_no_number_of_0_or_more_is_named(value):
    with pytest.raises(ParameterError, match=r"^L2 must be a finite number >= 0, got "):
        check_not_negative("L2", value)


def test_a_stream_depends_on_seed_purpose_and_index_only():
    draws = {
        (seed, purpose, index): generator(seed, purpose, index).integers(2**60)
        for seed in (0, 1, 2**200)
        for purpose in PURPOSES
        for index in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    assert generator(1, "shuffle", 0).integers(2**60) == draws[1, "shuffle", 0]


def test_the_streams_of_earlier_versions_stay_the_same():
    # Stored once: results that people have written down depend on them.
    assert permutation(8, 0, "shuffle", 0).tolist() == [6, 4, 1, 3, 2, 7, 5, 0]
    assert permutation(8, 1, "shuffle", 3).tolist() == [6, 4, 2, 5, 1, 0, 3, 7]


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_a_permutation_holds_every_index_once(n):
    assert sorted(permutation(n, 0, "shuffle", 0)) == list(range(n))


def test_every_position_is_as_likely_for_every_index():
    counts = np.zeros((6, 6))
    for seed in range(3000):
        counts[np.arange(6), permutation(6, seed, "shuffle")] += 1
    # 500 expected in each cell: chi-squared with 25 degrees of freedom is below 60 but for 1e-4.
    assert ((counts - 500) ** 2 / 500).sum() < 60


def test_a_file_is_written_whole(tmp_path):
    write_text(tmp_path / "a.txt", "first")
    write_text(tmp_path / "a.txt", "zweiter, größer")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "zweiter, größer"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_a_failing_system_call_leaves_the_old_file_and_names_path_and_reason(
    tmp_path, monkeypatch, call, code
):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("builtins.open" if call == "open" else f"os.{call}", fail)
    with pytest.raises(OutputError, match=os.strerror(code)) as caught:
        write_text(target, "new")
    monkeypatch.undo()
    assert str(target) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_of_the_writer_leaves_the_old_file_too(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_atomically(target, lambda file: file.write(b"half") and 1 / 0)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
