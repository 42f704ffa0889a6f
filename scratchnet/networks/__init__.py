"""Networks: layers in a row, their parameters in one vector, and a loss at the end."""

from scratchnet.networks.convolutional import (
    NETWORKS,
    PRESETS,
    ConvNet,
    DeepConvNet,
    SimpleConvNet,
    plan,
)
from scratchnet.networks.multi_layer import MultiLayerNet, TwoLayerNet, layer_sizes
from scratchnet.networks.network import Network
from scratchnet.networks.options import NetworkOptions

__all__ = [
    "NETWORKS",
    "PRESETS",
    "ConvNet",
    "DeepConvNet",
    "MultiLayerNet",
    "Network",
    "NetworkOptions",
    "SimpleConvNet",
    "TwoLayerNet",
    "layer_sizes",
    "plan",
]
