"""Networks as safetensors: the arrays in torch's layout, and what makes the network again.

`safetensors.torch.load_file` reads such a file, for the module that `torch_code` builds. What the
network is made of, and how its inputs are prepared, stand in its metadata as JSON. Nothing in a
file is run.
"""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchnet import __version__
from scratchnet.data.opening import open_regular
from scratchnet.errors import DataError, ParameterError
from scratchnet.formats.packages import need
from scratchnet.formats.torch import from_torch, to_state_dict, torch_code
from scratchnet.networks.network import Network
from scratchnet.networks.saving import header_of
from scratchnet.networks.weights import described_network
from scratchnet.parameters import Array
from scratchnet.storage.atomic import write_atomically
from scratchnet.storage.plain import parse_json

VERSION = "1"
LARGEST_HEADER = 16 * 2**20
"""Bytes of names, shapes and metadata that are read."""
LARGEST = 2**33
"""Bytes of a file that are read."""
LENGTH = struct.Struct("<Q")
"""How the length of the header stands at the beginning of a file."""


def to_safetensors(network: Network, path: str | Path) -> None:
    """Write `to_state_dict(network)` to a file, atomically.

    The metadata have `network` and `preparation` as JSON, and in `torch_code` the text that builds
    the torch module. With that text torch needs two lines to have the network:

        model = nn.Sequential(...)  # as torch_code(network) says
        model.load_state_dict(safetensors.torch.load_file("net.safetensors"))

    Raises ParameterError for a layer that torch's layout does not hold, DivergenceError if a value
    is not finite, OutputError if the file cannot be written, MissingPackageError without the
    package safetensors.
    """
    numpy = need("a .safetensors file", "safetensors.numpy")
    header = header_of(network)
    metadata = {
        "format": "pt",
        "scratchnet": __version__,
        "version": VERSION,
        "network": json.dumps(header["network"], allow_nan=False),
        "preparation": json.dumps(header["preparation"], allow_nan=False),
        "torch_code": torch_code(network),
    }
    content = numpy.save(to_state_dict(network), metadata=metadata)
    if LENGTH.unpack(content[: LENGTH.size])[0] > LARGEST_HEADER:
        raise ParameterError(
            f"what describes the network must have at most {LARGEST_HEADER:,} bytes; give its "
            "classes shorter names"
        )
    write_atomically(path, lambda file: file.write(content))


def from_safetensors(path: str | Path) -> Network:
    """The network in a file of `to_safetensors`, with its preparation.

    Raises DataError for a file that is missing, damaged or not of `to_safetensors`,
    MissingPackageError without the package safetensors.

    >>> from scratchnet.formats.safetensors import from_safetensors, to_safetensors
    >>> to_safetensors(network, "net.safetensors")
    >>> from_safetensors("net.safetensors").vector.size == network.vector.size
    True
    """
    arrays, metadata = read_arrays(path)
    if not {"network", "preparation"} <= set(metadata) or metadata.get("version") != VERSION:
        raise DataError(
            f"{str(path)!r} must be a file of to_safetensors, version {VERSION}, its metadata say "
            "nothing of that; fill an equal network with scratchnet.formats.torch.from_torch"
        )
    try:
        header = {name: parse_json(metadata[name]) for name in ("network", "preparation")}
    except ValueError as error:
        raise DataError(f"{str(path)!r} has damaged metadata ({error})") from error
    size = sum(array.size for array in arrays.values())
    network = described_network(path, header, size)
    try:
        from_torch(arrays, network)
    except (DataError, ParameterError) as error:
        raise DataError(f"{str(path)!r} does not hold its own network: {error}") from error
    assert isinstance(network, Network)
    return network


def read_arrays(path: str | Path) -> tuple[dict[str, Array], Mapping[str, str]]:
    """The arrays in a safetensors file by name, and its metadata; raises DataError."""
    numpy = need("a .safetensors file", "safetensors.numpy")
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise DataError(f"{str(path)!r} must have at most {LARGEST:,} bytes, it has {size:,}")
        start = file.read(LENGTH.size)
        length = LENGTH.unpack(start)[0] if len(start) == LENGTH.size else size
        if length > min(size - LENGTH.size, LARGEST_HEADER):
            raise DataError(f"{str(path)!r} must be a safetensors file; it is another, or cut off")
        header = file.read(length)
        content = start + header + file.read(max(size - len(start) - len(header), 0))
    try:
        metadata: Any = parse_json(header.decode()).get("__metadata__", {})
        arrays = numpy.load(content)
    except Exception as error:  # whatever a damaged file ends in
        raise DataError(f"{str(path)!r} is a damaged safetensors file: {error}") from error
    return arrays, metadata
