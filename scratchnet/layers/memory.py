"""A layer's arrays: its own at first, then pieces of a network's vector and kept buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scratchnet.parallel.ranks import Shard
from scratchnet.parameters import Array, Arrays, Shape, allocate

NO_SHAPES: Mapping[str, Shape] = MappingProxyType({})


class Memory:
    """The parameters, gradients, statistics and buffers of a layer, by name."""

    children: tuple[Any, ...] = ()
    """The layers that this one is made of, which its own passes call."""

    shard: Shard | None = None
    """Which rows of the batch pass through, while ranks share it; None where all of them do."""

    def __init__(
        self,
        shapes: Mapping[str, Shape] = NO_SHAPES,
        dtype: npt.DTypeLike = "float32",
        statistics: Mapping[str, Shape] = NO_SHAPES,
    ) -> None:
        self._dtype = dtype
        self.declare(shapes, statistics)
        self.allocate()
        self._kept: dict[str, Array] | None = None
        self._apart: dict[bool, dict[str, Array]] = {}  # kept memory, by whether it is training's

    def declare(
        self, shapes: Mapping[str, Shape], statistics: Mapping[str, Shape] = NO_SHAPES
    ) -> None:
        """Name the parameters and statistics that the layer is going to have."""
        self.shapes: Mapping[str, Shape] = dict(shapes)
        self.statistic_shapes: Mapping[str, Shape] = dict(statistics)

    def allocate(self) -> None:
        """Make all arrays that are declared, of the layer's own, zeros."""
        _, self.params = allocate(self.shapes, self._dtype)
        _, self.grads = allocate(self.shapes, self._dtype)
        _, self.statistics = allocate(self.statistic_shapes, self._dtype)

    def adopt(self, params: Arrays, grads: Arrays, statistics: Arrays) -> None:
        """Move into memory that a network provides, values included, and keep buffers hereafter."""
        for name in self.shapes:
            params[name] = self.params[name]
        for name in self.statistic_shapes:
            statistics[name] = self.statistics[name]
        self.params, self.grads, self.statistics = params, grads, statistics
        self.keep_apart(train=True)

    def keep_apart(self, *, train: bool) -> None:
        """Write into memory of its own from now on, in training or in evaluation."""
        self._kept = self._apart.setdefault(train, {})
        for child in self.children:
            child.keep_apart(train=train)

    def share(self, memory: Iterator[dict[str, Array]]) -> Self:
        """A copy that evaluates with the same parameters, and keeps its results in `memory`.

        `memory` gives a place for this layer and one for each of its children.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._kept = next(memory)
        other._apart, other.shard = {False: other._kept}, None
        copies = {id(child): child.share(memory) for child in self.children}
        for name, value in other.__dict__.items() if copies else ():
            if isinstance(value, Memory):
                other.__dict__[name] = copies.get(id(value), value)
            elif isinstance(value, list | tuple):
                other.__dict__[name] = type(value)(copies.get(id(one), one) for one in value)
        return other

    def keep(self, name: str, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """Memory to write a result into: kept between steps in a network, fresh outside of one.

        A batch with fewer rows than an earlier one, as the last of an epoch, gets the first rows.
        """
        if self._kept is None:
            return np.empty(shape, dtype)
        kept = self._kept.get(name)
        if (
            kept is None
            or len(kept) < shape[0]
            or kept.shape[1:] != shape[1:]
            or kept.dtype != dtype
        ):
            kept = self._kept[name] = np.empty(shape, dtype)
        return kept if len(kept) == shape[0] else kept[: shape[0]]

    def __getstate__(self) -> dict[str, Any]:
        """The state for a copy or a pickle: no kept buffers, nothing of the last batch."""
        kept: dict[str, Array] | None = None if self._kept is None else {}
        return {**without_remembered(self), "_kept": kept, "_apart": {}}


def without_remembered(owner: Any) -> dict[str, Any]:
    """The attributes of a layer or a loss without the arrays that `forward` remembered.

    Its class declares these at its head, as None.
    """
    return {
        name: value
        for name, value in vars(owner).items()
        if not (hasattr(value, "dtype") and getattr(type(owner), name, value) is None)
    }
