"""The weights of a network as scikit-learn names them: lists whose items are its own memory."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scratchnet.errors import ShapeError
from scratchnet.parameters import Array


class LinkedArrays(list[Array]):
    """Arrays of a network: `arrays[0] = W` writes into the network, as `arrays[0][:] = W` does.

    A copy or a pickle is a plain list. Raises ShapeError for another shape, TypeError for what
    would add or take away an array.
    """

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            write_all(self[index], value)
        else:
            write(self[index], value)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    def _refuse(self, *_: Any) -> None:
        raise TypeError("the layers of a network stay as many as they are; fit another network")

    append = extend = insert = remove = __delitem__ = _refuse
    pop = clear = __iadd__ = __imul__ = sort = reverse = _refuse  # type: ignore[assignment]


def write_all(arrays: Sequence[Array], values: Iterable[Any]) -> None:
    """Copy each value into the array of its place; raises ShapeError, and writes nothing then."""
    given = [np.asarray(value) for value in values]
    shapes = [array.shape for array in arrays]
    if [value.shape for value in given] != shapes:
        raise ShapeError(
            f"there must be {len(shapes)} arrays of the shapes {shapes}, "
            f"got {[value.shape for value in given]}"
        )
    for array, value in zip(arrays, given, strict=True):
        write(array, value)


def write(array: Array, value: Any) -> None:
    """Copy `value` into `array`; raises ShapeError for another shape or what is not finite."""
    given = np.asarray(value)
    if given.shape != array.shape or given.dtype.kind not in "buif" or not np.isfinite(given).all():
        raise ShapeError(
            f"the array must have the shape {array.shape} and hold finite numbers, got "
            f"{given.dtype} {given.shape}; fit a network of other sizes for other shapes"
        )
    array[...] = given
