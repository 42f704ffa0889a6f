"""Images with channels first, as ONNX and torch have them; ours have channels last.

The rule in both formats: rows of the shape (H, W) or (H, W, C) are images there, (N, C, H, W). Rows
of any other shape are flat, (N, D).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.layers import BatchNorm, Layer
from scratchnet.layers.image import Image, ImageLayer, image_of
from scratchnet.networks.saving import arrays_of
from scratchnet.parameters import Array, Shape, first_not_finite

T = TypeVar("T")


def with_shapes(layers: Iterable[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Each layer, and the shape of a row before it."""
    for layer in layers:
        yield layer, shape
        shape = layer.output_shape(shape)


def channels_first(values: Array, shape: Shape) -> Array:
    """A value for each of a row, (D, ...), as (C, H, W, ...) of images, else as it is: a view."""
    image = image_of(shape)
    if image is None:
        return values
    others = range(3, 2 + values.ndim)
    return values.reshape(*image, *values.shape[1:]).transpose(2, 0, 1, *others)


def keeps_order(image: Image) -> bool:
    """Whether the values of such an image stand in one order, channels first or last."""
    return image[2] == 1 or image[0] * image[1] == 1


def seen_image(layer: ImageLayer) -> Image:
    """The image that the layer of a network takes, which the network has told it."""
    assert layer.image is not None
    return layer.image


def of_channels(layer: BatchNorm, shape: Shape) -> bool:
    """Whether it normalizes the channels of images, and not each value of a row."""
    image = image_of(shape)
    return image is not None and layer.n == image[2]


def find_kind(table: Mapping[type[Layer], Callable[..., T]], layer: Layer, where: str) -> Any:
    """What the table has for the layer's own class; raises ParameterError that names the layer.

    A class derived from one of ours may do anything, so it is not taken for that one.
    """
    found = table.get(type(layer))
    if found is None:
        raise ParameterError(
            f"{where} must be made of scratchnet's own layers, got {layer!r} of the class "
            f"{type(layer).__name__}; keep the network in its own file, or replace this layer"
        )
    return found


def check_finite(network: Any) -> None:
    """Raise DivergenceError where a parameter or a statistic is not finite, naming it."""
    faulty = first_not_finite(arrays_of(network))
    if faulty is not None:
        raise DivergenceError(f"{faulty} is not finite, and was not exported; train anew")
