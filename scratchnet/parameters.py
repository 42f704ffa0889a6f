"""Named arrays over one flat vector, so the book's `params["W1"]` and fast updates share memory."""

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.errors import ShapeError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def is_weight(name: str) -> bool:
    """Whether the parameter called `name` is a weight: whether its name begins with W or w.

    So "W1", "Wx" and "weight" are weights, whatever their shape, and "b1", "gamma1" and "scale" are
    not. Weight decay shrinks weights alone, and a penalty counts them alone. The name decides, not
    the shape, because a scale for each channel (C, 1, 1) is no weight and a vector can be one; and
    not the layer, because a plain dict of arrays knows no layers.

    >>> [name for name in ("W1", "b1", "W2", "gamma2") if is_weight(name)]
    ['W1', 'W2']
    """
    return name[:1] in ("W", "w")


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

        `vector` is the flat memory behind the selection, where there is one.
        """
        return Arrays({new: self._views[old] for new, old in names.items()}, vector)

    def weights(self) -> list[slice]:
        """Where in `vector` each weight lies, for arrays that lie there in the order of names."""
        stops = accumulate(view.size for view in self._views.values())
        return [
            slice(stop - view.size, stop)
            for (name, view), stop in zip(self._views.items(), stops, strict=True)
            if is_weight(name)
        ]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {view.shape}" for name, view in self._views.items())
        return f"Arrays({shapes})"


def allocate(shapes: Mapping[str, Shape], dtype: npt.DTypeLike) -> tuple[Array, Arrays]:
    """One vector of zeros, and its views by name: `shapes` in their order, each C-contiguous."""
    vector = np.zeros(sum(math.prod(shape) for shape in shapes.values()), dtype)
    views, start = {}, 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        views[name] = vector[start:stop].reshape(shape)
        start = stop
    return vector, Arrays(views, vector)


def first_not_finite(arrays: Mapping[str, Array]) -> str | None:
    """The name of the first array that holds NaN or an infinity; None if all values are finite."""
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
