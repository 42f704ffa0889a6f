"""`MultiLayerNet` and the book's `TwoLayerNet`: networks that options describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from itertools import pairwise
from typing import Any

import numpy as np

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers import (
    LOSSES,
    Affine,
    BinaryCrossEntropy,
    Layer,
    Loss,
    SoftmaxWithLoss,
)
from scratchnet.networks.naming import read_old_name
from scratchnet.networks.network import Network
from scratchnet.networks.options import HIDDEN, INPUT, NetworkOptions, Unit
from scratchnet.networks.saving import describe
from scratchnet.options import make_options, options_of, show_options
from scratchnet.parameters import Shape
from scratchnet.randomness import generator
from scratchnet.registry import pick

POSITIONAL = ("activation", "initializer", "l2", "seed", "dtype")
"""The options that may be given by position, in this order."""


class MultiLayerNet(Network):
    """Affine layers with an activation after each but the last: x - Affine - f - ... - Affine.

    `input_size` values a row, one hidden layer for each of `hidden_sizes` (none is allowed: a
    linear classifier), `output_size` classes. Biases start at 0; layer k draws its weights from a
    stream of its own of `seed`. `options` are the fields of `NetworkOptions`; the first five may be
    given by position:

    - `activation`: a name of ACTIVATIONS, or a list with one for each hidden layer;
    - `initializer`: a name of INITIALIZERS, or the standard deviation of normal weights;
    - `l2`: strength of the L2 penalty on the weights, >= 0;
    - `seed`: of all randomness, an integer >= 0; `dtype`: float32 or float64;
    - `batch_norm` or `layer_norm`: normalize before each activation; `gamma=False` leaves the
      learnt scale out, behind which noise would be of no use;
    - `noise` (standard deviation) and `dropout` (rate): one value or one for each hidden layer;
      `input_noise` and `input_dropout` are those of the input;
    - `max_norm`: limits the weights into each hidden unit; `standardize`: "features" or "all";
    - `loss`: a name of LOSSES, or a Loss; `labels`: the form of its targets; `label_smoothing` and
      `class_weight`: options of "softmax".

    A hidden layer is Affine, BatchNorm or LayerNorm, GaussianNoise, activation, Dropout, in this
    order; nothing disturbs the logits. Any other order is a list of layers given to `Network`.

    >>> network = MultiLayerNet(784, [100, 100], 10)
    >>> list(network.params)
    ['W1', 'W2', 'W3', 'b1', 'b2', 'b3']

    Raises ParameterError, naming the argument, for an option out of its range, TypeError for an
    unknown one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int] | int,
        output_size: int,
        *positional: Any,
        **options: Any,
    ) -> None:
        self.sizes = layer_sizes(input_size, hidden_sizes, output_size)
        given = read_old_name(_named(positional, options))
        self.options = self._for_each_layer(make_options(NetworkOptions, given))
        super().__init__(
            self._stack(self.options),
            _loss(self.options),
            l2=self.options.l2,
            dtype=self.options.dtype,
            input_shape=self._first_shape,
        )

    @property
    def _first_shape(self) -> Shape:
        """The shape of a row."""
        return (self.sizes[0],)

    @property
    def outline(self) -> str:
        """The network in a line, for example 784-100-10."""
        return "-".join(map(str, self.sizes))

    def _each(self, name: str, value: Any) -> list[Any]:
        """The values of an option, one for each hidden layer."""
        return one_each(name, value, len(self.sizes) - 2)

    def _for_each_layer(self, options: NetworkOptions) -> NetworkOptions:
        """The same options, those that each layer has its own of as lists."""
        made = copy(options)  # whose values are checked already
        for name, (_, about) in options_of(NetworkOptions).items():
            if about.each:
                object.__setattr__(made, name, self._each(name, getattr(options, name)))
        return made

    def _stack(self, options: NetworkOptions) -> list[Layer]:
        """The layers that the options ask for, from the input to the logits."""
        sizes = self.sizes
        rng = generator(options.seed, "noise")
        layers = placed(INPUT, 0, options, Unit(sizes[0], rng, options.dtype, options.gamma))
        for k, (n_in, n_out) in enumerate(pairwise(sizes)):
            inner = k < len(sizes) - 2
            affine = self._affine(
                k,
                n_in,
                n_out,
                initializer=options.initializer,
                rng=generator(options.seed, "initialize", k),
                dtype=options.dtype,
                bias=not (inner and options.batch_norm),
                max_norm=options.max_norm if inner else None,
            )
            layers.append(affine)
            if inner:
                layers += placed(HIDDEN, k, options, Unit(n_out, rng, options.dtype, options.gamma))
        return layers

    def _affine(self, k: int, n_in: int, n_out: int, **options: Any) -> Layer:
        """The affine layer number k, from 0."""
        return Affine(n_in, n_out, **options)

    def config(self) -> dict[str, Any]:
        """The arguments that make a network like this one, as JSON values."""
        # A function cannot be written down; the weights it drew are saved in any case.
        written = {"initializer": "he"} if callable(self.options.initializer) else {}
        known = options_of(NetworkOptions)
        of_loss = self.loss_layer.config()  # class weights as they were measured
        loss: Any = next((n for n, kind in LOSSES.items() if kind is type(self.loss_layer)), None)
        if loss is None or not set(of_loss) <= set(known):
            loss, of_loss = describe(self.loss_layer), {}
        return {
            "kind": "multi-layer",
            "input_size": self.sizes[0],
            "hidden_sizes": list(self.sizes[1:-1]),
            "output_size": self.sizes[-1],
            **{name: getattr(self.options, name) for name in known},
            **written,
            "loss": loss,
            **of_loss,
        }


class TwoLayerNet(MultiLayerNet):
    """The book's first network: Affine, an activation, Affine, and softmax with cross-entropy.

    `MultiLayerNet` with a single hidden layer of `hidden_size` units, and its options.
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, *positional: Any, **options: Any
    ) -> None:
        hidden = [check_integer("hidden_size", hidden_size, 1)]
        super().__init__(input_size, hidden, output_size, *positional, **read_old_name(options))


for _kind in (MultiLayerNet, TwoLayerNet):
    show_options(_kind, options_of(NetworkOptions), POSITIONAL)


def _named(positional: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All options by name; raises TypeError for too many by position, or one given twice."""
    if len(positional) > len(POSITIONAL):
        raise TypeError(
            f"a network takes {len(POSITIONAL)} options by position, {', '.join(POSITIONAL)}, "
            f"got {len(positional)}; give the others by name"
        )
    named = dict(zip(POSITIONAL, positional, strict=False))
    twice = next((name for name in named if name in options), None)
    if twice is not None:
        raise TypeError(f"the option {twice!r} came twice, by position and by name; keep one")
    return {**named, **options}


def placed(place: str, k: int, options: NetworkOptions, unit: Unit) -> list[Layer]:
    """The layers of one place, of the k-th hidden layer, in the order of the fields."""
    layers: list[Layer] = []
    for name, (_, about) in options_of(NetworkOptions).items():
        if about.place == place and about.make is not None:
            value = getattr(options, name)
            own = value[k] if about.each else value
            layers += [about.make(own, unit)] if own else []
    return layers


def _loss(options: NetworkOptions) -> Loss:
    """The loss that the options ask for; raises ParameterError for an option it does not have."""
    if isinstance(options.loss, Loss):
        return deepcopy(options.loss)
    kind = pick(LOSSES, options.loss, "loss")
    smoothing, weight = options.label_smoothing, options.class_weight
    if kind is SoftmaxWithLoss:
        return SoftmaxWithLoss(options.labels, label_smoothing=smoothing, class_weight=weight)
    if weight is not None:
        raise ParameterError(
            f"class_weight is an option of the loss softmax, not of {options.loss}"
        )
    if kind is BinaryCrossEntropy:
        return BinaryCrossEntropy(options.labels, label_smoothing=smoothing)
    if smoothing:
        raise ParameterError(
            "label_smoothing is an option of the losses softmax and binary-cross-entropy, not of "
            f"{options.loss}"
        )
    return kind(options.labels)


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


def layer_sizes(
    input_size: int, hidden_sizes: Sequence[int] | int, output_size: int
) -> tuple[int, ...]:
    """(input_size, *hidden_sizes, output_size); raises ParameterError naming what is no size."""
    if isinstance(hidden_sizes, int | np.integer):
        hidden_sizes = [int(hidden_sizes)]
    if not np.iterable(hidden_sizes):
        raise ParameterError(
            f"hidden_sizes must be integers >= 1, for example [100, 50], got {hidden_sizes!r}"
        )
    hidden = [check_integer(f"hidden_sizes[{i}]", n, 1) for i, n in enumerate(hidden_sizes)]
    return (
        check_integer("input_size", input_size, 1),
        *hidden,
        check_integer("output_size", output_size, 1),
    )
