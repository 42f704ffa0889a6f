"""Reads checkpoints without scratchnet: what the file says of itself, checked anew."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and header, with every CRC (by NumPy) and the SHA-256 checked; raises otherwise."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as members:
        arrays = {name: members[name] for name in members.files}
    header = json.loads(str(arrays.pop("header")))
    found = hashlib.sha256()
    said = header.pop("sha256")
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    found.update(json.dumps(header, sort_keys=True).encode())
    if found.hexdigest() != said:
        raise ValueError(f"{path} has another SHA-256 than it says")
    return arrays, header


def fault(path: Path) -> str | None:
    """Why the file cannot be read, or None where it can."""
    try:
        read(path)
    except Exception as error:  # whatever it is, it is unreadable
        return f"{type(error).__name__}: {error}"
    return None
