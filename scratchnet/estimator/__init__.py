"""`MLPClassifier` and `MLPRegressor` with scikit-learn's arguments, and networks of any layers."""

from scratchnet.estimator.classifier import MLPClassifier, NetworkClassifier
from scratchnet.estimator.regressor import MLPRegressor, NetworkRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"]
