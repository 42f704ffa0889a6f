"""scratchnet: neural networks written from scratch on NumPy."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"  # before the imports: some of them want it

from scratchnet.data import Augmentation, Dataset, Samples, load, make_augmentation
from scratchnet.errors import ScratchnetError
from scratchnet.inspection.gradient_check import check_gradients
from scratchnet.layers import (
    ELU,
    GELU,
    SELU,
    Affine,
    BatchNorm,
    BinaryCrossEntropy,
    Dropout,
    GaussianNoise,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    MeanSquaredError,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    SoftmaxWithLoss,
    Softplus,
    Standardize,
    Tanh,
)
from scratchnet.networks import MultiLayerNet, Network, TwoLayerNet
from scratchnet.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from scratchnet.parallel import MPIGradients
from scratchnet.training import Epoch, Trainer

LATER = {
    "EarlyStopping": "scratchnet.training",
    "find_lr": "scratchnet.inspection.lr_finder",
    "load_network": "scratchnet.networks.weights",
}
"""Public names that are imported when they are used, and where they are from."""

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "Augmentation",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Dataset",
    "Dropout",
    "EarlyStopping",
    "Epoch",
    "GaussianNoise",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MPIGradients",
    "MeanSquaredError",
    "Mish",
    "Momentum",
    "MultiLayerNet",
    "Nesterov",
    "Network",
    "Optimizer",
    "PReLU",
    "RMSprop",
    "ReLU",
    "Samples",
    "ScratchnetError",
    "SiLU",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Softplus",
    "Standardize",
    "Tanh",
    "Trainer",
    "TwoLayerNet",
    "check_gradients",
    "find_lr",
    "load",
    "load_network",
    "make_augmentation",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module 'scratchnet' has no attribute {name!r}")
    return getattr(import_module(LATER[name]), name)
