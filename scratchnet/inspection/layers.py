"""The state of a network's layers: norms, and units that no longer respond."""

import math
from typing import Any

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.layers import ACTIVATIONS, Identity
from scratchnet.layers.image import image_of
from scratchnet.networks import Network
from scratchnet.parameters import Array

FLAT = 0.01
"""A slope below this is taken for none."""


def inspect_layers(network: Network, samples: Samples) -> list[dict[str, Any]]:
    """A row for each layer that has parameters or is an activation, as it is now.

    "weight_norm" and "gradient_norm" are the lengths of its parameters and of the gradient of the
    last step. "flat" is the share of an activation's values on `samples` at which its slope is
    below 0.01, "dead" the share of its units of which that is so for every sample: a unit of ReLU
    that is never on, one of tanh that is saturated everywhere. Of images a channel counts as one
    unit.
    """
    flat: dict[int, int] = {}  # by layer, the values that are flat
    dead: dict[int, Array] = {}  # and the units that are so for every sample until now
    with np.errstate(over="ignore", invalid="ignore"):
        for x, _ in Batches(samples, network.evaluation_rows, network.dtype).in_order():
            for k, layer in enumerate(network.layers):
                layer.keep_apart(train=False)
                x = layer.forward(x)
                if not isinstance(layer, tuple(ACTIVATIONS.values())) or type(layer) is Identity:
                    continue
                here = np.abs(layer.input_grad(np.ones_like(x))) < FLAT
                flat[k] = flat.get(k, 0) + int(np.count_nonzero(here))
                image = image_of(network.output_shapes[k])
                units = here if image is None else here.reshape(-1, image[2])
                dead[k] = np.logical_and(units.all(axis=0), dead.get(k, True))
    return [
        {
            "layer": f"{k + 1} {layer!r}",
            "weight_norm": _norm(layer.params.values()) if layer.shapes else None,
            "gradient_norm": _norm(layer.grads.values()) if layer.shapes else None,
            "flat": flat[k] / (len(samples) * network.output_sizes[k]) if k in flat else None,
            "dead": float(dead[k].mean()) if k in dead else None,
        }
        for k, layer in enumerate(network.layers)
        if layer.shapes or k in flat
    ]


def _norm(arrays: Any) -> float:
    """The length of all values together, in float64."""
    return math.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays))
