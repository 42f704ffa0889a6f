"""Layers that have values for each column of x, and perhaps take them from the training inputs."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.layers.layer import Layer
from scratchnet.parameters import Array, Shape

Shapes = tuple[Mapping[str, Shape], Mapping[str, Shape]]
"""Of parameters, and of statistics."""


class PerColumn(Layer):
    """A layer for x (N, n) with arrays for n columns; in a network n may be left out.

    A subclass has set its options before it calls this constructor. Raises ParameterError for n
    below 1.
    """

    n: int | None = None

    def __init__(self, n: int | None = None, *, dtype: npt.DTypeLike = "float32") -> None:
        super().__init__(dtype=dtype)
        if n is not None:
            self.build((check_integer("n", n, 1),))
            self.initialize()

    @abstractmethod
    def arrays_for(self, n: int) -> Shapes:
        """Shapes of the parameters and statistics for n columns, by name."""

    def build(self, input_shape: Shape) -> None:
        """Take the size of a row, if it was left out."""
        if self.n is None:
            self.n = self.n_in = math.prod(input_shape)
            self.declare(*self.arrays_for(self.n))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n or ''})"


class Measured(PerColumn):
    """A layer whose constants are taken from the training inputs, once.

    They are statistics of the network, saved with its weights: so it takes the same raw inputs
    wherever it goes. `input_rows` says of how many rows they are, 0 before `adapt`.
    """

    normalizes: ClassVar[bool] = True

    def adapt(self, x: Array, scale: float, weights: Array | None = None) -> None:
        """Measure x * scale (N, n), unless that has been done before."""
        if not self.statistics["input_rows"][0]:
            self.measure(x, scale, weights)
            self.statistics["input_rows"] = np.full(1, len(x))

    @abstractmethod
    def measure(self, x: Array, scale: float, weights: Array | None) -> None:
        """Write the statistics of x * scale (N, n), whose rows count by `weights` (N,)."""
