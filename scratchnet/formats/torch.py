"""Networks in torch's layout: the arrays of an equal `torch.nn.Sequential`, and the text of one.

torch itself is not needed. Its weights are (out, in), its filters (F, C, KH, KW), and its images
have channels first: rows of the shape (H, W) or (H, W, C) are images (N, C, H, W) there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from textwrap import wrap
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from scratchnet import __version__, layers
from scratchnet.checks import printable
from scratchnet.errors import DataError, ParameterError
from scratchnet.formats.layouts import (
    channels_first,
    check_finite,
    find_kind,
    keeps_order,
    of_channels,
    seen_image,
    with_shapes,
)
from scratchnet.formats.torch_modules import OWN_MODULES
from scratchnet.layers import Layer
from scratchnet.layers.image import ImageLayer, image_of
from scratchnet.layers.pooling import Pool
from scratchnet.networks.network import Network
from scratchnet.parameters import Array, Shape


def to_state_dict(network: Network) -> dict[str, Array]:
    """The parameters and statistics under torch's names and in its layout, as fresh arrays.

    They are those of the module that `torch_code` builds, for `load_state_dict`. Raises
    ParameterError for a layer that torch's layout does not hold, DivergenceError if a value is not
    finite.
    """
    check_finite(network)
    return {piece.name: piece.to_torch() for piece in _sequence(network).pieces}


def from_torch(state_dict: Mapping[str, Any], network: Network) -> Network:
    """Fill the network with the arrays or tensors of an equal torch module, and return it.

    `state_dict` has the names and shapes of `to_state_dict(network)`. Values are brought to the
    dtype of the network. Raises DataError that names all that is missing, left over or does not
    fit, and changes nothing then; ParameterError for a layer that torch's layout does not hold.
    """
    pieces = _sequence(network).pieces
    found, faults = {}, []
    for piece in pieces:
        if piece.name not in state_dict:
            faults.append(f"lacks {piece.name}")
            continue
        found[piece.name], fault = piece.check(state_dict[piece.name])
        faults += [fault] if fault else []
    extra = [str(name) for name in state_dict if name not in {piece.name for piece in pieces}]
    if extra:
        faults.append(f"has {printable(', '.join(extra))}, which the network has not")
    if faults:
        raise DataError(f"the state dict {'; '.join(faults)}; take the network that it is of")
    for piece in pieces:
        piece.from_torch(found[piece.name])
    return network


def torch_code(network: Network) -> str:
    """The Python text that builds the equal `torch.nn.Sequential`, called `model`.

    Its outputs are the logits. GaussianNoise, which torch has not, is left out; Dropout is kept.
    Raises ParameterError for a layer that torch's layout does not hold.
    """
    sequence = _sequence(network)
    body = sequence.text()
    needed = [text for name, text in OWN_MODULES.items() if re.search(rf"\b{name}\(", body)]
    image = image_of(network.input_shape)
    sizes = (network.input_size,) if image is None else (image[2], *image[:2])
    scale = network.preparation.scale
    lines = [
        f"# Made by scratchnet {__version__}.",
        f"# Inputs are {'raw values' if scale == 1 else f'raw values * {scale!r}'}, "
        f"({', '.join(map(str, ('N', *sizes)))}).",
        f"# Outputs are the logits, (N, {network.output_sizes[-1]}).",
        *(["import torch"] if any("torch." in text for text in needed) else []),
        "from torch import nn",
        "",
        *needed,
        f"model = {body}{'.double()' if network.dtype == 'float64' else ''}",
    ]
    return "".join(f"{line}\n" for line in lines)


class Piece(NamedTuple):
    """An array of torch's, and where it lies in the network."""

    name: str
    view: Array
    """The network's own memory with its axes in torch's order."""
    shape: Shape
    """What torch has for these axes."""
    constant: float | None = None
    """What all values must be, where the network does not learn them."""

    @property
    def counts(self) -> bool:
        """Whether it is an integer in torch."""
        return self.name.endswith("num_batches_tracked")

    def to_torch(self) -> Array:
        """A fresh array in torch's layout."""
        made = np.array(self.view, order="C").reshape(self.shape)
        return made.astype(np.int64) if self.counts else made

    def check(self, value: Any) -> tuple[Array, str]:
        """The value as an array of the network's dtype, and what is wrong with it, if anything."""
        try:
            array = np.asarray(value)
        except Exception as error:  # as a tensor on a GPU, or one that needs a gradient
            return self.view, f"has in {self.name} no array ({printable(str(error))})"
        if array.shape != self.shape:
            return array, f"must have {self.name} with the shape {self.shape}, got {array.shape}"
        if array.dtype.kind not in "biuf":
            return array, f"must have numbers in {self.name}, got the dtype {array.dtype}"
        with np.errstate(over="ignore"):
            array = array.astype(self.view.dtype)
        if not np.isfinite(array).all():
            return array, f"must have finite numbers in {self.name}"
        if self.constant is not None and not (array == self.constant).all():
            return array, f"must have {self.constant:g} in all of {self.name}, which is not learnt"
        return array, ""

    def from_torch(self, array: Array) -> None:
        """Put what `check` gave into the network."""
        self.view[...] = array.reshape(self.view.shape)


class Sequence:
    """The modules of an `nn.Sequential`, and their arrays."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.modules: list[str] = []
        self.pieces: list[Piece] = []

    def add(self, module: str, **arrays: Array) -> None:
        """A module, by its text, with arrays whose axes are in torch's order and number."""
        for name, view in arrays.items():
            self.hold(name, view, view.shape)
        self.modules.append(module)

    def hold(self, name: str, view: Array, shape: Shape, constant: float | None = None) -> None:
        """An array of the module that is added next."""
        self.pieces.append(Piece(f"{self.prefix}{len(self.modules)}.{name}", view, shape, constant))

    def inner(self, name: str) -> Sequence:
        """A sequence within the module that is added next."""
        return Sequence(f"{self.prefix}{len(self.modules)}.{name}.")

    def text(self) -> str:
        """What builds it."""
        lines = "".join(f"{module},\n" for module in self.modules)
        return f"nn.Sequential(\n{indented(lines)})"


def indented(text: str) -> str:
    """The lines, four columns further right."""
    return "".join(f"    {line}" for line in text.splitlines(keepends=True))


def _sequence(network: Network) -> Sequence:
    """The whole network; raises ParameterError for what torch's layout does not hold."""
    made = Sequence()
    _add_all(made, network.layers, network.input_shape)
    image = image_of(network.output_shapes[-1])
    if image is not None:
        if not keeps_order(image):
            raise ParameterError(
                f"a network for torch must end in rows, this one ends in images {image}, which "
                "stand channels first there; put an Affine or a GlobalAvgPool behind them"
            )
        made.add("nn.Flatten()")
    return made


def _add_all(made: Sequence, several: Any, shape: Shape) -> None:
    """All of the layers, of which the first takes rows of that shape."""
    for layer, before in with_shapes(several, shape):
        find_kind(MODULES, layer, "a network for torch")(made, layer, before)


# The layers.


def _left_out(made: Sequence, layer: Layer, shape: Shape) -> None:
    pass


def _affine(made: Sequence, layer: layers.Affine, shape: Shape) -> None:
    W = layer.params["W"]
    if image_of(shape) is not None:
        made.add("nn.Flatten()")
    view = np.moveaxis(channels_first(W, shape), -1, 0)  # (out, in) or (out, C, H, W)
    made.hold("weight", view, W.T.shape)
    bias = "" if layer.bias else ", bias=False"
    made.add(
        f"nn.Linear({layer.n_in}, {layer.n_out}{bias})",
        **({"bias": layer.params["b"]} if layer.bias else {}),
    )


def _convolution(made: Sequence, layer: layers.Conv2D, shape: Shape) -> None:
    _see(made, layer, shape)
    (top, bottom), (left, right) = layer.pads(seen_image(layer))
    padding = (top, left)
    if (top, left) != (bottom, right):
        made.add(f"nn.ZeroPad2d({(left, right, top, bottom)})")
        padding = (0, 0)
    options = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation}
    usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    given = [f", {name}={value}" for name, value in options.items() if value != usual[name]]
    given += [] if layer.bias else [", bias=False"]
    channels = seen_image(layer)[2]
    made.add(
        f"nn.Conv2d({channels}, {layer.filters}, {layer.kernel}{''.join(given)})",
        weight=layer.params["W"].transpose(3, 2, 0, 1),
        **({"bias": layer.params["b"]} if layer.bias else {}),
    )


def _see(made: Sequence, layer: ImageLayer, shape: Shape) -> None:
    """Give the layer the images it takes, also where the layer before gives rows."""
    image, before = seen_image(layer), image_of(shape)
    if image == before:
        return
    if not keeps_order(image) or not (before is None or keeps_order(before)):
        raise ParameterError(
            f"a network for torch must give {layer!r} images {image}, got rows {shape}, whose "
            "values stand in another order there; give the network an input_shape"
        )
    if before is not None:
        made.add("nn.Flatten()")
    _unflatten(made, image)


def _unflatten(made: Sequence, shape: Shape) -> None:
    height, width, channels = image_of(shape) or (0, 0, 0)
    made.add(f"nn.Unflatten(1, {(channels, height, width)})")


def _pool(kind: str) -> Callable[[Sequence, Any, Shape], None]:
    def add(made: Sequence, layer: Pool, shape: Shape) -> None:
        _see(made, layer, shape)
        made.add(f"nn.{kind}({layer.size})")

    return add


def _global_average(made: Sequence, layer: layers.GlobalAvgPool, shape: Shape) -> None:
    _see(made, layer, shape)
    made.add("nn.AdaptiveAvgPool2d(1)")
    made.add("nn.Flatten()")


def _each_value(made: Sequence, shape: Shape, text: str, **arrays: Array) -> None:
    """A module with values for each of a row, which torch has for rows alone."""
    image = image_of(shape)
    if image is not None:
        made.add("nn.Flatten()")
    for name, values in arrays.items():
        made.hold(name, channels_first(values, shape), values.shape)
    made.add(text)
    if image is not None:
        _unflatten(made, shape)


def _batch_norm(made: Sequence, layer: layers.BatchNorm, shape: Shape) -> None:
    channels = of_channels(layer, shape)
    apart = image_of(shape) is not None and not channels
    if apart:
        made.add("nn.Flatten()")

    def turned(values: Array) -> Array:
        return channels_first(values, shape) if apart else values

    _scale(made, layer, turned)
    for theirs, ours in (("running_mean", "running_mean"), ("running_var", "running_var")):
        values = layer.statistics[ours]
        made.hold(theirs, turned(values), values.shape)
    made.hold("num_batches_tracked", layer.statistics["batches"], ())
    momentum = round(1 - layer.momentum, 12)  # torch's is the share of the batch
    kind = "BatchNorm2d" if channels else "BatchNorm1d"
    made.add(f"nn.{kind}({layer.n}, eps={layer.eps!r}, momentum={momentum!r})")
    if apart:
        _unflatten(made, shape)


def _scale(
    made: Sequence,
    layer: layers.BatchNorm | layers.LayerNorm,
    turned: Callable[[Array], Array],
    shape: Shape | None = None,
) -> None:
    """gamma and beta, of that shape in torch; gamma is 1 where the layer has none."""
    beta = layer.params["beta"]
    gamma = layer.params["gamma"] if layer.scale else np.ones_like(beta)
    shape = beta.shape if shape is None else shape
    made.hold("weight", turned(gamma), shape, None if layer.scale else 1.0)
    made.hold("bias", turned(beta), shape)


def _layer_norm(made: Sequence, layer: layers.LayerNorm, shape: Shape) -> None:
    theirs = channels_first(layer.params["beta"], shape).shape
    _scale(made, layer, lambda values: channels_first(values, shape), theirs)
    made.add(f"nn.LayerNorm({theirs}, eps={layer.eps!r})")


def _standardize(made: Sequence, layer: layers.Standardize, shape: Shape) -> None:
    mean, std = (
        channels_first(layer.statistics[name], shape) for name in ("input_mean", "input_std")
    )
    sizes = ", ".join(map(str, mean.shape))
    made.add(f"Standardize({sizes})", mean=mean, std=std, rows=layer.statistics["input_rows"])


def _robust_scale(made: Sequence, layer: layers.RobustScale, shape: Shape) -> None:
    median, scale = (
        channels_first(layer.statistics[name], shape) for name in ("input_median", "input_scale")
    )
    sizes = ", ".join(map(str, median.shape))
    rows = layer.statistics["input_rows"]
    made.add(f"RobustScale({sizes})", median=median, scale=scale, rows=rows)


def _piecewise_linear(made: Sequence, layer: layers.PiecewiseLinear, shape: Shape) -> None:
    known = {name: layer.statistics[f"input_{name}"] for name in ("edges", "slopes", "rows")}
    counts = "\n".join(wrap(str(layer.counts_for(layer.n_in or 0)), 70))
    made.add(f"PiecewiseLinear({counts})", **known)


def _factors(made: Sequence, layer: layers.Scale, shape: Shape) -> None:
    s = channels_first(layer.params["s"], shape)
    made.add(f"Scale({', '.join(map(str, s.shape))})", s=s)


def _embedding(made: Sequence, layer: layers.Embedding, shape: Shape) -> None:
    sizes = "\n".join(wrap(str(layer.sizes), 70))
    made.add(f"Embedding({sizes}, {layer.width})", weight=layer.params["E"])


def _member_affine(made: Sequence, layer: layers.MemberAffine, shape: Shape) -> None:
    sizes = f"{layer.members}, {layer.n_inputs}, {layer.n_out}"
    arrays = {"weight": layer.params["W"]} | ({"bias": layer.params["b"]} if layer.bias else {})
    made.add(f"MemberAffine({sizes}, bias={layer.bias})", **arrays)


def _columns(made: Sequence, layer: layers.Columns, shape: Shape) -> None:
    lines = "\n".join(wrap(f"{layer.sizes},", 70)) + "\n"
    for k, (one, size) in enumerate(zip(layer.layers, layer.sizes, strict=True)):
        inner = made.inner(f"layers.{k}")
        _add_all(inner, [one], (size,))
        made.pieces += inner.pieces
        lines += f"{inner.text()},\n"
    made.add(f"Columns(\n{indented(lines)})")


def _concat(made: Sequence, layer: layers.Concat, shape: Shape) -> None:
    lines = ""
    for k, one in enumerate(layer.layers):
        inner = made.inner(f"layers.{k}")
        _add_all(inner, [one], (math.prod(shape),))
        made.pieces += inner.pieces
        lines += f"{inner.text()},\n"
    made.add(f"Concat(\n{indented(lines)})")


def _residual(made: Sequence, layer: layers.Residual, shape: Shape) -> None:
    parts = [("f", layer.layers)]
    if layer.projection is not None:
        parts.append(("projection", [layer.projection]))
    lines = ""
    for name, several in parts:
        inner = made.inner(name)
        _add_all(inner, several, shape)
        made.pieces += inner.pieces
        lines += f"{inner.text()},\n"
    made.add(f"Residual(\n{indented(lines)})")


def _prelu(made: Sequence, layer: layers.PReLU, shape: Shape) -> None:
    if layer.n == 1:
        made.add("nn.PReLU()", weight=layer.params["a"])
    else:
        _each_value(made, shape, f"nn.PReLU({layer.n})", weight=layer.params["a"])


def _alone(text: Callable[[Any], str]) -> Callable[[Sequence, Any, Shape], None]:
    """A module without arrays."""

    def add(made: Sequence, layer: Layer, shape: Shape) -> None:
        made.add(text(layer))

    return add


MODULES: Mapping[type[Layer], Callable[[Sequence, Any, Shape], None]] = MappingProxyType(
    {
        layers.Affine: _affine,
        layers.Conv2D: _convolution,
        layers.MaxPool: _pool("MaxPool2d"),
        layers.AvgPool: _pool("AvgPool2d"),
        layers.GlobalAvgPool: _global_average,
        layers.BatchNorm: _batch_norm,
        layers.LayerNorm: _layer_norm,
        layers.Standardize: _standardize,
        layers.RobustScale: _robust_scale,
        layers.PiecewiseLinear: _piecewise_linear,
        layers.Scale: _factors,
        layers.Embedding: _embedding,
        layers.Columns: _columns,
        layers.Concat: _concat,
        layers.MemberAffine: _member_affine,
        layers.Residual: _residual,
        layers.Dropout: _alone(lambda layer: f"nn.Dropout({layer.rate!r})"),
        layers.GaussianNoise: _left_out,
        layers.PReLU: _prelu,
        layers.LeakyReLU: _alone(lambda layer: f"nn.LeakyReLU({layer.slope!r})"),
        **{
            kind: _alone(lambda layer: f"nn.{type(layer).__name__}()")
            for kind in (
                *(layers.Identity, layers.ReLU, layers.Sigmoid, layers.Tanh, layers.ELU),
                *(layers.SELU, layers.GELU, layers.SiLU, layers.Softplus, layers.Mish),
            )
        },
    }
)
"""What adds a layer of each kind, for rows of that shape before it."""
