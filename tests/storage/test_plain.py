"""JSON and TOML that nobody vouches for: values within limits, or one sentence."""

import os

import pytest

from scratchnet.errors import DataError
from scratchnet.storage.plain import DEPTH, DIGITS, parse_json, parse_toml, read_bytes, read_json

GOOD = ["3", '{"a": [1, 2.5, null, true, "x"]}', "[" * DEPTH + "]" * DEPTH, "9" * DIGITS]
BAD = {
    "": "Expecting value",
    "[": "Expecting",
    "nan": "Expecting value",
    "NaN": "NaN is no number",
    "[-Infinity]": "-Infinity is no number",
    "1e999": "1e999 is no number",
    '{"a": 1, "a": 2}': "a key stands there twice",
    "[" * (DEPTH + 1) + "]" * (DEPTH + 1): "nested more than",
    "[" * 900 + "]" * 900: "nested more than|recursion",
    "[" * 100_000 + "]" * 100_000: "recursion|nested",
    "9" * (DIGITS + 2): "more than 100 digits",
    "9" * 9999: "more than 100 digits",
}


@pytest.mark.parametrize("text", GOOD)
def test_plain_values_are_read(text):
    assert parse_json(text) == __import__("json").loads(text)


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_beyond_the_limits_is_a_value_error(text, tmp_path):
    with pytest.raises(ValueError, match=BAD[text]):
        parse_json(text)
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json' must be JSON: "):
        read_json(path)


def test_bytes_that_are_no_text_are_a_data_error(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"\xff", b'"\xed\xa0\x80"', b"\xff\xfe3"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="must be JSON"):
            read_json(path)


@pytest.mark.parametrize("text", ["a =", "a = 1\na = 2", "a = " + "[" * 99 + "]" * 99])
def test_toml_has_the_same_limits(text):
    assert parse_toml("a = 1.5") == {"a": 1.5}
    with pytest.raises(ValueError, match=r"."):
        parse_toml(text)


def test_a_file_that_is_too_long_a_pipe_or_a_link_is_refused(tmp_path):
    path, link = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text("[1, 2, 3]")
    link.symlink_to(path)
    assert read_json(link) == [1, 2, 3]
    with pytest.raises(DataError, match=r"b\.json' is a link"):
        read_json(link, follow=False)
    assert read_json(path, largest=9) == [1, 2, 3]
    with pytest.raises(DataError, match="at most 8 bytes, it has 9"):
        read_bytes(path, largest=8)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError, match="a pipe, socket or device"):
            read_json(tmp_path / "pipe")
