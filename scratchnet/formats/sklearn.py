"""Networks as scikit-learn's own MLPClassifier or MLPRegressor, fitted, which predict alike.

These have affine layers with one activation between them, and softmax, a sigmoid, or no function at
the end.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.formats.layouts import check_finite
from scratchnet.layers import (
    Affine,
    BinaryCrossEntropy,
    Dropout,
    GaussianNoise,
    Identity,
    Loss,
    PoissonLoss,
    ReLU,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
)
from scratchnet.networks.classes import classifies
from scratchnet.networks.network import Network
from scratchnet.parameters import Array
from scratchnet.storage.atomic import write_atomically

ACTIVATIONS = {Identity: "identity", ReLU: "relu", Sigmoid: "logistic", Tanh: "tanh"}
"""The activations that scikit-learn's class has."""
KEEP = "keep the network, or write it as ONNX"


def to_sklearn(network: Network) -> Any:
    """scikit-learn's fitted MLPClassifier, or MLPRegressor for values, that predicts the same.

    It takes raw values, rows (N, D): `preparation.scale` is multiplied into the first weights. Its
    classes are the integers of `predict_classes`. Two outputs behind a softmax become one behind a
    sigmoid, of their difference, as scikit-learn has it for two classes.

    Raises ParameterError, naming the layer or the loss, for a network that scikit-learn's class
    cannot hold, DivergenceError if a value is not finite.
    """
    from sklearn import neural_network

    check_finite(network)
    activation, out = find_activation(network, KEEP), _output_of(network)
    affine = [layer for layer in network.layers if isinstance(layer, Affine)]
    coefs, intercepts = [np.array(layer.params["W"]) for layer in affine], intercepts_of(affine)
    coefs[0] *= network.preparation.scale
    k, classes = network.output_sizes[-1], classifies(network)
    if classes and k == 2 and out == "softmax":
        coefs[-1], intercepts[-1] = np.diff(coefs[-1], axis=1), np.diff(intercepts[-1])
        k, out = 1, "logistic"
    kind = neural_network.MLPClassifier if classes else neural_network.MLPRegressor
    options: dict[str, Any] = {"hidden_layer_sizes": tuple(layer.n_out for layer in affine[:-1])}
    if out == "exp":
        if "loss" not in kind().get_params():
            raise ParameterError(
                f"scikit-learn's class must be that of version 1.7 or later for "
                f"{network.loss_layer!r}, whose predictions are exp; update scikit-learn"
            )
        options["loss"] = "poisson"
    made = kind(activation=activation, **options)
    made.n_features_in_, made.n_outputs_, made.out_activation_ = network.input_size, k, out
    made.n_layers_ = len(affine) + 1
    made.n_iter_ = made.t_ = 0
    made.loss_curve_, made.best_loss_ = [], np.inf
    if classes:
        several = out == "logistic" and k > 1
        made.classes_ = np.arange(max(k, 2))
        made._label_binarizer = make_binarizer(made.classes_, k if several else None)
    fill(made, coefs, intercepts, 0)
    return made


def save_sklearn(network: Network, path: str | Path) -> None:
    """Write `to_sklearn(network)` with joblib, atomically; `joblib.load` reads it.

    The file is a pickle: reading one runs what is in it, so read only files you trust. Raises what
    `to_sklearn` does, and OutputError if the file cannot be written.
    """
    import joblib

    content = io.BytesIO()
    joblib.dump(to_sklearn(network), content)
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def find_activation(network: Network, keep: str) -> str:
    """The one activation between affine layers as scikit-learn calls it.

    Raises ParameterError, which says to `keep` what the network is in, for any other layers.
    """
    layers = [x for x in network.layers if type(x) not in (Dropout, GaussianNoise)]
    found = set()
    for k, layer in enumerate(layers):
        if isinstance(layer, Affine) is (k % 2 == 1) or type(layer) not in {Affine, *ACTIVATIONS}:
            raise ParameterError(
                f"scikit-learn's class has affine layers with identity, logistic, tanh or relu "
                f"between them, and no {layer!r} in this place; {keep}"
            )
        if k % 2:
            found.add(ACTIVATIONS[type(layer)])
    if len(found) > 1 or len(layers) % 2 == 0:
        raise ParameterError(
            "scikit-learn's class has the same activation in all hidden layers and none behind the "
            f"last, here there are {', '.join(map(repr, layers))}; {keep}"
        )
    return found.pop() if found else "identity"


def _output_of(network: Network) -> str:
    """What scikit-learn has behind the last layer; raises ParameterError for another function."""
    loss, k = network.loss_layer, network.output_sizes[-1]
    if not classifies(network):
        found = {Loss.predictions: "identity", PoissonLoss.predictions: "exp"}
        out = found.get(type(loss).predictions)
    elif type(loss).confidences is SoftmaxWithLoss.confidences:
        out = "softmax" if k > 1 else None
    else:
        logistic = type(loss).confidences is BinaryCrossEntropy.confidences
        out = "logistic" if logistic and (k == 1 or loss.labels == "values") else None
    if out is None:
        raise ParameterError(
            f"scikit-learn's class has no {loss!r} of {k} output{'s' * (k != 1)}; {KEEP}"
        )
    return out


def intercepts_of(affine: Sequence[Affine]) -> list[Array]:
    """The biases, 0 where a layer has none."""
    return [
        np.array(layer.params["b"])
        if layer.bias
        else np.zeros(layer.n_out, layer.params["W"].dtype)
        for layer in affine
    ]


def make_binarizer(classes: Array, several: int | None) -> Any:
    """scikit-learn's own way between classes and outputs; `several` labels, if they may meet."""
    from sklearn.preprocessing import LabelBinarizer

    made = LabelBinarizer()
    return made.fit(classes if several is None else np.eye(several, dtype=int))


def fill(made: Any, coefs: Sequence[Array], intercepts: Sequence[Array], seed: int) -> None:
    """Give scikit-learn's estimator its weights, and what else a fit would leave in it."""
    made.coefs_, made.intercepts_ = list(coefs), list(intercepts)
    made._no_improvement_count = 0
    made._random_state = np.random.RandomState(seed)
    made._best_coefs = [array.copy() for array in made.coefs_]
    made._best_intercepts = [array.copy() for array in made.intercepts_]
