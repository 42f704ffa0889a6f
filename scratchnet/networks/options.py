"""The options of a network, each declared once; `MultiLayerNet` stacks the layers they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchnet.checks import DTYPES, Range, check_dtype, is_number
from scratchnet.errors import ParameterError
from scratchnet.initializers import INITIALIZERS, Initializer, find_initializer
from scratchnet.layers import (
    ACTIVATIONS,
    LOSSES,
    STANDARDIZATIONS,
    BatchNorm,
    Dropout,
    GaussianNoise,
    LayerNorm,
    Loss,
    Standardize,
)
from scratchnet.options import Names, Parsed, Seeded, Switch, Words, option
from scratchnet.registry import canonical

INPUT, HIDDEN = "input", "hidden"
"""The places of a layer: before the first Affine, or behind each Affine but the last."""
SHARE = Range(at_least=0, below=1)
STRENGTH = Range(at_least=0)


class Unit(NamedTuple):
    """The place that a layer is made for, and how the network is made.

    `n` is the values of a row, None where the network hands on shapes.
    """

    n: int | None
    rng: np.random.Generator
    dtype: str
    gamma: bool


class _Dtype(Words):
    def check(self, name: str, value: Any) -> str:
        return check_dtype(value)


def _initializer(text: str) -> str | float:
    """A name of INITIALIZERS, or the standard deviation that the text means."""
    which: str | float = float(text) if is_number(text) else text
    find_initializer(which)
    return which if isinstance(which, float) else canonical(INITIALIZERS, which, "initializer")


def _class_weight(text: str) -> str | list[float] | None:
    """The word balanced, none, or the numbers in "1,1,2.5"."""
    word = text.strip().lower()
    if word in ("balanced", "none"):
        return None if word == "none" else word
    numbers = [part for part in text.split(",") if is_number(part) and float(part) in STRENGTH]
    if len(numbers) < len(text.split(",")):
        raise ParameterError(f"must be balanced or finite numbers >= 0, got {text!r}")
    return [float(number) for number in numbers]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(Seeded):
    """The options of a network; the layers of one place stand in the order of these fields.

    An option with a `place` makes a layer wherever its value is not off (None, 0 or False). To add
    one is to write the layer and a field here.
    """

    title = "network"

    dtype: str = option("float32", _Dtype(DTYPES), "precision")
    initializer: str | float | Initializer = option(
        "he",
        Parsed(_initializer),
        f"{', '.join(INITIALIZERS)}, or a standard deviation, for example 0.01",
    )
    l2: float = option(
        0.0, STRENGTH, "strength of the L2 penalty on the weights", metavar="STRENGTH"
    )
    max_norm: float | None = option(
        None,
        Range(above=0, optional=True),
        "limit the length of the weights into each hidden unit (default: none)",
        metavar="LENGTH",
    )
    standardize: str | None = option(
        None,
        Words(STANDARDIZATIONS, optional=True),
        f"{' or '.join(STANDARDIZATIONS)}: bring the inputs to mean 0 and variance 1 by the "
        "training samples, each feature by itself or all together (default: leave them)",
        metavar="OVER",
        place=INPUT,
        make=lambda over, unit: Standardize(unit.n, over, dtype=unit.dtype),
    )
    input_noise: float = option(
        0.0,
        STRENGTH,
        "standard deviation of noise on the inputs in training",
        metavar="STD",
        place=INPUT,
        make=lambda std, unit: GaussianNoise(std, unit.rng),
    )
    input_dropout: float = option(
        0.0,
        SHARE,
        "share of the inputs that is dropped in training",
        metavar="RATE",
        place=INPUT,
        make=lambda rate, unit: Dropout(rate, unit.rng),
    )
    batch_norm: bool = option(
        False,
        Switch(),
        "normalize each column over its batch before every activation",
        place=HIDDEN,
        make=lambda _, unit: BatchNorm(unit.n, scale=unit.gamma, dtype=unit.dtype),
    )
    layer_norm: bool = option(
        False,
        Switch(),
        "normalize each row before every activation",
        place=HIDDEN,
        make=lambda _, unit: LayerNorm(unit.n, scale=unit.gamma, dtype=unit.dtype),
    )
    gamma: bool = option(
        True,
        Switch(),
        "the learnt scale of normalization; leave it out if noise comes behind it",
    )
    noise: float | Sequence[float] = option(
        0.0,
        STRENGTH,
        "standard deviation of noise before activations: one for all hidden layers, or one for "
        "each",
        metavar="STD",
        each=True,
        place=HIDDEN,
        make=lambda std, unit: GaussianNoise(std, unit.rng),
    )
    activation: str | Sequence[str] = option(
        "relu",
        Names(ACTIVATIONS, "activation"),
        f"one for all hidden layers, or one for each: {', '.join(ACTIVATIONS)}",
        each=True,
        place=HIDDEN,
        make=lambda name, unit: ACTIVATIONS[name](),
    )
    dropout: float | Sequence[float] = option(
        0.0,
        SHARE,
        "share of hidden units that is dropped in training: one for all hidden layers, or one for "
        "each",
        metavar="RATE",
        each=True,
        place=HIDDEN,
        make=lambda rate, unit: Dropout(rate, unit.rng),
    )
    loss: str | Loss = option("softmax", Names(LOSSES, "loss", ready=Loss), ", ".join(LOSSES))
    labels: str = option(
        "integer", Parsed(str), "the form of the targets, as the loss has it", door="library"
    )
    label_smoothing: float = option(
        0.0, SHARE, "share of each label that is spread over all classes", metavar="SHARE"
    )
    class_weight: str | Sequence[float] | None = option(
        None,
        Parsed(_class_weight),
        "balanced, or a number for each class with commas (default: all count equally)",
        metavar="WEIGHTS",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_norm and self.layer_norm:
            raise ParameterError("batch_norm and layer_norm cannot both be on; choose one")
