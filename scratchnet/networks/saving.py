"""A network written to a file: its parameters by name, and what makes it again."""

from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.errors import DivergenceError
from scratchnet.layers import Layer, Loss
from scratchnet.parameters import Array, first_not_finite
from scratchnet.storage.archive import write_archive
from scratchnet.storage.checkpoint import WEIGHTS, mark


def save_network(network: Any, path: str | Path, *, follow: bool = True) -> None:
    """Write the network, atomically: parameters by name, what makes it again, its preparation.

    A link at `path` is followed, or with follow=False replaced.

    Raises OutputError if it cannot be written, DivergenceError if a value is not finite.
    """
    arrays = arrays_of(network)
    faulty = first_not_finite(arrays)
    if faulty is not None:
        raise DivergenceError(f"{faulty} is not finite, and was not saved; train anew")
    write_archive(path, arrays, {**mark(WEIGHTS), **header_of(network)}, follow=follow)


def header_of(network: Any) -> dict[str, Any]:
    """What makes the network again but for its parameters, and how its inputs are prepared."""
    return {"network": network.config(), "preparation": network.preparation.config()}


def describe(value: Any) -> Any:
    """A layer or a loss as the name of its class and its arguments, or plain data as it is."""
    if isinstance(value, Layer | Loss):
        options = {name: describe(one) for name, one in value.config().items()}
        plain = {name: one for name, one in options.items() if one is not NotImplemented}
        return {"class": type(value).__name__, **plain}
    if isinstance(value, list | tuple):
        return [describe(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, str | bool | int | float) else NotImplemented


def arrays_of(network: Any) -> dict[str, Array]:
    """All that changes in the network in training: parameters, and what its layers measure."""
    return {**network.params, **network.statistics}
