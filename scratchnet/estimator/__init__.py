"""`MLPClassifier` and `MLPRegressor` with scikit-learn's arguments, and networks of any layers."""

from scratchnet.estimator.classifier import ConvClassifier, MLPClassifier, NetworkClassifier
from scratchnet.estimator.regressor import MLPRegressor, NetworkRegressor

__all__ = [
    "ConvClassifier",
    "MLPClassifier",
    "MLPRegressor",
    "NetworkClassifier",
    "NetworkRegressor",
]
