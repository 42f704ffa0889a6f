"""Networks as plain JSON: layers, options, parameters as lists, and how inputs are prepared.

    {"format": "scratchnet network as JSON", "version": 1, "scratchnet": "0.1.0",
     "network": {...}, "preparation": {...},
     "parameters": {"W1": [[...], ...], "b1": [...]}, "statistics": {...}}

`network` is `network.config()`, `preparation` is `network.preparation.config()`. Weights are lists
within lists, in the shape they have in `network.params`. Every number reads back as the same bits.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.errors import DataError, ParameterError
from scratchnet.formats.layouts import check_finite
from scratchnet.networks.network import Network
from scratchnet.networks.saving import header_of
from scratchnet.networks.weights import described_network, place_weights
from scratchnet.parameters import Array, first_not_finite
from scratchnet.storage.atomic import write_text
from scratchnet.storage.checkpoint import mark
from scratchnet.storage.plain import LARGEST, read_json

FORMAT = "scratchnet network as JSON"


def to_json(network: Network, path: str | Path) -> None:
    """Write the network as JSON, atomically; about 12 bytes for each parameter of float32.

    Raises ParameterError for a network too large for that, DivergenceError if a value is not
    finite, OutputError if the file cannot be written.
    """
    check_finite(network)
    if 2 * network.state_vector.size > LARGEST:  # a digit and a comma, before any text is made
        raise _too_large(network)
    content: dict[str, Any] = {**mark(FORMAT), **header_of(network)}
    content["parameters"] = {name: _lists(array) for name, array in network.params.items()}
    content["statistics"] = {name: _lists(array) for name, array in network.statistics.items()}
    text = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in content.items()
    )
    if len(text) + 6 > LARGEST:
        raise _too_large(network)
    write_text(path, f"{{\n{text}\n}}\n")


def from_json(path: str | Path, classes: Iterable[type[Any]] = ()) -> Network:
    """The network in a file of `to_json`, with its preparation.

    `classes` are layers and losses of your own that it is made of. Raises DataError for a file that
    is missing, damaged or something else.
    """
    found = read_json(path)
    about = mark(FORMAT)
    if not isinstance(found, dict) or any(
        found.get(name) != about[name] for name in ("format", "version")
    ):
        raise DataError(
            f"{str(path)!r} must be a file of to_json, version {about['version']}: its format is "
            f"{FORMAT!r}"
        )
    arrays: dict[str, Array] = {}
    for part in ("parameters", "statistics"):
        of_part = found.get(part)
        if not isinstance(of_part, dict):
            raise DataError(f"{str(path)!r} must have a table of {part}")
        arrays |= {name: _array(path, name, value) for name, value in of_part.items()}
    network = described_network(path, found, sum(a.size for a in arrays.values()), classes)
    with np.errstate(over="ignore"):
        arrays = {name: array.astype(network.dtype) for name, array in arrays.items()}
    faulty = first_not_finite(arrays)
    if faulty is not None:
        raise DataError(f"{str(path)!r} holds {faulty} with numbers beyond {network.dtype}")
    place_weights(str(path), arrays, network)
    assert isinstance(network, Network)
    return network


def _lists(array: Array) -> Any:
    """The values as lists, with as few digits as tell them from their neighbours."""
    short = array.astype(str).astype(np.float64)
    exact = short.astype(array.dtype) == array
    return np.where(exact, short, array).tolist()


def _array(path: str | Path, name: str, value: Any) -> Array:
    """The numbers in lists within lists; raises DataError for anything else."""
    try:
        array = np.array(value if isinstance(value, list) else None)
    except ValueError:  # lists of unlike lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{str(path)!r} must hold {name!r} as lists of numbers of one length")
    return array


def _too_large(network: Network) -> ParameterError:
    return ParameterError(
        f"a network must have some {LARGEST // 12:,} parameters at most for JSON, this one has "
        f"{network.vector.size:,}; use network.save, or .safetensors"
    )
