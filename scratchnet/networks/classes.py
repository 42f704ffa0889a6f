"""What a trained network says of classes: their probabilities, and the likeliest."""

from typing import Any

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.layers import BinaryCrossEntropy, SoftmaxWithLoss
from scratchnet.parameters import Array


def probabilities(network: Any, outputs: Array) -> Array:
    """The probability of each class, for outputs (N, K), as `Trained.predict_proba` has them."""
    loss = network.loss_layer
    if not classifies(network):
        raise ParameterError(
            f"probabilities need a network that classifies, {loss!r} is for values; use predict"
        )
    p: Array = loss.confidences(outputs)
    if p.shape[1] == 1:
        return np.hstack([1.0 - p, p])
    if isinstance(loss, SoftmaxWithLoss) or is_multilabel(network):
        return p
    total = p.sum(axis=1, keepdims=True)
    even = np.full_like(p, 1 / p.shape[1])  # where no class has any share
    return np.asarray(np.divide(p, total, out=even, where=total > 0))


def choose(network: Any, outputs: Array) -> Array:
    """The class of each row of outputs (N, K), as `Trained.predict_classes` has it."""
    p = probabilities(network, outputs)
    return np.asarray(p > 0.5, np.intp) if is_multilabel(network) else np.asarray(p.argmax(axis=1))


def classifies(network: Any) -> bool:
    """Whether its targets are classes, and not values."""
    loss = network.loss_layer
    return isinstance(loss, SoftmaxWithLoss | BinaryCrossEntropy) or loss.labels == "integer"


def is_multilabel(network: Any) -> bool:
    """Whether its labels do not exclude each other."""
    loss, outputs = network.loss_layer, network.output_sizes[-1]
    return isinstance(loss, BinaryCrossEntropy) and loss.labels == "values" and outputs > 1
