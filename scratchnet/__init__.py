"""scratchnet: neural networks written from scratch on NumPy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"  # before the imports: some of them want it

from scratchnet.data import Augmentation, Dataset, Samples, load, make_augmentation
from scratchnet.errors import DataWarning, ScratchnetError
from scratchnet.layers import (
    ELU,
    GELU,
    SELU,
    Affine,
    AvgPool,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dropout,
    GaussianNoise,
    GlobalAvgPool,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    MeanSquaredError,
    Mish,
    PReLU,
    ReLU,
    Residual,
    Sigmoid,
    SiLU,
    SoftmaxWithLoss,
    Softplus,
    Standardize,
    Tanh,
)
from scratchnet.networks import (
    ConvNet,
    DeepConvNet,
    MultiLayerNet,
    Network,
    SimpleConvNet,
    TwoLayerNet,
)
from scratchnet.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop

if TYPE_CHECKING:
    from scratchnet.diagnosis import Diagnosis, diagnose
    from scratchnet.inspection.gradient_check import check_gradients
    from scratchnet.inspection.lr_finder import find_lr
    from scratchnet.networks.weights import load_network
    from scratchnet.parallel import MPIGradients
    from scratchnet.training import EarlyStopping, Epoch, Trainer

LATER = {
    "Diagnosis": "scratchnet.diagnosis",
    "EarlyStopping": "scratchnet.training",
    "Epoch": "scratchnet.training",
    "MPIGradients": "scratchnet.parallel",
    "Trainer": "scratchnet.training",
    "check_gradients": "scratchnet.inspection.gradient_check",
    "diagnose": "scratchnet.diagnosis",
    "find_lr": "scratchnet.inspection.lr_finder",
    "load_network": "scratchnet.networks.weights",
}
"""Public names that are imported when they are used, and where they are from."""
ROOMS = (
    *(
        "compare",
        "diagnosis",
        "estimator",
        "formats",
        "inspection",
        "report",
        "runs",
        "schedules",
        "storage",
    ),
    "training",
)
"""Parts that are imported when they are used: `scratchnet.estimator` needs no import of its own."""

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "Augmentation",
    "AvgPool",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Conv2D",
    "ConvNet",
    "DataWarning",
    "Dataset",
    "DeepConvNet",
    "Diagnosis",
    "Dropout",
    "EarlyStopping",
    "Epoch",
    "GaussianNoise",
    "GlobalAvgPool",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MPIGradients",
    "MaxPool",
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
    "Residual",
    "Samples",
    "ScratchnetError",
    "SiLU",
    "Sigmoid",
    "SimpleConvNet",
    "SoftmaxWithLoss",
    "Softplus",
    "Standardize",
    "Tanh",
    "Trainer",
    "TwoLayerNet",
    "check_gradients",
    "diagnose",
    "find_lr",
    "load",
    "load_network",
    "make_augmentation",
]


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return import_module(f"scratchnet.{name}")
    if name not in LATER:
        raise AttributeError(f"module 'scratchnet' has no attribute {name!r}")
    return getattr(import_module(LATER[name]), name)
