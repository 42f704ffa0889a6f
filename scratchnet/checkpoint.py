"""Weights on disk: one `.npz` that any reader of NumPy files can open, with a header that rebuilds.

`np.load("weights.npz")["W1"]` is the first weight matrix. The member `header` is a JSON string:
which network it was, made with which options.
"""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scratchnet.data.idx import open_regular
from scratchnet.errors import DataError, ScratchnetError
from scratchnet.files import write_atomically
from scratchnet.networks import NETWORKS, MultiLayerNet, count_parameters, layer_sizes
from scratchnet.registry import pick

FORMAT = "scratchnet weights"
VERSION = 1


def save_weights(network: MultiLayerNet, path: str | Path) -> None:
    """Write the parameters by name, and what rebuilds the network; atomic; raises OutputError."""
    header = {"format": FORMAT, "version": VERSION, "network": network.config()}
    members = dict(network.params) | {"header": np.array(json.dumps(header))}
    whole = io.BytesIO()  # NumPy's zip file would still write to a target that has failed
    np.savez(whole, **members)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(whole.getbuffer()))


def load_weights(path: str | Path) -> MultiLayerNet:
    """The network that `save_weights` wrote; nothing in the file is ever run as code.

    Raises DataError where the file is missing, damaged or something else.
    """
    with open_regular(path) as file:
        try:
            _check_members(file)
            with np.load(file, allow_pickle=False) as members:
                arrays = {name: members[name] for name in members.files}
            header = json.loads(str(arrays.pop("header")))
        # On damaged bytes zipfile, NumPy and json raise a dozen kinds of exceptions.
        except Exception as error:
            raise DataError(
                f"{str(path)!r} must be weights that scratchnet saved: "
                f"{error or type(error).__name__}; save them again, or take a copy"
            ) from error
    return _rebuild(str(path), header, arrays)


def _check_members(file: BinaryIO) -> None:
    """Refuse a zip that unpacks to more than its size, or holds a name twice; raises DataError."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
        raise DataError("its members are larger than the file")
    if len({member.filename for member in members}) < len(members):
        raise DataError("it holds a member twice")
    file.seek(0)


def _rebuild(path: str, header: Any, arrays: dict[str, Any]) -> MultiLayerNet:
    """The network of `header`, holding `arrays`; raises DataError where the two do not fit."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path!r} must be weights that scratchnet saved, its header is another")
    if header.get("version") != VERSION:
        raise DataError(
            f"{path!r} has the version {header.get('version')!r} of its format, this scratchnet "
            f"reads version {VERSION}; use the scratchnet that wrote it"
        )
    try:
        network = _build(header["network"], sum(array.size for array in arrays.values()))
    except (KeyError, TypeError, ValueError, ScratchnetError) as error:
        raise DataError(f"{path!r} has a header that describes no network: {error}") from error
    for name, array in network.params.items():
        found = arrays.pop(name, None)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            came = "nothing" if found is None else f"{found.shape} {found.dtype}"
            raise DataError(
                f"{path!r} must hold {name} with shape and dtype {array.shape} {array.dtype}, "
                f"got {came}"
            )
        network.params[name] = found
    if arrays:
        raise DataError(f"{path!r} holds {', '.join(arrays)}, which the network does not have")
    return network


def _build(config: dict[str, Any], n_values: int) -> MultiLayerNet:
    """The network that `config` describes, if it has `n_values` parameters: what the file holds."""
    options = dict(config)
    kind = pick(NETWORKS, options.pop("kind"), "network")
    sizes = layer_sizes(options["input_size"], options["hidden_sizes"], options["output_size"])
    if count_parameters(sizes) != n_values:
        raise DataError(
            f"{'-'.join(map(str, sizes))} has {count_parameters(sizes)} parameters, "
            f"the file holds {n_values}"
        )
    return kind(**options)
