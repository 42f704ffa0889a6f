"""Fitted networks exchanged with scikit-learn's own classes: the same weights, there and here."""

from typing import Any

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.formats.sklearn import fill, find_activation, intercepts_of, make_binarizer
from scratchnet.layers import QuantileLoss

OUTPUTS = ("identity", "exp", "logistic", "softmax")
COPIED = (
    *("loss_", "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"),
    *("feature_names_in_", "classes_", "loss_curve_", "best_loss_", "validation_scores_"),
    "best_validation_score_",
)
"""The fitted attributes that mean the same in both."""


def convert_to_sklearn(of: Any) -> Any:
    """scikit-learn's estimator with the weights of the fitted one; raises ParameterError."""
    from sklearn import neural_network

    activation = _activation_of(of)
    kind = neural_network.MLPClassifier if of._classifies else neural_network.MLPRegressor
    known = kind().get_params()
    same = {name: value for name, value in of.get_params(deep=False).items() if name in known}
    sizes = of._network.output_sizes
    same["hidden_layer_sizes"] = tuple(layer.n_out for layer in of._affine()[:-1])
    same["activation"] = activation
    if of._classifies:
        same.pop("loss", None)
    elif "loss" in known:  # from version 1.7 on
        same["loss"] = "poisson" if of.out_activation_ == "exp" else "squared_error"
    made = kind(**same)
    for name in COPIED:
        if hasattr(of, name):
            value = getattr(of, name)
            setattr(made, name, list(value) if isinstance(value, list) else value)
    made.n_outputs_ = sizes[-1]
    fill(made, [np.array(array) for array in of.coefs_], intercepts_of(of._affine()), of._seed)
    if of._classifies:
        several = of.n_outputs_ if of._multilabel else None
        made._label_binarizer = make_binarizer(of.classes_, several)
    return made


def _activation_of(of: Any) -> str:
    """The one activation of a network as scikit-learn has it; raises ParameterError."""
    network = of._network
    if isinstance(network.loss_layer, QuantileLoss) or of.out_activation_ not in OUTPUTS:
        raise ParameterError(
            f"scikit-learn's class has no {network.loss_layer!r}; keep this estimator, or its file"
        )
    if of._classifies and of._own_loss:
        raise ParameterError("scikit-learn's class predicts by log_loss alone; keep this estimator")
    return find_activation(network, "keep this estimator, or its file")


def convert_from_sklearn(cls: type[Any], fitted: Any) -> Any:
    """The estimator `cls` with arguments and weights of scikit-learn's; raises TypeError."""
    from sklearn.utils.validation import check_is_fitted

    name = cls.__name__
    if type(fitted).__name__ != name or not type(fitted).__module__.startswith("sklearn."):
        raise TypeError(
            f"{name}.from_sklearn takes scikit-learn's {name}, got {type(fitted).__name__}"
        )
    check_is_fitted(fitted)
    made = cls(**fitted.get_params())
    made._seed = int(np.random.default_rng(0).integers(2**31))
    for attribute in COPIED:
        if hasattr(fitted, attribute):
            value = getattr(fitted, attribute)
            setattr(made, attribute, list(value) if isinstance(value, list) else value)
    if made._classifies:
        made._multilabel = fitted._label_binarizer.y_type_.startswith("multilabel")
        made._sparse_labels = bool(fitted._label_binarizer.sparse_input_)
    else:
        made._flat, made._sparse_labels = fitted.n_outputs_ == 1, False
        made._conformity = []
    made._offset = None
    made._start = np.random.RandomState(0)
    made._network = made._make_network(fitted.n_features_in_, fitted.coefs_[0].dtype.name)
    del made._start
    made._resume()
    made.coefs_, made.intercepts_ = fitted.coefs_, fitted.intercepts_
    made._epochs = len(getattr(fitted, "loss_curve_", []))
    made.stopped_, made.validation_loss_curve_ = False, []
    return made
