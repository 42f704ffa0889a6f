"""Archives: what goes in comes out, and what is damaged or planted is refused for little."""

import io
import json
import math
import os
import time
import tracemalloc
import zipfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as some_numpy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from scratchnet.errors import DataError, OutputError
from scratchnet.storage import archive
from scratchnet.storage.archive import digest, pack, read_archive, unpack, write_archive

SMALL = {"W": np.array([[1.5, -2.0]], np.float32), "k.n": np.array(7)}
HEADER = {"format": "x", "a": [1, 0.1, None]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.npz"


def same(found: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two dicts of arrays are equal to the bit, names, dtypes and shapes included."""
    return found.keys() == right.keys() and all(
        (found[name].dtype, found[name].shape, found[name].tobytes())
        == (right[name].dtype, right[name].shape, right[name].tobytes())
        for name in right
    )


def refused(path: Path, words: str = "") -> str:
    with pytest.raises(DataError) as caught:
        read_archive(path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert words in message
    assert "\n" not in message
    return message


# Round trips

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = some.text("abcWm._-0123456789üñ数", min_size=1, max_size=8).filter(
    lambda name: name not in {"header", "file", "allow_pickle"} and not name.endswith(".npy")
)
DTYPES = some.one_of(
    some.just(np.dtype(bool)),
    some_numpy.integer_dtypes(endianness="?"),
    some_numpy.unsigned_integer_dtypes(endianness="?"),
    some_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
)
SHAPES = some_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = some_numpy.arrays(DTYPES, SHAPES)
NUMBERS = some.one_of(some.integers(), some.floats(allow_nan=False, allow_infinity=False))
PLAIN = some.one_of(some.none(), some.booleans(), NUMBERS, some.text(max_size=8))
JSON = some.recursive(
    PLAIN,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3), some.dictionaries(some.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@quick
@given(
    arrays=some.dictionaries(NAMES, ARRAYS, max_size=4),
    header=some.dictionaries(
        some.text(max_size=8).filter(lambda key: key != "sha256"), JSON, max_size=4
    ),
)
def test_every_array_and_every_header_come_back_to_the_bit(path, arrays, header):
    write_archive(path, arrays, header)
    found, text = read_archive(path)
    assert same(found, arrays)
    assert json.dumps(text, sort_keys=True) == json.dumps(header, sort_keys=True)
    for array in found.values():
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0).reshape(3, 4)[:, ::2],
        np.arange(5)[::-1],
        np.broadcast_to(np.float32(3), (2, 2)),
    ],
    ids=["F-order", "columns", "backwards", "broadcast"],
)
def test_arrays_in_any_order_come_back_in_c_order(array, path):
    write_archive(path, {"a": array}, {})
    found = read_archive(path)[0]["a"]
    np.testing.assert_array_equal(found, array)
    assert found.flags.c_contiguous
    assert found.flags.writeable


def test_the_same_content_gives_the_same_file_and_numpy_alone_reads_it(path):
    write_archive(path, SMALL, HEADER)
    first = path.read_bytes()
    write_archive(path, SMALL, HEADER)
    assert path.read_bytes() == first
    with np.load(path, allow_pickle=False) as members:
        assert same({name: members[name] for name in members.files if name != "header"}, SMALL)
        assert json.loads(str(members["header"])) == HEADER | {"sha256": digest(SMALL, HEADER)}
    assert "sha256" not in read_archive(path)[1]


LEAVES = some.one_of(PLAIN, ARRAYS)
KEYS = some.text("abcxyz0", min_size=1, max_size=4)
TREES = some.recursive(
    LEAVES,
    lambda inner: some.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return same({"": a}, {"": b})
    return type(a) is type(b) and bool(a == b)


@quick
@given(tree=TREES)
def test_a_tree_of_dicts_arrays_and_plain_data_comes_back_from_the_file(path, tree):
    arrays: dict[str, Any] = {}
    packed = pack(tree, "state", arrays)
    assert all(name == "state" or name.startswith("state.") for name in arrays)
    assert equal(unpack(packed, arrays), tree)
    write_archive(path, arrays, {"tree": packed})
    found, header = read_archive(path)
    assert equal(unpack(header["tree"], found), tree)


def test_two_arrays_never_get_one_place():
    tree = {"a.b": np.ones(1), "a": {"b": np.zeros(1)}}
    with pytest.raises(ValueError, match=r"two arrays have the place 'x\.a\.b'"):
        pack(tree, "x", {})


def test_an_array_that_a_tree_names_and_nobody_has_is_a_key_error():
    with pytest.raises(KeyError, match=r"x\.a"):
        unpack({"a": {"array": "x.a"}}, {})


# The digest


def test_the_digest_tells_names_dtypes_shapes_values_and_headers_apart():
    a = np.array([1.0, 2.0])
    contents: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"a": a}, {}),
        ({"b": a}, {}),
        ({"a": a, "b": a}, {}),
        ({"a": a.astype(">f8")}, {}),
        ({"a": a.view(np.int64)}, {}),
        ({"a": a[:, None]}, {}),
        ({"a": np.array(1.0)}, {}),
        ({"a": np.array([1.0])}, {}),
        ({"a": np.array([[1.0]])}, {}),
        ({"a": np.nextafter(a, 3)}, {}),
        ({"a": a * [1, -1]}, {}),
        ({"a": a * 0}, {}),
        ({"a": a * -0.0}, {}),
        ({"a": a}, {"k": 1}),
        ({"a": a}, {"k": 1.0}),
        ({"a": a}, {"k": True}),
        ({"a": a}, {"k": "1"}),
        ({"a": a}, {"k": [1]}),
    ]
    found = [digest(*content) for content in contents]
    assert len(set(found)) == len(contents)
    assert all(len(bytes.fromhex(text)) == 32 for text in found)


def test_the_digest_does_not_depend_on_the_order_of_names_or_of_memory():
    a, b = np.arange(6.0).reshape(2, 3), np.ones(2)
    assert digest({"a": a, "b": b}, {"x": 1, "y": 2}) == digest(
        {"b": b, "a": np.asfortranarray(a)}, {"y": 2, "x": 1}
    )


def test_every_flipped_bit_is_found_or_harmless(path):
    write_archive(path, SMALL, HEADER)
    whole = path.read_bytes()
    harmless = 0
    with open(path, "r+b", buffering=0) as file:
        for place, bit in product(range(len(whole)), range(8)):
            os.pwrite(file.fileno(), bytes([whole[place] ^ 1 << bit]), place)
            try:
                arrays, header = read_archive(path)
            except DataError:
                pass
            else:
                harmless += 1
                assert same(arrays, SMALL)
                assert header == HEADER
            os.pwrite(file.fileno(), whole[place : place + 1], place)
    assert path.read_bytes() == whole
    assert 0 < harmless < 8 * len(whole) / 5  # dates and such, which only the zip has


def test_every_flipped_bit_of_the_content_is_found_by_the_digest_where_the_crc_was_mended(path):
    """The control of the CRC: these files are whole for the zip, and only the digest can tell."""
    write_archive(path, SMALL, HEADER)
    contents = contents_of(path)
    for name in ("W.npy", "k.n.npy"):
        for place, bit in product(range(128, len(contents[name])), range(8)):
            broken = bytearray(contents[name])
            broken[place] ^= 1 << bit
            write_zip(path, contents | {name: bytes(broken)})
            refused(path, "is damaged: its content has the SHA-256")


def contents_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as members:
        return {name: members.read(name) for name in members.namelist()}


def write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as members:
        for name, content in contents.items():
            members.writestr(name, content)


@settings(quick, max_examples=250)
@given(data=some.data())
def test_whatever_is_done_to_its_bytes_is_a_data_error_or_harmless(path, data):
    write_archive(path, SMALL, HEADER)
    if data.draw(some.booleans()):  # within a member, with the CRC that fits
        contents = contents_of(path)
        name = data.draw(some.sampled_from(sorted(contents)))
        write_zip(path, contents | {name: mutated(contents[name], data)})
    else:
        path.write_bytes(mutated(path.read_bytes(), data))
    try:
        arrays, header = read_archive(path)
    except DataError:
        return
    assert same(arrays, SMALL)
    assert header == HEADER


def mutated(content: bytes, data: some.DataObject) -> bytes:
    for _ in range(data.draw(some.integers(1, 3))):
        place = data.draw(some.integers(0, len(content)))
        gone = data.draw(some.integers(0, 9))
        content = content[:place] + data.draw(some.binary(max_size=9)) + content[place + gone :]
    return content


# The header


def with_text(path: Path, text: Any, **arrays: Any) -> None:
    np.savez(path, header=text if isinstance(text, np.ndarray) else np.array(text), **arrays)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a damaged header (Expecting value"),
        ("{", "a damaged header"),
        ('{"a": 1, "a": 1}', "a damaged header (a key stands there twice)"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "a key stands there twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": [-Infinity]}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"a": -1e999}', "-1e999 is no number"),
        ('{"a": ' + "9" * 5000 + "}", "a damaged header"),
        ("[" * 50_000 + "]" * 50_000, "a damaged header (maximum recursion"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "a damaged header (maximum recursion"),
        ("[]", "a header that is no JSON object"),
        ("3", "a header that is no JSON object"),
        ("{}", "its header says None"),
        ('{"sha256": 3}', "its header says 3"),
        ('{"a": "\\ud800"}', "its header says None"),
        (np.array(["{}"]), "without the header of scratchnet's files"),
        (np.array(3), "without the header of scratchnet's files"),
        (np.array(b"{}"), "'header.npy' is of dtype |S2"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_a_header_that_we_would_not_write_is_refused(text, words, path):
    with_text(path, text, a=np.ones(2))
    refused(path, words)


def test_a_header_of_what_is_no_character_is_refused(path):
    with_text(path, "{}")
    members = contents_of(path)
    members["header.npy"] = members["header.npy"][:-8] + b"\xff" * 8
    write_zip(path, members)
    refused(path, "a damaged header")


def test_text_beside_the_header_is_refused(path):
    with_text(path, "{}", a=np.array("text"))
    refused(path, "without the header of scratchnet's files")


def test_a_header_of_the_largest_size_is_read_and_a_larger_one_refused(path, monkeypatch):
    write_archive(path, {}, HEADER)
    with np.load(path) as members:
        length = len(str(members["header"]))
    monkeypatch.setattr(archive, "LARGEST_HEADER", length)
    assert read_archive(path)[1] == HEADER
    monkeypatch.setattr(archive, "LARGEST_HEADER", length - 1)
    refused(path, f"has a header of {length} characters, over {length - 1}")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_not_written(value, path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_archive(path, {}, {"a": [value]})
    assert not path.exists()


def test_where_it_cannot_be_written_the_folder_is_as_it_was(path, tmp_path):
    path.touch()
    with pytest.raises(OutputError, match=r"Not a directory \(ENOTDIR\)"):
        write_archive(path / "below.npz", SMALL, HEADER)
    assert os.listdir(tmp_path) == ["some.npz"]


# What it costs to refuse


def claiming(shape: str) -> bytes:
    """An .npy that says it has that shape, and nothing behind its header."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def bomb_of_zeros(path: Path) -> None:
    np.savez_compressed(path, header=np.array("{}"), a=np.zeros(30_000_000))


def bomb_of_text(path: Path) -> None:
    np.savez_compressed(path, header=np.array(" " * 30_000_000))


def bomb_of_shape(path: Path) -> None:
    write_zip(path, {"a.npy": claiming("(10000000000,)")})


def bomb_of_overflow(path: Path) -> None:
    write_zip(path, {"a.npy": claiming("(4294967296, 4294967296)")})


def bomb_of_signs(path: Path) -> None:
    write_zip(path, {"a.npy": claiming("(-1, -16)") + bytes(128)})


def bomb_of_names(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as members:
        for k in range(3000):
            members.writestr(f"{k}.npy", b"")


def bomb_of_one_place(path: Path) -> None:
    """A thousand names for the same bytes."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(10_000))
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("a.npy", buffer.getvalue())
        for k in range(1000):
            info = members.NameToInfo["a.npy"]
            other = zipfile.ZipInfo(f"{k}.npy")
            other.header_offset, other.CRC = info.header_offset, info.CRC
            other.compress_size = other.file_size = info.file_size
            members.filelist.append(other)


@pytest.mark.parametrize(
    "make",
    [
        bomb_of_zeros,
        bomb_of_text,
        bomb_of_shape,
        bomb_of_overflow,
        bomb_of_signs,
        bomb_of_names,
        bomb_of_one_place,
    ],
)
def test_a_bomb_is_refused_in_little_memory_and_time(make, path):
    make(path)
    allowed = 2 * path.stat().st_size + 32 * 2**20
    begin = time.process_time()
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= allowed
    assert time.process_time() - begin < 5


def test_reading_takes_no_more_memory_than_twice_the_file(path):
    write_archive(path, {"a": np.random.default_rng(0).normal(size=2**20)}, HEADER)
    tracemalloc.start()
    read_archive(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 2 * path.stat().st_size + 2**20


@pytest.mark.parametrize("place", ["none.npz", ".", "/dev/zero"])
def test_what_is_no_file_is_refused_and_never_waited_for(place, tmp_path):
    refused(tmp_path / place)
