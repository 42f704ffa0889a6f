"""Networks: layers in a row, their parameters in one vector, and a loss at the end."""

from scratchnet.networks.multi_layer import (
    NETWORKS,
    MultiLayerNet,
    TwoLayerNet,
    count_weights,
    layer_sizes,
)
from scratchnet.networks.network import Network
from scratchnet.networks.options import NetworkOptions

__all__ = [
    "NETWORKS",
    "MultiLayerNet",
    "Network",
    "NetworkOptions",
    "TwoLayerNet",
    "count_weights",
    "layer_sizes",
]
