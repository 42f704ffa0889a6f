"""scratchnet: neural networks written from scratch on NumPy."""

__version__ = "0.1.0"  # before the imports: some of them want it

from scratchnet.data import Dataset, Samples, load
from scratchnet.errors import ScratchnetError
from scratchnet.gradient_check import check_gradients
from scratchnet.layers import Affine, Identity, Layer, ReLU, Sigmoid, SoftmaxWithLoss, Tanh
from scratchnet.networks import MultiLayerNet, Network, TwoLayerNet
from scratchnet.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from scratchnet.trainer import Epoch, Trainer

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "Dataset",
    "Epoch",
    "Identity",
    "Layer",
    "Momentum",
    "MultiLayerNet",
    "Nesterov",
    "Network",
    "Optimizer",
    "RMSprop",
    "ReLU",
    "Samples",
    "ScratchnetError",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Tanh",
    "Trainer",
    "TwoLayerNet",
    "check_gradients",
    "load",
]
