"""Columns of different kinds: each of several layers takes those that are its own."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array, Shape


class Concat(Layer):
    """y = [f_1(x), ..., f_k(x)]: all columns of x (N, n) through each layer, side by side.

    dL/dx = the sum of what all layers give back. Raises ParameterError without layers.

    >>> from scratchnet.layers import Identity, Scale
    >>> Concat([Scale(3), Identity()]).output_shape((3,))
    (6,)
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = list(layers)
        if not self.layers:
            raise ParameterError("Concat needs a layer, got none")

    @property
    def children(self) -> tuple[Layer, ...]:  # type: ignore[override]
        """The layers that stand beside each other."""
        return tuple(self.layers)

    def build(self, input_shape: Shape) -> None:
        """Tell each layer the shape of a row."""
        self.n_in = math.prod(input_shape)
        for layer in self.layers:
            layer.build((self.n_in,))

    def initialize(self) -> None:
        """The starting values of all layers."""
        for layer in self.layers:
            layer.initialize()

    def adapt(self, x: Array, scale: float, weights: Array | None = None) -> None:
        """Show each layer the training inputs x * scale (N, n)."""
        for layer in self.layers:
            layer.adapt(x, scale, weights)

    def _widths(self, n: int) -> list[int]:
        """How many values each layer gives for rows of n."""
        return [math.prod(layer.output_shape((n,))) for layer in self.layers]

    def output_shape(self, input_shape: Shape) -> Shape:
        """(all widths together,)."""
        super().output_shape(input_shape)
        return (sum(self._widths(math.prod(input_shape))),)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return what all layers give, side by side."""
        widths = self._widths(x.shape[1])
        y = self.keep("y", (len(x), sum(widths)), x.dtype)
        for layer, behind in zip(self.layers, pieces(widths), strict=True):
            y[:, behind] = layer.forward(x, train=train)
        self.widths = widths
        return y

    def param_grads(self, dout: Array) -> None:
        """Let all layers write theirs."""
        for layer, behind in zip(self.layers, pieces(remembered(self.widths)), strict=True):
            layer.param_grads(np.ascontiguousarray(dout[:, behind]))

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n)."""
        dx: Array | None = None
        for layer, behind in zip(self.layers, pieces(remembered(self.widths)), strict=True):
            part = layer.input_grad(np.ascontiguousarray(dout[:, behind]))
            if dx is None:
                dx = self.keep("dx", part.shape, part.dtype)
                dx[...] = part
            else:
                dx += part
        return remembered(dx)

    widths: list[int] | None = None

    def __repr__(self) -> str:
        return f"Concat([{', '.join(map(repr, self.layers))}])"


class Columns(Layer):
    """y = [f_1(x_1), ..., f_k(x_k)]: the columns of x (N, n) in pieces, each through its own layer.

    Piece i has sizes[i] columns and goes through layers[i]; what they give stands side by side.
    dL/dx is put together in the same manner.

    Raises ParameterError unless there is a size from 1 for each layer.

    >>> from scratchnet.layers import Identity, Scale
    >>> Columns([2, 3], [Scale(), Identity()]).output_shape((5,))
    (5,)
    """

    def __init__(self, sizes: Sequence[int], layers: Sequence[Layer]) -> None:
        super().__init__()
        self.sizes = [check_integer("a size", size, 1) for size in sizes]
        self.layers = list(layers)
        if not self.sizes or len(self.sizes) != len(self.layers):
            raise ParameterError(
                f"Columns needs a number of columns for each layer, got {self.sizes} for "
                f"{self.layers!r}"
            )
        self.n_in = sum(self.sizes)

    @property
    def children(self) -> tuple[Layer, ...]:  # type: ignore[override]
        """The layers of all pieces."""
        return tuple(self.layers)

    def build(self, input_shape: Shape) -> None:
        """Tell each layer how many columns it has."""
        for size, layer in zip(self.sizes, self.layers, strict=True):
            layer.build((size,))

    def initialize(self) -> None:
        """The starting values of all layers."""
        for layer in self.layers:
            layer.initialize()

    def adapt(self, x: Array, scale: float, weights: Array | None = None) -> None:
        """Show each layer its columns of the training inputs x * scale (N, n)."""
        for layer, piece in zip(self.layers, pieces(self.sizes), strict=True):
            layer.adapt(x[:, piece], scale, weights)

    @property
    def _widths(self) -> list[int]:
        """How many values each layer gives."""
        return [
            layer.output_shape((size,))[0]
            for size, layer in zip(self.sizes, self.layers, strict=True)
        ]

    def output_shape(self, input_shape: Shape) -> Shape:
        """(all widths together,)."""
        super().output_shape(input_shape)
        return (sum(self._widths),)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return what all layers give, side by side."""
        widths = self._widths
        y = self.keep("y", (len(x), sum(widths)), x.dtype)
        each = zip(self.layers, pieces(self.sizes), pieces(widths), strict=True)
        for layer, before, behind in each:
            y[:, behind] = layer.forward(np.ascontiguousarray(x[:, before]), train=train)
        return y

    def param_grads(self, dout: Array) -> None:
        """Let all layers write theirs."""
        for layer, behind in zip(self.layers, pieces(self._widths), strict=True):
            layer.param_grads(np.ascontiguousarray(dout[:, behind]))

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n)."""
        dx = self.keep("dx", (len(dout), sum(self.sizes)), dout.dtype)
        each = zip(self.layers, pieces(self.sizes), pieces(self._widths), strict=True)
        for layer, before, behind in each:
            dx[:, before] = layer.input_grad(np.ascontiguousarray(dout[:, behind]))
        return dx

    def __repr__(self) -> str:
        return f"Columns({self.sizes}, [{', '.join(map(repr, self.layers))}])"


def pieces(sizes: Sequence[int]) -> list[slice]:
    """Where each of several pieces, one behind the other, begins and ends."""
    return [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]
