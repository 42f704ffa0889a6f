"""The layers: what a network is made of, each readable and usable alone."""

from scratchnet.layers.activations import ACTIVATIONS, Identity, ReLU, Sigmoid, Tanh
from scratchnet.layers.affine import Affine
from scratchnet.layers.layer import Layer
from scratchnet.layers.losses import LOSSES, Loss, SoftmaxWithLoss

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Affine",
    "Identity",
    "Layer",
    "Loss",
    "ReLU",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Tanh",
]
