"""Views of a network: the same parameters, and results in memory of their own."""

import copy
from collections.abc import Sequence
from threading import get_ident
from typing import Any

import numpy as np

from scratchnet.layers.layer import walk
from scratchnet.networks.naming import name_parameters
from scratchnet.parameters import Array, allocate


def view(network: Any, memory: Sequence[dict[str, Array]]) -> Any:
    """The network as another thread may evaluate it, with a place in `memory` for each layer."""
    places = iter(memory)
    other = object.__new__(type(network))
    other.__dict__.update(network.__dict__)
    other.layers = tuple(layer.share(places) for layer in network.layers)
    other.loss_layer = copy.copy(network.loss_layer)
    other._owner, other.all_layers = get_ident(), tuple(walk(other.layers))
    return other


def training_view(network: Any) -> Any:
    """The network as another thread may train it: gradients and statistics of its own."""
    other = view(network, [{} for _ in network.all_layers])
    shapes = {name: array.shape for name, array in network.grads.items()}
    other.gradient_vector, other.grads = allocate(shapes, network.dtype)
    shapes = {name: array.shape for name, array in network.statistics.items()}
    measured, other.statistics = allocate(shapes, network.dtype)
    np.copyto(measured, network.state_vector[network.vector.size :])
    names = name_parameters(other.all_layers)
    for layer, of_network in zip(other.all_layers, names, strict=True):
        layer.grads = other.grads.select({own: of_network[own] for own in layer.shapes})
        of_statistics = {own: of_network[own] for own in layer.statistic_shapes}
        layer.statistics = other.statistics.select(of_statistics)
    return other
