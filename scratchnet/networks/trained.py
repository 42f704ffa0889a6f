"""What a network offers once it is trained: classes and their probabilities, a table, a file."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy.typing as npt

from scratchnet.data.preparation import Preparation
from scratchnet.layers import Layer
from scratchnet.networks.classes import choose, probabilities
from scratchnet.networks.summary import summarize
from scratchnet.parameters import Array, Shape


class Trained(ABC):
    """The part of a network that those need who only use it."""

    layers: tuple[Layer, ...]
    output_shapes: list[Shape]
    vector: Array
    preparation = Preparation()
    """How raw values become its inputs, and what its classes are called; a Trainer sets it."""

    @abstractmethod
    def predict(self, x: npt.ArrayLike, batch_size: int | None = None) -> Array:
        """The outputs (N, K) of the last layer."""

    def predict_proba(self, x: npt.ArrayLike, batch_size: int | None = None) -> Array:
        """The probability (N, K) of each class, for inputs x (N, D) as in training.

        Raw values, for example bytes of pixels, go through `preparation.rows` first.
        Of one output they are those of class 0 and class 1, (N, 2). Where labels do not exclude
        each other, each has its own; else the sum of a row is 1. Raises ParameterError for a
        network whose targets are values, ShapeError or DtypeError where x does not fit.
        """
        return probabilities(self, self.predict(x, batch_size))

    def predict_classes(self, x: npt.ArrayLike, batch_size: int | None = None) -> Array:
        """The likeliest class (N,) for each row of x (N, D), as the integers that labels are.

        Where labels do not exclude each other, 1 for each that is likelier than not, (N, K).
        Raises what `predict_proba` does.
        """
        return choose(self, self.predict(x, batch_size))

    def summary(self) -> str:
        """A table of the layers: name, output shape, number of parameters, and their total."""
        return summarize(self.layers, self.output_shapes, self.vector)

    def save(self, path: str | Path) -> None:
        """Write the network, with its `preparation`, to a file that `load_network` reads.

        Raises OutputError if it cannot be written, DivergenceError if a value is not finite.
        """
        from scratchnet.networks.saving import save_network

        save_network(self, path)
