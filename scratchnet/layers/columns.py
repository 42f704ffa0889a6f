"""Columns of different kinds: each of several layers takes those that are its own."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers.layer import Layer
from scratchnet.parameters import Array, Shape


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
        for layer, piece in zip(self.layers, self.pieces(self.sizes), strict=True):
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

    @staticmethod
    def pieces(sizes: Sequence[int]) -> list[slice]:
        """Where each piece begins and ends."""
        return [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return what all layers give, side by side."""
        widths = self._widths
        y = self.keep("y", (len(x), sum(widths)), x.dtype)
        each = zip(self.layers, self.pieces(self.sizes), self.pieces(widths), strict=True)
        for layer, before, behind in each:
            y[:, behind] = layer.forward(np.ascontiguousarray(x[:, before]), train=train)
        return y

    def param_grads(self, dout: Array) -> None:
        """Let all layers write theirs."""
        for layer, behind in zip(self.layers, self.pieces(self._widths), strict=True):
            layer.param_grads(np.ascontiguousarray(dout[:, behind]))

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n)."""
        dx = self.keep("dx", (len(dout), sum(self.sizes)), dout.dtype)
        pieces = zip(self.layers, self.pieces(self.sizes), self.pieces(self._widths), strict=True)
        for layer, before, behind in pieces:
            dx[:, before] = layer.input_grad(np.ascontiguousarray(dout[:, behind]))
        return dx

    def __repr__(self) -> str:
        return f"Columns({self.sizes}, [{', '.join(map(repr, self.layers))}])"
