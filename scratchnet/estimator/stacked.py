"""The networks of estimators: stacked as scikit-learn's arguments say, or of given layers."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from scratchnet.data import make_augmentation
from scratchnet.errors import ShapeError
from scratchnet.estimator.arguments import OF_NETWORK
from scratchnet.estimator.constraints import ArgumentError
from scratchnet.estimator.fitting import NetworkEstimator
from scratchnet.estimator.solver import draw_weights
from scratchnet.layers import (
    Affine,
    BinaryCrossEntropy,
    Conv2D,
    Layer,
    Loss,
    MemberAffine,
    PoissonLoss,
    SoftmaxWithLoss,
)
from scratchnet.layers.image import check_image
from scratchnet.networks import ConvNet, MultiLayerNet, Network
from scratchnet.parameters import Array, Shape
from scratchnet.randomness import generator

OUT_ACTIVATIONS = {SoftmaxWithLoss: "softmax", BinaryCrossEntropy: "logistic", PoissonLoss: "exp"}
"""What turns outputs into predictions, by scikit-learn's names; under other losses nothing."""


def out_activation_of(loss: Loss) -> str:
    """The `out_activation_` of an estimator with this loss."""
    return OUT_ACTIVATIONS.get(type(loss), "identity")


class Stacked(NetworkEstimator):
    """An estimator whose arguments say how many units its layers have."""

    hidden_layer_sizes: Any
    activation: Any
    initializer: Any

    def _make_network(self, n_features: int, dtype: str) -> Network:
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if np.iterable(sizes) else [sizes]
        if not all(isinstance(n, int | np.integer) and n > 0 for n in hidden):
            raise ArgumentError(
                f"hidden_layer_sizes must be > 0 and hold whole numbers, got {hidden}."
            )
        own = {name: getattr(self, name) for name in OF_NETWORK if hasattr(self, name)}
        single = isinstance(self.activation, str)
        names = [self.activation] if single else list(self.activation)
        names = ["sigmoid" if name == "logistic" else name for name in names]
        own["activation"] = names[0] if single else names
        if self.initializer is None:
            own["initializer"] = _zeros  # until they are drawn as scikit-learn draws them
        own["dtype"] = dtype
        own |= {"seed": self._seed, "loss": self._new_loss()}
        network = self._stack(n_features, [int(n) for n in hidden], own)
        if self.initializer is None:
            kinds = Affine | MemberAffine | Conv2D
            layers = [layer for layer in network.layers if isinstance(layer, kinds)]
            draw_weights(layers, self._start, self.activation)
        return network

    def _stack(self, n_features: int, hidden: list[int], options: dict[str, Any]) -> Network:
        """The network of so many units and these options."""
        return MultiLayerNet(n_features, hidden, self._n_network_outputs(), **options)


class OfImages(Stacked):
    """An estimator of rows that are images."""

    image_shape: Any
    conv: Any
    augment: dict[str, Any] | None

    def _stack(self, n_features: int, hidden: list[int], options: dict[str, Any]) -> Network:
        shape = self._image_of(n_features)
        words = usual_layers(shape) if self.conv is None else self.conv
        try:
            return ConvNet(shape, words, hidden, self._n_network_outputs(), **options)
        except ShapeError as error:
            raise ArgumentError(f"conv must fit images of the shape {shape}: {error}") from error

    def _takes_sparse(self) -> bool:
        """Windows of images are dense."""
        return False

    def _image_of(self, n_features: int) -> Shape:
        """The shape of a row: `image_shape`, or a square, or a single line of pixels."""
        if self.image_shape is None:
            side = math.isqrt(n_features)
            return (side, side) if side * side == n_features else (1, n_features)
        shape = check_image("image_shape", tuple(self.image_shape))
        if math.prod(shape) != n_features:
            raise ArgumentError(
                f"image_shape must have as many values as X has columns, {n_features}, got {shape}"
            )
        return shape

    def _augmentation(self) -> dict[str, Any]:
        """The distortions of `augment`."""
        if not self.augment:
            return {}
        shape = self._image_of(self._network.input_size)
        return {"augment": make_augmentation(shape, **self.augment)}


def usual_layers(shape: Shape) -> list[str]:
    """Two convolutions, and behind each pooling of 2 pixels where there are 4 or more."""
    height, width = shape[:2]
    words = []
    for filters in (16, 32):
        words.append(f"{filters}x3p")
        size = 2 if height >= 4 else 1, 2 if width >= 4 else 1
        if size != (1, 1):
            words.append(f"pool{size[0]}x{size[1]}")
        height, width = height // size[0], width // size[1]
    return words


def _zeros(rng: np.random.Generator, shape: Shape) -> Array:
    return np.zeros(shape)


class OfLayers(NetworkEstimator):
    """An estimator whose layers are given, or made by a function."""

    layers: Sequence[Layer] | Callable[[int, int, np.random.Generator], Sequence[Layer]] | None

    def _make_network(self, n_features: int, dtype: str) -> Network:
        n_outputs = self._n_network_outputs()
        if callable(self.layers):
            made = self.layers(n_features, n_outputs, generator(self._seed, "initialize", 0))
        else:
            made = deepcopy(list(self.layers or []))
        if not made or not all(isinstance(layer, Layer) for layer in made):
            raise ArgumentError(
                "layers must be a list of layers, for example [Affine(4, 30), ReLU(), "
                f"Affine(30, 3)], or a function that makes one, got {made!r}"
            )
        known = any(layer.input_shape is not None for layer in made)
        shape = None if known else (n_features,)
        network = Network(made, self._new_loss(), dtype=dtype, input_shape=shape)
        sizes = network.input_size, network.output_sizes[-1]
        if sizes != (n_features, n_outputs):
            raise ArgumentError(
                f"layers must take the {n_features} features and give {n_outputs} outputs, they "
                f"take {sizes[0]} and give {sizes[1]}"
            )
        network._set_rng(generator(self._seed, "noise"))
        return network
