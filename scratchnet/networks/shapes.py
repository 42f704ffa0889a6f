"""Shapes handed from layer to layer, and how many rows go through a network at a time."""

from collections.abc import Iterator, Sequence

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers import Layer
from scratchnet.layers.image import ImageLayer
from scratchnet.layers.layer import walk
from scratchnet.parameters import Shape

EVALUATION_ROWS = 1000
"""The most rows of one forward pass where no gradient follows."""
EVALUATION_BYTES = 2**25
"""What the results of all layers may take together in such a pass."""


def hand_on(layers: Sequence[Layer], given: Shape | None) -> tuple[Shape, list[Shape]]:
    """The shape of a row before the first layer, and behind each.

    Each layer takes the shape behind the one before, and declares its parameters. Raises
    ParameterError where the shape of the inputs is not known, ShapeError where layers do not fit.
    """
    known = next((layer.input_shape for layer in layers if layer.input_shape is not None), None)
    first = known if given is None else tuple(check_integer("input_shape", n, 1) for n in given)
    if first is None and any(isinstance(layer, ImageLayer) for layer in walk(layers)):
        raise ParameterError(
            "a network with layers of images must know their shape; give it, for example, "
            "input_shape=(28, 28)"
        )
    if first is None:
        raise ParameterError(
            "a network needs at least one layer with parameters, and the size of its inputs, for "
            "example Affine(4, 3)"
        )
    shapes = [first]
    for layer in layers:
        layer.build(shapes[-1])
        shapes.append(layer.output_shape(shapes[-1]))
    if not any(one.shapes for one in walk(layers)):
        raise ParameterError(
            "a network needs at least one layer with parameters, for example Affine(4, 3)"
        )
    return shapes[0], shapes[1:]


def evaluation_rows(sizes: Sequence[int], item: int) -> int:
    """How many rows to evaluate at a time, for layers of these sizes and values of `item` bytes.

    Of images few hundred rows take gigabytes; and what lies in the cache is quicker.
    """
    return max(1, min(EVALUATION_ROWS, EVALUATION_BYTES // (item * sum(sizes))))


def slices(n: int, batch_size: int | None, default: int) -> Iterator[slice]:
    """0..n cut into slices of batch_size, or of `default`, the last as short as need be."""
    size = default if batch_size is None else check_integer("batch_size", batch_size, 1)
    return (slice(start, start + size) for start in range(0, n, size))
