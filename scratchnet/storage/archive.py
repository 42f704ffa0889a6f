"""One file of arrays and a header: a plain `.npz`, written whole, verified when it is read.

Anybody can open it: `np.load(path)["W1"]`, `str(np.load(path)["header"])`. The header is JSON; in
it stands the SHA-256 of all the rest, so that no flipped bit passes for a weight. Nothing in such a
file is code, and reading allocates no more than the size of the file allows.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scratchnet.data.npz import NUMBERS, read_npz_file
from scratchnet.data.opening import open_regular
from scratchnet.errors import DataError, OutputError
from scratchnet.parameters import Array
from scratchnet.storage.atomic import write_atomically
from scratchnet.storage.plain import parse_json

LARGEST_HEADER = 16 * 2**20  # characters


def write_archive(
    path: str | Path,
    arrays: Mapping[str, Array],
    header: Mapping[str, Any],
    *,
    follow: bool = True,
) -> None:
    """Write `arrays` and `header`, with their digest, atomically; raises OutputError.

    The header holds what JSON can, no NaN, keys that are text, within the limits of the reader.
    `follow` is as `write_atomically` has it.
    """
    text = json.dumps({**header, "sha256": digest(arrays, header)}, allow_nan=False)
    try:
        _parse(str(path), np.array(text))
    except DataError as error:
        raise OutputError(f"what would be saved could not be read: {error}") from error
    whole = io.BytesIO()  # NumPy's zip file would still write to a target that has failed
    np.savez(whole, header=np.array(text), **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(whole.getbuffer()), follow=follow)


def read_archive(
    path: str | Path, *, follow: bool = True
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays, C-ordered and writable, and the header that `write_archive` was given.

    With follow=False a link is refused. Raises DataError, naming file and fault, where it is
    missing, damaged, or another kind of file.
    """
    try:
        with open_regular(path, follow=follow) as file:
            size = os.fstat(file.fileno()).st_size
            _check_members(path, file, size)
            arrays = read_npz_file(path, file, max_bytes=max(size, 1), kinds=NUMBERS + "U")
    except DataError as error:
        raise DataError(
            f"{error}; only .npz files that scratchnet wrote are read, and nothing is unpickled"
        ) from error
    text = arrays.pop("header", np.array(0))
    if text.dtype.kind != "U" or text.ndim or any(a.dtype.kind == "U" for a in arrays.values()):
        raise DataError(f"{str(path)!r} is an .npz without the header of scratchnet's files")
    header = _parse(str(path), text)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
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
        array = np.asarray(arrays[name], order="C")
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.data)
    total.update(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    return total.hexdigest()


def pack(tree: Any, name: str, arrays: dict[str, Array]) -> Any:
    """`tree` as JSON can hold it: its arrays go into `arrays`, under `name` and their place.

    Its dicts have keys that are text, and none has the key "array" alone. Raises ValueError where
    two arrays would have the same place.
    """
    if isinstance(tree, np.ndarray):
        if name in arrays:
            raise ValueError(f"two arrays have the place {name!r}")
        arrays[name] = tree
        return {"array": name}
    if isinstance(tree, dict):
        return {key: pack(value, f"{name}.{key}", arrays) for key, value in tree.items()}
    return tree


def unpack(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """The value that `pack` was given; raises KeyError if an array is missing."""
    if isinstance(tree, dict):
        if set(tree) == {"array"}:
            return arrays[tree["array"]]
        return {key: unpack(value, arrays) for key, value in tree.items()}
    return tree


def _check_members(path: str | Path, file: BinaryIO, size: int) -> None:
    """Refuse a zip whose members are packed, there twice, or one over the other.

    So nothing unpacks to more than the file has. What is damaged is left to the reader after this.
    """
    import zipfile  # only here, as it is slow to import

    try:
        with zipfile.ZipFile(file) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    except Exception:  # zipfile raises a dozen kinds on damaged bytes
        return
    names, end = set(), 0
    for member in members:
        if member.filename in names:
            raise DataError(f"{str(path)!r} holds {member.filename!r} twice")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise DataError(f"{str(path)!r} holds {member.filename!r} compressed")
        if member.header_offset < end or member.header_offset + member.file_size > size:
            raise DataError(f"{str(path)!r} holds {member.filename!r} in the place of another")
        names.add(member.filename)
        end = member.header_offset + member.file_size


def _parse(path: str, text: Array) -> dict[str, Any]:
    """The header's JSON; raises DataError for what is beyond the limits of plain values."""
    length = text.dtype.itemsize // 4
    if length > LARGEST_HEADER:
        raise DataError(f"{path!r} has a header of {length} characters, over {LARGEST_HEADER}")
    try:
        header = parse_json(str(text))
    except (ValueError, SystemError) as error:  # the last: no such character
        raise DataError(f"{path!r} has a damaged header ({error}); take another copy") from error
    if not isinstance(header, dict):
        raise DataError(f"{path!r} has a header that is no JSON object; take another copy")
    return header
