"""The layers: what a network is made of, each readable and usable alone."""

from scratchnet.layers.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    Identity,
    LeakyReLU,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from scratchnet.layers.affine import Affine
from scratchnet.layers.layer import Layer
from scratchnet.layers.losses import (
    LOSSES,
    BinaryCrossEntropy,
    Loss,
    MeanSquaredError,
    PoissonLoss,
    SoftmaxWithLoss,
)
from scratchnet.layers.normalization import (
    NORMALIZATIONS,
    STANDARDIZATIONS,
    BatchNorm,
    LayerNorm,
    Standardize,
)
from scratchnet.layers.regularization import REGULARIZERS, Dropout, GaussianNoise

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "LOSSES",
    "NORMALIZATIONS",
    "REGULARIZERS",
    "SELU",
    "STANDARDIZATIONS",
    "Affine",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Dropout",
    "GaussianNoise",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Loss",
    "MeanSquaredError",
    "Mish",
    "PReLU",
    "PoissonLoss",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Softplus",
    "Standardize",
    "Tanh",
]
