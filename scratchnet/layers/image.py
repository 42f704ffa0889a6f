"""Rows that are images (H, W, C) written out: channels last, the values of a pixel side by side.

A row of x (N, D) stays a row, D = H W C. So every other layer, the data, checkpoints and ranks take
images as they are, and a channel is a column of x seen as (N H W, C).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.layers.layer import Layer
from scratchnet.parameters import Array, Shape

Pair = tuple[int, int]
Image = tuple[int, int, int]


class ImageLayer(Layer):
    """A layer that sees a row as an image (H, W, C); a network tells it which, or `image` does."""

    image: Image | None = None
    """What a row is before the layer: height, width, channels."""

    def build(self, input_shape: Shape) -> None:
        """Take the shape (H, W) or (H, W, C) of an image; raises ShapeError for another."""
        if self.image is not None:
            return
        image = image_of(input_shape)
        if image is None:
            raise ShapeError(
                f"{self!r} needs images (height, width, channels), it gets rows {input_shape}; "
                "give the network an input_shape, for example (28, 28), and put layers of images "
                "before the first Affine"
            )
        after = self._places(image)
        if min(after) < 1:
            raise ShapeError(
                f"{self!r} does not fit into an image of {image[0]} x {image[1]} pixels; take "
                "fewer or smaller layers before it, a smaller size, or padding"
            )
        self.image, self.after = image, after
        self.n_in, self.n_out = math.prod(image), math.prod(after)

    def config(self) -> dict[str, Any]:
        """The arguments that make such a layer; the image is the network's to tell."""
        return {name: value for name, value in super().config().items() if name != "image"}

    @abstractmethod
    def _places(self, image: Image) -> Image:
        """The image behind the layer, of one before it; below 1 where it does not fit."""

    @property
    def input_shape(self) -> Shape | None:
        """(H, W, C); None as long as the layer does not know."""
        return self.image

    def output_shape(self, input_shape: Shape) -> Shape:
        """The image behind the layer; raises ShapeError for rows of another size."""
        self.build(input_shape)
        super().output_shape(input_shape)
        return self.after

    def _seen(self, x: Array) -> Array:
        """x (N, D) as images (N, H, W, C); raises ShapeError where it is none of these."""
        if self.image is None and x.ndim > 2:
            self.build(x.shape[1:])
        if self.image is None or x.size != len(x) * math.prod(self.image):
            raise ShapeError(f"{self!r} takes rows of {self.image or 'an image'}, got {x.shape}")
        return x.reshape(len(x), *self.image)


def image_of(shape: Shape) -> Image | None:
    """(H, W, C) of (H, W) or (H, W, C); None for rows that are no image."""
    if len(shape) == 2:
        return (*shape, 1)
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def check_image(name: str, value: Any) -> Shape:
    """(H, W) or (H, W, C) as it is; raises ParameterError for what is no shape of images."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in (2, 3):
        raise ParameterError(
            f"{name} must be (height, width) or (height, width, channels), for example (28, 28), "
            f"got {value!r}"
        )
    return tuple(check_integer(f"{name}[{i}]", n, 1) for i, n in enumerate(value))


def check_pair(name: str, value: Any, least: int = 1) -> Pair:
    """An integer, for height and width, or a pair of them; raises ParameterError."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ParameterError(f"{name} must be an integer or a pair, got {value!r}")
        return check_integer(name, value[0], least), check_integer(name, value[1], least)
    return (check_integer(name, value, least),) * 2


def show_pair(pair: Pair) -> str:
    """5 for (5, 5), 3x5 for (3, 5)."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
