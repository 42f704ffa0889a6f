"""Weights on disk: one `.npz` that any reader of NumPy files can open, with a header that rebuilds.

`np.load("weights.npz")["W1"]` is the first weight matrix. The member `header` is a JSON string:
which network it was, made with which options.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.errors import DataError, ScratchnetError
from scratchnet.files import write_atomically
from scratchnet.networks import NETWORKS, MultiLayerNet
from scratchnet.registry import pick

FORMAT = "scratchnet weights"
VERSION = 1


def save_weights(network: MultiLayerNet, path: str | Path) -> None:
    """Write the parameters by name and what rebuilds the network, atomically; raises OutputError."""
    header = {"format": FORMAT, "version": VERSION, "network": network.config()}
    members = dict(network.params) | {"header": np.array(json.dumps(header))}
    write_atomically(path, lambda file: np.savez(file, **members))  # type: ignore[arg-type]


def load_weights(path: str | Path) -> MultiLayerNet:
    """The network that `save_weights` wrote.

    Raises DataError where the file is missing, damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        header = json.loads(str(arrays.pop("header")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{str(path)!r} must be weights that scratchnet saved: {error or type(error).__name__}"
        ) from error
    return _rebuild(str(path), header, arrays)


def _rebuild(path: str, header: Any, arrays: dict[str, Any]) -> MultiLayerNet:
    """The network of `header`, holding `arrays`; raises DataError where the two do not fit."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path!r} must be weights that scratchnet saved, its header is another")
    if header.get("version") != VERSION:
        raise DataError(
            f"{path!r} has the version {header.get('version')} of its format, this scratchnet "
            f"reads version {VERSION}; use the scratchnet that wrote it"
        )
    try:
        options = dict(header["network"])
        network = pick(NETWORKS, options.pop("kind"), "network")(**options)
    except (KeyError, TypeError, ValueError, ScratchnetError) as error:
        raise DataError(f"{path!r} has a header that describes no network: {error}") from error
    for name, array in network.params.items():
        if name not in arrays or arrays[name].shape != array.shape:
            found = arrays[name].shape if name in arrays else "nothing"
            raise DataError(f"{path!r} must hold {name} with the shape {array.shape}, got {found}")
        network.params[name] = arrays[name]
    return network
