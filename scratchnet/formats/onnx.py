"""Networks as ONNX: a graph that onnxruntime, and programs in other languages, compute."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from scratchnet import __version__, layers
from scratchnet.errors import ParameterError
from scratchnet.formats.layouts import (
    channels_first,
    check_finite,
    find_kind,
    of_channels,
    seen_image,
    with_shapes,
)
from scratchnet.formats.packages import need
from scratchnet.layers import BinaryCrossEntropy, Layer, Loss, PoissonLoss, QuantileLoss
from scratchnet.layers.columns import pieces
from scratchnet.layers.image import Image, ImageLayer, image_of
from scratchnet.layers.numbers import FAR, SOFT_BOUND
from scratchnet.layers.pooling import Pool
from scratchnet.networks.classes import classifies, is_multilabel
from scratchnet.networks.naming import name_parameters
from scratchnet.networks.network import Network
from scratchnet.parameters import Array, Shape
from scratchnet.storage.atomic import write_atomically

OPSET = 20
"""The version of ONNX's operators: the first that has Gelu."""
IR_VERSION = 10
"""The version of ONNX's files; onnxruntime reads it from 1.18 on."""
MOST_BYTES = 2**31 - 2**20
"""What one file may hold, as protobuf has it."""


def to_onnx(network: Network, path: str | Path | None = None) -> Any:
    """The network as an `onnx.ModelProto`; written to `path` too, atomically, if that is given.

    The input `x` are raw values, float32: they are multiplied with `preparation.scale` inside. Its
    shape is (N, *network.input_shape), so (N, H, W) or (N, H, W, C) for a network of images, and
    (N, D) for others. N is any number of rows.

    A network that classifies gives `logits` (N, K), as `predict`, and `probabilities`, as
    `predict_proba`. One for values gives `values` (N, K), the predictions of its loss. All is
    computed in float32, also for a network of float64: onnxruntime has no other convolutions.
    Dropout and noise, which are for training alone, are left out.

    `metadata_props` has class_names, image_shape, style and table of the preparation, as JSON.

    Raises ParameterError for a layer or a loss that is not scratchnet's own, DivergenceError if a
    value is not finite, OutputError if the file cannot be written, MissingPackageError without the
    package onnx.
    """
    onnx = need("an ONNX file", "onnx")
    check_finite(network)
    graph = Graph(onnx, network)
    y = _behind(graph, network.layers, _input(graph, network), network.input_shape)
    y = _rows(graph, y, network.output_shapes[-1])
    if classifies(network):
        outputs = {"logits": y, "probabilities": _probabilities(graph, network, y)}
    else:
        outputs = {"values": _values(graph, network.loss_layer, y)}
    model = graph.model(network, outputs)
    onnx.checker.check_model(model, full_check=True)
    if path is not None:
        content = model.SerializeToString()
        write_atomically(path, lambda file: file.write(content))
    return model


class Graph:
    """The nodes and constants of a graph, as they come up."""

    def __init__(self, onnx: Any, network: Network) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        every = zip(network.all_layers, name_parameters(network.all_layers), strict=True)
        self.names = {id(layer): names for layer, names in every}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, whose name is returned; `inputs` are such names."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        made = self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        self.nodes.append(made)
        return output

    def hold(self, value: npt.ArrayLike, name: str = "") -> str:
        """A constant, of float32 unless it is of integers; its name is returned."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise ParameterError(
                    f"{name or 'a constant'} must fit into float32, in which ONNX files compute; "
                    "train with smaller weights"
                )
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def own(self, layer: Layer, name: str, change: Callable[[Array], Array] | None = None) -> str:
        """A parameter or statistic of a layer, changed if need be, under the network's name."""
        arrays = layer.params if name in layer.shapes else layer.statistics
        value = arrays[name] if change is None else change(arrays[name])
        return self.hold(value, self.names[id(layer)][name])

    def model(self, network: Network, outputs: Mapping[str, str]) -> Any:
        """The whole, with the outputs under their own names."""
        make, proto = self.onnx.helper, self.onnx.TensorProto
        size = sum(array.nbytes for array in self.constants.values())
        if size > MOST_BYTES:
            raise ParameterError(
                f"an ONNX file must hold at most {MOST_BYTES:,} bytes, the network has {size:,}; "
                "write a .safetensors"
            )
        widths = {"probabilities": max(network.output_sizes[-1], 2)}
        ends = []
        for name, value in outputs.items():
            self.nodes.append(make.make_node("Identity", [value], [name], name=name))
            shape = ["N", widths.get(name, network.output_sizes[-1])]
            ends.append(make.make_tensor_value_info(name, proto.FLOAT, shape))
        raw = make.make_tensor_value_info("x", proto.FLOAT, ["N", *network.input_shape])
        constants = [
            self.onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()
        ]
        graph = make.make_graph(self.nodes, "network", [raw], ends, constants)
        model = make.make_model(
            graph,
            producer_name="scratchnet",
            producer_version=__version__,
            opset_imports=[make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        about = network.preparation
        known = {
            "class_names": about.class_names,
            "image_shape": about.image_shape,
            "style": about.style,
            "table": about.table,
        }
        make.set_model_props(model, {k: json.dumps(v) for k, v in known.items() if v is not None})
        return model


# From raw values to the layers, and from the last of them to rows.


def _input(graph: Graph, network: Network) -> str:
    """Raw values times the scale, in the layout of the first layer."""
    x, scale = "x", network.preparation.scale
    if scale != 1:
        x = graph.add("Mul", x, graph.hold(np.float32(scale), "scale"))
    shape = network.input_shape
    if image_of(shape) is None:
        return x if len(shape) == 1 else graph.add("Flatten", x, axis=1)
    return _images(graph, x, cast(Image, image_of(shape)), flat=False)


def _images(graph: Graph, x: str, image: Image, *, flat: bool) -> str:
    """Rows, or images (N, H, W) or (N, H, W, C), as images (N, C, H, W)."""
    if image[2] == 1:
        return _reshape(graph, x, (1, *image[:2]))
    if flat:
        x = _reshape(graph, x, image)
    return graph.add("Transpose", x, perm=[0, 3, 1, 2])


def _rows(graph: Graph, x: str, shape: Shape) -> str:
    """What is behind a layer of that shape as rows (N, D), channels last."""
    image = image_of(shape)
    if image is None:
        return x
    if image[2] > 1:
        x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    return graph.add("Flatten", x, axis=1)


def _reshape(graph: Graph, x: str, shape: Shape) -> str:
    """Rows in another shape: 0 stands for the number of rows, which stays."""
    return graph.add("Reshape", x, graph.hold(np.array([0, *shape], np.int64)))


def _behind(graph: Graph, several: Any, x: str, shape: Shape) -> str:
    """What is behind all of the layers, given what is before the first, rows of that shape."""
    for layer, before in with_shapes(several, shape):
        x = find_kind(LAYERS, layer, "a network for ONNX")(graph, layer, x, before)
    return x


# The layers.


def _left_out(graph: Graph, layer: Layer, x: str, shape: Shape) -> str:
    return x


def _affine(graph: Graph, layer: layers.Affine, x: str, shape: Shape) -> str:
    if image_of(shape) is not None:
        x = graph.add("Flatten", x, axis=1)  # channels first, and so are the rows of W below
    W = graph.own(layer, "W", lambda W: channels_first(W, shape).reshape(W.shape))
    return graph.add("Gemm", x, W, *([graph.own(layer, "b")] if layer.bias else []))


def _convolution(graph: Graph, layer: layers.Conv2D, x: str, shape: Shape) -> str:
    W = graph.own(layer, "W", lambda W: W.transpose(3, 2, 0, 1))  # (F, C, KH, KW)
    (top, bottom), (left, right) = layer.pads(seen_image(layer))
    return graph.add(
        "Conv",
        _seen(graph, layer, x, shape),
        W,
        *([graph.own(layer, "b")] if layer.bias else []),
        kernel_shape=layer.kernel,
        strides=layer.stride,
        dilations=layer.dilation,
        pads=[top, left, bottom, right],
    )


def _seen(graph: Graph, layer: ImageLayer, x: str, shape: Shape) -> str:
    """x as the images that the layer takes, also where the layer before gives rows."""
    image = seen_image(layer)
    if image == image_of(shape):
        return x
    return _images(graph, _rows(graph, x, shape), image, flat=True)


def _pool(operator: str) -> Callable[[Graph, Any, str, Shape], str]:
    def add(graph: Graph, layer: Pool, x: str, shape: Shape) -> str:
        x = _seen(graph, layer, x, shape)
        return graph.add(operator, x, kernel_shape=layer.size, strides=layer.size)

    return add


def _global_average(graph: Graph, layer: layers.GlobalAvgPool, x: str, shape: Shape) -> str:
    x = graph.add("GlobalAveragePool", _seen(graph, layer, x, shape))
    return graph.add("Flatten", x, axis=1)


def _batch_norm(graph: Graph, layer: layers.BatchNorm, x: str, shape: Shape) -> str:
    apart = image_of(shape) is not None and not of_channels(layer, shape)
    if apart:  # each value of an image by itself
        x = graph.add("Flatten", x, axis=1)

    def turned(values: Array) -> Array:
        return channels_first(values, shape).reshape(values.shape) if apart else values

    scale = graph.own(layer, "gamma", turned) if layer.scale else graph.hold(np.ones(layer.n or 1))
    others = (graph.own(layer, name, turned) for name in ("beta", "running_mean", "running_var"))
    y = graph.add("BatchNormalization", x, scale, *others, epsilon=layer.eps)
    if apart:
        height, width, channels = cast(Image, image_of(shape))
        return _reshape(graph, y, (channels, height, width))
    return y


def _layer_norm(graph: Graph, layer: layers.LayerNorm, x: str, shape: Shape) -> str:
    def turned(values: Array) -> Array:
        return channels_first(values, shape)

    ones = np.ones(layer.n or 1)
    scale = graph.own(layer, "gamma", turned) if layer.scale else graph.hold(turned(ones))
    beta = graph.own(layer, "beta", turned)
    return graph.add("LayerNormalization", x, scale, beta, axis=1, epsilon=layer.eps)


def _standardize(graph: Graph, layer: layers.Standardize, x: str, shape: Shape) -> str:
    def turned(values: Array) -> Array:
        return channels_first(values, shape)

    x = graph.add("Sub", x, graph.own(layer, "input_mean", turned))
    return graph.add("Div", x, graph.own(layer, "input_std", turned))


def _robust_scale(graph: Graph, layer: layers.RobustScale, x: str, shape: Shape) -> str:
    def turned(values: Array) -> Array:
        return channels_first(values, shape)

    z = graph.add("Sub", x, graph.own(layer, "input_median", turned))
    z = graph.add("Mul", z, graph.own(layer, "input_scale", turned))
    far, bound = np.float32(FAR), graph.hold(np.float32(SOFT_BOUND))
    z = graph.add("Div", graph.add("Clip", z, graph.hold(-far), graph.hold(far)), bound)
    root = graph.add("Sqrt", graph.add("Add", graph.hold(np.float32(1)), graph.add("Mul", z, z)))
    return graph.add("Mul", graph.add("Div", z, root), bound)


def _piecewise_linear(graph: Graph, layer: layers.PiecewiseLinear, x: str, shape: Shape) -> str:
    x = graph.add("Gather", _rows(graph, x, shape), graph.hold(layer.columns), axis=1)
    away = graph.add("Sub", x, graph.own(layer, "input_edges"))
    codes = graph.add("Mul", away, graph.own(layer, "input_slopes"))
    none, all_ = (graph.hold(np.float32(bound)) for bound in (0, 1))
    return graph.add("Clip", codes, none, all_)


def _scale(graph: Graph, layer: layers.Scale, x: str, shape: Shape) -> str:
    return graph.add("Mul", x, graph.own(layer, "s", lambda s: channels_first(s, shape)))


def _embedding(graph: Graph, layer: layers.Embedding, x: str, shape: Shape) -> str:
    codes = graph.add("Round", _rows(graph, x, shape))
    none = graph.hold(np.float32(0))
    sizes = graph.hold(np.array(layer.sizes, np.float32))
    known = graph.add("And", graph.add("Greater", codes, none), graph.add("Less", codes, sizes))
    codes = graph.add("Where", known, codes, none)
    rows = graph.add("Cast", codes, to=graph.onnx.TensorProto.INT64)
    rows = graph.add("Add", rows, graph.hold(layer.first_rows()))
    return graph.add("Flatten", graph.add("Gather", graph.own(layer, "E"), rows, axis=0), axis=1)


def _member_affine(graph: Graph, layer: layers.MemberAffine, x: str, shape: Shape) -> str:
    parts = graph.hold(np.array([0, layer.members, layer.n_inputs], np.int64))
    by_member = graph.add("Reshape", _rows(graph, x, shape), parts)
    by_member = graph.add("Transpose", by_member, perm=[1, 0, 2])
    y = graph.add("MatMul", by_member, graph.own(layer, "W"))
    y = graph.add("Flatten", graph.add("Transpose", y, perm=[1, 0, 2]), axis=1)
    return graph.add("Add", y, graph.own(layer, "b")) if layer.bias else y


def _columns(graph: Graph, layer: layers.Columns, x: str, shape: Shape) -> str:
    x, made = _rows(graph, x, shape), []
    for one, size, piece in zip(layer.layers, layer.sizes, pieces(layer.sizes), strict=True):
        ends = (graph.hold(np.array([end], np.int64)) for end in (piece.start, piece.stop, 1))
        made.append(_behind(graph, [one], graph.add("Slice", x, *ends), (size,)))
    return graph.add("Concat", *made, axis=1)


def _concat(graph: Graph, layer: layers.Concat, x: str, shape: Shape) -> str:
    x, size = _rows(graph, x, shape), (math.prod(shape),)
    return graph.add("Concat", *(_behind(graph, [f], x, size) for f in layer.layers), axis=1)


def _residual(graph: Graph, layer: layers.Residual, x: str, shape: Shape) -> str:
    f = _behind(graph, layer.layers, x, shape)
    past = [] if layer.projection is None else [layer.projection]
    return graph.add("Add", _behind(graph, past, x, shape), f)


def _prelu(graph: Graph, layer: layers.PReLU, x: str, shape: Shape) -> str:
    if layer.n == 1:
        return graph.add("PRelu", x, graph.own(layer, "a"))
    return graph.add("PRelu", x, graph.own(layer, "a", lambda a: channels_first(a, shape)))


def _silu(graph: Graph, layer: layers.SiLU, x: str, shape: Shape) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _alone(
    operator: str, attributes: Callable[[Any], dict[str, Any]] = lambda layer: {}
) -> Callable[[Graph, Any, str, Shape], str]:
    """An activation that is one operator, with these attributes."""

    def add(graph: Graph, layer: Layer, x: str, shape: Shape) -> str:
        return graph.add(operator, x, **attributes(layer))

    return add


LAYERS: Mapping[type[Layer], Callable[[Graph, Any, str, Shape], str]] = MappingProxyType(
    {
        layers.Affine: _affine,
        layers.Conv2D: _convolution,
        layers.MaxPool: _pool("MaxPool"),
        layers.AvgPool: _pool("AveragePool"),
        layers.GlobalAvgPool: _global_average,
        layers.BatchNorm: _batch_norm,
        layers.LayerNorm: _layer_norm,
        layers.Standardize: _standardize,
        layers.RobustScale: _robust_scale,
        layers.PiecewiseLinear: _piecewise_linear,
        layers.Scale: _scale,
        layers.Embedding: _embedding,
        layers.Columns: _columns,
        layers.Concat: _concat,
        layers.MemberAffine: _member_affine,
        layers.Residual: _residual,
        layers.Dropout: _left_out,
        layers.GaussianNoise: _left_out,
        layers.Identity: _left_out,
        layers.ReLU: _alone("Relu"),
        layers.Sigmoid: _alone("Sigmoid"),
        layers.Tanh: _alone("Tanh"),
        layers.LeakyReLU: _alone("LeakyRelu", lambda layer: {"alpha": layer.slope}),
        layers.PReLU: _prelu,
        layers.ELU: _alone("Elu", lambda layer: {"alpha": layer.alpha}),
        layers.SELU: _alone("Selu", lambda layer: {"alpha": layer.alpha, "gamma": layer.scale}),
        layers.GELU: _alone("Gelu", lambda layer: {"approximate": "none"}),
        layers.SiLU: _silu,
        layers.Softplus: _alone("Softplus"),
        layers.Mish: _alone("Mish"),
    }
)
"""What writes a layer of each kind: it takes the name of the layer's input, and gives that of its
output. Rows of the shape (H, W) or (H, W, C) are images (N, C, H, W) there, all others (N, D)."""


# What a loss makes of the logits.


def _probabilities(graph: Graph, network: Network, y: str) -> str:
    """The probability of each class, as `networks.classes` has it."""
    loss = network.loss_layer
    p = _confidences(graph, loss, y)
    k = network.output_sizes[-1]
    if k == 1:
        other = graph.add("Sub", graph.hold(np.float32(1), "one"), p)
        return graph.add("Concat", other, p, axis=1)
    if isinstance(loss, layers.SoftmaxWithLoss) or is_multilabel(network):
        return p
    total = graph.add("ReduceSum", p, graph.hold(np.array([1], np.int64)), keepdims=1)
    some = graph.add("Greater", total, graph.hold(np.float32(0), "zero"))
    return graph.add("Where", some, graph.add("Div", p, total), graph.hold(np.float32(1 / k)))


def _confidences(graph: Graph, loss: Loss, y: str) -> str:
    """How sure the outputs are of each class."""
    method = type(loss).confidences
    if method is layers.SoftmaxWithLoss.confidences:
        return graph.add("Softmax", y, axis=1)
    if method is BinaryCrossEntropy.confidences:
        return graph.add("Sigmoid", y)
    zero = graph.hold(np.float32(0), "zero")
    if method is PoissonLoss.confidences:
        return graph.add("Exp", graph.add("Min", y, zero))
    if method is Loss.confidences:
        return graph.add("Clip", y, zero, graph.hold(np.float32(1), "one"))
    raise _unknown(loss)


def _values(graph: Graph, loss: Loss, y: str) -> str:
    """What the outputs predict, in the units of the targets."""
    method = type(loss).predictions
    if method is Loss.predictions:
        return y
    if method is PoissonLoss.predictions:
        return graph.add("Exp", y)
    if method is QuantileLoss.predictions:
        return _quantiles(graph, cast(QuantileLoss, loss), y)
    raise _unknown(loss)


def _quantiles(graph: Graph, loss: QuantileLoss, y: str) -> str:
    """Quantiles from the middle one and the distances between neighbours, as two products."""
    k, m = len(loss.quantiles), loss.middle
    scale, center = loss.scale or 1.0, loss.center or 0.0
    of_middle, of_distances = np.zeros((k, k)), np.zeros((k, k))
    of_middle[m] = scale
    for at in range(k):
        of_distances[m + 1 : at + 1, at] = scale  # of all from the middle up to this one
        of_distances[at:m, at] = -scale
    middle = graph.add("Gemm", y, graph.hold(of_middle), graph.hold(np.full(k, center)))
    distances = graph.add("MatMul", graph.add("Softplus", y), graph.hold(of_distances))
    return graph.add("Add", middle, distances)


def _unknown(loss: Loss) -> ParameterError:
    return ParameterError(
        f"a network for ONNX must have one of scratchnet's own losses, got {loss!r}; keep the "
        "network in its own file, or give it another loss_layer"
    )
