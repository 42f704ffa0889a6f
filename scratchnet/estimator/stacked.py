"""The networks of estimators: stacked as scikit-learn's arguments say, or of given layers."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from scratchnet.estimator.arguments import OF_NETWORK
from scratchnet.estimator.constraints import ArgumentError
from scratchnet.estimator.fitting import NetworkEstimator
from scratchnet.estimator.solver import draw_weights
from scratchnet.layers import (
    Affine,
    BinaryCrossEntropy,
    Layer,
    Loss,
    PoissonLoss,
    SoftmaxWithLoss,
)
from scratchnet.networks import MultiLayerNet, Network
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
        own = {name: getattr(self, name) for name in OF_NETWORK}
        single = isinstance(self.activation, str)
        names = [self.activation] if single else list(self.activation)
        names = ["sigmoid" if name == "logistic" else name for name in names]
        own["activation"] = names[0] if single else names
        if self.initializer is None:
            own["initializer"] = _zeros  # until they are drawn as scikit-learn draws them
        own["dtype"] = dtype
        network = MultiLayerNet(
            n_features,
            [int(n) for n in hidden],
            self._n_network_outputs(),
            seed=self._seed,
            loss=self._new_loss(),
            **own,
        )
        if self.initializer is None:
            layers = [layer for layer in network.layers if isinstance(layer, Affine)]
            draw_weights(layers, self._start, self.activation)
        return network


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
        network = Network(made, self._new_loss(), dtype=dtype)
        sizes = network.input_size, network.output_sizes[-1]
        if sizes != (n_features, n_outputs):
            raise ArgumentError(
                f"layers must take the {n_features} features and give {n_outputs} outputs, they "
                f"take {sizes[0]} and give {sizes[1]}"
            )
        network._set_rng(generator(self._seed, "noise"))
        return network
