"""The layers: what a network is made of, each readable and usable alone."""

from scratchnet.layers.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    Mish,
    PReLU,
    SiLU,
    Softplus,
)
from scratchnet.layers.affine import Affine
from scratchnet.layers.columns import Columns, Concat
from scratchnet.layers.convolution import Conv2D
from scratchnet.layers.elementary import Identity, ReLU, Sigmoid, Tanh
from scratchnet.layers.embedding import Embedding
from scratchnet.layers.layer import Layer
from scratchnet.layers.losses import (
    LOSSES,
    BinaryCrossEntropy,
    ElementwiseLoss,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
)
from scratchnet.layers.members import MemberAffine, MemberLoss
from scratchnet.layers.normalization import (
    NORMALIZATIONS,
    STANDARDIZATIONS,
    BatchNorm,
    LayerNorm,
    Standardize,
)
from scratchnet.layers.numbers import PiecewiseLinear, RobustScale, Scale
from scratchnet.layers.pooling import POOLS, AvgPool, GlobalAvgPool, MaxPool
from scratchnet.layers.quantiles import QuantileLoss
from scratchnet.layers.regularization import REGULARIZERS, Dropout, GaussianNoise
from scratchnet.layers.residual import Residual
from scratchnet.layers.softmax import Loss, SoftmaxWithLoss

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "LOSSES",
    "NORMALIZATIONS",
    "POOLS",
    "REGULARIZERS",
    "SELU",
    "STANDARDIZATIONS",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Columns",
    "Concat",
    "Conv2D",
    "Dropout",
    "ElementwiseLoss",
    "Embedding",
    "GaussianNoise",
    "GlobalAvgPool",
    "Huber",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Loss",
    "MaxPool",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MemberAffine",
    "MemberLoss",
    "Mish",
    "PReLU",
    "PiecewiseLinear",
    "PoissonLoss",
    "QuantileLoss",
    "ReLU",
    "Residual",
    "RobustScale",
    "Scale",
    "SiLU",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Softplus",
    "Standardize",
    "Tanh",
]
