"""`MultiLayerNet` and the book's `TwoLayerNet`: the networks that options describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_dtype, check_integer
from scratchnet.errors import ParameterError
from scratchnet.initializers import Initializer
from scratchnet.layers import (
    ACTIVATIONS,
    LOSSES,
    NORMALIZATIONS,
    Affine,
    Dropout,
    GaussianNoise,
    Layer,
    Loss,
    SoftmaxWithLoss,
    Standardize,
)
from scratchnet.networks.network import Network
from scratchnet.randomness import generator
from scratchnet.registry import canonical, pick


class MultiLayerNet(Network):
    """Affine layers with an activation after each but the last: x - Affine - f - ... - Affine.

    `input_size` values a row, one hidden layer for each of `hidden_sizes` (none is allowed: a
    linear classifier), `output_size` classes. `activation` is a name of ACTIVATIONS,
    `initializer` a name of INITIALIZERS or the standard deviation of normal weights; biases start
    at 0. Layer k draws from a stream of its own of `seed`.

    What follows is off by default. A hidden layer is Affine, BatchNorm or LayerNorm, GaussianNoise,
    activation, Dropout, in this order, and the input may be standardized and disturbed before the
    first; nothing disturbs the logits. `gamma=False` leaves the learnt scale out of normalization:
    behind it noise would be of no use against a network that can scale everything else up.
    `activation`, `noise` (standard deviation) and `dropout`
    (rate) are one value for all hidden layers or a list with one for each; `input_noise` and
    `input_dropout` are those of the input. `max_norm` limits the weights into each hidden unit.
    `standardize` is "features" or "all" (see Standardize). `loss` is a name of LOSSES and `labels`
    what its targets look like; `label_smoothing` and `class_weight` are options of "softmax". Any
    other order is a list of layers given to `Network`.

    >>> network = MultiLayerNet(784, [100, 100], 10)
    >>> list(network.params)
    ['W1', 'W2', 'W3', 'b1', 'b2', 'b3']

    Raises ParameterError, naming the argument, for an option out of its range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int] | int,
        output_size: int,
        activation: str | Sequence[str] = "relu",
        initializer: str | float | Initializer = "he",
        weight_decay: float = 0.0,
        seed: int = 0,
        dtype: npt.DTypeLike = "float32",
        *,
        batch_norm: bool = False,
        layer_norm: bool = False,
        gamma: bool = True,
        noise: float | Sequence[float] = 0.0,
        dropout: float | Sequence[float] = 0.0,
        input_noise: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        standardize: str | None = None,
        loss: str = "softmax",
        labels: str = "integer",
        label_smoothing: float = 0.0,
        class_weight: Sequence[float] | str | None = None,
    ) -> None:
        sizes = layer_sizes(input_size, hidden_sizes, output_size)
        if batch_norm and layer_norm:
            raise ParameterError("batch_norm and layer_norm cannot both be on; choose one")
        normalize = "batch" if batch_norm else "layer" if layer_norm else None
        hidden = len(sizes) - 2
        activations = one_each("activation", activation, hidden)
        noises, dropouts = one_each("noise", noise, hidden), one_each("dropout", dropout, hidden)
        dtype = check_dtype(dtype)

        layers: list[Layer] = []
        if standardize is not None:
            layers.append(Standardize(sizes[0], standardize, dtype=dtype))
        # Layers that draw random numbers are made even where they draw none, which checks the
        # value, and left out.
        rng = generator(seed, "noise")
        layers += [GaussianNoise(input_noise, rng), Dropout(input_dropout, rng)]
        for k, (n_in, n_out) in enumerate(pairwise(sizes)):
            inner = k < hidden
            layers.append(
                Affine(
                    n_in,
                    n_out,
                    initializer=initializer,
                    rng=generator(seed, "initialize", k),
                    dtype=dtype,
                    bias=not (inner and batch_norm),
                    max_norm=max_norm if inner else None,
                )
            )
            if not inner:
                break
            if normalize is not None:
                layers.append(NORMALIZATIONS[normalize](n_out, scale=gamma, dtype=dtype))
            layers += [GaussianNoise(noises[k], rng)]
            layers += [pick(ACTIVATIONS, activations[k], "activation")()]
            layers += [Dropout(dropouts[k], rng)]
        super().__init__(
            [layer for layer in layers if not is_off(layer)],
            make_loss(loss, labels, label_smoothing, class_weight),
            weight_decay=weight_decay,
            dtype=dtype,
        )
        self.sizes = sizes
        self.activation = [canonical(ACTIVATIONS, name, "activation") for name in activations]
        self.initializer = initializer
        self.seed = check_integer("seed", seed, 0)
        self.loss_name = canonical(LOSSES, loss, "loss")
        self.options = {
            "batch_norm": batch_norm,
            "layer_norm": layer_norm,
            "gamma": gamma,
            "noise": noises,
            "dropout": dropouts,
            "input_noise": input_noise,
            "input_dropout": input_dropout,
            "max_norm": max_norm,
            "standardize": standardize,
        }

    def config(self) -> dict[str, Any]:
        """The arguments that make a network like this one, as JSON can hold them."""
        loss = self.loss_layer.config()
        return {
            "kind": "multi-layer",
            "input_size": self.sizes[0],
            "hidden_sizes": list(self.sizes[1:-1]),
            "output_size": self.sizes[-1],
            "activation": self.activation,
            # A function cannot be written down; the weights it drew are saved in any case.
            "initializer": "he" if callable(self.initializer) else self.initializer,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "dtype": self.dtype,
            **self.options,
            "loss": self.loss_name,
            "labels": loss["labels"],
            "label_smoothing": loss.get("label_smoothing", 0.0),
            "class_weight": loss.get("class_weight"),
        }


class TwoLayerNet(MultiLayerNet):
    """The book's first network: Affine, an activation, Affine, and softmax with cross-entropy.

    `MultiLayerNet` with a single hidden layer of `hidden_size` units; `options` are its others.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        activation: str = "relu",
        initializer: str | float | Initializer = "he",
        weight_decay: float = 0.0,
        seed: int = 0,
        dtype: npt.DTypeLike = "float32",
        **options: Any,
    ) -> None:
        super().__init__(
            input_size,
            [check_integer("hidden_size", hidden_size, 1)],
            output_size,
            activation,
            initializer,
            weight_decay,
            seed,
            dtype,
            **options,
        )


def one_each(name: str, value: Any, n: int) -> list[Any]:
    """A list of n values: `value` n times, or `value` itself where it is a list of n.

    Raises ParameterError for a list of another length.
    """
    if isinstance(value, str) or not np.iterable(value):
        return [value] * n
    values = list(value)
    if len(values) != n:
        raise ParameterError(
            f"{name} must be one value, or one for each hidden layer, here {n}, "
            f"got {len(values)}: {value!r}"
        )
    return values


def is_off(layer: Layer) -> bool:
    """Whether it is a layer that disturbs training by an amount of 0."""
    return (isinstance(layer, Dropout) and not layer.rate) or (
        isinstance(layer, GaussianNoise) and not layer.std
    )


def make_loss(
    name: str,
    labels: str = "integer",
    label_smoothing: float = 0.0,
    class_weight: Sequence[float] | str | None = None,
) -> Loss:
    """The loss of that name, for targets as `labels` says; raises ParameterError."""
    kind = pick(LOSSES, name, "loss")
    if kind is SoftmaxWithLoss:
        return SoftmaxWithLoss(labels, label_smoothing=label_smoothing, class_weight=class_weight)
    for option, given in (
        ("label_smoothing", bool(label_smoothing)),
        ("class_weight", class_weight is not None),
    ):
        if given:
            raise ParameterError(f"{option} is an option of the loss softmax, not of {name}")
    return kind(labels)


def layer_sizes(
    input_size: int, hidden_sizes: Sequence[int] | int, output_size: int
) -> tuple[int, ...]:
    """(input_size, *hidden_sizes, output_size); raises ParameterError naming what is no size."""
    if isinstance(hidden_sizes, int | np.integer):
        hidden_sizes = [int(hidden_sizes)]
    if not np.iterable(hidden_sizes):
        raise ParameterError(
            f"hidden_sizes must be integers >= 1, as [100, 50], got {hidden_sizes!r}"
        )
    hidden = [check_integer(f"hidden_sizes[{i}]", n, 1) for i, n in enumerate(hidden_sizes)]
    return (
        check_integer("input_size", input_size, 1),
        *hidden,
        check_integer("output_size", output_size, 1),
    )


def count_weights(sizes: Sequence[int]) -> int:
    """How many weights affine layers of these sizes have, without making them."""
    return sum(n_in * n_out for n_in, n_out in pairwise(sizes))


NETWORKS: Mapping[str, type[MultiLayerNet]] = MappingProxyType({"multi-layer": MultiLayerNet})
