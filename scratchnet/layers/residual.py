"""Residual blocks: layers that learn what to add to their input."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchnet.errors import ParameterError, ShapeError
from scratchnet.layers.convolution import Conv2D
from scratchnet.layers.image import image_of
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array, Shape


class Residual(Layer):
    """y = x + f(x), f being `layers` one after the other; dL/dx = dout + f'(x)^T dout.

    Where f gives an image of another shape, x goes through a 1x1 convolution P of its own, without
    a bias, whose stride makes the sizes agree: y = P x + f(x). (He et al. 2016, eqs. 1 and 2.)
    `initializer` and `rng` draw the weights of P.

    Raises ParameterError for no layers, ShapeError where no such P makes the shapes agree.

    >>> block = Residual([Conv2D(16, 3, padding="same"), Conv2D(16, 3, padding="same")])
    """

    below: Array | None = None  # dL/dy of the first of the layers

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        projection: Layer | None = None,
        initializer: Any = "he",
        rng: np.random.Generator | int = 0,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.layers = list(layers)
        if not self.layers or not all(isinstance(layer, Layer) for layer in self.layers):
            raise ParameterError(f"Residual needs a list of layers, got {self.layers!r}")
        self.projection = projection
        self._of_projection = {"initializer": initializer, "rng": rng, "dtype": dtype}
        self._shape: Shape | None = None

    @property
    def children(self) -> tuple[Layer, ...]:  # type: ignore[override]
        """The layers of f, and P."""
        return (*self.layers, *([] if self.projection is None else [self.projection]))

    def build(self, input_shape: Shape) -> None:
        """Hand the shape from layer to layer, and make P where it is needed."""
        shape = input_shape
        for layer in self.layers:
            layer.build(shape)
            shape = layer.output_shape(shape)
        if self.projection is None and _same(shape, input_shape):
            return
        if self.projection is None:
            self.projection = self._project(input_shape, shape)
        self.projection.build(input_shape)
        if self.projection.output_shape(input_shape) != shape:
            raise ShapeError(
                f"{self!r}: its projection gives {self.projection.output_shape(input_shape)}, its "
                f"layers give {shape}; make them agree"
            )

    def _project(self, before: Shape, after: Shape) -> Conv2D:
        """The 1x1 convolution of images `before` that gives images of the shape `after`."""
        x, y = image_of(before), image_of(after)
        if x is not None and y is not None:
            strides = [max(1, -(-n // m)) for n, m in zip(x[:2], y[:2], strict=True)]
            made = Conv2D(
                y[2], 1, stride=(strides[0], strides[1]), bias=False, **self._of_projection
            )
            if made._places(x) == y:
                return made
        raise ShapeError(
            f"{self!r} adds its input of the shape {before} to what its layers give, {after}; make "
            "them agree, for example by padding='same', or give it a projection"
        )

    def initialize(self) -> None:
        """The starting values of all layers."""
        for layer in self.children:
            layer.initialize()

    @property
    def input_shape(self) -> Shape | None:
        """The shape that the first layer takes."""
        return self.layers[0].input_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape that the last layer gives."""
        for layer in self.layers:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x + f(x), or P x + f(x)."""
        f = x
        for layer in self.layers:
            f = layer.forward(f, train=train)
        skipped = x if self.projection is None else self.projection.forward(x, train=train)
        return np.add(skipped, f, out=self.keep("y", f.shape, f.dtype))

    def param_grads(self, dout: Array) -> None:
        """Let all layers write theirs."""
        below = dout
        for layer in reversed(self.layers[1:]):
            below = layer.backward(below)
        self.layers[0].param_grads(below)
        if self.projection is not None:
            self.projection.param_grads(dout)
        self.below = below

    def input_grad(self, dout: Array) -> Array:
        """Return dout + f'(x)^T dout, the second from what `param_grads` has computed."""
        through = self.layers[0].input_grad(remembered(self.below))
        past = dout if self.projection is None else self.projection.input_grad(dout)
        return np.add(past, through, out=self.keep("dx", through.shape, through.dtype))

    def __repr__(self) -> str:
        return f"Residual([{', '.join(map(repr, self.layers))}])"


def _same(a: Shape, b: Shape) -> bool:
    return (image_of(a) or a) == (image_of(b) or b)
