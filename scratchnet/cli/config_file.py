"""--config: a TOML file whose keys are the options of the command line."""

import os
import select
import stat
from typing import Any

from scratchnet.cli.options import KNOWN
from scratchnet.data.opening import NEVER_WAIT
from scratchnet.errors import ParameterError
from scratchnet.options import Option, Switch
from scratchnet.registry import nearest
from scratchnet.storage.plain import parse_toml

MAX_CONFIG = 2**20
"""Bytes read of a --config at most, so that a device is no trap."""
PATIENCE = 2.0
NOT_IN_FILES = ("config", "parallel")


def read_config(path: str) -> dict[str, Any]:
    """The values in a TOML file, checked as if they had been typed; raises ParameterError."""
    keys = {name.replace("_", "-"): name for name in KNOWN if name not in NOT_IN_FILES}
    off = {f"no-{key}": name for key, name in keys.items() if _can_be_off(KNOWN[name][1])}
    found: dict[str, Any] = {}
    for key, value in _read_toml(path).items():
        plain = key.replace("_", "-")
        if plain not in keys | off:
            near = nearest(plain, keys | off)
            hint = f"did you mean {near!r}?" if near else f"the keys are {', '.join(keys | off)}"
            raise ParameterError(f"unknown key {key!r}; {hint}")
        name = (keys | off)[plain]
        if name in found:
            raise ParameterError(f"{key} must be given once, it came twice; remove one")
        try:
            found[name] = _value(KNOWN[name][1], value)
        except ParameterError as error:
            raise ParameterError(f"{key} {error}") from error
        if plain in off:
            found[name] = not found[name]
    return found


def _can_be_off(about: Option) -> bool:
    return isinstance(about.kind, Switch) and not about.plain


def _value(about: Option, value: Any) -> Any:
    """The meaning of a TOML value, read as one would type it, a list with commas."""
    if isinstance(about.kind, Switch):
        if not isinstance(value, bool):
            raise ParameterError(f"must be true or false, got {value!r}")
        return value
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise ParameterError(f"must be a number, a text or a list of these, got {value!r}")
    text = ",".join(map(str, items))
    if not (about.each or about.listed):
        return about.kind.parse(text)
    values = [about.kind.parse(part) for part in text.split(",")]
    return values[0] if about.each and len(values) == 1 else values


def _read(path: str) -> bytes:
    """The first MAX_CONFIG bytes and one more; of a pipe those that come within PATIENCE seconds.

    A pipe is what a shell gives for `--config <(...)`; one that nobody writes to is not waited for.
    """
    with open(os.open(path, os.O_RDONLY | NEVER_WAIT), "rb", buffering=0) as file:
        if not stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            return file.read(MAX_CONFIG + 1) or b""
        text = b""
        while len(text) <= MAX_CONFIG:
            if not select.select([file], [], [], PATIENCE)[0]:
                raise ValueError(f"nothing came through the pipe for {PATIENCE:g} seconds")
            block = file.read(MAX_CONFIG + 1 - len(text))
            if not block:
                break
            text += block
        return text


def _read_toml(path: str) -> dict[str, Any]:
    """The content of a TOML file; raises ParameterError if it cannot be read or is too large."""
    if "\0" in path:
        raise ParameterError("must be the path of a file, got a NUL character in it")
    try:
        text = _read(path)
        if len(text) > MAX_CONFIG:
            raise ValueError(f"it is longer than {MAX_CONFIG:,} bytes")
        return parse_toml(text.decode("utf-8-sig"))  # editors of Windows begin with a mark
    except OSError as error:
        raise ParameterError(
            f"cannot read it: {error.strerror}; give a file with lines such as `epochs = 20`"
        ) from error
    except ValueError as error:
        raise ParameterError(f"must be TOML: {error}; write lines such as `epochs = 20`") from error
