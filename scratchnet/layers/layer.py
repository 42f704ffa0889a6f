"""The protocol of a layer: a forward pass, its derivative, and named parameters.

A layer made on its own has its own parameters and returns fresh arrays: right for a lesson or a
test. A network adopts it: from then on its parameters are pieces of the network's one vector, and
its results are written into memory that is kept from one step to the next.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from inspect import signature
from typing import Any, ClassVar, TypeVar, final

import numpy as np

from scratchnet.errors import CallOrderError, ShapeError
from scratchnet.layers.memory import Memory
from scratchnet.parameters import Array, Shape

T = TypeVar("T")


class Layer(Memory, ABC):
    """y = f(x; params) for a batch x (N, n_in), and the derivatives of a loss through it.

    A subclass writes `forward`, `input_grad`, and, when it has parameters, `param_grads`, and
    remembers in `forward` what these need. It never writes into its arguments.
    """

    tracks_statistics: ClassVar[bool] = False
    """Whether a forward pass in training measures statistics that evaluation uses."""

    normalizes: ClassVar[bool] = False
    """Whether what it gives has one scale, whatever that of x."""

    takes_categories: ClassVar[bool] = False
    """Whether x are numbers of categories, which cannot move: dL/dx is 0."""

    takes_sparse: ClassVar[bool] = False
    """Whether `forward` takes an x that is a sparse array of SciPy's, of compressed rows."""

    n_in: int | None = None
    """How many values a row of x must have; None where any number will do."""

    rng: np.random.Generator | None = None
    """Where a layer that draws random numbers in training takes them from; None in all others."""

    noisy: bool = True
    """Whether what it draws in training disturbs x; False while statistics are recomputed."""

    @abstractmethod
    def forward(self, x: Array, *, train: bool = False) -> Array:
        """y (N, n_out) for x (N, n_in); `train` only matters to layers that differ in training."""

    def param_grads(self, dout: Array) -> None:
        """Write dL/dp into `grads` for every parameter p, given dout = dL/dy (N, n_out)."""

    @abstractmethod
    def input_grad(self, dout: Array) -> Array:
        """dL/dx (N, n_in), given dout = dL/dy (N, n_out)."""

    @final
    def backward(self, dout: Array) -> Array:
        """Write the parameters' gradients and return dL/dx (N, n_in), given dout = dL/dy.

        Raises CallOrderError before the first `forward`.
        """
        self.param_grads(dout)
        return self.input_grad(dout)

    @property
    def input_shape(self) -> Shape | None:
        """The shape of a row that the layer takes; None if any will do."""
        return None if self.n_in is None else (self.n_in,)

    def build(self, input_shape: Shape) -> None:
        """Take the shape of a row before the layer, if it was made without, and declare arrays.

        Raises ShapeError if it does not fit. A network calls it, and then `initialize`.
        """

    def initialize(self) -> None:
        """Allocate the parameters that `build` declared, with their starting values."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of a row behind this layer, for that of a row before it.

        Rows are flat, (N, D): a shape says how their D values are to be seen, for example (1, 28,
        28). Raises ShapeError if the layer takes rows of another shape.
        """
        if self.input_shape is not None and math.prod(self.input_shape) != math.prod(input_shape):
            raise ShapeError(
                f"{self!r} takes {_inputs(self.input_shape)}, the layer before gives "
                f"{_inputs(input_shape)}"
            )
        return input_shape

    def multiplications(self) -> int:
        """How many multiplications the matrix products of a row take; weights, once each."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def kink_pattern(self) -> Array | None:
        """Which side of its kinks each unit was on in the last `forward`; None if f is smooth."""
        return None

    def gradcheck_caveat(self, n_rows: int) -> str | None:
        """Why a gradient check in training mode with so many rows would prove nothing, if so."""
        return None

    def adapt(self, x: Array, scale: float, weights: Array | None = None) -> None:
        """Take what it needs to know of all training inputs, x * scale (N, D), at the beginning.

        `weights` (N,) say how much each row counts.
        """

    def reset_statistics(self) -> None:
        """Begin anew with what it measures, if anything: what was measured counts no more."""

    def apply_constraints(self) -> None:
        """Put the parameters back into the set they must lie in, after each update; if any."""

    def config(self) -> dict[str, Any]:
        """The arguments that make a layer like this one, as JSON values.

        By default those of the constructor that the layer has as attributes of the same name.
        """
        if type(self).__init__ is Memory.__init__:
            return {}
        names = [n for n in signature(type(self)).parameters if n != "rng"]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def remembered(value: T | None) -> T:
    """The value that the last `forward` stored; raises CallOrderError if there was none."""
    if value is None:
        raise CallOrderError("backward needs a forward pass before it; call forward(x) first")
    return value


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Every layer, each followed by the layers that it is made of."""
    for layer in layers:
        yield layer
        yield from walk(layer.children)


def _inputs(shape: Shape) -> str:
    """784 inputs, or inputs of the shape (1, 28, 28)."""
    return f"{shape[0]} inputs" if len(shape) == 1 else f"inputs of the shape {shape}"
