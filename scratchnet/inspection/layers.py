"""The state of a network's layers: norms, and units that no longer respond."""

import math
from typing import Any

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.layers import ACTIVATIONS, Identity
from scratchnet.networks import Network

FLAT = 0.01
"""A slope below this is taken for none."""


def inspect_layers(network: Network, samples: Samples) -> list[dict[str, Any]]:
    """A row for each layer that has parameters or is an activation, as it is now.

    "weight_norm" and "gradient_norm" are the lengths of its parameters and of the gradient of the
    last step. "flat" is the share of an activation's values on `samples` at which its slope is
    below 0.01, "dead" the share of its units of which that is so for every sample: a unit of ReLU
    that is never on, one of tanh that is saturated everywhere.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        x, _ = next(Batches(samples, len(samples), network.dtype).in_order())
        rows = []
        for k, layer in enumerate(network.layers, 1):
            layer.keep_apart(train=False)
            x = layer.forward(x)
            bends = isinstance(layer, tuple(ACTIVATIONS.values())) and type(layer) is not Identity
            if not (layer.shapes or bends):
                continue
            flat = np.abs(layer.input_grad(np.ones_like(x))) < FLAT if bends else None
            rows.append(
                {
                    "layer": f"{k} {layer!r}",
                    "weight_norm": _norm(layer.params.values()) if layer.shapes else None,
                    "gradient_norm": _norm(layer.grads.values()) if layer.shapes else None,
                    "flat": None if flat is None else float(flat.mean()),
                    "dead": None if flat is None else float(flat.all(axis=0).mean()),
                }
            )
    return rows


def _norm(arrays: Any) -> float:
    """The length of all values together, in float64."""
    return math.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays))
