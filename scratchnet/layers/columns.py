"""Layers side by side: each takes its own columns, or all of them, and gives a piece of the row."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array, Shape


class SideBySide(Layer):
    """y = [f_1(x_1), ..., f_k(x_k)], where x_i are columns of x (N, n): the base of those below."""

    made: list[slice] | None = None  # the columns of y that each layer gave

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = list(layers)

    @abstractmethod
    def taken(self, n: int) -> list[slice]:
        """The columns that each layer takes, of n."""

    @property
    def children(self) -> tuple[Layer, ...]:  # type: ignore[override]
        """The layers that stand side by side."""
        return tuple(self.layers)

    def build(self, input_shape: Shape) -> None:
        """Tell each layer how many columns it has."""
        if self.n_in is None:
            self.n_in = math.prod(input_shape)
        for layer, columns in zip(self.layers, self.taken(self.n_in), strict=True):
            layer.build((columns.stop - columns.start,))

    def initialize(self) -> None:
        """The starting values of all layers."""
        for layer in self.layers:
            layer.initialize()

    def adapt(self, x: Array, scale: float, weights: Array | None = None) -> None:
        """Show each layer its columns of the training inputs x * scale (N, n)."""
        for layer, columns in zip(self.layers, self.taken(x.shape[1]), strict=True):
            layer.adapt(x[:, columns], scale, weights)

    def given(self, n: int) -> list[slice]:
        """The columns of y that each layer gives, for n columns of x."""
        return pieces(
            [
                math.prod(layer.output_shape((columns.stop - columns.start,)))
                for layer, columns in zip(self.layers, self.taken(n), strict=True)
            ]
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """(all pieces together,)."""
        super().output_shape(input_shape)
        return (self.given(math.prod(input_shape))[-1].stop,)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return what all layers give, side by side."""
        self.made = self.given(x.shape[1])
        y = self.keep("y", (len(x), self.made[-1].stop), x.dtype)
        for layer, before, behind in self._each(x.shape[1]):
            y[:, behind] = layer.forward(np.ascontiguousarray(x[:, before]), train=train)
        return y

    def param_grads(self, dout: Array) -> None:
        """Let all layers write theirs."""
        for layer, behind in zip(self.layers, remembered(self.made), strict=True):
            layer.param_grads(np.ascontiguousarray(dout[:, behind]))

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n): of each column the sum over the layers that have taken it."""
        n = self.n_in or 0
        dx = self.keep("dx", (len(dout), n), dout.dtype)
        dx[...] = 0
        for layer, before, behind in self._each(n):
            dx[:, before] += layer.input_grad(np.ascontiguousarray(dout[:, behind]))
        return dx

    def _each(self, n: int) -> Iterator[tuple[Layer, slice, slice]]:
        """Each layer, what it takes of n columns, and what it gives."""
        return zip(self.layers, self.taken(n), remembered(self.made), strict=True)


class Columns(SideBySide):
    """y = [f_1(x_1), ..., f_k(x_k)]: the columns of x (N, n) in pieces, each through its own layer.

    Piece i has sizes[i] columns and goes through layers[i]; what they give stands side by side.
    dL/dx is put together in the same manner.

    Raises ParameterError unless there is a size from 1 for each layer.

    >>> from scratchnet.layers import Identity, Scale
    >>> Columns([2, 3], [Scale(), Identity()]).output_shape((5,))
    (5,)
    """

    def __init__(self, sizes: Sequence[int], layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self.sizes = [check_integer("a size", size, 1) for size in sizes]
        if not self.sizes or len(self.sizes) != len(self.layers):
            raise ParameterError(
                f"Columns needs a number of columns for each layer, got {self.sizes} for "
                f"{self.layers!r}"
            )
        self.n_in = sum(self.sizes)

    def taken(self, n: int) -> list[slice]:
        """The pieces of x."""
        return pieces(self.sizes)

    def __repr__(self) -> str:
        return f"Columns({self.sizes}, [{', '.join(map(repr, self.layers))}])"


class Concat(SideBySide):
    """y = [f_1(x), ..., f_k(x)]: all columns of x (N, n) through each layer, side by side.

    dL/dx = the sum of what all layers give back. Raises ParameterError without layers.

    >>> from scratchnet.layers import Identity, Scale
    >>> Concat([Scale(3), Identity()]).output_shape((3,))
    (6,)
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        if not self.layers:
            raise ParameterError("Concat needs a layer, got none")

    def taken(self, n: int) -> list[slice]:
        """All of x, for each."""
        return [slice(0, n)] * len(self.layers)

    def __repr__(self) -> str:
        return f"Concat([{', '.join(map(repr, self.layers))}])"


def pieces(sizes: Sequence[int]) -> list[slice]:
    """Where each of several pieces, one behind the other, begins and ends."""
    return [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]
