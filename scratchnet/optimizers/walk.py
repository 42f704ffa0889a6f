"""The walk over parameters: a network's vector in blocks, or arrays by name."""

from collections.abc import Iterator, Mapping, MutableMapping

import numpy as np

from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.parameters import Array, Arrays, is_weight

BLOCK = 32_768
"""Values handled at a time: their temporaries stay in the processor's cache."""

Params = MutableMapping[str, Array] | Arrays


def walk(
    params: Params, grads: Mapping[str, Array], by_name: bool = False
) -> Iterator[tuple[str, Array, Array]]:
    """Name, parameters and gradient: a network's whole vector, unless `by_name`, or each array."""
    whole, whole_grads = getattr(params, "vector", None), getattr(grads, "vector", None)
    if not by_name and whole is not None and whole_grads is not None:
        yield "vector", whole, whole_grads
        return
    for name, w in params.items():
        if name not in grads:
            raise ParameterError(f"every parameter needs a gradient, there is none for {name!r}")
        g = grads[name]
        if not isinstance(w, np.ndarray) or w.dtype.kind != "f":
            raise DtypeError(
                f"parameters must be arrays of floats, {name!r} is {getattr(w, 'dtype', type(w))}"
            )
        if np.shape(g) != w.shape:
            raise ShapeError(
                f"a gradient has the shape of its parameter, {name!r} has {w.shape}, "
                f"its gradient {np.shape(g)}"
            )
        yield name, w, np.asarray(g)


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Pieces of arrays of one shape, BLOCK values at a time; views, so that they can be changed."""
    if not arrays[0].flags.c_contiguous:  # flattening it would copy
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)


def weights_in(params: Params, w: Array) -> int:
    """How many values of `w`, from its first on, are weights."""
    if w is getattr(params, "vector", None):  # weights come first in a network's vector
        return sum(array.size for array in params.values() if is_weight(array.shape))
    return w.size if is_weight(w.shape) else 0
