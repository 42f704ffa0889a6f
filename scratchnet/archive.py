"""One file of arrays and a header: a plain `.npz`, written whole, verified when it is read.

Anybody can open it: `np.load(path)["W1"]`, `str(np.load(path)["header"])`. The header is JSON; in
it stands the SHA-256 of all the rest, so that no flipped bit passes for a weight. Nothing in such a
file is code, and reading allocates no more than the size of the file allows.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.data.idx import NUMBERS, read_npz
from scratchnet.errors import DataError
from scratchnet.files import write_atomically
from scratchnet.parameters import Array

LARGEST_HEADER = 16 * 2**20  # characters


def write_archive(path: str | Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write `arrays` and `header`, with their digest, atomically; raises OutputError.

    The header holds what JSON can: no NaN, keys that are text.
    """
    text = json.dumps({**header, "sha256": digest(arrays, header)}, allow_nan=False)
    whole = io.BytesIO()  # NumPy's zip file would still write to a target that has failed
    np.savez(whole, header=np.array(text), **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(whole.getbuffer()))


def read_archive(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays, C-ordered and writable, and the header that `write_archive` was given.

    Raises DataError, naming file and fault, where it is missing, damaged, or another kind of file.
    """
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    try:
        arrays = read_npz(path, max_bytes=max(size, 1), kinds=NUMBERS + "U")
    except DataError as error:
        raise DataError(
            f"{error}; only .npz files that scratchnet wrote are read, and nothing is unpickled"
        ) from error
    text = arrays.pop("header", np.array(0))
    if text.dtype.kind != "U" or text.ndim or any(a.dtype.kind == "U" for a in arrays.values()):
        raise DataError(f"{str(path)!r} is an .npz without the header of scratchnet's files")
    header = _parse(str(path), str(text))
    found = digest(arrays, {key: header[key] for key in header if key != "sha256"})
    if header.get("sha256") != found:
        raise DataError(
            f"{str(path)!r} is damaged: its content has the SHA-256 {found}, its header says "
            f"{header.get('sha256')}; take another copy"
        )
    del header["sha256"]
    return arrays, header


def digest(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and bytes of the arrays, and the header's JSON."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.data)
    total.update(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    return total.hexdigest()


def pack(tree: Any, name: str, arrays: dict[str, Array]) -> Any:
    """`tree` as JSON can hold it: its arrays go into `arrays`, under `name` and their place."""
    if isinstance(tree, np.ndarray):
        arrays[name] = tree
        return {"array": name}
    if isinstance(tree, dict):
        return {key: pack(value, f"{name}.{key}", arrays) for key, value in tree.items()}
    return tree


def unpack(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """What `pack` was given; raises KeyError where an array is missing."""
    if isinstance(tree, dict):
        if set(tree) == {"array"}:
            return arrays[tree["array"]]
        return {key: unpack(value, arrays) for key, value in tree.items()}
    return tree


def _parse(path: str, text: str) -> dict[str, Any]:
    """The header's JSON; raises DataError for what JSON allows and we never write."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key stands there twice")
        return dict(pairs)

    if len(text) > LARGEST_HEADER:
        raise DataError(f"{path!r} has a header of {len(text)} characters, over {LARGEST_HEADER}")
    try:
        header = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path!r} has a damaged header ({error}); take another copy") from error
    if not isinstance(header, dict):
        raise DataError(f"{path!r} has a header that is no JSON object; take another copy")
    return header
