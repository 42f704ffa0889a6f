"""JSON and TOML from files that nobody vouches for: plain values, within limits."""

import json
import math
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchnet.data.opening import open_regular
from scratchnet.errors import DataError

LARGEST = 2**26
"""Bytes of a file at most: the results of a thousand classes have some ten million."""
DEPTH = 64
"""Lists and tables within each other, at most."""
DIGITS = 100
"""Digits of a whole number at most, so that a float can be made of it; a seed may be long."""


def parse_json(text: str) -> Any:
    """The value; raises ValueError, with the reason, for what is no JSON or beyond the limits.

    No NaN or infinity, no key twice in one table.
    """
    return _parse(
        lambda: json.loads(
            text,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_short,
            object_pairs_hook=_once,
        )
    )


def parse_toml(text: str) -> dict[str, Any]:
    """The table; raises ValueError, with the reason, for what is no TOML or beyond the limits."""
    found: dict[str, Any] = _parse(lambda: tomllib.loads(text))
    return found


def read_json(path: str | os.PathLike[str], *, follow: bool = True, largest: int = LARGEST) -> Any:
    """The value in a regular file of at most `largest` bytes; raises DataError that names it.

    With follow=False a link is refused: in a folder that may be a stranger's.
    """
    try:
        return parse_json(read_bytes(path, follow=follow, largest=largest).decode("utf-8-sig"))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{str(path)!r} must be JSON: {error}; take another copy") from error


def read_bytes(
    path: str | os.PathLike[str], *, follow: bool = True, largest: int = LARGEST
) -> bytes:
    """The content of a regular file of at most `largest` bytes; raises DataError that names it."""
    with open_regular(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size  # as `read` takes the memory that it is told of
        if size > largest:
            raise DataError(f"{str(path)!r} must have at most {largest:,} bytes, it has {size:,}")
        try:
            return file.read(size)
        except OSError as error:
            raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def is_real_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _parse(parse: Callable[[], Any]) -> Any:
    try:
        found = parse()
    except (RecursionError, MemoryError, SystemError) as error:  # the last: no such character
        raise ValueError(str(error) or type(error).__name__) from error
    _check_depth(found)
    return found


def _check_depth(value: Any) -> None:
    """Raise ValueError beyond DEPTH levels, without recursion; of integers beyond DIGITS too."""
    level: list[Any] = [value]
    for _ in range(DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
        if any(type(one) is int and abs(one) >= 10**DIGITS for one in level):
            raise ValueError(f"a number has more than {DIGITS} digits")
    raise ValueError(f"it is nested more than {DEPTH} deep")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _finite(number: str) -> float:
    return float(number) if math.isfinite(float(number)) else _refuse(number)


def _short(number: str) -> int:
    if len(number) > DIGITS + 1:
        raise ValueError(f"a number has more than {DIGITS} digits")
    return int(number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found
