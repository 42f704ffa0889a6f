"""Convolutional networks that words describe: `ConvNet`, and those of the book's chapters 7, 8."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from scratchnet.checks import check_integer, quoted
from scratchnet.errors import ParameterError
from scratchnet.layers import (
    ACTIVATIONS,
    POOLS,
    Affine,
    Conv2D,
    GlobalAvgPool,
    Layer,
    MaxPool,
    ReLU,
)
from scratchnet.layers.image import check_image
from scratchnet.networks.multi_layer import MultiLayerNet, layer_sizes, one_each, placed
from scratchnet.networks.options import HIDDEN, INPUT, NetworkOptions, Unit
from scratchnet.networks.shapes import hand_on
from scratchnet.options import options_of, show_options
from scratchnet.parameters import Shape
from scratchnet.randomness import generator

CONVOLUTION = re.compile(r"(\d+)x(\d+)(?:x(\d+))?(?:/(\d+))?(?:p(\d*))?(?:d(\d+))?")
POOLING = re.compile(r"(pool|avg)(\d+)(?:x(\d+))?")
GLOBAL = "global"
MOST = 6
"""Digits of a number in a word."""


class ImageUnit(NamedTuple):
    """A convolution, or None, and the pooling behind it."""

    convolution: Mapping[str, Any] | None
    pools: tuple[str, ...]


class ConvNet(MultiLayerNet):
    """Layers of images that words describe, then those of a MultiLayerNet.

    `image` is the shape of a row: (height, width) or (height, width, channels). `conv` has a word
    for each layer of images: "16x3" is a convolution with 16 filters of 3x3 pixels, "16x3x5" with
    filters of 3 rows and 5 columns; "/2" behind it is its stride, "p" the padding "same", "p1" one
    pixel of zeros on each side, "d2" the dilation. "pool2" takes the largest of 2x2 pixels,
    "avg2" their mean, "global" the mean of each channel. `hidden_sizes`, `output_size` and
    `options` are those of MultiLayerNet.

    Behind a convolution come normalization of its channels, noise, activation, Dropout, pooling.
    Max-pooling and ReLU change places, which is the same function and less work. Of an option with
    one value for each hidden layer, convolutions come first; a single `dropout` is that of the
    fully connected layers, or where there are none of what goes into the last one.

    >>> network = ConvNet((28, 28), ["16x5/2", "32x3", "pool2"], [], 10, batch_norm=True)
    >>> network.vector.size
    13114

    Raises ParameterError, naming the argument, for a word that means nothing or an option out of
    its range, ShapeError for a layer that does not fit into what the layers before it give.
    """

    def __init__(
        self,
        image: Shape,
        conv: Sequence[str] | str,
        hidden_sizes: Sequence[int] | int,
        output_size: int,
        *positional: Any,
        **options: Any,
    ) -> None:
        self.image = check_image("image", image)
        self.conv = [conv] if isinstance(conv, str) else list(conv)
        self.units = image_units(self.conv)
        super().__init__(math.prod(self.image), hidden_sizes, output_size, *positional, **options)

    def _hidden_layers(self) -> tuple[int, int]:
        """How many hidden layers there are: convolutions, and fully connected ones."""
        return sum(unit.convolution is not None for unit in self.units), len(self.sizes) - 2

    def _each(self, name: str, value: Any) -> list[Any]:
        """The values of an option, one for each hidden layer."""
        of_images, dense = self._hidden_layers()
        if name == "dropout" and not isinstance(value, Sequence):
            last = [] if dense or not of_images else [value]
            return [0.0] * (of_images - len(last)) + last + [value] * dense
        return one_each(name, value, of_images + dense)

    def _stack(self, options: NetworkOptions) -> list[Layer]:
        """The layers from the image to the logits; none has its arrays yet."""
        unit = Unit(None, generator(options.seed, "noise"), options.dtype, options.gamma)
        layers = placed(INPUT, 0, options, unit)
        own: dict[str, Any] = {"initializer": options.initializer, "dtype": options.dtype}
        inner = own | {"bias": not options.batch_norm, "max_norm": options.max_norm}
        k = 0
        for convolution, words in self.units:
            pools = [_pool(word) for word in words]
            if convolution is None:
                layers += pools
                continue
            rng = generator(options.seed, "initialize", k)
            behind = placed(HIDDEN, k, options, unit)
            at = next(i for i, one in enumerate(behind) if isinstance(one, KINDS))
            swap = isinstance(behind[at], ReLU) and all(isinstance(p, MaxPool) for p in pools)
            at += 0 if swap else 1
            layers += [Conv2D(**convolution, rng=rng, **inner), *behind[:at], *pools, *behind[at:]]
            k += 1
        for n in self.sizes[1:-1]:
            layers.append(Affine(n, rng=generator(options.seed, "initialize", k), **inner))
            layers += placed(HIDDEN, k, options, unit)
            k += 1
        layers.append(Affine(self.sizes[-1], rng=generator(options.seed, "initialize", k), **own))
        return layers

    @property
    def _first_shape(self) -> Shape:
        return self.image

    @property
    def outline(self) -> str:
        """The network in a line, for example 28x28 16x5/2 pool2 100-10."""
        return " ".join(
            ["x".join(map(str, self.image)), *self.conv, "-".join(map(str, self.sizes[1:]))]
        )

    def config(self) -> dict[str, Any]:
        """The arguments that make a network like this one, as JSON values."""
        found = super().config()
        del found["input_size"]
        return {**found, "kind": "convolutional", "image": list(self.image), "conv": self.conv}


class SimpleConvNet(ConvNet):
    """The book's network of chapter 7: Conv, ReLU, MaxPool, Affine, ReLU, Affine, softmax.

    `input_dim` is (channels, height, width) and `conv_param` has filter_num, filter_size, pad and
    stride, as in the book; images may come as (N, C, H, W) or (N, H, W, C). `weight_init_std` is a
    standard deviation or a name of INITIALIZERS. `options` are those of MultiLayerNet.
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param: Mapping[str, int] = MappingProxyType(
            {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}
        ),
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float | str = 0.01,
        **options: Any,
    ) -> None:
        image = channels_last(input_dim)
        options = {"initializer": weight_init_std} | options
        super().__init__(image, [word_of(conv_param), "pool2"], hidden_size, output_size, **options)


class DeepConvNet(ConvNet):
    """The book's network of chapter 8: three times Conv, ReLU, Conv, ReLU, MaxPool, then Affine.

    The first five `conv_param` have the book's values; so have `hidden_size`, the dropout of half
    of the hidden units, and He's starting weights. On the logits, where the book has it too, there
    is no dropout: the loss could never make up for it. `input_dim`, `conv_param` and images are as
    in SimpleConvNet, `options` those of MultiLayerNet.
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param_1: Mapping[str, int] | None = None,
        conv_param_2: Mapping[str, int] | None = None,
        conv_param_3: Mapping[str, int] | None = None,
        conv_param_4: Mapping[str, int] | None = None,
        conv_param_5: Mapping[str, int] | None = None,
        conv_param_6: Mapping[str, int] | None = None,
        hidden_size: int = 50,
        output_size: int = 10,
        **options: Any,
    ) -> None:
        given = (
            *(conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6),
        )
        usual = [word for word in PRESETS["deep-convnet"]["conv"] if not word.startswith("pool")]
        words = [
            word if param is None else word_of(param)
            for word, param in zip(usual, given, strict=True)
        ]
        conv = in_pairs(words)
        super().__init__(
            channels_last(input_dim), conv, hidden_size, output_size, **{"dropout": 0.5} | options
        )


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mlp": MappingProxyType({}),
        "simple-convnet": MappingProxyType({"conv": ["30x5", "pool2"], "initializer": 0.01}),
        "deep-convnet": MappingProxyType(
            {
                "conv": [
                    *("16x3p1", "16x3p1", "pool2"),
                    *("32x3p1", "32x3p2", "pool2"),
                    *("64x3p1", "64x3p1", "pool2"),
                ],
                "hidden": [50],
                "dropout": 0.5,
            }
        ),
        "cnn": MappingProxyType(
            {"conv": ["16x5/2", "32x3", "pool2"], "hidden": [], "batch_norm": True}
        ),
    }
)
"""Networks by name, as values of options: the book's, and a small one that is quick and good."""

KINDS = tuple(ACTIVATIONS.values())


def image_units(words: Sequence[str]) -> list[ImageUnit]:
    """The convolutions that words describe, each with the pooling behind it.

    Raises ParameterError for a word that means nothing.
    """
    units: list[ImageUnit] = []
    for word in words:
        convolution = read_convolution(word)
        if convolution is not None:
            units.append(ImageUnit(convolution, ()))
        elif not units:
            units.append(ImageUnit(None, (word,)))
        else:
            units[-1] = units[-1]._replace(pools=(*units[-1].pools, word))
        if convolution is None:
            _pool(word)
    return units


def plan(
    shape: Shape, conv: Sequence[str], hidden_sizes: Sequence[int] | int, output_size: int
) -> tuple[int, list[int]]:
    """How many weights a network has, and the values of a row behind each layer, without making it.

    `shape` is that of a row. Raises as ConvNet.
    """
    sizes = layer_sizes(math.prod(shape), hidden_sizes, output_size)
    read = [(word, read_convolution(word)) for word in conv]
    layers = [_pool(word) if found is None else Conv2D(**found) for word, found in read]
    layers += [Affine(n) for n in sizes[1:]]
    _, shapes = hand_on(layers, shape)
    weights = sum(math.prod(layer.shapes["W"]) for layer in layers if layer.shapes)
    return weights, [math.prod(each) for each in shapes]


def read_convolution(word: str) -> dict[str, Any] | None:
    """The options of Conv2D that a word means; None for a word of pooling."""
    found = CONVOLUTION.fullmatch(word) if isinstance(word, str) else None
    if found is None or any(len(part or "") > MOST for part in found.groups()):
        return None
    filters, rows, columns, stride, zeros, dilation = found.groups()
    return {
        "filters": check_integer(f"the filters of {word}", int(filters), 1),
        "kernel": (int(rows), int(columns or rows)),
        "stride": int(stride or 1),
        "padding": 0 if zeros is None else "same" if zeros == "" else int(zeros),
        "dilation": int(dilation or 1),
    }


def _pool(word: str) -> Layer:
    """The layer of pooling that a word means; raises ParameterError for a word that means none."""
    if word == GLOBAL:
        return GlobalAvgPool()
    found = POOLING.fullmatch(word) if isinstance(word, str) else None
    if found is None or any(len(part or "") > MOST for part in found.groups()):
        raise ParameterError(
            f"a layer of images must be a word, for example 16x3, 16x5/2, 32x3p, pool2, avg2 or "
            f"global, got {quoted(str(word))}"
        )
    kind, rows, columns = found.groups()
    return POOLS[{"pool": "max"}.get(kind, kind)]((int(rows), int(columns or rows)))


def word_of(param: Mapping[str, int]) -> str:
    """The word for the book's description of a convolution; raises ParameterError."""
    known = {"filter_num", "filter_size", "pad", "stride"}
    if not isinstance(param, Mapping) or not {"filter_num", "filter_size"} <= set(param) <= known:
        raise ParameterError(
            "conv_param must have filter_num and filter_size, and may have pad and stride, got "
            f"{param!r}"
        )
    least = {"pad": 0}
    numbers = {name: check_integer(name, n, least.get(name, 1)) for name, n in param.items()}
    stride = f"/{numbers['stride']}" if numbers.get("stride", 1) > 1 else ""
    pad = f"p{numbers['pad']}" if numbers.get("pad", 0) else ""
    return f"{numbers['filter_num']}x{numbers['filter_size']}{stride}{pad}"


def in_pairs(words: Sequence[str]) -> list[str]:
    """The words of convolutions with a max-pooling behind every second one."""
    return [each for k in range(0, len(words), 2) for each in (*words[k : k + 2], "pool2")]


def channels_last(input_dim: Sequence[int]) -> Shape:
    """(H, W, C) of the book's (C, H, W); raises ParameterError for another number of sizes."""
    shape = check_image("input_dim", input_dim)
    if len(shape) != 3:
        raise ParameterError(
            f"input_dim must be (channels, height, width), for example (1, 28, 28), got {input_dim}"
        )
    return shape[1], shape[2], shape[0]


show_options(ConvNet, options_of(NetworkOptions), ())

NETWORKS: Mapping[str, type[MultiLayerNet]] = MappingProxyType(
    {"multi-layer": MultiLayerNet, "convolutional": ConvNet}
)
"""The networks of options, by the word for them in files."""
