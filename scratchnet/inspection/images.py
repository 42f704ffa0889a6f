"""What a network of images sees: its filters, its feature maps, and what a class depends on."""

import contextlib
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers import Conv2D
from scratchnet.layers.image import image_of
from scratchnet.networks import Network
from scratchnet.parameters import Array


class FeatureMap(NamedTuple):
    """What one layer makes of an image."""

    layer: str
    """The layer, for example "1 Conv2D(30, 5)"."""
    values: Array
    """Its output (H, W, C): one map for each channel."""


def filters(network: Network) -> Array:
    """The filters of the first convolution, (KH, KW, C, F); raises ParameterError without one."""
    for layer in network.all_layers:
        if isinstance(layer, Conv2D):
            return layer.params["W"].copy()
    raise ParameterError(f"filters are those of a Conv2D, and there is none in {network!r}")


def feature_maps(network: Network, x: npt.ArrayLike) -> list[FeatureMap]:
    """What every layer whose output is an image makes of one image x, in evaluation.

    x has the shape of a row, or that with a 1 before it. Raises ShapeError where it does not fit.
    """
    row = _one(network, x)
    found = []
    network = network.for_thread()
    for k, (layer, shape) in enumerate(zip(network.layers, network.output_shapes, strict=True), 1):
        layer.keep_apart(train=False)
        row = layer.forward(row)
        image = image_of(shape)
        if image is not None:
            found.append(FeatureMap(f"{k} {layer!r}", row.reshape(image).copy()))
    return found


def saliency(network: Network, x: npt.ArrayLike, label: int | None = None) -> Array:
    """|d y_label / d x| of the logit of a class, (H, W), the largest over channels.

    How much each pixel of the image x changes the logit of class `label`, by default of the class
    that the network predicts (Simonyan, Vedaldi, Zisserman 2014, section 3). Raises ParameterError
    for a class that there is not, ShapeError where x does not fit.
    """
    network, row, image = network.for_thread(), _one(network, x), _image(network)
    gradient = _back(network, row, label, 0)
    return np.asarray(np.abs(gradient).reshape(image).max(axis=2))


def grad_cam(network: Network, x: npt.ArrayLike, label: int | None = None) -> Array:
    """max(0, sum over k of a_k A_k), a_k the mean over pixels of d y_label / d A_k, (H, W).

    Where in the image x the last layer that gives images has found what speaks for class `label`,
    by default for the class that the network predicts: A are its maps, and the result is drawn as
    large as the image (Selvaraju et al. 2017, eqs. 1 and 2). Raises ParameterError for a network
    without such a layer and for a class that there is not, ShapeError where x does not fit.
    """
    network, row, image = network.for_thread(), _one(network, x), _image(network)
    layers = [k for k, shape in enumerate(network.output_shapes, 1) if image_of(shape) is not None]
    if not layers or layers[-1] == len(network.layers):
        raise ParameterError("Grad-CAM needs a layer that gives images, and layers behind it")
    at = layers[-1]
    shape = image_of(network.output_shapes[at - 1])
    assert shape is not None
    gradient = _back(network, row, label, at).reshape(shape)
    maps = row
    for layer in network.layers[:at]:
        maps = layer.forward(maps)
    weighted = maps.reshape(shape) @ gradient.mean(axis=(0, 1))
    return _enlarged(np.maximum(weighted, 0), image[0], image[1])


def _back(network: Network, row: Array, label: int | None, at: int) -> Array:
    """The derivative of a logit by what goes into the layer with the number `at`, (1, n)."""
    y = network.logits(row)
    n = y.shape[1]
    which = int(y[0].argmax()) if label is None else check_integer("label", label, 0)
    if which >= n:
        raise ParameterError(f"label must be a class from 0 to {n - 1}, got {label}")
    dout = np.zeros_like(y)
    dout[0, which] = 1
    kept = network.gradient_vector.copy()
    for layer in reversed(network.layers[at:]):
        dout = layer.backward(dout)
    network.gradient_vector[:] = kept
    return dout.copy()


def _one(network: Network, x: npt.ArrayLike) -> Array:
    """One image as a row (1, D)."""
    x = np.asarray(x)
    single = x.size == network.input_size and (x.ndim < 2 or len(x) != 1)
    return network.check_inputs(x[np.newaxis] if single else x)[:1]


def _image(network: Network) -> tuple[int, int, int]:
    """The shape of the images that it takes; raises ParameterError where it takes none."""
    image = image_of(network.input_shape)
    if image is None:
        raise ParameterError(
            f"the network must take images (height, width), it takes rows {network.input_shape}"
        )
    return image


def _enlarged(values: Array, height: int, width: int) -> Array:
    """Values (h, w) drawn as (height, width), between the centres of pixels in line."""
    places = []
    for size, n in ((height, values.shape[0]), (width, values.shape[1])):
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        share = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(n)))
        places.append(share)
    return np.asarray(places[0] @ values @ places[1].T)


# The book's calls.


def visualize_filter(network: Network, columns: int = 8) -> Array:
    """The filters of the first convolution side by side: one picture, from 0 to 1.

    Each filter is the mean over its channels, brought to the range from 0 to 1, with a line of 1
    around it (the book's chapter 7, `visualize_filter.py`).

    >>> from scratchnet import SimpleConvNet
    >>> visualize_filter(SimpleConvNet()).shape
    (25, 49)
    """
    columns = check_integer("columns", columns, 1)
    found = filters(network).mean(axis=2)  # (KH, KW, F)
    height, width, n = found.shape
    rows, columns = math.ceil(n / columns), min(columns, n)
    picture = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1))
    for k in range(n):
        top, left = (k // columns) * (height + 1) + 1, (k % columns) * (width + 1) + 1
        picture[top : top + height, left : left + width] = _spread_out(found[:, :, k])
    return picture


def apply_filter(network: Network, x: npt.ArrayLike) -> Array:
    """What each filter of the first convolution makes of one image: (F, H, W).

    It is its output without what comes behind it (the book's chapter 7, `apply_filter.py`). Raises
    ParameterError where the network does not begin with a convolution, but for layers that keep an
    image an image.
    """
    for map_ in feature_maps(network, x):
        if "Conv2D" in map_.layer:
            return np.moveaxis(map_.values, 2, 0).copy()
    filters(network)
    raise ParameterError("the convolution of this network stands within another layer")


def _spread_out(values: Array) -> Array:
    """From 0 to 1; 0 where all are the same."""
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low)) if high > low else np.zeros_like(values)


def describe_image(network: Network, x: npt.ArrayLike, label: int | None = None) -> dict[str, Any]:
    """Saliency and Grad-CAM of one image, by name; without the second where it cannot be made."""
    found = {"saliency": saliency(network, x, label)}
    with contextlib.suppress(ParameterError):
        found["grad_cam"] = grad_cam(network, x, label)
    return found
