"""Named arrays over one flat vector, so the book's `params["W1"]` and fast updates share memory."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.errors import ShapeError
from scratchnet.loops.pages import zeros

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

BLOCK = 32_768
"""Values handled at a time: their temporaries stay in the processor's cache."""


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Pieces of arrays of one shape, BLOCK values at a time; views, so that they can be changed."""
    if not all(array.flags.c_contiguous for array in arrays):  # flattening would copy
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)


class Arrays(Mapping[str, Array]):
    """Arrays by name that are written through, never replaced.

    `arrays["W1"]` is the array itself, `arrays["W1"] = value` copies `value` into it. So both
    `params["W1"] -= lr * g` and `params["W1"] = params["W1"] - lr * g` change the network, where
    a dict would silently keep the second result for itself.

    `vector` is the flat memory behind all of them, or None where they do not share one.
    """

    def __init__(self, views: Mapping[str, Array], vector: Array | None = None) -> None:
        self._views = dict(views)
        self.vector = vector

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: npt.ArrayLike) -> None:
        """Copy `value` into the array called `name`.

        Raises KeyError for an unknown name, ShapeError for another shape: nothing is broadcast.
        """
        view = self._views[name]
        if value is view:  # what `arrays[name] -= ...` assigns at its end
            return
        source = np.asarray(value)
        if source.shape != view.shape:
            raise ShapeError(
                f"{name} has the shape {view.shape} and keeps it, got {source.shape}; "
                "build another network for other sizes"
            )
        np.copyto(view, source, casting="same_kind")

    def select(self, names: Mapping[str, str], vector: Array | None = None) -> "Arrays":
        """The same memory under other names: `names` says which array each new name is.

        `vector` is the flat memory behind the selection, if there is one.
        """
        return Arrays({new: self._views[old] for new, old in names.items()}, vector)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {view.shape}" for name, view in self._views.items())
        return f"Arrays({shapes})"


def is_weight(shape: Shape) -> bool:
    """Whether parameters of this shape are weights, which decay shrinks and penalties count.

    Weights have two dimensions or more; a bias, a scale or a shift (n,) is none. This holds for a
    network's vector, whose weights come first, and for a plain dict of arrays, which has nothing
    but shapes to go by.
    """
    return len(shape) > 1


def allocate(shapes: Mapping[str, Shape], dtype: npt.DTypeLike) -> tuple[Array, Arrays]:
    """One vector of zeros, and its views by name: `shapes` in their order, each C-contiguous."""
    vector = zeros((sum(math.prod(shape) for shape in shapes.values()),), dtype)
    views, start = {}, 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        views[name] = vector[start:stop].reshape(shape)
        start = stop
    return vector, Arrays(views, vector)


def first_not_finite(arrays: Mapping[str, Array]) -> str | None:
    """The name of the first array that holds NaN or an infinity; None if all values are finite."""
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
